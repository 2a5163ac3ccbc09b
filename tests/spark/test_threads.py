"""Queries at once: each knows whose it is, and none goes on behind an error."""

from __future__ import annotations

import _thread
import time
from multiprocessing.pool import ThreadPool
from threading import Barrier

import pytest
from pyspark.sql import functions as F

from driftline.errors import Missing
from driftline.jobs import drift, sides
from driftline.problem import load_problem
from driftline.threads import call, inheriting

TABLES = ("silver.orders", "silver.visits")


def test_properties_are_inherited_and_of_each_alone(spark) -> None:
    context, all_there = spark.sparkContext, Barrier(3)
    context.setLocalProperty("whose", "the caller's")
    try:

        def work(item: str) -> tuple[str, str]:
            before = context.getLocalProperty("whose")
            all_there.wait(60)
            context.setLocalProperty("whose", item)
            all_there.wait(60)
            return before, context.getLocalProperty("whose")

        with ThreadPool(3) as pool:
            found = pool.map(call, inheriting(spark, work, ["a", "b", "c"]), chunksize=1)
        assert found == [("the caller's", item) for item in "abc"]
        assert context.getLocalProperty("whose") == "the caller's"
    finally:
        context.setLocalProperty("whose", None)


@pytest.fixture
def line(spark, open_line, tmp_path, repository):
    """Two watched tables of two versions each, the second with as many rows more."""
    problem = load_problem(repository / "conf" / "churn.yaml")
    rule = problem.drift.model_copy(update={"tables": TABLES})
    problem = problem.model_copy(update={"drift": rule})
    opened = open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")
    for rows, table in zip((300, 500), TABLES, strict=True):
        for start in (0, rows):
            made = spark.range(start, start + rows, 1, 1).selectExpr("DOUBLE(id) AS x")
            made.write.format("delta").mode("append").save(opened.tables.path(table))
    return opened


def together(monkeypatch, break_: str = "") -> None:
    """A table is looked at when the other one is, too; ``break_`` cannot be read then."""
    both, pair = Barrier(2, timeout=60), sides.pair

    def met(line, table, asked):
        both.wait()
        if table == break_:
            raise OSError("the disk is gone")
        return pair(line, table, asked)

    monkeypatch.setattr(sides, "pair", met)


ASKED = sides.Asked("0", "1")


def test_tables_are_compared_at_once(line, monkeypatch) -> None:
    together(monkeypatch)
    told = drift.run(line, asked=ASKED).split("; ")
    assert [each.split()[0] for each in told if each.split()[0] in TABLES] == list(TABLES)
    volumes = line.tables.read("ops.drift").where("statistic = 'volume'")
    assert {row.table: row.detail for row in volumes.collect()} == {
        "silver.orders": "300 rows added to 300",
        "silver.visits": "500 rows added to 500",
    }
    (run,) = line.tables.read("ops.runs").collect()
    assert run.rows_in == 2 * (300 + 500)
    written = dict(map(tuple, run.tables_written))
    assert written["ops.drift"] == line.tables.version("ops.drift")


@pytest.mark.parametrize("broken", TABLES)
def test_an_error_waits_for_the_other_table(line, monkeypatch, broken) -> None:
    together(monkeypatch, break_=broken)
    with pytest.raises(OSError, match="disk"):
        drift.run(line, asked=ASKED)
    (other,) = set(TABLES) - {broken}
    rows = line.tables.read("ops.drift").select("table").distinct().collect()
    assert [row.table for row in rows] == [other]
    (run,) = line.tables.read("ops.runs").where(F.col("stage") == "drift").collect()
    assert run.status == "failed"


def test_an_interrupt_waits_for_what_is_under_way(line, monkeypatch) -> None:
    """Else it goes on writing where another run may hold the lock by then."""
    both, ended = Barrier(2, timeout=60), []

    def interrupted(line, table, asked):
        if both.wait() == 0:
            _thread.interrupt_main()
        time.sleep(2)
        ended.append(table)
        raise Missing("nothing", where=table, hint="nothing")

    monkeypatch.setattr(sides, "pair", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drift.run(line, asked=ASKED)
    assert sorted(ended) == sorted(TABLES)


def test_a_table_with_nothing_to_compare_keeps_none_back(line, monkeypatch) -> None:
    pair = sides.pair

    def gone(line, table, asked):
        if table == "silver.orders":
            raise Missing("there is no version 0", where=table, hint="another one")
        return pair(line, table, asked)

    monkeypatch.setattr(sides, "pair", gone)
    told = drift.run(line, asked=ASKED)
    assert told.startswith(
        "silver.orders: nothing to compare, there is no version 0; silver.visits"
    )
