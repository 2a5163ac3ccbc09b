"""Where a problem runs: ``conf/env/*.yaml`` → one frozen :class:`Environment`.

Apart from the problem, so that the same question runs on a laptop and on a cluster.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from driftline.conf import Strict, load
from driftline.connections import Connections
from driftline.errors import ConfError


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
    if "@" in environment.mlflow:
        raise ConfError(
            "a secret in a conf file",
            file=str(path),
            key="mlflow",
            found=f"{scheme}://…@…",
            allowed="a URI without user and password",
            hint="MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    gateway = environment.pushgateway
    if gateway is not None and (not gateway.startswith(("http://", "https://")) or "@" in gateway):
        raise ConfError(
            "not the URL of a Pushgateway",
            file=str(path),
            key="pushgateway",
            found=f"{gateway.partition('://')[0]}://…",  # the rest may hold a password
            allowed="a URI that starts with http or https, without user and password",
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
