"""An environment: what is wrong in it is said, and where its folders start."""

from __future__ import annotations

from pathlib import Path

import pytest
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
                "a URI that starts with http or https, without user and password",
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
