"""What MLlib wrote to disk → plain numbers.

MLlib saves a stage as a line of JSON (class, parameters) and Parquet (coefficients, tree nodes).
Read from there, not from the JVM: it is what will be loaded again, and a forest comes at once
instead of by ten calls a node.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import sparse

from driftline.errors import DriftlineError
from driftline.portable import numbers
from driftline.portable.numbers import Bayes, Floats, Linear, Model, Perceptron, Trees


def read(pipeline: Path) -> Model:
    """The numbers of the last stage of a pipeline saved in a local folder."""
    stages = sorted(Path(pipeline, "stages").iterdir(), key=lambda p: int(p.name.split("_")[0]))
    stage = stages[-1]
    line = next(Path(stage, "metadata").glob("part-*")).read_text(encoding="utf-8")
    facts = json.loads(line)
    kind = facts["class"].rpartition(".")[2]
    if kind == "LogisticRegressionModel":
        return _logistic(_one_row(stage))
    if kind in ("LinearRegressionModel", "LinearSVCModel", "GeneralizedLinearRegressionModel"):
        row = _one_row(stage)
        return Linear(
            _vector(row["coefficients"]),
            float(row["intercept"]),
            logistic=kind == "LinearSVCModel",  # see scoring.scored
            exponential=facts["paramMap"].get("link") == "log",
        )
    if kind == "Numbers":
        return numbers.from_json(facts["paramMap"]["numbers"])
    if kind in _LEAVES:
        return _trees(stage, kind)
    if kind == "NaiveBayesModel":
        return _bayes(_one_row(stage), facts["paramMap"]["modelType"])
    if kind == "MultilayerPerceptronClassificationModel":
        return _perceptron(_vector(_one_row(stage)["weights"]), facts["paramMap"]["layers"])
    raise DriftlineError(
        f"a {kind} has no portable form",
        where=str(stage),
        hint="a new family needs its reading in driftline/portable/saved.py",
    )


def _one_row(stage: Path) -> dict[str, Any]:
    (row,) = pq.read_table(stage / "data").to_pylist()
    return dict(row)


def _vector(saved: dict[str, Any]) -> Floats:
    """MLlib's VectorUDT: type 0 is sparse, 1 dense."""
    if saved["type"] == 1:
        return np.asarray(saved["values"], np.float64)
    found = np.zeros(saved["size"])
    found[saved["indices"]] = saved["values"]
    return found


def _matrix(saved: dict[str, Any]) -> Floats:
    """MLlib's MatrixUDT: type 0 is sparse, 1 dense; by columns unless transposed."""
    shape = (saved["numRows"], saved["numCols"])
    if saved["type"] == 1:
        values = np.asarray(saved["values"], np.float64)
        return values.reshape(shape, order="C" if saved["isTransposed"] else "F")
    compressed = sparse.csr_matrix if saved["isTransposed"] else sparse.csc_matrix
    parts = (saved["values"], saved["rowIndices"], saved["colPtrs"])
    return np.asarray(compressed(parts, shape=shape).todense(), np.float64)


def _logistic(row: dict[str, Any]) -> Linear:
    coefficients = _matrix(row["coefficientMatrix"])
    if len(coefficients) != 1:
        raise DriftlineError(
            f"a logistic regression of {row['numClasses']} classes has no portable form",
            hint="driftline's labels are 0 and 1",
        )
    return Linear(coefficients[0], float(_vector(row["interceptVector"])[0]), logistic=True)


def _bayes(row: dict[str, Any], kind: str) -> Linear | Bayes:
    """Of counts (multinomial) and of 0/1 (bernoulli) the log odds are linear in x."""
    prior, theta = _vector(row["pi"]), _matrix(row["theta"])
    if kind == "gaussian":
        return Bayes(theta, _matrix(row["sigma"]), prior)
    if kind == "bernoulli":  # theta is log p; what is 0 speaks by log(1 - p)
        absent = np.log1p(-np.exp(theta))
        prior, theta = prior + absent.sum(axis=1), theta - absent
    return Linear(theta[1] - theta[0], float(prior[1] - prior[0]), logistic=True)


def _perceptron(weights: Floats, layers: Sequence[int]) -> Perceptron:
    """Layer by layer: a matrix of outputs × inputs by columns, then a bias an output."""
    places, units, _ = layers
    ends = np.cumsum([units * places, units, 2 * units])
    inner, bias, outer, last = np.split(weights, ends)
    outer = outer.reshape(units, 2)
    return Perceptron(
        inner.reshape(places, units), bias, outer[:, 1] - outer[:, 0], float(last[1] - last[0])
    )


_LEAVES = {
    "DecisionTreeClassificationModel": "share",
    "DecisionTreeRegressionModel": "mean",
    "RandomForestClassificationModel": "share",
    "RandomForestRegressionModel": "mean",
    "GBTClassificationModel": "margin",
    "GBTRegressionModel": "sum",
}
"""What a tree of each ensemble adds to the score: see :func:`_trees`."""


def _trees(stage: Path, kind: str) -> Trees:
    """Nodes of all trees, numbered through.

    A random forest's probability is the mean over its trees of the share of label 1 in the leaf,
    its regression the mean of the leaves; boosted trees are the weighted sum of their leaves, and a
    classifier's probability 1 / (1 + exp(−2 · sum)) (Spark's LogLoss; Friedman 1999, TreeBoost).
    """
    rows = pq.read_table(stage / "data").to_pylist()
    if kind.startswith("DecisionTree"):  # its nodes are there without a number of their tree
        weights = {0: 1.0}
        rows = [{"treeID": 0, "nodeData": row} for row in rows]
    else:
        trees = pq.read_table(stage / "treesMetadata").to_pylist()
        weights = {row["_1"]: row["_3"] for row in trees}
    rows.sort(key=lambda row: (row["treeID"], row["nodeData"]["id"]))
    place = {(row["treeID"], row["nodeData"]["id"]): n for n, row in enumerate(rows)}
    count = len(rows)
    feature, left, right = (np.full(count, -1, np.int64) for _ in range(3))
    threshold, value = np.zeros(count), np.zeros(count)
    how = _LEAVES[kind]
    for n, row in enumerate(rows):
        tree, node = row["treeID"], row["nodeData"]
        split = node["split"]
        if node["leftChild"] >= 0:
            if split["numCategories"] != -1:
                raise DriftlineError(
                    "a split by categories has no portable form",
                    where=str(stage),
                    hint="driftline's vectors hold numbers only; this is a bug",
                )
            feature[n] = split["featureIndex"]
            threshold[n] = split["leftCategoriesOrThreshold"][0]
            left[n], right[n] = (place[tree, node[side]] for side in ("leftChild", "rightChild"))
        if how == "share":
            zero, one = node["impurityStats"]
            value[n] = one / (zero + one) / len(weights) if zero + one else 0.0
        elif how == "mean":
            value[n] = node["prediction"] / len(weights)
        else:
            value[n] = node["prediction"] * weights[tree] * (2.0 if how == "margin" else 1.0)
    roots = np.asarray([place[tree, 0] for tree in sorted(weights)], np.int64)
    return Trees(feature, threshold, left, right, value, roots, logistic=how == "margin")
