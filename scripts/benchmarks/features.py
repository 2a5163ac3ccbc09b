"""Features as of twelve months: beside one month, a query a month in Spark, and DuckDB."""

import shutil
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
from measure import Row, in_turn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import features, schemas, tiles
from driftline.environment import Environment
from driftline.jobs import tiling
from driftline.jobs.line import Line, open_line
from driftline.ledger import Ledger
from driftline.problem import Problem

_FIRST = datetime(2022, 1, 1, tzinfo=timezone.utc)
_DAYS = 730
_WINDOWS = (7, 30, 90, 365)
_OPERATIONS = {
    "count": "count(*) FILTER (WHERE {w})",
    "sum": "coalesce(sum(amount) FILTER (WHERE {w}), 0)",
    "mean": "avg(amount) FILTER (WHERE {w})",
    "max": "max(amount) FILTER (WHERE {w})",
    "frequency": "count(DISTINCT CASE WHEN {w} THEN CAST(time AS DATE) END)",
    "distinct": "count(DISTINCT CASE WHEN {w} THEN kind END)",
}
_DAY = timedelta(days=1)


def _problem() -> Problem:
    wanted = tuple(
        {
            "name": name,
            "source": "events",
            "operation": name,
            "windows": tuple(f"{days}d" for days in _WINDOWS),
            **({"value": "amount"} if name in ("sum", "mean", "max") else {}),
            **({"value": "kind"} if name == "distinct" else {}),
        }
        for name in _OPERATIONS
    )
    columns = {"who": "long", "time": "timestamp", "amount": "double", "kind": "string"}
    source = {"path": "-", "format": "csv", "time": "time", "columns": columns}
    return Problem.model_validate(
        {
            "name": "bench",
            "question": "How long does it take?",
            "task": "classification",
            "entity": "who",
            "sources": {"events": source},
            "label": {"source": "events", "horizon": "30d", "outcome": "none"},
            "population": {"source": "events", "within": "365d"},
            "features": wanted,
            "cutoffs": {"first": "2023-01-05", "every": "30d"},
            "split": {"by": "time"},
            "train": {"metric": "roc_auc", "candidates": {"logistic_regression": {}}},
            "drift": {"tables": ()},
        }
    )


def _events(line: Line, count: int, first: int, days: int) -> DataFrame:
    """Visits of a shop: 1 customer for 250 events a year, some much keener than others."""
    rows = line.spark.range(count)
    place = F.pmod(F.xxhash64("id", F.lit(first)), F.lit(1 << 40)) / F.lit(float(1 << 40))
    eager = F.pmod(F.xxhash64("id", F.lit(first + 1)), F.lit(1 << 40)) / F.lit(float(1 << 40))
    seconds = F.lit(_FIRST.timestamp() + first * 86_400) + place * days * 86_400
    return rows.select(
        F.floor(eager * eager * (count / (250 * days / 365))).alias("who"),
        F.timestamp_micros((seconds * 1e6).cast("bigint")).alias("time"),
        (F.pmod(F.hash("id"), F.lit(10_000)) / 100).alias("amount"),
        F.concat(F.lit("k"), F.pmod(F.hash("id", F.lit(1)), F.lit(20))).alias("kind"),
        F.lit(None).cast("string").alias("_rescued"),
        F.lit("d").alias("_delivery"),
        F.col("id").alias("_offset"),
        F.lit("b").alias("_batch"),
        F.timestamp_micros((seconds * 1e6).cast("bigint")).alias("_arrived_at"),
    )


def _ours(line: Line, as_ofs: list[datetime]) -> DataFrame:
    """As the job does it, tiles made anew unless they are there."""
    with line.ledger.run("features") as ledger:
        made = tiling.tiled(line, ledger, "events", line.tables.version("silver.events"))
    problem = line.problem
    plan = features.plan(problem.features, as_ofs, entity="who", asked=problem.population)
    return features.windowed(made, plan)


def _skew(line: Line, events: DataFrame, as_ofs: list[datetime], *, runs: int) -> Row:
    """Half of all events are one customer's, against as many events of many."""
    problem = line.problem
    plan = features.plan(problem.features, as_ofs, entity="who", asked=problem.population)
    one = F.when(F.col("_offset") % 2 == 0, F.lit(-1)).otherwise(F.col("who"))
    even, skewed = events.persist(), events.withColumn("who", one).persist()

    def timed(rows: DataFrame) -> float:
        made = tiles.tiles(
            rows,
            features.components(problem, "events"),
            entity="who",
            time="time",
            arrived=tiles.arrival(None),
            late=False,
        )
        started = time.monotonic()
        features.windowed(made, plan).write.format("noop").mode("overwrite").save()
        return time.monotonic() - started

    even.count(), skewed.count(), timed(even)
    a, b = in_turn(lambda: timed(skewed), lambda: timed(even), runs)
    even.unpersist(), skewed.unpersist()
    return Row("one entity has half of all events", "s", a, b, "even", "<= 2", a <= 2 * b)


