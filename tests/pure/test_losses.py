"""Errors by score: what a period's labels will come out as, where noise grows with the score.

The truth is known: y = score + noise whose deviation is exp(0.2 + growth · x), score = 10 + 3 x.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor

from driftline import losses, metrics, performance
from driftline.losses import Losses, Promise
from driftline.performance import Assumption

Floats = npt.NDArray[np.float64]
METRICS = metrics.METRICS["regression"]


def drawn(
    seed: int, rows: int, *, shift: float = 0.0, growth: float = 0.2
) -> tuple[Floats, Floats]:
    """Labels and scores."""
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1.0, rows)
    score = 10 + 3 * x
    return score + random.normal(0.0, np.exp(0.2 + growth * x)), score


def learnt(label: Floats, score: Floats) -> Losses:
    found = losses.losses(losses.points(label, score)[::-1])
    assert found is not None
    return found


def placed(known: Losses, score: Floats) -> dict[int, int]:
    """As the aggregation in Spark counts: how many edges are at most the score."""
    place = (known.edges[None, :] <= score[:, None]).sum(axis=1)
    return dict(zip(*(each.tolist() for each in np.unique(place, return_counts=True)), strict=True))


def promised(known: Losses, score: Floats) -> Promise:
    return losses.expected(known, placed(known, score))


def came(label: Floats, score: Floats) -> dict:
    error = score - label
    sums = {"n": len(error), "e": error.sum(), "e1": np.abs(error).sum()}
    return performance.residuals(sums | {"e2": (error**2).sum(), "e4": (error**4).sum()})


def checked(known: Losses, label: Floats, score: Floats, *, drop: float = 0.1) -> Assumption:
    promise = promised(known, score).metrics
    off = drop * promise["rmse"].value
    return performance.assumption(promise, came(label, score), ["rmse", "bias"], drop=off)


def test_the_rows_it_was_learnt_from_have_just_its_errors() -> None:
    label, score = drawn(1, 700)
    known = learnt(label, score)
    assert known.rows.sum() == 700
    assert known.rows.min() >= 20
    found = promised(known, score)
    assert found.outside == 0
    for name in ("rmse", "mae"):
        assert found.metrics[name].value == pytest.approx(METRICS[name](label, score))
    assert found.metrics["bias"].value == pytest.approx(float(np.mean(score - label)))


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    known = learnt(*drawn(1, 700))
    _, score = drawn(2, 500, shift=0.3)
    parts = [placed(known, each) for each in np.array_split(score, 3)]
    summed = {place: sum(part.get(place, 0) for part in parts) for each in parts for place in each}
    assert losses.expected(known, summed) == promised(known, score)


@pytest.mark.parametrize("shift", [0.0, 0.6, -0.6])
def test_labels_come_out_as_promised_also_of_other_rows(shift: float) -> None:
    """Also where the mean error changes because scores do: 95 % of 60 periods, as often as chance
    lets it.
    """
    inside = {"rmse": 0, "mae": 0, "bias": 0}
    moved = []
    for seed in range(60):
        label, score = drawn(seed, 2000)
        known = learnt(label, score)
        later, its = drawn(1000 + seed, 800, shift=shift)
        found = promised(known, its).metrics
        truth = {name: METRICS[name](later, its) for name in ("rmse", "mae")}
        truth["bias"] = float(np.mean(its - later))
        for name, each in truth.items():
            inside[name] += found[name].low <= each <= found[name].high
        moved.append(found["rmse"].value / METRICS["rmse"](label, score))
    assert min(inside.values()) >= stats.binom.ppf(0.001, 60, 0.95), inside
    # By the truth: a variance of exp(0.4 (1 + x)) has the mean exp(0.4 + 0.4 shift + 0.08).
    assert np.mean(moved) == pytest.approx(math.exp(0.2 * shift), rel=0.02)


def test_only_concept_drift_breaks_the_promise() -> None:
    for seed in range(10):
        known = learnt(*drawn(seed, 2000))
        assert checked(known, *drawn(100 + seed, 800)).holds
        assert checked(known, *drawn(100 + seed, 800, shift=0.6)).holds
        label, score = drawn(100 + seed, 800)
        louder = checked(known, score + 1.6 * (label - score), score)
        assert not louder.holds
        assert louder.words.startswith("concept drift: rmse ")
        # All labels by a third of the error higher: the size of errors hardly tells, the bias does.
        higher = checked(known, label + 0.5, score)
        assert not higher.holds
        assert "bias " in higher.words


def test_scores_never_seen_promise_nothing() -> None:
    label, score = drawn(1, 700)
    known = learnt(label, score)
    far = promised(known, drawn(2, 500, shift=3.0)[1])
    assert far.metrics == {}
    assert far.outside > 0.3
    few = np.r_[score[:98], score.max() + 50, score.min() - 50]
    found = promised(known, few)
    assert found.outside == pytest.approx(0.02)
    assert found.metrics["mae"].value > 0


def test_few_rows_or_a_single_score_are_one_bin() -> None:
    label, score = drawn(1, 30)
    for known in (learnt(label, score), learnt(label, np.full(30, 7.0))):
        assert len(known.rows) == 1
    same = promised(learnt(label, np.full(30, 7.0)), np.full(10, 7.0))
    assert same.metrics["mae"].value == pytest.approx(float(np.mean(np.abs(label - 7.0))))


def trips(folder: Path, month: str) -> tuple[pd.DataFrame, Floats]:
    """Features and dollars paid of a month of New York's yellow taxis."""
    rows = pd.read_csv(folder / "nyc_taxi" / f"yellow_tripdata_sample_{month}.csv")
    at = pd.to_datetime(rows["pickup_datetime"])
    features = rows[["trip_distance", "pickup_location_id", "dropoff_location_id"]]
    features = features.assign(hour=at.dt.hour, weekday=at.dt.weekday)
    paid = rows["total_amount"]
    usual = paid.between(0.5, 120) & rows["trip_distance"].between(0.01, 50)
    return features[usual], paid[usual].to_numpy()


