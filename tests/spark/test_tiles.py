"""Tile tables: what is kept a day, which days are made again, and that it comes to the same."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F

from driftline import features, operations, pins, schemas
from driftline.jobs import features as features_job
from driftline.jobs import gate, tiling
from driftline.problem import Problem

DAY = timedelta(days=1)
FIRST = datetime(2024, 1, 10, tzinfo=timezone.utc)


def problem(**changes) -> Problem:
    made = []
    for name, operation in operations.OPERATIONS.items():
        value = None if operation.value == "none" else "amount"
        value = "kind" if "categories" in operation.parts else value
        made.append({"name": name, "source": "events", "operation": name, "value": value})
        made[-1] |= {"windows": ("7d", "30d"), "where": "amount > -40"}
        made[-1] |= {"against": "60d"} if name == "ratio" else {}
    return Problem.model_validate(
        {
            "name": "tiles",
            "question": "Who comes back?",
            "task": "classification",
            "entity": "who",
            "sources": {
                "events": {
                    "path": "*.csv",
                    "format": "csv",
                    "time": "time",
                    "columns": {
                        "who": "long",
                        "time": {"type": "timestamp"},
                        "amount": "double",
                        "kind": "string",
                    },
                }
            },
            "label": {"source": "events", "horizon": "7d", "outcome": "any"},
            "population": {"source": "events"},
            "features": tuple(made),
            "cutoffs": {"first": "2024-02-01", "every": "10d"},
            "split": {"by": "random"},
            "train": {"metric": "roc_auc", "candidates": {"logistic_regression": {}}},
            "drift": {"tables": ()},
            **changes,
        }
    )


def days(spark, *numbers: int, delivery: str = "d", count: int = 10):
    """Events of some days, and one at each midnight that ends one."""
    rows = []
    for number in numbers:
        draw = random.Random(number)
        for place in range(count):
            time = FIRST + number * DAY + timedelta(seconds=draw.randrange(86_400))
            time = FIRST + (number + 1) * DAY if place == 0 else time
            amount = draw.uniform(-50, 50) * 10 ** draw.randrange(6)
            who, kind = draw.randrange(20), draw.choice("xyz")
            rows.append((who, time, amount, kind, None, delivery, len(rows), "b", time))
    columns = "who bigint, time timestamp, amount double, kind string, _rescued string"
    columns += ", _delivery string, _offset bigint, _batch string, _arrived_at timestamp"
    return spark.createDataFrame(rows, columns).coalesce(1)


@pytest.fixture
def line(open_line, tmp_path, spark):
    opened = open_line(problem(), data=tmp_path, warehouse=tmp_path)
    opened.tables.append(days(spark, *range(60)), schemas.silver(opened.problem, "events"), key="a")
    return opened


def made(line) -> tuple[Counter, frozenset[str]]:
    """Bring the tiles up to date; their rows and the files they are in."""
    version = line.tables.version("silver.events")
    with line.ledger.run("features") as ledger:
        rows = tiling.tiled(line, ledger, "events", version)
    name = "gold.tiles_events"
    counted = Counter(map(str, rows.collect()))
    return counted, frozenset(line.tables.read(name).inputFiles())


def test_a_new_day_touches_only_its_tiles_and_all_is_as_from_scratch(line, spark) -> None:
    silver = schemas.silver(line.problem, "events")
    before, files = made(line)
    version = line.tables.version("gold.tiles_events")
    assert made(line) == (before, files)
    assert line.tables.version("gold.tiles_events") == version
    # The sixtieth day, and the first one again: late events.
    for number, key, months in ((60, "new", {"2024-03-01"}), (0, "late", {"2024-01-01"})):
        rows = days(spark, number, delivery=key, count=60)
        line.tables.append(rows, silver, key=key)
        after, now = made(line)
        touched = {path.split("_month=")[1][:10] for path in files ^ now}
        assert touched == months
        assert files - now == (set() if key == "new" else {p for p in files if "2024-01" in p})
        changed = (before - after) + (after - before)
        assert changed
        ended = f"_day={(FIRST + (number + 1) * DAY).date()!r}"
        assert [row for row in changed if ended not in row] == []
        before, files = after, now
    scratch = tiling._made(line, "events", line.tables.version("silver.events"))
    wanted = tiling.table(line, "events").column_names
    assert Counter(map(str, scratch.repartition(5).select(*wanted).collect())) == before
    # And so are the features, to the last bit.
    times = features.as_ofs(line.problem.cutoffs, FIRST + 70 * DAY)
    plan = features.plan(line.problem.features, times, entity="who", asked=line.problem.population)
    kept = features.windowed(line.tables.read("gold.tiles_events"), plan)
    anew = features.windowed(scratch, plan)
    assert Counter(map(str, kept.collect())) == Counter(map(str, anew.collect()))


def test_tiles_are_made_anew_where_nobody_can_tell_what_changed(line, spark) -> None:
    """After OPTIMIZE and VACUUM the files that the tiles were made from are gone."""
    made(line)
    silver = schemas.silver(line.problem, "events")
    line.tables.append(days(spark, 60, delivery="new", count=60), silver, key="new")
    path = line.tables.path("silver.events")
    DeltaTable.forPath(spark, path).optimize().executeCompaction()
    pins.vacuum(line.tables, "silver.events", hours=0, pinned=[])
    after, _ = made(line)
    scratch = tiling._made(line, "events", line.tables.version("silver.events"))
    wanted = tiling.table(line, "events").column_names
    assert Counter(map(str, scratch.select(*wanted).collect())) == after


@pytest.mark.slow
def test_rows_that_are_gone_are_gone_from_the_tiles(line, spark) -> None:
    before, _ = made(line)
    silver = schemas.silver(line.problem, "events")
    somebody = spark.createDataFrame([(3,)], "who bigint")
    line.tables.delete(silver.full_name, matching=somebody)
    after, _ = made(line)
    assert before - after == Counter(
        {row: count for row, count in before.items() if "who=3," in row}
    )
    assert after - before == Counter()


@pytest.mark.slow
def test_other_features_make_other_tiles(line, open_line, tmp_path) -> None:
    made(line)
    count = {"name": "n", "source": "events", "operation": "count", "windows": ("7d",)}
    other = open_line(problem(features=(count,)), data=tmp_path, warehouse=tmp_path)
    rows, _ = made(other)
    columns = other.tables.read("gold.tiles_events").columns
    assert [name for name in columns if name.startswith(("sum", "std", "events"))] == [
        operations.component("events", None).name
    ]
    assert (
        sum(rows.values())
        == other.tables.read("silver.events")
        .selectExpr("who", "date(time - interval '0.000001' second)", "date(time)")
        .distinct()
        .count()
    )


def test_days_that_were_not_delivered_make_no_labels(open_line, tmp_path, spark) -> None:
    """Nobody came back then, by what is there; once they are delivered it is known who did."""
    count = {"name": "n", "source": "events", "operation": "count", "windows": ("7d",)}
    line = open_line(
        problem(features=(count,)), data=tmp_path, warehouse=tmp_path / "w", root=tmp_path
    )
    silver = schemas.silver(line.problem, "events")
    suite = gate.suite_path(line, schemas.features(line.problem))
    suite.parent.mkdir(parents=True)
    rows = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
    suite.write_text(json.dumps({"name": "features", "expectations": [rows]}))
    line.tables.append(days(spark, *range(60)), silver, key="before")
    line.tables.append(days(spark, *range(73, 81), delivery="after"), silver, key="after")
    hole = (
        "nothing of events from 2024-03-11 to 2024-03-22, as if not delivered; "
        "no labels at 1 of the as-ofs for it, the first 2024-03-12"
    )
    assert features_job.run(line).endswith(hole)

    def known() -> dict[datetime, bool]:
        rows = line.tables.read("gold.features").groupBy("as_of").agg(F.count("label").alias("n"))
        return {row.as_of: row.n > 0 for row in rows.collect()}

    times = [datetime(2024, 2, 1) + place * 10 * DAY for place in range(6)]
    assert known() == {time: time != datetime(2024, 3, 12) for time in times}
    line.tables.append(days(spark, *range(60, 73), delivery="late"), silver, key="late")
    assert "nothing of events" not in features_job.run(line)
    assert known() == dict.fromkeys(times, True)
