"""Tiles: what is kept of one entity's events of one day, so that days add up to windows.

A tile's ``day`` is the midnight (UTC) that ends it: it holds the events in (day − 1 d, day], so
that a window (T − d, T] at a midnight T is whole tiles and never a part of one. An event at
midnight itself belongs to the day it ends, but to the calendar ``date`` it begins.

Numbers are added up exactly, in whole numbers, and do not depend on the order of the events, on
partitions, or on which tiles were made when: see :func:`limbs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.operations import Component
from driftline.problem import Problem
from driftline.schemas import Column as Described
from driftline.schemas import Table, type_of
from driftline.windows.exact import BITS, LARGEST, LIMBS

KEY = ("_month", "_day", "_date", "_known")
"""Beside the entity: month and day in which the tile ends, the calendar date of its events, the
first midnight at which they were known."""

_MICROSECOND = "INTERVAL '0.000001' SECOND"


def moment(time: str) -> Column:
    """A time or date column as a timestamp; a date is its first moment."""
    return F.col(time).cast("timestamp")


def arrival(column: str | None) -> Column:
    """When a row arrived: the source's own column where it has one, else when it was ingested."""
    ingested = F.col("_arrived_at")
    return F.coalesce(moment(column), ingested) if column else ingested


def believable(time: str, column: str | None) -> Column:
    """Whether a row's time is not after its own arrival: one that is was told by a wrong clock."""
    return moment(time) <= arrival(column)


def midnight(time: Column) -> Column:
    """The first midnight that is not before ``time``, as a date; null where none has a year of
    four digits, as after no time.
    """
    last = F.lit("9999-12-31").cast("timestamp")
    return F.when(time <= last, F.date_add(F.to_date(time - F.expr(_MICROSECOND)), 1))


def tiles(
    events: DataFrame,
    components: Sequence[Component],
    *,
    entity: str,
    time: str,
    arrived: Column,
    late: bool,
) -> DataFrame:
    """One row a tile; events without entity or time are nobody's and no time's.

    ``late``: events that arrived after their day has ended get tiles of their own, whose ``known``
    is later. Else an event is known when it happens.
    """
    at = moment(time)
    known = F.greatest(at, arrived) if late else at
    dated = events.where(F.col(entity).isNotNull() & F.col(time).isNotNull()).select(
        "*",
        F.trunc(midnight(at), "MM").alias("_month"),
        midnight(at).alias("_day"),
        F.to_date(at).alias("_date"),
        midnight(known).alias("_known"),
        at.alias("_at"),
        arrived.alias("_arrival"),
    )
    group = (entity, *KEY)
    numbers = [each for each in components if each.kind != "categories"]
    inputs = dated.select(
        *group,
        "_at",
        "_arrival",
        F.struct("_at", "_known", "_delivery", "_offset").alias("_order"),
        *(_input(each).alias(each.name) for each in numbers),
    )
    found = [
        inputs.groupBy(*group)
        .agg(
            F.min(F.unix_micros("_at")).alias("_oldest"),
            F.max(F.unix_micros("_at")).alias("_newest"),
            F.max(F.unix_micros("_arrival")).alias("_arrived"),
            *(column for each in numbers for column in _aggregates(each)),
        )
        .withColumns({"_part": F.lit(""), "_category": F.lit(None).cast("string")})
    ]
    for each in components:
        if each.kind == "categories":
            category = F.when(_condition(each.where), F.expr(each.value or "").cast("string"))
            counted = dated.select(*group, category.alias("_category")).where(
                F.col("_category").isNotNull()
            )
            found.append(
                counted.groupBy(*group, "_category")
                .agg(F.count("*").alias("_events"))
                .withColumn("_part", F.lit(each.name))
            )
    return reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), found)


def limbs(value: Column, units: Sequence[int]) -> list[Column]:
    """A double as whole numbers of each power of 2 in ``units``, summed over a group.

    Whole numbers are added up exactly in any order, doubles are not. Bits below the last unit,
    2^-72, are cut off.
    """
    found = []
    for bits in units:
        below = value if bits == units[0] else value % F.lit(2.0 ** (bits + BITS))
        limb = (below / F.lit(2.0**bits)).cast("bigint")
        found.append(F.coalesce(F.sum(limb), F.lit(0)))
    return found


