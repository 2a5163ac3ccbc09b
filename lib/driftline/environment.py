"""Where a problem runs: ``conf/env/*.yaml`` → one frozen :class:`Environment`.

Apart from the problem, so that the same question runs on a laptop and on a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from driftline.conf import Strict, load, wrong
from driftline.connections import Connections, has_secret
from driftline.errors import ConfError

_WORD = r"secret|passw(or)?d|passphrase|token|credentials?|(?<![a-z])(pass|pwd|sas|sig)(?![a-z])"
"""What a secret is called; sas and sig are Azure's signatures."""

_IS_SECRET = re.compile(rf"({_WORD}|key)$", re.IGNORECASE)
"""The name of a setting that is a secret, unless its value says where that is."""

_MAY_BE_SECRET = re.compile(rf"{_WORD}|(account|encryption|hmac)[._-]?key\b", re.IGNORECASE)
"""One that is a secret (what follows is Azure's account) or says how secrets are handled."""

_CLASS = r"([a-z][a-z0-9_]*\.)+[A-Z]\w*"
_HOW = re.compile(
    rf"(?i:true|false)|\d+(\.\d+)?[a-z]{{0,3}}|{_CLASS}([\s,=]+{_CLASS})*|(/[\w.-]+)+|\w+://\S+"
)
"""How secrets are handled: a flag, number, duration, classes, path or address. A password may be
written like that as well, but not Azure's keys and signatures."""

_WHERE = re.compile(r"arn:\S+|(/[\w.-]+){2,}\.\w+")
"""Where a secret is: Amazon's name of a key, or a file; with a dot, which base64 has not."""

_ELSEWHERE = re.compile(
    r"[._-](?i:files?|name|alias|provider|type|mechanism|algorithm)$|(File|Name|itemKey)$"
    r"|kubernetes\..*[Ss]ecret(s|KeyRef)"  # names of secrets that Kubernetes keeps
    r"|\.footer\.key$|\.renewal\.credentials$|\.timeTravel\w+Key$"
)
"""Names of settings that only say where a secret is, or which or of what kind it is."""

_OPTION = re.compile(r"([\w.-]+)\s*=(?=\s*([^\s&;,]*))")
"""A setting in a value, of the JVM (``-Dname=value``) or behind an address (``?name=value``)."""


def _is_secret(name: str, value: str) -> bool:
    if _ELSEWHERE.search(name) or _WHERE.fullmatch(value):
        return False
    may_be = _MAY_BE_SECRET.search(name) and not _HOW.fullmatch(value)
    return bool(_IS_SECRET.search(name) or may_be)


def _has_option(text: str) -> bool:
    return any(_is_secret(name, value) for name, value in _OPTION.findall(text))


def _has_secret(name: str, value: str) -> bool:
    if name.lower().endswith("regex"):  # what Spark is to hide is a pattern of secrets
        return False
    addresses = re.split(r"\s|,(?=\w+://)", value)
    return _is_secret(name, value) or _has_option(value) or any(map(has_secret, addresses))


_INSTEAD = {
    "warehouse": "S3's keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "spark": "S3's keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, others into a store "
    "that spark.hadoop.hadoop.security.credential.provider.path names",
    "mlflow": "MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "pushgateway": "pushgateway: http://127.0.0.1:9091",
    "connections": "user:, password: and token: of a connection name the variables that hold them",
}
"""Where a secret is to be put."""


