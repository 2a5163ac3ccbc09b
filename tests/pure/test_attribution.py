"""What moved a column: the part that was changed is named first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from profiles import compared, file_of, lengths, numeric, words

from driftline import profile
from driftline.attribution import Cause, all_but_one, causes
from driftline.delta_files import Commit, DataFile, Schema, version
from driftline.jobs import causes as job
from driftline.jobs import commits, drift, profiling
from driftline.jobs.sides import NEWEST, Pair, Side
from driftline.profile import Cell, Field, FileProfile, Profile
from driftline.sections import Drift

RULE = Drift(tables=())
ASKED: dict[str, Any] = {"statistic": "ks", "kind": "file", "rule": RULE}


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


def test_of_two_that_are_off_alike_none_did_it() -> None:
    """A row more or less is no reason to name one of them."""
    before = numeric([1.0] * 100)
    parts = {"1": numeric([2.0] * 100), "2": numeric([1.0] + [2.0] * 99)}
    first, second = causes(before, parts, statistic="ks", kind="commit", rule=RULE)
    assert (first.name, first.share) == ("1", pytest.approx(0.005 / 0.995))
    assert second.share == 0.0


def test_rows_without_a_value_are_a_part_of_their_own() -> None:
    parts = {None: numeric([2.0] * 50), "null": numeric([1.0] * 50)}
    found = causes(numeric([1.0] * 50), parts, statistic="ks", kind="who", rule=RULE)
    assert [(each.name, each.without) for each in found] == [("null", 0.0), ("null", 1.0)]


def test_a_part_without_which_nobody_can_tell_has_no_share() -> None:
    """The one that is off has so many rare words besides that, alone, it has no distribution."""
    before = words({"a": 600, "b": 400})
    rare = {f"id{place}": 1 for place in range(1200)}
    parts = {"calm": words({"a": 600, "b": 400}), "off": words({"b": 400, **rare})}
    first, second = causes(before, parts, statistic="js", kind="commit", rule=RULE)
    assert (first.name, first.share, first.without) == ("off", 1.0, 0.0)
    assert (second.name, second.share, second.without) == ("calm", 0.0, None)


def test_a_part_without_which_no_value_is_left_has_all_of_it() -> None:
    parts = {"null": numeric([], nulls=50), "off": numeric([2.0] * 50)}
    first, second = causes(numeric([1.0] * 50), parts, statistic="ks", kind="file", rule=RULE)
    assert (first.name, first.share, first.without) == ("off", 1.0, None)
    assert (second.name, second.share, second.without) == ("null", 0.0, 1.0)


def test_of_many_parts_the_smallest_are_one() -> None:
    """Ninety-nine by themselves; the others, which are off here, have a name and a share."""
    before = numeric([1.0] * 100)
    parts = {f"{n}": numeric([1.0] * (10 + n)) for n in range(99)}
    parts |= {f"off{n}": numeric([2.0] * 5) for n in range(1200)}
    found = causes(before, parts, **ASKED)
    assert (found[0].name, found[0].share, found[0].rows) == ("the other 1,200", 1.0, 6000)
    assert {each.name for each in found[1:]} == {f"{n}" for n in range(99)}
    names = {each.name for each in causes(before, dict(list(parts.items())[:100]), **ASKED)}
    assert len(names) == 100 and "off0" in names


def test_a_hundred_and_one_commits_are_taken_apart() -> None:
    calm, off = numeric([1.0, 2.0] * 20), numeric([2.0] * 4000)
    added = [[file_of([({}, [off if n == 70 else calm])])] for n in range(1, 102)]
    _, moved = compared([file_of([({}, [numeric([1.0, 2.0] * 2000)])])], added, RULE)
    assert {each.kind for each in moved} == {"commit"}  # a file each
    assert (moved[0].name, moved[0].share) == ("70", 1.0)


def test_columns_whose_names_look_like_parts_of_others() -> None:
    """A column may have a colon in its name, and be called as the lengths of another one."""
    names = ("ns:amount", "w:length", "`w`")

    def file(off: str = "") -> FileProfile:
        moved = {name: numeric([7.0 if name == off else 1.0] * 100, name=name) for name in names}
        long = {"a" if off != "w" else "aaaa": 100}
        return file_of([({}, [words(long), lengths(long), *moved.values()])])

    for off, said in (
        ("ns:amount", {"ns:amount"}),
        ("w:length", {"`w:length`"}),
        ("`w`", {"```w```"}),
        ("w", {"w", "w:length"}),
    ):
        statistics, moved = compared([file()], [[file()], [file(off)], [file()]], RULE)
        assert {each.column for each in statistics if each.drifted} == said
        first = {each.column: each.name for each in reversed(moved) if each.kind == "commit"}
        assert first == dict.fromkeys(said, "2")


@pytest.mark.parametrize("count", [2, 3, 7])
def test_all_but_one(count: int) -> None:
    parts = [numeric([float(place)] * (place + 1)) for place in range(count)]
    for place, merged in enumerate(all_but_one(parts)):
        others = profile.merge([each for n, each in enumerate(parts) if n != place])
        assert merged.counts.values == others.counts.values
        assert (merged.rows, merged.min, merged.max) == (others.rows, others.min, others.max)
        assert merged.mean == pytest.approx(others.mean)


@pytest.mark.parametrize("statistic", ["ks", "null_rate"])
def test_one_part_alone_has_all_of_it(statistic: str) -> None:
    before, one = numeric([1.0] * 50), numeric([2.0] * 30, nulls=10)
    asked: dict[str, Any] = {**ASKED, "statistic": statistic}
    [found] = causes(before, {"1": one}, **asked)
    assert (found.name, found.share, found.without, found.rows) == ("1", 1.0, None, 40)
    assert causes(before, {}, **asked) == []
    # Of words most of which are not listed, nobody can tell whether it is off.
    rare = words({f"id{place}": 1 for place in range(1200)})
    assert causes(words({"a": 600}), {"1": rare}, statistic="js", kind="file", rule=RULE) == []


def test_the_one_commit_between_two_versions_is_named() -> None:
    """The daily case. That all rows are in one file, or of one value, says nothing."""
    cell = {"half": "odd", profiling.DELIVERY: "d1"}
    rows = words({"a": 600, "b": 400}, name="x")
    _, moved = compared([file_of([(cell, [rows])])], [[file_of([(cell, [OFF])])]], RULE)
    assert [(e.column, e.kind, e.name, e.share, e.without, e.rows) for e in moved] == [
        ("x", "commit", "1", 1.0, None, 500),
        ("x", "delivery", "d1", 1.0, None, 500),
    ]
    many = {**cell, profiling.DELIVERY: None}
    _, moved = compared([file_of([(many, [rows])])], [[file_of([(many, [OFF])])]], RULE)
    assert [each.kind for each in moved] == ["commit"]  # by which deliveries, nobody knows


def test_the_one_commit_that_was_there_before_is_not_to_blame() -> None:
    """What took the other rows is; and back from it to before, nothing came at all."""
    cell = {profiling.DELIVERY: "d1"}
    kept, gone = file_of([(cell, [CALM])]), file_of([(cell, [OFF])])
    _, moved = compared([kept, gone], [[]], RULE, removed={1: ["0-1"]})
    assert [(each.kind, each.name, each.share) for each in moved] == [
        ("commit", "1 (removed files)", 1.0)
    ]
    at, schema = (
        datetime(2026, 1, 1, tzinfo=timezone.utc),
        Schema((Field("x", "string", "x"),), None),
    )
    files = [DataFile(f"/t/{number}", 1, "", {}, {}) for number in range(2)]
    known = {each.key: one for each, one in zip(files, (kept, gone), strict=True)}
    log = tuple(Commit(n, at, "WRITE", (each,), (), schema, True) for n, each in enumerate(files))
    new, old = (
        Side("t", number, at, "whole", version(log, number).files, schema.fields, schema)
        for number in range(2)
    )
    line: Any = SimpleNamespace(
        problem=SimpleNamespace(drift=RULE), tables=SimpleNamespace(exists=lambda name: False)
    )
    statistics, found = drift.compared(line, Pair(old, new, log), known)
    assert {each.column for each in statistics if each.drifted} == {"x"}
    assert job.causes(line, Pair(old, new, log), known, statistics, found[old]) == []


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


CALM, OFF = words({"a": 600, "b": 400}, name="x"), words({"c": 500}, name="x")


def taken(
    before: list[Profile], commits: list[list[Profile]], **log: Any
) -> dict[str, tuple[float, float | None, int]]:
    """What took rows away, of those causes that the job gives for a table of words."""
    columns = [[file_of([({}, [each])]) for each in files] for files in [before, *commits]]
    _, moved = compared(columns[0], columns[1:], RULE, **log)
    return {
        each.name: (each.share, each.without, each.rows)
        for each in moved
        if each.kind == "commit" and each.name.endswith("files)")
    }


def test_a_commit_that_removed_a_partition_is_named() -> None:
    alone = taken([CALM, OFF], [[]], removed={1: ["0-1"]})
    assert alone == {"1 (removed files)": (1.0, 0.0, 500)}
    # Among others: put back, its category has a fifth of the rows, not a third.
    found = taken([CALM, OFF], [[CALM], []], removed={2: ["0-1"]})
    [(name, (share, without, rows))] = found.items()
    assert (name, rows) == ("2 (removed files)", 500)
    assert without is not None and without > 0 and 0.9 < share < 1


def test_what_else_was_in_a_removed_partition_is_not_to_blame() -> None:
    """A commit appends to both partitions, and the next removes all of one."""
    found = taken([CALM, OFF], [[CALM, OFF], []], removed={2: ["0-1", "1-1"]})
    assert set(found) == {"2 (removed files)"}


def test_commits_that_each_removed_some_share_it() -> None:
    half = words({"c": 250}, name="x")
    found = taken([CALM, half, half], [[], []], removed={1: ["0-1"], 2: ["0-2"]})
    assert set(found) == {"1 (removed files)", "2 (removed files)"}
    assert {share for share, *_ in found.values()} == {0.5}


def test_copying_what_is_kept_does_not_count_twice() -> None:
    """Of a file with both, a commit keeps one part; another file is only written again."""
    both = words({"a": 600, "b": 400, "c": 500}, name="x")
    log: dict[str, Any] = {"removed": {1: ["0-0"], 2: ["0-1"]}, "moving": [2]}
    found = taken([both, CALM], [[CALM], [CALM]], **log)
    assert found == {"1 (replaced files)": (1.0, 0.0, 1500)}


def test_what_was_compacted_since_is_undone_together() -> None:
    """One deletes, one appends, compaction makes one file of all: it has no part itself."""
    both = words({"a": 600, "b": 400, "c": 500}, name="x")
    log: dict[str, Any] = {"removed": {1: ["0-0"], 3: ["1-0", "2-0", "0-1"]}, "moving": [3]}
    all_ = words({"a": 1800, "b": 1200}, name="x")
    found = taken([both, CALM], [[CALM], [CALM], [all_]], **log)
    assert found == {"1, 2 (replaced files)": (1.0, 0.0, 2500)}
    log["removed"][3] = ["1-0", "0-1"]
    found = taken([both, CALM], [[CALM], [CALM], [words({"a": 1200, "b": 800}, name="x")]], **log)
    [(name, (share, _, rows))] = found.items()
    assert (name, rows) == ("1 (replaced files)", 2500)
    assert 0.5 < share < 1  # the other has grown in the meantime


def test_nothing_is_undone_of_what_came_back_or_of_a_step_back() -> None:
    """A partition deleted and restored: RESTORE adds the very file again. From then to before it,
    there is no commit that took anything.
    """
    at, schema = datetime(2026, 1, 1, tzinfo=timezone.utc), Schema((), None)
    kept, gone = (DataFile(f"/t/{name}", 1, "", {}, {}) for name in ("kept", "gone"))
    actions = [((kept, gone), ()), ((), (("/t/gone", 0, ""),)), ((gone,), ())]
    log = tuple(
        Commit(number, at, "", added, removed, schema, True)
        for number, (added, removed) in enumerate(actions)
    )
    old, lost, back = (
        Side("t", number, at, "whole", version(log, number).files, (), schema)
        for number in range(3)
    )
    named, rest = commits.taken(Pair(old, lost, log[:2]))
    assert (named, rest) == ({"1 (removed files)": ([], [gone])}, [kept])
    assert commits.taken(Pair(old, back, log))[0] == {}
    assert commits.taken(Pair(back, lost, log[1:]))[0] == {}


def test_a_deletion_vector_is_of_its_own_file() -> None:
    """A file of the reference and one that was appended since lose rows; then one of them again."""
    at, schema = datetime(2026, 1, 1, tzinfo=timezone.utc), Schema((), None)
    first, second = ("/t/first", "/t/second")

    def file(path: str, deleted: str) -> DataFile:
        return DataFile(path, 1, deleted, {}, {})

    log = (
        Commit(0, at, "", (file(first, ""),), (), schema, True),
        Commit(1, at, "", (file(second, ""),), (), schema, True),
        Commit(
            2,
            at,
            "",
            (file(first, "d"), file(second, "d")),
            ((first, 0, ""), (second, 0, "")),
            schema,
            True,
        ),
        Commit(3, at, "", (file(second, "e"),), ((second, 0, "d"),), schema, True),
        Commit(4, at, "", (file(first, "f"),), ((first, 0, "d"),), schema, True),
    )
    sides = [
        Side("t", number, at, "whole", version(log, number).files, (), schema)
        for number in range(5)
    ]
    named, rest = commits.taken(Pair(sides[0], sides[3], log[:4]))
    assert named == {"2 (replaced files)": ([file(first, "d")], [file(first, "")])}
    assert rest == [file(second, "e")]
    assert set(commits.taken(Pair(sides[0], sides[4], log))[0]) == {"2, 4 (replaced files)"}
    assert set(commits.taken(Pair(sides[1], sides[4], log))[0]) == {
        "2, 3 (replaced files)",
        "2, 4 (replaced files)",
    }


@pytest.mark.parametrize("vectors", [True, False])
def test_rows_came_with_the_commit_that_wrote_them(vectors: bool) -> None:
    """A row is deleted of the file that is off, by a deletion vector or by writing the others
    again; then what is there is compacted; then restored.
    """
    at, schema = (
        datetime(2026, 1, 1, tzinfo=timezone.utc),
        Schema((Field("x", "string", "x"),), None),
    )
    calm, off, more = (DataFile(f"/t/{number}", 1, "", {}, {}) for number in range(3))
    less = DataFile(off.path, 1, "d", {}, {}) if vectors else DataFile("/t/3", 1, "", {}, {})
    both = DataFile("/t/4", 1, "", {}, {})
    known = {each.key: file_of([({}, [CALM])]) for each in (calm, more)}
    known |= {each.key: file_of([({}, [OFF])]) for each in (off, less)}
    known[both.key] = file_of([({}, [words({"a": 600, "b": 400, "c": 500}, name="x")])])

    def gone(*files: DataFile) -> tuple[tuple[str, int, str], ...]:
        return tuple((each.path, 0, each.deleted) for each in files)

    log = (
        Commit(0, at, "WRITE", (calm,), (), schema, True),
        Commit(1, at, "WRITE", (off,), (), schema, True),
        Commit(2, at, "WRITE", (more,), (), schema, True),
        Commit(3, at, "DELETE", (less,), gone(off), schema, True),
        Commit(4, at, "OPTIMIZE", (both,), gone(less, more), schema, False),
        Commit(5, at, "RESTORE", (less, more), gone(both), schema, True),
    )
    line: Any = SimpleNamespace(problem=SimpleNamespace(drift=RULE))

    def against_0(number: int, commits: tuple[Commit, ...]) -> tuple[int, list[tuple[str, float]]]:
        """Over how many steps rows were added, and the commits that moved ``x``."""
        new, old = (version(commits, each) for each in (number, commits[0].number))
        sides = [
            Side("t", each.number, at, said, files, schema.fields, schema)
            for each, said, files in (
                (old, "whole", (calm,)),
                (new, "added since 0", tuple(f for f in new.files if f != calm)),
            )
        ]
        pair = Pair(*sides, commits)
        statistics, found = drift.compared(line, pair, known)
        moved = job.causes(line, pair, known, statistics, found[sides[0]])
        named = [(each.name, each.share) for each in moved if each.kind == "commit"]
        return pair.steps, named

    for number in (3, 5):
        assert against_0(number, log[: number + 1]) == (2, [("1", 1.0), ("2", 0.0)])
    assert commits.brought(log[:5])[both.path] == "1, 2"
    ground = Commit(2, at, "", (calm, off, more), (), schema, False)
    assert commits.brought([ground, *log[3:5]])[both.path] == "2 or before"


def test_a_segment_takes_rows_apart_where_all_files_are_cut_by_it() -> None:
    """Else the rows of a file that was not cut are in no part; one without rows has no cells."""
    before = [file_of([({}, [words({"a": 600, "b": 400}, name="x")])])]
    even = ({"half": "even"}, [words({"a": 300, "b": 200}, name="x")])
    odd = ({"half": "odd"}, [words({"a": 300, "b": 200, "z": 5}, name="x")])
    off = words({"a": 300, "b": 200, "z": 300}, name="x")
    none = file_of([({}, [words({}, name="x")])])
    added = [[file_of([even, odd])], [file_of([({}, [off])]), none]]
    _, moved = compared(before, added, RULE)
    assert {each.kind for each in moved} == {"commit"}  # of each a file that has rows
    added[1][0] = file_of([({"half": "odd"}, [off])])
    _, moved = compared(before, added, RULE)
    halves = [(each.name, each.rows) for each in moved if each.kind == "half"]
    assert halves == [("odd", 1305), ("even", 500)]


def halves(odd: Profile, even: Profile, **more: str | None) -> list[tuple[Cell, list[Profile]]]:
    """The cells of a file whose rows have one of two values in a column."""
    each = (("odd", odd), ("even", even))
    return [
        ({"half": half, **more}, [part, words({half: part.rows}, name="half")])
        for half, part in each
    ]


FEW, OTHER = words({"a": 120, "b": 80}, name="x"), words({"a": 40, "b": 160}, name="x")
REST = words({"a": 6000, "b": 4000}, name="x")


def test_a_column_that_drifted_in_one_segment_alone_has_its_causes_there() -> None:
    """Two in a hundred rows are odd, and off in the second commit: the whole column is calm."""
    off = words({"b": 200}, name="x")
    files = [[file_of(halves(odd, REST))] for odd in (FEW, off, FEW)]
    before = [file_of(halves(FEW, REST))]
    statistics, moved = compared(before, files, RULE, segments=("half",))
    assert {each.segment for each in statistics if each.drifted} == {"half=odd"}
    found = [(each.column, each.segment, each.kind, each.name, each.rows) for each in moved]
    assert found == [("x", "half=odd", "commit", str(number), 200) for number in (2, 1, 3)]
    assert [(each.share, each.without) for each in moved] == [(1.0, 0.0), (0.0, ANY), (0.0, ANY)]


def test_a_column_that_drifted_as_a_whole_is_taken_apart_as_a_whole() -> None:
    files = [[file_of(halves(OFF, words({"a": 1000, "b": 9000}, name="x")))]]
    before = [file_of(halves(FEW, REST))]
    statistics, moved = compared(before, files, RULE, segments=("half",))
    drifted = {each.segment for each in statistics if each.drifted and each.column == "x"}
    assert drifted == {"", "half=odd", "half=even"}
    assert {each.segment for each in moved if each.column == "x"} == {""}


def test_of_segments_the_one_is_taken_apart_in_which_a_column_did_most() -> None:
    """It is that of the rows without a value. What took rows of others away is none of its causes,
    and the one commit of which all its rows are is not, for it took some of them.
    """

    def file(none: Profile, odd: Profile) -> FileProfile:
        return file_of([({"half": None}, [none]), *halves(odd, REST)])

    before = [file(FEW, FEW), file_of(halves(FEW, REST)[1:])]
    after = [file(words({"a": 10, "b": 190}, name="x"), OTHER)]
    log: dict[str, Any] = {"removed": {1: ["0-0"], 2: ["0-1"]}}
    statistics, moved = compared(before, [after, []], RULE, segments=("half",), **log)
    drifted = {each.segment for each in statistics if each.drifted}
    assert drifted == {"half=odd", "half is null"}
    assert [(each.segment, each.name, each.share, each.rows) for each in moved] == [
        ("half is null", "1 (replaced files)", 1.0, 200)
    ]


def test_a_segment_goes_by_the_new_name_of_its_column() -> None:
    _, moved = compared(
        [file_of(halves(FEW, REST))],
        [[file_of(halves(OTHER, REST))]],
        RULE,
        segments=("side",),
        names=({"x": "y"}, {"half": "side", "x": "z"}),
    )
    assert [(each.column, each.segment, each.name) for each in moved] == [("z", "side=odd", "1")]


def test_the_newest_as_of_of_each_side_is_what_a_segment_is_of() -> None:
    """A file has both as-ofs: of the reference the earlier one is compared."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    types = ("half", "as_of", "x")
    schema = Schema(tuple(Field(name, "string", name) for name in types), None)
    files = [DataFile(f"/t/{number}", 1, "", {}, {}) for number in range(2)]
    known = {
        files[0].key: file_of(
            halves(OTHER, REST, **{NEWEST: None}) + halves(FEW, REST, **{NEWEST: "2"})
        ),
        files[1].key: file_of(halves(OTHER, REST, **{NEWEST: "3"})),
    }
    log = tuple(Commit(n, at, "WRITE", (each,), (), schema, True) for n, each in enumerate(files))
    old, new = (
        Side("t", n, at, NEWEST, version(log, n).files, schema.fields[2:], schema) for n in range(2)
    )
    line: Any = SimpleNamespace(problem=SimpleNamespace(drift=RULE))
    pair = Pair(old, new, log)
    statistics, found = drift.compared(line, pair, known, ("half",))
    assert {each.segment for each in statistics if each.drifted} == {"half=odd"}
    newest = {NEWEST: "2"}, {NEWEST: "3"}
    moved = job.causes(line, pair, known, statistics, found[old], newest)
    assert [(e.segment, e.name, e.share, e.rows) for e in moved] == [("half=odd", "1", 1.0, 200)]


