"""Any estimator of scikit-learn's interface as an ONNX graph: its own words, on any row."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.serving.conftest import FACTS, PREPARATION

from driftline.errors import DriftlineError, Refused
from driftline.portable import graph, numbers, reasons
from driftline.portable.converted import convert, held
from driftline.portable.numbers import Linear, Onnx
from driftline.serving.model import Portable, Reasons

PLACES = 5
random = np.random.default_rng(1)
X = random.normal(size=(300, PLACES))
X[:, 3] = np.round(X[:, 3], 1)
AMOUNT = X[:, 0] * X[:, 1] + X[:, 2] + random.normal(0, 0.3, 300)
LABEL = (AMOUNT > 0).astype(np.int64)

DOUBLE, SINGLE = 1e-9, 1e-5
"""How near a graph is to its estimator, by the precision that its operators count in."""

KINDS = [
    ("sklearn.naive_bayes.GaussianNB", {}, DOUBLE),
    ("sklearn.naive_bayes.BernoulliNB", {}, DOUBLE),
    ("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 7}, DOUBLE),
    ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": 12}, DOUBLE),
    ("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis", {}, DOUBLE),
    ("sklearn.calibration.CalibratedClassifierCV", {}, DOUBLE),
    ("sklearn.svm.LinearSVC", {}, DOUBLE),
    ("sklearn.linear_model.SGDClassifier", {}, DOUBLE),
    ("sklearn.svm.SVC", {}, SINGLE),
    ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 20}, SINGLE),
    ("sklearn.ensemble.AdaBoostClassifier", {"n_estimators": 10}, SINGLE),
    ("sklearn.ensemble.BaggingClassifier", {"n_estimators": 4}, SINGLE),
    ("sklearn.ensemble.GradientBoostingRegressor", {"n_estimators": 20}, SINGLE),
    ("sklearn.svm.SVR", {}, SINGLE),
    ("sklearn.linear_model.BayesianRidge", {}, DOUBLE),
    ("sklearn.linear_model.TweedieRegressor", {}, DOUBLE),
    ("sklearn.neighbors.KNeighborsRegressor", {}, DOUBLE),
    ("sklearn.gaussian_process.GaussianProcessRegressor", {"alpha": 0.1}, DOUBLE),
    ("sklearn.cross_decomposition.PLSRegression", {}, DOUBLE),
    ("sklearn.neural_network.MLPRegressor", {"hidden_layer_sizes": 12}, DOUBLE),
]


def fitted(name: str, parameters: dict):
    """The estimator, whether it classifies, and its own words as a function of rows."""
    module, _, kind = name.rpartition(".")
    build = getattr(importlib.import_module(module), kind)
    more = {"random_state": 3} if "random_state" in build().get_params() else {}
    model = build(**parameters, **more)
    classifies = hasattr(model, "predict_proba") or hasattr(model, "decision_function")
    model.fit(X, LABEL if classifies else AMOUNT)
    if not classifies:
        return model, classifies, lambda x: np.ravel(model.predict(x))
    if hasattr(model, "predict_proba"):
        return model, classifies, lambda x: model.predict_proba(x)[:, 1]
    return model, classifies, model.decision_function


def asked(model) -> np.ndarray:
    """The rows themselves, others within and beyond them, odd numbers, thresholds of trees."""
    rows = [X, random.normal(size=(3000, PLACES)) * 2]
    odd = [0.0, -0.0, 1.0, 5e-324, 1e-40, -1e4, 1e4, np.nextafter(0.1, 1), float(np.float32(0.1))]
    rows.append(random.choice(odd, (700, PLACES)))
    for tree in np.ravel(getattr(model, "estimators_", []))[:10]:
        inner = tree.tree_.children_left >= 0
        at = zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True)
        for feature, threshold in at:
            single = np.float32(threshold)
            beside = [threshold, single, *(np.nextafter(single, np.float32(e)) for e in (-9, 9))]
            some = np.repeat(X[:1], len(beside), axis=0)
            some[:, feature] = beside
            rows.append(some)
    return np.concatenate(rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "parameters", "near"), KINDS, ids=[each[0] for each in KINDS])
def test_a_graph_says_what_its_estimator_says(name, parameters, near) -> None:
    model, classifies, own = fitted(name, parameters)
    there = convert(model, X, classifies)
    again = numbers.from_json(numbers.to_json(there))
    assert again == there
    assert there.logistic == (classifies and not hasattr(model, "predict_proba"))
    rows = asked(model)
    expected, found = own(rows), numbers.totals(again)(rows)
    assert len(rows) >= 4000
    assert (np.abs(found - expected) / np.fmax(1.0, np.abs(expected))).max() < near
    assert len(set(np.round(expected, 5).tolist())) > 3
    # What is kept is a graph of ONNX' own operators, and text.
    kept = onnx.load_model_from_string(there.content)
    assert {each.domain for each in kept.opset_import} == {"", "ai.onnx.ml"}
    written = json.loads(numbers.to_json(there))
    assert written.keys() == {"kind", "content", "logistic", "keeps_rows"}
    keeping = ("sklearn.neighbors.", "sklearn.svm.SV", "sklearn.gaussian_process.")
    assert there.keeps_rows == name.startswith(keeping)


def test_a_pipeline_that_ends_in_a_margin_is_converted() -> None:
    model = make_pipeline(StandardScaler(), LinearSVC()).fit(X, LABEL)
    there = convert(model, X, classifies=True)
    assert there.logistic
    assert np.abs(numbers.totals(there)(X) - model.decision_function(X)).max() < DOUBLE


def test_numbers_that_do_not_say_what_their_estimator_says_are_refused() -> None:
    model = LogisticRegression().fit(X, LABEL)
    read = Linear(np.ravel(model.coef_), float(model.intercept_[0]), logistic=True)
    assert held(read, model, X, True) is read
    with pytest.raises(Refused, match="differs from the estimator by up to"):
        held(replace(read, intercept=read.intercept + 0.01), model, X, True)


def test_the_portable_file_has_the_graph_in_it() -> None:
    """A linear model as a graph and as numbers: the same scores, and the same reasons."""
    model, classifies, _ = fitted("sklearn.linear_model.BayesianRidge", {})
    there = convert(model, X, classifies)
    line = Linear(model.coef_, float(model.intercept_), logistic=False)
    given = np.array([[20.0, 30.0, 1.0], [np.nan] * 3, [np.inf, -50.0, 0.0]] * 1500)
    words = np.array([["web"], ["mobile"], ["never seen"]] * 1500, object)
    scores, moved = (
        [np.asarray(ask(kind(write(PREPARATION, each, FACTS)))) for each in (there, line)]
        for kind, write, ask in (
            (Portable, graph.write, lambda loaded: loaded.score(given, words)),
            (Reasons, reasons.write, lambda loaded: loaded.contributions(given, words)),
        )
    )
    np.testing.assert_allclose(*scores, rtol=1e-12)
    np.testing.assert_allclose(*moved, rtol=1e-5, atol=1e-6)
    assert len(np.unique(moved[0], axis=0)) == 3


def test_a_reason_of_a_graph_is_what_is_left_without_the_column() -> None:
    model, classifies, own = fitted("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 7})
    content = reasons.write(PREPARATION, convert(model, X, classifies), FACTS)
    given, words = np.array([[60.0, 30.0, 1.0]]), np.array([["web"]], object)
    vector = np.array([[(60 - 50) / 25, (30 - 40) / 10, 1.0, 0.0, 1.0]])
    expected = []
    for places in ([0], [1], [2], [3, 4]):
        without = vector.copy()
        without[:, places] = 0.0
        expected.append((own(vector) - own(without))[0])
    found = Reasons(content).contributions(given, words)
    np.testing.assert_allclose(found, [expected], atol=1e-7)
    assert np.abs(expected).max() > 0.1


def file(nodes: list, shape: list, *, kind: int = TensorProto.FLOAT, opset: int = 21, **more):
    """A model of one input ``in`` and one output ``out``, with the weights ``w``."""
    ends = [
        helper.make_tensor_value_info("in", kind, ["n", PLACES]),
        helper.make_tensor_value_info("out", kind, shape),
    ]
    weights = numpy_helper.from_array(np.full((PLACES, 1), 0.1, np.float32), "w")
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more
    )


PRODUCT = helper.make_node("MatMul", ["in", "w"], ["z"])
ONE = helper.make_node("Sigmoid", ["z"], ["one"])
SIGMOID = helper.make_node("Sigmoid", ["z"], ["out"])


class Own:
    """A class of somebody's own: three methods, and nobody may pickle it."""

    def __init__(self, made, *, lies: float = 0.0, flat: bool = True) -> None:
        self.made, self.lies, self.flat = made, lies, flat

    def __reduce__(self):
        raise AssertionError("a candidate is never pickled")

    def predict_proba(self, x):
        one = 1 / (1 + np.exp(-(x * 0.1).sum(axis=1))) + self.lies
        return one if self.flat else np.column_stack([1 - one, one])

    def to_onnx(self, x):
        assert x.dtype == np.float64 and x.shape[1] == PLACES
        return self.made


