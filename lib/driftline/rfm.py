"""The marketer's baseline: how recently, how often, for how much (Bult & Wansbeek 1995).

Which features those are is told by their operations, never by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from driftline.events import Feature

if TYPE_CHECKING:
    from driftline.metrics import Floats

_OPERATIONS = (("recency",), ("frequency", "count"), ("sum",))


def columns(features: Sequence[Feature], source: str) -> tuple[str, ...]:
    """The three columns of ``gold.features``; empty where the features lack one of them.

    They speak of the same events: those of the label's ``source``, if it has all three. Of each
    operation it is the feature that was declared first, over its longest window.
    """
    kinds: dict[tuple[str, str | None], list[Feature]] = {}
    for each in features:
        kinds.setdefault((each.source, each.where), []).append(each)
    ordered = sorted(kinds, key=lambda kind: kind[0] != source)
    for kind in ordered:
        found = [_first(kinds[kind], operations) for operations in _OPERATIONS]
        known = [each for each in found if each is not None]
        if len(known) == len(found):
            return tuple(f"{each.name}_{max(each.windows)}d" for each in known)
    return ()


def _first(features: Sequence[Feature], operations: Sequence[str]) -> Feature | None:
    for operation in operations:
        for each in features:
            if each.operation == operation:
                return each
    return None


def fit(label: Floats, values: Floats, *, task: str) -> Callable[[Floats], Floats]:
    """A regression on training rows, logistic for classes: n × 3 values → scores of others.

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
