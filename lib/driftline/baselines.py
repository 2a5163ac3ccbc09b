"""What a model has to beat: the best single column, and a regression of three.

Each is fitted on training rows by numbers and words in memory; a constant needs no module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftline.metrics import Floats, Integers, roc_auc
from driftline.prepare import CATEGORIES, SHRINK

Words = npt.NDArray[np.object_]
"""Texts (n,); what is missing is None."""


@dataclass(frozen=True)
class Line:
    """The baseline of a column of numbers: ``intercept + slope · x``, a missing x is ``fill``.

    For classification (``logistic``) that is what the score, a probability, is the logistic of.
    """

    column: str
    fill: float
    slope: float
    intercept: float
    logistic: bool

    def scores(self, values: Floats) -> Floats:
        """Of other rows' values (n,), NaN where there is none."""
        line = self.intercept + self.slope * np.where(np.isnan(values), self.fill, values)
        return np.asarray(1 / (1 + np.exp(-np.clip(line, -500, 500))) if self.logistic else line)


@dataclass(frozen=True)
class Means:
    """The baseline of a column of words: the mean label of a word's training rows, shrunk; that of
    all rows for words without one, and for none.
    """

    column: str
    means: Mapping[str, float]
    mean: float

    def scores(self, values: Words) -> Floats:
        """Of other rows' words (n,)."""
        return np.array([self.means.get(each, self.mean) for each in values], np.float64)


def best_feature(
    label: Floats, features: Mapping[str, npt.NDArray[Any]], *, entity: Integers, task: str
) -> Line | Means | None:
    """The one column that alone predicts best on training rows; None where none tells anything.

    A number is as good as its ranking (or correlation) there, whichever way it points. A word is as
    good as mean labels of one half of the entities are for the other half: by a row's own label
    any name would tell it.
    """
    best, name = 0.0, ""
    for each, values in features.items():
        if values.dtype == object:
            strength = _blind(label, values, entity, task)
        else:
            strength = abs(_strength(label, _filled(values), task))
        if strength > best:
            best, name = strength, each
    if not name:
        return None
    values = features[name]
    if values.dtype == object:
        return means(name, label, values)
    x, fill = _filled(values), _middle(values)
    if task == "classification":
        return Line(name, fill, *_logistic(label, x), logistic=True)
    slope, intercept = np.polyfit(x, label, 1)
    return Line(name, fill, float(slope), float(intercept), logistic=False)


def _filled(values: Floats) -> Floats:
    return np.where(np.isnan(values), _middle(values), values)


def _middle(values: Floats) -> float:
    """The median of what is there; 0 where nothing is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0


def means(column: str, label: Floats, words: Words) -> Means:
    """The most frequent words with their mean labels, shrunk as :mod:`driftline.prepare` does."""
    mean = float(np.mean(label))
    totals = pd.DataFrame({"word": words, "label": label}).groupby("word")["label"]
    counted: Any = totals.agg(["size", "sum"]).reset_index()
    most = counted.sort_values(["size", "word"], ascending=[False, True])[:CATEGORIES]
    shrunk = (most["sum"] + SHRINK * mean) / (most["size"] + SHRINK)
    return Means(column, dict(zip(most["word"], shrunk.astype(float), strict=True)), mean)


def _strength(label: Floats, x: Floats, task: str) -> float:
    """How well x tells the label, 0 for not at all; below 0 the other way round."""
    if x.min() == x.max() or label.min() == label.max():
        return 0.0
    if task == "classification":
        return roc_auc(label, x) - 0.5
    return float(np.corrcoef(x, label)[0, 1])


def _blind(label: Floats, words: Words, entity: Integers, task: str) -> float:
    """How well either half of the entities is told by the other's mean labels, on average."""
    found = []
    for half in (entity % 2 == 0, entity % 2 == 1):
        if half.all() or not half.any():
            return 0.0
        there = means("", label[half], words[half])
        found.append(_strength(label[~half], there.scores(words[~half]), task))
    return sum(found) / len(found)


def _logistic(label: Floats, x: Floats) -> tuple[float, float]:
    """Slope and intercept of a logistic line that ranks as the values do, or their reverse,
    whichever tells more: a few far values can turn a fitted one the other way.
    """
    rises = roc_auc(label, x) >= 0.5
    slope, middle, mean = _fitted(label, x)
    if (slope >= 0) != rises:
        slope, middle, mean = _fitted(label, np.clip(x, *np.quantile(x, [0.01, 0.99])))
    slope = math.copysign(slope, 1.0 if rises else -1.0)
    return slope, middle - slope * mean


def _fitted(label: Floats, x: Floats) -> tuple[float, float, float]:
    """A logistic line: its slope, its value at the mean of x, and that mean."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(x.mean()), float(x.std()) or 1.0
    line = LogisticRegression().fit(((x - mean) / spread).reshape(-1, 1), label)
    return float(line.coef_[0, 0]) / spread, float(line.intercept_[0]), mean


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
