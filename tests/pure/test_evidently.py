"""Beside Evidently, on the same pairs: each of its numbers is in one of the lists below, which say
where the definitions agree and where they do not.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from evidently_numbers import pairs
from profiles import numeric, words
from scipy import stats

from driftline import distances
from driftline.drift import Statistic, compare
from driftline.sections import Drift
from driftline.sketches import Distribution

THEIRS = json.loads(Path(__file__).with_name("evidently.json").read_text())
NATS = math.sqrt(math.log(2))
"""Their JS is in nats; ours, in bits, ends at 1."""

CONTINUOUS = ("normal", "gamma", "same", "one far")
FEW = ("counts", "constant")
"""Numbers of at most twenty values: both compare them value by value."""
WORDS = ("words", "new word")

SAME = {
    "wasserstein": (*CONTINUOUS, "counts", "steps"),  # over the reference's deviation
    "psi": (*FEW, *WORDS),  # by value; what a side lacks counts as a share of 0.0001
    "jensenshannon": (*FEW, *WORDS),  # by value
    "ks": (),
    "chisquare": (),
}
"""A column's statistic is theirs."""

SAME_OVER_BINS = {
    "psi": ("normal", "gamma", "same", "steps"),
    "jensenshannon": (*CONTINUOUS, "steps"),
}
"""The function is theirs, over their bins: Sturges', of both sides together. A column's statistic
is over tenths of the reference; up to 50 values, as in ``steps``, each is a bin, theirs up to 20.
"""

CHANCE = (*CONTINUOUS, *FEW, "steps")
"""KS: they give its chance alone, which is exact for small samples; ours is asymptotic."""

OTHER = {
    ("one far", "psi"): "where the least share is under 0.0001, theirs takes a millionth for none",
    ("constant", "wasserstein"): "the reference has no deviation: theirs takes 0.001 for it",
    ("words", "chisquare"): "theirs takes the reference for the truth, not for a sample",
    ("new word", "chisquare"): "and so finds a new word impossible",
}
"""There is no agreement, and why; each has a test."""


def test_each_of_their_numbers_is_in_one_list() -> None:
    listed = [(name, each) for each, names in SAME.items() for name in names]
    listed += [(name, each) for each, names in SAME_OVER_BINS.items() for name in names]
    listed += [(name, "ks") for name in CHANCE] + list(OTHER)
    told = [(name, each) for name in pairs() for each in THEIRS[name]]
    assert Counter(listed) == Counter(told)


def found(name: str) -> dict[str, Statistic]:
    """What a comparison says of the pair, by statistic."""
    x, y = pairs()[name]
    number = x.dtype.kind == "f"
    a, b = (numeric(each) if number else words(Counter(each.tolist())) for each in (x, y))
    return {each.statistic: each for each in compare({"x": a}, {"x": b}, Drift(tables=()))}


def over_their_bins(name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = pairs()[name]
    bins = np.histogram_bin_edges(np.concatenate([x, y]), bins="sturges")
    p, q = (np.histogram(each, bins)[0] / len(each) for each in (x, y))
    return p, q


def near(value: float):
    return pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", SAME["psi"])
def test_by_value_psi_and_js_are_theirs(name: str) -> None:
    ours, theirs = found(name), THEIRS[name]
    assert max(ours["psi"].bound, ours["js"].bound) < 1e-12
    assert ours["psi"].value == near(theirs["psi"])
    assert NATS * ours["js"].value == near(theirs["jensenshannon"])


@pytest.mark.parametrize("name", SAME["wasserstein"])
def test_wasserstein_is_theirs(name: str) -> None:
    """On the data; of sketches within the bound."""
    x, y = pairs()[name]
    theirs, ours = THEIRS[name]["wasserstein"], found(name)["wasserstein"]
    assert distances.wasserstein(*map(Distribution.of, (x, y)), x.std()) == near(theirs)
    assert ours.value == pytest.approx(theirs, rel=1e-9, abs=ours.bound)


@pytest.mark.parametrize("name", SAME_OVER_BINS["psi"])
def test_psi_over_their_bins_is_theirs(name: str) -> None:
    theirs, ours = THEIRS[name]["psi"], found(name)["psi"].value
    assert distances.psi(*over_their_bins(name)) == near(theirs)
    assert ours == pytest.approx(theirs, abs=0.04)
    assert ours != pytest.approx(theirs, rel=1e-6)  # sketches draw: near by chance, never the same


@pytest.mark.parametrize("name", SAME_OVER_BINS["jensenshannon"])
def test_js_over_their_bins_is_theirs(name: str) -> None:
    theirs, ours = THEIRS[name]["jensenshannon"], NATS * found(name)["js"].value
    assert NATS * distances.js(*over_their_bins(name)) == near(theirs)
    assert ours == pytest.approx(theirs, abs=0.04)
    assert ours != pytest.approx(theirs, rel=1e-6)  # sketches draw: near by chance, never the same


@pytest.mark.parametrize("name", CHANCE)
def test_ks_has_their_chance(name: str) -> None:
    x, y = pairs()[name]
    theirs = THEIRS[name]["ks"]
    exact = stats.ks_2samp(x, y)
    assert exact.pvalue == near(theirs)
    ks = distances.ks(Distribution.of(x), Distribution.of(y))
    assert ks == pytest.approx(exact.statistic, abs=1e-12)
    chance = distances.ks_p(ks, (len(x), len(y)))
    assert np.log10(chance) == pytest.approx(np.log10(theirs), rel=0.05, abs=0.05)


def test_psi_of_one_far_value() -> None:
    """Ours takes any bin without rows for a share of 0.0001: that which no side has is no change.
    The side with the far value has, by theirs, far less in it than the other.
    """
    p, q = over_their_bins("one far")
    none = [(p == 0).sum(), (q == 0).sum(), ((p == 0) & (q == 0)).sum()]
    assert none == [6, 5, 5]
    assert p[p > 0].min() > distances.FLOOR > q[q > 0].min() == 1 / 30_000
    a, b = np.where(p > 0, p, distances.FLOOR), np.where(q > 0, q, q[q > 0].min() / 1e6)
    theirs = THEIRS["one far"]["psi"]
    assert np.sum((b - a) * np.log(b / a)) == near(theirs)
    assert distances.psi(p, q) < theirs / 2


def test_wasserstein_of_a_constant() -> None:
    x, y = pairs()["constant"]
    assert stats.wasserstein_distance(x, y) / 0.001 == near(THEIRS["constant"]["wasserstein"])
    assert "wasserstein" not in found("constant")


@pytest.mark.parametrize("name", WORDS)
def test_chi_square_is_of_two_samples(name: str) -> None:
    """So it is less sure than theirs."""
    x, y = pairs()[name]
    letters = sorted({*x, *y})
    counts = [np.array([np.sum(each == letter) for letter in letters]) for each in (x, y)]
    with np.errstate(divide="ignore"):
        one_sample = stats.chisquare(counts[1], counts[0] * len(y) / len(x)).pvalue
    assert one_sample == near(THEIRS[name]["chisquare"])
    two = stats.chi2_contingency(counts, correction=False)
    p, q = (each / each.sum() for each in counts)
    value = distances.chi_square(p, q, (len(x), len(y)))
    assert value == near(two.statistic)
    assert distances.chi_square_p(value, len(letters)) == near(two.pvalue)
    assert found(name)["psi"].p == near(two.pvalue)
    assert two.pvalue > one_sample