def test_a_class_of_ones_own_writes_its_own_graph() -> None:
    """As bytes or as a model, of an older version, a number a row or the odds of both labels."""
    both = [
        PRODUCT,
        ONE,
        helper.make_node("Neg", ["z"], ["minus"]),
        helper.make_node("Sigmoid", ["minus"], ["zero"]),
        helper.make_node("Concat", ["zero", "one"], ["out"], axis=1),
    ]
    flat = [
        PRODUCT,
        ONE,
        helper.make_node("Flatten", ["one"], ["rows"], axis=0),
        helper.make_node("Squeeze", ["rows"], ["out"]),
    ]
    column = file([PRODUCT, SIGMOID], ["n", 1])
    told = Own(column.SerializeToString())
    for own in (
        told,
        Own(column, flat=False),
        Own(file([PRODUCT, SIGMOID], ["n", 1], opset=13)),
        Own(file(both, ["n", 2])),
        Own(file(flat, ["n"])),
    ):
        there = convert(own, X, True)
        assert not there.logistic
        np.testing.assert_allclose(numbers.totals(there)(X), told.predict_proba(X), atol=1e-6)


def external(made):
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].ClearField("raw_data")
    made.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    return made


def fixed(made):
    """A graph for as many rows as it was shown."""
    made.graph.node.append(helper.make_node("Reshape", ["one", "shape"], ["out"]))
    made.graph.initializer.append(numpy_helper.from_array(np.array([len(X), 1]), "shape"))
    return made


