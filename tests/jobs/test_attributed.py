"""What the cluster did is what the ledger says: hardly a core-second belongs to no stage."""

from __future__ import annotations

import importlib
import json

import pytest

from driftline.jobs import cost, cycle
from driftline.problem import load_problem
from driftline.simulate import Shop, simulate
from jobs.test_line import write_conf

pytestmark = pytest.mark.slow  # a turn of the cycle, with its training


def core_seconds(spark) -> float:
    """Run time of all tasks of the application so far, by Spark's own summary of its executors."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    writer = spark._jvm.org.apache.spark.status.api.v1.JacksonMessageWriter()
    executors = context.statusStore().executorList(False)
    told = json.loads(writer.mapper().writeValueAsString(executors))
    return sum(each["totalDuration"] for each in told) / 1000


def test_core_seconds_belong_to_stages(open_line, spark, repository, tmp_path) -> None:
    conf = write_conf(tmp_path, repository)
    simulate(Shop(customers=400), tmp_path / "data" / "shop", months=9)
    line = open_line(
        load_problem(conf), data=tmp_path / "data", warehouse=tmp_path / "w", root=tmp_path
    )
    before = core_seconds(spark)

    def stage(name: str, **arguments: object) -> None:
        importlib.import_module(f"driftline.jobs.{name}").run(line, **arguments)

    cycle.run(line, stage)
    spent = core_seconds(spark) - before
    runs = line.tables.read("ops.runs").collect()
    told = {row.stage: 0.0 for row in runs}
    for row in runs:
        told[row.stage] += row.task_seconds
    print(f"{sum(told.values()):.1f} of {spent:.1f} core-seconds: {told}")
    assert {"ingest", "validate", "features", "train", "score", "drift", "monitor"} <= set(told)
    assert 0.95 <= sum(told.values()) / spent <= 1.0

    assert "a thousand predictions: " in cost.run(line)
    rows = sum(row.rows_out or 0 for row in runs if row.stage == "score")
    assert rows > 0
    names = {each.split()[0] for each in cost.run(line, by="table").splitlines()[2:]}
    assert {"bronze.orders", "silver.orders", "gold.features", "ops.runs"} <= names