def _condition(where: str | None) -> Column:
    """A SQL condition as a column; unknown (null) counts as no."""
    return F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(True)


def _input(component: Component) -> Column:
    """What of an event a component adds up; null: not of this event."""
    inside = _condition(component.where)
    if component.value is None:
        return F.when(inside, F.lit(1))
    number = F.expr(component.value).cast("double")
    # Not a number, or not a finite one: there is nothing that could be added up.
    return F.when(inside & (F.abs(number) < F.lit(LARGEST)), number)


def _aggregates(component: Component) -> list[Column]:
    """The aggregates of one component, named as in :func:`columns`."""
    value, kind = F.col(component.name), component.kind
    given = value.isNotNull()
    if kind in ("events", "values"):
        found = [F.count(value)]
    elif kind == "late":
        noon = F.timestamp_seconds(F.unix_date("_day") * 86_400 - 43_200)
        found = [F.count(F.when(F.col("_at") > noon, value))]
    elif kind == "newest":
        found = [F.max(F.when(given, F.unix_micros("_at")))]
    elif kind == "sum":
        found = limbs(value, LIMBS[kind])
    elif kind == "squares":
        # The square in three parts: 24 bits by 24 and by 29 are exact, the rest is far below.
        high = value.cast("float").cast("double")
        low = value - high
        parts = [limbs(each, LIMBS[kind]) for each in (high * high, high * low * 2, low * low)]
        found = [reduce(Column.__add__, same) for same in zip(*parts, strict=True)]
    elif kind in ("min", "max"):
        found = [F.min(value) if kind == "min" else F.max(value)]
    else:
        order, at = F.when(given, F.col("_order")), F.when(given, F.unix_micros("_at"))
        first = kind == "first"
        found = (
            [F.min(at), F.min_by(value, order)] if first else [F.max(at), F.max_by(value, order)]
        )
    return [column.alias(name) for column, (name, _) in zip(found, columns(component), strict=True)]


def table(problem: Problem, source: str, components: Sequence[Component]) -> Table:
    """``gold.tiles_<source>``: one row an entity and day, and one more a category of a day."""
    parts = [
        Described(name, type_, component.words)
        for component in components
        for name, type_ in columns(component)
    ]
    entity = Described(problem.entity, type_of(problem, source, problem.entity), "The entity")
    return Table(
        "gold",
        f"tiles_{source}",
        f"Daily partial aggregates of {source}: days add up to the windows of gold.features",
        (
            entity,
            Described("_month", "date", "First day of the month that _day is in"),
            Described("_day", "date", "The midnight (UTC) that ends the day the events are of"),
            Described("_date", "date", "Calendar date of the events: the day before, or _day"),
            Described("_known", "date", "The first midnight at which the events were known"),
            Described("_part", "string", "Empty; or the component that is counted by category"),
            Described("_category", "string", "The category, where _part names such a component"),
            Described("_events", "bigint", "Number of events of the category"),
            Described("_oldest", "bigint", "Time of the first event, microseconds since 1970"),
            Described("_newest", "bigint", "Time of the last event, microseconds since 1970"),
            Described("_arrived", "bigint", "Time of the last arrival, microseconds since 1970"),
            *parts,
        ),
        statistics=("_day",),
        partition=("_month",),
    )


def columns(component: Component) -> list[tuple[str, str]]:
    """The columns of a component in a tile table, with their types."""
    name, kind = component.name, component.kind
    if kind == "categories":  # rows of their own: _part, _category, _events
        return []
    if kind in LIMBS:
        return [(f"{name}_{place}", "bigint") for place in range(len(LIMBS[kind]))]
    if kind in ("first", "last"):
        return [(f"{name}_at", "bigint"), (name, "double")]
    return [(name, "double" if kind in ("min", "max") else "bigint")]
