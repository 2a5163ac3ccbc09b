"""Events that are not as they should be: each has a stated outcome and a clear answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from pyspark.sql import functions as F

from driftline import certificate, features, operations, schemas, tiles
from driftline.certificate import Evidence
from driftline.errors import ConfError, Refused
from driftline.events import Feature
from driftline.jobs import features as job
from driftline.problem import Problem

DAY = timedelta(days=1)
FIRST = datetime(2024, 3, 1, tzinfo=timezone.utc)
DDL = (
    "who string, time timestamp, amount double, kind string, _rescued string, _delivery string, "
    "_offset bigint, _batch string, _arrived_at timestamp"
)


def feature(operation: str = "count", **more) -> dict:
    return {"name": "f", "source": "events", "operation": operation, "windows": ("30d",), **more}


def problem(**changes) -> Problem:
    columns = {"who": "string", "time": "timestamp", "amount": "double", "kind": "string"}
    return Problem.model_validate(
        {
            "name": "bad",
            "question": "Who comes back?",
            "task": "classification",
            "entity": "who",
            "sources": {
                "events": {"path": "-", "format": "csv", "time": "time", "columns": columns}
            },
            "label": {"source": "events", "horizon": "10d", "outcome": "any"},
            "population": {"source": "events", "within": "30d"},
            "features": (
                feature(),
                feature("sum", name="g", value="amount", windows=("365d",)),
            ),
            "profile": {"source": "events", "attributes": ("kind",)},
            "cutoffs": {"first": "2024-02-20", "every": "10d"},
            "split": {"by": "random"},
            "train": {"metric": "roc_auc", "candidates": {"logistic_regression": {}}},
            "drift": {"tables": ()},
            **changes,
        }
    )


def opened(open_line, tmp_path, spark, rows, *, more: str = "", **changes):
    """A line whose silver.events holds (who, time, amount, kind[, arrival]).

    ``more``: the names and types of columns after those.
    """
    line = open_line(problem(**changes), data=tmp_path, warehouse=tmp_path, root=tmp_path)
    width = 4 + len(more.split(",") if more else ())
    whole = [
        (*row[:width], None, "d", place, "b", row[width] if len(row) > width else row[1])
        for place, row in enumerate(rows)
    ]
    silver = schemas.silver(line.problem, "events")
    ddl = DDL.replace("kind string, ", f"kind string, {more}, ") if more else DDL
    line.tables.append(spark.createDataFrame(whole, ddl), silver, key="a")
    suite = {
        "name": "bad.gold_features",
        "expectations": [
            {
                "type": "expect_column_values_to_not_be_null",
                "kwargs": {"column": "who"},
                "meta": {"why": "A row is about somebody", "severity": "error"},
            }
        ],
    }
    folder = tmp_path / "expectations" / "bad"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gold_features.json").write_text(json.dumps(suite))
    return line


def test_each_oddity_has_its_outcome_and_is_said(open_line, tmp_path, spark) -> None:
    rows = [
        ("a", FIRST, 1.0, "x"),
        ("a", FIRST + 25 * DAY, 2.0, "old"),
        # The same moment twice: both are events, the later one in the delivery is the profile.
        ("b", FIRST + 5 * DAY, 4.0, "first"),
        ("b", FIRST + 5 * DAY, 8.0, "second"),
        (None, FIRST + 2 * DAY, 16.0, "nobody's"),
        ("c", None, 32.0, "of no time"),
        # Happens after it arrived: a wrong clock makes no label mature and no cut-off due.
        ("a", FIRST + 9_000 * DAY, 64.0, "future", FIRST + 20 * DAY),
        # The day after it has no year of four digits.
        ("a", datetime(9999, 12, 31, 12, tzinfo=timezone.utc), 128.0, "last", FIRST),
    ]
    line = opened(open_line, tmp_path, spark, rows)
    said = job.run(line, as_of=datetime(2099, 1, 1, tzinfo=timezone.utc))
    assert said == (
        "5 rows at 4 as-ofs up to 2024-03-21, 3 with a known label; "
        "nobody to ask about at 1 of the as-ofs, the first 2024-02-20; "
        "windows of up to 365 days look back further than the data, which begin 2024-03-01; "
        "the data end 2024-03-26, before --as-of; "
        "2 rows of events without who or time are nobody's; "
        "1 rows of events have the time of another one of the same who: the last by delivery "
        "and place is the profile"
    )
    found = {
        (row.who, row.as_of.strftime("%m-%d")): (row.f_30d, row.g_365d, row.kind, row.label)
        for row in line.tables.read("gold.features").collect()
    }
    assert found == {
        ("a", "03-01"): (1.0, 1.0, "x", 0.0),
        ("a", "03-11"): (1.0, 1.0, "x", 0.0),
        ("b", "03-11"): (2.0, 12.0, "second", 0.0),
        # 21 March + 10 days lies after the newest event: nobody knows yet.
        ("a", "03-21"): (1.0, 1.0, "x", None),
        ("b", "03-21"): (2.0, 12.0, "second", None),
    }
    with pytest.raises(Refused, match="no cut-off lies before the end of the data"):
        job.run(line, as_of=FIRST - 60 * DAY)
    again = [(*rows[-1][:4], None, "e", 0, "c", FIRST)]
    silver = schemas.silver(line.problem, "events")
    line.tables.append(spark.createDataFrame(again, DDL), silver, key="c")
    assert job.run(line).startswith("5 rows at 4 as-ofs up to 2024-03-21")
    failing = problem(features=(feature("sum", value="cast(kind as int)"),))
    with pytest.raises(ConfError, match="cannot be computed on every row") as caught:
        job.run(replace(line, problem=failing))
    assert caught.value.found == "CAST_INVALID_INPUT"
    evidence = line.tables.noted("gold.features", line.tables.version("gold.features"))
    assert [each["newest_event"][:10] for each in evidence["seen"]] == [
        *("2024-03-01", "2024-03-06", "2024-03-06")
    ]


@pytest.mark.parametrize(
    ("broken", "caught"),
    [
        # A day's tile that has the next day's events, or those of the day before.
        (lambda right: lambda time: F.date_sub(right(time), 1), {"events", "labels"}),
        (lambda right: lambda time: F.date_add(right(time), 1), {"labels"}),
    ],
    ids=["too early", "too late"],
)
def test_rows_that_see_too_much_give_themselves_away(
    open_line, tmp_path, spark, monkeypatch, broken, caught
) -> None:
    """Evidence is measured on the rows: a defect of what makes them does not hide itself."""
    rows = [("a", FIRST + n * DAY - timedelta(hours=1), 1.0, "x") for n in range(40)]
    line = opened(open_line, tmp_path, spark, rows, profile=None)
    monkeypatch.setattr(tiles, "midnight", broken(tiles.midnight))
    job.run(line)
    noted = line.tables.noted("gold.features", line.tables.version("gold.features"))
    evidence = Evidence.from_json(noted)
    proofs = [certificate._events(evidence), certificate._labels(evidence)]
    assert {each.check for each in proofs if not each.holds} == caught


def test_a_clock_that_its_own_arrival_gives_away(open_line, tmp_path, spark) -> None:
    """Delivered years later, all of it: what says when a row was there is the source's column."""
    today = datetime(2026, 1, 1, tzinfo=timezone.utc)
    rows = [
        ("a", FIRST, 1.0, "x", today),
        ("a", FIRST + 25 * DAY, 2.0, "y", today),
        ("a", FIRST + 600 * DAY, 3.0, "wrong", today),
    ]
    line = opened(open_line, tmp_path, spark, rows)
    silver = line.tables.read("silver.events")
    there = F.when(F.col("kind") == "wrong", F.lit(FIRST + 30 * DAY)).otherwise(F.col("time"))
    events = line.problem.sources["events"]
    told = events.model_copy(update={"arrival": "there"})
    sources = {"events": told}
    line = replace(line, problem=line.problem.model_copy(update={"sources": sources}))
    first, newest, days = job._extent(line, silver.withColumn("there", there), "events")
    assert (first, newest) == (FIRST, FIRST + 25 * DAY)
    assert set(days) == {FIRST.date(), (FIRST + 25 * DAY).date()}


