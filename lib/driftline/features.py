"""Point-in-time features: one row an entity and as-of, from nothing that happened later.

An event counts for a window of *d* days at an as-of *T* when ``T − d < event time ≤ T`` and, if
asked for, when it had arrived by *T* too. Events become tiles once (``tiles.py``); the windows of
all as-ofs come from one pass over the tiles (``windows.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from driftline import operations
from driftline.digests import digest
from driftline.events import Cutoffs, Feature, Population
from driftline.operations import OPERATIONS, Component
from driftline.problem import Problem
from driftline.tiles import moment
from driftline.windows import compute
from driftline.windows.operations import Output


def asked(problem: Problem) -> str:
    """What the rows are by the problem, whatever the data: a digest of all that makes them."""
    whole = problem.model_dump(
        include={"entity", "label", "population", "features", "profile", "cutoffs"}, mode="json"
    )
    return digest([whole, {name: source.arrival for name, source in problem.sources.items()}])[:16]


def as_ofs(cutoffs: Cutoffs, until: datetime) -> list[datetime]:
    """The cut-offs from the first one to ``until``, ascending, midnight UTC."""
    day = datetime(cutoffs.first.year, cutoffs.first.month, cutoffs.first.day, tzinfo=timezone.utc)
    found = []
    while day <= until:
        found.append(day)
        day += timedelta(days=cutoffs.every)
    return found


def components(problem: Problem, source: str) -> tuple[Component, ...]:
    """What the tiles of a source have to hold for its features, the population and the label."""
    found: list[Component] = []
    for feature in problem.features:
        if feature.source == source:
            found += operations.components(feature.operation, feature)
    if problem.population.source == source:
        found.append(operations.component("events", problem.population.where))
    label = problem.label
    if label.source == source:
        found.append(operations.component("events", label.where))
        if label.value:
            found.append(operations.component("sum", label.where, label.value))
    return operations.unique(found)


def plan(
    features: Sequence[Feature],
    times: Sequence[datetime],
    *,
    entity: str,
    asked: Population | None = None,
) -> compute.Plan:
    """What to compute from the tiles of one source; ``asked`` where that source says of whom."""
    outputs = []
    for feature in features:
        parts = tuple(each.name for each in operations.components(feature.operation, feature))
        outputs += [
            Output(name, feature.operation, parts, days, feature.against or 0)
            for name, days in zip(feature.columns, feature.windows, strict=True)
        ]
    return compute.Plan(
        entity,
        tuple(compute.day_number(each.date()) for each in times),
        tuple(outputs),
        operations.component("events", asked.where).name if asked else None,
        asked.within if asked else None,
    )


def windowed(tiles: DataFrame, wanted: compute.Plan) -> DataFrame:
    """One row an (entity, as-of) with every window of every feature of one source.

    Beside them ``_newest`` and ``_arrived``: the last event and the last arrival that any of them
    may have seen, in microseconds since 1970. One shuffle of the tiles, by entity.
    """
    names = {each for output in wanted.outputs for each in output.parts}
    names |= {wanted.asked} if wanted.asked else set()
    used = [name for name in tiles.columns if name in names or name.rpartition("_")[0] in names]
    first, last, day = min(wanted.as_ofs), max(wanted.as_ofs), F.unix_date("_day")
    needed = tiles.where((day <= last) & F.col("_part").isin("", *names))
    if wanted.longest is not None:
        needed = needed.where(day > first - wanted.longest)
    ordered = needed.select(
        wanted.entity,
        *("_day", "_date", "_known", "_part", "_category", "_newest", "_arrived"),
        *(["_events"] if "_events" in tiles.columns else []),
        *used,
    )
    ordered = ordered.repartition(wanted.entity).sortWithinPartitions(
        wanted.entity, "_part", "_category", "_day", "_date", "_known"
    )
    kind = tiles.schema[wanted.entity].dataType.simpleString()
    ddl = [f"`{wanted.entity}` {kind}", "as_of timestamp"]
    ddl += [f"`{each.name}` double" for each in wanted.outputs]
    ddl += ["_newest bigint", "_arrived bigint"]
    # Not a function of this module: executors would import the conf with it.
    return ordered.mapInArrow(partial(compute.compute, plan=wanted), ", ".join(ddl))


def attributes(
    profiles: DataFrame,
    names: Sequence[str],
    times: Sequence[datetime],
    *,
    entity: str,
    time: str,
    known: Column,
    arrived: Column,
) -> DataFrame:
    """The latest profile row of each entity that was ``known`` at each as-of.

    ``_newest`` and ``_arrived`` are its time and when it ``arrived``, in microseconds. Rows with
    the same time are told apart by the delivery they came in, then by their place in it.
    """
    moments = F.array(*(F.lit(each) for each in times))
    seen_from = F.try_element_at(F.filter(moments, lambda each: each >= known), F.lit(1))
    order = F.struct(moment(time).alias("_at"), "_delivery", "_offset")
    latest = (
        profiles.where(F.col(entity).isNotNull() & F.col(time).isNotNull())
        .select(
            entity,
            seen_from.alias("_from"),
            order.alias("_order"),
            arrived.alias("_arrived"),
            *names,
        )
        .where(F.col("_from").isNotNull())
        # At most one row an as-of, however many an entity has.
        .groupBy(entity, "_from")
        .agg(F.max(F.struct("_order", "_arrived", *names)).alias("_row"))
    )
    later = Window.partitionBy(entity).orderBy(F.col("_row._order").desc())
    replaced = F.min("_from").over(later.rowsBetween(Window.unboundedPreceding, -1))
    holds = F.filter(
        moments,
        lambda each: (
            (each >= F.col("_from")) & (F.col("_until").isNull() | (each < F.col("_until")))
        ),
    )
    return latest.withColumn("_until", replaced).select(
        entity,
        F.explode(holds).alias("as_of"),
        *(F.col(f"_row.{name}") for name in names),
        F.unix_micros("_row._order._at").alias("_newest"),
        F.unix_micros("_row._arrived").alias("_arrived"),
    )


def join(asked: DataFrame, parts: Sequence[DataFrame], problem: Problem) -> DataFrame:
    """Everything known about whoever is asked about; what did not happen is 0, not null.

    ``asked`` has the features of the population's source, ``parts`` those of the other sources and
    the profile. ``_newest`` and ``_arrived`` are the last of all.
    """
    rows, seen = asked, ["_newest", "_arrived"]
    evidence = {name: [F.col(name)] for name in seen}
    for place, part in enumerate(parts):
        for name in seen:
            if name in part.columns:
                part = part.withColumnRenamed(name, f"{name}_{place}")
                evidence[name].append(F.col(f"{name}_{place}"))
        rows = rows.join(part, on=[problem.entity, "as_of"], how="left")
    filled = []
    for feature in problem.features:
        empty = OPERATIONS[feature.operation].empty
        for name, days in zip(feature.columns, feature.windows, strict=True):
            if empty == "null":
                filled.append(F.col(name))
            else:
                value = 0.0 if empty == "zero" else float(days)
                filled.append(F.coalesce(F.col(name), F.lit(value)).alias(name))
    profile = problem.profile.attributes if problem.profile else ()
    last = [
        (F.greatest(*columns) if len(columns) > 1 else columns[0]).alias(name)
        for name, columns in evidence.items()
    ]
    return rows.select(problem.entity, "as_of", *filled, *profile, *last)
