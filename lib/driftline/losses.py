"""How wrong a regression has to be expected to be before labels come: errors by score.

Direct loss estimation (NannyML's documentation, "How it works: performance estimation"): what a row
will lose is learnt from rows the model never saw, and averaged over the rows of a period. NannyML
learns it by a second model of features and score. Here it is a table by score alone, so that all a
period needs is how many rows have a score in which row of the table: counts of any two parts of it
add up to those of both.

It follows errors that grow with the score, and periods with other scores (covariate shift). It
rests on two assumptions: rows with one score err as such rows did, whatever their features are, and
scores are among those that were seen. The second is looked at here; the first breaks when what rows
do changes (concept drift), which only labels tell: :func:`driftline.performance.assumption`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from driftline.evaluation import Interval, Point
from driftline.metrics import Floats, Integers
from driftline.performance import moments

_QUANTILES = (0.005, 0.01, 0.025, *(n / 20 for n in range(1, 20)), 0.975, 0.99, 0.995)
"""Where the table is cut: twentieths, and finer at the ends, where a shift puts its rows."""

_LEAST = 20
"""Held-out rows that a row of the table needs; with fewer it is one with its neighbour."""

_OUTSIDE = 0.05
"""Where more of a period's scores than this part lie outside the table, it promises nothing."""

CURVE = "loss"
_MOMENTS = ("e", "e1", "e2", "e4")
"""Mean of errors (score − label), of their sizes, squares and fourth powers."""


@dataclass(frozen=True)
class Losses:
    """What errors were by score, on ``rows`` (n,) held-out rows a bin.

    ``edges`` (n + 1,) ascend; bin i holds the scores in [edges[i], edges[i + 1]). ``errors`` has
    the mean of each of the moments a bin, (n,).
    """

    edges: Floats
    rows: Floats
    errors: Mapping[str, Floats]


def points(label: Floats, score: Floats) -> list[Point]:
    """The table as points of ``ops.curves``: x is where a bin begins, ``end`` where the last ends.

    Needs a row; bins have at least twenty, where there are as many.
    """
    kept = [0.0]
    for each in _QUANTILES:
        if min(each - kept[-1], 1 - each) * len(score) >= _LEAST:
            kept.append(each)
    starts = np.unique(np.quantile(score, kept, method="lower"))
    place, rows = _placed(starts, score)
    while len(starts) > 1 and rows.min() < _LEAST:  # many rows of one score leave few beside it
        starts = np.delete(starts, max(int(rows.argmin()), 1))
        place, rows = _placed(starts, score)
    error = score - label
    found = []
    for name, loss in zip(_MOMENTS, (error, np.abs(error), error**2, error**4), strict=True):
        means = np.bincount(place, weights=loss, minlength=len(starts)) / rows
        found += [
            Point(CURVE, name, float(x), float(y), int(n))
            for x, y, n in zip(starts, means, rows, strict=True)
        ]
    return [*found, Point(CURVE, "end", float(np.nextafter(score.max(), np.inf)), 0.0, None)]


def _placed(starts: Floats, score: Floats) -> tuple[Integers, Integers]:
    """The bin of each row, and how many rows each has."""
    place = np.searchsorted(starts, score, side="right") - 1
    return place, np.bincount(place, minlength=len(starts))


def losses(found: Sequence[Point]) -> Losses:
    """The reverse of :func:`points`, in any order."""
    by: dict[str, list[Point]] = {}
    for each in sorted(found, key=lambda point: point.x):
        by.setdefault(str(each.name), []).append(each)
    starts = [each.x for each in by[_MOMENTS[0]]]
    return Losses(
        np.array([*starts, by["end"][0].x]),
        np.array([each.rows for each in by[_MOMENTS[0]]], np.float64),
        {name: np.array([each.y for each in by[name]]) for name in _MOMENTS},
    )


@dataclass(frozen=True)
class Promise:
    """What labels have to come out as; nothing where too many scores are outside the table."""

    metrics: Mapping[str, Interval]
    outside: float
    """Share of the rows whose score is below or above all that were seen."""


def expected(known: Losses, counts: Mapping[int, int]) -> Promise:
    """RMSE, MAE and bias of ``counts`` rows a place (how many edges are at most their score).

    Intervals are normal, of sums over rows: what the table leaves open, and what the period's own
    labels will be by chance. A score outside counts as the nearest one that was seen.
    """
    bins = len(known.rows)
    n = np.zeros(bins)
    for place, rows in counts.items():
        n[min(max(place, 1), bins) - 1] += rows
    total = float(n.sum())
    outside = sum(rows for place, rows in counts.items() if not 1 <= place <= bins) / total
    if outside > _OUTSIDE:
        return Promise({}, outside)
    weight = n**2 / known.rows + n

    def mean(first: str, second: str) -> tuple[float, float]:
        value, square = known.errors[first], known.errors[second]
        spread = np.maximum(square - value**2, 0.0)
        return float(n @ value) / total, math.sqrt(float(weight @ spread)) / total

    return Promise(moments(mean("e", "e2"), mean("e1", "e2"), mean("e2", "e4")), outside)
