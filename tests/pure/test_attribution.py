"""What moved a column: the part that was changed is named first."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from profiles import numeric, words

from driftline import profile
from driftline.attribution import all_but_one, causes
from driftline.sections import Drift

RULE = Drift(tables=())


def test_leaving_one_out_by_hand() -> None:
    before = numeric([1.0] * 60 + [2.0] * 40)
    parts = {
        "same": numeric([1.0] * 60 + [2.0] * 40),
        "moved": numeric([2.0] * 100),
        "more": numeric([1.0] * 30 + [2.0] * 20),
    }
    first, *others = causes(before, parts, statistic="ks", kind="commit", rule=RULE)
    # without it the shares are the reference's; with it 0.36 of 250 rows are 1, not 0.6
    assert (first.name, first.without, first.share, first.rows) == ("moved", 0.0, 1.0, 100)
    assert [each.share for each in others] == [0.0, 0.0]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_all_but_one(count: int) -> None:
    parts = [numeric([float(place)] * (place + 1)) for place in range(count)]
    for place, merged in enumerate(all_but_one(parts)):
        others = profile.merge([each for n, each in enumerate(parts) if n != place])
        assert merged.counts.values == others.counts.values
        assert (merged.rows, merged.min, merged.max) == (others.rows, others.min, others.max)
        assert merged.mean == pytest.approx(others.mean)


def test_one_part_alone_is_no_choice() -> None:
    column = numeric([1.0, 2.0])
    assert causes(column, {"1": column}, statistic="ks", kind="commit", rule=RULE) == []


def test_the_planted_part_comes_first() -> None:
    """A hundred tables of 3 to 20 commits; one, of 5 % of the rows at least, is off."""
    right = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        count = int(random.integers(3, 20))
        rows = random.integers(100, 1500, size=count)
        planted = int(random.choice(np.flatnonzero(rows >= 0.05 * rows.sum())))
        kind = ["mean", "nulls", "category"][seed % 3]
        before = _part(random, 5000, kind, off=False)
        parts = {
            str(n): _part(random, int(size), kind, off=n == planted) for n, size in enumerate(rows)
        }
        statistic = {"mean": "ks", "nulls": "null_rate", "category": "new"}[kind]
        found = causes(before, parts, statistic=statistic, kind="commit", rule=RULE)
        right += found[0].name == str(planted)
    assert right >= 95


def _part(random: np.random.Generator, rows: int, kind: str, *, off: bool):
    if kind == "category":
        names = ["a", "b", "new"]
        drawn = random.choice(names, p=[0.5, 0.3, 0.2] if off else [0.6, 0.4, 0.0], size=rows)
        return words(Counter(drawn.tolist()), name="x")
    nulls = random.binomial(rows, 0.3 if off and kind == "nulls" else 0.02)
    shift = 1.0 if off and kind == "mean" else 0.0
    return numeric(random.normal(shift, 1, size=rows - nulls), nulls=nulls)
