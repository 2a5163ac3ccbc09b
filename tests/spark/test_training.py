"""The search: what MLlib's own cross-validation measures, with nothing seen that is held out."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from statistics import fmean, pstdev
from types import SimpleNamespace

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F
from sklearn.metrics import mean_absolute_error, roc_auc_score

from driftline import models, portable, prepare, racing, scoring, split, training
from driftline.budgets import OverBudget
from driftline.errors import Refused
from driftline.jobs import searching
from driftline.models import Candidate
from driftline.portable import proof, saved
from driftline.problem import load_problem
from driftline.sections import Prepare, Train
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable, Reasons
from driftline.training import How
from driftline.trials import CUT, Trial, best

COLUMNS = [("x", "double"), ("y", "double")]
FOLDS = 3


@pytest.fixture(scope="module")
def rows(spark):
    """180 rows, two numbers that tell of the label; half of one fold has values far away."""
    draw = random.Random(3)
    made = []
    for n in range(180):
        x, y = draw.gauss(0, 1), draw.gauss(0, 1)
        label = float(x + 0.5 * y + draw.gauss(0, 1) > 0)
        far = 60.0 if n % FOLDS == 1 and n % 2 == 0 else 1.0
        made.append((x * far, y, label, n % FOLDS, 3 * x - y + draw.gauss(0, 1)))
    ddl = "x double, y double, label double, fold int, amount double"
    return spark.createDataFrame(made, ddl).coalesce(1).persist()


@pytest.fixture(scope="module")
def problem(repository):
    """The flagship's problem with another search and preparation."""
    flagship = load_problem(repository / "conf" / "churn.yaml")

    def changed(metric: str, candidates: dict, rule: Prepare, task: str = "classification"):
        train = Train(metric=metric, folds=FOLDS, candidates=candidates)
        return flagship.model_copy(update={"train": train, "prepare": rule, "task": task})

    return changed


def searched(rows, problem) -> list[Trial]:
    asked = []
    sides = split.sides(problem.split, [], folds=FOLDS, horizon=30)
    trials = training.search(rows, problem, COLUMNS, How(sides, 2, asked.append))
    assert sorted(map(str, asked)) == sorted(
        str(each.candidate) for each in trials for _ in range(FOLDS)
    )
    return trials


RAW = Prepare(impute="zero", clip=None, scale="none")
"""With these rows it changes nothing, so that MLlib alone can be asked."""


@pytest.mark.parametrize(
    ("family", "grid"),
    [
        ("logistic_regression", {"regParam": (0.01, 1.0), "maxIter": (7,)}),
        ("random_forest", {"numTrees": (4,), "maxDepth": (2, 5)}),
    ],
)
def test_the_search_measures_what_cross_validator_measures(rows, problem, family, grid) -> None:
    """From rows in three partitions, too: a small table is fitted on in one."""
    parts = rows.repartition(3).persist()
    asked = problem("roc_auc", {family: grid}, RAW)
    ours = searched(parts, asked)
    estimator = models.estimator(Candidate(family, ()), task="classification", seed=7)
    builder = ParamGridBuilder()
    for name, values in grid.items():
        builder = builder.addGrid(getattr(estimator, name), list(values))
    vectors = VectorAssembler(inputCols=["x", "y"], outputCol="features").transform(parts)
    theirs = CrossValidator(
        estimator=estimator,
        estimatorParamMaps=builder.build(),
        evaluator=BinaryClassificationEvaluator(numBins=0),
        numFolds=FOLDS,
        foldCol="fold",
    ).fit(vectors.coalesce(1))
    parts.unpersist()
    assert [each.mean for each in ours] == pytest.approx(theirs.avgMetrics, rel=1e-12)
    assert [each.std for each in ours] == pytest.approx(theirs.stdMetrics, rel=1e-9)
    assert ours[0].mean != ours[1].mean


