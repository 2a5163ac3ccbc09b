"""How good a model is on rows it never saw: metrics with intervals, beside simple baselines.

Intervals are percentile bootstraps over rows (Efron 1979); a comparison resamples the same rows for
both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn import metrics as sk

from driftline.metrics import METRICS, SMALLER_IS_BETTER, Floats, gained, roc_auc
from driftline.sections import Decide

RESAMPLES = 300


@dataclass(frozen=True)
class Interval:
    """A point estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def _resamples(label: Floats, *, seed: int) -> list[npt.NDArray[np.int64]]:
    """Row numbers of each resample; classification metrics need both classes, so all-equal ones
    are drawn again.
    """
    generator = np.random.default_rng(seed)
    several = len(np.unique(label)) > 1
    drawn: list[npt.NDArray[np.int64]] = []
    while len(drawn) < RESAMPLES:
        rows = generator.integers(0, len(label), len(label))
        if not several or len(np.unique(label[rows])) > 1:
            drawn.append(rows)
    return drawn


def measure(label: Floats, score: Floats, *, task: str, seed: int) -> dict[str, Interval]:
    """Every metric of the task with its interval."""
    resamples = _resamples(label, seed=seed)
    found = {}
    for name, metric in METRICS[task].items():
        values = [metric(label[rows], score[rows]) for rows in resamples]
        low, high = np.percentile(values, [2.5, 97.5])
        found[name] = Interval(metric(label, score), float(low), float(high))
    return found


