"""Estimators with scikit-learn's interface as candidates: fitted on an executor, kept as numbers.

A fit is one task: the rows come as Arrow, and what comes back are the numbers that a fitted model
is made of (:mod:`driftline.portable.saved`), never a pickle. So an estimator is one that can be
asked for its numbers (:data:`READERS`); what cannot could not be served without Python, either.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from driftline.models import WEIGHT, Value
from driftline.portable import numbers
from driftline.portable.numbers import Floats, Linear, Trees

Fitted = Linear | Trees


class Numbers(Model, DefaultParamsReadable[Any], DefaultParamsWritable):
    """A fitted model as numbers, saved as they are: ``features`` → ``rawPrediction``.

    That is what a classifier's score is the logistic of, and the ``prediction`` of a regression.
    """

    numbers: Param[str] = Param(
        Params._dummy(), "numbers", "the model as JSON", TypeConverters.toString
    )

    def __init__(self, numbers: str = "") -> None:
        super().__init__()
        self._set(numbers=numbers)

    @property
    def logistic(self) -> bool:
        """Whether a score is the logistic of ``rawPrediction``; else it is that itself."""
        return numbers.from_json(self.getOrDefault(self.numbers)).logistic

    def _transform(self, dataset: DataFrame) -> DataFrame:
        fitted = numbers.from_json(self.getOrDefault(self.numbers))
        total = _totals(fitted)(vector_to_array(F.col("features")))
        decided = (total >= 0).cast("double") if fitted.logistic else total
        return dataset.withColumn("rawPrediction", total).withColumn("prediction", decided)


def _totals(fitted: Fitted) -> Any:
    """The vectorised function of an array column."""

    def totals(vectors: pa.Array) -> pa.Array:
        return pa.array(numbers.totals(fitted, _matrix(vectors)))

    # The types themselves: by name, Spark would look for them where they are not.
    totals.__annotations__ = {"vectors": pa.Array, "return": pa.Array}
    made: Any = arrow_udf
    return made(totals, "double")


def _matrix(vectors: pa.Array) -> Floats:
    """Lists of one length as rows."""
    found: Floats = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return found


class Adapted(Estimator):  # type: ignore[type-arg]
    """An estimator of that class with these parameters; reads ``features``, ``label``, weights."""

    def __init__(
        self, name: str, parameters: Mapping[str, Value], *, seed: int, weighted: bool
    ) -> None:
        super().__init__()
        self._build = partial(_built, name, dict(parameters), seed)
        self._build()  # a class that is not there, or takes no such parameter, is known here
        self._weighted, self._read = weighted, READERS[name]

    def _fit(self, dataset: DataFrame) -> Numbers:
        also = [WEIGHT] if self._weighted else []
        asked = dataset.select(vector_to_array(F.col("features")).alias("x"), "label", *also)
        fit = partial(_fitted, build=self._build, read=self._read)
        (row,) = asked.coalesce(1).mapInArrow(fit, "numbers string").collect()
        return Numbers(numbers=row.numbers)


def _built(name: str, parameters: Mapping[str, Value], seed: int) -> Any:
    module, _, kind = name.rpartition(".")
    build = getattr(importlib.import_module(module), kind)
    takes = inspect.signature(build).parameters
    # XGBoost's constructors hide theirs behind keywords.
    seeded = {"random_state": seed} if "random_state" in takes or "kwargs" in takes else {}
    return build(**{**seeded, **parameters})


def _fitted(
    batches: Iterable[pa.RecordBatch],
    build: Callable[[], Any],
    read: Callable[[Any], Fitted],
) -> Iterator[Any]:
    table = pa.Table.from_batches(batches).combine_chunks()
    x = _matrix(table["x"].combine_chunks())
    weights = table[WEIGHT].to_numpy() if WEIGHT in table.column_names else None
    model = build().fit(x, table["label"].to_numpy(), sample_weight=weights)
    yield pa.RecordBatch.from_pydict({"numbers": [numbers.to_json(read(model))]})


def _line(model: Any) -> Linear:
    coefficients: Floats = np.ravel(model.coef_).astype(np.float64)
    return Linear(coefficients, float(np.ravel(model.intercept_)[0]), logistic=False)


def _logistic(model: Any) -> Linear:
    found = _line(model)
    return Linear(found.coefficients, found.intercept, logistic=True)


def _boosted(model: Any) -> Trees:
    """The trees of a histogram gradient boosting, and its baseline as a tree of one leaf."""
    if getattr(model, "loss", "") in ("poisson", "gamma"):
        raise ValueError("what is exponential has no form as trees")
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        children = [
            np.where(nodes["is_leaf"] == 1, -1, nodes[side].astype(np.int64))
            for side in ("left", "right")
        ]
        trees.append((nodes["feature_idx"], nodes["num_threshold"], *children, nodes["value"]))
    leaf = np.full(1, -1)
    trees.append((leaf, np.zeros(1), leaf, leaf, np.ravel(model._baseline_prediction)))
    return _joined(trees, logistic=hasattr(model, "classes_"))


def _forest(model: Any) -> Trees:
    """Each tree says its leaf's mean, or share of label 1, by the number of trees."""
    trees = []
    for each in model.estimators_:
        tree = each.tree_
        value = tree.value[:, 0, :]
        share = value[:, 1] / value.sum(axis=1) if value.shape[1] > 1 else value[:, 0]
        below = in_double(tree.threshold)
        trees.append((tree.feature, below, tree.children_left, tree.children_right, share))
    return _joined(trees, scale=1 / len(trees))