def test_a_forest_is_the_same_in_whatever_order_its_rows_arrive(rows, problem) -> None:
    """As after a lost executor: what is shuffled again comes in another order."""
    asked = problem("roc_auc", {"random_forest": {"numTrees": (3,), "maxDepth": (3, 4)}}, RAW)
    named = rows.withColumn(asked.entity, F.concat(F.lit("c"), F.hash("x") % 40))
    named = named.withColumn("as_of", F.timestamp_seconds(F.hash("y"))).persist()
    trees, metrics = set(), set()
    for seed in range(3):
        # Computed: Spark leaves out an order, or a partitioning, that another one follows.
        arrived = named.repartition(4, F.xxhash64("x", F.lit(seed))).localCheckpoint()
        parts = searching.ordered(asked, arrived, 3)
        assert parts.rdd.getNumPartitions() == 3
        metrics.add(tuple(each.folds for each in searched(parts, asked)))
        model, _ = training.refit(
            parts, Candidate("random_forest", (("numTrees", 3),)), asked, COLUMNS
        )
        trees.add(model.stages[-1].toDebugString.partition("\n")[2])
        parts.unpersist()
    named.unpersist()
    assert len(trees) == len(metrics) == 1


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
def test_metrics_of_scores_are_the_evaluators(spark, metric) -> None:
    """Ties, one class alone, all scores equal."""
    draw = random.Random(5)
    for labels, digits in (([0.0, 1.0], 1), ([0.0, 1.0], 9), ([1.0], 2), ([0.0, 1.0], 0)):
        made = [(draw.choice(labels), round(draw.random(), digits)) for _ in range(90)]
        pairs = spark.createDataFrame(made, "label double, score double").coalesce(1)
        label, score = (np.array(each) for each in zip(*made, strict=True))
        found = training._METRICS[metric](label, score)
        if len(labels) > 1 or metric == "pr_auc":
            expected = training.evaluator(metric).evaluate(pairs)
            assert found == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(found)  # Spark says 0 or 1, and such a fold says nothing


@pytest.mark.parametrize(
    ("task", "metric"), [("classification", "roc_auc"), ("regression", "rmse")]
)
def test_folds_too_large_for_the_driver_are_measured_alike(
    rows, problem, monkeypatch, task, metric
) -> None:
    """Every family, also those whose raw numbers do not rank as their probabilities."""
    few = {"maxIter": (3,)}
    small = {
        "random_forest": {"numTrees": (2,), "maxDepth": (3,)},
        "gradient_boosted_trees": {"maxIter": (2,), "maxDepth": (2,)},
        "decision_tree": {"maxDepth": (4,)},
        "naive_bayes": {},
    }
    grids = {family: small.get(family, few) for family in models.families_for(task)}
    label = "label" if task == "classification" else "exp(amount / 100) AS label"
    asked = problem(metric, grids, Prepare(), task)
    sides = split.sides(asked.split, [], folds=FOLDS, horizon=30)
    search = partial(
        training.search, rows.selectExpr("x", "y", label, "fold"), asked, COLUMNS, How(sides[:1], 2)
    )
    near = search()
    assert not any(trial.error for trial in near)
    monkeypatch.setattr(training, "_SMALL", 0)
    for one, other in zip(near, search(), strict=True):
        assert other.folds == pytest.approx(one.folds, rel=1e-12), str(one.candidate)


def test_a_candidate_that_fails_is_told_and_the_others_go_on(rows, problem) -> None:
    grids = {
        "naive_bayes": {"modelType": ("multinomial", "gaussian")},  # the first takes none below 0
        "multilayer_perceptron": {"hidden": (3,), "maxIter": (5,)},
        "linear_svc": {"maxIter": (5,)},
    }
    ended = []
    asked = problem("roc_auc", grids, RAW)
    sides = split.sides(asked.split, [], folds=FOLDS, horizon=30)

    def search(until=math.inf, **more):
        return training.search(rows, asked, COLUMNS, How(sides, 2, ended.append, until), **more)

    trials = search()
    assert [bool(each.error) for each in trials] == [True, False, False, False]
    assert trials[0].error == "SparkRuntimeException USER_RAISED_EXCEPTION"
    assert not trials[0].folds
    assert all(len(each.folds) == FOLDS and 0.5 < each.mean < 1 for each in trials[1:])
    assert best(trials, cut=False) in trials[1:]
    # What is known is not fitted again, and after the end of the budget nothing is.
    ended.clear()
    again = search(known=trials[1:], until=0.0)
    assert (again, ended) == (trials[1:], [])
    with pytest.raises(OverBudget, match="budget ended before one candidate"):
        best(search(until=0.0), cut=True)
    with pytest.raises(Refused, match="no candidate has a roc_auc"):
        best(trials[:1], cut=False)


