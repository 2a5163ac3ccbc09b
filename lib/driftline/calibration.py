"""Scores → probabilities, by what became of validation rows: Platt's logistic, or isotonic steps.

A calibration is a function of one number, the same as a Spark column (:mod:`driftline.scoring`), in
the portable graph (:mod:`driftline.portable.graph`) and here in numpy. Platt's is asked for the log
odds of a model that has any and for the score of one that has none, a forest's share of trees;
isotonic for the score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from driftline.metrics import Floats

FILE = "calibration.json"
"""The calibration's file, beside the model it belongs to."""


@dataclass(frozen=True)
class Platt:
    """1 / (1 + exp(−(slope · x + intercept)))."""

    slope: float
    intercept: float

    def __call__(self, x: Floats) -> Floats:
        """Probabilities of log odds, or of scores."""
        return np.asarray(expit(self.slope * x + self.intercept))


@dataclass(frozen=True)
class Isotonic:
    """``base`` + Σ rise · clip((x − start) / width, 0, 1): straight between the knots, flat beyond.

    A sum, so that it is one expression wherever it is asked, however many segments it has.
    """

    base: float
    start: tuple[float, ...]
    width: tuple[float, ...]
    rise: tuple[float, ...]

    def __call__(self, x: Floats) -> Floats:
        """Probabilities of scores; NaN of NaN."""
        start, width = np.asarray(self.start), np.asarray(self.width)
        steps = np.clip((x[:, None] - start) / width, 0.0, 1.0)
        return np.asarray(self.base + steps @ np.asarray(self.rise) + (x - x))


Calibration = Platt | Isotonic


def fit(method: Literal["platt", "isotonic"], label: Floats, given: Floats) -> Calibration:
    """Learn it from labels 0 and 1, both there, and what the model says of their rows."""
    return (_platt if method == "platt" else _isotonic)(label, given)


def _platt(label: Floats, given: Floats) -> Platt:
    """Platt 1999, with his targets: a row counts as 1 by (n₁ + 1) / (n₁ + 2), or by 1 / (n₀ + 2).

    His cross-entropy is that of a logistic regression to which each row comes twice, as 1 and as 0,
    weighted by the target and by what is left of it.
    """
    from sklearn.linear_model import LogisticRegression

    ones = float(label.sum())
    target = np.where(label == 1, (ones + 1) / (ones + 2), 1 / (len(label) - ones + 2))
    center, scale = float(given.mean()), float(given.std())
    if np.ptp(given) == 0:  # one score for all says nothing; their deviation is rarely quite 0
        return Platt(0.0, float(logit(target.mean())))
    twice = np.tile((given - center) / scale, 2).reshape(-1, 1)
    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    line.fit(twice, np.repeat([1, 0], len(given)), sample_weight=np.r_[target, 1 - target])
    slope = float(line.coef_[0, 0]) / scale
    return Platt(slope, float(line.intercept_[0]) - slope * center)


_GRID = 2.0**26
"""Scores count as equal on this grid, so that no segment is steep enough to tell two engines'
rounding errors apart."""


def _isotonic(label: Floats, given: Floats) -> Isotonic:
    """Pool adjacent violators (Ayer et al. 1955), by scikit-learn."""
    from sklearn.isotonic import IsotonicRegression

    line = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    line.fit(np.round(given * _GRID) / _GRID, label)
    x, y = (np.asarray(each, np.float64) for each in (line.X_thresholds_, line.y_thresholds_))
    rises = np.flatnonzero(np.diff(y))
    parts = (x[rises], np.diff(x)[rises], np.diff(y)[rises])
    return Isotonic(float(y[0]), *(tuple(each.tolist()) for each in parts))


def to_json(calibration: Calibration) -> str:
    """As text, for the file."""
    return json.dumps({"method": type(calibration).__name__.lower(), **asdict(calibration)})


def from_json(text: str) -> Calibration:
    """Back from the text."""
    given: Mapping[str, object] = json.loads(text)
    numbers = {name: value for name, value in given.items() if name != "method"}
    if given["method"] == "platt":
        return Platt(**numbers)  # type: ignore[arg-type]
    return Isotonic(**{name: _frozen(value) for name, value in numbers.items()})  # type: ignore[arg-type]


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
