"""Any fitted estimator with scikit-learn's interface → an ONNX graph that says what it says.

Its own method ``to_onnx(x)`` makes the file where it has one (bytes, or a ``ModelProto``; ``x`` are
rows as it was fitted on, in double precision): one input, rows × places, and as its last output a
number a row, for a classification the probability of label 1 or of both labels. Else skl2onnx does,
in double precision where it and onnxruntime can, in single where they cannot, as for trees, which
scikit-learn itself asks in single precision. Either way the graph is asked about rows beside the
estimator before it is kept. No pickle is written or read anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    TensorProto,
    compose,
    helper,
    inliner,
    numpy_helper,
    version_converter,
)
from onnx.external_data_helper import uses_external_data
from scipy.special import expit

from driftline.errors import Refused
from driftline.portable.numbers import Floats, Linear, Onnx, Trees, totals
from driftline.serving.model import session

OPSET = 21
"""The version of ``ai.onnx`` that graphs are written in."""

NEAR = 1e-5
"""By so much a graph may differ from its estimator; of the largest value where that is beyond ±1.
Single precision, in which some networks and operators of onnxruntime count, has 1e-7."""

_ASKED = 1000
"""Rows that an estimator and its graph are both asked about."""

_TYPES = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}


def convert(model: Any, x: Floats, classifies: bool) -> Onnx:
    """The graph of a fitted estimator; ``x`` are rows that it was fitted on.

    :class:`Refused` where the graph is of a form that cannot be scored, or says something else.
    """
    asked = x[:_ASKED]
    margin = classifies and not hasattr(model, "predict_proba")
    expected = _said(model, asked, classifies=classifies)
    if hasattr(model, "to_onnx"):
        made = model.to_onnx(asked)
        content = made if isinstance(made, bytes) else made.SerializeToString()
        return _graph(normal(content, asked), x, expected, margin=margin)
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    def by(kind: Any) -> Onnx:
        content = _by_skl2onnx(model, kind([None, x.shape[1]]), margin=margin)
        return _graph(normal(content, asked), x, expected, margin=margin)

    try:
        return by(DoubleTensorType)
    except Exception:  # skl2onnx' and onnxruntime's have no class in common; single is asked alike
        return by(FloatTensorType)


def _said(model: Any, x: Floats, *, classifies: bool) -> Floats:
    """The estimator's own probability of label 1, else its margin; or its prediction."""
    if not classifies:
        return np.ravel(np.asarray(model.predict(x), np.float64))
    if not hasattr(model, "predict_proba"):
        return np.ravel(np.asarray(model.decision_function(x), np.float64))
    found = np.asarray(model.predict_proba(x), np.float64)
    return np.ravel(found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found)


def _by_skl2onnx(model: Any, kind: Any, *, margin: bool) -> bytes:
    from skl2onnx import get_model_alias, to_onnx
    from skl2onnx.common._registration import get_converter

    wanted = {"zipmap": False, **({"raw_scores": True} if margin else {})}
    last = model.steps[-1][1] if hasattr(model, "steps") else model  # a pipeline hands them down
    allowed = get_converter(get_model_alias(type(last))).get_allowed_options() or {}
    made = to_onnx(
        model,
        initial_types=[("x", kind)],
        target_opset={"": OPSET, "ai.onnx.ml": 3},
        options={id(last): {name: value for name, value in wanted.items() if name in allowed}},
    )
    return bytes(made.SerializeToString())


def held(found: Linear | Trees, model: Any, x: Floats, classifies: bool) -> Linear | Trees:
    """An estimator's numbers, once they say what it says of rows that it was fitted on."""
    total, asked = totals(found), x[:_ASKED]
    _same(
        lambda rows: expit(total(rows)) if found.logistic else total(rows),
        asked,
        _said(model, asked, classifies=classifies),
    )
    return found


def _graph(content: bytes, x: Floats, expected: Floats, *, margin: bool) -> Onnx:
    """The graph, once it says what the estimator says."""
    graph = Onnx(content, margin, keeps_rows=_keeps(onnx.load_model_from_string(content).graph, x))
    _same(totals(graph), x[:_ASKED], expected)
    return graph


def _keeps(graph: Any, x: Floats) -> bool:
    """Whether a row stands among a graph's numbers, as those of neighbours and supports do."""
    places = x.shape[1]
    wanted = {row.tobytes() for row in x.astype(np.float32) + np.float32(0)}  # −0 is 0
    for found in _tables(graph):
        if found.size % places == 0:
            for rows in (found.reshape(-1, places), found.reshape(places, -1).T):
                single = rows.astype(np.float32) + np.float32(0)
                if not wanted.isdisjoint(row.tobytes() for row in single):
                    return True
    return False