def test_a_search_that_its_budget_cut_goes_on_with_the_folds_that_are_left(
    rows, problem, monkeypatch
) -> None:
    """The clock is the number of fits, so that a budget is so many."""
    asked = problem("roc_auc", {"logistic_regression": {"regParam": (0.1, 1.0)}}, RAW)
    sides = split.sides(asked.split, [], folds=FOLDS, horizon=30)
    fitted: list[Candidate] = []
    told: list[Trial] = []
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: float(len(fitted))))

    def search(fits: float) -> list[Trial]:
        how = How(sides, 1, fitted.append, len(fitted) + fits)
        known = tuple(told)
        return training.search(rows, asked, COLUMNS, how, on_trial=told.append, known=known)

    first, second = search(math.inf)
    fitted.clear()
    told.clear()
    assert search(2) == search(0) == []
    [cut] = told  # nothing more is told where nothing more was measured
    assert (cut.error, cut.candidate) == (CUT, first.candidate)
    assert cut.folds == pytest.approx(first.folds[:2]) and math.isnan(cut.mean)
    assert [each.folds for each in search(3)] == [pytest.approx(first.folds)]
    assert [(each.candidate, len(each.folds)) for each in told[1:]] == [
        (first.candidate, 3),
        (second.candidate, 2),
    ]
    found = search(math.inf)
    assert [each.folds for each in found] == [
        pytest.approx(first.folds),
        pytest.approx(second.folds),
    ]
    assert len(fitted) == 2 * FOLDS


def test_a_race_leaves_those_that_lead_on_a_part(spark, problem) -> None:
    """Six candidates, of which four are made to say nothing; a ninth of the people tells."""
    made = [(f"c{n}", n % 7 - 3.0, n % 5 - 2.0, float(n % 7 > 2), n % FOLDS) for n in range(1800)]
    ddl = "customer_id string, x double, y double, label double, fold int"
    rows = spark.createDataFrame(made, ddl).coalesce(1)
    grid = {"regParam": (50.0, 60.0, 0.01, 70.0, 0.1, 80.0), "elasticNetParam": (1.0,)}
    asked = problem("roc_auc", {"logistic_regression": grid}, RAW)
    fitted = []
    how = How(split.sides(asked.split, [], folds=FOLDS, horizon=30), 2, fitted.append)
    left, last = racing.race(rows, asked, COLUMNS, how)
    assert [dict(each.parameters)["regParam"] for each in left] == [0.01, 0.1]
    assert len(fitted) == 6  # once each, instead of once a fold; two that are left race no more
    # No time: nobody was compared, nobody is left out.
    assert last is not None and (last.part, len(last.trials)) == (9, 6)
    nobody, none = racing.race(rows, asked, COLUMNS, replace(how, until=0.0))
    assert (len(nobody), none) == (6, None)
    trials = training.search(rows, asked, COLUMNS, how, wanted=left)
    assert [each.candidate for each in trials] == left


def test_fewer_entities_than_folds_are_refused_in_words(spark, problem) -> None:
    """A race passes over the parts that are too small, as they may be of few entities only."""
    made = [("c1", n % 7 - 3.0, n % 5 - 2.0, float(n % 7 > 2), 1) for n in range(60)]
    ddl = "customer_id string, x double, y double, label double, fold int"
    rows = spark.createDataFrame(made, ddl).coalesce(1)
    asked = problem("roc_auc", {"logistic_regression": {"regParam": (0.01, 0.1, 1.0)}}, RAW)
    sides = split.sides(asked.split, [], folds=FOLDS, horizon=30)
    for one in sides:
        with pytest.raises(Refused, match="there is no row to") as caught:
            training.search(rows, asked, COLUMNS, How([one], 2))
        assert "fewer folds" in caught.value.hint
    left, last = racing.race(rows, asked, COLUMNS, How(sides, 2))
    assert (len(left), last) == (3, None)