def test_expressions_that_are_none(open_line, tmp_path, spark) -> None:
    line = opened(open_line, tmp_path, spark, [("a", FIRST, 1.0, "x")])
    silver = {"events": line.tables.read("silver.events")}
    wrong = {
        "features.f.where": [
            feature(where="amount >"),
            feature(where="amuont > 3"),
            feature(where="amount + 1"),
            feature(where="sum(amount) > 3"),
            feature(where="row_number() over (order by time) = 1"),
            feature(where="explode(array(true))"),
            feature(where=r"kind = r'\' or amount > (select 1) or kind = r'\'"),
            feature(where="uniform(0, 10) > amount"),
        ],
        "features.f.value": [
            feature("sum", value="kind"),
            feature("mean", value="time"),
            feature("max", value="max(amount)"),
            feature("sum", value="nothing.at.all"),
            feature("distinct", value="array(kind)"),
        ],
    }
    for key, each in ((key, each) for key, found in wrong.items() for each in found):
        asked = problem(features=(each,))
        line_ = open_line(asked, data=tmp_path, warehouse=tmp_path, root=tmp_path)
        with pytest.raises(ConfError) as caught:
            job._check_expressions(line_, silver)
        assert (caught.value.key, caught.value.found) == (key, each[key.rpartition(".")[2]])
        assert caught.value.hint
    fine = (feature("sum", value="amount > 3"), feature("distinct", name="g", value="time"))
    line_ = open_line(problem(features=fine), data=tmp_path, warehouse=tmp_path, root=tmp_path)
    job._check_expressions(line_, silver)
    label = {"source": "events", "where": "a.b", "horizon": "1d", "outcome": "any"}
    line_ = open_line(problem(label=label), data=tmp_path, warehouse=tmp_path, root=tmp_path)
    with pytest.raises(ConfError):
        job._check_expressions(line_, silver)


