"""Scoring: as many rows come back as were given, each with a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

from driftline import calibration, models, prepare, scoring
from driftline.errors import Missing
from driftline.models import Candidate
from driftline.portable import graph, proof, reasons, saved
from driftline.prepare import Preparation
from driftline.sections import Prepare
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable, Reasons

NAN, INF = float("nan"), float("inf")
COLUMNS = [("x", "double"), ("w", "string")]
DDL = "who string, x double, w string"
TRAINING = [(f"{n}", float(n % 10), "ab"[n % 2], float(n % 10 > 4)) for n in range(60)]
ASKED = [
    ("low", 0.0, "a"),
    ("high", 9.0, "b"),
    ("null", None, "a"),
    ("nan", NAN, "a"),
    ("infinite", INF, "b"),
    ("minus infinite", -INF, "b"),
    ("huge", 1.7e308, "b"),
    ("unseen category", 3.0, "never seen"),
    ("no category", 3.0, None),
    ("nothing at all", None, None),
    (None, 3.0, "a"),
    ("low", 0.0, "a"),
]


def fitted(spark, family: str, task: str, **parameters) -> tuple[PipelineModel, Preparation]:
    rows = spark.createDataFrame(TRAINING, f"{DDL}, label double")
    preparation = prepare.fit(rows, COLUMNS, Prepare())
    transformer = preparation.transformer()
    candidate = Candidate(family, tuple(parameters.items()))
    places = len(preparation.names)
    estimator = models.estimator(candidate, task=task, seed=1, places=places)
    model = PipelineModel([*transformer.stages, estimator.fit(transformer.transform(rows))])
    return model, preparation


@pytest.mark.parametrize(
    ("family", "task", "parameters"),
    [
        ("logistic_regression", "classification", {"maxIter": 5, "regParam": 0.01}),
        ("random_forest", "classification", {"numTrees": 3, "maxDepth": 3}),
        ("gradient_boosted_trees", "classification", {"maxIter": 2, "maxDepth": 2}),
        ("random_forest", "regression", {"numTrees": 3, "maxDepth": 3}),
        ("gradient_boosted_trees", "regression", {"maxIter": 2, "maxDepth": 2}),
        ("linear_regression", "regression", {"regParam": 0.1}),
    ],
)
def test_every_row_is_scored(spark, tmp_path, family, task, parameters) -> None:
    """By Spark, and by the portable model alike: on odd rows and on simulated ones."""
    model, preparation = fitted(spark, family, task, **parameters)
    asked = spark.createDataFrame(ASKED, DDL).repartition(3)
    found = scoring.scored(asked, model, task=task)
    assert found.columns == ["who", "x", "w", "score", "prediction"]
    rows = found.collect()
    assert sorted(str(row.who) for row in rows) == sorted(str(who) for who, *_ in ASKED)
    assert all(math.isfinite(row.score) for row in rows)
    score = {row.who: row.score for row in rows}
    assert score["low"] < score["high"]
    # Clipping, learnt from training rows, makes what is beyond them the same as their end.
    assert score["infinite"] == score["huge"] == score["high"]
    for row in rows:
        if task == "classification":
            assert 0 <= row.score <= 1
            assert row.prediction == float(row.score >= 0.5)
        else:
            assert row.prediction == row.score
    model.write().save(str(tmp_path / "saved"))
    numbers = saved.read(tmp_path / "saved")
    columns = (Column("x", "double", edges=(0.0, 9.0)), Column("w", "string", words=("a", "b")))
    facts = Facts("test", "which?", task, "digest", "who", "string", columns)
    portable_file = graph.write(preparation, numbers, facts)
    portable = Portable(portable_file)
    assert portable.facts == facts
    simulated = proof.simulate(preparation, numbers, columns, rows=5000, seed=1)
    both = spark.createDataFrame(simulated).unionByName(asked.select("x", "w"))
    by_spark = scoring.scored(both, model, task=task).toArrow()
    scores = by_spark.column("score").to_numpy()
    compared = proof.compare(scores, portable.score(*portable.inputs(by_spark)), range(6000))
    assert compared.holds, compared
    assert compared.rows == 5000 + len(ASKED)
    assert compared.largest < 1e-12
    assert len(set(scores)) > 1
    # In a batch job, with a column too many: the same again, every row once.
    batch = asked.withColumn("more", F.lit(1))
    files = (portable_file, reasons.write(preparation, numbers, facts), facts)
    again = scoring.predicted(batch, *files, keep=("who",)).collect()
    assert [*again[0].asDict()] == ["who", "score", "prediction", "reasons"]
    key = lambda row: (str(row.who), row.score)  # noqa: E731
    for one, other in zip(sorted(again, key=key), sorted(rows, key=key), strict=True):
        assert one.who == other.who
        assert one.score == pytest.approx(other.score, abs=1e-12)
        assert one.prediction == pytest.approx(other.prediction, abs=1e-12)
    with pytest.raises(Missing, match="the rows to score lack w"):
        scoring.predicted(asked.drop("w"), *files, keep=("who",))
    why = {row.who: row.reasons for row in again}
    assert why["low"][0] == why["high"][0] == "x"
    # Contributions add up to what the model says above its roots, before any logistic.
    inputs = portable.inputs(by_spark)
    with np.errstate(divide="ignore"):
        total = np.log(scores / (1 - scores)) if numbers.logistic else scores
    start = numbers.intercept if isinstance(numbers, saved.Linear) else numbers.value[numbers.roots]
    moved = Reasons(files[1]).contributions(*inputs).sum(axis=1)
    apart = np.abs(moved + np.sum(start) - total)[np.isfinite(total)]
    assert apart.max() < 1e-4


def test_the_score_is_the_probability_of_label_one(spark) -> None:
    """Not of label 0, and not the margin: above five the label is 1."""
    model, _ = fitted(spark, "logistic_regression", "classification", maxIter=50)
    asked = spark.createDataFrame([("a", 0.0, "a"), ("b", 9.0, "b")], DDL)
    low, high = scoring.scored(asked, model, task="classification").orderBy("who").collect()
    assert (low.prediction, high.prediction) == (0, 1)
    assert low.score < 0.1 < 0.9 < high.score


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("logistic_regression", {"regParam": 0.01}),
        ("linear_svc", {"maxIter": 5}),
        ("random_forest", {"numTrees": 3, "maxDepth": 3}),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("gradient_boosted_trees", {"maxIter": 2, "maxDepth": 2}),
                ("naive_bayes", {}),
                ("multilayer_perceptron", {"hidden": 3, "maxIter": 5}),
            )
        ),
    ],
)
def test_calibrated_scores_are_the_same_everywhere(spark, tmp_path, family, parameters) -> None:
    """As a Spark column, in the portable graph and in numpy; a margin's Platt is a probability."""
    model, preparation = fitted(spark, family, "classification", **parameters)
    model.write().save(str(tmp_path / "saved"))
    numbers = saved.read(tmp_path / "saved")
    columns = (Column("x", "double", edges=(0.0, 9.0)), Column("w", "string", words=("a", "b")))
    facts = Facts("test", "which?", "classification", "digest", "who", "string", columns)
    simulated = proof.simulate(preparation, numbers, columns, rows=3000, seed=1)
    drawn = F.pmod(F.xxhash64("x", "w"), F.lit(100)) < F.when(F.col("x") > 4, 70).otherwise(20)
    asked = spark.createDataFrame(simulated).withColumn("label", drawn.cast("double")).persist()
    known = scoring.to_calibrate(asked, model).toArrow()
    label, score, odds = (column.to_numpy() for column in known.columns)
    assert scoring.probable(model, None) == (family != "linear_svc")
    for method, given in (("platt", odds), ("isotonic", score)):
        sure = calibration.fit(method, label, given)
        assert scoring.probable(model, sure)
        found = scoring.scored(asked, model, task="classification", calibration=sure).toArrow()
        there = Portable(graph.write(preparation, numbers, facts, sure))
        portable_score = there.score(*there.inputs(found))
        by_spark = found["score"].to_numpy()
        assert proof.compare(by_spark, portable_score, range(3000)).largest < 1e-9
        assert proof.compare(by_spark, sure(given), range(3000)).largest < 1e-9
        assert len(set(by_spark.tolist())) > 1
        assert found["prediction"].to_pylist() == (by_spark >= 0.5).tolist()
        assert by_spark.mean() == pytest.approx(label.mean(), abs=0.01)
    asked.unpersist()
