"""Where a problem runs: ``conf/env/*.yaml`` → one frozen :class:`Environment`.

Apart from the problem, so that the same question runs on a laptop and on a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from driftline.conf import Strict, load, wrong
from driftline.connections import Connections
from driftline.errors import ConfError

_SECRET = re.compile(
    r"secret|passw(or)?d|token|credential|(access|account|private|encryption)[._-]?key(?=[.=]|$)",
    re.IGNORECASE,
)
"""Of what a setting of Spark is called whose value is a secret; ``spark.redaction.regex``, which
Spark itself hides by, knows some of them."""

_ELSEWHERE = re.compile(
    r"(file|path|enabled|name|itemkey|\.id)$|\.provider(\.|$)|\.secrets\.|secretKeyRef",
    re.IGNORECASE,
)
"""Of what one is called that only says where the secret is, or which."""

_PASSED = re.compile(rf"({_SECRET.pattern})[\w.-]*=|://[^/@\s:]*:[^/@\s]+@", re.IGNORECASE)
"""How a value has one in it: an option for the JVM, or an address with user and password."""


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
            named = _SECRET.search(str(name)) and not _ELSEWHERE.search(str(name))
            which = str(value).startswith("arn:")  # the name of a key
            if (named and not which) or _PASSED.search(str(value)):
                raise wrong(
                    "a secret in a conf file",
                    key=str(name),
                    found="not shown",
                    allowed="settings without keys, passwords and tokens",
                    hint="S3's keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, others "
                    "into a store that spark.hadoop.hadoop.security.credential.provider.path names",
                )
        return spark

    @field_validator("warehouse", "data", "master")
    @classmethod
    def _place_without_secret(cls, place: str | None) -> str | None:
        if place and _PASSED.search(place):
            raise wrong(
                "a secret in a conf file",
                found=f"{place.partition('://')[0]}://…@…",
                allowed="a place without user and password",
                hint="S3's keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
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
            found=f"{scheme}://…",  # the rest may hold a password
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
            found=f"{scheme}://…" if colon else "not shown",
            allowed="a URI without user, password and query",
            hint="MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    gateway = environment.pushgateway
    if gateway is not None and (
        not gateway.startswith(("http://", "https://")) or {"@", "?", "#"} & {*gateway}
    ):
        raise ConfError(
            "not the URL of a Pushgateway",
            file=str(path),
            key="pushgateway",
            found=f"{gateway.partition('://')[0]}://…",  # the rest may hold a password
            allowed="a URI that starts with http or https, without user, password and query",
            hint="pushgateway: http://127.0.0.1:9091",
        )
    if "://" in environment.data:
        raise ConfError(
            "deliveries are read from a file system",
            file=str(path),
            key="data",
            found=environment.data,
            allowed="a folder that the driver and all executors see",
            hint="mount the object store, or copy the deliveries",
        )
    if environment.warehouse.startswith(("s3://", "s3n://")):
        raise ConfError(
            "not how Spark calls an object store",
            file=str(path),
            key="warehouse",
            found=environment.warehouse,
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


def absolute(path: str, root: Path) -> str:
    """``path`` from ``root``; URIs (``s3a://…``) and absolute paths stay as they are."""
    return path if "://" in path else str((root / path).resolve())