UNIT = Prepare(scale="minmax")
"""Every prepared number is from 0 to 1, whatever the row: what counts demand."""

PORTABLE = [
    ("classification", "decision_tree", {"maxDepth": 3}, Prepare()),
    ("classification", "linear_svc", {"regParam": 0.1, "maxIter": 5}, Prepare()),
    ("classification", "naive_bayes", {}, Prepare()),
    ("classification", "naive_bayes", {}, Prepare(clip=None, scale="none", impute="mean")),
    ("classification", "naive_bayes", {"modelType": "multinomial"}, UNIT),
    ("classification", "naive_bayes", {"modelType": "bernoulli"}, RAW),
    ("classification", "multilayer_perceptron", {"hidden": 3, "maxIter": 20}, Prepare()),
    ("regression", "decision_tree", {"maxDepth": 2}, Prepare()),
    ("regression", "generalized_linear", {"family": "gamma"}, Prepare()),
    ("regression", "generalized_linear", {"regParam": 0.5}, Prepare()),
]


@pytest.mark.parametrize(("task", "family", "parameters", "rule"), PORTABLE)
def test_a_family_has_the_portable_form_it_says(
    spark, rows, problem, tmp_path, task, family, parameters, rule
) -> None:
    """On the rows themselves, and on others that lie where two implementations part."""
    label = "label" if task == "classification" else "exp(amount / 100)"
    numbers = ("x", "y")
    if parameters.get("modelType") == "bernoulli":  # which knows 0 and 1 alone
        numbers = ("double(x > 0) AS x", "double(y > 0) AS y")
    calm = rows.selectExpr(*numbers, f"{label} AS label", "fold")
    asked = problem("roc_auc" if task == "classification" else "mae", {family: {}}, rule, task)
    candidate = Candidate(family, tuple(parameters.items()))
    model, learnt = training.refit(calm, candidate, asked, COLUMNS)
    model.write().save(str(tmp_path / "saved"))
    columns = tuple(Column(name, "double", edges=(-3.0, 0.0, 3.0)) for name in ("x", "y"))
    facts = Facts("t", "?", task, "d", "who", "string", columns)
    content = portable.files(learnt, tmp_path / "saved", facts)
    there, why = Portable(content[portable.FILE]), Reasons(content[portable.REASONS])
    given = [calm.select("x", "y")]
    if parameters.get("modelType") != "bernoulli":
        read = saved.read(tmp_path / "saved")
        made = proof.simulate(learnt, read, columns, rows=2000, seed=1)
        given.append(spark.createDataFrame(made))
    for some in given:
        found = scoring.scored(some, model, task=task).toArrow()
        inputs = there.inputs(found)
        held = proof.compare(found["score"].to_numpy(), there.score(*inputs), range(found.num_rows))
        assert held.holds, held
        assert held.largest < 1e-9
    assert len(set(there.score(*there.inputs(calm.toArrow())).tolist())) > 2
    if family == "naive_bayes":  # the columns' reasons and what is so before any make the odds
        inputs = there.inputs(calm.toArrow())
        score = there.score(*inputs)
        moved = np.log(score / (1 - score)) - why.contributions(*inputs).sum(axis=1)
        assert np.ptp(moved) < 1e-4 * np.abs(np.log(score / (1 - score))).max()


def by_hand(rows, fold: int, estimator, rule: Prepare, *, fitted_on=None) -> tuple[list, list]:
    """Labels and scores of a fold, from a model and a preparation that never saw it."""
    inside, held_out = rows.where(f"fold <> {fold}"), rows.where(f"fold = {fold}")
    transformer = prepare.fit(fitted_on or inside, COLUMNS, rule).transformer()
    found = estimator.fit(transformer.transform(inside)).transform(transformer.transform(held_out))
    kind = "probability" if "probability" in found.columns else "prediction"
    pairs = [(row.label, row[kind]) for row in found.select("label", kind).collect()]
    scores = [float(score[1]) if kind == "probability" else score for _, score in pairs]
    return [label for label, _ in pairs], scores


