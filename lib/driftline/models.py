"""The model families: what they are called, what can be tuned, how Spark MLlib builds them.

Adding a family is one entry in :data:`FAMILIES`. Nothing here imports Spark until an estimator is
built, so that a conf can be checked against the families without Java.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.ml import Estimator

Value = float | int | str | bool


@dataclass(frozen=True)
class Parameter:
    """What a parameter of a grid may be: a type, and a range or the words that are allowed."""

    kind: type
    least: float | None = None
    most: float | None = None
    above: float | None = None
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """In words."""
        if self.words:
            return ", ".join(self.words)
        said = {int: "whole numbers", float: "numbers", str: "words"}[self.kind]
        said += f" above {self.above:g}" if self.above is not None else ""
        said += f" from {self.least:g}" if self.least is not None else ""
        return said + (f" up to {self.most:g}" if self.most is not None else "")

    def allows(self, value: Value) -> bool:
        """Whether a grid may have this value."""
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            return False
        if isinstance(value, str):
            return value in self.words or bool(
                "all" in self.words and value.isdecimal() and int(value)
            )
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )


@dataclass(frozen=True)
class Family:
    """One kind of model: its tasks with MLlib's class for each, and the parameters of a grid.

    ``fixed`` are parameters that a grid may change but whose default is ours.
    """

    estimators: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    seeded: bool = True
    weighable: bool = True
    fixed: Mapping[str, Value] = field(default_factory=dict)


_REGULAR = {
    "regParam": Parameter(float, least=0),
    "maxIter": Parameter(int, least=1),
    "tol": Parameter(float, above=0),
}
_LINEAR = {"elasticNetParam": Parameter(float, least=0, most=1), **_REGULAR}
_TREE = {
    "maxDepth": Parameter(int, least=0, most=30),
    "minInstancesPerNode": Parameter(int, least=1),
    "maxBins": Parameter(int, least=2),
    "minInfoGain": Parameter(float, least=0),
}
# Rows remember in which node they are instead of going down from the root for every level: the
# same trees, a quarter faster.
_REMEMBERED = {"cacheNodeIds": True}
_TREES = {**_TREE, "subsamplingRate": Parameter(float, above=0, most=1)}
_SUBSETS = ("auto", "all", "sqrt", "log2", "onethird")

FAMILIES: Mapping[str, Family] = {
    "logistic_regression": Family(
        {"classification": "LogisticRegression"},
        _LINEAR,
        seeded=False,
    ),
    "linear_svc": Family(
        {"classification": "LinearSVC"},
        _REGULAR,
        seeded=False,
    ),
    "linear_regression": Family(
        {"regression": "LinearRegression"},
        _LINEAR,
        seeded=False,
    ),
    "generalized_linear": Family(
        {"regression": "GeneralizedLinearRegression"},
        {
            "family": Parameter(str, words=("gaussian", "poisson", "gamma")),
            "link": Parameter(str, words=("identity", "log")),
            **_REGULAR,
        },
        seeded=False,
    ),
    "decision_tree": Family(
        {"classification": "DecisionTreeClassifier", "regression": "DecisionTreeRegressor"},
        _TREE,
        fixed=_REMEMBERED,
    ),
    "random_forest": Family(
        {"classification": "RandomForestClassifier", "regression": "RandomForestRegressor"},
        {
            "numTrees": Parameter(int, least=1),
            "featureSubsetStrategy": Parameter(str, words=_SUBSETS),
            **_TREES,
        },
        fixed=_REMEMBERED,
    ),
    "gradient_boosted_trees": Family(
        {"classification": "GBTClassifier", "regression": "GBTRegressor"},
        {
            "maxIter": Parameter(int, least=1),
            "stepSize": Parameter(float, above=0, most=1),
            "featureSubsetStrategy": Parameter(str, words=_SUBSETS),
            **_TREES,
        },
        fixed=_REMEMBERED,
    ),
    "naive_bayes": Family(
        {"classification": "NaiveBayes"},
        {
            "smoothing": Parameter(float, least=0),
            "modelType": Parameter(str, words=("gaussian", "bernoulli", "multinomial")),
        },
        seeded=False,
        fixed={"modelType": "gaussian"},  # prepared numbers may be below 0
    ),
    "multilayer_perceptron": Family(
        {"classification": "MultilayerPerceptronClassifier"},
        {
            "hidden": Parameter(int, least=1),
            "maxIter": Parameter(int, least=1),
            "stepSize": Parameter(float, above=0),
            "blockSize": Parameter(int, least=1),
        },
        weighable=False,
    ),
}
"""Every family by its name in ``train.candidates``; parameters have MLlib's own names and types,
but for ``hidden``: the units of a perceptron's one hidden layer.
"""

CLASS = "class"
"""What a candidate has among its parameters whose family is no :data:`FAMILIES`' own: the import
path of a class with scikit-learn's interface (see ``candidates.py``)."""

HIDDEN = 16
"""Units of the hidden layer where the grid does not say."""


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
    candidate: Candidate, *, task: str, seed: int, weighted: bool = False, places: int = 0
) -> Estimator[Any]:
    """Build MLlib's estimator for a candidate; it reads ``features``, ``label``, :data:`WEIGHT`.

    ``places`` is the length of ``features``, which a perceptron has to know.
    """
    import pyspark.ml.classification
    import pyspark.ml.regression

    family = FAMILIES[candidate.family]
    module = getattr(pyspark.ml, task)
    build: Callable[..., Estimator[Any]] = getattr(module, family.estimators[task])
    more: dict[str, Any] = {**family.fixed, **dict(candidate.parameters)}
    if candidate.family == "multilayer_perceptron":
        more["layers"] = [places, more.pop("hidden", HIDDEN), 2]
    if candidate.family == "generalized_linear":
        gaussian = more.get("family", "gaussian") == "gaussian"
        more.setdefault("link", "identity" if gaussian else "log")
    more |= {"seed": seed} if family.seeded else {}
    more |= {"weightCol": WEIGHT} if weighted else {}
    return build(featuresCol="features", labelCol="label", **more)
