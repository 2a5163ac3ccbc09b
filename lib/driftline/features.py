"""Point-in-time features: one row an entity and as-of, from nothing that happened later.

An event counts for a window of *d* days at an as-of *T* when ``T − d < event time ≤ T``.
Each source is aggregated once for all as-ofs and windows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from driftline.problem import Problem
from driftline.sections import Cutoffs, Feature, Population

_DAY = 86_400.0

EMPTY_IS_ZERO = ("count", "sum", "distinct", "frequency", "trend")
"""Operations whose value is 0, not unknown, for an entity without events in the window."""


def as_ofs(cutoffs: Cutoffs, until: datetime) -> list[datetime]:
    """The cut-offs from the first one to ``until``, ascending, midnight UTC."""
    day = datetime(cutoffs.first.year, cutoffs.first.month, cutoffs.first.day, tzinfo=timezone.utc)
    found = []
    while day <= until:
        found.append(day)
        day += timedelta(days=cutoffs.every)
    return found


def at_as_ofs(events: DataFrame, times: Sequence[datetime], *, time: str) -> DataFrame:
    """Each event once for every as-of that may see it; adds ``as_of`` and ``_age`` in days."""
    as_of = F.explode(F.array(*(F.lit(each) for each in times))).alias("as_of")
    seen = events.select("*", as_of).where(F.col(time) <= F.col("as_of"))
    age = (_seconds(F.col("as_of")) - _seconds(F.col(time))) / _DAY
    return seen.withColumn("_age", age)


def population(events: DataFrame, rule: Population, *, entity: str) -> DataFrame:
    """Who is asked about at each as-of: (entity, as_of), from events at as-ofs."""
    asked = events.where(_condition(rule.where) & F.col(entity).isNotNull())
    if rule.within is not None:
        asked = asked.where(F.col("_age") < rule.within)
    return asked.select(entity, "as_of").distinct()


def windowed(
    events: DataFrame, features: Sequence[Feature], *, entity: str, time: str
) -> DataFrame:
    """One row an (entity, as_of) with every window of every feature of one source."""
    longest = max(max(feature.windows) for feature in features)
    columns = [
        aggregate(feature, days, time=time).alias(name)
        for feature in features
        for name, days in zip(feature.columns, feature.windows, strict=True)
    ]
    recent = events.where((F.col("_age") < longest) & F.col(entity).isNotNull())
    return recent.groupBy(entity, "as_of").agg(*columns)


def aggregate(feature: Feature, days: int, *, time: str) -> Column:
    """The aggregate of one feature over one window, as a column of doubles.

    - count, sum, mean, distinct: of the events' value; a mean without events is null
    - recency: days from the last event to the as-of; the window's length without one
    - frequency: calendar days (UTC) with an event
    - gap: mean days between one day with an event and the next; null below two such days
    - trend: (events in the newer half − in the older half) / events, from −1 to 1
    """
    inside = _condition(feature.where) & (F.col("_age") < days)
    value = F.expr(feature.value) if feature.value else F.lit(None)
    day = F.when(inside, F.to_date(time))
    if feature.operation == "count":
        result = F.count_if(inside)
    elif feature.operation == "sum":
        result = F.coalesce(F.sum(F.when(inside, value)), F.lit(0))
    elif feature.operation == "mean":
        result = F.avg(F.when(inside, value))
    elif feature.operation == "distinct":
        # collect_set, not count(distinct): several of those multiply the rows in one aggregation.
        result = F.size(F.collect_set(F.when(inside, value)))
    elif feature.operation == "recency":
        result = F.coalesce(F.min(F.when(inside, F.col("_age"))), F.lit(days))
    elif feature.operation == "frequency":
        result = F.size(F.collect_set(day))
    elif feature.operation == "gap":
        between = F.size(F.collect_set(day)) - 1
        result = F.when(between > 0, F.date_diff(F.max(day), F.min(day)) / between)
    else:
        events = F.count_if(inside)
        newer = F.count_if(inside & (F.col("_age") < days / 2))
        result = F.when(events > 0, (2 * newer - events) / events).otherwise(F.lit(0))
    return result.cast("double")


def attributes(profiles: DataFrame, names: Sequence[str], *, entity: str, time: str) -> DataFrame:
    """The latest non-later profile row of each entity at each as-of, from profiles at as-ofs.

    Rows with the same time are told apart by the delivery they came in, then by their place in it.
    """
    latest = Window.partitionBy(entity, "as_of").orderBy(
        F.col(time).desc(), F.col("_delivery").desc(), F.col("_offset").desc()
    )
    ranked = profiles.where(F.col(entity).isNotNull()).withColumn(
        "_rank", F.row_number().over(latest)
    )
    return ranked.where(F.col("_rank") == 1).select(entity, "as_of", *names)


def join(asked: DataFrame, parts: Sequence[DataFrame], problem: Problem) -> DataFrame:
    """Everything known about whoever is asked about; what did not happen is 0, not null."""
    rows = asked
    for part in parts:
        rows = rows.join(part, on=[problem.entity, "as_of"], how="left")
    filled = []
    for feature in problem.features:
        for name, days in zip(feature.columns, feature.windows, strict=True):
            if feature.operation in EMPTY_IS_ZERO:
                filled.append(F.coalesce(F.col(name), F.lit(0.0)).alias(name))
            elif feature.operation == "recency":
                filled.append(F.coalesce(F.col(name), F.lit(float(days))).alias(name))
            else:
                filled.append(F.col(name))
    profile = problem.profile.attributes if problem.profile else ()
    return rows.select(problem.entity, "as_of", *filled, *profile)


def _condition(where: str | None) -> Column:
    """A SQL condition as a column; unknown (null) counts as no."""
    return F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(True)


def _seconds(time: Column) -> Column:
    return F.unix_micros(time.cast("timestamp")) / 1e6
