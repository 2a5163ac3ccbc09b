"""Every hostile case ends as it has to: accepted, rejected for the reason, or kept out whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from driftline import sources
from driftline.sources import Fault, Parsed
from hostile.case import Case
from hostile.corpus import CASES


def parsed(case: Case, folder: Path) -> list[Parsed]:
    """What the files of a case give, each in one piece."""
    found: list[Parsed] = []
    for path in case.write(folder):
        size = path.stat().st_size
        for split in sources.splits(str(path), size, case.layout, target=max(size, 1)):
            found += sources.read(split, case.layout)
    return found


def test_cases_are_many_and_have_names_of_their_own() -> None:
    assert len(CASES) >= 90
    assert len({case.name for case in CASES}) == len(CASES)
    assert {reason for case in CASES for reason in case.reasons} == set(sources.REASONS)
    assert {case.format for case in CASES} == set(sources.FORMATS)
    assert {case.fault for case in CASES} == {None, "corrupt", "header", "expansion"}
    assert {case.fault for case in CASES} - {None} <= set(sources.FAULTS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_case(case: Case, tmp_path: Path) -> None:
    if case.fault:
        with pytest.raises(Fault) as caught:
            parsed(case, tmp_path)
        assert caught.value.reason == case.fault
        return
    found = parsed(case, tmp_path)
    reasons = Counter(row["reason"] for each in found for row in each.rejects.to_pylist())
    assert reasons == case.reasons
    assert sum(each.rows.num_rows for each in found) == case.accepted
    assert sum(each.records for each in found) == case.accepted + case.rejected
    for each in found:
        each.rows.validate(full=True)
        each.rejects.validate(full=True)
    if case.values is not None:
        rows = [row for each in found for row in each.rows.to_pylist()]
        assert tuple(tuple(row.values())[:-2] for row in rows) == case.values


def is_small(case: Case) -> bool:
    return all(isinstance(each, bytes) and len(each) < 50_000 for each in case.files.values())


SMALL = [case for case in CASES if not case.fault and is_small(case)]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_hostile_case_is_the_same_however_it_is_cut(case: Case, tmp_path: Path) -> None:
    whole = parsed(case, tmp_path)
    pieces = [
        each
        for path in case.write(tmp_path)
        for split in sources.splits(str(path), path.stat().st_size, case.layout, target=500)
        for each in sources.read(split, case.layout, block_size=37)
    ]

    def everything(found: list[Parsed]) -> list[object]:
        rows = [row for each in found for row in each.rows.to_pylist()]
        return rows + [row for each in found for row in each.rejects.to_pylist()]

    assert everything(pieces) == everything(whole)


def test_a_reject_says_where_its_record_is(tmp_path: Path) -> None:
    """The bytes of a reject are the file's at its offset, its length that of the record."""
    for number, case in enumerate(case for case in SMALL if case.rejected):
        folder = tmp_path / str(number)
        folder.mkdir()
        (path,) = case.write(folder)
        for split in sources.splits(str(path), path.stat().st_size, case.layout):
            for each in sources.read(split, case.layout):
                for row in each.rejects.to_pylist():
                    raw = sources.record(str(path), row["offset"], row["length"])
                    assert raw.startswith(row["raw"])
                    assert len(raw) == row["length"]
                    assert row["raw"] == raw or row["reason"] == "too_long"
