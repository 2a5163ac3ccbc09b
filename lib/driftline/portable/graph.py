"""A preparation and a model's numbers → one ONNX file in float64 that says what it is.

Own code rather than a converter: converters know MLlib's feature stages, not ours, and write the
thresholds of trees in float32, which sends a row at a threshold to the other side. The graph is
``ai.onnx`` 21 with ``ai.onnx.ml`` 5, whose ``TreeEnsemble`` is double throughout; an estimator's
own graph (:mod:`driftline.portable.converted`) stays as it is, with the version it has.

Inputs ``numbers`` (rows × number columns, missing = NaN) and ``words`` (rows × text columns,
missing = :data:`MISSING`); output ``score`` (rows). What the columns are, and the problem, is JSON
under ``driftline`` in the file's metadata (:class:`driftline.serving.facts.Facts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from driftline.calibration import Calibration, Isotonic, Platt
from driftline.errors import DriftlineError
from driftline.portable.converted import OPSET, part
from driftline.portable.numbers import Bayes, Linear, Model, Onnx, Perceptron, Trees
from driftline.prepare import Categorical, Numeric, Preparation
from driftline.serving.facts import MISSING, Facts


def write(
    preparation: Preparation, model: Model, facts: Facts, calibration: Calibration | None = None
) -> bytes:
    """The ONNX file; ``facts`` must name the columns in the preparation's order."""
    graph = Graph()
    vector = prepared(graph, preparation)
    total = _total(graph, vector, model, len(preparation.names))
    if isinstance(calibration, Platt):
        steep = graph.add("Mul", total, _one(graph, calibration.slope))
        score = graph.add("Sigmoid", graph.add("Add", steep, _one(graph, calibration.intercept)))
    else:
        score = _score(graph, total, model)
    if isinstance(calibration, Isotonic):
        score = _steps(graph, score, calibration)
    flat = graph.constant(np.array([-1], np.int64))
    graph.nodes.append(helper.make_node("Reshape", [score, flat], ["score"]))
    output = helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["rows"])
    return graph.file(output, facts)


def _total(graph: Graph, vector: str, model: Model, places: int) -> str:
    """What a score is the logistic or the exponential of, or the score itself: rows × 1."""
    if isinstance(model, Bayes):
        zero, one = (_log_likelihood(graph, vector, model, label) for label in (0, 1))
        return graph.add("Sub", one, zero)
    if isinstance(model, Perceptron):
        return linear(graph, units(graph, vector, model), model.outer, model.intercept)
    if isinstance(model, Linear):
        return linear(graph, vector, model.coefficients, model.intercept)
    if isinstance(model, Onnx):
        own = part(model, vector)
        graph.nodes += own.nodes
        graph.constants += own.constants
        graph.trees = own.trees
        return own.score
    return _trees(graph, vector, places, model)


def _score(graph: Graph, total: str, model: Model) -> str:
    if isinstance(model, Bayes):
        # No logistic: where both are infinite, Spark's share is no number, either.
        odds = graph.add("Exp", graph.add("Neg", total))
        return graph.add("Reciprocal", graph.add("Add", _one(graph, 1.0), odds))
    if isinstance(model, Perceptron) or model.logistic:
        return graph.add("Sigmoid", total)
    exponential = isinstance(model, Linear) and model.exponential
    return graph.add("Exp", total) if exponential else total


def _steps(graph: Graph, score: str, calibration: Isotonic) -> str:
    """:class:`Isotonic` of the score, rows × 1."""
    sure = graph.add("Add", graph.add("Sub", score, score), _one(graph, calibration.base))
    if not calibration.start:
        return sure
    away = graph.add("Sub", score, graph.constant(_row(calibration.start)))
    share = graph.add("Div", away, graph.constant(_row(calibration.width)))
    share = graph.add("Min", graph.add("Max", share, _one(graph, 0.0)), _one(graph, 1.0))
    rises = graph.constant(np.asarray(calibration.rise)[:, None])
    return graph.add("Add", graph.add("MatMul", share, rises), sure)


def _one(graph: Graph, value: float) -> str:
    return graph.constant(np.array([[value]]))


_DOUBLE = TensorProto.DOUBLE


