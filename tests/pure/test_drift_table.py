"""What is said of a table as a whole: its schema, renamed columns, rows, and how fresh it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from profiles import RULE, Values, compared, file_of, numeric
from scipy.stats import binomtest

from driftline import profile
from driftline.delta_files import Commit, DataFile, Schema
from driftline.distances import counts_p
from driftline.drift import Statistic, schema, volume
from driftline.errors import Missing
from driftline.jobs import drift as job
from driftline.jobs import sides
from driftline.jobs.sides import Pair, Side
from driftline.profile import Field
from driftline.times import freshness
from driftline.verdicts import judged, learnt


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
    line: Any = SimpleNamespace(problem=SimpleNamespace(sources={}, entity="who", drift=RULE))
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
