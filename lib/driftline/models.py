"""The model families: what they are called, what can be tuned, how Spark MLlib builds them.

Adding a family is one entry in :data:`FAMILIES`. Nothing here imports Spark until an estimator is
built, so that a conf can be checked against the families without Java.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.ml import Estimator

Value = float | int | str | bool


@dataclass(frozen=True)
class Family:
    """One kind of model: its tasks with MLlib's class for each, and the parameters of a grid."""

    estimators: Mapping[str, str]
    parameters: Mapping[str, type]
    seeded: bool = True


_LINEAR = {"regParam": float, "elasticNetParam": float, "maxIter": int}
_TREES = {"maxDepth": int, "minInstancesPerNode": int, "maxBins": int, "subsamplingRate": float}

FAMILIES: Mapping[str, Family] = {
    "logistic_regression": Family(
        {"classification": "LogisticRegression"},
        _LINEAR,
        seeded=False,
    ),
    "linear_regression": Family(
        {"regression": "LinearRegression"},
        _LINEAR,
        seeded=False,
    ),
    "random_forest": Family(
        {"classification": "RandomForestClassifier", "regression": "RandomForestRegressor"},
        {"numTrees": int, "featureSubsetStrategy": str, **_TREES},
    ),
    "gradient_boosted_trees": Family(
        {"classification": "GBTClassifier", "regression": "GBTRegressor"},
        {"maxIter": int, "stepSize": float, **_TREES},
    ),
}
"""Every family by its name in ``train.candidates``; parameters have MLlib's own names and types."""


@dataclass(frozen=True)
class Candidate:
    """One point of one family's grid."""

    family: str
    parameters: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.family}({values})"


def families_for(task: str) -> tuple[str, ...]:
    """Names of the families that do ``task``."""
    return tuple(name for name, family in FAMILIES.items() if task in family.estimators)


def candidates(grids: Mapping[str, Mapping[str, Sequence[Value]]]) -> list[Candidate]:
    """Every point of every grid, families in the given order."""
    return [
        Candidate(family, tuple(zip(grid, point, strict=True)))
        for family, grid in grids.items()
        for point in itertools.product(*grid.values())
    ]


WEIGHT = "weight"
"""The column of the rows' weights, where they have any."""


def estimator(
    candidate: Candidate, *, task: str, seed: int, weighted: bool = False
) -> Estimator[Any]:
    """Build MLlib's estimator for a candidate; it reads ``features``, ``label``, :data:`WEIGHT`."""
    import pyspark.ml.classification
    import pyspark.ml.regression

    family = FAMILIES[candidate.family]
    module = getattr(pyspark.ml, task)
    build: Callable[..., Estimator[Any]] = getattr(module, family.estimators[task])
    more: dict[str, Any] = {"seed": seed} if family.seeded else {}
    more |= {"weightCol": WEIGHT} if weighted else {}
    return build(featuresCol="features", labelCol="label", **dict(candidate.parameters), **more)
