"""Metrics equal scikit-learn's; intervals and baselines behave as on data whose truth is known."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from driftline import training
from driftline.evaluation import (
    Interval,
    curves,
    decided,
    difference,
    measure,
    permuted,
    report,
    slices,
    threshold,
)
from driftline.metrics import METRICS, SMALLER_IS_BETTER
from driftline.sections import Costs, Decide

Floats = npt.NDArray[np.float64]
Reference = Callable[[Floats, Floats], float]


def plain_lift(label: Floats, score: Floats) -> float:
    """Take the highest scores one by one; of equal ones, each counts as much as their mean."""
    rows = max(1, len(label) // 10)
    left, hits = rows, 0.0
    for value in sorted(set(score.tolist()), reverse=True):
        tied = [one for one, its in zip(label, score, strict=True) if its == value]
        hits += min(left, len(tied)) * sum(tied) / len(tied)
        left -= min(left, len(tied))
    return hits / rows / (sum(label) / len(label))


def plain_calibration_error(label: Floats, score: Floats) -> float:
    bins: dict[int, list[tuple[float, float]]] = {}
    for one, its in zip(label, score, strict=True):
        bins.setdefault(min(int(its * 10), 9), []).append((one, its))
    gaps = [abs(sum(one - its for one, its in pairs)) for pairs in bins.values()]
    return sum(gaps) / len(label)


def weighted(function: Callable[..., float]) -> Reference:
    return lambda label, score: function(label, score >= 0.5, average="weighted", zero_division=0)


REFERENCES: dict[str, dict[str, Reference]] = {
    "classification": {
        "roc_auc": sk.roc_auc_score,
        "pr_auc": sk.average_precision_score,
        "log_loss": lambda label, score: sk.log_loss(label, score, labels=[0, 1]),
        "brier": sk.brier_score_loss,
        "accuracy": lambda label, score: sk.accuracy_score(label, score >= 0.5),
        "precision": lambda label, score: sk.precision_score(label, score >= 0.5, zero_division=0),
        "recall": lambda label, score: sk.recall_score(label, score >= 0.5, zero_division=0),
        "f1": lambda label, score: sk.f1_score(label, score >= 0.5, zero_division=0),
        "precision_weighted": weighted(sk.precision_score),
        "recall_weighted": weighted(sk.recall_score),
        "f1_weighted": weighted(sk.f1_score),
        "calibration_error": plain_calibration_error,
        "lift_10": plain_lift,
    },
    "regression": {
        "rmse": lambda label, score: float(np.sqrt(sk.mean_squared_error(label, score))),
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
        "median_error": sk.median_absolute_error,
        "error_90": lambda label, score: float(np.percentile(np.abs(label - score), 90)),
    },
}
NAMES = [(task, name) for task, names in REFERENCES.items() for name in names]


def probabilities(seed: int, rows: int, decimals: int) -> tuple[Floats, Floats]:
    """Labels of both classes and scores that know something; few decimals make many ties."""
    generator = np.random.default_rng(seed)
    score = generator.random(rows)
    label = (generator.random(rows) < 0.2 + 0.6 * score).astype(np.float64)
    label[:2] = 0.0, 1.0
    return label, np.round(score, decimals)


def test_the_metrics_are_these() -> None:
    assert {task: set(names) for task, names in METRICS.items()} == {
        task: set(names) for task, names in REFERENCES.items()
    }


@pytest.mark.parametrize(("task", "name"), NAMES)
@pytest.mark.parametrize("decimals", [0, 1, 15])
@pytest.mark.parametrize(("seed", "rows"), [(1, 2), (2, 3), (3, 10), (4, 101), (5, 4000)])
def test_metrics_equal_scikit_learn(
    task: str, name: str, decimals: int, seed: int, rows: int
) -> None:
    label, score = probabilities(seed, rows, decimals)
    if task == "regression":
        label, score = label * 40 + score * 13 - 7, score * 60 - 20
    expected = REFERENCES[task][name](label, score)
    assert METRICS[task][name](label, score) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCES["classification"])
@pytest.mark.parametrize(
    "score",
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [0.5, 0.5, 0.5, 0.5, 0.5],
        [1.0, 0.0, 1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 1.0, 1.0],
        [0.2, 0.4, 0.1, 0.3, 0.4],
    ],
)
def test_metrics_equal_scikit_learn_at_the_ends(name: str, score: list[float]) -> None:
    label, scores = np.array([0.0, 1.0, 0.0, 1.0, 1.0]), np.array(score)
    expected = REFERENCES["classification"][name](label, scores)
    found = METRICS["classification"][name](label, scores)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_metrics_by_hand() -> None:
    label, score = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.6, 0.6, 0.9])
    metric = METRICS["classification"]
    # of the four pairs of a 0 and a 1, three are in order and one is tied
    assert metric["roc_auc"](label, score) == 3.5 / 4
    # at 0.9 one of two found, precision 1; at 0.6 the other, precision 2/3
    assert metric["pr_auc"](label, score) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert metric["accuracy"](label, score) == 0.75
    assert metric["precision"](label, score) == 2 / 3
    assert metric["recall"](label, score) == 1.0
    assert metric["f1"](label, score) == pytest.approx(0.8)
    assert metric["brier"](label, score) == pytest.approx((0.01 + 0.36 + 0.16 + 0.01) / 4)
    assert metric["log_loss"](label, score) == pytest.approx(
        -np.log([0.9, 0.4, 0.6, 0.9]).sum() / 4
    )


def test_metrics_of_one_class() -> None:
    score = np.array([0.2, 0.7])
    metric = METRICS["classification"]
    for label in (np.zeros(2), np.ones(2)):
        assert np.isnan(metric["roc_auc"](label, score))
    assert metric["pr_auc"](np.zeros(2), score) == 0.0
    assert metric["recall"](np.zeros(2), score) == 0.0
    assert metric["precision"](np.zeros(2), np.zeros(2)) == 0.0
    assert metric["f1"](np.zeros(2), np.zeros(2)) == 0.0
    assert METRICS["regression"]["r2"](np.full(3, 2.0), np.array([1.0, 2.0, 3.0])) == 0.0
    same = np.full(3, 2.0)  # predicted as it is: scikit-learn's answer, too
    assert METRICS["regression"]["r2"](same, same) == sk.r2_score(same, same) == 1.0


@pytest.mark.parametrize(("task", "name"), NAMES)
@pytest.mark.parametrize("which", [slice(0, 1), slice(None)])
def test_a_score_that_is_no_number_leaves_no_metric(task: str, name: str, which: slice) -> None:
    """NaN sorts to one end and compares as false: a ranking or a count would take it for a score.
    All scores NaN, and the labels 0 before 1, were an AUC of 1.
    """
    label = np.array([0.0, 0.0, 1.0, 1.0])
    score = np.array([0.1, 0.2, 0.3, 0.4])
    score[which] = np.nan
    assert math.isnan(METRICS[task][name](label, score))
    assert math.isnan(training._METRICS.get(name, METRICS[task][name])(label, score))


def test_intervals_hold_the_value_and_repeat_by_seed() -> None:
    label, score = probabilities(6, 500, 15)
    found = measure(label, score, entity=np.arange(len(label)), task="classification", seed=1)
    assert set(found) == set(METRICS["classification"])
    for name, interval in found.items():
        assert interval.value == METRICS["classification"][name](label, score)
        assert interval.low < interval.value < interval.high
    assert (
        measure(label, score, entity=np.arange(len(label)), task="classification", seed=1) == found
    )
    assert (
        measure(label, score, entity=np.arange(len(label)), task="classification", seed=2) != found
    )


def test_an_interval_is_as_wide_as_theory_says() -> None:
    generator = np.random.default_rng(7)
    right = generator.random(400) < 0.8
    label = (generator.random(400) < 0.5).astype(np.float64)
    score = np.where(right, label, 1 - label)
    found = measure(label, score, entity=np.arange(len(label)), task="classification", seed=3)[
        "accuracy"
    ]
    share = float(right.mean())
    normal = 2 * 1.96 * np.sqrt(share * (1 - share) / 400)
    assert found.high - found.low == pytest.approx(normal, rel=0.15)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_of_one_entity_are_no_more_evidence_than_one_of_them(task: str) -> None:
    """Each of 200 people seven times, wherever their rows are: the intervals of having them once,
    not those of 1,400 people.
    """
    label, score = probabilities(3, 200, 15)
    other, who = score**2, np.tile(np.arange(200), 7)
    group = np.where(np.arange(200) < 60, "few", "many").astype(object)
    # Of the others, ranks and quantiles of seven equal rows are not exactly those of one.
    names = {"classification": ["roc_auc", "log_loss", "brier"], "regression": ["rmse", "mae"]}
    order = np.r_[np.arange(200), 200 + np.random.default_rng(1).permutation(1_200)]
    asked: dict[str, Any] = {"task": task, "seed": 2}
    many, more, others, people, groups = (
        np.resize(each, 1_400)[order] for each in (label, score, other, who, group)
    )
    once = measure(label, score, entity=np.arange(200), **asked)
    found = measure(many, more, entity=people, **asked)
    alone = measure(many, more, entity=np.arange(1_400), **asked)
    for name in names[task]:
        assert ends(found[name]) == pytest.approx(ends(once[name]))
        wide, narrow = (each[name].high - each[name].low for each in (found, alone))
        assert 2 < wide / narrow < 3.5  # √7
        gain = difference(label, score, other, name, entity=np.arange(200), **asked)
        again = difference(many, more, others, name, entity=people, **asked)
        assert ends(again) == pytest.approx(ends(gain))
    part = slices(label, score, {"g": group}, names[task][0], entity=np.arange(200), **asked)
    parts = slices(many, more, {"g": groups}, names[task][0], entity=people, **asked)
    assert [(each.value, 7 * each.rows) for each in part] == [
        (each.value, each.rows) for each in parts
    ]
    assert [each for one in parts for each in ends(one.metric)] == pytest.approx(
        [each for one in part for each in ends(one.metric)]
    )
    assert len(parts) == 2


def ends(found: Interval) -> tuple[float, float, float]:
    return found.low, found.value, found.high


def test_rows_of_few_entities_are_no_slice_and_one_entity_has_no_interval() -> None:
    label, score = probabilities(4, 490, 15)
    who = np.arange(490) % 49
    asked: dict[str, Any] = {"entity": who, "task": "classification", "seed": 1}
    assert slices(label, score, {"all": np.full(490, "x", object)}, "brier", **asked) == []
    found = measure(label, score, **{**asked, "entity": np.zeros(490, np.int64)})["brier"]
    assert found.value == sk.brier_score_loss(label, score)
    assert np.isnan([found.low, found.high]).all()


def test_one_row_of_a_class_is_enough_for_an_interval() -> None:
    label = np.array([1.0, *np.zeros(9)])
    score = np.linspace(0.9, 0.1, 10)
    found = measure(label, score, entity=np.arange(len(label)), task="classification", seed=1)[
        "roc_auc"
    ]
    assert found == Interval(1.0, 1.0, 1.0)


def test_one_class_has_no_ranking_but_ends() -> None:
    found = measure(
        np.zeros(5), np.full(5, 0.1), entity=np.arange(5), task="classification", seed=1
    )
    assert np.isnan(found["roc_auc"].value)
    assert found["accuracy"] == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize(("task", "name"), NAMES)
def test_better_is_above_zero_whichever_way_the_metric_points(task: str, name: str) -> None:
    label, noise = probabilities(8, 300, 15)
    if task == "classification":
        ours, theirs = 0.3 * noise + 0.6 * label, 1 - (0.3 * noise + 0.6 * label)
    else:
        ours, theirs = label + 0.1 * noise, label + 0.5 * noise + 0.2
    gain = difference(label, ours, theirs, name, entity=np.arange(len(label)), task=task, seed=1)
    assert 0 < gain.low <= gain.value <= gain.high
    function = METRICS[task][name]
    sign = -1 if name in SMALLER_IS_BETTER else 1
    assert gain.value == sign * (function(label, ours) - function(label, theirs))
    loss = difference(label, theirs, ours, name, entity=np.arange(len(label)), task=task, seed=1)
    assert loss.value == -gain.value
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low))


def test_smaller_is_better_for_errors_and_losses() -> None:
    assert set(SMALLER_IS_BETTER) == {
        *("log_loss", "brier", "calibration_error"),
        *("rmse", "mae", "median_error", "error_90"),
    }


def test_no_difference_is_exactly_zero() -> None:
    label, score = probabilities(9, 50, 1)
    gain = difference(
        label,
        score,
        score.copy(),
        "roc_auc",
        entity=np.arange(len(label)),
        task="classification",
        seed=1,
    )
    assert gain == Interval(0.0, 0.0, 0.0)


def test_the_same_rows_are_drawn_for_both() -> None:
    """Ours is theirs plus a constant: paired, the gain in bias is the same in every resample."""
    generator = np.random.default_rng(10)
    label = generator.normal(size=200)
    gain = difference(
        label, label + 1, label + 3, "mae", entity=np.arange(len(label)), task="regression", seed=1
    )
    assert (gain.low, gain.value, gain.high) == pytest.approx((2, 2, 2))


LABEL, SCORE = probabilities(13, 2000, 15)
POINTS = curves(LABEL, SCORE, task="classification")


def points(curve: str) -> list[tuple[float, float]]:
    return [(point.x, point.y) for point in POINTS if point.curve == curve]


def test_roc_curve_goes_from_corner_to_corner() -> None:
    roc = points("roc")
    assert (roc[0], roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert roc == sorted(roc)
    assert 100 < len(roc) <= 200
    area = sk.auc([x for x, _ in roc], [y for _, y in roc])
    assert area == pytest.approx(sk.roc_auc_score(LABEL, SCORE), abs=0.005)


def test_pr_curve_ends_at_the_share_of_ones() -> None:
    pr = points("pr")
    assert pr[0] == (0.0, 1.0)
    assert pr[-1] == (1.0, pytest.approx(LABEL.mean(), abs=0.01))
    assert [x for x, _ in pr] == sorted(x for x, _ in pr)
    assert len(pr) <= 200


def test_confusion_is_counted_at_one_half() -> None:
    label = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    score = np.array([0.1, 0.5, 0.49, 0.9, 0.5, 0.2, 0.3])
    found = {
        point.name: (point.y, point.rows)
        for point in curves(label, score, task="classification")
        if point.curve == "confusion"
    }
    assert found == {"tn": (2.0, 2), "fp": (1.0, 1), "fn": (2.0, 2), "tp": (2.0, 2)}


def test_calibration_has_ten_equal_groups_by_score() -> None:
    groups = [point for point in POINTS if point.curve == "calibration"]
    assert [point.rows for point in groups] == [200] * 10
    assert sum(point.x for point in groups) / 10 == pytest.approx(SCORE.mean())
    assert sum(point.y for point in groups) / 10 == pytest.approx(LABEL.mean())
    order = np.argsort(SCORE)
    assert groups[0].x == pytest.approx(SCORE[order[:200]].mean())
    assert groups[0].y == pytest.approx(LABEL[order[:200]].mean())
    assert groups[-1].y > groups[0].y + 0.3


def test_fewer_rows_than_groups() -> None:
    found = curves(np.array([0.0, 1.0]), np.array([0.2, 0.7]), task="classification")
    groups = [point for point in found if point.curve == "calibration"]
    assert [(each.x, each.y, each.rows) for each in groups] == [(0.2, 0.0, 1), (0.7, 1.0, 1)]


def test_scores_are_counted_in_twenty_bins() -> None:
    bins = [point for point in POINTS if point.curve == "score"]
    assert [point.x for point in bins] == pytest.approx([place / 20 for place in range(20)])
    assert sum(point.rows or 0 for point in bins) == 2000
    assert sum(point.y for point in bins) == pytest.approx(1)
    assert bins[3].rows == int(((SCORE >= 0.15) & (SCORE < 0.2)).sum())


def test_a_regression_has_calibration_and_scores_only() -> None:
    label = np.array([1.0, 2.0, 30.0, 4.0])
    found = curves(label, label + 1, task="regression")
    assert {point.curve for point in found} == {"calibration", "score"}
    bins = [point for point in found if point.curve == "score"]
    assert [point.rows for point in bins] == [2, 0, 1, *([0] * 16), 1]
    assert bins[0].x == 2.0


def test_the_slice_in_which_a_model_knows_nothing_is_named_first() -> None:
    generator = np.random.default_rng(11)
    rows = 4_000
    country = generator.choice(np.array(["at", "be", "ch", None], object), rows)
    age = generator.integers(18, 80, rows).astype(np.float64)
    age[:300] = np.nan
    score = generator.random(rows)
    known = country != "ch"
    truth = np.where(known, score, 0.5)
    label = (generator.random(rows) < truth).astype(np.float64)
    found = slices(
        label,
        score,
        {"country": country, "age": age},
        "roc_auc",
        entity=np.arange(rows),
        task="classification",
        seed=3,
    )
    assert (found[0].column, found[0].value, found[0].worse) == ("country", "ch", True)
    assert found[0].rows == np.count_nonzero(country == "ch")
    assert found[0].metric.value == sk.roc_auc_score(label[~known], score[~known])
    others = {(each.column, each.value): each for each in found[1:]}
    assert {value for column, value in others if column == "country"} == {"at", "be", "missing"}
    ages = [each for (column, _), each in others.items() if column == "age"]
    assert sum(each.rows for each in ages) == rows
    assert len(ages) == 5
    assert not any(each.worse for (column, _), each in others.items() if column == "country")


def test_small_slices_and_slices_of_one_class_are_not_measured() -> None:
    label, score = probabilities(3, 1_000, 15)
    few = np.array(["few"] * 49 + ["many"] * 951, object)
    one = np.where(label == 1, "ones", "mixed").astype(object)
    one[:100] = "mixed"
    label[:100] = np.arange(100) % 2
    found = slices(
        label,
        score,
        {"few": few, "one": one},
        "brier",
        entity=np.arange(len(label)),
        task="classification",
        seed=3,
    )
    assert {(each.column, each.value) for each in found} == {("few", "many"), ("one", "mixed")}


def test_a_column_with_a_name_for_nearly_everybody_costs_no_more_than_its_rows() -> None:
    """A flag for every row of every name would be 25 MB here, and a text of fixed width 40 MB."""
    rows = 5_000
    label, score = probabilities(3, rows, 15)
    name = np.array([f"zip{place}" for place in range(rows)], object)
    name[:200], name[200] = "home", "x" * 2_000
    tracemalloc.start()
    try:
        found = slices(
            label,
            score,
            {"zip": name},
            "brier",
            entity=np.arange(rows),
            task="classification",
            seed=3,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(each.value, each.rows) for each in found] == [("home", 200)]
    assert found[0].metric.value == sk.brier_score_loss(label[:200], score[:200])
    assert peak < 5e6


def test_a_word_that_reads_like_no_word_is_a_slice_of_its_own() -> None:
    label, score = probabilities(3, 300, 15)
    word = np.array(["missing", None, "(0, 1]"] * 100, object)
    age = np.where(np.arange(300) < 60, np.nan, np.arange(300) % 2)
    found = slices(
        label,
        score,
        {"word": word, "age": age},
        "brier",
        entity=np.arange(300),
        task="classification",
        seed=3,
    )
    assert {(each.column, each.value): (each.rows, each.between) for each in found} == {
        ("word", "'missing'"): (100, False),
        ("word", "missing"): (100, False),
        ("word", "(0, 1]"): (100, False),  # as somebody was called: no span of numbers
        ("age", "missing"): (60, False),
        ("age", "[0, 0.5]"): (120, True),
        ("age", "(0.5, 1]"): (120, True),
    }


def test_slices_of_numbers_that_are_near_each_other_have_all_rows() -> None:
    label, score = probabilities(6, 500, 15)
    near = np.repeat(1_000_000 + np.arange(1, 6) / 10, 100)
    found = slices(
        label,
        score,
        {"n": near},
        "brier",
        entity=np.arange(len(label)),
        task="classification",
        seed=3,
    )
    assert sum(each.rows for each in found) == 500
    assert len({each.value for each in found}) == len(found) == 4


def test_a_column_without_spread_is_one_slice() -> None:
    label, score = probabilities(4, 200, 15)
    found = slices(
        label,
        score,
        {"n": np.full(200, 7.0)},
        "mae",
        entity=np.arange(len(label)),
        task="regression",
        seed=3,
    )
    assert [(each.value, each.rows, each.worse) for each in found] == [("7", 200, False)]


def test_the_report_is_scikit_learns() -> None:
    label, score = probabilities(5, 300, 15)
    called = (score >= 0.5).astype(int)
    assert report(label, score) == sk.classification_report(label.astype(int), called, digits=4)
    metric = METRICS["classification"]
    for line, suffix in (("weighted avg", "_weighted"), (" 1 ", "")):
        (said,) = (each for each in report(label, score).splitlines() if line in each)
        names = (f"{name}{suffix}" for name in ("precision", "recall", "f1"))
        found = said.split()[-4:-1]
        assert found == [f"{metric[name](label, score):.4f}" for name in names]


def test_a_threshold_is_the_best_of_all_by_the_rule_that_was_asked_for() -> None:
    """Beside trying every threshold, ties included; capacity is never exceeded."""
    random = np.random.default_rng(3)
    for digits in (1, 3):
        label = (random.random(300) < 0.3) * 1.0
        score = np.round(np.clip(0.3 * label + random.random(300) * 0.7, 0, 1), digits)
        cuts = [*np.unique(score), 2.0]

        def cost(cut: float, alarm: float = 1.0, miss: float = 5.0) -> float:
            called = score >= cut  # noqa: B023
            return alarm * np.sum(called & (label == 0)) + miss * np.sum(~called & (label == 1))  # noqa: B023

        chosen = threshold(label, score, Decide(cost=Costs(false_alarm=1, miss=5)))
        assert cost(chosen) == min(map(cost, cuts))
        chosen = threshold(label, score, Decide(best="f1"))
        best = max(sk.f1_score(label, score >= cut, zero_division=0) for cut in cuts)
        assert sk.f1_score(label, score >= chosen) == pytest.approx(best)
        chosen = threshold(label, score, Decide(best="accuracy"))
        assert np.mean((score >= chosen) == label) == max(
            np.mean((score >= cut) == label) for cut in cuts
        )
        chosen = threshold(label, score, Decide(top=0.2))
        assert np.sum(score >= chosen) == max(
            taken for cut in cuts if (taken := np.sum(score >= cut)) <= 60
        )
        found = decided(label, score, chosen, entity=np.arange(300), seed=1)
        assert found["precision"].value == sk.precision_score(label, score >= chosen)
        assert found["recall"].low <= found["recall"].value <= found["recall"].high
    never = threshold(
        np.zeros(3), np.array([0.1, 0.9, 0.9]), Decide(cost=Costs(false_alarm=1, miss=1))
    )
    assert never > 0.9
    nobody = threshold(np.ones(3), np.array([0.4, 0.9, 0.9]), Decide(top=0.5))
    assert nobody > 0.9  # two share the highest score, and there is room for one
    assert 0 <= threshold(np.ones(2), np.array([0.0, 0.1]), Decide(best="f1")) < 5e-324


@pytest.mark.parametrize("percent", [7, 14, 28, 29, 55, 57, 58])
def test_a_share_of_a_hundred_rows_is_so_many_of_them(percent: int) -> None:
    """0.29 · 100 is 28.999999999999996 in floating point."""
    score = np.arange(100) / 100
    chosen = threshold(np.ones(100), score, Decide(top=percent / 100))
    assert np.sum(score >= chosen) == percent


def test_a_permuted_column_costs_what_the_model_got_from_it() -> None:
    """Beside the variance that is lost: dealing out x of y = 3x adds 2 · 9 · var(x) to the MSE."""
    random = np.random.default_rng(1)
    x, z = random.normal(size=(2, 30_000))
    rows = pa.table({"x": x, "z": z, "word": pa.array(["a", None, "b"] * 10_000)})
    label = 3 * x

    def score(given: pa.Table) -> Floats:
        assert given.column_names == rows.column_names
        return 3 * given.column("x").to_numpy()

    for most, size in ((50_000, 30_000), (1000, 1000)):
        found = permuted(
            *(label, rows, ["x", "z", "word"], score, "rmse"), task="regression", seed=2, most=most
        )
        assert found["x"] == pytest.approx(3 * math.sqrt(2), rel=4 / math.sqrt(size))
        assert (found["z"], found["word"]) == (0, 0)
    calls = (label > 0) * 1.0
    found = permuted(calls, rows, ["x"], score, "roc_auc", task="classification", seed=2)
    assert found["x"] == pytest.approx(0.5, abs=0.02)  # from all to nothing: worse is above 0
