"""Estimators of scikit-learn's interface as candidates: their own words, in Spark and without."""

from __future__ import annotations

import json
import math
import random
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, SVR
from tests.spark.test_bad_input import FIRST, opened

from driftline import candidates, portable, schemas, scoring, split, training
from driftline.adapter import Adapted
from driftline.errors import DriftlineError
from driftline.jobs import features, proving, train
from driftline.models import Candidate
from driftline.portable import proof, saved
from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.sections import Prepare, Train
from driftline.serving import champion
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable
from driftline.training import How
from driftline.trials import best

COLUMNS = [("x", "double"), ("y", "double")]
BOOSTED = "sklearn.ensemble.HistGradientBoosting"
SMALL = {"max_iter": 12, "max_leaf_nodes": 5, "min_samples_leaf": 5}


@pytest.fixture(scope="module")
def rows(spark):
    """300 rows; where one number is large, the other speaks the other way."""
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=300), draw.normal(size=300)
    amount = np.where(x > 0, y, -y) + draw.normal(0, 0.5, 300)
    made = [
        (float(a), float(b), float(c > 0), float(c), n % 3)
        for n, (a, b, c) in enumerate(zip(x, y, amount, strict=True))
    ]
    ddl = "x double, y double, label double, amount double, fold int"
    return spark.createDataFrame(made, ddl).coalesce(1).persist()


@pytest.fixture(scope="module")
def problem(repository):
    flagship = load_problem(repository / "conf" / "churn.yaml")

    def changed(candidates: dict, task: str = "classification", **more):
        metric = "roc_auc" if task == "classification" else "rmse"
        train = Train(metric=metric, folds=3, candidates=candidates, **more)
        return flagship.model_copy(update={"train": train, "prepare": Prepare(), "task": task})

    return changed


def theirs(vectors, estimator, *, weights: bool = False):
    """scikit-learn's own predictions on the vectors that it was fitted on."""
    found = vectors.select(vector_to_array("features").alias("v"), "label").toArrow()
    x, label = np.array(found["v"].to_pylist()), found["label"].to_numpy()
    share = label.mean()
    weight = np.where(label == 1, 0.5 / share, 0.5 / (1 - share)) if weights else None
    model = estimator.fit(x, label, **({} if weight is None else {"sample_weight": weight}))
    if isinstance(model, SVC):  # whose score is the logistic of its margin
        return 1 / (1 + np.exp(-model.decision_function(x)))
    return model.predict_proba(x)[:, 1] if hasattr(model, "classes_") else model.predict(x)


def test_a_fit_is_the_same_wherever_rows_are_near(rows, monkeypatch) -> None:
    """An executor's own partitions come first in coalesce, in whatever order those are."""
    features = array_to_vector(F.array("x", "y")).alias("features")
    vectors = rows.repartition(4, "x").select(features, "label").persist()
    forest = "sklearn.ensemble.RandomForestClassifier", {"n_estimators": 3, "max_depth": 3}
    estimator = Adapted(*forest, task="classification", seed=7, weighted=False)
    one = estimator.fit(vectors).getOrDefault("numbers")
    near = type(rows).coalesce

    def far(frame, number: int):
        return near(frame.orderBy(F.spark_partition_id().desc()), number)

    monkeypatch.setattr(type(rows), "coalesce", far)
    assert estimator.fit(vectors).getOrDefault("numbers") == one
    vectors.unpersist()


