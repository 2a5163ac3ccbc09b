"""The drift job: two versions compared from profiles alone, and a clear answer to bad input."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy import stats
from tests.data_files import remove_data

from driftline import delta_log, pins, schemas, usage
from driftline.errors import Missing, TryAgain
from driftline.jobs import drift, profile, profiling, sides
from driftline.jobs.sides import Asked
from driftline.prepare import Numeric, Preparation
from driftline.problem import load_problem
from driftline.registry import Registry, Version


@pytest.fixture
def line(open_line, tmp_path, repository):
    problem = load_problem(repository / "conf" / "churn.yaml")
    segments = dict.fromkeys((str(tmp_path / "t"), "silver.orders"), ("half",))
    asked = {"tables": ("silver.orders",), "segments": segments}
    rule = problem.drift.model_copy(update=asked)
    problem = problem.model_copy(update={"drift": rule})
    return open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")


def write(spark, folder: str, rows: int, *, x: float = 0.0, kind: str = "a", **options) -> None:
    drawn = spark.range(0, rows, 1, 1).select(
        ((F.col("id") * 48_271) % 1_000 / 1_000 + x).alias("x"),
        F.lit(kind).alias("kind"),
        F.when(F.col("id") % 2 == 0, "even").otherwise("odd").alias("half"),
        F.array("id").alias("tags"),
        F.lit(None).cast("double").alias("nothing"),
        F.lit(7).alias("constant"),
    )
    drawn.write.format("delta").mode("append").options(**options).save(folder)


def dated(folder: str, at: dict[int, datetime]) -> None:
    """Commits as if made at other times."""
    for number, moment in at.items():
        times = (moment.timestamp(), moment.timestamp())
        os.utime(Path(folder, "_delta_log", f"{number:020}.json"), times)


def found(line, *, version: int) -> dict[tuple[str, str, str], tuple]:
    rows = line.tables.read(schemas.DRIFT.full_name).where(F.col("to_version") == version)
    return {(r.slice, r.column, r.statistic): r for r in rows.collect()}


def test_drift_is_found_attributed_and_costs_no_data(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 3000)
    write(spark, folder, 2000)
    write(spark, folder, 1000, x=0.6, kind="b")
    write(spark, folder, 2000)
    said = profile.run(line, table=folder, history=True)
    assert said == f"{folder}: 4 of 4 files have a profile"
    remove_data(folder)  # from here on there is nothing to read but profiles

    said = drift.run(line, table=folder, asked=Asked("0", "3"))
    assert said.startswith(f"{folder} 0 → 3 (added since 0): ")
    assert "from commit 2" in said
    rows = found(line, version=3)
    slice_ = "added since 0"
    drifted = {key[1:] for key, row in rows.items() if row.drifted and key[0] == slice_}
    assert {("x", "js"), ("kind", "new")} <= drifted
    assert {column for column, _ in drifted} == {"x", "kind"}
    # 1000 of 5000 rows lie 0.6 higher: the distribution functions are 0.2 · 0.6 apart
    assert rows[slice_, "x", "ks"].value == pytest.approx(0.12, abs=rows[slice_, "x", "ks"].bound)
    assert rows[slice_, "kind", "new"].value == pytest.approx(0.2)
    assert rows[slice_, "kind", "new"].detail == "new b"
    assert rows[slice_, "tags", "skipped"].detail == "array<bigint> is not profiled"
    assert rows[slice_, "nothing", "null_rate"].value == 0.0
    assert rows[slice_, "constant", "ks"].value == 0.0
    assert rows[slice_, "*", "volume"].detail == "5,000 rows added to 3,000"
    assert rows[f"{slice_}, half=odd", "kind", "new"].value == pytest.approx(0.2)
    assert {row.from_slice for row in rows.values()} == {"whole"}
    causes = line.tables.read(schemas.CAUSES.full_name).where("kind = 'commit'").collect()
    first = {row.column: row.name for row in sorted(causes, key=lambda row: row.share)}
    assert first["kind"] == first["x"] == "2"

    # Who is woken gives it again: it says the same. What is kept of the run has no values.
    words = r"psi 1\.\d\d: \w: [\d.]+% → [\d.]+%, new b, also in half=even, half=odd"
    assert re.search(rf"2 of 6 columns drifted: kind \({words}\), x \(\w+ 0", said), said
    again = drift.run(line, table=folder, asked=Asked("0", "3"))
    assert again == said.replace("(added since 0)", "(added since 0; compared before)")
    runs = line.tables.read(schemas.RUNS.full_name).where("stage = 'drift'").collect()
    words = r"2 of 6 columns drifted: kind \(psi 1\.\d\d, also in 2 segments\), x \("
    for row in runs:
        assert re.search(words, row.message)
        assert "half=" not in row.message and "mean" not in row.message
    assert len(runs) == 2
    again = drift.run(line, table=folder, asked=Asked("3", "0"))
    assert again.startswith(f"{folder} 3 → 0 (whole): ")
    same = drift.run(line, table=folder, asked=Asked("1", "1"))
    assert same == f"{folder}: nothing to compare, version 1 is the reference itself"


def test_by_a_column_and_by_what_calm_history_taught(spark, line, tmp_path) -> None:
    """A table that always swayed so much: 0.3 in the first step, which is said to be calm."""
    folder = str(tmp_path / "u")
    for x in (0.0, 0.3, 0.0, 0.3):
        write(spark, folder, 1000, x=x)
    said = drift.run(line, table=folder, asked=Asked("2", "3"))
    assert "(added since 2): 1 of 6 columns drifted: x (" in said
    said = drift.run(line, table=folder, asked=Asked("2", "3", by="half", learn=2))
    assert said.endswith(" (added since 2; thresholds of 2 steps): calm")
    rows = line.tables.read(schemas.DRIFT.full_name).where("statistic = 'ks' and column = 'x'")
    slices = {row.slice: row for row in rows.orderBy("at").collect()}  # the newest of each
    assert set(slices) == {"added since 2", *(f"added since 2, half={h}" for h in ("odd", "even"))}
    for row in slices.values():
        assert row.value == pytest.approx(0.2, abs=row.bound + 0.002)
        assert row.threshold == pytest.approx(1.25 * 0.3, abs=0.005)
        assert not row.drifted

    write(spark, folder, 10, x=0.3)  # as few rows as never
    assert drift.run(line, table=folder, asked=Asked("3", "4")).endswith(": calm")
    said = drift.run(line, table=folder, asked=Asked("3", "4", learn=30))
    assert said.endswith(
        " (added since 3; thresholds of 3 steps, not of 30): the table changed "
        "(volume 0.99: 1,000 rows in calm steps → 10 rows)"
    )
    rows = line.tables.read(schemas.DRIFT.full_name).where("statistic = 'volume' AND drifted")
    [row] = rows.collect()
    assert (row.value, row.threshold) == pytest.approx((0.99, 0.2))
    assert row.detail == "1,000 rows in calm steps → 10 rows"
    with pytest.raises(Missing, match="no step of versions up to 0 to learn") as caught:
        drift.run(line, table=folder, asked=Asked("0", "1", learn=30))
    assert caught.value.exit_code == 4 and caught.value.hint


def test_rows_and_freshness_have_the_thresholds_of_the_conf(spark, line) -> None:
    """Also freshness of a source's own time, of which nothing else is compared but nulls."""
    rule = line.problem.drift.model_copy(
        update={"volume": 0.5, "freshness": 3.0, "segments": {}, "tables": ("silver.orders",)}
    )
    line = replace(line, problem=line.problem.model_copy(update={"drift": rule}))
    folder, noon = line.tables.path("silver.orders"), datetime(2026, 3, 18, 12, tzinfo=timezone.utc)
    for rows, days, mode in ((1000, 10, "append"), (1000, 10, "append"), (300, 0, "overwrite")):
        newest = F.lit(noon - timedelta(days=days)) - F.expr("make_interval(0, 0, 0, int(id % 5))")
        drawn = spark.range(0, rows, 1, 1).select(newest.alias("time"), F.lit(7).alias("items"))
        drawn.write.format("delta").mode(mode).save(folder)
    dated(folder, {number: noon - timedelta(days=days) for number, days in enumerate((8, 4, 0))})
    said = drift.run(line, asked=Asked("0", "1"), table="silver.orders")
    assert said == (
        "silver.orders 0 → 1 (added since 0): 1 of 2 columns drifted: "
        "time (freshness 4.00: newest 2.0 days before → 6.0 days before the version)"
    )
    told = {key[1:]: row for key, row in found(line, version=1).items()}
    of_time = {statistic for column, statistic in told if column.partition(":")[0] == "time"}
    assert of_time == {"null_rate", "skipped", "freshness", "strays"}
    row = told["time", "freshness"]
    assert (row.value, row.threshold) == pytest.approx((4.0, 3.0))
    assert row.detail == "newest 2.0 days before → 6.0 days before the version"
    assert told["*", "volume"].threshold is None  # what is added is no share of what was there
    said = drift.run(line, asked=Asked("1", "2"), table="silver.orders")
    table = "the table changed (volume 0.85: 2,000 → 300 rows)"
    assert said == f"silver.orders 1 → 2 (whole): {table}"
    told = {key[1:]: row for key, row in found(line, version=2).items()}
    row = told["*", "volume"]
    assert (row.value, row.threshold) == pytest.approx((0.85, 0.5))
    assert told["time", "freshness"].value == 0.0
    again = Asked("1", "2")
    assert "(whole; compared before)" in drift.run(line, asked=again, table="silver.orders")
    orders = line.problem.sources["orders"].model_copy(update={"time": "items"})
    sources = {**line.problem.sources, "orders": orders}
    other = replace(line, problem=line.problem.model_copy(update={"sources": sources}))
    drift.run(other, asked=again, table="silver.orders")  # of a column that is no key any more
    told = {key[1:] for key in found(line, version=2)}
    assert ("time", "ks") in told