def test_what_moved_a_column_most_in_a_line() -> None:
    """Each with its own share; one step's commit goes without saying."""
    one = Cause("x", "ks", "commit", "2", 0.996, 0.0, 10)
    moved = [
        replace(one, column="w", kind="file"),
        replace(one, column="w", share=0.49),
        one,
        replace(one, name="1", share=0.004),
        replace(one, kind="delivery", name="d", share=0.55),
        replace(one, kind="half", name="odd"),
        replace(one, column="y"),
    ]
    at, schema = datetime(2026, 1, 1, tzinfo=timezone.utc), Schema((), None)
    old, between, new = (Side("t", number, at, "whole", (), (), schema) for number in range(3))
    far, step = Pair(old, new, ()), Pair(between, new, ())
    assert job.mainly(far, moved) == "100% of x from commit 2, 55% from delivery d"
    assert job.mainly(step, moved) == "55% of x from delivery d"
    segment = [replace(each, segment="half=odd") for each in moved]
    assert job.mainly(far, segment).startswith("100% of x (half=odd) from commit 2, 55%")
    gone = [replace(one, name="2 (removed files)")]
    assert job.mainly(step, gone) == "100% of x from commit 2 (removed files)"
    assert job.mainly(far, moved[:2]) == job.mainly(step, moved[2:4]) == ""