class Environment(Strict):
    """Where a problem runs: folders, Spark, MLflow, what it pulls from, where metrics go."""

    warehouse: str = Field(min_length=1)
    data: str = Field(min_length=1)
    mlflow: str = Field(min_length=1)
    master: str | None = None
    catalog: bool = False
    cores: int = Field(default=2, ge=1)
    memory_gib: float = Field(default=4, gt=0)
    spark: dict[str, str] = {}
    connections: Connections = {}
    pushgateway: str | None = None
    """URL of a Prometheus Pushgateway that the metrics of each turn are pushed to as well."""

    @field_validator("spark", mode="before")
    @classmethod
    def _without_secrets(cls, spark: Any) -> Any:
        for name, value in spark.items() if isinstance(spark, Mapping) else ():
            if isinstance(value, Mapping | tuple):
                raise wrong(
                    "not a text",
                    key=str(name),
                    found="something else, not shown because it may hold a secret",
                    allowed="a text",
                    hint='write the whole name before the colon: spark.executor.memory: "1g"',
                )
            if _has_secret(str(name), str(value).strip()):
                raise wrong(
                    "a secret in a conf file",
                    key=str(name),
                    found="not shown",
                    allowed="settings without keys, passwords and tokens",
                    hint=_INSTEAD["spark"],
                )
        return spark

    @field_validator("*", mode="before")
    @classmethod
    def _place_without_secret(cls, place: Any, field: ValidationInfo) -> Any:
        # A text where there should be none as well: the error about it would show it.
        if not isinstance(place, Mapping) and (has_secret(str(place)) or _has_option(str(place))):
            raise wrong(
                "a secret in a conf file",
                found="not shown",
                allowed="a place without user and password",
                hint=_INSTEAD.get(str(field.field_name), _INSTEAD["warehouse"]),
            )
        return place


def project_folder(conf: Path) -> Path:
    """The folder that relative paths in ``conf`` start from: the one that holds ``conf/``."""
    for folder in conf.resolve().parents:
        if folder.name == "conf":
            return folder.parent
    return conf.resolve().parent


def load_environment(path: Path) -> Environment:
    """Read an environment file; relative folders in it become absolute."""
    environment = load(Environment, path)
    root = project_folder(path)
    scheme, colon, _ = environment.mlflow.partition("://")
    if colon and scheme not in ("sqlite", "http", "https"):
        raise ConfError(
            "not an MLflow tracking store",
            file=str(path),
            key="mlflow",
            found=_scheme(environment.mlflow),
            allowed="a path to a SQLite file, or a URI that starts with sqlite, http or https",
            hint="mlflow: warehouse/mlflow.db",
        )
    # What follows a ? or # may be a key as well; in a path to a file they are letters.
    marks = {"@", "?", "#"} if scheme.startswith("http") and colon else {"@"}
    if marks & {*environment.mlflow}:
        raise ConfError(
            "a secret in a conf file, or what may be one",
            file=str(path),
            key="mlflow",
            found=_scheme(environment.mlflow),
            allowed="a URI without user, password and query",
            hint=_INSTEAD["mlflow"],
        )
    gateway = environment.pushgateway
    if gateway is not None and (
        not gateway.startswith(("http://", "https://")) or {"@", "?", "#"} & {*gateway}
    ):
        raise ConfError(
            "not the URL of a Pushgateway",
            file=str(path),
            key="pushgateway",
            found=_scheme(gateway),
            allowed="a URI that starts with http or https, without user, password and query",
            hint=_INSTEAD["pushgateway"],
        )
    if "://" in environment.data:
        raise ConfError(
            "deliveries are read from a file system",
            file=str(path),
            key="data",
            found=_scheme(environment.data),
            allowed="a folder that the driver and all executors see",
            hint="mount the object store, or copy the deliveries",
        )
    if environment.warehouse.startswith(("s3://", "s3n://")):
        raise ConfError(
            "not how Spark calls an object store",
            file=str(path),
            key="warehouse",
            found=_scheme(environment.warehouse),
            allowed="a folder, or a URI: s3a://bucket/folder",
            hint="s3a:// it is",
        )
    mlflow = environment.mlflow
    return environment.model_copy(
        update={
            "warehouse": absolute(environment.warehouse, root),
            "data": absolute(environment.data, root),
            "mlflow": mlflow if "://" in mlflow else f"sqlite:///{absolute(mlflow, root)}",
        }
    )


def _scheme(address: str) -> str:
    """What can be shown of an address: the rest may hold a secret."""
    scheme, colon, _ = address.partition("://")
    return f"{scheme}://…" if colon else "not shown"


def absolute(path: str, root: Path) -> str:
    """``path`` from ``root``; URIs (``s3a://…``) and absolute paths stay as they are."""
    return path if "://" in path else str((root / path).resolve())