def _xgboost(model: Any) -> Trees:
    """XGBoost's own JSON: a leaf's value stands where another node has its condition.

    A row goes left where x < condition, in single precision: where x ≤ the number before it.
    """
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    if objective not in ("binary:logistic", "reg:squarederror"):
        raise ValueError(f"{objective} has no form as trees here")
    text = learner["learner_model_param"]["base_score"].strip("[]")
    base, logistic = float(text), objective == "binary:logistic"
    base = float(np.log(base / (1 - base))) if logistic else base
    trees = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        left, right = (np.asarray(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
        condition = np.asarray(tree["split_conditions"], np.float32)
        below = in_double(np.nextafter(condition, np.float32(-np.inf)))
        feature = np.asarray(tree["split_indices"], np.int64)
        trees.append((feature, below, left, right, condition.astype(np.float64)))
    leaf = np.full(1, -1)
    trees.append((leaf, np.zeros(1), leaf, leaf, np.array([base])))
    return _joined(trees, logistic=logistic)


def in_double(threshold: Any) -> Floats:
    """The largest doubles that are no more than a threshold once they are single precision.

    These libraries round x to single precision before they compare it: what lies up to the middle
    between the last such number that goes left and the next one is rounded to the former.
    """
    with np.errstate(over="ignore"):
        last = np.asarray(threshold, np.float64).astype(np.float32)
    last = np.where(last > threshold, np.nextafter(last, np.float32(-np.inf)), last)
    beyond = np.nextafter(last, np.float32(np.inf)).astype(np.float64)
    middle = (last.astype(np.float64) + beyond) / 2
    found: Floats = np.where(
        middle.astype(np.float32) > last, np.nextafter(middle, -np.inf), middle
    )
    return found


def _joined(trees: Sequence[Any], *, scale: float = 1.0, logistic: bool = False) -> Trees:
    """Trees of (feature, threshold, left, right, value), each with numbers of its own, as one."""
    sizes = [len(tree[0]) for tree in trees]
    starts = np.cumsum([0, *sizes])
    shift = np.repeat(starts[:-1], sizes)
    feature, threshold, left, right, value = (
        np.concatenate(part) for part in zip(*trees, strict=True)
    )
    inner = left >= 0
    return Trees(
        np.where(inner, feature, -1).astype(np.int64),
        np.where(inner, threshold, 0.0),
        np.where(inner, left + shift, -1).astype(np.int64),
        np.where(inner, right + shift, -1).astype(np.int64),
        np.asarray(value, np.float64) * scale,
        starts[:-1].astype(np.int64),
        logistic=logistic,
    )


READERS: Mapping[str, Callable[[Any], Fitted]] = {
    "sklearn.ensemble.HistGradientBoostingClassifier": _boosted,
    "sklearn.ensemble.HistGradientBoostingRegressor": _boosted,
    "sklearn.ensemble.RandomForestClassifier": _forest,
    "sklearn.ensemble.RandomForestRegressor": _forest,
    "sklearn.linear_model.LinearRegression": _line,
    "sklearn.linear_model.LogisticRegression": _logistic,
    "sklearn.linear_model.Ridge": _line,
    "xgboost.XGBClassifier": _xgboost,
    "xgboost.XGBRegressor": _xgboost,
}
"""How each class of :data:`driftline.models.ADAPTED` is read."""
