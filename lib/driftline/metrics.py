"""Metrics of (label, score), by task: plain numpy, equal to scikit-learn's (a test compares them).

They are here because a bootstrap calls each some thousand times, where scikit-learn's checks of its
arguments take ten times as long as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Metric = Callable[[Floats, Floats], float]


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


def _weighted(metric: Metric) -> Metric:
    """A metric of label 1 as the mean over both labels, each weighted by its rows."""

    def mean(label: Floats, score: Floats) -> float:
        share = float(np.mean(label))
        # Called 1 means a score of at least 0.5, so called 0 is one below it.
        other = metric(1.0 - label, np.where(score >= 0.5, 0.0, 1.0))
        return share * metric(label, score) + (1.0 - share) * other

    return mean


def calibration_error(label: Floats, score: Floats) -> float:
    """Expected calibration error: Σ |share of label 1 − mean score| over ten bins of equal width,
    each weighted by its rows (Naeini, Cooper & Hauskrecht 2015).
    """
    place = np.clip((score * 10).astype(np.int64), 0, 9)
    gaps = np.bincount(place, label, 10) - np.bincount(place, score, 10)
    return float(np.sum(np.abs(gaps)) / len(label))


def lift(label: Floats, score: Floats) -> float:
    """How many times as many rows of label 1 are among the tenth with the highest scores as among
    as many chosen blindly; rows of the same score count by their mean.
    """
    rows = max(1, len(label) // 10)
    hits = float(np.interp(rows, *gained(label, score)))
    return hits / rows / float(np.mean(label)) if label.any() else 0.0


def gained(label: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Rows taken, highest scores first, and how many of them have label 1; ties are one step."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    return np.r_[0.0, last + 1.0], np.r_[0.0, np.cumsum(label[order])[last]]


def r2(label: Floats, score: Floats) -> float:
    """1 − residual sum of squares / total sum of squares. Of a label without spread, as
    scikit-learn has it: 1 where every score is that label, else 0.
    """
    left = float(np.sum((label - score) ** 2))
    total = float(np.sum((label - label.mean()) ** 2))
    return 1.0 - left / total if total else float(not left)


def of_numbers(metric: Metric) -> Metric:
    """A metric that is no number where a score is none: NaN has no rank, and is on no side of 0.5,
    but would be given one.
    """

    def checked(label: Floats, score: Floats) -> float:
        return float("nan") if np.isnan(score).any() else metric(label, score)

    return checked


_OF_CLASSES: Mapping[str, Metric] = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": lambda label, score: float(np.mean((label - score) ** 2)),
    "accuracy": lambda label, score: float(np.mean(label == (score >= 0.5))),
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "precision_weighted": _weighted(precision),
    "recall_weighted": _weighted(recall),
    "f1_weighted": _weighted(f1),
    "calibration_error": calibration_error,
    "lift_10": lift,
}

METRICS: Mapping[str, Mapping[str, Metric]] = {
    "classification": {name: of_numbers(each) for name, each in _OF_CLASSES.items()},
    "regression": {
        "rmse": lambda label, score: float(np.sqrt(np.mean((label - score) ** 2))),
        "mae": lambda label, score: float(np.mean(np.abs(label - score))),
        "r2": r2,
        "median_error": lambda label, score: float(np.median(np.abs(label - score))),
        "error_90": lambda label, score: float(np.quantile(np.abs(label - score), 0.9)),
    },
}
"""Metric name → function of (label, score), by task; NaN where a score is."""

SMALLER_IS_BETTER = (
    *("log_loss", "brier", "calibration_error"),
    *("rmse", "mae", "median_error", "error_90"),
)
