"""Merging profiles is like profiling all at once; a version's files are what its log says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import numeric, words

from driftline import delta_files, profile, sketches
from driftline.delta_files import _State, version
from driftline.drift import compare
from driftline.profile import Field, FileProfile, Profile, merge, tells, together
from driftline.sections import Drift
from driftline.sketches import Counts

FLOATS = st.floats(-1e6, 1e6).map(lambda value: round(value, 1) + 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(FLOATS, max_size=20), min_size=1, max_size=6), st.randoms())
def test_any_split_merges_to_the_whole(parts: list[list[float]], random) -> None:
    made = [numeric(part, nulls=n) for n, part in enumerate(parts)]
    random.shuffle(made)
    merged = merge(made)
    values = [value for part in parts for value in part]
    whole = numeric(values, nulls=sum(range(len(parts))))
    assert (merged.rows, merged.nulls, merged.min, merged.max) == (
        *(whole.rows, whole.nulls),
        *(whole.min, whole.max),
    )
    assert merged.counts == whole.counts
    if values:
        assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
        assert merged.spread == pytest.approx(whole.spread, rel=1e-6, abs=1e-3)
        assert merged.distinct == len(set(values))
        sketched = sketches.quantiles(merged.sketch)
        assert sketched.points.tolist() == sorted(set(values))
        assert sketched.error == 0.0


def test_quantiles_of_a_thousand_files_keep_the_bound() -> None:
    values = np.random.default_rng(3).normal(size=200_000)
    parts = [numeric(part) for part in np.array_split(values, 1000)]
    whole = merge(parts)
    assert len(whole.counts.values) <= 1000
    assert 0 < whole.counts.unlisted <= 200
    merged = whole.distribution
    assert 0 < merged.error < 0.007
    ranks = np.searchsorted(np.sort(values), merged.points, side="right") / len(values)
    assert np.abs(ranks - merged.ranks(merged.points)).max() <= merged.error


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([1, 900, 7_000, 40_000]), min_size=2, max_size=6))
def test_quantiles_of_files_of_any_sizes_keep_the_bound(sizes: list[int]) -> None:
    """Each file has values of its own, so that a file weighed wrongly moves the ranks."""
    parts = [place + np.arange(size) / size for place, size in enumerate(sizes)]
    merged = merge([numeric(part) for part in parts]).distribution
    points = np.linspace(-0.5, len(sizes), 200)
    ranks = np.searchsorted(np.concatenate(parts), points, side="right") / sum(sizes)
    assert np.abs(ranks - merged.ranks(points)).max() <= merged.error + 1e-12


def test_moments_that_a_double_cannot_hold_are_none() -> None:
    for files in ([[1e200], [0.0]], [[1e308, 1e308], [1e308]], [[-1e300], [1e300, 2.0]]):
        with np.errstate(over="ignore", invalid="ignore"):
            made = [numeric(values) for values in files]
        merged = merge(
            [
                replace(each, mean=values[0], spread=0.0)
                for each, values in zip(made, files, strict=True)
            ]
        )
        assert (merged.mean, merged.spread) == (None, None)
        assert merged.distribution.points.tolist() == sorted({v for some in files for v in some})


def test_what_files_do_not_list_adds_up() -> None:
    first = Counts({"a": 60}, unlisted=5)
    merged = sketches.merge_counts([first, Counts({"a": 10, "b": 3}), Counts({}, 2, 1)])
    assert merged == Counts({"a": 70, "b": 3}, unlisted=7, excess=1, short={"a": 2, "b": 7})
    again = sketches.merge_counts([merged, Counts({"b": 9}, 4)])
    assert again == Counts({"a": 70, "b": 12}, unlisted=11, excess=1, short={"a": 6, "b": 7})
    assert not merged.complete


def test_distinct_values_of_many_files() -> None:
    parts = [words({f"w{n % 7_000}": 1 for n in range(k, k + 3000)}) for k in range(0, 9000, 1000)]
    registers = sketches.merge_distinct([each.registers for each in parts])
    error = sketches.distinct_error(registers)
    assert sketches.distinct(registers) == pytest.approx(7_000, rel=error)
    assert error < 0.06


# ---- columns that came later -----------------------------------------------------------------

X, LATER = Field("x", "double", "x-1", 1), Field("later", "double", "x-2", 2)


def file(columns: dict[str, Profile], rows: int = 2) -> FileProfile:
    counted = Profile("*", "", "skipped", rows, 0)
    parts = {("*", ""): counted} | {(key, ""): each for key, each in columns.items()}
    return FileProfile([({}, parts)])


def test_a_column_younger_than_a_file_is_null_there() -> None:
    old = file({"x-1": numeric([1.0, 2.0])})
    new = file({"x-1": numeric([3.0, 4.0]), "x-2": numeric([5.0], nulls=1)})
    found = together([old, new], [X, LATER])
    assert (found["later"].rows, found["later"].nulls, found["later"].mean) == (4, 3, 5.0)
    assert (found["x"].mean, found["x"].nulls) == (2.5, 0)


@pytest.mark.parametrize(
    "types", [("string", "double"), ("double", "string"), ("double", "timestamp")]
)
def test_a_column_that_was_something_else_in_some_files_is_skipped(types) -> None:
    """As in a span in which the type was changed: numbers are not texts, nor times."""
    made = [words({"abc": 2}) if each == "string" else numeric([1.0, 2.0]) for each in types]
    files = [
        file({"x": replace(each, column="x", type=type_)})
        for each, type_ in zip(made, types, strict=True)
    ]
    found = together(files, [Field("x", types[-1], "x")])
    assert list(found) == ["x"]
    assert (found["x"].kind, found["x"].rows) == ("skipped", 4)
    [said] = compare(found, found, Drift(tables=()))
    assert said.detail == f"{' and '.join(sorted(types))} is not profiled"
    # Of one side alone: a number then, and a time now, are no drift but a change of the schema.
    one, other = (
        together([each], [Field("x", t, "x")]) for each, t in zip(files, types, strict=True)
    )
    assert (
        compare(one, other, Drift(tables=()))[0].detail == f"{types[0]} → {types[1]}: no comparison"
    )


def test_a_type_of_which_no_file_has_a_value_is_no_other_type() -> None:
    """A column is added when a file is profiled, taken back by RESTORE, and added as another."""
    old = file({"x": numeric([], nulls=2)})
    new = file({"x": words({"abc": 2}, name="x")})
    found = together([old, new], [Field("x", "string", "x")])
    assert {name: (each.kind, each.rows, each.nulls) for name, each in found.items()} == {
        "x": ("categorical", 4, 2),
        "x:length": ("numeric", 4, 4),  # the file of words has no lengths here
    }
    assert found["x"].counts.values == {"abc": 2}


def test_a_column_whose_numbers_were_taken_out_of_a_file_is_compared_no_more() -> None:
    """As an erasure does to a profile of people's numbers: its rows alone are told."""
    emptied = Profile("x", "double", "skipped", 2, 0)
    files = [file({"x": each}) for each in (emptied, numeric([1.0, 2.0]))]
    for some, rows in ((files, 4), (files[:1], 2)):
        found = together(some, [Field("x", "double", "x")])
        assert (found["x"].kind, found["x"].rows, found["x"].max) == ("skipped", rows, None)
    whole = together(files[1:], [Field("x", "double", "x")])
    [said] = compare(found, whole, Drift(tables=()))
    assert (said.statistic, said.drifted) == ("skipped", False)