def plans(spark, *, after: int = -1) -> dict[int, str]:
    """How each query was run that began after another, by its number."""
    store = spark._jsparkSession.sharedState().statusStore()
    told = store.executionsList()
    listed = [told.apply(place) for place in range(told.size())]
    return {
        each.executionId(): each.physicalPlanDescription()
        for each in listed
        if each.executionId() > after
    }


@pytest.mark.slow
def test_versions_that_vacuum_took_are_compared_all_the_same(spark, line) -> None:
    """Delta's own VACUUM, of all that either version had; nor is read what is there now."""
    folder = line.tables.path("silver.orders")
    write(spark, folder, 3000)
    write(spark, folder, 1000, x=0.6, kind="b")
    spark.sql(f"DELETE FROM delta.`{folder}`")
    write(spark, folder, 2000, x=5.0)
    profile.run(line, history=True)
    took = pins.vacuum(line.tables, "silver.orders", hours=0, pinned=[])
    assert took == {"removed": 2, "kept": 0}

    usual = spark.conf.get("spark.sql.maxMetadataStringLength")
    spark.conf.set("spark.sql.maxMetadataStringLength", 10_000)  # paths as a whole
    data = re.compile(rf"Location: .*{re.escape(folder)}(?!/_delta_log)")
    try:
        before = max(plans(spark))
        said = drift.run(line, asked=Asked("0", "1"))
        told = plans(spark, after=before)
        assert told
        assert not [plan for plan in told.values() if data.search(plan)]
        line.tables.read("silver.orders").where("x > 5.5").collect()
        assert [plan for plan in plans(spark, after=max(told)).values() if data.search(plan)]
    finally:
        spark.conf.set("spark.sql.maxMetadataStringLength", usual)
    assert said.startswith("silver.orders 0 → 1 (added since 0): ")
    rows = {key[1:]: row for key, row in found(line, version=1).items() if "," not in key[0]}
    assert rows["*", "volume"].detail == "1,000 rows added to 3,000"
    values = np.arange(1000) / 1000  # so many are listed, and compared exactly
    exact = stats.ks_2samp(values, values + 0.6).statistic
    assert rows["x", "ks"].value == pytest.approx(exact, abs=1e-9)
    assert rows["x", "ks"].bound == 0.0
    assert rows["kind", "new"].value == 1.0


