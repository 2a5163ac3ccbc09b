"""Drift statistics against hand-computed values, SciPy, and changes that were put there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from profiles import Values, compared, file_of, numeric, words
from scipy.stats import binomtest

from driftline import profile
from driftline.delta_files import Commit, DataFile, Schema
from driftline.distances import counts_p, js, psi
from driftline.drift import Statistic, compare, freshness, schema, volume
from driftline.errors import Missing
from driftline.jobs import drift as job
from driftline.jobs import sides
from driftline.jobs.sides import Pair, Side
from driftline.profile import Field, Profile
from driftline.sections import Drift
from driftline.verdicts import judged, learnt

RULE = Drift(tables=("gold.features",), psi=0.2, ks=0.15, js=0.1, null_rate=0.05, categories=0.05)


def found(before: Profile, after: Profile) -> dict[str, Statistic]:
    """The statistics of one column by name, judged."""
    said = judged(compare({before.column: before}, {after.column: after}, RULE))
    assert {each.column for each in said} == {before.column}
    return {each.statistic: each for each in said}


def values(statistics: Mapping[str, Statistic]) -> dict[str, float]:
    return {name: statistic.value for name, statistic in statistics.items()}


def drifted(statistics: Mapping[str, Statistic]) -> list[str]:
    return [name for name, each in statistics.items() if each.drifted]


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


# ---- the table -------------------------------------------------------------------------------


def test_the_schema() -> None:
    before = [
        Field("same", "double", "same"),
        Field("lost", "double", "lost"),
        Field("typed", "double", "typed"),
        Field("old", "double", "key"),
    ]
    after = [
        Field("same", "double", "same"),
        Field("new", "double", "new"),
        Field("typed", "string", "typed"),
        Field("young", "double", "key"),
    ]
    [said] = judged([schema(before, after)])
    assert said.drifted
    assert (said.value, said.detail) == (
        4.0,
        "lost lost; new new; renamed old → young; type typed double → string",
    )
    assert judged([schema(before, before)])[0].drifted is False


def named(before: Mapping[str, str], after: Mapping[str, str], **columns: tuple[Values, Values]):
    """What the job says of columns by the keys of their files, which had other names before."""
    files = [
        file_of([({}, [numeric(each[side], name=key) for key, each in columns.items()])])
        for side in (0, 1)
    ]
    said, moved = compared([files[0]], [[files[1]], [files[1]]], RULE, names=(before, after))
    return {(each.column, each.statistic): each for each in said}, moved


def test_a_renamed_column_is_compared_under_its_new_name() -> None:
    """What a name says does not make it the same: euros that became cents are a hundred times."""
    euros = np.random.default_rng(1).lognormal(3, 1, size=2000)
    said, moved = named({"k": "amount_eur"}, {"k": "amount_cents"}, k=(euros, 100 * euros))
    assert {column for column, _ in said} == {"*", "amount_cents"}
    assert said["*", "schema"].detail == "renamed amount_eur → amount_cents"
    assert said["amount_cents", "ks"].value > 0.9
    assert said["amount_cents", "ks"].drifted
    assert {each.column for each in moved} == {"amount_cents"}


def test_columns_whose_names_were_swapped_are_compared_with_themselves() -> None:
    one, two = [1.0] * 300, [2.0] * 300
    before, after = {"k": "a", "l": "b"}, {"k": "b", "l": "a"}
    said, _ = named(before, after, k=(one, one), l=(two, two))
    assert said["*", "schema"].detail == "renamed a → b, b → a"
    assert {said[name, "ks"].value for name in "ab"} == {0.0}
    assert not any(each.drifted for each in said.values() if each.column != "*")


def test_a_name_given_to_another_column_is_not_the_same_column() -> None:
    before = [Field("x", "double", "k"), Field("gone", "double", "g")]
    after = [Field("x", "double", "l"), Field("y", "double", "m")]
    assert profile.renamed(before, after) == (Field("gone", "double", "g"),)
    assert profile.renamed(before, [Field("y", "double", "k"), Field("x", "double", "l")]) == (
        Field("y", "double", "k"),
        Field("gone", "double", "g"),
    )


def test_a_file_of_a_span_is_read_by_the_columns_it_was_written_with() -> None:
    """A table is overwritten without a column; then a file only gets a deletion vector."""
    wide, narrow = (
        Schema(tuple(Field(name, "int", name) for name in names), None) for names in ("xyz", "xy")
    )
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    at = [start + timedelta(hours=number) for number in range(4)]
    early, old, new, kept = (DataFile(f"/t/{n}", 1, "", {}, {}) for n in range(4))
    less = replace(new, deleted="d")
    commits = [
        Commit(0, at[0], "WRITE", (early,), (), wide, True),
        Commit(1, at[1], "WRITE", (old,), (), wide, True),
        Commit(2, at[2], "WRITE", (new,), (early.key, old.key), narrow, True),
        Commit(3, at[3], "UPDATE", (less, kept), (new.key,), narrow, True),
    ]
    line: Any = SimpleNamespace(problem=SimpleNamespace(sources={}, entity="who"))
    side = sides._written(line, "/t", commits, at[0], at[3])
    assert [(each.version, each.schema, each.files) for each in side.wanted] == [
        (1, wide, (old,)),
        (2, narrow, ()),
        (3, narrow, (less, kept)),
    ]
    assert (side.schema, set(side.files)) == (narrow, {old, less, kept})


def test_calm_history_is_of_the_columns_not_of_their_names() -> None:
    """A step is compared by the names of the version that is judged, in which two were swapped."""
    then = (Field("a", "double", "k"), Field("b", "double", "l"))
    now = (Field("b", "double", "k"), Field("a", "double", "l"))
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    old, new = (
        Side("t", 1, at, "whole", (), fields, Schema(fields, None)) for fields in (then, now)
    )
    step = job._as_now(Pair(old, old, ()), new)
    assert (step.current.fields, step.reference.fields) == (now, then)
    assert step.current.schema.keys(["a"]) == ("l",)  # segments, too


@pytest.mark.parametrize(("by", "said"), [([], ""), (["half", "w"], " by half, w")])
def test_by_what_files_that_are_gone_were_not_profiled_is_said(by: list[str], said: str) -> None:
    """They may well have been profiled, but not cut by those columns; as-ofs are not asked."""
    fields = (Field("half", "string", "h"), Field("w", "string", "w"))
    at, file = datetime(2026, 1, 1, tzinfo=timezone.utc), DataFile("/t/0", 1, "", {}, {})
    side = Side("t", 1, at, sides.NEWEST, (file,), fields, Schema(fields, None))
    line: Any = None
    with pytest.raises(Missing) as caught:
        job.compared(line, Pair(side, side, ()), {}, by)
    assert caught.value.what == f"1 of 1 files were removed before they were profiled{said}"
    assert ("drift.segments" in str(caught.value.hint)) is bool(by)


def test_the_volume_is_said_without_a_verdict() -> None:
    [said] = judged([volume(100, 150)])
    assert (said.value, said.threshold, said.detail) == (0.5, None, "100 → 150 rows")
    assert not judged([volume(1_000_000, 100)])[0].drifted
    assert volume(0, 5).value == 1.0
    assert volume(0, 0).value == 0.0


def test_a_volume_that_has_a_threshold() -> None:
    def drifts(before: int, after: int) -> bool:
        return judged([volume(before, after, 0.5)])[0].drifted

    assert drifts(1_000_000, 100) and drifts(1_000, 500) and drifts(1_000, 1_500)
    assert not drifts(1_000, 501) and not drifts(1_000, 1_499)
    assert not drifts(8, 3)  # as chance has it where five or six are usual


def test_two_counts_of_the_same_rate() -> None:
    """SciPy's own conditional test; of one side alone by hand: all of ten by one coin."""
    for counts, over in (((7, 19), (1, 1)), ((90, 2), (30, 1)), ((40, 55), (3, 4))):
        share = over[0] / sum(over)
        one_sided = [
            binomtest(counts[0], sum(counts), share, alternative=side).pvalue
            for side in ("less", "greater")
        ]
        assert counts_p(counts, over) == pytest.approx(min(1, 2 * min(one_sided)), rel=1e-9)
    assert counts_p((0, 10)) == pytest.approx(2 / 2**10, rel=1e-12)
    assert counts_p((0, 0)) == 1.0
    assert counts_p((30_000_000, 100), (30, 1)) < 1e-300


