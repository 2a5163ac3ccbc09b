"""What comparisons found, as ``ops.drift`` and ``ops.causes`` keep it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import schemas
from driftline.attribution import Cause
from driftline.digests import digest
from driftline.drift import Statistic
from driftline.jobs.line import Line
from driftline.jobs.sides import NEWEST, Asked, Pair
from driftline.ledger import Run
from driftline.profile import column_of
from driftline.registry import Version

_BY_HAND = "asked:"
"""What a comparison is called that somebody asked for, by more than the conf has a turn ask."""

_SEGMENT = ", "
"""What stands between the slice that is compared and a segment of it."""


def name(asked: Asked, question: Any) -> str:
    """What a comparison is called: by its question, and whether a turn asks it."""
    kind = _BY_HAND if asked.by or asked.learn else "drift:"
    return kind + digest(question)[:16]


def write(
    line: Line, ledger: Run, pair: Pair, statistics: Sequence[Statistic], comparison: str
) -> None:
    """All statistics of a comparison, in one commit: it says that the comparison was made."""
    now = datetime.now(timezone.utc)
    old, new = pair.reference, pair.current
    values = [
        (
            new.table,
            old.version,
            new.version,
            old.slice,
            _slice(pair, each.segment),
            *each.cells,
            ledger.run_id,
            now,
            comparison,
        )
        for each in statistics
    ]
    ledger.wrote(line.tables.append_values(values, schemas.DRIFT, key=comparison))


def write_causes(
    line: Line, ledger: Run, pair: Pair, moved: Sequence[Cause], comparison: str
) -> None:
    """What moved the columns that drifted, if any did."""
    now = datetime.now(timezone.utc)
    new = pair.current
    head = (new.table, pair.reference.version, new.version)
    values = [
        (
            *head,
            _slice(pair, each.segment),
            each.column,
            each.statistic,
            each.kind,
            each.name,
            each.share,
            each.without,
            each.rows,
            ledger.run_id,
            now,
            comparison,
        )
        for each in moved
    ]
    if values:
        key = f"causes-{comparison}"
        ledger.wrote(line.tables.append_values(values, schemas.CAUSES, key=key))


def kept(line: Line, comparison: str) -> tuple[list[Statistic], list[Cause]]:
    """What a comparison found when it was made."""
    told = []
    for table in (schemas.DRIFT, schemas.CAUSES):
        line.tables.ensure(table)
        rows = line.tables.read(table.full_name).where(F.col("comparison") == comparison)
        told.append(rows.collect())
    found, moved = told
    causes = [
        Cause(
            row.column,
            row.statistic,
            row.kind,
            row["name"],
            row.share,
            row.without,
            row.rows,
            segment=_segment(row),
        )
        for row in moved
    ]
    return statistics(found), causes


def statistics(rows: Iterable[Row]) -> list[Statistic]:
    """Statistics as they were judged, from rows of ``ops.drift``."""
    return [
        Statistic(
            row.column,
            row.statistic,
            row.value,
            row.threshold,
            row.detail,
            bound=row.bound,
            p=row.p,
            drifted=row.drifted,
            segment=_segment(row),
        )
        for row in rows
    ]


def drifted(line: Line, champion: Version, features_version: int) -> list[str] | None:
    """The features that drifted since the champion's training; None where nobody looked."""
    features = schemas.features(line.problem).full_name
    reference = champion.tables.get(features)
    if reference == features_version:
        return []
    if not line.tables.exists(schemas.DRIFT.full_name):
        return None
    line.tables.ensure(schemas.DRIFT)  # one of an older version lacks columns
    rows = line.tables.read(schemas.DRIFT.full_name).where(
        (F.col("table") == features)
        & (F.col("from_version") == reference)
        & (F.col("to_version") == features_version)
    )
    return _newest_of(rows.select("slice", "column", "drifted", "at", "comparison").collect())


def _newest_of(rows: Sequence[Row]) -> list[str] | None:
    """The columns that drifted by the newest comparison of as-ofs that a turn asked for, none of
    segments or of spans: what older ones called drift, by other thresholds, is none any more. And
    what somebody looks into by ``--learn`` or ``--by`` decides nothing.
    """
    mine = [
        row
        for row in rows
        if row.slice == NEWEST and not (row.comparison or "").startswith(_BY_HAND)
    ]
    last = max((row.at for row in mine), default=None)
    found = {column_of(row.column) for row in mine if row.drifted and row.at == last}
    return sorted(found - {"*"}) if mine else None


def _slice(pair: Pair, segment: str) -> str:
    """The slice that is compared, or a segment of it."""
    return f"{pair.current.slice}{_SEGMENT}{segment}" if segment else pair.current.slice


def _segment(row: Row) -> str:
    """What :func:`_slice` was made from."""
    return str(row.slice).partition(_SEGMENT)[2]
