"""What happened after the as-of: the label, once the data reaches far enough to know it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from functools import reduce
from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline.events import Label
from driftline.operations import component
from driftline.windows.exact import LIMBS

Silence = tuple[datetime, datetime]
"""From when until when a source has no event of anybody."""

_TOLD_BY = 30
"""Days with events that tell what is usual."""


def silences(days: Iterable[date]) -> list[Silence]:
    """Stretches so long that deliveries must be missing: of three days or more, more than twice as
    long as any before; ``days`` (UTC) are those with an event.

    The first days tell what is usual, and none of them is said to be missing.
    """
    found, usual = list[Silence](), timedelta(days=1)
    for place, (before, after) in enumerate(pairwise(sorted(days)), 1):
        begin, end = (
            datetime.combine(day, time.min, timezone.utc)
            for day in (before + timedelta(days=1), after)
        )
        if place >= _TOLD_BY and end - begin > 2 * usual:
            found.append((begin, end))
        else:
            usual = max(usual, end - begin)
    return found


def mature(
    as_ofs: Sequence[datetime],
    label: Label,
    watermark: datetime,
    silent: Sequence[Silence] = (),
) -> list[datetime]:
    """The as-ofs whose whole horizon lies before the newest event that is known, but for those who
    have more than half of it in a silence: that nobody did anything then tells of no one.
    """
    return [
        each
        for each in as_ofs
        if each + timedelta(days=label.horizon) <= watermark and not _unheard(each, label, silent)
    ]


def _unheard(as_of: datetime, label: Label, silent: Sequence[Silence]) -> bool:
    until = as_of + timedelta(days=label.horizon)
    missing = [min(until, end) - max(as_of, begin) for begin, end in silent]
    return any(2 * each > until - as_of for each in missing)


def outcomes(
    tiles: DataFrame, as_ofs: Sequence[datetime], label: Label, *, entity: str
) -> DataFrame:
    """(entity, as_of, _outcome): events, or their sum, in (as-of, as-of + horizon].

    An event counts whenever it arrived: the label is what happened, not what was known. Beside it
    ``_first`` and ``_last``: between which times the events lie, in microseconds since 1970.
    """
    times, day = F.array(*(F.lit(each) for each in as_ofs)), F.col("_day")
    after = F.filter(
        times,
        lambda each: (F.to_date(each) < day) & (day <= F.date_add(F.to_date(each), label.horizon)),
    )
    events = component("events", label.where).name
    happened = tiles.where((F.col("_part") == "") & (F.col(events) > 0)).withColumn(
        "as_of", F.explode(after)
    )
    if label.value is None:
        outcome = F.sum(events).cast("double")
    else:
        amount, units = component("sum", label.where, label.value).name, LIMBS["sum"]
        outcome = reduce(
            lambda a, b: a + b,
            (F.sum(f"{amount}_{place}") * F.lit(2.0**bits) for place, bits in enumerate(units)),
        )
    return happened.groupBy(entity, "as_of").agg(
        outcome.alias("_outcome"), F.min("_oldest").alias("_first"), F.max("_newest").alias("_last")
    )


def attach(
    rows: DataFrame, outcomes: DataFrame, as_ofs: Sequence[datetime], label: Label, *, entity: str
) -> DataFrame:
    """Add ``label``: null at as-ofs that are not among the mature ``as_ofs``.

    The outcomes' ``_first`` and ``_last`` stay beside it.
    """
    joined = rows.join(outcomes, on=[entity, "as_of"], how="left")
    happened = F.col("_outcome").isNotNull()
    value = {
        "none": F.when(happened, 0.0).otherwise(1.0),
        "any": F.when(happened, 1.0).otherwise(0.0),
        "sum": F.coalesce(F.col("_outcome"), F.lit(0.0)),
    }[label.outcome]
    known = F.col("as_of").isin(list(as_ofs)) if as_ofs else F.lit(False)
    return joined.withColumn("label", F.when(known, value)).drop("_outcome")
