"""Why a score is what it is: how much each column moved it, as a second ONNX file.

A linear model's column moves the score by coefficient × prepared value, which is 0 at the training
mean of a standardised number. In a tree each step of a row's path moves it, from what the tree
would say at the node to what it would say at the child, and counts for the column that was asked
(Saabas 2014, Interpreting random forests); the columns of all trees add up to the score before any
logistic, less what the roots say. A naive Bayes' column moves it by the difference of its log
likelihoods; a perceptron's by slope × prepared value (gradient times input; Shrikumar 2016), the
slope before the last logistic. Of any other model a column moves the score by what is left of it
once the column's places are 0, as at the training mean (occlusion; Zeiler & Fergus 2014): that asks
the model once a column. In single precision, and no part of the score.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from driftline.portable.converted import part
from driftline.portable.graph import Graph, prepared, surprise, units
from driftline.portable.numbers import (
    Bayes,
    Floats,
    Integers,
    Linear,
    Model,
    Onnx,
    Perceptron,
    Trees,
)
from driftline.prepare import Preparation
from driftline.serving.facts import Facts


def write(preparation: Preparation, model: Model, facts: Facts) -> bytes:
    """The ONNX file: the inputs of the score's, output ``contributions`` (rows × columns)."""
    graph = Graph()
    graph.trees = 3
    vector = prepared(graph, preparation)
    columns = len(facts.columns)
    owner = _owners(preparation)
    if isinstance(model, Trees):
        _paths(graph, vector, model, owner, columns)
    else:
        whose = np.zeros((len(owner), columns))
        whose[np.arange(len(owner)), owner] = 1.0
        if isinstance(model, Onnx):
            moved = _without(graph, vector, model, whose)
        else:
            moved = graph.add("MatMul", _moved(graph, vector, model), graph.constant(whose))
        graph.nodes.append(
            helper.make_node("Cast", [moved], ["contributions"], to=TensorProto.FLOAT)
        )
    output = helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["rows", columns])
    return graph.file(output, facts)


def _moved(graph: Graph, vector: str, model: Linear | Bayes | Perceptron) -> str:
    """By how much each place moved the score, rows × places."""
    if isinstance(model, Linear):
        return graph.add("Mul", vector, graph.constant(model.coefficients[None, :]))
    if isinstance(model, Perceptron):
        unit = units(graph, vector, model)
        steep = graph.add("Mul", unit, graph.add("Sub", graph.constant(np.ones((1, 1))), unit))
        weighed = graph.add("Mul", steep, graph.constant(model.outer[None, :]))
        slope = graph.add("MatMul", weighed, graph.constant(np.ascontiguousarray(model.inner.T)))
        return graph.add("Mul", vector, slope)
    zero, one = (surprise(graph, vector, model, label) for label in (0, 1))
    spread = np.log(model.variance[:1]) - np.log(model.variance[1:])
    apart = graph.add("Add", graph.add("Sub", zero, one), graph.constant(spread))
    return graph.add("Div", apart, graph.constant(np.array([[2.0]])))


def _without(graph: Graph, vector: str, model: Onnx, whose: Floats) -> str:
    """The score less what it is without each column, rows × columns.

    One round of a loop asks about all rows, so that no more than one copy of them is there.
    """
    kept = np.vstack([np.ones(len(whose)), 1.0 - whose.T])  # as it is, then without each column
    own = part(model, "masked")
    graph.trees = own.trees
    graph.constants += own.constants
    mask = helper.make_tensor_value_info("mask", TensorProto.DOUBLE, [len(whose)])
    said = helper.make_tensor_value_info(own.score, TensorProto.DOUBLE, ["rows", 1])
    masked = helper.make_node("Mul", [vector, "mask"], ["masked"])
    body = helper.make_graph([masked, *own.nodes], "without", [mask], [said])
    # A graph an element of what is scanned: (1 + columns) × rows × 1.
    found = graph.add("Scan", graph.constant(kept), body=body, num_scan_inputs=1)
    scores = graph.add("Squeeze", found, graph.constant(np.array([2])))
    places = graph.add("Transpose", scores, perm=[1, 0])
    first = graph.add("Gather", places, graph.constant(np.array([0])), axis=1)
    rest = graph.add("Gather", places, graph.constant(np.arange(1, len(kept))), axis=1)
    return graph.add("Sub", first, rest)


def _owners(preparation: Preparation) -> Integers:
    """Which column each place of the vector comes from."""
    owner = list(range(len(preparation.numeric)))
    owner += [place for place, each in enumerate(preparation.numeric) if each.flag]
    for number, each in enumerate(preparation.categorical, len(preparation.numeric)):
        owner += [number] * len(each.names)
    return np.asarray(owner, np.int64)


def _paths(graph: Graph, vector: str, model: Trees, owner: Integers, columns: int) -> None:
    """One ``TreeEnsembleRegressor``, whose leaves may speak for several columns."""
    tree, number = _numbered(model)
    targets: list[tuple[int, int, float]] = []
    moves: list[tuple[int, dict[int, float]]] = [(int(root), {}) for root in model.roots]
    while moves:
        node, moved = moves.pop()
        if model.left[node] < 0:
            targets += [(node, column, by) for column, by in moved.items()]
            continue
        column = int(owner[model.feature[node]])
        for child in (int(model.left[node]), int(model.right[node])):
            by = float(model.value[child] - model.value[node])
            moves.append((child, {**moved, column: moved.get(column, 0.0) + by}))
    # Every leaf has to say something: one that is a tree's root moves nothing.
    alone = [int(root) for root in model.roots if model.left[root] < 0]
    targets += [(root, 0, 0.0) for root in alone]
    inner = model.left >= 0
    graph.nodes.append(
        helper.make_node(
            "TreeEnsembleRegressor",
            [vector],
            ["contributions"],
            domain="ai.onnx.ml",
            n_targets=columns,
            aggregate_function="SUM",
            post_transform="NONE",
            nodes_treeids=tree.tolist(),
            nodes_nodeids=number.tolist(),
            nodes_featureids=np.where(inner, model.feature, 0).tolist(),
            nodes_values_as_tensor=numpy_helper.from_array(model.threshold, "thresholds"),
            nodes_modes=["BRANCH_LEQ" if each else "LEAF" for each in inner],
            nodes_truenodeids=np.where(inner, number[model.left], 0).tolist(),
            nodes_falsenodeids=np.where(inner, number[model.right], 0).tolist(),
            target_treeids=[int(tree[node]) for node, _, _ in targets],
            target_nodeids=[int(number[node]) for node, _, _ in targets],
            target_ids=[column for _, column, _ in targets],
            target_weights_as_tensor=numpy_helper.from_array(
                np.asarray([by for _, _, by in targets], np.float64), "moves"
            ),
        )
    )


def _numbered(model: Trees) -> tuple[Integers, Integers]:
    """Each node's tree and its number there; the nodes of a tree lie together, its root first."""
    starts = np.sort(model.roots)
    tree = np.searchsorted(starts, np.arange(len(model.left)), side="right") - 1
    return tree, np.arange(len(model.left)) - starts[tree]