@pytest.mark.slow
def test_the_same_rows_in_other_files_do_not_drift(spark, line, tmp_path) -> None:
    """OPTIMIZE and a renamed column: other files, the same rows."""
    folder = str(tmp_path / "t")
    mapping = {"delta.columnMapping.mode": "name", "delta.enableDeletionVectors": "true"}
    write(spark, folder, 3000, **mapping)
    write(spark, folder, 2000, x=0.5)
    spark.sql(f"ALTER TABLE delta.`{folder}` RENAME COLUMN x TO y")
    spark.sql(f"OPTIMIZE delta.`{folder}`")
    said = drift.run(line, table=folder, asked=Asked("1", "latest"))
    assert said == f"{folder} 1 → 3 (whole): the table changed (schema: renamed x → y)"
    rows = {key[1:]: row for key, row in found(line, version=3).items()}
    assert rows["*", "schema"].detail == "renamed x → y"
    assert ("y", "ks") in rows
    drawn = line.tables.read(schemas.HISTOGRAMS.full_name).where("column = 'y'")
    assert {row.version for row in drawn.collect()} == {1, 3}
    for (column, statistic), row in rows.items():
        if column != "*":
            assert row.value <= row.bound + 1e-12, (column, statistic)
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE y > 1")
    drift.run(line, table=folder, asked=Asked("3", "4"))
    rows = {key[1:]: row for key, row in found(line, version=4).items()}
    assert rows["y", "ks"].drifted
    assert rows["y", "range"].value == 0.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_million_rows_cost_as_much_as_one(spark, line, tmp_path) -> None:
    """In as many files: the same jobs over as many bytes, none of which are the tables'."""
    cost, seconds = {}, {}
    sizes = (1_000_000, 100_000_000)
    for size in sizes:
        folder = str(tmp_path / f"t{size}")
        for rows, x in ((size, 0.0), (size // 20, 0.6)):
            spark.range(0, rows, 1, 8).select(
                (F.pmod(F.col("id") * 48_271, 1_000_003) / 1_000_003 + x).alias("x"),
                F.concat(F.lit("c"), F.col("id") % 30).alias("channel"),
                F.timestamp_seconds(1_700_000_000 + F.col("id") % 20_000_000).alias("at"),
            ).write.format("delta").mode("append").save(folder)
        profile.run(line, table=folder, history=True)
        remove_data(folder)
    for size in (*sizes, *sizes):  # what is warm is counted
        folder = str(tmp_path / f"t{size}")
        mark, started = usage.mark(spark), time.monotonic()
        asked = Asked("0", "1") if size not in cost else Asked("1", "0")
        drift.run(line, table=folder, asked=asked)
        seconds[size] = time.monotonic() - started
        cost[size] = usage.since(spark, mark)
    small, large = (cost[size] for size in sizes)
    print(f"drift of 1 M rows {seconds[sizes[0]]:.2f} s, of 100 M {seconds[sizes[1]]:.2f} s")
    assert large.jobs == small.jobs
    assert large.bytes_read <= 1.3 * small.bytes_read
    rows = line.tables.read(schemas.DRIFT.full_name).where(F.col("table") == folder)
    told = {(row.to_version, row.column, row.statistic): row for row in rows.collect()}
    # What was added lies 0.6 higher: 5 million rows beside 100, and of 105.
    for version, volume, apart in (
        (1, "5,000,000 rows added to 100,000,000", 0.6),
        (0, "105,000,000 → 100,000,000 rows", 0.6 / 21),
    ):
        assert told[version, "*", "volume"].detail == volume
        ks, same = told[version, "x", "ks"], told[version, "channel", "total_variation"]
        assert ks.value == pytest.approx(apart, abs=ks.bound)
        assert ks.bound < 0.02
        assert same.value <= same.bound + 1e-5


def test_spans(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    for x in (0.0, 0.0, 0.5):
        write(spark, folder, 1000, x=x)
    times = [each.at for each in line.tables.commits(folder, since=0, until=2)]
    span = (times[2] - times[1]) * 0.99
    pair = sides.pair(line, folder, Asked(window=span))
    assert (len(pair.current.files), pair.current.version) == (1, 2)
    with pytest.raises(Missing, match="nothing was written"):
        sides.pair(line, folder, Asked(window=span, against="same-weekday"))
    with pytest.raises(Missing, match="no champion was trained on"):
        sides.pair(line, folder, Asked(window=timedelta(days=1), against="training"))
    said = sides.version_of(line, folder, times[1].isoformat())
    assert (said, sides.version_of(line, folder, "latest")) == (1, 2)


@pytest.mark.slow
def test_spans_of_days(spark, line, tmp_path) -> None:
    """The files that were written in a span, after its beginning up to its end, though they be
    compacted since; each of so many rows that their sum says which they are.
    """
    folder, noon = str(tmp_path / "t"), datetime(2026, 3, 18, 12, tzinfo=timezone.utc)
    ages = (15, 8, 7.4, 7, 1, 0.3, 0.2, 0)  # days before the last one; at 0.2 is OPTIMIZE
    for number in range(len(ages)):
        if ages[number] == 0.2:
            spark.sql(f"OPTIMIZE delta.`{folder}`")
        else:
            write(spark, folder, 1000 * 2**number, x=0.6 if ages[number] < 1 else 0.0)
    dated(folder, {number: noon - timedelta(days=days) for number, days in enumerate(ages)})
    for last, days, against, before, now in (
        (7, 1, "previous", {4}, {5, 7}),
        (7, 1, "same-weekday", {2, 3}, {5, 7}),
        (7, 8, "previous", {0, 1}, {2, 3, 4, 5, 7}),
        (7, 8, "same-weekday", {0}, {2, 3, 4, 5, 7}),  # two weeks back: one would overlap
        (4, 7, "previous", {1}, {2, 3, 4}),
    ):
        asked = Asked(last=str(last), window=timedelta(days=days), against=against)
        pair = sides.pair(line, folder, asked)
        wrote = {file.key: each.number for each in pair.commits for file in each.added}
        both = (pair.reference, pair.current)
        assert [{wrote[file.key] for file in side.files} for side in both] == [before, now], asked
        assert [len(side.files) for side in both] == [len(before), len(now)]
        assert [side.version for side in both] == [max(before), last]
        assert (pair.champion, pair.same) == (None, False)
    said = drift.run(
        line, table=folder, asked=Asked(window=timedelta(days=1), against="same-weekday")
    )
    written = "written 2026-03-17 12:00 to 2026-03-18 12:00"
    assert said.startswith(f"{folder} 3 → 7 ({written}): 1 of 6 columns drifted: x (")
    assert re.search(r"also in half=(even, half=odd|odd, half=even)\)", said)
    rows = found(line, version=7)
    assert rows[written, "*", "volume"].detail == "12,000 → 160,000 rows"
    assert rows[written, "x", "ks"].from_version == 3
    assert rows[written, "x", "ks"].value == pytest.approx(0.6, abs=0.02)
    back = rows[written, "x", "ks"].from_slice
    assert back == "written 2026-03-10 12:00 to 2026-03-11 12:00"
    drawn = line.tables.read(schemas.HISTOGRAMS.full_name).where("column = 'x'").collect()
    assert {(row.version, row.slice) for row in drawn} == {(3, back), (7, written)}


def champion(line, tables: dict[str, int]) -> Version:
    """A champion that was trained on these versions of tables."""
    models = Registry(line.environment.mlflow, line.problem.name)
    version = models.record(
        Preparation((Numeric("x", 0.0, None, None, 0.0, 1.0),), ()).transformer(),
        trials=[],
        metrics={},
        tags={"tables": json.dumps(tables)},
        files=lambda _: {},
    )
    models.judge(version, passed=True)
    models.promote(version)
    return version


def logged(line, version: Version) -> dict[int, dict[str, float]]:
    """What MLflow says of drift beside a model, by its steps."""
    models = Registry(line.environment.mlflow, line.problem.name)
    steps: dict[int, dict[str, float]] = {}
    for name in models.metrics(version):
        told = models._client.get_metric_history(version.run_id, name)
        for each in told:
            steps.setdefault(each.step, {})[name] = each.value
        assert len(told) == len({each.step for each in told}), f"{name} was logged twice"
    return steps


@pytest.mark.slow
def test_what_the_champion_was_trained_on_is_the_reference(spark, line, monkeypatch) -> None:
    """Version 2: not the first with rows, which it is without a champion. MLflow has a comparison
    at the step of its version, once, though it was away when the first one came to be logged.
    """
    folder = line.tables.path("silver.orders")
    for x in (0.0, 0.0, 0.6, 0.6):
        write(spark, folder, 1000, x=x)
    version = champion(line, {"silver.orders": 2})

    def away(*_, **__) -> None:
        raise TryAgain("the registry cannot be reached", where="", hint="")

    with monkeypatch.context() as patched, pytest.raises(TryAgain):
        patched.setattr(Registry, "record_drift", away)
        drift.run(line)
    # By its number it is the same question, and logged as well.
    said = drift.run(line, table="silver.orders", asked=Asked("2", "3"))
    assert said.startswith("silver.orders 2 → 3 (added since 2): ")
    assert drift.run(line).startswith("silver.orders 2 → 3 (added since 2; compared before): ")
    write(spark, folder, 1000)
    now = datetime.now(timezone.utc)
    dated(folder, {number: now - timedelta(days=4 - number) for number in range(5)})
    day = Asked(window=timedelta(days=1), against="training")
    said = drift.run(line, asked=day)
    assert drift.run(line, asked=day) == said.replace("): ", "; compared before): ", 1)
    written = f"written {now - timedelta(days=1):%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M}"
    assert said.startswith(f"silver.orders 2 → 4 ({written}): ")

    told = logged(line, version)
    # Of 3,000 rows a third lies 0.6 higher; of what came after, all or none.
    for step, what, slice_, ks in (
        (3, "drift", "added since 2", 0.6 * 2 / 3),
        (4, "drift 24h", written, 0.6 / 3),
    ):
        rows = found(line, version=step)
        assert {row.from_version for row in rows.values()} == {2}
        assert rows[slice_, "x", "ks"].value == pytest.approx(ks, abs=0.02)
        assert (f"{slice_}, half=odd", "x", "ks") in rows  # not among what is logged
        judged = {
            f"{what}/silver.orders/{column}/{statistic}".replace("/*/", "/"): row.value
            for (said_of, column, statistic), row in rows.items()
            if said_of == slice_ and row.threshold is not None
        }
        columns = {
            column
            for (said_of, column, _), row in rows.items()
            if said_of == slice_ and row.drifted and column != "*"
        }
        assert "x" in columns
        judged[f"{what}/silver.orders/drifted"] = len(columns)
        assert told.pop(step) == judged
        assert len(judged) > 10
    assert not told


def test_rows_that_lie_on_are_not_written_again(spark, line, tmp_path) -> None:
    """By deletion vectors Delta lists an old file again, and one of the span twice."""
    folder = str(tmp_path / "t")
    write(spark, folder, 1000, **{"delta.enableDeletionVectors": "true"})
    write(spark, folder, 1000, x=0.3)
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE x BETWEEN 0.3095 AND 0.4005")
    spark.sql(f"UPDATE delta.`{folder}` SET kind = 'b' WHERE x > 1.2005")
    now = datetime.now(timezone.utc)
    dated(folder, {0: now - timedelta(days=1.5)})
    _, second, deleted, updated = line.tables.commits(folder, since=0, until=3)
    assert len(deleted.added) == 2
    (mine,) = {file.path for file in second.added}
    current = sides.pair(line, folder, Asked(window=timedelta(days=1))).current
    assert {file.path for file in current.files} == {mine, *(f.path for f in updated.added)}
    (kept,) = (file for file in current.files if file.path == mine)
    assert kept.deleted  # as the UPDATE left it: what it wrote anew is not counted twice
    profile.run(line, table=folder)
    with line.ledger.run("drift") as ledger:
        known = profiling.profiles(line, ledger, current.wanted)
    told = profiling.of(current.files, current.fields, known, table=folder)
    assert told["kind"].rows == 1000 - 91


def test_a_log_that_was_cleaned_up(spark, line, tmp_path) -> None:
    """It begins at a checkpoint, of which nobody knows what it wrote."""
    folder = str(tmp_path / "t")
    write(spark, folder, 50)
    every = "TBLPROPERTIES ('delta.checkpointInterval' = '2')"
    spark.sql(f"ALTER TABLE delta.`{folder}` SET {every}")
    for x in range(2, 8):
        write(spark, folder, 50, x=x)
    for number in range(4):
        Path(folder, "_delta_log", f"{number:020}.json").unlink()
    for early in Path(folder, "_delta_log").glob(f"{2:020}.checkpoint*"):
        early.unlink()
    assert line.tables.oldest(folder) == 4
    now = datetime.now(timezone.utc)
    dated(folder, {number: now + timedelta(hours=number - 3) for number in (5, 6, 7)})
    for hours, files in ((1, [1, 1]), (1.5, [1, 2])):
        pair = sides.pair(line, folder, Asked(window=timedelta(hours=hours)))
        assert [len(side.files) for side in (pair.reference, pair.current)] == files
    with pytest.raises(Missing, match="does not tell any more what was written before"):
        sides.pair(line, folder, Asked(window=timedelta(hours=3)))
    profile.run(line, table=folder)
    drift.run(line, table=folder, asked=Asked("7", "5"))
    rows = line.tables.read(schemas.CAUSES.full_name).where("kind = 'commit'").collect()
    assert {row.name for row in rows if row.column == "x"} >= {"4 or before"}


def test_what_the_champion_saw_may_be_forgotten(spark, line) -> None:
    """A turn of the cycle goes on to what would train again; who asks for the table is told."""
    folder = line.tables.path("silver.orders")
    for _ in range(3):
        write(spark, folder, 50)
    champion(line, {"silver.orders": 1})
    delta_log.log_of(spark, folder).checkpoint()
    for number in range(2):
        Path(folder, "_delta_log", f"{number:020}.json").unlink()
    gone = "the log of silver.orders does not tell version 1 any more"
    assert drift.run(line).startswith(f"silver.orders: nothing to compare, {gone}")
    for asked in (None, Asked(window=timedelta(days=1), against="training")):
        with pytest.raises(Missing, match=gone):
            drift.run(line, table="silver.orders", asked=asked)


def test_a_table_that_cannot_be_told_does_not_keep_the_others_from_it(spark, line) -> None:
    """Before anybody was scored, where a first model was refused, or with nothing in the window."""
    for _ in range(2):
        write(spark, line.tables.path("silver.orders"), 50)
    tables = ("gold.predictions", "silver.orders")
    rule = line.problem.drift.model_copy(update={"tables": tables})
    line = replace(line, problem=line.problem.model_copy(update={"drift": rule}))
    said = drift.run(line).split("; ", 1)
    assert said[0] == "gold.predictions: nothing to compare, there is no table gold.predictions"
    assert said[1].startswith("silver.orders 0 → 1 ")
    assert "nothing was written to silver.orders" in drift.run(
        line, asked=Asked(window=timedelta(days=400))
    )


def test_a_segment_that_is_declared_too_late_keeps_nothing_from_being_compared(
    spark, line, tmp_path
) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 1000)
    write(spark, folder, 1000, x=0.6)
    late = line.problem.drift
    early = late.model_copy(update={"segments": {}})
    profile.run(
        replace(line, problem=line.problem.model_copy(update={"drift": early})),
        table=folder,
        history=True,
    )
    remove_data(folder)
    gone = "2 of 2 files were removed before they were profiled by it"
    for _ in range(2):  # also where it was compared before
        said = drift.run(line, table=folder, asked=Asked("0", "1"))
        assert "x (" in said
        assert f"; of half {gone}" in said
    told = {key[1:] for key, row in found(line, version=1).items() if row.drifted}
    assert {column for column, _ in told} == {"x"}
    with pytest.raises(Missing, match="removed before they were profiled by kind"):
        drift.run(line, table=folder, asked=Asked("0", "1", by="kind"))


def test_bad_input_is_answered(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 10)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "a.parquet").write_bytes(b"PAR1")

    def refused(table: str, asked: Asked) -> str:
        with pytest.raises(Missing) as caught:
            drift.run(line, table=table, asked=asked)
        assert caught.value.exit_code == 4
        assert caught.value.hint
        return caught.value.what

    assert refused(str(bare), Asked()) == f"there is no table {bare}"
    assert refused("silver.nope", Asked()) == "there is no table silver.nope"
    assert refused(folder, Asked("0", "9")) == f"{folder} has no version 9"
    assert "has no version of 2999-01-01 00:00 yet" in refused(folder, Asked("0", "2999-01-01"))
    assert "has no version of 1999-01-01 00:00" in refused(folder, Asked("1999-01-01"))
    assert "has no column nope to compare by" in refused(folder, Asked("0", "0", by="nope"))

    write(spark, folder, 1)  # one row
    spark.sql(f"DELETE FROM delta.`{folder}`")
    rows = spark.createDataFrame([("text",)], "x string")
    rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(folder)
    told = {}
    for first, last in (("0", "1"), ("0", "2"), ("1", "3")):
        drift.run(line, table=folder, asked=Asked(first, last))
        told[last] = {key[1:]: row for key, row in found(line, version=int(last)).items()}
    assert not [key for key, row in told["1"].items() if row.drifted]
    assert told["2"]["x", "null_rate"].detail == "10 → 0 rows: nothing to compare"
    assert told["2"]["x", "null_rate"].drifted
    assert "type x double → string" in told["3"]["*", "schema"].detail
    assert told["3"]["x", "skipped"].detail == "double → string: no comparison"

    remove_data(folder)
    spark.range(3).write.format("delta").mode("append").option("mergeSchema", "true").save(folder)
    remove_data(folder)
    assert "removed before they were profiled" in refused(folder, Asked("3", "4"))
    said = profile.run(line, table=folder, history=True)
    assert said.endswith("; 2 were removed before they were profiled")
    with line.tables.lock(schemas.PROFILES.full_name), pytest.raises(TryAgain):
        profile.run(line, table=folder)
