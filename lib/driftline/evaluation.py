"""How good a model is on rows it never saw: metrics with intervals, beside simple baselines.

Intervals are percentile bootstraps over entities, see :mod:`driftline.resampling`; a comparison
draws the same ones for both. ``entity`` says whose each row is, as numbers (n,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn import metrics as sk

from driftline.metrics import METRICS, SMALLER_IS_BETTER, Floats, Integers, gained
from driftline.resampling import resamples
from driftline.sections import Decide


@dataclass(frozen=True)
class Interval:
    """A point estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def _interval(value: float, drawn: Sequence[float]) -> Interval:
    """With the percentiles of what resamples came to; those are no numbers where none was drawn."""
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (math.nan, math.nan)
    return Interval(value, float(low), float(high))


def measure(
    label: Floats, score: Floats, *, entity: Integers, task: str, seed: int
) -> dict[str, Interval]:
    """Every metric of the task with its interval."""
    metrics = METRICS[task]
    drawn = [
        [metric(label[rows], score[rows]) for metric in metrics.values()]
        for rows in resamples(label, entity, seed=seed)
    ]
    return {
        name: _interval(metric(label, score), [each[place] for each in drawn])
        for place, (name, metric) in enumerate(metrics.items())
    }


def difference(
    label: Floats,
    ours: Floats,
    theirs: Floats,
    metric: str,
    *,
    entity: Integers,
    task: str,
    seed: int,
) -> Interval:
    """By how much ``ours`` beats ``theirs`` on the same rows; above 0 is better, either way."""
    function = METRICS[task][metric]
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0

    def gain(rows: Integers) -> float:
        return sign * (function(label[rows], ours[rows]) - function(label[rows], theirs[rows]))

    drawn = [gain(rows) for rows in resamples(label, entity, seed=seed)]
    return _interval(gain(np.arange(len(label))), drawn)


def permuted(
    label: Floats,
    rows: pa.Table,
    columns: Sequence[str],
    score: Callable[[pa.Table], Floats],
    metric: str,
    *,
    task: str,
    seed: int,
    most: int = 20_000,
) -> dict[str, float]:
    """By how much the metric gets worse when a column's values are dealt out to other rows.

    Breiman 2001, Random Forests, section 10. ``score`` is the model; more rows than ``most`` are
    sampled. Near 0, of either sign: the model does not need that column beside the others.
    """
    random = np.random.default_rng(seed)
    if len(label) > most:
        chosen = random.choice(len(label), most, replace=False)
        label, rows = label[chosen], rows.take(pa.array(chosen))
    function, sign = METRICS[task][metric], 1.0 if metric in SMALLER_IS_BETTER else -1.0
    whole = function(label, score(rows))
    found = {}
    for name in columns:
        dealt = rows.column(name).take(pa.array(random.permutation(len(label))))
        shuffled = rows.set_column(rows.schema.get_field_index(name), name, dealt)
        found[name] = sign * (function(label, score(shuffled)) - whole)
    return found


@dataclass(frozen=True)
class Slice:
    """A metric on the rows that have one value of one column."""

    column: str
    value: str
    rows: int
    metric: Interval
    worse: bool
    """Whether the whole interval is on the bad side of the metric of all rows."""
    between: bool = False
    """Whether the value is a span between quartiles; else it is a row's own, or missing."""


def slices(
    label: Floats,
    score: Floats,
    columns: Mapping[str, npt.NDArray[Any]],
    metric: str,
    *,
    entity: Integers,
    task: str,
    seed: int,
    at_least: int = 50,
) -> list[Slice]:
    """The metric by value of each column, the worst first.

    A column of numbers is cut at its quartiles. Values that fewer entities than ``at_least`` have,
    or one class only, are not measured: their metric would be noise, or none.
    """
    function = METRICS[task][metric]
    smaller = metric in SMALLER_IS_BETTER
    whole = function(label, score)
    found = []
    for column, values in columns.items():
        for value, rows, between in _groups(values, at_least):
            several = task != "classification" or len(np.unique(label[rows])) > 1
            if len(np.unique(entity[rows])) >= at_least and several:
                point = function(label[rows], score[rows])
                found.append((point, column, value, rows, between))
    found.sort(key=lambda each: -each[0] if smaller else each[0])
    measured = []
    for point, column, value, rows, between in found:
        some, theirs = label[rows], score[rows]
        drawn = [
            function(some[each], theirs[each]) for each in resamples(some, entity[rows], seed=seed)
        ]
        interval = _interval(point, drawn)
        worse = interval.low > whole if smaller else interval.high < whole
        measured.append(Slice(column, value, len(some), interval, worse, between))
    return measured


def _groups(values: npt.NDArray[Any], at_least: int) -> Iterator[tuple[str, Integers, bool]]:
    """The values of a column that so many rows have, in words, and which rows those are; numbers
    between quartiles, and whether it is such a span.
    """
    if values.dtype.kind != "f":
        yield from _words(values, at_least)
        return
    missing = np.isnan(values)
    yield "missing", np.flatnonzero(missing), False
    if missing.all():
        return
    edges = np.unique(np.quantile(values[~missing], [0, 0.25, 0.5, 0.75, 1]))
    said = [f"{edge:g}" for edge in edges]
    if len(set(said)) < len(said):  # six digits do not tell them apart
        said = [repr(float(edge)) for edge in edges]
    place = np.searchsorted(edges[1:-1], values, side="left")
    for number, (low, high) in enumerate(pairwise(said)):
        mark = "[" if number == 0 else "("
        yield f"{mark}{low}, {high}]", np.flatnonzero((place == number) & ~missing), True
    if len(said) == 1:
        yield said[0], np.flatnonzero(~missing), False