def difference(
    label: Floats, ours: Floats, theirs: Floats, metric: str, *, task: str, seed: int
) -> Interval:
    """By how much ``ours`` beats ``theirs`` on the same rows; above 0 is better, either way."""
    function = METRICS[task][metric]
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0

    def gain(rows: npt.NDArray[np.int64]) -> float:
        return sign * (function(label[rows], ours[rows]) - function(label[rows], theirs[rows]))

    values = [gain(rows) for rows in _resamples(label, seed=seed)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(gain(np.arange(len(label))), float(low), float(high))


def best_feature(
    label: Floats, features: Mapping[str, Floats], *, task: str
) -> tuple[str, float, float, float]:
    """The one column that alone predicts best on training rows.

    Returns (name, fill, slope, intercept): the baseline's score is ``intercept + slope · x`` with a
    missing x replaced by ``fill`` (the median). For classification the line is a logistic one, so
    that the score is a probability; its ranking is that of x.
    """
    best: tuple[float, str, float] | None = None
    for name, raw in features.items():
        values = raw[~np.isnan(raw)]
        if not len(values) or values.min() == values.max():
            continue
        fill = float(np.median(values))
        x = np.where(np.isnan(raw), fill, raw)
        if task == "classification":
            strength = abs(roc_auc(label, x) - 0.5)
        else:
            strength = abs(float(np.corrcoef(x, label)[0, 1]))
        if best is None or strength > best[0]:
            best = (strength, name, fill)
    if best is None:
        mean = float(np.mean(label))
        if task == "classification":  # the line is a logistic one
            tiny = np.finfo(np.float64).eps
            mean = float(np.log(max(mean, tiny) / max(1 - mean, tiny)))
        return "", 0.0, 0.0, mean
    _, name, fill = best
    x = np.where(np.isnan(features[name]), fill, features[name])
    if task == "classification":
        return name, fill, *_logistic(label, x)
    slope, intercept = np.polyfit(x, label, 1)
    return name, fill, float(slope), float(intercept)


def _logistic(label: Floats, x: Floats) -> tuple[float, float]:
    """Slope and intercept of a logistic line that ranks as the values do, or their reverse,
    whichever tells more: a few far values can turn a fitted one the other way.
    """
    from sklearn.linear_model import LogisticRegression

    rises = roc_auc(label, x) >= 0.5
    low, high = np.quantile(x, [0.01, 0.99])
    slope, values = 0.0, x
    for values in (x, np.clip(x, low, high)):
        spread = float(values.std()) or 1.0
        line = LogisticRegression().fit(((values - values.mean()) / spread).reshape(-1, 1), label)
        slope = float(line.coef_[0, 0]) / spread
        if (slope >= 0) == rises:
            break
    slope = math.copysign(slope, 1.0 if rises else -1.0)
    return slope, float(line.intercept_[0]) - slope * float(values.mean())


def predict_by_line(x: Floats, fill: float, slope: float, intercept: float, task: str) -> Floats:
    """The baseline's scores, see :func:`best_feature`."""
    line = intercept + slope * np.where(np.isnan(x), fill, x)
    if task == "classification":
        return np.asarray(1 / (1 + np.exp(-np.clip(line, -500, 500))))
    return np.asarray(line)


def fit_three(label: Floats, values: Floats, *, task: str) -> Callable[[Floats], Floats]:
    """A regression, logistic for classes: n × 3 training values → scores of others; :mod:`rfm`.

    What is missing (NaN) is the column's median; numbers are standardised.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    last: Any = LogisticRegression() if task == "classification" else LinearRegression()
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    model = make_pipeline(fill, StandardScaler(), last).fit(values, label)

    def score(others: Floats) -> Floats:
        found: Floats = (
            model.predict_proba(others)[:, 1] if task == "classification" else model.predict(others)
        )
        return found

    return score


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


def slices(
    label: Floats,
    score: Floats,
    columns: Mapping[str, npt.NDArray[Any]],
    metric: str,
    *,
    task: str,
    seed: int,
    at_least: int = 50,
) -> list[Slice]:
    """The metric by value of each column, the worst first.

    A column of numbers is cut at its quartiles. Values with fewer rows than ``at_least``, or with
    one class only, are not measured: their metric would be noise, or none.
    """
    function = METRICS[task][metric]
    smaller = metric in SMALLER_IS_BETTER
    whole = function(label, score)
    found = []
    for column, values in columns.items():
        for value, rows in _groups(values).items():
            several = task != "classification" or len(np.unique(label[rows])) > 1
            if np.count_nonzero(rows) >= at_least and several:
                found.append((function(label[rows], score[rows]), column, value, rows))
    found.sort(key=lambda each: -each[0] if smaller else each[0])
    measured = []
    for point, column, value, rows in found:
        some, theirs = label[rows], score[rows]
        drawn = [function(some[each], theirs[each]) for each in _resamples(some, seed=seed)]
        low, high = (float(each) for each in np.percentile(drawn, [2.5, 97.5]))
        worse = low > whole if smaller else high < whole
        measured.append(Slice(column, value, len(some), Interval(point, low, high), worse))
    return measured


def _groups(values: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.bool_]]:
    """The rows of each value of a column, in words; numbers between quartiles."""
    if values.dtype.kind != "f":
        missing = np.array([value is None or value != value for value in values], np.bool_)
        words = np.where(missing, "missing", values.astype(str))
        return {str(word): words == word for word in np.unique(words)}
    missing = np.isnan(values)
    groups = {"missing": missing}
    if not missing.all():
        edges = np.unique(np.quantile(values[~missing], [0, 0.25, 0.5, 0.75, 1]))
        said = [f"{edge:g}" for edge in edges]
        if len(set(said)) < len(said):  # six digits do not tell them apart
            said = [repr(float(edge)) for edge in edges]
        place = np.searchsorted(edges[1:-1], values, side="left")
        for number, (low, high) in enumerate(pairwise(said)):
            mark = "[" if number == 0 else "("
            groups[f"{mark}{low}, {high}]"] = (place == number) & ~missing
        if len(said) == 1:
            groups[said[0]] = ~missing
    return groups


def threshold(label: Floats, score: Floats, rule: Decide) -> float:
    """The score from which on the answer is 1; above all scores where it never should be.

    Ties are on one side. Of equally good thresholds it is the highest.
    """
    taken, hits = gained(label, score)
    ones = hits[-1]
    if rule.top is not None:
        worth = np.where(taken <= rule.top * len(label), taken, -1.0)
    elif rule.cost is not None:
        worth = -(rule.cost.false_alarm * (taken - hits) + rule.cost.miss * (ones - hits))
    elif rule.best == "f1":
        worth = 2 * hits / np.maximum(taken + ones, 1.0)
    else:
        worth = hits - (taken - hits)
    least = int(taken[np.argmax(worth)])
    if not least:
        return float(np.nextafter(score.max(), np.inf))
    return float(np.sort(score)[-least])


def decided(label: Floats, score: Floats, at_least: float, *, seed: int) -> dict[str, Interval]:
    """What the decisions at a threshold are worth, with intervals."""
    found = measure(label, (score >= at_least).astype(np.float64), task="classification", seed=seed)
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