def test_a_column_that_is_called_like_another_kind_of_part() -> None:
    """Its values are not files, commits or deliveries, and no row counts twice."""
    cells = [({"file": "a", "commit": "1", "delivery": "x"}, [part]) for part in (CALM, OFF)]
    cells[1][0]["file"] = "b"
    added = [[file_of([cells[0]])], [file_of([cells[1]]), file_of([cells[0]])]]
    _, moved = compared([file_of([({}, [CALM])])], added, RULE)
    assert {(each.kind, each.name, each.rows) for each in moved} == {
        ("commit", "1", 1000),
        ("commit", "2", 1500),
        ("file", "1-0", 1000),
        ("file", "2-0", 500),
        ("file", "2-1", 1000),
        ("column file", "a", 2000),
        ("column file", "b", 500),
    }


def test_files_of_one_name_in_many_partitions_are_many_files() -> None:
    """As Spark names them in a folder of Parquet that was converted to Delta since."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    schema = Schema((Field("x", "string", "x"),), None)
    paths = [
        *(f"/t/year={year}/month=1/part-0.c000.parquet" for year in (1, 2)),
        "/t/year=1/month=2/part-0.c000.parquet",
        "/t/year=1/month=2/part-1.c000.parquet",
    ]
    files = tuple(DataFile(path, 1, "", {}, {}) for path in paths)
    known = {each.key: file_of([({}, [CALM])]) for each in files}
    known[files[1].key] = file_of([({}, [OFF])])
    side = Side("t", 0, at, "whole", files, schema.fields, schema)
    log = (Commit(0, at, "CONVERT", files, (), schema, True),)
    found = dict(job._groups(Pair(side, side, log), known, {}, {}))
    assert {name: members for name, (members, _) in found["file"].items()} == {
        "year=1/month=1/part-0.c000.parquet": [files[0]],
        "year=2/month=1/part-0.c000.parquet": [files[1]],
        "month=2/part-0.c000.parquet": [files[2]],
        "part-1.c000.parquet": [files[3]],
    }


def test_many_commits_that_cannot_be_told_apart_have_a_name_that_no_others_have() -> None:
    """The first three, how many more, and what tells them from others that begin as they do."""
    sets = [(1, 2, 3, 4, 6), (1, 2, 3, 4, 7), (1, 2, 3, 8, 9), (1, 2, 3), (1, 2, 3, 4), (0, 2)]
    assert commits._called([*sets, sets[0]], {0: "0 or before"}) == {
        sets[0]: "1, 2, 3, 4, 6",
        sets[1]: "1, 2, 3, 4, 7",
        sets[2]: "1, 2, 3, 8, 9",
        sets[3]: "1, 2, 3",
        sets[4]: "1, 2, 3 and 1 more",
        sets[5]: "0 or before, 2",
    }
    long = [(1, 2, 3, 4, *range(10, 99)), (1, 2, 3, 5, *range(10, 99))]
    assert set(commits._called(long).values()) == {
        "1, 2, 3, 4 and 89 more",
        "1, 2, 3, 5 and 89 more",
    }


def test_commits_whose_names_begin_alike_are_parts_of_their_own() -> None:
    """Each of six writes into one partition or both, which are compacted one by one; or gone."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    schema = Schema((Field("x", "string", "x"),), None)

    def file(name: str) -> DataFile:
        return DataFile(f"/t/{name}", 1, "", {}, {})

    both, one, other = (1, 2, 3), 4, 5
    log = [Commit(0, at, "", (file("a0"), file("b0")), (), schema, True)]
    for number in (*both, one, other):
        names = [f"{p}{number}" for p in "ab" if number in both or p == "ab"[number - one]]
        added = tuple(map(file, names))
        log.append(Commit(number, at, "WRITE", added, (), schema, True))
    known = {each.key: file_of([({}, [CALM])]) for commit in log for each in commit.added}
    for number, partition in ((6, "a"), (7, "b")):
        gone = [f"{partition}{n}" for n in (*both, number - 2)]
        keys = tuple((f"/t/{name}", 0, "") for name in gone)
        log.append(Commit(number, at, "", (file(partition),), keys, schema, False))
        known[file(partition).key] = file_of([({}, [OFF if partition == "b" else CALM])])
    old, new = (version(log, number) for number in (0, 7))
    added = tuple(each for each in new.files if each not in old.files)
    sides = [
        Side("t", each.number, at, said, files, schema.fields, schema)
        for each, said, files in ((old, "whole", old.files), (new, "added since 0", added))
    ]
    pair = Pair(sides[0], sides[1], tuple(log))
    line: Any = SimpleNamespace(problem=SimpleNamespace(drift=RULE))
    statistics, found = drift.compared(line, pair, known)
    moved = job.causes(line, pair, known, statistics, found[sides[0]])
    assert [(each.name, each.share) for each in moved if each.kind == "commit"] == [
        ("1, 2, 3, 5", 1.0),
        ("1, 2, 3, 4", 0.0),
    ]