def prepared(graph: Graph, preparation: Preparation) -> str:
    """Add the inputs and the preparation; the name of the vector, rows × places."""
    parts = []
    if preparation.numeric:
        graph.inputs.append(_values("numbers", TensorProto.DOUBLE, len(preparation.numeric)))
        parts.append(_numbers(graph, preparation.numeric))
        if preparation.flagged:
            parts.append(_flags(graph, preparation))
    if preparation.categorical:
        graph.inputs.append(_values("words", TensorProto.STRING, len(preparation.categorical)))
        parts += _categories(graph, preparation.categorical)
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


class Graph:
    """Nodes and constants as they are added, with names of their own."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.trees = 5
        """The version of ``ai.onnx.ml``."""

    def constant(self, values: np.ndarray[Any, Any]) -> str:
        """Add a constant; its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def words(self, values: Sequence[str]) -> str:
        """Add a constant row of texts; its name."""
        name = f"constant{len(self.constants)}"
        text = np.asarray([list(values)], object)
        self.constants.append(numpy_helper.from_array(text, name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        name = f"{operation.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def file(self, output: Any, facts: Facts) -> bytes:
        """The whole as a file."""
        made = helper.make_model(
            helper.make_graph(self.nodes, facts.name, self.inputs, [output], self.constants),
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", self.trees),
            ],
            ir_version=10,
            producer_name="driftline",
        )
        helper.set_model_props(made, {"driftline": facts.to_json()})
        onnx.checker.check_model(made, full_check=True)
        return bytes(made.SerializeToString(deterministic=True))


def _values(name: str, type_: int, columns: int) -> Any:
    return helper.make_tensor_value_info(name, type_, ["rows", columns])


def _row(values: Iterable[float]) -> np.ndarray[Any, Any]:
    return np.asarray([list(values)], np.float64)


def _numbers(graph: Graph, rules: Sequence[Numeric]) -> str:
    """All number columns at once: (clip(fill(x)) − center) / scale, as in ``prepare``'s SQL."""
    missing, unbounded = _missing(graph, rules)
    bounds = [_bounds(rule) for rule in rules]
    fill = graph.constant(_row(rule.fill for rule in rules))
    value = graph.add("Where", missing, fill, "numbers")
    if not unbounded.all():
        ends = [(-np.inf, np.inf) if each is None else each for each in bounds]
        value = graph.add("Max", value, graph.constant(_row(low for low, _ in ends)))
        value = graph.add("Min", value, graph.constant(_row(high for _, high in ends)))
    value = graph.add("Sub", value, graph.constant(_row(rule.center for rule in rules)))
    return graph.add("Div", value, graph.constant(_row(rule.scale for rule in rules)))


def _missing(graph: Graph, rules: Sequence[Numeric]) -> tuple[str, np.ndarray[Any, Any]]:
    """Where a number is filled, and which columns nothing bounds."""
    missing = graph.add("IsNaN", "numbers")
    unbounded = np.array([[_bounds(rule) is None for rule in rules]])
    if unbounded.any():  # an infinite value there counts as missing
        infinite = graph.add("IsInf", "numbers")
        missing = graph.add("Or", missing, graph.add("And", infinite, graph.constant(unbounded)))
    return missing, unbounded


def _flags(graph: Graph, preparation: Preparation) -> str:
    """1 where a flagged column is filled."""
    missing, _ = _missing(graph, preparation.numeric)
    places = [place for place, rule in enumerate(preparation.numeric) if rule.flag]
    chosen = graph.add("Gather", missing, graph.constant(np.array(places, np.int64)), axis=1)
    return graph.add("Cast", chosen, to=TensorProto.DOUBLE)


def _bounds(rule: Numeric) -> tuple[float, float] | None:
    return None if rule.low is None or rule.high is None else (rule.low, rule.high)


def _categories(graph: Graph, rules: Sequence[Categorical]) -> list[str]:
    """The places of each text column that has any."""
    for rule in rules:
        if MISSING in rule.categories:
            raise DriftlineError(
                f"a category of {rule.column} is the word that stands for a missing one",
                hint="rename that category in the data",
            )
    return [_category(graph, column, rule) for column, rule in enumerate(rules) if rule.names]


def _category(graph: Graph, column: int, rule: Categorical) -> str:
    word = graph.add("Gather", "words", graph.constant(np.array([column], np.int64)), axis=1)
    if rule.values is None and not rule.other:
        same = graph.add("Equal", word, graph.words(rule.categories))
        return graph.add("Cast", same, to=_DOUBLE)
    known = graph.words([MISSING, *rule.categories])
    same = graph.add("Cast", graph.add("Equal", word, known), to=_DOUBLE)
    seen = graph.add("ReduceSum", same, graph.constant(np.array([1], np.int64)), keepdims=1)
    unseen = graph.add("Sub", graph.constant(np.array([[1.0]])), seen)
    which = graph.add("Concat", unseen, same, axis=1)
    # Exactly one of them is 1, so that the product is the very number of one row.
    return graph.add("MatMul", which, graph.constant(_weights(rule)))


def _weights(rule: Categorical) -> np.ndarray[Any, Any]:
    """Rows: an unseen word, a missing one, each category; columns: the places they set."""
    number = len(rule.categories)
    if rule.values is not None:
        return np.array([[rule.default], [rule.default], *([value] for value in rule.values)])
    unseen = [1.0, 0.0, *[0.0] * number]
    return np.column_stack([np.vstack([np.zeros((2, number)), np.eye(number)]), unseen])


def linear(graph: Graph, vector: str, coefficients: np.ndarray[Any, Any], intercept: float) -> str:
    """X · coefficients + intercept, rows × 1."""
    product = graph.add("MatMul", vector, graph.constant(coefficients.reshape(-1, 1)))
    return graph.add("Add", product, graph.constant(np.array([[intercept]])))


def units(graph: Graph, vector: str, model: Perceptron) -> str:
    """What the hidden units say, rows × units."""
    product = graph.add("MatMul", vector, graph.constant(model.inner))
    return graph.add("Sigmoid", graph.add("Add", product, graph.constant(model.bias[None, :])))


def surprise(graph: Graph, vector: str, model: Bayes, label: int) -> str:
    """(x − mean)² / variance of each place under a label, rows × places."""
    away = graph.add("Sub", vector, graph.constant(model.mean[label : label + 1]))
    square = graph.add("Mul", away, away)
    return graph.add("Div", square, graph.constant(model.variance[label : label + 1]))


def _log_likelihood(graph: Graph, vector: str, model: Bayes, label: int) -> str:
    """Of a label and the row, up to a constant: rows × 1.

    Added up from the first place to the last, as MLlib does: far from all means the two labels'
    sums are so large that what is left of their difference is a matter of rounding.
    """
    terms = surprise(graph, vector, model, label)
    sums = graph.add("CumSum", terms, graph.constant(np.array(1, np.int64)))
    last = graph.constant(np.array([model.mean.shape[1] - 1], np.int64))
    whole = graph.add("Gather", sums, last, axis=1)
    spread = float(np.log(model.variance[label]).sum())
    whole = graph.add("Add", whole, graph.constant(np.array([[spread]])))
    half = graph.add("Div", whole, graph.constant(np.array([[2.0]])))
    return graph.add("Sub", graph.constant(np.array([[model.prior[label]]])), half)


def _trees(graph: Graph, vector: str, width: int, model: Trees) -> str:
    """One ``TreeEnsemble``; trees that are a single leaf, which it cannot say, are a constant."""
    inner = np.flatnonzero(model.left >= 0)
    leaf = np.flatnonzero(model.left < 0)
    number = np.empty(len(model.left), np.int64)  # inner nodes and leaves are numbered apart
    number[inner], number[leaf] = np.arange(len(inner)), np.arange(len(leaf))
    roots = [int(root) for root in model.roots]
    constant = sum(model.value[root] for root in roots if model.left[root] < 0)
    growing = [root for root in roots if model.left[root] >= 0]
    if not growing:
        return linear(graph, vector, np.zeros(width), constant)
    left, right = model.left[inner], model.right[inner]
    total = graph.add(
        "TreeEnsemble",
        vector,
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,  # sum
        post_transform=0,
        tree_roots=[int(number[root]) for root in growing],
        nodes_featureids=model.feature[inner].tolist(),
        nodes_splits=numpy_helper.from_array(model.threshold[inner], "splits"),
        nodes_modes=numpy_helper.from_array(np.zeros(len(inner), np.uint8), "modes"),  # ≤
        nodes_truenodeids=number[left].tolist(),
        nodes_trueleafs=(model.left[left] < 0).astype(int).tolist(),
        nodes_falsenodeids=number[right].tolist(),
        nodes_falseleafs=(model.left[right] < 0).astype(int).tolist(),
        leaf_targetids=[0] * len(leaf),
        leaf_weights=numpy_helper.from_array(model.value[leaf], "weights"),
    )
    return graph.add("Add", total, graph.constant(np.array([[constant]]))) if constant else total