def computed(spark, rows, *wanted: Feature, as_of: datetime) -> list:
    parts = [part for each in wanted for part in operations.components(each.operation, each)]
    made = tiles.tiles(
        rows,
        operations.unique(parts),
        entity="who",
        time="time",
        arrived=tiles.arrival(None),
        late=False,
    )
    return features.windowed(made, features.plan(wanted, [as_of], entity="who")).collect()


@pytest.mark.slow
def test_a_million_categories_and_one_entity_with_half_of_all_events(spark) -> None:
    """The result, in the memory that tests have; how long skew takes is in the benchmark."""
    number = 1_000_000
    rows = spark.range(2 * number).select(
        F.when(F.col("id") < number, "half")
        .otherwise(F.concat(F.lit("w"), F.col("id") % 5_000))
        .alias("who"),
        (F.lit(FIRST) - F.make_interval(secs=(F.col("id") % number) * 2)).alias("time"),
        F.col("id").cast("double").alias("amount"),
        F.concat(F.lit("category "), F.col("id") % number).alias("kind"),
        F.lit("d").alias("_delivery"),
        F.col("id").alias("_offset"),
        F.lit(FIRST).alias("_arrived_at"),
    )
    wanted = [
        Feature(name=name, source="events", operation=name, value=value, windows=("30d",))
        for name, value in (("distinct", "kind"), ("count", None), ("top_share", "kind"))
    ]
    found = {row.who: tuple(row)[2:5] for row in computed(spark, rows, *wanted, as_of=FIRST)}
    assert len(found) == 5_001
    assert found["half"] == (number, number, 1 / number)
    assert found["w7"] == (200, 200, 1 / 200)
