"""Beside Evidently, on the same pairs: equal where the definitions are."""

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
from driftline.drift import compare
from driftline.sections import Drift
from driftline.sketches import Distribution

THEIRS = json.loads(Path(__file__).with_name("evidently.json").read_text())
NATS = math.sqrt(math.log(2))
"""Theirs is in nats; ours, in bits, ends at 1."""

NUMBERS, WORDS = ("normal", "gamma", "same"), ("words", "new word")


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    x, y = pairs()[name]
    a, b = Distribution.of(x), Distribution.of(y)
    theirs = THEIRS[name]
    near = pytest.approx
    assert distances.wasserstein(a, b, x.std()) == near(theirs["wasserstein"], rel=1e-9)
    # Evidently gives the chance of KS only; ours is asymptotic, as is SciPy's for large samples.
    assert distances.ks(a, b) == near(stats.ks_2samp(x, y).statistic, abs=1e-12)
    assert stats.ks_2samp(x, y).pvalue == near(theirs["ks"], rel=1e-9)
    chance = distances.ks_p(distances.ks(a, b), (len(x), len(y)))
    assert np.log10(chance) == near(np.log10(theirs["ks"]), rel=0.05, abs=0.05)
    # PSI and JS over Evidently's bins (Sturges', of both sides together) are Evidently's.
    bins = np.histogram_bin_edges(np.concatenate([x, y]), bins="sturges")
    p, q = (np.histogram(each, bins)[0] / len(each) for each in (x, y))
    assert NATS * distances.js(p, q) == near(theirs["jensenshannon"], rel=1e-9)
    if p.min() > 0 and q.min() > 0:
        assert distances.psi(p, q) == near(theirs["psi"], rel=1e-9)
    # Over ours, the tenths of the reference, they are of the same size.
    found = {each.statistic: each for each in compare(*_columns(x, y), Drift(tables=()))}
    assert found["psi"].value == near(theirs["psi"], abs=0.03)
    assert NATS * found["js"].value == near(theirs["jensenshannon"], abs=0.03)


@pytest.mark.parametrize("name", WORDS)
def test_words(name: str) -> None:
    x, y = pairs()[name]
    before, after = (words(Counter(each.tolist())) for each in (x, y))
    found = {
        each.statistic: each for each in compare({"w": before}, {"w": after}, Drift(tables=()))
    }
    theirs = THEIRS[name]
    assert found["psi"].value == pytest.approx(theirs["psi"], rel=1e-9)
    assert NATS * found["js"].value == pytest.approx(theirs["jensenshannon"], rel=1e-9)


def test_their_chi_square_takes_the_reference_for_the_truth() -> None:
    """Theirs tests one sample against fixed shares; ours two samples, so is less sure."""
    x, y = pairs()["words"]
    counts = [np.array([np.sum(each == letter) for letter in "abc"]) for each in (x, y)]
    one_sample = stats.chisquare(counts[1], counts[0] * len(y) / len(x)).pvalue
    assert one_sample == pytest.approx(THEIRS["words"]["chisquare"], rel=1e-9)
    p, q = (each / each.sum() for each in counts)
    ours = distances.chi_square_p(distances.chi_square(p, q, (len(x), len(y))), 3)
    assert ours == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue, rel=1e-9)
    assert ours > one_sample


def _columns(x: np.ndarray, y: np.ndarray):
    return {"x": numeric(x)}, {"x": numeric(y)}