def test_a_graph_that_cannot_be_scored_is_refused() -> None:
    column = [PRODUCT, SIGMOID]
    three = helper.make_node("Concat", ["z", "z", "z"], ["out"], axis=1)
    other = helper.make_node("Mystery", ["in"], ["out"], domain="somebodys.own")
    mystery = file([other], ["n", 1])
    mystery.opset_import.append(helper.make_opsetid("somebodys.own", 1))
    for own, said in (
        (Own(file(column, ["n", 1]), lies=1e-3), "differs from the estimator by up to 0.001"),
        (Own(file(column, ["n", 1]), lies=np.nan), "differs from the estimator"),
        (Own(file([PRODUCT, three], ["n", 3])), "says [300, 3] of 300 rows"),
        (Own(external(file(column, ["n", 1]))), "keeps numbers in another file"),
        (Own(mystery), "onnxruntime cannot load"),
    ):
        with pytest.raises(DriftlineError) as refused:
            convert(own, X, True)
        assert said in refused.value.what
    with pytest.raises(Exception, match="Reshape"):
        convert(Own(fixed(file([PRODUCT, ONE], ["n", 1]))), X, True)
    whole = file([helper.make_node("Cast", ["in"], ["out"], to=TensorProto.INT64)], ["n", PLACES])
    whole.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    with pytest.raises(Refused, match="1 inputs, of the types"):
        convert(Own(whole), X, True)


def test_what_skl2onnx_does_not_know_is_an_error() -> None:
    from sklearn.dummy import DummyClassifier

    with pytest.raises(RuntimeError, match="DummyClassifier"):
        convert(DummyClassifier().fit(X, LABEL), X, True)


def test_bytes_that_are_no_graph_are_not_run() -> None:
    model, classifies, _ = fitted("sklearn.naive_bayes.GaussianNB", {})
    content = convert(model, X, classifies).content
    with pytest.raises(DriftlineError, match="cannot load"):
        numbers.totals(Onnx(content[:-200]))
