"""How good a model is on rows it never saw: metrics with intervals, beside simple baselines.

Plain numpy on (label, score) of one held-out set. Values equal scikit-learn's (a test compares
them); the functions are here because a bootstrap calls each some thousand times, where
scikit-learn's checks of its arguments take ten times as long as the arithmetic. Intervals are
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


def roc_auc(label: Floats, score: Floats) -> float:
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


def pr_auc(label: Floats, score: Floats) -> float:
    """Average precision: Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, highest first."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    hits = np.cumsum(label[order])[last]
    if not hits[-1]:
        return 0.0
    return float(np.sum(np.diff(np.r_[0.0, hits]) / hits[-1] * hits / (last + 1)))


def log_loss(label: Floats, score: Floats) -> float:
    """Mean of −ln of the probability given to what happened, kept away from 0 by one epsilon."""
    tiny = np.finfo(np.float64).eps
    p = np.clip(score, tiny, 1 - tiny)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))


def _ratio(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    """Share of ``whole`` that is in ``part``; 0 when there is nothing to share."""
    total = int(np.count_nonzero(whole))
    return int(np.count_nonzero(part & whole)) / total if total else 0.0


def precision(label: Floats, score: Floats) -> float:
    """Share of the rows called 1 (score at least 0.5) that are 1."""
    return _ratio(label == 1, score >= 0.5)


def recall(label: Floats, score: Floats) -> float:
    """Share of the rows that are 1 which are called 1."""
    return _ratio(score >= 0.5, label == 1)


def f1(label: Floats, score: Floats) -> float:
    """Harmonic mean of precision and recall of label 1."""
    p, r = precision(label, score), recall(label, score)
    return 2 * p * r / (p + r) if p + r else 0.0


def r2(label: Floats, score: Floats) -> float:
    """1 − residual sum of squares / total sum of squares; 0 for a label without spread."""
    total = float(np.sum((label - label.mean()) ** 2))
    return 1.0 - float(np.sum((label - score) ** 2)) / total if total else 0.0


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "classification": {
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "log_loss": log_loss,
        "brier": lambda label, score: float(np.mean((label - score) ** 2)),
        "accuracy": lambda label, score: float(np.mean(label == (score >= 0.5))),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    },
    "regression": {
        "rmse": lambda label, score: float(np.sqrt(np.mean((label - score) ** 2))),
        "mae": lambda label, score: float(np.mean(np.abs(label - score))),
        "r2": r2,
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
