"""A real standalone cluster, a master and two workers, gives the tables that one process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline import jars
from driftline.simulate import simulate
from driftline.tables import Tables
from small_shop import SHOP, write_project

pytestmark = pytest.mark.slow

PLACES = ("local", "cluster", "packages")
DATA_TABLES = [f"{layer}.{name}" for layer in ("bronze", "silver") for name in ("visits", "orders")]
DATA_TABLES += ["bronze.customers", "silver.customers", "ops.deliveries", "ops.rejects"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    """A small shop, a small search, and two environments: one process, or what the master says."""
    root = tmp_path_factory.mktemp("project")
    spark = {"spark.sql.shuffle.partitions": "3"}
    write_project(root, repository, {each: {"spark": spark} for each in PLACES})
    simulate(SHOP, root / "data" / "shop", months=9)
    return root


@pytest.fixture(scope="module")
def both(spark, project, cluster, command, repository) -> tuple[Tables, Tables]:
    """The line run here and there; (one process, cluster)."""
    options = ["--problem", str(project / "conf" / "churn.yaml"), "--env"]
    here = command("run", *options, "local")
    assert here.returncode == 0, here.stderr
    there = subprocess.run(
        [repository / "scripts" / "submit", "run", "--master", cluster]
        + ["--conf", "spark.executor.memory=1g", "--conf", "spark.driver.host=127.0.0.1"]
        + ["--", *options, "cluster"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert there.returncode == 0, there.stderr[-4000:]
    return Tables(spark, str(project / "local/churn")), Tables(
        spark, str(project / "cluster/churn")
    )


def test_sparks_own_command_does_the_same(
    spark, both, project, cluster, repository, multiset
) -> None:
    """As the docs have it: jars by --packages, which Ivy resolves, the package as a zip."""
    subprocess.run([repository / "scripts" / "package"], check=True, capture_output=True)
    done = subprocess.run(
        [Path(sys.executable).with_name("spark-submit"), "--master", cluster]
        + ["--packages", jars.COORDINATES, "--py-files", repository / "dist" / "driftline.zip"]
        + ["--conf", "spark.executor.memory=1g", "--conf", "spark.driver.host=127.0.0.1"]
        + [repository / "jobs" / "ingest.py", "--env", "packages"]
        + ["--problem", project / "conf" / "churn.yaml"],
        cwd=repository,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    one, other = both[0], Tables(spark, str(project / "packages/churn"))
    for table in ("bronze.visits", "bronze.orders", "bronze.customers", "ops.rejects"):
        assert multiset(other.read(table)) == multiset(one.read(table))


@pytest.mark.parametrize("table", DATA_TABLES)
def test_a_table_is_the_same(both, multiset, table) -> None:
    one, other = both
    expected = multiset(one.read(table))
    assert multiset(other.read(table)) == expected
    assert expected


def test_the_work_was_done_by_executors(both, cluster_folder) -> None:
    """A driver that did everything by itself would prove nothing."""
    logs = [each.read_text(errors="replace") for each in cluster_folder.glob("work/app-*/*/stderr")]
    begun = sum(each.count(" Running task ") for each in logs)
    _, other = both
    runs = other.read("ops.runs").collect()
    assert begun > sum(row.jobs for row in runs) > 100


def rounded(rows, multiset):
    """Sums of doubles depend on the order of rows, which no cluster promises."""
    columns = [
        F.round(name, 9).alias(name) if type_ == "double" else F.col(name)
        for name, type_ in rows.dtypes
    ]
    return multiset(rows.select(*columns))


def test_features_are_the_same(both, multiset) -> None:
    one, other = (rounded(each.read("gold.features"), multiset) for each in both)
    assert other == one
    assert one


def test_predictions_differ_by_no_more_than_rounding(both) -> None:
    one, other = (
        {(row.entity, row.as_of): row.score for row in each.read("gold.predictions").collect()}
        for each in both
    )
    assert other == {key: pytest.approx(score, abs=1e-6) for key, score in one.items()}
    assert one
