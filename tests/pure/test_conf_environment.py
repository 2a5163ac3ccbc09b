"""An environment: what is wrong in it is said, and where its folders start."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyspark
import pytest
import yaml
from conf_errors import PROJECT, said, written

from driftline.environment import Environment, load_environment
from driftline.errors import ConfError

HERE = "warehouse: tables\ndata: ../data\nmlflow: tables/mlflow.db\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HERE + "mastr: local\n",
            (
                "unknown key",
                "mastr",
                "mastr",
                "warehouse, data, mlflow, master, catalog, cores, memory_gib, spark, connections, "
                "pushgateway",
                "did you mean 'master'?",
            ),
        ),
        (
            "data: data\nmlflow: m.db\n",
            (
                "a required key is missing",
                "warehouse",
                "nothing",
                "warehouse: …",
                "add 'warehouse:'",
            ),
        ),
        (
            HERE + "cores: 0\n",
            ("out of range", "cores", "0", "1 or more", "write a number 1 or more"),
        ),
        (
            HERE + "memory_gib: 0\n",
            ("out of range", "memory_gib", "0", "above 0", "write a number above 0"),
        ),
        (
            HERE + "spark: {spark.sql.shuffle.partitions: 16}\n",
            (
                "not a text",
                "spark.spark.sql.shuffle.partitions",
                "16",
                "a text",
                "put it in quotes: '16'",
            ),
        ),
        (
            HERE.replace("tables/mlflow.db", "postgresql://host/db"),
            (
                "not an MLflow tracking store",
                "mlflow",
                "postgresql://…",
                "a path to a SQLite file, or a URI that starts with sqlite, http or https",
                "mlflow: warehouse/mlflow.db",
            ),
        ),
        (
            HERE.replace("tables/mlflow.db", "httpx://host"),
            (
                "not an MLflow tracking store",
                "mlflow",
                "httpx://…",
                "a path to a SQLite file, or a URI that starts with sqlite, http or https",
                "mlflow: warehouse/mlflow.db",
            ),
        ),
        (
            HERE + "pushgateway: gateway:9091\n",
            (
                "not the URL of a Pushgateway",
                "pushgateway",
                "not shown",
                "a URI that starts with http or https, without user, password and query",
                "pushgateway: http://127.0.0.1:9091",
            ),
        ),
        (
            HERE.replace("warehouse: tables", "warehouse: ''"),
            (
                "the text is too short",
                "warehouse",
                "an empty text",
                "at least 1 character",
                "write something there",
            ),
        ),
        (
            HERE.replace("warehouse: tables", "warehouse: s3://lake/warehouse"),
            (
                "not how Spark calls an object store",
                "warehouse",
                "s3://…",
                "a folder, or a URI: s3a://bucket/folder",
                "s3a:// it is",
            ),
        ),
    ],
)
def test_wrong_environment(
    tmp_path: Path, text: str, expected: tuple[str, str, str, str, str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfError) as caught:
        load_environment(path)
    assert said(caught.value) == expected
    assert caught.value.file == str(path)
    assert caught.value.exit_code == 2


SECRET_SETTINGS = {
    "spark.hadoop.fs.s3a.secret.key": "SHIBBOLETH",
    "spark.hadoop.fs.s3a.access.key": "SHIBBOLETH",
    "spark.hadoop.fs.s3a.bucket.lake.secret.key": "/SHIBBOLETH/x",
    "spark.hadoop.fs.s3a.secret.key.path": "SHIBBOLETH",
    "spark.hadoop.fs.s3a.encryption.key": "SHIBBOLETH",
    "spark.hadoop.fs.oss.accessKeySecret": "SHIBBOLETH",
    "spark.hadoop.bigquery.credentials": "SHIBBOLETH",
    "spark.hadoop.fs.gs.auth.client.secret": "SHIBBOLETH",
    "fs.azure.account.key.a.net": "SHIBBOLETH",
    "fs.azure.account.key.shopfile": "SHIBBOLETH",
    "fs.azure.account.hmac.key.a.net": "SHIBBOLETH",
    "fs.azure.account.oauth2.client.secret.a.net": "SHIBBOLETH",
    "fs.azure.sas.lake.shop.blob.core.windows.net": "SHIBBOLETH",
    "spark.ssl.keyPassword": "SHIBBOLETH",
    "spark.ssl.rpc.privateKey": "SHIBBOLETH",
    "spark.ssl.passphrase": "SHIBBOLETH",
    "spark.authenticate.secret": 20261130,
    "spark.hadoop.es.net.http.auth.pass": "SHIBBOLETH",
    "spark.executorEnv.MYSQL_PWD": "SHIBBOLETH",
    "spark.sql.catalog.unity.token": "eyJhbGciOi.eyJzdWIi.SHIBBOLETH",
    "spark.hadoop.parquet.encryption.key.list": "k1:SHIBBOLETH==",
    "spark.executorEnv.DRIFTLINE_PSEUDONYM_KEY": "5411BB01E7" * 6 + "SHIBBOLETH",
    "spark.executorEnv.API_KEY": "SHIBBOLETH",
    "spark.executorEnv.APP_PASSWORD": "20261130",
    "spark.hadoop.shop.apikey": "SHIBBOLETH",
    "spark.driver.extraJavaOptions": "-Da.keyStorePassword=SHIBBOLETH -Da=b",
    "spark.executor.extraJavaOptions": "-Da=b -Dapi.key=SHIBBOLETH",
    "spark.driver.defaultJavaOptions": "-Da=-Dtoken=20261130",
    "spark.kafka.clusters.shop.sasl.jaas.config": 'a.Module required password = "SHIBBOLETH";',
    "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:postgresql://h/d?password=SHIBBOLETH",
    "spark.jars.repositories": "https://me:SHIBBOLETH@host/",
    "spark.jars": "https://host/a.jar,https://SHIBBOLETH@host/b.jar",
    "spark.hadoop.fs.s3a.proxy": "https://ID:SHIB/SHIBBOLETH@host",
    "spark.files": "abfss://lake:SHIBBOLETH@shop.net/a",
}


@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_a_secret_among_the_settings_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    settings = yaml.safe_dump({"spark": {"a.b": "c", name: SECRET_SETTINGS[name]}})
    with pytest.raises(ConfError) as caught:
        load_environment(written(tmp_path, HERE + settings))
    told = str(caught.value) + repr(said(caught.value))
    assert "SHIBBOLETH" not in told and "20261130" not in told
    assert caught.value.key == f"spark.{name}"
    assert caught.value.what == "a secret in a conf file"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark", "fs.s3a.secret.key=SHIBBOLETH"),
        ("spark.spark", {"hadoop": {"fs.s3a.secret.key": "SHIBBOLETH"}}),
        ("spark.spark", ["SHIBBOLETH"]),
        ("spark", ["fs.s3a.secret.key=SHIBBOLETH"]),
        ("pushgateway", "http://gateway:9091/?token=SHIBBOLETH"),
        ("pushgateway", "http://gateway:9091/#SHIBBOLETH"),
        ("pushgateway", "http://me:x/SHIBBOLETH@gateway:9091"),
        ("pushgateway", "me:SHIBBOLETH@gateway:9091"),
        ("pushgateway", ["http://SHIBBOLETH@gateway:9091"]),
        ("connections", "jdbc:postgresql://me:SHIBBOLETH@host/shop"),
        ("mlflow", "postgresql://me:SHIBBOLETH@host/db"),
        ("mlflow", ["https://me:SHIBBOLETH@host"]),
        ("mlflow", "https://host/?api_key=SHIBBOLETH"),
        ("mlflow", "https://me:SHIBBOLETH@host"),
        ("mlflow", "https://me:x/SHIBBOLETH@host"),
        ("mlflow", "/me@SHIBBOLETH"),
        ("warehouse", "s3a://ID:SHIBBOLETH@bucket/folder"),
        ("warehouse", "s3a://ID:SHIB/SHIBBOLETH@bucket/folder"),
        ("warehouse", "s3://ID:SHIBBOLETH@bucket/folder"),
        ("warehouse", "wasbs://lake@shop.net/w?sv=2024&sig=SHIBBOLETH"),
        ("warehouse", "tables?token=SHIBBOLETH"),
        ("warehouse", ["s3a://ID:SHIBBOLETH@bucket/folder"]),
        ("data", "s3a://ID:SHIBBOLETH@bucket/folder"),
        ("data", "s3a://id:se/SHIBBOLETH@bucket"),
        ("data", "s3a://bucket/SHIBBOLETH@folder"),
        ("master", "k8s://https://SHIBBOLETH@host:6443"),
    ],
)
def test_a_secret_in_an_environment_is_refused_and_not_shown(
    tmp_path: Path, key: str, value: Any
) -> None:
    section, _, name = key.partition(".")
    content = {**yaml.safe_load(HERE), section: {name: value} if name else value}
    with pytest.raises(ConfError) as caught:
        load_environment(written(tmp_path, yaml.safe_dump(content)))
    assert "SHIBBOLETH" not in str(caught.value) + repr(said(caught.value))
    assert caught.value.key == key
    assert caught.value.allowed and caught.value.hint


HARMLESS_SETTINGS = {
    "spark.hadoop.fs.s3a.aws.credentials.provider": "software.amazon.awssdk.Provider,\n a.b.Other",
    "spark.hadoop.fs.s3a.aws.credentials.provider.mapping": "a.b.Old=a.b.New",
    "spark.hadoop.fs.s3a.delegation.token.binding": "a.b.Binding",
    "spark.hadoop.fs.s3a.encryption.key": "arn:aws:kms:eu-central-1:1:key/2",
    "spark.hadoop.fs.s3a.encryption.context": "shop=lake",
    "spark.hadoop.fs.s3a.signing-algorithm": "AWS4SignerType",
    "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
    "spark.hadoop.fs.azure.account.oauth2.refresh.token.endpoint": "https://host/oauth2/token",
    "spark.hadoop.google.cloud.auth.service.account.json.keyfile": "/srv/key.json",
    "spark.hadoop.hadoop.security.credential.provider.path": "jceks://hdfs@name:9000/srv/a.jceks",
    "spark.hadoop.hadoop.security.key.provider.path": "kms://https@host:9600/kms",
    "spark.hadoop.hadoop.security.credential.clear-text-fallback": "false",
    "spark.hadoop.hadoop.security.credstore.java-keystore-provider.password-file": "shop",
    "spark.hadoop.hadoop.security.group.mapping.ldap.bind.password.alias": "shop",
    "spark.hadoop.fs.s3a.assumed.role.credentials.provider": "anonymous",
    "spark.hadoop.fs.azure.account.oauth2.token.max.age": " 5 ",
    "spark.hadoop.parquet.encryption.footer.key": "k1",
    "spark.hadoop.parquet.encryption.column.keys": "k1:a",
    "spark.io.encryption.keySizeBits": "256",
    "spark.authenticate.secret.file": "/run/secret",
    "spark.authenticate.secretBitLength": "256",
    "spark.ssl.rpc.privateKey": "/etc/ssl/shop.pem",
    "spark.kubernetes.driver.secrets.shop": "/etc/secrets",
    "spark.kubernetes.driver.secretKeyRef.DB_PASSWORD": "shop:password",
    "spark.kubernetes.container.image.pullSecrets": "registry",
    "spark.kubernetes.kerberos.tokenSecret.name": "shop",
    "spark.kubernetes.kerberos.tokenSecret.itemKey": "hadoop",
    "spark.kubernetes.authenticate.oauthTokenFile": "token",
    "spark.kerberos.renewal.credentials": "ccache",
    "spark.kerberos.access.hadoopFileSystems": "hdfs://name:8020,abfss://lake@shop.net",
    "spark.security.credentials.hive.enabled": "false",
    "spark.security.credentials.renewalRatio": "0.75",
    "spark.security.credentials.retryWait": "1h",
    "spark.kafka.clusters.shop.sasl.token.mechanism": "SCRAM-SHA-512",
    "spark.hadoop.shop.token.path": "/run/token",
    "spark.hadoop.shop.secretName": "shop",
    "spark.yarn.am.tokenConfRegex": "^dfs.nameservices$",
    "spark.hadoop.fs.gs.auth.service.account.private.key.id": "5411bb01",
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key",
    "spark.sql.redaction.string.regex": "(?i)token=.*|://.*@",
    "spark.sql.timeTravelVersionKey": "versionAsOf",
    "spark.executorEnv.AWS_WEB_IDENTITY_TOKEN_FILE": "token",
    "spark.executorEnv.GOOGLE_APPLICATION_CREDENTIALS": "/run/shop.json",
    "spark.executorEnv.PGSSLKEY": "/run/shop.key",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseG1GC -Da.secret.file=/run/secret",
    "spark.jars.repositories": "https://host:8443/releases,https://other/@shop",
}


@pytest.mark.parametrize("name", HARMLESS_SETTINGS)
def test_what_only_says_where_a_secret_is_or_how_it_is_kept_is_none(
    tmp_path: Path, name: str
) -> None:
    setting = {name: HARMLESS_SETTINGS[name]}
    path = written(tmp_path, HERE + yaml.safe_dump({"spark": setting}))
    assert load_environment(path).spark == setting


def test_what_hadoop_itself_comes_with_is_no_secret() -> None:
    (jar,) = Path(str(pyspark.__file__)).parent.glob("jars/hadoop-client-api-*.jar")
    settings = {}
    with zipfile.ZipFile(jar) as opened:
        for name in ("core-default.xml", "yarn-default.xml", "mapred-default.xml"):
            for each in ElementTree.fromstring(opened.read(name)).iter("property"):
                if value := each.findtext("value"):
                    settings[f"spark.hadoop.{each.findtext('name')}"] = value
    assert len(settings) > 500
    found = Environment(warehouse="w", data="d", mlflow="m", spark=settings)
    assert found.spark == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("warehouse", "abfss://lake@shop.dfs.core.windows.net/w"),
        ("warehouse", "wasbs://lake@shop.blob.core.windows.net/w"),
        ("warehouse", "s3a://bucket/me@work/a:b@c"),
        ("warehouse", "/srv/me@work:a@b"),
        ("data", "/srv/me@work"),
        ("master", "k8s://https://host:6443"),
        ("master", "spark://one:7077,two:7077"),
    ],
)
def test_a_place_without_a_secret(tmp_path: Path, key: str, value: str) -> None:
    content = {**yaml.safe_load(HERE), key: value}
    assert getattr(load_environment(written(tmp_path, yaml.safe_dump(content))), key) == value


def test_a_path_to_a_store_of_mlflow_may_have_a_mark_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, HERE.replace("tables/mlflow.db", "m#.db"))
    assert load_environment(path).mlflow.endswith("/m#.db")


@pytest.mark.parametrize("folder", ["conf", "conf/env", "elsewhere"])
def test_relative_folders_start_at_what_holds_conf(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "project" / folder / "here.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HERE)
    start = tmp_path / "project" / ("elsewhere" if folder == "elsewhere" else "")
    found = load_environment(path)
    assert found.warehouse == f"{start}/tables"
    assert found.data == str(start.parent / "data")
    assert found.mlflow == f"sqlite:///{start}/tables/mlflow.db"


def test_absolute_folders_and_addresses_stay(tmp_path: Path) -> None:
    path = written(tmp_path, "warehouse: s3a://bucket/a\ndata: /srv/b\nmlflow: http://host:5000\n")
    assert load_environment(path) == Environment(
        warehouse="s3a://bucket/a", data="/srv/b", mlflow="http://host:5000"
    )


@pytest.mark.parametrize("path", sorted((PROJECT / "conf" / "env").glob("*.yaml")), ids=str)
def test_shipped_environments_load(path: Path) -> None:
    assert load_environment(path).cores >= 1
