"""scikit-learn's estimators as candidates: its own predictions, in Spark and without Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge

from driftline import portable, scoring, split, training
from driftline.models import ADAPTED, Candidate
from driftline.portable import proof, saved
from driftline.problem import load_problem
from driftline.sections import Prepare, Train
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable
from driftline.training import How

COLUMNS = [("x", "double"), ("y", "double")]
BOOSTED = "sklearn.ensemble.HistGradientBoosting"
SMALL = {"max_iter": 12, "max_leaf_nodes": 5, "min_samples_leaf": 5}


@pytest.fixture(scope="module")
def rows(spark):
    """300 rows; where one number is large, the other speaks the other way."""
    random = np.random.default_rng(3)
    x, y = random.normal(size=300), random.normal(size=300)
    amount = np.where(x > 0, y, -y) + random.normal(0, 0.5, 300)
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
    model = estimator.fit(x, label, sample_weight=weight)
    return model.predict_proba(x)[:, 1] if hasattr(model, "classes_") else model.predict(x)


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
        pytest.param(
            *("xgboost.XGBClassifier", {"n_estimators": 9, "max_depth": 3}, None, False),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_spark_and_the_portable_model_say_what_scikit_learn_says(
    spark, rows, problem, tmp_path, name, parameters, estimator, weights
) -> None:
    """On its rows (XGBoost adds up in single precision); our two on every threshold, too."""
    if estimator is None:
        reason = "the extra xgboost is not installed"
        estimator = pytest.importorskip("xgboost", reason=reason).XGBClassifier
    task = ADAPTED[name]
    calm = rows if task == "classification" else rows.withColumn("label", F.col("amount"))
    more = {"class_weights": "balanced"} if weights else {}
    asked = problem({"ours": {"class": name}}, task, **more)
    given = {**parameters, **({} if "linear" in name else {"random_state": 7})}
    candidate = Candidate("ours", (("class", name), *parameters.items()))
    fitted, learnt = training.refit(calm, candidate, asked, COLUMNS)
    vectors = learnt.transformer().transform(calm)
    expected = theirs(vectors, estimator(**given), weights=weights)
    fitted.write().save(str(tmp_path / "saved"))
    model = PipelineModel.load(str(tmp_path / "saved"))
    found = scoring.scored(calm, model, task=task).toArrow()
    near = 1e-6 if name.startswith("xgboost") else 1e-12
    assert np.abs(found["score"].to_numpy() - expected).max() < near
    assert len(set(expected.tolist())) > 20
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


def test_a_search_among_both_kinds_and_one_that_takes_no_such_parameter(rows, problem) -> None:
    grids = {
        "logistic_regression": {"maxIter": (5,)},
        "boosted": {"class": f"{BOOSTED}Classifier", **{k: (v,) for k, v in SMALL.items()}},
        "wrong": {"class": f"{BOOSTED}Classifier", "trees": (3,)},
    }
    asked = problem(grids)
    sides = split.sides(asked.split, [], folds=3, horizon=30)
    linear, boosted, wrong = training.search(rows, asked, COLUMNS, How(sides, 2))
    assert boosted.mean > 0.8 > 0.65 > linear.mean
    assert wrong.error == "TypeError"
    assert training.best([linear, boosted, wrong]) is boosted