def _words(values: npt.NDArray[Any], at_least: int) -> Iterator[tuple[str, Integers, bool]]:
    """Words may be as many as rows, as names are: all are counted at once, and few are told."""
    place, words = pd.factorize(values, sort=True)  # those without a word are at -1
    counts = np.bincount(place + 1, minlength=len(words) + 1)
    rows, ends = np.argsort(place, kind="stable"), np.cumsum(counts)
    for each in np.flatnonzero(counts >= at_least):
        word = str(words[each - 1]) if each else "missing"
        quoted = each and word == "missing" and counts[0]
        yield f"'{word}'" if quoted else word, rows[ends[each] - counts[each] : ends[each]], False


ALIKE = 1e-11
"""Scores that differ by less of themselves are one score, which two sums came to. Midway between
two that are not, either side is beyond what :mod:`driftline.serving.model` takes for rounding."""


def threshold(label: Floats, score: Floats, rule: Decide) -> float:
    """The score from which on the answer is 1; above all scores where it never should be.

    Ties are on one side. Of equally good thresholds it is the highest. It lies midway between two
    scores: the portable model, which decides, adds up in another order than Spark, and what has
    the very score would there be on either side of it.
    """
    levels, place = np.unique(score, return_inverse=True)
    tie = np.r_[0, np.cumsum(np.diff(levels) > ALIKE * np.abs(levels[1:]))]
    taken, hits = gained(label, tie[place].astype(np.float64))
    ones = hits[-1]
    if rule.top is not None:
        room = rule.top * len(label) * (1 + 1e-12)  # 0.29 of 100 is a little less than 29
        worth = np.where(taken <= room, taken, -1.0)
    elif rule.cost is not None:
        worth = -(rule.cost.false_alarm * (taken - hits) + rule.cost.miss * (ones - hits))
    elif rule.best == "f1":
        worth = 2 * hits / np.maximum(taken + ones, 1.0)
    else:
        worth = hits - (taken - hits)
    below = tie[-1] - int(np.argmax(worth))  # the highest tie that is not called 1
    low, high = levels[tie <= below], levels[tie > below]
    if len(low) and len(high):
        return float(low[-1] + (high[0] - low[-1]) / 2)
    end = low[-1] if len(low) else high[0]
    beyond = ALIKE * abs(end)
    return float(np.nextafter(end + beyond, np.inf) if len(low) else end - beyond)


def decided(
    label: Floats, score: Floats, at_least: float, *, entity: Integers, seed: int
) -> dict[str, Interval]:
    """What the decisions at a threshold are worth, with intervals."""
    answer = (score >= at_least).astype(np.float64)
    found = measure(label, answer, entity=entity, task="classification", seed=seed)
    return {name: found[name] for name in ("accuracy", "precision", "recall", "f1")}


def report(label: Floats, score: Floats) -> str:
    """scikit-learn's classification report, called 1 from a score of 0.5 on."""
    called = (score >= 0.5).astype(np.int64)
    return str(
        sk.classification_report(label.astype(np.int64), called, digits=4, zero_division=0.0)
    )


@dataclass(frozen=True)
class Point:
    """A point of a curve, see ``ops.curves``."""

    curve: str
    name: str | None
    x: float
    y: float
    rows: int | None


def curves(label: Floats, score: Floats, *, task: str) -> list[Point]:
    """ROC, PR, gain, calibration, confusion at 0.5, the distribution of scores; thinned to draw."""
    points = []
    if task == "classification":
        fpr, tpr, _ = sk.roc_curve(label, score)
        points += [Point("roc", None, x, y, None) for x, y in _thin(fpr, tpr)]
        precision, recall, _ = sk.precision_recall_curve(label, score)
        points += [Point("pr", None, x, y, None) for x, y in _thin(recall[::-1], precision[::-1])]
        taken, hits = gained(label, score)
        share = hits / max(hits[-1], 1.0)
        points += [Point("gain", None, x, y, None) for x, y in _thin(taken / len(label), share)]
        cells = sk.confusion_matrix(label, score >= 0.5, labels=[0, 1]).ravel()
        names = ("tn", "fp", "fn", "tp")
        points += [
            Point("confusion", name, 0.0, float(count), int(count))
            for name, count in zip(names, cells, strict=True)
        ]
    for rows in np.array_split(np.argsort(score, kind="stable"), 10):
        if len(rows):
            x, y = float(score[rows].mean()), float(label[rows].mean())
            points.append(Point("calibration", None, x, y, len(rows)))
    low, high = (0.0, 1.0) if task == "classification" else (float(score.min()), float(score.max()))
    counts, edges = np.histogram(score, bins=20, range=(low, high))
    points += [
        Point("score", None, float(edge), float(count) / len(score), int(count))
        for edge, count in zip(edges, counts, strict=False)
    ]
    return points


def _thin(x: Floats, y: Floats, most: int = 200) -> list[tuple[float, float]]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(int))
    return [(float(x[place]), float(y[place])) for place in keep]
