"""Drift statistics against hand-computed values, SciPy, and changes that were put there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import ks_2samp

from driftline import profile
from driftline.drift import Statistic, compare, js, ks, psi
from driftline.profile import Profile
from driftline.sections import Drift

RULE = Drift(tables=("gold.features",), psi=0.2, ks=0.15, js=0.1, null_rate=0.05)
Values = Sequence[float] | npt.NDArray[np.float64]


def numeric(values: Values, *, nulls: int = 0, name: str = "x", type: str = "double") -> Profile:
    """The profile of a numeric column, sketched as Spark does it."""
    data = np.asarray(values, dtype=np.float64)
    sketch = datasketches.kll_doubles_sketch(profile.K)
    sketch.update(data)
    full = len(data) > 0
    return Profile(
        name,
        type,
        "numeric",
        rows=len(data) + nulls,
        nulls=nulls,
        min=float(data.min()) if full else None,
        max=float(data.max()) if full else None,
        mean=float(data.mean()) if full else None,
        sketch=sketch.serialize() if full else None,
        distinct=len(set(data.tolist())),
    )


def words(
    counts: Mapping[str, int],
    *,
    others: int = 0,
    nulls: int = 0,
    distinct: int | None = None,
    name: str = "w",
) -> Profile:
    """The profile of a text column; ``others`` rows hold values that are not among the counts."""
    return Profile(
        name,
        "string",
        "categorical",
        rows=sum(counts.values()) + others + nulls,
        nulls=nulls,
        categories=counts,
        distinct=len(counts) if distinct is None else distinct,
    )


def found(before: Profile, after: Profile) -> dict[str, Statistic]:
    """The statistics of one column by name."""
    said = compare({before.column: before}, {after.column: after}, RULE)
    assert said[0] == Statistic("*", "schema", 0.0, 1.0, "same columns")
    assert {each.column for each in said[1:]} == {before.column}
    return {each.statistic: each for each in said[1:]}


def values(statistics: Mapping[str, Statistic]) -> dict[str, float]:
    return {name: statistic.value for name, statistic in statistics.items()}


# ---- plain functions of floats ---------------------------------------------------------------


def test_psi_by_hand() -> None:
    # (0.25 − 0.5) ln 0.5 + (0.75 − 0.5) ln 1.5
    assert psi([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.2746530721670274, rel=1e-14)
    # the industry's rule of thumb: 0.1 is little, 0.25 is much
    assert psi([0.2] * 5, [0.1, 0.15, 0.2, 0.25, 0.3]) == pytest.approx(0.1354025, abs=1e-7)


def test_psi_is_symmetric_and_zero_for_the_same() -> None:
    p, q = [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]
    assert psi(p, q) == pytest.approx(psi(q, p), rel=1e-14)
    assert psi(p, p) == 0.0
    assert psi([0.0, 1.0], [0.0, 1.0]) == 0.0


def test_an_empty_bin_counts_as_one_in_ten_thousand() -> None:
    expected = (0.5 - 1) * math.log(0.5) + (0.5 - 0.0001) * math.log(5000)
    assert psi([1.0, 0.0], [0.5, 0.5]) == pytest.approx(expected, rel=1e-14)
    assert math.isfinite(psi([1.0, 0.0], [0.0, 1.0]))


def test_bins_must_be_the_same() -> None:
    with pytest.raises(ValueError):
        psi([0.5, 0.5], [1.0])


def js_by_definition(p: Sequence[float], q: Sequence[float]) -> float:
    def entropy(shares: Sequence[float]) -> float:
        return -sum(share * math.log2(share) for share in shares if share)

    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return math.sqrt(entropy(middle) - (entropy(p) + entropy(q)) / 2)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.5], [0.25, 0.75]),
        ([1.0, 0.0], [0.5, 0.5]),
        ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]),
        ([0.9, 0.1, 0.0], [0.0, 0.1, 0.9]),
    ],
)
def test_js_by_its_definition(p: list[float], q: list[float]) -> None:
    assert js(p, q) == pytest.approx(js_by_definition(p, q), rel=1e-12)
    assert js(q, p) == pytest.approx(js(p, q), rel=1e-12)


def test_js_goes_from_zero_to_one() -> None:
    assert js([0.3, 0.7], [0.3, 0.7]) == 0.0
    assert js([1.0, 0.0], [0.0, 1.0]) == 1.0


def test_a_statistic_drifts_from_its_threshold_on() -> None:
    assert Statistic("x", "psi", 0.2, 0.2, "").drifted
    assert not Statistic("x", "psi", 0.1999, 0.2, "").drifted
    assert not Statistic("x", "psi", 9.0, None, "").drifted


# ---- KS from sketches ------------------------------------------------------------------------


def test_ks_by_hand() -> None:
    assert ks(numeric([1, 2, 3, 4]), numeric([3, 4, 5, 6])) == pytest.approx(0.5)
    assert ks(numeric([1, 2]), numeric([3, 4])) == 1.0
    assert ks(numeric([5, 5, 5]), numeric([5, 5])) == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("rows", [100, 700, 30_000])
def test_ks_is_scipys_within_the_bound_of_the_sketch(rows: int, shift: float) -> None:
    generator = np.random.default_rng(1)
    before, after = generator.normal(size=rows), generator.gamma(2, 1, size=rows) - 2 + shift
    exact = ks_2samp(before, after).statistic
    error = 2 * datasketches.kll_doubles_sketch.get_normalized_rank_error(profile.K, False)
    between_points = 2 / 200
    assert error < 0.02
    assert ks(numeric(before), numeric(after)) == pytest.approx(exact, abs=error + between_points)


def test_ks_sees_ties() -> None:
    before, after = [0.0] * 90 + [1.0] * 10, [0.0] * 60 + [1.0] * 40
    assert ks(numeric(before), numeric(after)) == pytest.approx(0.3)


# ---- numeric columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(2).normal(size=500),
        np.random.default_rng(3).poisson(0.3, size=400).astype(np.float64),
        np.full(50, 7.0),
        np.array([1.0]),
        np.array([-1e300, 0.0, 1e300]),
    ],
    ids=["normal", "counts", "constant", "one", "far"],
)
def test_the_same_numbers_do_not_drift_at_all(data: npt.NDArray[np.float64]) -> None:
    statistics = found(numeric(data, nulls=5), numeric(data, nulls=5))
    assert values(statistics) == {"null_rate": 0.0, "ks": 0.0, "psi": 0.0, "js": 0.0}


def test_more_of_the_same_does_not_drift() -> None:
    generator = np.random.default_rng(4)
    statistics = found(
        numeric(generator.normal(size=20_000)), numeric(generator.normal(size=5_000))
    )
    assert not [name for name, each in statistics.items() if each.drifted]
    assert statistics["psi"].value < 0.01
    assert 0 < statistics["ks"].value < 0.03


def test_a_shift_of_half_a_deviation_drifts() -> None:
    x = np.random.default_rng(5).normal(size=10_000)
    statistics = found(numeric(x), numeric(x + 0.5))
    # N(0, 1) against N(0.5, 1): KS is 2 Φ(0.25) − 1, and PSI's integral is 0.5²
    assert statistics["ks"].value == pytest.approx(0.1974, abs=0.02)
    assert statistics["psi"].value == pytest.approx(0.25, abs=0.03)
    assert [name for name, each in statistics.items() if each.drifted] == ["ks", "psi", "js"]
    assert statistics["ks"].detail == f"mean {x.mean():.4g} → {x.mean() + 0.5:.4g}"


def test_psi_of_a_column_uses_the_tenths_of_the_reference() -> None:
    before = np.arange(1, 101, dtype=np.float64)
    after = np.concatenate([np.full(50, 5.0), np.full(50, 95.0)])
    expected = psi([0.1] * 10, [0.5, *([0.0] * 8), 0.5])
    assert found(numeric(before), numeric(after))["psi"].value == pytest.approx(expected, rel=1e-9)
    expected = js([0.1] * 10, [0.5, *([0.0] * 8), 0.5])
    assert found(numeric(before), numeric(after))["js"].value == pytest.approx(expected, rel=1e-9)


def test_a_constant_that_grew() -> None:
    statistics = found(numeric([3.0] * 20), numeric([5.0] * 20))
    assert statistics["ks"].value == 1.0
    assert statistics["js"].value == 1.0
    assert statistics["psi"].drifted


def test_a_constant_that_shrank_is_seen() -> None:
    statistics = found(numeric([5.0] * 20), numeric([3.0] * 20))
    assert statistics["ks"].value == 1.0
    assert statistics["ks"].drifted


def test_times_are_numbers() -> None:
    day = 86_400.0
    before = numeric([day, 2 * day], type="timestamp")
    after = numeric([3 * day, 4 * day], type="timestamp")
    assert found(before, after)["ks"].value == 1.0


# ---- nulls and emptiness ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "difference", "drifted"),
    [(0, 4, 0.04, False), (0, 5, 0.05, True), (50, 40, 0.1, True), (30, 30, 0.0, False)],
)
def test_null_rate(before: int, after: int, difference: float, drifted: bool) -> None:
    rate = found(
        numeric([1.0] * (100 - before), nulls=before), numeric([1.0] * (100 - after), nulls=after)
    )["null_rate"]
    assert rate.value == pytest.approx(difference)
    assert rate.drifted is drifted
    assert rate.threshold == 0.05
    assert rate.detail == f"{before}.0% → {after}.0% null"


def test_a_column_that_became_null_has_no_distribution() -> None:
    statistics = found(numeric([1.0, 2.0]), numeric([], nulls=10))
    assert values(statistics) == {"null_rate": 1.0}
    assert statistics["null_rate"].drifted
    assert values(found(words({"a": 2}), words({}, nulls=3))) == {"null_rate": 1.0}


def test_a_column_that_was_null_and_is_not() -> None:
    assert values(found(numeric([], nulls=10), numeric([1.0, 2.0]))) == {"null_rate": 1.0}


def test_two_empty_columns_are_the_same() -> None:
    assert values(found(numeric([], nulls=3), numeric([], nulls=8))) == {"null_rate": 0.0}
    assert values(found(numeric([]), numeric([]))) == {"null_rate": 0.0}


# ---- words -----------------------------------------------------------------------------------


def test_the_same_words_do_not_drift_at_all() -> None:
    counts = {"de": 60, "at": 30, "ch": 10}
    statistics = found(words(counts), words(dict(reversed(counts.items()))))
    assert values(statistics) == {"null_rate": 0.0, "categories": 0.0, "psi": 0.0, "js": 0.0}
    assert statistics["categories"].detail == "same categories"
    assert statistics["psi"].detail == "3 → 3 distinct values"


def test_ten_times_the_rows_in_the_same_shares_do_not_drift() -> None:
    statistics = found(words({"a": 3, "b": 7}), words({"a": 30, "b": 70}))
    assert values(statistics) == pytest.approx(
        {"null_rate": 0.0, "categories": 0.0, "psi": 0.0, "js": 0.0}
    )


def test_a_new_word_counts_by_its_share() -> None:
    statistics = found(words({"web": 50, "app": 50}), words({"web": 40, "app": 40, "kiosk": 20}))
    assert statistics["categories"].value == pytest.approx(0.2)
    assert statistics["categories"].drifted
    assert statistics["categories"].threshold == 0.05
    assert statistics["categories"].detail == "new kiosk"
    expected = psi([0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    assert statistics["psi"].value == pytest.approx(expected, rel=1e-9)
    expected = js_by_definition([0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    assert statistics["js"].value == pytest.approx(expected, rel=1e-9)


def test_a_rare_new_word_is_said_but_no_drift() -> None:
    category = found(words({"web": 100}), words({"web": 98, "kiosk": 2}))["categories"]
    assert (category.value, category.drifted) == (pytest.approx(0.02), False)
    assert category.detail == "new kiosk"


def test_a_lost_word_is_said_and_its_share_moves_psi() -> None:
    statistics = found(words({"web": 50, "app": 50}), words({"web": 100}))
    assert statistics["categories"].value == 0.0
    assert statistics["categories"].detail == "lost app"
    assert statistics["psi"].drifted


def test_many_new_and_lost_words_are_counted_not_listed() -> None:
    before = words({f"old{place}": 1 for place in range(7)})
    after = words({f"new{place}": 1 for place in range(6)})
    category = found(before, after)["categories"]
    assert category.detail == (
        "new new0, new1, new2, new3, new4 and 1 more; lost old0, old1, old2, old3, old4 and 2 more"
    )
    assert category.value == pytest.approx(1.0)


def test_words_outside_the_profile_are_one_category() -> None:
    statistics = found(words({"a": 50}, others=50), words({"a": 50}, others=0))
    assert statistics["psi"].value == pytest.approx(psi([0.5, 0.5], [1.0, 0.0]), rel=1e-9)
    assert statistics["categories"].value == 0.0


def test_nulls_are_not_a_word() -> None:
    statistics = found(words({"a": 5, "b": 5}), words({"a": 50, "b": 50}, nulls=100))
    assert statistics["psi"].value == 0.0
    assert statistics["null_rate"].value == 0.5


@pytest.mark.parametrize(("distinct", "compared"), [(100, True), (101, False)])
def test_a_column_of_names_has_no_distribution(distinct: int, compared: bool) -> None:
    before = words({"a": 5}, others=1000, distinct=distinct)
    after = words({"b": 5}, others=1000, distinct=5)
    for first, second in ((before, after), (after, before)):
        names = ["null_rate", "categories", "psi", "js"] if compared else ["null_rate"]
        assert list(found(first, second)) == names


# ---- the table -------------------------------------------------------------------------------


def test_the_schema_is_compared_first() -> None:
    before = {name: numeric([1.0], name=name) for name in ("same", "lost", "typed")}
    after = {name: numeric([1.0], name=name) for name in ("same", "new")}
    after["typed"] = words({"1": 1}, name="typed")
    schema, *others = compare(before, after, RULE)
    assert schema == Statistic(
        "*", "schema", 3.0, 1.0, "lost lost; new new; type typed double → string"
    )
    assert schema.drifted
    assert {each.column for each in others} == {"same"}


def test_a_column_of_a_nested_type_is_left_out() -> None:
    nested = Profile("tags", "array<string>", "skipped", rows=3, nulls=0)
    assert [each.statistic for each in compare({"tags": nested}, {"tags": nested}, RULE)] == [
        "schema"
    ]


def test_each_statistic_has_the_threshold_of_its_rule() -> None:
    rule = Drift(tables=(), psi=0.5, ks=0.4, js=0.3, null_rate=0.2)
    said = compare({"x": numeric([1.0])}, {"x": numeric([1.0])}, rule)
    said += compare({"w": words({"a": 1})}, {"w": words({"a": 1})}, rule)
    assert [(each.statistic, each.threshold) for each in said] == [
        ("schema", 1.0),
        ("null_rate", 0.2),
        ("ks", 0.4),
        ("psi", 0.5),
        ("js", 0.3),
        ("schema", 1.0),
        ("null_rate", 0.2),
        ("categories", 0.2),
        ("psi", 0.5),
        ("js", 0.3),
    ]


def test_a_table_that_lost_all_its_rows_drifts() -> None:
    for before, after in (
        (numeric([1.0, 2.0]), numeric([])),
        (words({"a": 3}), words({})),
        (numeric([]), numeric([1.0, 2.0])),
    ):
        said = compare({before.column: before}, {after.column: after}, RULE)
        assert [each for each in said if each.drifted]


# ---- the profile itself ----------------------------------------------------------------------


def test_edges_hold_equal_shares_each_once() -> None:
    assert profile.edges(numeric(np.arange(1, 101)), bins=4) == [25.0, 50.0, 75.0]
    assert profile.edges(numeric([0.0] * 95 + [1.0] * 5)) == [0.0]
    assert profile.edges(numeric([])) == []
    assert profile.edges(numeric([], nulls=4)) == []


def test_shares_close_on_the_right() -> None:
    column = numeric([1.0, 2.0, 2.0, 3.0])
    assert column.shares([1.0, 2.0]) == [0.25, 0.5, 0.25]
    assert column.ranks([0.5, 1.0, 2.0, 9.0]) == [0.0, 0.25, 0.75, 1.0]
    assert column.null_rate == 0.0


def test_even_edges_to_draw() -> None:
    both = [numeric(np.linspace(0, 100, 101)), numeric(np.linspace(50, 200, 151)), numeric([])]
    drawn = profile.even_edges(both, bins=10)
    assert len(drawn) == 11
    assert (drawn[0], drawn[-1]) == (pytest.approx(1, abs=1), pytest.approx(198.5, abs=1.5))
    assert np.diff(drawn) == pytest.approx([(drawn[-1] - drawn[0]) / 10] * 10)
    assert profile.even_edges([numeric([4.0] * 9)]) == [3.5, 4.5]
    assert profile.even_edges([numeric([])]) == []


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("double", "numeric"),
        ("bigint", "numeric"),
        ("decimal(10,2)", "numeric"),
        ("timestamp", "numeric"),
        ("date", "numeric"),
        ("string", "categorical"),
        ("boolean", "categorical"),
        ("array<double>", "skipped"),
        ("map<string,bigint>", "skipped"),
        ("binary", "skipped"),
    ],
)
def test_kinds(type: str, kind: Any) -> None:
    assert profile.kind_of(type) == kind
