"""What a model is asked about beside what it learnt from: which features are said to differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from driftline import skew
from driftline.profile import Profile
from driftline.sections import Drift
from pure.profiles import numeric, words

RULE = Drift(tables=())


def rows(
    seed: int, count: int, *, scale: float = 1.0, nulls: int = 0, null: int = 0
) -> dict[str, Profile]:
    """Three features of some rows; ``scale``: the unit of the first."""
    random = np.random.default_rng(seed)
    where = random.choice(["AT", "DE", "FR"], count, p=[0.2, 0.5, 0.3]).tolist()
    found = (
        numeric(random.lognormal(4.0, 0.7, count - nulls) * scale, nulls=nulls, name="spend"),
        numeric(random.poisson(3.0, count), nulls=null, name="orders"),
        words({each: where.count(each) for each in set(where)}, name="country"),
    )
    return {each.name: each for each in found}


def named(before: Mapping[str, Profile], after: Mapping[str, Profile]) -> list[str]:
    return list(skew.named(skew.compare(before, after, RULE)))


def test_pipelines_that_are_the_same_show_none() -> None:
    """Other rows of the same making: 40 periods of 3 features, and nothing is said of any."""
    before = rows(0, 3000)
    assert [named(before, rows(seed, 400)) for seed in range(1, 41)] == [[]] * 40


@pytest.mark.parametrize("scale", [100.0, 0.01, 2.54])
def test_another_unit_is_named_and_nothing_else(scale: float) -> None:
    for seed in range(1, 6):
        assert named(rows(0, 3000), rows(seed, 400, scale=scale)) == ["spend"]


def test_a_feature_without_a_single_value_is_named_first() -> None:
    before = rows(0, 3000)
    after = rows(1, 400, scale=100.0)
    after["orders"] = numeric([], nulls=400, name="orders")
    found = skew.compare(before, after, RULE)
    assert list(skew.named(found)) == ["orders", "spend"]
    missing = skew.named(found)["orders"]
    assert missing.statistic == "missing"
    assert missing.detail == "no value in 400 rows; in training 100.0% had one"
    # Where values were rare, a few rows without one say nothing; many do.
    rare = {"spend": numeric(np.ones(30), nulls=2970, name="spend")}
    assert named(rare, {"spend": numeric([], nulls=100, name="spend")}) == []
    assert named(rare, {"spend": numeric([], nulls=2000, name="spend")}) == ["spend"]
    # What never had a value cannot lose it.
    never = {"spend": numeric([], nulls=3000, name="spend")}
    assert named(never, {"spend": numeric([], nulls=400, name="spend")}) == []


def test_values_of_another_kind_are_named() -> None:
    before = rows(0, 3000)
    after = {**rows(1, 400), "orders": words({"three": 200, "four": 200}, name="orders")}
    found = skew.named(skew.compare(before, after, RULE))
    assert {name: each.statistic for name, each in found.items()} == {"orders": "type"}
    assert found["orders"].detail == "double → string"


def test_a_part_of_a_column_names_the_column() -> None:
    before = rows(0, 3000)
    length = replace(numeric(np.full(3000, 2.0), name="country"), part="length")
    longer = replace(numeric(np.full(400, 9.0), name="country"), part="length")
    found = skew.compare(
        {**before, length.name: length}, {**rows(1, 400), longer.name: longer}, RULE
    )
    assert list(skew.named(found)) == ["country"]