@pytest.mark.parametrize(
    ("name", "parameters", "estimator", "weights"),
    [
        (f"{BOOSTED}Classifier", SMALL, HistGradientBoostingClassifier, True),
        pytest.param(
            *(f"{BOOSTED}Regressor", SMALL, HistGradientBoostingRegressor, False),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("sklearn.linear_model.LogisticRegression", {"C": 0.3}, LogisticRegression, False),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("sklearn.linear_model.Ridge", {"alpha": 2.0}, Ridge, False), marks=pytest.mark.slow
        ),
        pytest.param(
            *("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 9, "max_depth": 4}),
            *(RandomForestClassifier, False),
            marks=pytest.mark.slow,
        ),
        pytest.param(*("sklearn.svm.SVC", {"C": 0.5}, SVC, True), marks=pytest.mark.slow),
        pytest.param(
            *("sklearn.neighbors.KNeighborsClassifier", {"n_neighbors": 9}),
            *(KNeighborsClassifier, False),
            marks=pytest.mark.slow,
        ),
        pytest.param(*("sklearn.svm.SVR", {"C": 3.0}, SVR, False), marks=pytest.mark.slow),
        pytest.param(
            *("xgboost.XGBClassifier", {"n_estimators": 9, "max_depth": 3}, None, False),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_spark_and_the_portable_model_say_what_scikit_learn_says(
    spark, rows, problem, tmp_path, name, parameters, estimator, weights
) -> None:
    """On its rows (XGBoost and support vectors in single precision); our two on others, too."""
    if estimator is None:
        reason = "the extra xgboost is not installed"
        estimator = pytest.importorskip("xgboost", reason=reason).XGBClassifier
    task = "regression" if name.endswith(("Regressor", "Ridge", "SVR")) else "classification"
    calm = rows if task == "classification" else rows.withColumn("label", F.col("amount"))
    more = {"class_weights": "balanced"} if weights else {}
    asked = problem({"ours": {"class": name}}, task, **more)
    seeded = "random_state" in estimator().get_params() and "linear" not in name
    given = {**parameters, **({"random_state": 7} if seeded else {})}
    candidate = Candidate("ours", (("class", name), *parameters.items()))
    fitted, learnt = training.refit(calm, candidate, asked, COLUMNS)
    vectors = learnt.transformer().transform(calm)
    expected = theirs(vectors, estimator(**given), weights=weights)
    fitted.write().save(str(tmp_path / "saved"))
    model = PipelineModel.load(str(tmp_path / "saved"))
    found = scoring.scored(calm, model, task=task).toArrow()
    single = name.startswith(("xgboost", "sklearn.svm"))
    near = 1e-5 * max(1.0, np.abs(expected).max()) if single else 1e-12
    assert np.abs(found["score"].to_numpy() - expected).max() < near
    assert len(set(expected.tolist())) > 8
    columns = tuple(Column(each, "double", edges=(-2.0, 0.0, 2.0)) for each in ("x", "y"))
    facts = Facts("t", "?", task, "d", "who", "string", columns)
    there = Portable(portable.files(learnt, tmp_path / "saved", facts)[portable.FILE])
    simulated = proof.simulate(learnt, saved.read(tmp_path / "saved"), columns, rows=3000, seed=1)
    both = scoring.scored(spark.createDataFrame(simulated), model, task=task).toArrow()
    compared = proof.compare(
        both["score"].to_numpy(), there.score(*there.inputs(both)), range(3000)
    )
    assert compared.largest < 1e-9, compared
    # Nothing that was saved is a pickle: texts, and Parquet's numbers.
    for path in (tmp_path / "saved").rglob("part-*"):
        content = path.read_bytes()
        assert content[:4] == b"PAR1" or json.loads(content.splitlines()[0])


THEIRS = """
class Raises:
    def fit(self, x, y):
        raise ValueError(f"a row's value: {x[0, 0]}")

    def predict_proba(self, x): ...

    def to_onnx(self, x): ...


class Lies(Raises):
    def fit(self, x, y):
        from sklearn.naive_bayes import GaussianNB

        self.real = GaussianNB().fit(x, y)
        return self

    def predict_proba(self, x):
        return self.real.predict_proba(-x)

    def to_onnx(self, x):
        from skl2onnx import to_onnx

        return to_onnx(self.real, x, options={"zipmap": False})

    def __reduce__(self):
        raise AssertionError("a candidate is never pickled")


class Own(Lies):
    def predict_proba(self, x):
        return self.real.predict_proba(x)
"""


@pytest.fixture(scope="module")
def theirs_module(spark, tmp_path_factory):
    """A module of somebody's own, brought as --py-files brings it."""
    file = tmp_path_factory.mktemp("theirs") / "somebodys.py"
    file.write_text(THEIRS, "utf-8")
    spark.sparkContext.addPyFile(str(file))


def test_a_search_among_all_kinds_goes_on_when_some_fail(rows, problem, theirs_module) -> None:
    grids = {
        "logistic_regression": {"maxIter": (5,)},
        "boosted": {"class": f"{BOOSTED}Classifier", **{k: (v,) for k, v in SMALL.items()}},
        "own": {"class": "somebodys.Own"},
        "wrong": {"class": f"{BOOSTED}Classifier", "trees": (3,)},
        "raises": {"class": "somebodys.Raises"},
        "lies": {"class": "somebodys.Lies"},
    }
    asked = problem(grids)
    sides = split.sides(asked.split, [], folds=3, horizon=30)
    trials = training.search(rows, asked, COLUMNS, How(sides, 2))
    linear, boosted, own, wrong, raises, lies = trials
    assert boosted.mean > 0.8 > 0.65 > linear.mean
    assert own.error is None and math.isfinite(own.mean)
    assert wrong.error == "TypeError"
    assert raises.error == "ValueError (somebodys.py, line 4)"
    assert re.match("what is kept differs from the estimator by up to 0[.]", lies.error)
    assert best(trials, cut=False) is boosted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "needs"),
    [
        ({"class": "sklearn.svm.SVC", "C": (0.1, 1.0)}, "sklearn"),
        ({"class": "driftline.nets.pytorch.Classifier", "epochs": (10, 100)}, "torch"),
        ({"class": "driftline.nets.tensorflow.Classifier", "epochs": (60,)}, "tensorflow"),
        ({"class": "somebodys.Own"}, "sklearn"),
    ],
    ids=["scikit-learn", "pytorch", "tensorflow", "own"],
)
def test_its_champion_is_served(
    open_line, tmp_path, spark, monkeypatch, theirs_module, grid, needs
) -> None:
    """The train job: search, refit, proof, promotion; what a server fetches; what it refuses."""
    pytest.importorskip(needs, reason=f"{needs} is not installed: the extra of driftline.nets")
    monkeypatch.setattr(proving, "_OF_GRAPHS", 3000)
    draw = random.Random(4)
    events = []
    for who in range(150):
        for _ in range(12 if who % 3 == 0 else 3):
            at = FIRST + timedelta(days=draw.uniform(0, 60))
            events.append((f"w{who}", at, draw.gauss(5, 1), "a"))
    line = opened(
        *(open_line, tmp_path, spark, events),
        train={"metric": "roc_auc", "candidates": {"mine": grid}, "gate": {"beat": ()}},
        cutoffs={"first": "2024-03-25", "every": "10d"},
    )
    candidates.check(line.problem)
    features.run(line)
    assert "now champion" in train.run(line)
    trials = line.tables.read(schemas.TRIALS.full_name).collect()
    assert [row.error for row in trials] == [None] * len(trials)
    proved = line.tables.read(schemas.EVALUATIONS.full_name).where("model = 'portable'").collect()
    assert {(r.part, r.metric): r.value for r in proved}["portable_simulated", "rows_beyond"] == 0
    assert {r.rows for r in proved if r.part == "portable_simulated"} == {3000}
    # What a server does: neither Spark nor the class is asked.
    store = line.environment.mlflow
    served = Portable(champion.fetch(store, champion.find(store, "bad")))
    rows = line.tables.read("gold.features").where("label is not null")
    found = scoring.scored(
        rows,
        (registry := Registry(store, "bad")).load(registry.champion()),
        task="classification",
    ).toArrow()
    scores = served.score(*served.inputs(found))
    np.testing.assert_allclose(scores, found["score"].to_numpy(), atol=1e-6)
    assert roc_auc_score(found["label"].to_numpy(), scores) > 0.55
    # One byte of the model changed: neither Spark nor a server loads it.
    folder = Path(urlparse(registry.champion().source).path)
    for file in (folder / "portable.onnx", max(folder.rglob("part-*"), key=_size)):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(DriftlineError, match="is not what was recorded"):
            registry.load(registry.champion())
    with pytest.raises(DriftlineError, match="is not what was recorded"):
        champion.fetch(store, champion.find(store, "bad"))


def _size(path: Path) -> int:
    return path.stat().st_size
