"""Two versions of a table → ``ops.drift``: what changed, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import drift, profile, schemas
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.jobs.profiles import from_row
from driftline.ledger import Run
from driftline.problem import digest
from driftline.profile import Profile
from driftline.registry import Registry

_OURS = ("_rescued", "_delivery", "_offset", "_batch", "_arrived_at")
_APART = {
    "gold.features": ("as_of", "label"),
    "gold.predictions": (
        "as_of",
        "entity",
        "problem",
        "run_id",
        "features_version",
        "model_version",
    ),
}
"""Columns that tell rows apart or say when they were made: they differ by design."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: some rows of one version of a table."""

    table: str
    version: int
    slice: str


def run(
    line: Line,
    *,
    table: str | None = None,
    from_version: int | None = None,
    to_version: int | None = None,
) -> str:
    """Compare versions of the watched tables, or of ``table``.

    Without versions: those the champion was trained on against the newest.
    """
    tables = (table,) if table else line.problem.drift.tables
    locks = (schemas.PROFILES.full_name, schemas.DRIFT.full_name)
    with line.ledger.run("drift") as ledger, line.tables.lock(*locks):
        said = [_table(line, ledger, each, from_version, to_version) for each in tables]
        ledger.message = "; ".join(said)
        return ledger.message


def _table(line: Line, ledger: Run, table: str, first: int | None, last: int | None) -> str:
    newest = line.tables.version(table)
    current = newest if last is None else last
    reference = _reference(line, table, current) if first is None else first
    sides = _sides(line, table, reference, current)
    if reference == current:
        _profiles(line, ledger, sides[1], sides)  # the next run compares with it
        return f"{table}: nothing to compare, version {current} is the reference itself"
    thresholds = line.problem.drift.model_dump(exclude={"tables"}, mode="json")
    key = "drift:" + digest([table, reference, current, thresholds])[:16]
    ledger.read(table, current)
    if key in line.tables.committed(schemas.DRIFT.full_name):
        return f"{table}: {reference} → {current} compared before"
    before, after = (_profiles(line, ledger, side, sides) for side in sides)
    statistics = drift.compare(before, after, line.problem.drift)
    _write(line, ledger, sides, statistics, key)
    rows = sum(max((each.rows for each in side.values()), default=0) for side in (before, after))
    ledger.count(in_=rows, out=rows)
    drifted = sorted({each.column for each in statistics if each.drifted})
    verdict = f"{len(drifted)} drifted: {', '.join(drifted)}" if drifted else "calm"
    return f"{table} {reference} → {current} ({sides[1].slice}): {verdict}"


def _reference(line: Line, table: str, current: int) -> int:
    """The version the champion saw, or the first one with rows."""
    champion = Registry(line.environment.mlflow, line.problem.name).champion()
    if champion is not None and table in champion.tables:
        return min(champion.tables[table], current)
    return min(1, current)  # version 0 is the empty table


def _sides(line: Line, table: str, reference: int, current: int) -> tuple[Side, Side]:
    """Which rows are compared, by a fixed rule.

    A table with as-ofs: the newest as-of of each version. A table that only grew in between: what
    was there against what was added. Otherwise both versions as a whole.
    """
    if "as_of" in line.tables.read(table, version=current).columns:
        return Side(table, reference, "newest as-of"), Side(table, current, "newest as-of")
    old = line.tables.files(table, version=reference)
    new = line.tables.files(table, version=current)
    added = f"added since {reference}" if old < new else "whole"
    return Side(table, reference, "whole"), Side(table, current, added)


def _rows(line: Line, side: Side, reference: int) -> DataFrame:
    if side.slice.startswith("added"):
        rows = line.tables.added(side.table, since=reference, until=side.version)
    else:
        rows = line.tables.read(side.table, version=side.version)
    if side.slice == "newest as-of":
        newest = rows.agg(F.max("as_of")).first()
        if newest is None or newest[0] is None:
            raise Missing(
                f"{side.table} version {side.version} has no rows",
                where=line.tables.path(side.table),
                hint="choose another version with --from or --to",
            )
        rows = rows.where(F.col("as_of") == newest[0])
    layer, _, name = side.table.partition(".")
    apart = _APART.get(side.table, ())
    if layer in ("bronze", "silver"):
        apart = (*_OURS, line.problem.sources[name].time)  # time always moves on
    return rows.drop(*apart, line.problem.entity)


def _profiles(line: Line, ledger: Run, side: Side, sides: tuple[Side, Side]) -> dict[str, Profile]:
    """The profile of one side: read if it was made before, made in one scan if not."""
    key = "profile:" + digest([side.table, side.version, side.slice])[:16]
    if key in line.tables.committed(schemas.PROFILES.full_name):
        return _known(line, side)
    ledger.progress(f"profiling {side.table} version {side.version} ({side.slice})")
    found = profile.profiles(_rows(line, side, sides[0].version))
    values = [
        (
            side.table,
            side.version,
            side.slice,
            each.column,
            each.type,
            each.kind,
            each.rows,
            each.nulls,
            each.min,
            each.max,
            each.mean,
            each.sketch,
            dict(each.categories) if each.categories is not None else None,
            each.distinct,
            ledger.run_id,
        )
        for each in found
    ]
    ledger.wrote(line.tables.append_values(values, schemas.PROFILES, key=key))
    return {each.column: each for each in found}


def _known(line: Line, side: Side) -> dict[str, Profile]:
    rows = line.tables.read(schemas.PROFILES.full_name).where(
        (F.col("table") == side.table)
        & (F.col("version") == side.version)
        & (F.col("slice") == side.slice)
    )
    return {row.column: from_row(row) for row in rows.collect()}


def _write(
    line: Line, ledger: Run, sides: tuple[Side, Side], statistics: list[Statistic], key: str
) -> None:
    now = datetime.now(timezone.utc)
    values = [
        (
            sides[1].table,
            sides[0].version,
            sides[1].version,
            sides[1].slice,
            each.column,
            each.statistic,
            each.value,
            each.threshold,
            each.drifted,
            each.detail,
            ledger.run_id,
            now,
        )
        for each in statistics
    ]
    ledger.wrote(line.tables.append_values(values, schemas.DRIFT, key=key))