def _tables(graph: Any) -> Iterator[Any]:
    """All lists and tensors of floating numbers in a graph."""
    tensors = [*graph.initializer]
    for node in graph.node:
        for each in node.attribute:
            if each.type == AttributeProto.FLOATS:
                yield np.array(each.floats)
            elif each.type == AttributeProto.TENSOR:
                tensors.append(each.t)
            elif each.type == AttributeProto.GRAPH:
                yield from _tables(each.g)
    for each in tensors:
        if each.data_type in _TYPES:
            yield numpy_helper.to_array(each)


def _same(score: Callable[[Floats], Floats], x: Floats, expected: Floats) -> None:
    """:class:`Refused` unless that is what the estimator says of many rows, and of a single one."""
    unit = max(1.0, float(np.abs(expected).max()))
    for rows in (len(x), 1):
        apart = np.abs(score(x[:rows]) - expected[:rows]).max()
        if not apart <= NEAR * unit:
            raise Refused(
                f"what is kept differs from the estimator by up to {apart:.3g} "
                f"(allowed {NEAR * unit:.3g})",
                hint="a method to_onnx(x) of the class may write another form",
            )


def normal(content: bytes, x: Floats) -> bytes:
    """An estimator's file in the form of :class:`~driftline.portable.numbers.Onnx`: its input from
    double precision, its last output to it.
    """
    made = onnx.load_model_from_string(content)
    if any(map(uses_external_data, made.graph.initializer)):
        raise Refused(
            "the ONNX form keeps numbers in another file",
            hint="to_onnx has to return all of it: torch.onnx.export(…, external_data=False)",
        )
    kinds = [given.type.tensor_type.elem_type for given in made.graph.input]
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        raise Refused(
            f"the ONNX form has {len(kinds)} inputs, of the types {kinds}",
            hint="one input is expected, rows × places, of float (1) or double (11)",
        )
    given = made.graph.input[0].name
    shape = session(content).run(None, {given: x.astype(_TYPES[kinds[0]])})[-1].shape
    if shape not in ((len(x),), (len(x), 1), (len(x), 2)):
        raise Refused(
            f"the ONNX form says {list(shape)} of {len(x)} rows",
            hint="its last output has to be a number a row, or the probabilities of two labels",
        )
    made = inliner.inline_local_functions(made)
    if _version(made, "") != OPSET:
        made = version_converter.convert_version(made, OPSET)
    made = compose.add_prefix(made, "own_")
    constants = [numpy_helper.from_array(np.array([-1, 1]), "column")]
    nodes = [
        helper.make_node("Cast", ["x"], [made.graph.input[0].name], to=kinds[0]),
        *made.graph.node,
        helper.make_node("Cast", [made.graph.output[-1].name], ["said"], to=TensorProto.DOUBLE),
    ]
    if shape == (len(x), 2):
        constants.append(numpy_helper.from_array(np.array([1]), "one"))
        nodes.append(helper.make_node("Gather", ["said", "one"], ["probability"], axis=1))
    nodes.append(helper.make_node("Reshape", [nodes[-1].output[0], "column"], ["score"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", places])
        for name, places in (("x", x.shape[1]), ("score", 1))
    ]
    whole = helper.make_graph(
        nodes, "estimator", ends[:1], ends[1:], [*made.graph.initializer, *constants]
    )
    found = helper.make_model(
        whole,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid("ai.onnx.ml", _version(made, "ai.onnx.ml")),
        ],
        ir_version=10,
    )
    onnx.checker.check_model(found, full_check=True)
    return bytes(found.SerializeToString(deterministic=True))


def _version(made: Any, domain: str) -> int:
    """Of a set of operators; 3 where a file has none of it."""
    named = "ai.onnx" if domain == "" else domain
    return next((int(e.version) for e in made.opset_import if e.domain in (domain, named)), 3)


@dataclass(frozen=True)
class Part:
    """An estimator's graph as a part of another: it reads ``vector`` and says ``score``."""

    nodes: Sequence[Any]
    constants: Sequence[Any]
    score: str
    trees: int
    """The version of ``ai.onnx.ml``."""


def part(model: Onnx, vector: str) -> Part:
    """The graph with names that no other has, its input from ``vector``."""
    made = compose.add_prefix(onnx.load_model_from_string(model.content), "estimator_")
    start = helper.make_node("Identity", [vector], [made.graph.input[0].name])
    return Part(
        [start, *made.graph.node],
        list(made.graph.initializer),
        made.graph.output[0].name,
        _version(made, "ai.onnx.ml"),
    )
