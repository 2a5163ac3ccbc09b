"""Relations of columns against scipy, and leaks that were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from driftline import explore

RNG = np.random.default_rng(4)
ROWS = 3_000


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    label = (RNG.random(ROWS) < 0.3).astype(float)
    x = label + RNG.normal(size=ROWS)
    made = pd.DataFrame(
        {
            "x": x,
            "square": x**2,
            "noise": RNG.normal(size=ROWS),
            "code": 5 - label,
            "gone": np.where(label == 1, np.nan, RNG.normal(size=ROWS)),
            "kind": np.where(RNG.random(ROWS) < 0.8, np.where(x > 0, "a", "b"), "c"),
            "side": np.where(x > 0, "yes", "no"),
            "nothing": [None] * ROWS,
            "label": label,
        }
    )
    made.loc[::7, "x"] = np.nan
    return made


KINDS = {"kind": "categorical", "side": "categorical"}


@pytest.fixture(scope="module")
def kinds(sample) -> dict[str, str]:
    return {name: KINDS.get(name, "numeric") for name in sample.columns}


def test_two_by_two_against_scipy(sample, kinds) -> None:
    found = {
        (each.statistic, each.column, each.other): each.value
        for each in explore.together(sample, kinds)
    }
    names = 7
    assert len(found) == 2 * (names * (names - 1) // 2) + 1 + 2 * names
    both = sample[["x", "noise"]].dropna()
    for statistic, of in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        assert found[statistic, "x", "noise"] == pytest.approx(of(both.x, both.noise)[0], rel=1e-9)
    counts = pd.crosstab(sample.kind, sample.side).to_numpy()
    expected = stats.contingency.association(counts, method="cramer")
    assert found["cramers_v", "kind", "side"] == pytest.approx(expected, rel=1e-9)
    groups = [each.noise.to_numpy() for _, each in sample.groupby("kind")]
    f = stats.f_oneway(*groups).statistic
    ratio = f * 2 / (f * 2 + ROWS - 3)  # η² of three groups from their F
    assert found["correlation_ratio", "noise", "kind"] ** 2 == pytest.approx(ratio, rel=1e-9)
    assert found["pearson", "x", "nothing"] is None
    assert found["correlation_ratio", "nothing", "side"] is None


def test_planted_leaks_are_suspected_and_nothing_else(sample, kinds) -> None:
    found = list(explore.with_label(sample, kinds, "label", None))
    assert {(each.column, each.detail) for each in found if each.statistic == "suspicious"} == {
        ("code", "tells the label all but alone"),
        ("gone", "tells the label by being missing"),
    }
    tells = {each.column: each.value for each in found if each.statistic == "tells"}
    known = sample.dropna(subset=["x"])
    u = stats.mannwhitneyu(known.x[known.label == 1], known.x[known.label == 0]).statistic
    ones = int(known.label.sum())
    assert tells["x"] == pytest.approx(u / (ones * (len(known) - ones)), rel=1e-12)
    assert tells["noise"] == pytest.approx(0.5, abs=0.03)
    assert tells["nothing"] == 0
    amounts = sample.assign(label=sample.x.fillna(0) * 3)
    found = list(explore.with_label(amounts, kinds, "label", None))
    suspected = {each.column for each in found if each.statistic == "suspicious"}
    assert suspected == {"x"}


def test_many_categories_are_compared_by_the_most_frequent() -> None:
    words = pd.Series([f"w{n}" for n in range(300)] * 5 + ["often"] * 500)
    side = pd.Series(["l"] * 1_500 + ["r"] * 500)
    kinds = dict.fromkeys(("words", "side"), "categorical")
    frame = pd.DataFrame({"words": words, "side": side})
    [fact] = explore.together(frame, kinds)
    assert fact.value == pytest.approx(1.0)
    assert next(explore.together(frame.assign(side="one"), kinds)).value is None