def test_a_volume_that_calm_steps_taught() -> None:
    """A quarter more than the most of them, and what the least is a quarter more than."""

    def taught(after: int, calm: Sequence[int], steps: int = 1, before: int = 7) -> Statistic:
        seen = [[volume(before, rows)] for rows in calm]
        return judged(learnt(seen, [volume(before, after)], steps=steps))[0]

    collapse = taught(100, [1_000_000] * 30)
    assert collapse.drifted
    assert (collapse.value, collapse.threshold) == pytest.approx((0.9999, 0.2))
    assert collapse.detail == "1,000,000 rows in calm steps → 100 rows"
    swaying = [8_000, 12_000, 10_000]
    calm = {after: not taught(after, swaying).drifted for after in (6_400, 6_401, 14_999, 15_000)}
    assert calm == {6_400: False, 6_401: True, 14_999: True, 15_000: False}
    # As many a step, over as many steps; what was there before has nothing to do with it.
    assert not taught(41_000, swaying, steps=4).drifted
    assert taught(41_000, swaying).drifted and taught(10_000, swaying, steps=4).drifted
    assert not taught(10_000, swaying, before=900_000).drifted
    assert not taught(0, [0, 9_000]).drifted  # nothing came before, either
    assert not taught(9, [3, 5, 4]).drifted  # few rows: as chance has it
    other = learnt([[replace(volume(1, 900), segment="a=1")]], [volume(1, 1)])
    assert other == [volume(1, 1)]