@pytest.mark.slow
def test_a_surcharge_that_no_feature_tells(public_data) -> None:
    """From February 2019 on every trip in Manhattan costs 2.50 dollars more. Distances and places
    are what they were, so that nothing worse can be expected; the first labels say that it is.
    """
    folder = public_data("nyc_taxi")
    months = [trips(folder, f"2018-{month:02}") for month in range(1, 13)]
    model = HistGradientBoostingRegressor(max_iter=60, random_state=0)
    model.fit(pd.concat(x for x, _ in months[:9]), np.concatenate([y for _, y in months[:9]]))
    label = np.concatenate([y for _, y in months[9:]])
    known = learnt(label, model.predict(pd.concat(x for x, _ in months[9:])))
    then = float(known.rows @ known.errors["e1"] / known.rows.sum())
    off = {}
    for month in ("2019-01", "2019-02", "2019-05", "2019-09", "2019-12"):
        rows, paid = trips(folder, month)
        score = model.predict(rows)
        promise, real = promised(known, score).metrics, came(paid, score)
        assert promise["mae"].value == pytest.approx(then, rel=0.1)
        off[month] = real["bias"].value - promise["bias"].value
        held = performance.assumption(promise, real, ["mae", "bias"], drop=1.0)  # a dollar
        assert held.holds == (month == "2019-01"), (month, held.words)
    assert abs(off["2019-01"]) < 1
    assert all(-3.5 < each < -1.5 for month, each in off.items() if month != "2019-01"), off


def test_a_bin_has_rows_enough_also_where_many_have_one_score() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        score = random.choice([0.1, 0.2, 0.3], 2000, p=[0.7, 0.2, 0.1])
        alone = random.random(2000) < random.uniform(0, 0.2)
        score = np.where(alone, random.random(2000), score)
        found = learnt(score + random.normal(0, 1, 2000), score)
        assert found.rows.min() >= 20
        assert found.rows.sum() == 2000
        assert (np.diff(found.edges) > 0).all()
