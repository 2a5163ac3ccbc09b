"""Which scans of a file are taken for its profile; and profiles that lie on the disk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from profiles import numeric, words

from driftline.delta_files import DataFile
from driftline.jobs import profile_store
from driftline.jobs.profile_store import Asked, Scan
from driftline.profile import Field, Profile

FILE = DataFile("/t/f", 9, "", {}, {}, 5)
X, Y, Z = (Field(name, "double", name, number) for number, name in enumerate("xyz", 1))


def scan(
    columns: str,
    *,
    cut: tuple[str, ...] = (),
    cells: Any = "same",
    largest: int | None = 2,
    modified: int | None = 5,
    rows: int = 10,
    version: int = 0,
) -> Scan:
    name = ("/t/f", 9, "", modified, json.dumps(cut), "run", version)
    return Scan(name, largest, frozenset({"*", *columns}), cells, rows)


def chosen(*scans: Scan, fields: tuple[Field, ...] = (X, Y), cut: tuple[str, ...] = ()) -> Any:
    asked = Asked(FILE, frozenset(fields), frozenset(cut), {}, frozenset())
    return profile_store._chosen({FILE.key: asked}, scans).get(FILE.key)


def test_one_scan_that_tells_all_is_taken_and_the_least_cut() -> None:
    least, more = scan("xy"), scan("xy", cut=("w",), cells="others")
    assert chosen(more, least) == (least,)
    assert chosen(more, least, cut=("w",)) == (more,)
    assert chosen(least, cut=("w",)) is None
    assert chosen(scan("x"), fields=(X, Z)) == (scan("x"),)  # Z is younger than the file
    assert chosen(scan("x")) is None


def test_scans_tell_together_only_of_the_same_cells() -> None:
    """One that was cut by a column that it had lost has other cells: its rows would count twice."""
    one, other = scan("x"), scan("y", version=1)
    assert set(chosen(one, other)) == {one, other}
    assert chosen(one, scan("y", version=1, cells="others")) is None
    assert chosen(one, scan("y", version=1, cut=("w",))) is None


def test_a_file_without_rows_tells_of_any_column() -> None:
    assert chosen(scan("", rows=0)) == (scan("", rows=0),)


@pytest.mark.parametrize(("modified", "known"), [(5, True), (None, True), (4, False)])
def test_a_file_that_was_written_at_another_time_is_another_one(modified, known) -> None:
    """Of what was profiled before that was kept, the time is not asked."""
    assert (chosen(scan("xy", modified=modified)) is not None) == known


@pytest.mark.parametrize(
    "found",
    [
        numeric([1.5, 2.0, -3.0], nulls=2),
        numeric([float(n) for n in range(2000)]),
        numeric([]),
        numeric([float("inf"), 1.0]),
        words({"a": 3, "é\u2028": 1}),
        Profile("tags", "array<int>", "skipped", 4, 1),
    ],
)
def test_a_profile_on_the_disk_is_what_it_was(found: Profile) -> None:
    parts = profile_store._Parts(profile_store._Disk())
    parts["*", ""] = Profile("*", "", "skipped", 4, 0)
    parts["other", ""] = numeric([7.0])
    parts["x", found.part] = found
    assert parts["x", found.part] == found
    assert parts["*", ""].rows == 4
    assert set(parts) == {("*", ""), ("other", ""), ("x", found.part)}
    assert ("y", "") not in parts
    assert parts.get(("y", "")) is None