def test_each_fold_is_prepared_without_itself(rows, problem) -> None:
    """A fold whose values lie far outside: were it seen, they would not be clipped as they are."""
    rule = Prepare(impute="mean", clip=(0.05, 0.95), scale="minmax")
    grid = {"logistic_regression": {"regParam": (0.3,), "maxIter": (20,)}}
    [trial] = searched(rows, problem("roc_auc", grid, rule))
    estimator = LogisticRegression(regParam=0.3, maxIter=20)
    honest = [roc_auc_score(*by_hand(rows, fold, estimator, rule)) for fold in range(FOLDS)]
    leaky = roc_auc_score(*by_hand(rows, 1, estimator, rule, fitted_on=rows))
    assert trial.folds == pytest.approx(honest, rel=1e-9)
    assert abs(trial.folds[1] - leaky) > 0.001
    assert (trial.metric, trial.mean) == ("roc_auc", fmean(trial.folds))


def test_a_search_goes_forward_in_time_and_weighs_the_classes(rows, problem) -> None:
    """Each block of as-ofs by a model of those before it, less a horizon; MLlib by hand."""
    times = [datetime(2024, month, 1, tzinfo=timezone.utc) for month in range(1, 9)]
    place = F.pmod(F.xxhash64("x", "y"), F.lit(len(times))).cast("int")
    dated = rows.where("label = 0 OR x > 1").withColumn(
        "as_of", F.element_at(F.array(*map(F.lit, times)), place + 1)
    )
    asked = problem("roc_auc", {"logistic_regression": {"regParam": (0.3,)}}, RAW)
    train = asked.train.model_copy(update={"class_weights": "balanced"})
    by_time = asked.split.model_copy(update={"folds": "forward"})
    asked = asked.model_copy(update={"train": train, "split": by_time})
    sides = split.sides(by_time, times, folds=FOLDS, horizon=40)
    [trial] = training.search(dated, asked, COLUMNS, How(sides, 2))
    vectors = VectorAssembler(inputCols=["x", "y"], outputCol="features").transform(dated)
    expected = []
    for fitting, held_out in split.forward(times, folds=FOLDS, horizon=40):
        assert max(fitting) + timedelta(days=40) <= min(held_out)
        before = vectors.where(F.col("as_of").isin(fitting))
        rare = before.where("label = 1").count() / before.count()
        weighted = before.withColumn("w", F.expr(f"0.5 / if(label = 1, {rare}, 1 - {rare})"))
        model = LogisticRegression(regParam=0.3, weightCol="w").fit(weighted)
        found = model.transform(vectors.where(F.col("as_of").isin(held_out))).collect()
        pairs = [(row.label, row.probability[1]) for row in found]
        expected.append(roc_auc_score(*zip(*pairs, strict=True)))
    assert trial.folds == pytest.approx(expected, rel=1e-6)
    assert len(set(expected)) > 1