def test_a_freshness_that_has_a_threshold() -> None:
    """Days by which a column fell behind in calm steps; half a day where it never did."""

    def behind(days: float, threshold: float | None = None) -> Statistic:
        newest = [numeric([0.0, at * 86_400], type="timestamp") for at in (100, 100 - days)]
        at = datetime(1970, 5, 1, tzinfo=timezone.utc)
        said = freshness(newest[0], newest[1], (at, at), threshold)
        assert said is not None and said.value == pytest.approx(days)
        return said

    for days, drifted in ((2.0, True), (1.9, False)):
        assert judged([behind(days, 2.0)])[0].drifted is drifted
    for calm, days, threshold in (([0.0, 2.0], 2.6, 2.5), ([0.0], 0.6, 0.5), ([0.4], 0.6, 0.5)):
        [said] = judged(learnt([[behind(each)] for each in calm], [behind(days)]))
        assert said.threshold == pytest.approx(threshold)
        assert said.drifted
    assert not judged(learnt([[behind(2.0)]], [behind(2.4)]))[0].drifted
    assert learnt([[behind(0.0)]], [behind(1.0, 3.0)])[0].threshold == pytest.approx(0.3)


def test_a_table_whose_newest_time_falls_behind() -> None:
    """Committed a week apart, and the newest time moved by two days; then by eight."""
    at = tuple(datetime(2024, 3, day, tzinfo=timezone.utc) for day in (2, 9))
    midnights = [datetime(2024, 3, day, tzinfo=timezone.utc).timestamp() for day in (1, 3, 9)]
    then, late, soon = (numeric([0.0, each], type="timestamp") for each in midnights)
    said = freshness(then, late, at)
    assert (said.value, said.threshold, said.drifted) == (5.0, None, False)
    assert said.detail == "newest 1.0 days before → 6.0 days before the version"
    assert freshness(then, soon, at).value == 0.0
    assert freshness(numeric([1.0]), numeric([2.0]), at) is None
    assert freshness(then, numeric([], type="timestamp"), at) is None
    for one, other in ((then, numeric([20260301.0])), (numeric([20260301.0]), then)):
        assert freshness(one, other, at) is None  # what is no number of seconds any more


