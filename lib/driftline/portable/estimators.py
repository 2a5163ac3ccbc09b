"""What estimators of scikit-learn and XGBoost fitted, read as the numbers it is made of.

Those whose numbers can be read are exact: thresholds in single precision become the same ones in
double, and the reasons are those of the trees. Any other estimator is an ONNX graph
(:mod:`driftline.portable.converted`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from driftline.errors import Refused
from driftline.portable.numbers import Floats, Linear, Trees

Fitted = Linear | Trees


def _line(model: Any) -> Linear:
    coefficients: Floats = np.ravel(model.coef_).astype(np.float64)
    return Linear(coefficients, float(np.ravel(model.intercept_)[0]), logistic=False)


def _logistic(model: Any) -> Linear:
    found = _line(model)
    return Linear(found.coefficients, found.intercept, logistic=True)


def _boosted(model: Any) -> Trees:
    """The trees of a histogram gradient boosting, and its baseline as a tree of one leaf."""
    if getattr(model, "loss", "") in ("poisson", "gamma"):
        raise Refused("what is exponential has no form as trees")
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
    """Each tree, or the only one, says its leaf's mean, or share of label 1, by their number."""
    trees = []
    for each in getattr(model, "estimators_", [model]):
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
        raise Refused(f"{objective} has no form as trees here")
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
    "sklearn.ensemble.ExtraTreesClassifier": _forest,
    "sklearn.ensemble.ExtraTreesRegressor": _forest,
    "sklearn.ensemble.HistGradientBoostingClassifier": _boosted,
    "sklearn.ensemble.HistGradientBoostingRegressor": _boosted,
    "sklearn.ensemble.RandomForestClassifier": _forest,
    "sklearn.ensemble.RandomForestRegressor": _forest,
    "sklearn.linear_model.LinearRegression": _line,
    "sklearn.linear_model.LogisticRegression": _logistic,
    "sklearn.linear_model.Ridge": _line,
    "sklearn.tree.DecisionTreeClassifier": _forest,
    "sklearn.tree.DecisionTreeRegressor": _forest,
    "xgboost.XGBClassifier": _xgboost,
    "xgboost.XGBRegressor": _xgboost,
}
"""How the numbers of each such class are read."""