def test_regression_by_hand(rows, problem) -> None:
    amounts = rows.drop("label").withColumnRenamed("amount", "label")
    grid = {"linear_regression": {"regParam": (0.1,)}}
    [trial] = searched(amounts, problem("mae", grid, Prepare(), "regression"))
    expected = []
    for fold in range(FOLDS):
        labels, scores = by_hand(amounts, fold, LinearRegression(regParam=0.1), Prepare())
        expected.append(mean_absolute_error(labels, scores))
    assert trial.folds == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "chosen"), [("roc_auc", "b"), ("pr_auc", "b"), ("rmse", "a"), ("mae", "a")]
)
def test_the_best_has_the_best_mean_and_was_declared_first(metric, chosen) -> None:
    trials = [
        Trial(Candidate(name, ()), metric, folds, seconds=1.0)
        for name, folds in {
            "a": (0.1, 0.3),
            "b": (0.9, 0.1),
            "c": (0.5, 0.5),
            "d": (0.2, 0.2),
        }.items()
    ]
    assert best(trials, cut=False).candidate.family == chosen
    assert best(trials[::-1], cut=False).candidate.family == {"b": "c", "a": "d"}[chosen]
    assert trials[1].std == pstdev((0.9, 0.1)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("logistic_regression", {"maxIter": 10, "regParam": 0.01}),
        ("random_forest", {"numTrees": 5, "maxDepth": 3}),
    ],
)
def test_importances_are_shares_and_name_what_matters(rows, problem, family, parameters) -> None:
    calm = rows.where("fold <> 1")
    asked = problem("roc_auc", {family: {}}, Prepare())
    candidate = Candidate(family, tuple(parameters.items()))
    model, _ = training.refit(calm, candidate, asked, COLUMNS)
    found = training.importances(model, ["x", "y"])
    assert list(found) == ["x", "y"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["x"] > found["y"] > 0
    labels, scores = zip(
        *((row.label, row.probability[1]) for row in model.transform(calm).collect()), strict=True
    )
    assert roc_auc_score(labels, scores) > 0.75


def test_a_model_that_says_nothing_has_no_importances(rows, problem) -> None:
    """All coefficients are 0: shares of nothing are 0, not a division by 0."""
    asked = problem("roc_auc", {"logistic_regression": {}}, Prepare())
    heavy = Candidate("logistic_regression", (("regParam", 1000.0), ("elasticNetParam", 1.0)))
    model, _ = training.refit(rows, heavy, asked, COLUMNS)
    assert training.importances(model, ["x", "y"]) == {"x": 0, "y": 0}


def test_balanced_classes_weigh_the_same(rows, problem) -> None:
    """As MLlib with weights by hand; and the rare class is believed in more often."""
    rare = rows.where("label = 0 OR fold = 2")
    asked = problem("roc_auc", {"logistic_regression": {}}, RAW)
    balanced = asked.train.model_copy(update={"class_weights": "balanced"})
    candidate = Candidate("logistic_regression", (("regParam", 0.1),))
    model, _ = training.refit(
        rare, candidate, asked.model_copy(update={"train": balanced}), COLUMNS
    )
    n, n1 = rare.count(), rare.where("label = 1").count()
    weighted = rare.selectExpr(
        "*", f"CASE label WHEN 1 THEN {n / (2 * n1)}D ELSE {n / (2 * (n - n1))}D END AS w"
    )
    vectors = VectorAssembler(inputCols=["x", "y"], outputCol="features").transform(weighted)
    by_hand = LogisticRegression(regParam=0.1, weightCol="w").fit(vectors)
    assert list(model.stages[-1].coefficients) == pytest.approx(list(by_hand.coefficients))
    plain, _ = training.refit(rare, candidate, asked, COLUMNS)
    called = [each.transform(rare).where("prediction = 1").count() for each in (plain, model)]
    assert called[0] < called[1]


@pytest.mark.slow
def test_a_label_that_says_nothing_is_not_told_whatever_the_columns(spark, problem) -> None:
    """Sixty words, in two columns, encoded by a label that was shuffled: 0.5 in every fold."""
    drawn = spark.range(60_000).selectExpr(
        "double(pmod(xxhash64(id, 1), 1000)) AS x",
        "concat('w', pmod(xxhash64(id, 2), 30)) AS word",
        "concat('v', pmod(xxhash64(id, 3), 30)) AS other",
        "double(pmod(xxhash64(id, 4), 10) < 3) AS label",
        f"int(pmod(xxhash64(id, 5), {FOLDS})) AS fold",
    )
    rows = drawn.persist()
    grid = {"logistic_regression": {}, "random_forest": {"numTrees": (20,), "maxDepth": (6,)}}
    asked = problem("roc_auc", grid, Prepare(encode="target", missing_flags=True))
    columns = [("x", "double"), ("word", "string"), ("other", "string")]
    sides = split.sides(asked.split, [], folds=FOLDS, horizon=30)
    trials = training.search(rows, asked, columns, How(sides, 2))
    for trial in trials:
        assert trial.folds == pytest.approx([0.5] * FOLDS, abs=0.02)
    rows.unpersist()