def _query(as_of: datetime, table: str) -> str:
    """One month's features, as one would write them down."""
    end = f"TIMESTAMP '{as_of:%Y-%m-%d}'"
    columns = [
        f"{text.format(w=f'time > {end} - INTERVAL {days} DAY')} AS {name}_{days}d"
        for name, text in _OPERATIONS.items()
        for days in _WINDOWS
    ]
    inside = f"time > {end} - INTERVAL 365 DAY AND time <= {end}"
    return f"SELECT who, {', '.join(columns)} FROM {table} WHERE {inside} GROUP BY who"


def _check(line: Line, as_of: datetime) -> None:
    """Ours against the query of one month, value by value."""
    columns = [name for each in line.problem.features for name in each.columns]
    ours, theirs = _ours(line, [as_of]), line.spark.sql(_query(as_of, "events"))
    both = ours.alias("a").join(theirs.alias("b"), "who", "full")
    wrong = [
        F.count_if(
            F.coalesce(
                F.abs(F.col(f"a.{name}") - F.col(f"b.{name}")) > 1e-9 * F.abs(F.col(f"b.{name}")),
                ~F.col(f"a.{name}").eqNullSafe(F.col(f"b.{name}")),
            )
        )
        for name in columns
    ]
    found = both.agg(F.count("*"), *wrong).first()
    assert found is not None
    if not found[0] or any(found[1:]):
        raise RuntimeError(f"{sum(found[1:])} of {found[0] * len(columns)} values differ")


def rows(quick: bool) -> list[Row]:
    """Twelve months × windows of 7, 30, 90, 365 days × six operations."""
    count = 1_000_000 if quick else 3_000_000
    as_ofs = [datetime(2023, 1, 5, tzinfo=timezone.utc) + 30 * n * _DAY for n in range(12)]
    problem = _problem()
    with tempfile.TemporaryDirectory() as scratch:
        environment = Environment(
            warehouse=scratch, data=scratch, mlflow="none", master="local[2]", memory_gib=6
        )
        line = open_line(problem, environment, Path(scratch))
        silver = schemas.silver(problem, "events")
        line.tables.append(_events(line, count, 0, _DAYS), silver, key="a")
        folder = Path(line.tables.path("silver.events"))
        line.tables.read("silver.events").createOrReplaceTempView("events")
        _check(line, as_ofs[0])

        def ours(wanted: list[datetime]) -> float:
            fresh = Line(
                problem,
                environment,
                line.root,
                line.spark,
                type(line.tables)(line.spark, line.tables.root),
                Ledger(line.tables, problem, environment),
            )
            shutil.rmtree(line.tables.path("gold.tiles_events"), ignore_errors=True)
            started = time.monotonic()
            _ours(fresh, wanted).write.format("noop").mode("overwrite").save()
            return time.monotonic() - started

        def naive() -> float:
            started = time.monotonic()
            for each in as_ofs:
                found = line.spark.sql(_query(each, "events"))
                found.write.format("noop").mode("overwrite").save()
            return time.monotonic() - started

        def duck() -> float:
            connection = duckdb.connect()
            connection.execute("SET threads = 2")
            started = time.monotonic()
            for each in as_ofs:
                table = f"read_parquet('{folder}/*.parquet')"
                connection.execute(f"CREATE OR REPLACE TABLE found AS {_query(each, table)}")
            return time.monotonic() - started

        runs = 1 if quick else 2
        ours(as_ofs)  # warms up
        twelve, one = in_turn(lambda: ours(as_ofs), lambda: ours(as_ofs[-1:]), runs)
        a, b = in_turn(lambda: ours(as_ofs), naive, 1)
        _, c = in_turn(lambda: 0.0, duck, runs)
        line.tables.append(_events(line, count // _DAYS, _DAYS, 1), silver, key="b")
        started = time.monotonic()
        with line.ledger.run("features") as ledger:
            tiling.tiled(line, ledger, "events", line.tables.version("silver.events"))
        day = time.monotonic() - started
        started = time.monotonic()
        tiling._made(line, "events", line.tables.version("silver.events")).write.format(
            "noop"
        ).mode("overwrite").save()
        anew = time.monotonic() - started
        skew = _skew(line, _events(line, min(count, 2_000_000), 0, _DAYS), as_ofs, runs=runs)
    name = f"{count / 1e6:g} M events, 24 columns, 12 as-ofs"
    return [
        Row(name, "s", twelve, one, "one as-of", "<= 2.5", twelve <= 2.5 * one),
        Row(name, "s", a, b, "a Spark query an as-of", "<= 0.5", a <= 0.5 * b),
        Row(name, "s", a, c, "a DuckDB query an as-of", "the limit", True),
        Row("tiles of a new day", "s", day, anew, "all tiles anew", "<= 0.5", day <= 0.5 * anew),
        skew,
    ]
