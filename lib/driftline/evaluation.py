"""How good a model is on rows it never saw: metrics with intervals, beside simple baselines.

Plain numpy on (score, label) of one held-out set; metrics are scikit-learn's. Intervals are
percentile bootstraps over rows (Efron 1979); a comparison resamples the same rows for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

RESAMPLES = 300


@dataclass(frozen=True)
class Interval:
    """A point estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def accuracy(label: Floats, score: Floats) -> float:
    """Share of rows on the right side of 0.5."""
    return float(sk.accuracy_score(label, score >= 0.5))


def _fast_auc(label: Floats, score: Floats) -> float:
    """Area under the ROC curve by ranks (Mann & Whitney 1947), ties counted half."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(ordered)])
    ranks = np.repeat(starts + (counts + 1) / 2, counts)
    positive = label[order] == 1
    n1 = int(positive.sum())
    n0 = len(label) - n1
    if not n1 or not n0:
        return float("nan")
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "classification": {
        "roc_auc": _fast_auc,
        "pr_auc": lambda label, score: float(sk.average_precision_score(label, score)),
        "log_loss": lambda label, score: float(sk.log_loss(label, score, labels=[0, 1])),
        "brier": lambda label, score: float(sk.brier_score_loss(label, score)),
        "accuracy": accuracy,
        "precision": lambda label, score: float(
            sk.precision_score(label, score >= 0.5, zero_division=0)
        ),
        "recall": lambda label, score: float(sk.recall_score(label, score >= 0.5)),
        "f1": lambda label, score: float(sk.f1_score(label, score >= 0.5)),
    },
    "regression": {
        "rmse": lambda label, score: float(sk.root_mean_squared_error(label, score)),
        "mae": lambda label, score: float(sk.mean_absolute_error(label, score)),
        "r2": lambda label, score: float(sk.r2_score(label, score)),
    },
}
"""Metric name → function of (label, score), by task."""

SMALLER_IS_BETTER = ("log_loss", "brier", "rmse", "mae")


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
            strength = abs(_fast_auc(label, x) - 0.5)
        else:
            strength = abs(float(np.corrcoef(x, label)[0, 1]))
        if best is None or strength > best[0]:
            best = (strength, name, fill)
    if best is None:
        return "", 0.0, 0.0, float(np.mean(label))
    _, name, fill = best
    x = np.where(np.isnan(features[name]), fill, features[name])
    if task == "classification":
        from sklearn.linear_model import LogisticRegression

        spread = float(x.std()) or 1.0
        line = LogisticRegression().fit(((x - x.mean()) / spread).reshape(-1, 1), label)
        slope = float(line.coef_[0, 0]) / spread
        return name, fill, slope, float(line.intercept_[0]) - slope * float(x.mean())
    slope, intercept = np.polyfit(x, label, 1)
    return name, fill, float(slope), float(intercept)


def predict_by_line(x: Floats, fill: float, slope: float, intercept: float, task: str) -> Floats:
    """The baseline's scores, see :func:`best_feature`."""
    line = intercept + slope * np.where(np.isnan(x), fill, x)
    if task == "classification":
        return np.asarray(1 / (1 + np.exp(-np.clip(line, -500, 500))))
    return np.asarray(line)


@dataclass(frozen=True)
class Point:
    """A point of a curve, see ``ops.curves``."""

    curve: str
    name: str | None
    x: float
    y: float
    rows: int | None


def curves(label: Floats, score: Floats, *, task: str) -> list[Point]:
    """ROC, PR, calibration, confusion at 0.5 and the distribution of scores, thinned to draw."""
    points = []
    if task == "classification":
        fpr, tpr, _ = sk.roc_curve(label, score)
        points += [Point("roc", None, x, y, None) for x, y in _thin(fpr, tpr)]
        precision, recall, _ = sk.precision_recall_curve(label, score)
        points += [Point("pr", None, x, y, None) for x, y in _thin(recall[::-1], precision[::-1])]
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
