"""The tile tables, a step of features: daily partial aggregates of a source, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import features, tiles
from driftline.digests import digest
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.schemas import Table

FORMAT = 2
"""Counts up when tiles of the same definition change their meaning: all are made again."""


def table(line: Line, source: str) -> Table:
    """The tile table of a source."""
    return tiles.table(line.problem, source, features.components(line.problem, source))


def tiled(line: Line, ledger: Run, source: str, version: int) -> DataFrame:
    """The tiles of a version of ``silver.<source>``.

    Only days with rows in data files that came or went since the tiles were made are made again,
    from all of their events; tiles of other days are not touched. All are made again where the
    version that they were made from can no longer be read.
    """
    problem, silver, wanted = line.problem, f"silver.{source}", table(line, source)
    declared = problem.sources[source]
    definition = [
        FORMAT,
        problem.entity,
        [declared.time, declared.arrival, problem.cutoffs.known],
        [column.name for column in wanted.columns],
        [component.name for component in features.components(problem, source)],
    ]
    key = f"tiles:{digest(definition)[:16]}"
    now = f"{key}:{version}"
    content = line.tables.content(wanted.full_name)
    if content == now:
        return line.tables.read(wanted.full_name)
    made_from = {silver: version}
    days: Sequence[date] | None = None
    if content is not None and content.startswith(f"{key}:"):
        try:
            days = _touched(line, source, int(content.rpartition(":")[2]), version)
        except Missing as error:
            ledger.progress(f"{error.what}: which days changed cannot be told")
    if days is None:
        ledger.progress(f"making the tiles of {source}")
        written = line.tables.overwrite(
            _made(line, source, version), wanted, key=now, made_from=made_from
        )
    else:
        ledger.progress(f"making the tiles of {len(days)} days of {source}")
        written = line.tables.replace(
            _made(line, source, version, days),
            wanted,
            where=_those(days),
            key=now,
            made_from=made_from,
        )
    ledger.wrote(written)
    return line.tables.read(wanted.full_name)


def _made(line: Line, source: str, version: int, days: Sequence[date] | None = None) -> DataFrame:
    """Tiles of all events, or of those of some days."""
    problem, declared = line.problem, line.problem.sources[source]
    events = line.tables.read(f"silver.{source}", version=version)
    if days is not None:
        at = tiles.moment(declared.time)
        if days:  # the ends let Delta skip files, whose ranges of the time it knows
            before, last = min(days) - timedelta(days=1), max(days)
            events = events.where((at > F.lit(before)) & (at <= F.lit(last)))
        events = events.where(tiles.midnight(at).isin(list(days)))
    made = tiles.tiles(
        events,
        features.components(problem, source),
        entity=problem.entity,
        time=declared.time,
        arrived=tiles.arrival(declared.arrival),
        late=problem.cutoffs.known == "arrival",
    )
    if "_events" not in made.columns:
        made = made.withColumn("_events", F.lit(None).cast("bigint"))
    return made


def _touched(line: Line, source: str, since: int, until: int) -> list[date]:
    """The days of the rows that are in one of two versions of silver but not in the other."""
    time = line.problem.sources[source].time
    day = tiles.midnight(tiles.moment(time)).alias("day")
    went, came = line.tables.differing(f"silver.{source}", since, until)
    days = went.select(day).unionByName(came.select(day)).distinct()
    return sorted(row.day for row in days.collect() if row.day is not None)


def _those(days: Sequence[date]) -> str:
    """The condition that a tile is of one of the days, and in one of their months."""
    if not days:
        return "false"
    listed = ", ".join(f"DATE'{day}'" for day in days)
    months = ", ".join(f"DATE'{month}'" for month in sorted({day.replace(day=1) for day in days}))
    return f"_month IN ({months}) AND _day IN ({listed})"
