"""Whether the newest batch of a table is unlike those before: rows, nulls, rules, freshness.

Robust, so that one bad batch in the history neither hides the next nor makes an alarm of it: the
newest value is compared with the median of up to :data:`WINDOW` before it, in units of their
median absolute deviation (times 1.4826, which makes it the standard deviation of normal values),
and never finer than what counting alone lets vary. The limit is a prediction interval of Student's
t; the median absolute deviation being a rough estimate, it gets 0.4 degrees of freedom a value
(the median absolute deviation has 37 % of the efficiency of the standard deviation).

False alarms: on batches that differ by normal noise at most 1 in 100 of the values that are judged
is called unusual, from :data:`LEAST` earlier batches on; with the heavy tails of Student's t with
3 degrees of freedom at most 5 in 100. Fewer batches are not judged. Weekdays are not told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import Column, Row
from pyspark.sql import functions as F
from scipy import stats

LEAST, WINDOW = 8, 30
_ALPHA = 0.005


@dataclass(frozen=True)
class Unusual:
    """A value that its history does not lead to expect."""

    value: float
    low: float
    high: float
    """Between these it would not be called unusual."""


@dataclass(frozen=True)
class Vitals:
    """What is counted of every batch, whatever its suite says."""

    columns: tuple[str, ...]
    time: str
    arrived: str = "_arrived_at"

    def aggregates(self) -> list[Column]:
        """The same as aggregates for the one pass over Spark's rows."""
        values = [F.count(F.col(f"`{name}`")).alias(f"v{n}") for n, name in enumerate(self.columns)]
        newest = F.max(F.col(f"`{self.time}`").cast("timestamp")).alias("newest")
        return [*values, newest, F.max(self.arrived).alias("arrived")]

    def row(self, rows: int, values: Mapping[str, int], newest: Mapping[str, Any]) -> Row:
        """What those aggregates are of rows that were counted otherwise."""
        counts = {f"v{n}": values[name] for n, name in enumerate(self.columns)}
        return Row(rows=rows, **counts, newest=newest[self.time], arrived=newest[self.arrived])

    def measured(self, told: Row) -> list[tuple[str, str | None, float]]:
        """(metric, column, value) of a batch that has rows, of what the one pass told."""
        found: list[tuple[str, str | None, float]] = [("rows", None, float(told.rows))]
        found += [
            ("null_rate", name, 1 - told[f"v{n}"] / told.rows)
            for n, name in enumerate(self.columns)
        ]
        if told.newest is not None and told.arrived is not None:
            lag = (told.arrived - told.newest).total_seconds() / 3600
            found.append(("lag_hours", None, lag))
        return found


def unusual(metric: str, history: Sequence[float], value: float, *, rows: float) -> Unusual | None:
    """Judge the newest value of one metric by the earlier ones, oldest first; None: nothing to say.

    ``metric`` is ``rows`` (compared as a ratio), ``lag_hours``, or a share of ``rows`` whose name
    ends with ``_rate``.
    """
    if len(history) < LEAST:
        return None
    known = np.array([_scale(metric, each, rows) for each in history[-WINDOW:]])
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    spread = max(spread, _least_spread(metric, math.expm1(middle) if metric == "rows" else rows))
    count = len(known)
    limit = stats.t.ppf(1 - _ALPHA / 2, max(1.0, 0.4 * (count - 1)))
    reach = float(limit) * spread * math.sqrt(1 + math.pi / 2 / count)
    if abs(_scale(metric, value, rows) - middle) <= reach:
        return None
    low, high = (_unscale(metric, each, rows) for each in (middle - reach, middle + reach))
    return Unusual(value, low, high)


def _is_share(metric: str) -> bool:
    return metric.endswith("_rate")


def _scale(metric: str, value: float, rows: float) -> float:
    """Where the noise of a metric is about the same everywhere; of shares, by Anscombe (1948,
    *The transformation of Poisson, binomial and negative-binomial data*), also of few rows.
    """
    if metric == "rows":
        return math.log1p(value)
    if _is_share(metric):
        share = (min(1.0, max(0.0, value)) * rows + 3 / 8) / (rows + 3 / 4)
        return math.asin(math.sqrt(share))
    return value


def _unscale(metric: str, value: float, rows: float) -> float:
    if metric == "rows":
        return math.expm1(max(0.0, value))
    if _is_share(metric):
        share = math.sin(min(math.pi / 2, max(0.0, value))) ** 2
        return min(1.0, max(0.0, (share * (rows + 3 / 4) - 3 / 8) / max(rows, 1.0)))
    return value


def _least_spread(metric: str, rows: float) -> float:
    """What varies between batches that are the same: counts by chance, clocks by an hour."""
    if metric == "rows":
        return max(0.01, 1 / math.sqrt(1 + rows))
    return 0.5 / math.sqrt(0.5 + rows) if _is_share(metric) else 1.0