# ---- times -----------------------------------------------------------------------------------

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)


def times(days: Sequence[float] | Values, *, name: str = "at") -> dict[str, Profile]:
    """A column of times, in days since the first of March 2026, with its hours and weekdays."""
    seconds = MARCH.timestamp() + np.asarray(days) * 86_400.0
    moments = [datetime.fromtimestamp(each, timezone.utc) for each in seconds]
    whole = numeric(seconds, name=name, type="timestamp")
    parts = {"hour": Counter(str(each.hour) for each in moments)}
    parts["weekday"] = Counter(str(each.weekday()) for each in moments)
    told = (replace(words(c, name=name, type="timestamp"), part=part) for part, c in parts.items())
    return {each.name: each for each in (whole, *told)}


def test_times_move_on_by_nature() -> None:
    """Thirty days and the next one: told, and no drift; that they are missing is."""
    days = np.random.default_rng(1).uniform(0, 30, size=3000)
    before, after = times(days), times(30 + days[:400] / 30)
    found = {(each.column, each.statistic): each for each in judged(compare(before, after, RULE))}
    assert found["at", "ks"].value == found["at", "range"].value == 1.0
    assert found["at", "psi"].value > 5 and found["at:weekday", "js"].value > 0.7
    assert not any(each.drifted for each in found.values())
    set_ = {column for (column, name), each in found.items() if each.threshold and name[0] != "n"}
    assert set_ == {"at:hour"}
    gone = replace(after["at"], nulls=400, rows=800)
    nulls = judged(compare(before, after | {"at": gone}, RULE))[0]
    assert (nulls.statistic, nulls.drifted) == ("null_rate", True)


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ((0, 28), (28, 42), "weekday"),
        ((0, 31), (31, 61), "weekday"),
        ((0, 28), (28, 36), None),
        ((0, 17), (17, 37), None),
        ((0, 1), (1, 2), None),
        ((0, 3), (7, 10), "weekday"),
        ((0, 1), (1, 2), "hour"),
        ((0, 0.5), (0.5, 1), None),
        ((0, 30), (30, 30.1), None),
    ],
)
def test_parts_are_judged_where_the_calendar_is_alike(
    before: tuple[float, float], after: tuple[float, float], part: str | None
) -> None:
    """Weekdays of whole weeks, nearly; hours of whole days; or of the same ones of either."""
    sides = [times(np.linspace(*span, num=4000, endpoint=False)) for span in (before, after)]
    said = judged(compare(*sides, RULE))
    asked = {each.column.partition(":")[2] for each in said if each.threshold is not None} - {""}
    assert (
        asked >= {part}
        if part
        else not asked & {"weekday" if after[1] - after[0] > 0.9 else "hour"}
    )
    assert not any(each.drifted for each in said)


