"""Performance from cells of scores equals that of rows; what scores promise comes true, or is told.

Scores here are drawn, and labels from the scores themselves: perfectly calibrated, so that what
labels must come out as is known.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from driftline import metrics, performance
from driftline.evaluation import Interval
from driftline.performance import BINS, LEAST, Calibrated, Cells

Floats = npt.NDArray[np.float64]


ITSELF = Calibrated()


def drawn(seed: int, rows: int, *, shift: float = 0.0) -> tuple[Floats, Floats]:
    """Scores, and labels that are 1 with just that probability."""
    random = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-random.normal(-0.5 + shift, 1.2, rows)))
    return score, (random.random(rows) < score).astype(np.float64)


def celled(score: Floats, label: Floats, *, known: Floats | None = None) -> Cells:
    """As the aggregation in Spark does: a cell is a bin of scores and an answer."""
    known = np.ones(len(score)) if known is None else known
    found: dict[tuple[int, float], list[float]] = {}
    inside = np.clip(score, LEAST, 1 - LEAST)
    bins = np.floor(np.log(inside / (1 - inside)) * BINS).astype(int)
    for place, its, one, there in zip(bins, score, label, known, strict=True):
        key = (int(place), float(its >= 0.5))
        cell = found.setdefault(key, [0.0, key[1], 0, 0, 0])
        for place, more in ((0, its), (2, 1), (3, there), (4, there * one)):
            cell[place] += more
    return performance.cells([tuple(each) for each in found.values()])  # type: ignore[misc]


def rounded(score: Floats) -> Floats:
    """So that every cell holds one score only."""
    return np.round(score * 50) / 50 + 0.001


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_cells_are_those_of_rows(seed: int) -> None:
    score, label = drawn(seed, 700)
    score = rounded(score)
    known = (np.random.default_rng(seed).random(700) < 0.6).astype(np.float64)
    found = celled(score, label, known=known)
    assert (found.total, found.labelled) == (700, int(known.sum()))
    ours = performance.measured(found.score, found.called, found.ones, found.zeros)
    its, one = score[known == 1], label[known == 1]
    same = ("roc_auc", "pr_auc", "log_loss", "brier", "calibration_error")
    for name in same:
        reference = metrics.METRICS["classification"][name](one, its)
        assert float(ours[name]) == pytest.approx(reference, abs=1e-12), name
    answer = its >= 0.5
    assert float(ours["accuracy"]) == pytest.approx(np.mean(answer == one))
    assert float(ours["precision"]) == pytest.approx(metrics.precision(one, its))
    assert float(ours["recall"]) == pytest.approx(metrics.recall(one, its))
    assert float(ours["f1"]) == pytest.approx(metrics.f1(one, its))
    assert float(ours["false_alarms"]) == pytest.approx(np.mean(answer & (one == 0)))
    assert float(ours["misses"]) == pytest.approx(np.mean(~answer & (one == 1)))


@pytest.mark.parametrize(("shift", "rows"), [(0.0, 5_000), (3.0, 5_000), (-6.5, 60_000)])
def test_binning_costs_less_than_a_thousandth(shift: float, rows: int) -> None:
    """Also where hardly any label is 1, and all scores are far below a hundredth."""
    score, label = drawn(1, rows, shift=shift)
    assert label.sum() > 80
    found = celled(score, label)
    ours = performance.measured(found.score, found.called, found.ones, found.zeros)
    for name in ("roc_auc", "log_loss", "brier", "calibration_error"):
        reference = metrics.METRICS["classification"][name](label, score)
        assert float(ours[name]) == pytest.approx(reference, abs=1e-3), name
    precise = metrics.METRICS["classification"]["pr_auc"](label, score)
    assert float(ours["pr_auc"]) == pytest.approx(precise, rel=0.03)


def test_what_calibrated_scores_promise_is_what_comes() -> None:
    """Over 30 periods the labels lie in the promised interval as often as 95 % asks for."""
    inside = 0
    for seed in range(30):
        score, label = drawn(seed, 800, shift=0.6 * (seed % 3))
        promised = performance.expected(celled(score, label), ITSELF, seed=1)["roc_auc"]
        inside += promised.low <= metrics.roc_auc(label, score) <= promised.high
        # By hand, rows by rows: every pair is in order with the product of its probabilities.
        order = np.sort(score)
        below = np.cumsum(1 - order) - (1 - order)
        pairs = order.sum() * (1 - order).sum()
        plain = float((order * (below + (1 - order) / 2)).sum() / pairs)
        assert promised.value == pytest.approx(plain, abs=2e-3)
    assert inside >= stats.binom.ppf(0.001, 30, 0.95)


def test_intervals_of_labels_cover_the_truth() -> None:
    inside = 0
    truth = metrics.roc_auc(*drawn(99, 400_000)[::-1])
    for seed in range(30):
        score, label = drawn(seed, 600)
        came = performance.real(celled(score, label), seed=1)["roc_auc"]
        assert came.low < came.value < came.high
        inside += came.low <= truth <= came.high
    assert inside >= stats.binom.ppf(0.001, 30, 0.95)


def learnt(score: Floats, label: Floats) -> Calibrated:
    """What scores mean by held-out rows, in tenths."""
    parts = np.array_split(np.argsort(score, kind="stable"), 10)
    points = [(float(score[p].mean()), float(label[p].mean()), len(p)) for p in parts]
    return performance.calibration(points)


def test_a_few_held_out_rows_promise_less_surely() -> None:
    """Three hundred of them tell what scores mean worse than a period's three thousand labels do:
    nothing has changed, and the labels come out as was promised.
    """
    names = ["roc_auc", "share_of_1"]
    broken, inside = 0, 0
    for seed in range(40):
        calibrated = learnt(*drawn(1_000 + seed, 300))
        found = celled(*drawn(seed, 3_000))
        promised = performance.expected(found, calibrated, seed=1)
        came = performance.real(found, seed=1)
        broken += not performance.assumption(promised, came, names, drop=0.03).holds
        each = promised["share_of_1"]
        inside += each.low <= came["share_of_1"].value <= each.high
    assert broken <= 2
    assert inside >= stats.binom.ppf(0.001, 40, 0.95)


def test_calibration_repairs_scores_that_say_too_much() -> None:
    score, label = drawn(3, 20_000)
    odds = np.log(score / (1 - score))
    loud = 1 / (1 + np.exp(-(2.0 * odds + 0.7)))  # the same ranks, other probabilities
    parts = np.array_split(np.argsort(loud), 10)
    points = [(float(loud[p].mean()), float(label[p].mean()), len(p)) for p in parts]
    mended = performance.calibration(points)(loud)
    assert np.abs(mended - score).mean() < 0.02 < np.abs(loud - score).mean()


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.2, 0.3, 10)],
        [(0.2, 0.0, 10), (0.8, 0.0, 10)],  # one class
        [(0.2, 0.9, 100), (0.8, 0.1, 100)],  # scores that rank the wrong way round
    ],
)
def test_without_anything_to_learn_from_a_score_means_itself(
    points: list[tuple[float, float, int]],
) -> None:
    score = np.array([0.1, 0.5, 0.9])
    found = performance.calibration(points)
    assert found == ITSELF
    assert found(score) is score


def told(score: Floats, label: Floats) -> performance.Assumption:
    found = celled(score, label)
    promised = performance.expected(found, ITSELF, seed=1)
    came = performance.real(found, seed=1)
    return performance.assumption(promised, came, ["roc_auc", "share_of_1"], drop=0.03)


def test_only_concept_drift_breaks_the_promise() -> None:
    """Calm periods and those of other rows (covariate drift) do not; those of other labels do."""
    calm = [told(*drawn(seed, 800)).holds for seed in range(10)]
    other_rows = [told(*drawn(seed, 800, shift=1.5)).holds for seed in range(10)]
    assert all(calm) and all(other_rows)
    for seed in range(5):
        score, label = drawn(seed, 800)
        random = np.random.default_rng(seed)
        forgotten = np.where(random.random(800) < 0.6, random.random(800) < 0.4, label)
        found = told(score, forgotten.astype(np.float64))
        assert not found.holds
        assert found.words.startswith("concept drift: roc_auc 0.")
        flipped = told(score, (random.random(800) < np.minimum(1.0, score + 0.2)).astype(float))
        assert not flipped.holds and "share_of_1" in flipped.words


def grown(seed: int, rows: int, *, trees: int) -> tuple[Floats, Floats]:
    """Scores of a deep forest for a label that a tenth of rows have: the share of trees that say
    1, each grown to single rows, so that of twenty all say 0 for a third of the rows.
    """
    random = np.random.default_rng(seed)
    odds = random.normal(-2.9, 1.3, rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    says = 1 / (1 + np.exp(-odds - random.normal(0, 0.8, rows)))  # what all the trees get wrong
    return random.binomial(trees, says) / trees, label


@pytest.mark.parametrize("trees", [20, 50])
def test_scores_of_zero_keep_the_promise(trees: int) -> None:
    """Those of a deep forest: a share of its rows is given 0, of which some are 1 all the same."""
    off = []
    for seed in range(8):
        score, label = grown(100 + seed, 4_000, trees=trees)
        assert np.mean(score == 0) > (0.3 if trees < 50 else 0.15)
        assert label[score == 0].mean() > 0.01
        calibrated = learnt(score, label)
        found = celled(*grown(seed, 20_000, trees=trees))
        promised = performance.expected(found, calibrated, seed=1)
        came = performance.real(found, seed=1)
        off.append(promised["roc_auc"].value - came["roc_auc"].value)
        names = ["roc_auc", "share_of_1"]
        assert performance.assumption(promised, came, names, drop=0.03).holds, off
    assert abs(np.mean(off)) < 0.02


def test_scores_of_a_rare_label_are_told_apart_below_half_a_row() -> None:
    """Half a row of a tenth is 0.005 here, more than most scores are: they rank all the same."""
    score, label = drawn(1, 40_000, shift=-6.0)
    assert np.quantile(score, 0.8) < 0.005
    tenths = [float(each.mean()) for each in np.array_split(np.sort(score), 10)]
    calibrated = performance.calibration([(each, each, 100) for each in tenths])
    found = celled(score, label)
    promised = performance.expected(found, calibrated, seed=1)["roc_auc"].value
    truth = performance.expected(found, ITSELF, seed=1)["roc_auc"].value
    assert promised == pytest.approx(truth, abs=0.02)


def test_a_rare_label_that_trebles_breaks_the_promise() -> None:
    """Half a percent becomes one and a half: less than the drop, and more than chance."""
    score, label = drawn(1, 40_000, shift=-5.4)
    assert 0.003 < label.mean() < 0.007
    assert told(score, label).holds
    more = (np.random.default_rng(2).random(40_000) < 3 * score).astype(float)
    found = told(score, more)
    assert not found.holds
    assert "share_of_1 0.00" in found.words


def test_one_class_only_has_no_auc_and_is_no_concept_drift() -> None:
    score = np.full(200, 0.002)
    found = performance.real(celled(score, np.zeros(200)), seed=1)
    assert math.isnan(found["roc_auc"].value)
    assert math.isnan(found["pr_auc"].value)  # unknown, where the worst is no 0 for certain
    assert told(score, np.zeros(200)).holds


@pytest.mark.parametrize("score", [np.full(300, 1e-5), np.full(50, 1e-4), np.full(1, 0.2)])
def test_what_hardly_any_draw_can_rank_is_not_known(score: np.ndarray) -> None:
    """Labels drawn of such scores are nearly always of one class: of what is left of three hundred
    draws, one perhaps, there is no spread.
    """
    its = celled(score, np.zeros(len(score)))
    found = performance.expected(its, Calibrated(), seed=1)
    for name in ("roc_auc", "pr_auc"):
        assert all(map(math.isnan, (found[name].value, found[name].low, found[name].high)))
    assert not math.isnan(found["share_of_1"].high)


@pytest.mark.parametrize(
    ("ones", "labelled", "words"),
    [
        (1, 200, "1 of 200 labels are 1: too few of a class to judge the metric by"),
        (9, 4_000, "9 of 4,000 labels are 1: too few of a class to judge the metric by"),
        (10, 4_000, ""),
        (191, 200, "191 of 200 labels are 1: too few of a class to judge the metric by"),
        (190, 200, ""),
    ],
)
def test_a_few_labels_of_a_class_judge_no_model(ones: int, labelled: int, words: str) -> None:
    share = Interval(ones / labelled, 0.0, 1.0)
    assert performance.few({"share_of_1": share}, labelled) == words


def test_a_few_errors_judge_no_regression() -> None:
    came = {"rmse": Interval(1.0, 1.0, 1.0)}
    assert performance.few(came, 3) == "3 labels are too few to judge by"
    assert performance.few(came, 10) == ""


def test_residuals_are_rmse_and_mae_with_intervals_that_cover() -> None:
    inside = 0
    for seed in range(100):
        off = np.random.default_rng(seed).normal(0, 2.0, 400)
        sums = {"e": off.sum(), "e1": np.abs(off).sum()}
        sums |= {"n": 400, "e2": (off**2).sum(), "e4": (off**4).sum()}
        found = performance.residuals(sums)
        assert found["bias"].value == pytest.approx(off.mean())
        assert found["rmse"].value == pytest.approx(math.sqrt(np.mean(off**2)))
        assert found["mae"].value == pytest.approx(np.mean(np.abs(off)))
        inside += found["rmse"].low <= 2.0 <= found["rmse"].high
    assert inside >= stats.binom.ppf(0.001, 100, 0.95)


def test_the_standard_error_of_an_interval() -> None:
    assert performance.error(Interval(0.5, 0.402, 0.598)) == pytest.approx(0.05)
