"""An environment: what is wrong in it is said, and where its folders start."""

from __future__ import annotations

from pathlib import Path

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
            HERE.replace("tables/mlflow.db", "postgresql://me:secret@host/db"),
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
            HERE + "pushgateway: http://me:secret@gateway:9091\n",
            (
                "not the URL of a Pushgateway",
                "pushgateway",
                "http://…",
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
                "s3://lake/warehouse",
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


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("spark: {spark.hadoop.fs.s3a.secret.key: SHIBBOLETH}", "spark.hadoop.fs.s3a.secret.key"),
        ("spark: {spark.hadoop.fs.s3a.access.key: SHIBBOLETH}", "spark.hadoop.fs.s3a.access.key"),
        ("spark: {spark.ssl.keyPassword: SHIBBOLETH}", "spark.ssl.keyPassword"),
        ("spark: {fs.azure.account.key.a.net: SHIBBOLETH}", "fs.azure.account.key.a.net"),
        ("spark: {spark.authenticate.secret: 20261130}", "spark.authenticate.secret"),
        ("spark: {spark.driver.extraJavaOptions: -Da.keyStorePassword=SHIBBOLETH}", "spark.driver"),
        ("spark: {spark.jars.repositories: 'https://me:SHIBBOLETH@host/'}", "spark.jars"),
        ("pushgateway: http://gateway:9091/?token=SHIBBOLETH", "pushgateway"),
        ("pushgateway: http://gateway:9091/#SHIBBOLETH", "pushgateway"),
        ("mlflow: https://host/?api_key=SHIBBOLETH", "mlflow"),
        ("mlflow: https://me:SHIBBOLETH@host", "mlflow"),
        ("mlflow: /me@SHIBBOLETH", "mlflow"),
        ("warehouse: s3a://ID:SHIBBOLETH@bucket/folder", "warehouse"),
        ("warehouse: s3://ID:SHIBBOLETH@bucket/folder", "warehouse"),
        ("data: s3a://ID:SHIBBOLETH@bucket/folder", "data"),
    ],
)
def test_a_secret_in_an_environment_is_refused_and_not_shown(tmp_path, text, key) -> None:
    name = text.partition(":")[0]
    rest = [each for each in HERE.splitlines() if not each.startswith(name)]
    path = written(tmp_path, "\n".join([*rest, text]))
    with pytest.raises(ConfError) as caught:
        load_environment(path)
    told = str(caught.value) + repr(said(caught.value))
    assert "SHIBBOLETH" not in told and "20261130" not in told
    assert key in caught.value.key
    assert "without" in caught.value.allowed


def test_what_only_says_where_a_secret_is_is_none(tmp_path) -> None:
    settings = {
        "spark.hadoop.fs.s3a.aws.credentials.provider": "software.amazon.awssdk.Provider",
        "spark.hadoop.fs.s3a.aws.credentials.provider.mapping": "a.b.Old=a.b.New",
        "spark.hadoop.hadoop.security.credential.provider.path": "jceks://file/srv/keys.jceks",
        "spark.hadoop.fs.s3a.encryption.key": "arn:aws:kms:eu-central-1:1:key/2",
        "spark.io.encryption.keySizeBits": "256",
        "spark.authenticate.secret.file": "/run/secret",
        "spark.kubernetes.driver.secrets.shop": "/etc/secrets",
        "spark.kubernetes.kerberos.tokenSecret.name": "shop",
        "spark.security.credentials.hive.enabled": "false",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseG1GC",
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
    }
    place = {
        "warehouse": "abfss://lake@shop.dfs.core.windows.net/w",
        "data": "d",
        "mlflow": "m#.db",
    }
    path = written(tmp_path, yaml.safe_dump({**place, "spark": settings}))
    found = load_environment(path)
    assert found.spark == settings
    assert found.warehouse == place["warehouse"] and found.mlflow.endswith("/m#.db")


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
