"""Drift statistics against hand-computed values, SciPy, and changes that were put there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from profiles import RULE, Values, drifted, numeric, words

from driftline import profile
from driftline.distances import js, psi
from driftline.drift import Statistic, compare, schema
from driftline.profile import Field, Profile
from driftline.sections import Drift
from driftline.verdicts import judged, learnt


def found(before: Profile, after: Profile) -> dict[str, Statistic]:
    """The statistics of one column by name, judged."""
    said = judged(compare({before.column: before}, {after.column: after}, RULE))
    assert {each.column for each in said} == {before.column}
    return {each.statistic: each for each in said}


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


def test_drift_takes_size_and_more_than_chance() -> None:
    def drifts(value: float, threshold: float | None, p: float | None) -> bool:
        [said] = judged([Statistic("x", "psi", value, threshold, "", p=p)])
        return said.drifted

    assert drifts(0.2, 0.2, 1e-9)
    assert drifts(0.5, 0.0, 1e-9) and not drifts(0.5, 0.0, 0.5)  # no threshold is None, not 0
    assert not drifts(0.1999, 0.2, 1e-9)
    assert not drifts(9.0, 0.2, 0.02)
    assert not drifts(9.0, None, 1e-9)


def test_the_more_is_asked_the_less_chance_is_believed() -> None:
    """Of a hundred, one with p 0.001 is what chance brings; alone it is not (BH)."""
    one = Statistic("x", "ks", 0.9, 0.1, "", p=0.001)
    others = [Statistic(f"x{n}", "ks", 0.0, 0.1, "", p=0.5) for n in range(99)]
    assert judged([one])[0].drifted
    assert not judged([one, *others])[0].drifted


def test_what_is_known_of_the_schema_makes_no_chance_likelier() -> None:
    """It is no question: ten columns are asked for, and one in ten is what chance brings."""
    one = Statistic("x0", "ks", 0.9, 0.1, "", p=0.0007)
    others = [Statistic(f"x{n}", "ks", 0.0, 0.1, "", p=0.5) for n in range(1, 10)]
    fields = [[Field(f"x{n}", "double", f"x{n}") for n in range(many)] for many in (10, 11)]
    for before, after in ((fields[0], fields[0]), (fields[0], fields[1])):
        told = judged([schema(before, after), one, *others])
        assert [each.drifted for each in told[1:]] == [False] * 10
        assert told[0].drifted is (before != after)


def test_tests_that_are_as_sure_are_as_many_questions() -> None:
    """Of nulls, new and lost words chance may say the same 1; four statistics rest on χ²."""
    one = Statistic("x", "ks", 0.9, 0.1, "", p=0.002)
    chi = [Statistic("x", name, 0.0, 0.1, "", p=1.0) for name in ("psi", "js", "cramers_v")]
    others = [Statistic("x", name, 0.0, 0.1, "", p=1.0) for name in ("null_rate", "new", "lost")]
    assert judged([one, *chi])[0].drifted  # the surest of two
    assert not judged([one, *chi, *others[:2]])[0].drifted  # of four
    assert not judged([one, *others[:2]])[0].drifted  # of three


def test_thresholds_that_calm_history_taught() -> None:
    def one(value: float, column: str = "x") -> Statistic:
        return Statistic(column, "psi", value, 0.2, "", p=1e-9)

    calm = [[one(0.3), one(0.0, "y")], [one(0.1), one(0.0, "y")]]
    said = learnt(calm, [one(0.36), one(0.019, "y"), one(0.3, "unknown"), one(5.0, "*")])
    assert [each.threshold for each in said] == pytest.approx([0.375, 0.02, 0.2, 0.2])
    assert [each.drifted for each in judged(said)] == [False, False, True, True]
    assert learnt([], [one(0.3)]) == [one(0.3)]


def test_a_share_is_not_asked_to_be_more_than_all() -> None:
    """A quarter beyond 85 % is 106 %: all is drift, unless all was calm."""

    def one(value: float, statistic: str = "null_rate") -> Statistic:
        return Statistic("x", statistic, value, 0.03, "", p=1e-9)

    for calm, value, threshold in ((0.85, 0.99, 1.0), (0.85, 1.0, 1.0), (1.0, 1.0, None)):
        [said] = judged(learnt([[one(calm)], [one(0.0)]], [one(value)]))
        assert (said.threshold, said.drifted) == (threshold, value == threshold)
    assert learnt([[one(6.0, "psi")]], [one(7.0, "psi")])[0].threshold == 7.5


def test_what_has_no_threshold_is_taught_of_times_only() -> None:
    said = [Statistic("x", name, 0.9, None, "", p=1e-9) for name in ("wasserstein", "cardinality")]
    assert learnt([said], said) == said


# ---- numeric columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(2).normal(size=5000),
        np.random.default_rng(3).poisson(0.3, size=400).astype(np.float64),
        np.full(50, 7.0),
        np.array([1.0]),
        np.array([-1e300, 0.0, 1e300]),
        np.array([-np.inf, 0.0, np.inf]),
    ],
    ids=["normal", "counts", "constant", "one", "far", "infinite"],
)
def test_the_same_numbers_do_not_drift_at_all(data: Values) -> None:
    column = numeric(data, nulls=5)
    assert set(values(found(column, column)).values()) == {0.0}


def test_more_of_the_same_does_not_drift() -> None:
    generator = np.random.default_rng(4)
    statistics = found(
        numeric(generator.normal(size=20_000)), numeric(generator.normal(size=5_000))
    )
    assert not drifted(statistics)
    assert statistics["psi"].value < 0.01
    assert 0 < statistics["ks"].value < 0.03


def test_a_shift_of_half_a_deviation_drifts() -> None:
    x = np.random.default_rng(5).normal(size=10_000)
    statistics = found(numeric(x), numeric(x + 0.5))
    # N(0, 1) against N(0.5, 1): KS is 2 Φ(0.25) − 1, PSI's integral is 0.5², Wasserstein is 0.5
    assert statistics["ks"].value == pytest.approx(0.1974, abs=0.02)
    assert statistics["psi"].value == pytest.approx(0.25, abs=0.03)
    assert statistics["wasserstein"].value == pytest.approx(0.5, abs=0.02)
    assert drifted(statistics) == ["ks", "psi", "js"]
    assert statistics["ks"].detail == f"mean {x.mean():.4g} → {x.mean() + 0.5:.4g}"


def test_many_numbers_are_compared_in_the_tenths_of_the_reference() -> None:
    before = np.arange(1, 101, dtype=np.float64)
    after = np.concatenate([np.full(50, 5.5), np.full(50, 95.5)])
    expected = psi([0.1] * 10, [0.5, *([0.0] * 8), 0.5])
    assert found(numeric(before), numeric(after))["psi"].value == pytest.approx(expected, rel=1e-9)
    expected = js([0.1] * 10, [0.5, *([0.0] * 8), 0.5])
    assert found(numeric(before), numeric(after))["js"].value == pytest.approx(expected, rel=1e-9)


def test_few_numbers_are_compared_one_by_one() -> None:
    """Passengers: 0 was never counted, and then is; in tenths it would hide behind 1."""
    before = numeric([1.0] * 700 + [2.0] * 300)
    after = numeric([0.0] * 100 + [1.0] * 610 + [2.0] * 290)
    statistics = found(before, after)
    assert statistics["new"].value == pytest.approx(0.1)
    assert statistics["new"].detail == "new 0.0"
    assert statistics["psi"].value == pytest.approx(psi([0, 0.7, 0.3], [0.1, 0.61, 0.29]))
    assert drifted(statistics) == ["new", "psi", "js"]


@pytest.mark.parametrize(("before", "after"), [(3.0, 5.0), (5.0, 3.0)])
def test_a_constant_that_changed(before: float, after: float) -> None:
    statistics = found(numeric([before] * 200), numeric([after] * 200))
    assert statistics["ks"].value == statistics["js"].value == statistics["new"].value == 1.0
    assert set(drifted(statistics)) >= {"ks", "psi", "js", "new", "lost"}
    assert "wasserstein" not in statistics  # a constant has no deviation to measure by


def test_values_beyond_what_was_seen() -> None:
    beyond = found(numeric(np.arange(100.0)), numeric(np.arange(-10.0, 110.0)))["range"]
    assert beyond.value == pytest.approx(20 / 120)
    assert beyond.detail == "0 … 99 → -10 … 109"


def test_times_are_numbers() -> None:
    day = 86_400.0
    before = numeric([day, 2 * day], type="timestamp")
    after = numeric([3 * day, 4 * day], type="timestamp")
    assert found(before, after)["ks"].value == 1.0


def test_infinite_values_leave_ks_and_no_mean() -> None:
    statistics = found(numeric([1.0, 2.0, math.inf]), numeric([1.0, 2.0, 3.0]))
    assert "wasserstein" not in statistics
    assert statistics["ks"].value == pytest.approx(1 / 3)
    assert statistics["ks"].detail == "mean ? → 2"


# ---- nulls and emptiness ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "difference", "drifted"),
    [(0, 4, 0.04, False), (0, 6, 0.06, True), (50, 40, 0.1, True), (30, 30, 0.0, False)],
)
def test_null_rate(before: int, after: int, difference: float, drifted: bool) -> None:
    rate = found(
        numeric([1.0] * (1000 - 10 * before), nulls=10 * before),
        numeric([1.0] * (1000 - 10 * after), nulls=10 * after),
    )["null_rate"]
    assert rate.value == pytest.approx(difference)
    assert rate.drifted is drifted
    assert rate.threshold == 0.05
    assert rate.detail == f"{before}.0% → {after}.0% null"


def test_a_column_that_became_null_has_no_distribution() -> None:
    statistics = found(numeric([1.0, 2.0] * 9), numeric([], nulls=10))
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
    assert set(values(statistics).values()) == {0.0}
    assert statistics["new"].detail == "same categories"
    assert statistics["cardinality"].detail == "3 → 3 distinct values"


def test_ten_times_the_rows_in_the_same_shares_do_not_drift() -> None:
    statistics = found(words({"a": 3, "b": 7}), words({"a": 30, "b": 70}))
    assert list(values(statistics).values()) == pytest.approx([0.0] * len(statistics), abs=1e-9)


def test_a_new_word_counts_by_its_share() -> None:
    statistics = found(words({"web": 50, "app": 50}), words({"web": 400, "app": 400, "kiosk": 200}))
    assert statistics["new"].value == pytest.approx(0.2)
    assert statistics["new"].drifted
    assert statistics["new"].threshold == 0.05
    assert statistics["new"].detail == "new kiosk"
    expected = psi([0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    assert statistics["psi"].value == pytest.approx(expected, rel=1e-9)
    expected = js_by_definition([0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    assert statistics["js"].value == pytest.approx(expected, rel=1e-9)


def test_a_rare_new_word_is_said_but_no_drift() -> None:
    category = found(words({"web": 100}), words({"web": 98, "kiosk": 2}))["new"]
    assert (category.value, category.drifted) == (pytest.approx(0.02), False)
    assert category.detail == "new kiosk"


def test_a_lost_word_is_said_and_its_share_moves_psi() -> None:
    statistics = found(words({"web": 50, "app": 50}), words({"web": 100}))
    assert (statistics["new"].value, statistics["lost"].value) == (0.0, pytest.approx(0.5))
    assert statistics["lost"].detail == "lost app"
    assert statistics["psi"].drifted


def test_words_of_nothing_are_said() -> None:
    """Where nulls became empty texts, which is the commonest fault of a feed."""
    said = found(words({"web": 70, "app": 30}), words({"web": 40, "": 35, "  ": 25}))
    assert said["psi"].detail == "(empty): 0.0% → 35.0%"
    assert said["new"].detail == "new (empty), (blank); lost app"


def test_many_new_and_lost_words_are_counted_not_listed() -> None:
    before = words({f"old{place}": 9 for place in range(7)})
    after = words({f"new{place}": 9 for place in range(6)})
    category = found(before, after)["new"]
    assert category.detail == (
        "new new0, new1, new2, new3, new4 and 1 more; lost old0, old1, old2, old3, old4 and 2 more"
    )
    assert category.value == pytest.approx(1.0)


def test_words_that_had_to_be_expected_are_not_new() -> None:
    """Where every word is seen once, other words are no news (Good 1953)."""
    before = words({f"a{place}": 1 for place in range(90)} | {"x": 10})
    after = words({f"b{place}": 1 for place in range(90)} | {"x": 10})
    assert found(before, after)["new"].value == pytest.approx(0.0)


def test_rare_words_are_one_category_together() -> None:
    rare = {f"r{place}": 1 for place in range(2000)}
    before, after = words({"a": 8000} | rare), words({"a": 9000, "b": 1000})
    statistics = found(before, after)
    # Of b there may have been ten rows, of ten thousand: it would have been listed with eleven.
    expected = psi([0.8, 0.001, 0.199], [0.9, 0.1, 0])
    assert statistics["psi"].value == pytest.approx(expected, rel=1e-9)
    assert statistics["psi"].bound > 0
    assert statistics["psi"].detail == "a: 80.0% → 90.0%"
    assert statistics["new"].detail == "new b"
    frequent = words({"b": 5000} | rare), words({"a": 5000} | rare)
    assert found(*frequent)["psi"].detail == "a: at most 0.1% → 71.4%"


def test_what_sketches_forget_does_not_look_like_drift() -> None:
    """Of 450 words as frequent as each other 257 are listed, by chance others on each side."""
    draw = np.random.default_rng(7).multinomial
    sides = [[often, *[(1 - often) / 449] * 449] for often in (0.10, 0.12)]
    counts = [draw(10**6, shares).tolist() for shares in sides]
    statistics = found(*(words({f"w{n:03}": rows for n, rows in enumerate(c)}) for c in counts))
    exact = js_by_definition(*([rows / 10**6 for rows in side] for side in counts))
    assert statistics["js"].value == pytest.approx(exact, rel=0.2)
    assert statistics["js"].p < 1e-6  # no chance, but no more than the two hundredths of one word
    assert not any(each.drifted for each in statistics.values())


def test_nulls_are_not_a_word() -> None:
    statistics = found(words({"a": 5, "b": 5}), words({"a": 50, "b": 50}, nulls=100))
    assert statistics["psi"].value == 0.0
    assert statistics["null_rate"].value == 0.5


def test_a_column_of_names_has_no_distribution() -> None:
    before = words({f"a{place}": 1 for place in range(3000)})
    after = words({f"b{place}": 1 for place in range(3000)})
    statistics = found(before, after)
    assert list(statistics) == ["null_rate", "cardinality", "skipped"]
    assert statistics["skipped"].detail.startswith("most values are too rare to be listed")
    assert statistics["cardinality"].value == pytest.approx(0, abs=statistics["cardinality"].bound)


# ---- what is said of any column ----------------------------------------------------------------


def test_what_cannot_be_compared_is_said_by_name() -> None:
    nested = Profile("tags", "array<string>", "skipped", rows=3, nulls=0)
    [said] = compare({"tags": nested}, {"tags": nested}, RULE)
    assert (said.statistic, said.detail) == ("skipped", "array<string> is not profiled")
    typed = words({"1": 1}, name="x")
    [said] = compare({"x": numeric([1.0])}, {"x": typed}, RULE)
    assert (said.statistic, said.detail) == ("skipped", "double → string: no comparison")


def test_each_statistic_has_the_threshold_of_its_rule() -> None:
    rule = Drift(
        tables=(),
        psi=0.5,
        ks=0.4,
        js=0.3,
        null_rate=0.2,
        categories=0.1,
        wasserstein=0.9,
        total_variation=0.8,
        cramers_v=0.7,
    )
    shares = {"psi": 0.5, "js": 0.3, "total_variation": 0.8, "cramers_v": 0.7}
    said = compare({"x": numeric([1.0, 2.0])}, {"x": numeric([1.0])}, rule)
    assert {each.statistic: each.threshold for each in said} == {
        **{"null_rate": 0.2, "cardinality": None, "ks": 0.4, "wasserstein": 0.9, "range": None},
        **{"new": 0.1, "lost": 0.1, **shares},
    }
    said = compare({"w": words({"a": 1})}, {"w": words({"a": 1})}, rule)
    assert {each.statistic: each.threshold for each in said} == {
        **{"null_rate": 0.2, "cardinality": None, "new": 0.1, "lost": 0.1, **shares},
    }


def test_a_table_that_lost_all_its_rows_drifts() -> None:
    for before, after in (
        (numeric([1.0, 2.0]), numeric([])),
        (words({"a": 3}), words({})),
        (numeric([]), numeric([1.0, 2.0])),
    ):
        assert drifted(found(before, after)) == ["null_rate"]


# ---- the profile itself ----------------------------------------------------------------------


def test_edges_hold_equal_shares_each_once() -> None:
    assert profile.edges(numeric(np.arange(1, 101)).distribution, bins=4) == [25.0, 50.0, 75.0]
    assert profile.edges(numeric([0.0] * 95 + [1.0] * 5).distribution) == [0.0]


def test_shares_close_on_the_right() -> None:
    column = numeric([1.0, 2.0, 2.0, 3.0]).distribution
    assert column.between([1.0, 2.0]) == [0.25, 0.5, 0.25]
    assert column.ranks([0.5, 1.0, 2.0, 9.0]).tolist() == [0.0, 0.25, 0.75, 1.0]
    assert column.quantiles([0.0, 0.25, 0.26, 1.0]) == [1.0, 1.0, 2.0, 3.0]


def test_even_edges_to_draw() -> None:
    both = [numeric(np.linspace(0, 100, 101)), numeric(np.linspace(50, 200, 151)), numeric([])]
    drawn = profile.even_edges(both, bins=10)
    assert len(drawn) == 11
    assert (drawn[0], drawn[-1]) == (pytest.approx(1, abs=1), pytest.approx(198.5, abs=1.5))
    assert np.diff(drawn) == pytest.approx([(drawn[-1] - drawn[0]) / 10] * 10)
    assert profile.even_edges([numeric([4.0] * 9)]) == [3.5, 4.5]
    assert profile.even_edges([numeric([])]) == []
    far = profile.even_edges([numeric([-1.7e308] * 5 + [1.7e308] * 5)], bins=4)
    assert far == pytest.approx([-1.7e308, -0.85e308, 0.0, 0.85e308, 1.7e308])


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


# ---- in words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "1970-01-01"),
        (1_709_296_200.0, "2024-03-01 12:30"),
        (1_709_296_259.9, "2024-03-01 12:30"),
        (-62_135_596_800.0, "0001-01-01"),
        (-62_167_219_200.0, "0001-01-01"),  # 0000-01-01
        (253_402_214_400.0, "9999-12-31"),
        (253_402_300_799.999999, "9999-12-31 23:59"),
    ],
)
def test_a_time_is_said_as_one(seconds: float, said: str) -> None:
    assert profile.moment(seconds) == said


def test_times_are_said_as_times_and_their_parts_are_not() -> None:
    days = [float(86_400 * day) for day in (0, 1, 2)]
    statistics = found(*(numeric(days[place : place + 2], type="date") for place in (0, 1)))
    assert statistics["ks"].detail == "mean 1970-01-01 12:00 → 1970-01-02 12:00"
    assert statistics["range"].detail == "1970-01-01 … 1970-01-02 → 1970-01-02 … 1970-01-03"
    assert statistics["new"].detail == "new 1970-01-03; lost 1970-01-01"
    assert statistics["psi"].detail == "1970-01-01: 50.0% → 0.0%"
    hours = replace(words({"7": 5}, type="timestamp"), part="hour")
    said = compare({"at": hours}, {"at": hours}, RULE)
    assert {each.detail for each in said} == {"same categories", "7: 100.0% → 100.0%"}


def test_infinite_values_are_said_as_such() -> None:
    before, after = numeric([-math.inf, 1.0, math.inf]), numeric([1.0, 2.0])
    statistics = found(before, after)
    assert statistics["range"].detail == "-∞ … ∞ → 1 … 2"
    assert statistics["ks"].detail == "mean ? → 1.5"


@pytest.mark.parametrize(
    ("type_", "far", "enumerated"),
    [
        ("bigint", 2.0**53, False),
        ("bigint", 2.0**53 - 1, True),
        ("double", 2.0**60, True),
    ],
)
def test_whole_numbers_beyond_doubles_are_not_enumerated(
    type_: str, far: float, enumerated: bool
) -> None:
    for value in (far, -far):
        column = numeric([0.0, value], type=type_)
        assert column.enumerated is enumerated
        bound = found(column, column)["cardinality"].bound
        assert (bound == 0.0) is enumerated
