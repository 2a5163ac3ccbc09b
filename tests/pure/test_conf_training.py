"""Split, prepare and train in a conf: what leaves nothing to learn or fits no family is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from conf_errors import CHURN, SPLIT, refusal, said, written

from driftline.errors import ConfError
from driftline.problem import load_problem

FOREST = "random_forest: {numTrees: [40], maxDepth: [8], minInstancesPerNode: [10]}"
FAMILIES = (
    "logistic_regression, linear_svc, linear_regression, generalized_linear, decision_tree, "
    "random_forest, gradient_boosted_trees, naive_bayes, multilayer_perceptron"
)

# id: what is replaced, by what; then what the error says: what, key, found, allowed, hint
CHANGES = {
    "metric of the other task": (
        ("metric: roc_auc", "metric: mae"),
        (
            "the metric does not fit the task",
            "train.metric",
            "mae for classification",
            "roc_auc, pr_auc for classification; rmse, mae for regression",
            "change train.metric",
        ),
    ),
    "family of the other task": (
        (FOREST, "linear_regression: {}"),
        (
            "the family does not do classification",
            "train.candidates.linear_regression",
            "linear_regression",
            "logistic_regression, linear_svc, decision_tree, random_forest, "
            "gradient_boosted_trees, naive_bayes, multilayer_perceptron",
            "remove it from train.candidates",
        ),
    ),
    "family that is none": (
        ("random_forest:", "random_florest:"),
        (
            "no such model family",
            "train.candidates.random_florest",
            "random_florest",
            FAMILIES,
            "did you mean 'random_forest'?",
        ),
    ),
    "parameter that is none": (
        ("numTrees:", "n_estimators:"),
        (
            "random_forest has no such parameter",
            "train.candidates.random_forest.n_estimators",
            "n_estimators",
            "numTrees, featureSubsetStrategy, maxDepth, minInstancesPerNode, maxBins, "
            "minInfoGain, subsamplingRate",
            "names are Spark MLlib's",
        ),
    ),
    "grid without values": (
        ("numTrees: [40]", "numTrees: []"),
        (
            "a grid without values",
            "train.candidates.random_forest.numTrees",
            "[]",
            "one value or more",
            "numTrees: [value, …]",
        ),
    ),
    "grid with a value twice": (
        ("numTrees: [40]", "numTrees: [40, 20, 40]"),
        (
            "a grid with a value twice",
            "train.candidates.random_forest.numTrees",
            "[40, 20, 40]",
            "each value once (1 and 1.0 are one)",
            "remove one of them",
        ),
    ),
    "two ways to decide": (
        ("class_weights: none", "decide: {top: 0.1, best: f1}"),
        (
            "a threshold is chosen by one rule",
            "train.decide",
            "best, top",
            "one of best, top, cost",
            "decide: {cost: {false_alarm: 1, miss: 5}}",
        ),
    ),
    "class with a grid without values": (
        (
            "logistic_regression: {regParam: [0.001, 0.03]}",
            "mine: {class: sklearn.svm.SVC, C: []}",
        ),
        (
            "a grid without values",
            "train.candidates.mine.C",
            "[]",
            "one value or more",
            "C: [value, …]",
        ),
    ),
    "class without a module": (
        ("logistic_regression: {regParam: [0.001, 0.03]}", "mine: {class: Model, depth: [3]}"),
        (
            "not a class that can be a candidate",
            "train.candidates.mine.class",
            "Model",
            "one import path, package.module.Class, under a name that is no family's",
            "class: sklearn.ensemble.HistGradientBoostingClassifier",
        ),
    ),
    "class under the name of a family": (
        (
            "logistic_regression: {regParam: [0.001, 0.03]}",
            "logistic_regression: {class: sklearn.linear_model.LogisticRegression}",
        ),
        (
            "not a class that can be a candidate",
            "train.candidates.logistic_regression.class",
            "sklearn.linear_model.LogisticRegression",
            "one import path, package.module.Class, under a name that is no family's",
            "class: sklearn.ensemble.HistGradientBoostingClassifier",
        ),
    ),
    "grid out of range": (
        ("numTrees: [40]", "numTrees: [40, 0]"),
        (
            "not a value of numTrees",
            "train.candidates.random_forest.numTrees",
            "0",
            "whole numbers from 1",
            "types and ranges are Spark MLlib's",
        ),
    ),
    "word of a grid that is none": (
        ("numTrees: [40]", "featureSubsetStrategy: [most]"),
        (
            "not a value of featureSubsetStrategy",
            "train.candidates.random_forest.featureSubsetStrategy",
            "most",
            "auto, all, sqrt, log2, onethird",
            "types and ranges are Spark MLlib's",
        ),
    ),
    "grid with a hole": (
        ("numTrees: [40]", "numTrees: [40, null]"),
        (
            "not a value of a grid",
            "train.candidates.random_forest.numTrees.1",
            "nothing",
            "numbers, texts, true, false",
            "write [1, 2, 3]",
        ),
    ),
    "value instead of a grid": (
        ("numTrees: [40]", "numTrees: 40"),
        (
            "not a list",
            "train.candidates.random_forest.numTrees",
            "40",
            "a list",
            "write it in brackets: [40]",
        ),
    ),
    "baseline that is none": (
        ("beat: [constant, best_feature]", "beat: [constant, best]"),
        (
            "not one of the allowed values",
            "train.gate.beat.1",
            "best",
            "constant, best_feature, rfm, champion",
            "did you mean 'best_feature'?",
        ),
    ),
    "too few folds": (
        ("folds: 3", "folds: 1"),
        ("out of range", "train.folds", "1", "2 or more", "write a number 2 or more"),
    ),
    "clip the wrong way round": (
        ("clip: [0.01, 0.99]", "clip: [0.99, 0.01]"),
        (
            "clip leaves nothing",
            "prepare.clip",
            "[0.99, 0.01]",
            "[low, high] quantiles with low < high, or iqr",
            "clip: [0.01, 0.99]",
        ),
    ),
    "clip with one end": (
        ("clip: [0.01, 0.99]", "clip: [0.01]"),
        ("too few entries", "prepare.clip", "[0.01]", "at least 2", "add what is missing"),
    ),
    "clip with three": (
        ("clip: [0.01, 0.99]", "clip: [0.01, 0.5, 0.99]"),
        ("too many entries", "prepare.clip", "[0.01, 0.5, 0.99]", "at most 2", "there are 3"),
    ),
    "clip that should not be": (
        ("clip: [0.01, 0.99]", "clip: none"),
        ("not a list", "prepare.clip", "none", "a list", "no value is written null"),
    ),
    "split by something else": (
        (SPLIT, "{by: tine}"),
        (
            "not one of the allowed values",
            "split.by",
            "tine",
            "time, entity, random, attribute",
            "did you mean 'time'?",
        ),
    ),
    "split by a list": (
        (SPLIT, "{by: [time]}"),
        (
            "not one of the allowed values",
            "split.by",
            "[time]",
            "time, entity, random, attribute",
            "did you mean 'time'?",
        ),
    ),
    "more than all for the test": (
        (SPLIT, "{by: random, test: 1.5}"),
        ("out of range", "split.test", "1.5", "below 1", "a share of 15 % is written 0.15"),
    ),
    "nothing left to train on": (
        (SPLIT, "{by: random, test: 0.5, validation: 0.5}"),
        (
            "nothing is left to train on",
            "split",
            "test 0.5 + validation 0.5",
            "shares that add up to less than 1",
            "test: 0.2, validation: 0.1 leaves 0.7",
        ),
    ),
    "no as-of for the test": (
        (SPLIT, "{by: time, test: 0}"),
        ("out of range", "split.test", "0", "1 or more", "write a number 1 or more"),
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    assert said(refusal(tmp_path, change)) == expected


def test_encoding_by_the_label_needs_another_fold_that_is_fitted_on(tmp_path) -> None:
    two = CHURN.replace("scale: standard}", "scale: standard, encode: target}").replace(
        "folds: 3", "folds: 2"
    )
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, two))
    assert said(caught.value) == (
        "a fold is encoded by the others that are fitted on, and of two there are none",
        "train.folds",
        "2 with prepare.encode target",
        "3 or more; 2 with split.folds forward",
        "folds: 3, or encode: one_hot",
    )
    for good in (
        two.replace("folds: 2", "folds: 3"),
        two.replace("encode: target", "encode: one_hot"),
        two.replace(SPLIT, "{by: time, test: 1, validation: 1, folds: forward}"),
    ):
        load_problem(written(tmp_path, good))


def test_recency_frequency_and_money_are_to_beat_where_the_features_tell_them(tmp_path) -> None:
    text = CHURN.replace("beat: [constant, best_feature]", "beat: [rfm]")
    assert load_problem(written(tmp_path, text)).train.gate.beat == ("rfm",)
    without = text.replace(
        "name: spend, source: orders, operation: sum", "name: spend, source: orders, operation: max"
    )
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, without))
    assert said(caught.value)[:3] == (
        "the features do not tell recency, frequency and money of the same events",
        "train.gate.beat",
        "rfm",
    )


def test_nothing_is_calibrated_without_validation_rows(tmp_path: Path) -> None:
    text = CHURN.replace(SPLIT, "{by: time, test: 1, validation: 0}")
    path = written(tmp_path, text.replace("calibrate: none", "calibrate: platt"))
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert said(caught.value) == (
        "there is nothing to calibrate on",
        "train.calibrate",
        "split.validation 0",
        "a classification with validation rows",
        "keep validation rows: split.validation",
    )
