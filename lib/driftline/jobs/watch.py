"""``ops.metrics``, ``ops.quality`` → is the newest batch of a table unlike those before it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from pyspark.sql import Window
from pyspark.sql import functions as F

from driftline import schemas, watch
from driftline.errors import Missing, did_you_mean
from driftline.jobs.line import Line

_Measured = tuple[str, str, str, str, float, str]
"""table, metric, what it is about, how that is called, value, batch.

A metric is about a column, or about what a rule demands, which is its fingerprint: a rule that was
tightened is another one, and one that got another name is the same.
"""


def run(line: Line, *, table: str | None = None) -> str:
    """Judge the newest batch of every table, or of one; returns what is unusual, in words."""
    with line.ledger.run("watch") as ledger:
        there = line.tables.exists(schemas.METRICS.full_name)
        measured = _of(table, list(_history(line)) if there else [])
        told, judged, young = _unusual(measured)
        ledger.message = f"{len(told)} of {judged} metrics are unusual" + (
            f", {young} have fewer than {watch.LEAST} batches before" if young else ""
        )
        return "\n".join([ledger.message, *told])


def _of(table: str | None, measured: Sequence[_Measured]) -> list[_Measured]:
    """What was measured of one table, or of all; :class:`Missing` where nothing was: a watch that
    watches nothing does not say that all is well.
    """
    if not measured:
        raise Missing(
            "nothing has been measured yet",
            where=schemas.METRICS.full_name,
            hint="run `driftline validate`: it measures every batch it lets through",
        )
    names = sorted({each[0] for each in measured})
    if table is not None and table not in names:
        known = f"measured are {', '.join(names)}"
        raise Missing(
            f"nothing has been measured of {table}",
            where=schemas.METRICS.full_name,
            hint=did_you_mean(table, names, otherwise=known),
        )
    return [each for each in measured if table in (None, each[0])]


def _unusual(measured: Sequence[_Measured]) -> tuple[list[str], int, int]:
    """What is unusual of the newest batches, in lines; how many metrics were judged, and how many
    were not for want of batches before. A metric that the newest batch of its table does not have,
    as of a rule that is gone, is left alone.
    """
    newest = {name: batch for name, metric, *_, batch in measured if metric == "rows"}
    rows = {(name, batch): value for name, metric, *_, value, batch in measured if metric == "rows"}
    told, judged, young = [], 0, 0
    for (name, metric, _), alike in groupby(measured, key=lambda each: each[:3]):
        *earlier, (*_, shown, value, batch) = alike
        if batch != newest[name]:
            continue
        before = [each for *_, each, _ in earlier]
        if len(before) < watch.LEAST:
            young += 1
            continue
        judged += 1
        found = watch.unusual(metric, before, value, rows=rows[name, batch])
        if found:
            what = " ".join(filter(None, (name, shown, metric)))
            told.append(
                f"  {what}: {value:,.4g}, expected {found.low:,.4g} to {found.high:,.4g} "
                f"after {len(before)} batches"
            )
    return sorted(told), judged, young


def _history(line: Line) -> Iterator[_Measured]:
    """Everything measured, oldest first within each metric; a batch counts once, as it was last."""
    rows = line.tables.read(schemas.METRICS.full_name).select(
        "table",
        "metric",
        F.coalesce("column", F.lit("")).alias("about"),
        F.coalesce("column", F.lit("")).alias("shown"),
        "value",
        "batch",
        "at",
    )
    batches = rows.select("table", "batch").distinct()
    last_judged = F.max("at").over(Window.partitionBy("table", "batch"))
    rules = line.tables.read(schemas.QUALITY.full_name).withColumn("last_at", last_judged)
    rules = rules.where((F.col("at") == F.col("last_at")) & (F.col("element_count") > 0))
    shares = rules.join(batches, ["table", "batch"], "left_semi").select(
        "table",
        F.lit("broken_rate").alias("metric"),
        F.col("fingerprint").alias("about"),
        F.col("rule").alias("shown"),
        (F.col("unexpected_count") / F.col("element_count")).alias("value"),
        "batch",
        "at",
    )
    last: dict[tuple[str, ...], _Measured] = {}
    for row in rows.unionByName(shares.where("value IS NOT NULL")).orderBy("at").collect():
        key = (row.table, row.metric, row.about, row.batch)
        last.pop(key, None)
        last[key] = (row.table, row.metric, row.about, row.shown, row.value, row.batch)
    yield from sorted(last.values(), key=lambda each: each[:3])