def test_a_column_that_was_dropped_when_a_file_was_profiled_is_not_guessed() -> None:
    """Columns that are not mapped cannot be dropped; of those that were not when the table had
    them, nobody can tell which the one was.
    """
    before = [replace(each, id=None) for each in (X, LATER)]
    for fields, largest_id, known in (
        ([X], 2, True),
        ([X, LATER], 1, True),
        ([X, LATER], 2, False),
        (before, 2, False),
        (before, None, True),
        ([X, LATER], None, True),
    ):
        assert tells(fields, columns={"x-1"}, largest_id=largest_id) == known


def test_cells_are_chosen_by_value() -> None:
    counted = {("*", ""): Profile("*", "", "skipped", 2, 0)}
    cells = [
        ({"kind": kind}, counted | {("x-1", ""): numeric([value, value])})
        for kind, value in (("a", 1.0), ("b", 2.0), (None, 3.0))
    ]
    both = [FileProfile(cells)]
    assert together(both, [X])["x"].rows == 6
    assert together(both, [X], where={"kind": None})["x"].mean == 3.0
    assert together(both, [X], where={"kind": "nope"})["x"].rows == 0


# ---- the log ---------------------------------------------------------------------------------

SCHEMA = {
    "type": "struct",
    "fields": [{"name": "x", "type": "double", "nullable": True, "metadata": {}}],
}


NAMED = "^-aqEH.-t@S}K{vb[*k^"
"""A file of deletion vectors as the log names it."""


def log(*commits: list[dict]) -> list[delta_files.Commit]:
    state = _State("file:/tables/t x")
    texts = ["\n".join(json.dumps(action) for action in actions) for actions in commits]
    return [state.after(number, text, 1000 * number) for number, text in enumerate(texts)]


def add(path: str, vector: dict | None = None, **more) -> dict:
    action = {"path": path, "size": 9, "partitionValues": {}, "modificationTime": 1}
    action |= {"dataChange": True} | more
    return {"add": action | ({"deletionVector": vector} if vector else {})}


def remove(path: str, vector: dict | None = None) -> dict:
    action = {"path": path, "dataChange": True}
    return {"remove": action | ({"deletionVector": vector} if vector else {})}


def test_the_files_of_every_version() -> None:
    one = {"storageType": "u", "pathOrInlineDv": NAMED, "offset": 1, "sizeInBytes": 3}
    other = one | {"offset": 40}
    commits = log(
        [{"metaData": {"schemaString": json.dumps(SCHEMA), "configuration": {}}}, add("a%20b")],
        [add("p=1/c"), {"commitInfo": {"operation": "WRITE", "inCommitTimestamp": 5000}}],
        [remove("a%20b"), add("a%20b", one)],
        [remove("a%20b", one), add("a%20b", other)],
        [remove("p=1/c"), add("file:///elsewhere/d", dataChange=False), add("s3a://b/e")],
    )
    told = [
        [(each.path, each.deleted) for each in version(commits, number).files]
        for number in range(5)
    ]
    a, c = "/tables/t x/a b", "/tables/t x/p=1/c"
    vectors = "/tables/t x/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
    assert told == [
        [(a, "")],
        [(a, ""), (c, "")],
        [(a, f"{vectors}@1"), (c, "")],
        [(a, f"{vectors}@40"), (c, "")],
        [("/elsewhere/d", ""), (a, f"{vectors}@40"), ("s3a://b/e", "")],
    ]
    assert commits[1].at == datetime.fromtimestamp(5, timezone.utc)
    assert (commits[1].operation, commits[1].changes) == ("WRITE", True)
    assert commits[4].schema.fields == (Field("x", "double", "x", None),)
    assert profile.kind_of("double") == "numeric"