def test_other_hours_and_weekdays_are_drift() -> None:
    """Each Sunday and every night left out, of four weeks against four."""
    days = np.linspace(0, 28, num=4000, endpoint=False)
    moved = 28 + days[(days // 1 % 7 != 0) & (days % 1 > 0.25)]
    said = judged(compare(times(days), times(moved), RULE))
    assert {each.column for each in said if each.drifted} == {"at:hour", "at:weekday"}


def taught(
    calm: Sequence[tuple[Values, Values]], pair: tuple[Values, Values], *, days: float
) -> dict[str, Statistic]:
    """What is said of a column of times after calm steps of a day each."""

    def one(sides: tuple[Values, Values], apart: float) -> list[Statistic]:
        before, after = (times(each)["at"] for each in sides)
        fresh = freshness(before, after, (MARCH, MARCH + timedelta(days=apart)))
        assert fresh is not None
        return [*compare({"at": before}, {"at": after}, RULE), fresh]

    said = judged(learnt([one(sides, 1) for sides in calm], one(pair, days)))
    return {each.statistic: each for each in said}


def test_calm_history_says_which_times_stand_still() -> None:
    """Birthdays do, and are drift when they are others; what is shipped is of another day each."""
    draw = np.random.default_rng(2)
    births = [draw.uniform(-30_000, -6_000, size=3000) for _ in range(6)]
    calm = list(pairwise(births))
    assert not drifted(taught(calm, (births[0], births[-1]), days=1))
    for days in (1, 30):
        assert "ks" in drifted(taught(calm, (births[0], births[1] / 2), days=days))
    shipped = [np.linspace(0, day, num=300 * day, endpoint=False) for day in range(1, 9)]
    calm = [(all_, all_[-300:] + 0.9) for all_ in shipped]  # some of the day before
    for days in (1, 8):
        said = taught(calm, (shipped[0], shipped[-1] + 1), days=days)
        assert (said["ks"].value, said["ks"].threshold) == (1.0, None) and not drifted(said)
    # A list of all that ever was, whole against whole: each day is a hundredth of it.
    lists = [np.linspace(0, 100 + day, num=100 * (100 + day)) for day in range(31)]
    calm = list(pairwise(lists[:6]))
    said = taught(calm, (lists[0], lists[30]), days=30)
    assert said["ks"].value == pytest.approx(30 / 130, abs=0.02) and not drifted(said)
    assert "ks" in drifted(taught(calm, (lists[0], lists[30]), days=1))


def test_a_column_that_stands_still_is_no_staler_for_it() -> None:
    """Birthdays, of thirty steps against steps of one; what came each day, and stopped, is."""
    birth, day = [-20_000.0, -9_000.0], [0.0, 1.0]
    still = taught([(birth, birth)] * 30, (birth, birth), days=30)["freshness"]
    assert (still.value, still.threshold, still.drifted) == (30.0, 37.5, False)
    moving = [(day, [0.0, 2.0])] * 30
    for newest, behind in ((31.0, 0.0), (30.6, 0.4), (30.4, 0.6), (1.0, 30.0)):
        said = taught(moving, (day, [0.0, newest]), days=30)["freshness"]
        assert (said.value, said.threshold) == (pytest.approx(behind), 0.5)
        assert said.drifted is (behind > 0.5)


def test_freshness_is_asked_of_the_times_that_a_problem_names() -> None:
    """Of any, where it says nothing of the table; a birthday need not move on."""
    at = (MARCH, MARCH + timedelta(days=7))
    still = {name: times([-30.0], name=name)[name] for name in ("birth", "time")}
    for keys, asked in ((("time", "id"), {"time"}), ((), {"birth", "time"})):
        said = [freshness(each, each, at, 3.0, keys=keys) for each in still.values()]
        assert {each.column for each in judged(said) if each.drifted} == asked
        assert {each.value for each in said} == {7.0}


def test_a_newest_time_in_the_future_is_after_its_version() -> None:
    at = tuple(datetime(2024, 3, day, tzinfo=timezone.utc) for day in (2, 9))
    days = [(2024, 3, 1), (9999, 12, 31), (2024, 3, 2)]
    then, last, now = (
        numeric([0.0, datetime(*day, tzinfo=timezone.utc).timestamp()], type="timestamp")
        for day in days
    )
    said = freshness(then, last, at)
    assert said.detail == "newest 1.0 days before → 2,913,105.0 days after the version"
    assert said.value == 0.0
    assert freshness(last, now, at).value == 2_913_112 + 7
    assert freshness(now, then, at).detail.startswith("newest 0.0 days before → ")


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