def planted(kind: str, seed: int) -> tuple[str, list[str]]:
    """The name of the part that is off, and those the job gives, the first cause first.

    A table of 3 to 12 parts, one of which has a fifth to a half of the rows and is off: by three
    deviations, or in 30 % of its rows, which are null, or in 20 %, which are of a new category. The
    job finds the drift and takes the rows apart by itself.
    """
    random = np.random.default_rng(seed)
    change = ["mean", "nulls", "category"][seed % 3]
    count = int(random.integers(3, 13))
    commits = int(random.integers(2, min(5, count)))  # fewer than files
    off = int(random.integers(count))
    sizes = random.integers(100, 1000, size=count)
    share = random.uniform(0.2, 0.5)
    sizes[off] = (sizes.sum() - sizes[off]) * share / (1 - share)

    def column(rows: int, place: int | None = None) -> list[Profile]:
        return [_part(random, rows, change, off=place == off, by=3.0)]

    if kind == "file":
        files = [file_of([({}, column(rows, place))]) for place, rows in enumerate(sizes)]
        added = [files[number::commits] for number in range(commits)]
        _, moved = compared([file_of([({}, column(3000))])], added, RULE)
        name = f"{off % commits + 1}-{off // commits}"
    else:
        values = [None, *(f"v{place}" for place in range(1, count))]
        before = [({kind: value}, column(3000 // count)) for value in values]
        added = []
        for _ in range(commits):
            cells = [
                ({kind: value}, column(rows // commits, place))
                for place, (value, rows) in enumerate(zip(values, sizes, strict=True))
            ]
            # A file has the rows of one partition, or of all segments.
            apart = [[each] for each in cells] if kind == "partition" else [cells]
            added.append([file_of(each) for each in apart])
        _, moved = compared([file_of(before)], added, RULE)
        name = values[off] or "null"
    return name, [each.name for each in moved if each.kind == kind]


def share_right(kind: str, seeds: range) -> float:
    found = [planted(kind, seed) for seed in seeds]
    return sum(name in names[:1] for name, names in found) / len(seeds)


@pytest.mark.parametrize("kind", ["file", "partition", "segment"])
def test_the_planted_file_partition_or_segment_comes_first(kind: str) -> None:
    assert share_right(kind, range(12)) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "partition", "segment"])
def test_of_two_hundred_planted_parts_ninety_five_percent_come_first(kind: str) -> None:
    assert share_right(kind, range(1000, 1200)) >= 0.95


def _part(
    random: np.random.Generator, rows: int, kind: str, *, off: bool, by: float = 1.0
) -> Profile:
    if kind == "category":
        names = ["a", "b", "new"]
        drawn = random.choice(names, p=[0.5, 0.3, 0.2] if off else [0.6, 0.4, 0.0], size=rows)
        return words(Counter(drawn.tolist()), name="x")
    nulls = random.binomial(rows, 0.3 if off and kind == "nulls" else 0.02)
    shift = by if off and kind == "mean" else 0.0
    return numeric(random.normal(shift, 1, size=rows - nulls), nulls=nulls)
