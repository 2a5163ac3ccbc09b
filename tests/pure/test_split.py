"""Splitting by time: the newest judge, the ones before choose, and no label leaks into training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest

from driftline.errors import Refused
from driftline.split import PARTS, by_time, forward
from driftline.split_section import TimeSplit

FIRST = datetime(2024, 1, 1, tzinfo=timezone.utc)


def parts(
    days: Sequence[int], *, horizon: int, test: int = 1, validation: int = 1
) -> tuple[list[int], list[int], list[int]]:
    """Days of the as-ofs that train, validate and test."""
    rule = TimeSplit(by="time", test=test, validation=validation)
    found = by_time([FIRST + timedelta(days=day) for day in days], rule, horizon=horizon)
    assert tuple(found) == PARTS
    train, choose, judge = ([(each - FIRST).days for each in found[name]] for name in PARTS)
    return train, choose, judge


@pytest.mark.parametrize(
    ("days", "horizon", "held_back", "expected"),
    [
        # a horizon as long as the step: every label is known one step later
        ([0, 30, 60, 90], 30, (1, 1), ([0, 30], [60], [90])),
        # twice the step: the as-ofs just before validation and test are purged
        ([0, 30, 60, 90, 120], 60, (1, 1), ([0], [60], [120])),
        # one day more than the step purges them too; exactly the step does not
        ([0, 30, 60, 90, 120], 31, (1, 1), ([0], [60], [120])),
        # a horizon of 90 days, cut-offs every 30: two are purged each time
        ([0, 30, 60, 90, 120, 150, 180, 210], 90, (1, 1), ([0, 30], [120], [210])),
        # a short horizon purges nothing
        ([0, 30, 60, 90], 7, (1, 1), ([0, 30], [60], [90])),
        # several held back
        ([0, 30, 60, 90, 120], 30, (2, 1), ([0, 30], [60], [90, 120])),
        ([0, 30, 60, 90, 120], 30, (1, 3), ([0], [30, 60, 90], [120])),
        # without validation the gap ends where the test begins
        ([0, 30, 60], 30, (1, 0), ([0, 30], [], [60])),
        ([0, 30, 60], 60, (1, 0), ([0], [], [60])),
        # the fewest that will do
        ([0, 30, 60], 30, (1, 1), ([0], [30], [60])),
    ],
)
def test_parts(
    days: list[int],
    horizon: int,
    held_back: tuple[int, int],
    expected: tuple[list[int], list[int], list[int]],
) -> None:
    test, validation = held_back
    assert parts(days, horizon=horizon, test=test, validation=validation) == expected


def test_the_order_they_come_in_does_not_matter() -> None:
    assert parts([90, 0, 60, 30], horizon=30) == ([0, 30], [60], [90])


@pytest.mark.parametrize(
    ("days", "horizon", "test", "validation"),
    [
        ([], 30, 1, 1),
        ([], 30, 1, 0),
        ([0], 30, 1, 0),
        ([0, 30], 30, 1, 1),
        ([0, 30, 60], 30, 3, 0),
        ([0, 30, 60], 30, 1, 3),
        ([0, 30, 60], 30, 5, 5),
        # three are enough in number, but the only one to train on is purged
        ([0, 30, 60], 31, 1, 1),
    ],
)
def test_too_few_are_refused(days: list[int], horizon: int, test: int, validation: int) -> None:
    with pytest.raises(Refused) as caught:
        parts(days, horizon=horizon, test=test, validation=validation)
    error = caught.value
    assert error.exit_code == 3
    assert error.what == f"too few as-ofs with a known label to split by time: {len(days)}"
    assert error.where == f"split: test {test}, validation {validation}"
    assert error.hint


@pytest.mark.parametrize(
    ("days", "horizon", "folds", "expected"),
    [
        ([0, 30, 60, 90], 30, 3, [([0], [30]), ([0, 30], [60]), ([0, 30, 60], [90])]),
        ([90, 0, 60, 30], 30, 1, [([0, 30], [60, 90])]),
        # what is not over when a block begins does not train it
        ([0, 30, 60, 90, 120], 60, 2, [([0], [60]), ([0, 30], [90, 120])]),
        ([0, 30, 60, 90], 31, 3, None),
        ([0, 30], 30, 3, None),
        ([], 30, 2, None),
    ],
)
def test_forward_chaining(
    days: list[int], horizon: int, folds: int, expected: list[tuple[list[int], list[int]]] | None
) -> None:
    times = [FIRST + timedelta(days=day) for day in days]
    if expected is None:
        with pytest.raises(Refused, match="too few as-ofs"):
            forward(times, folds=folds, horizon=horizon)
        return
    found = forward(times, folds=folds, horizon=horizon)
    assert [
        tuple([(each - FIRST).days for each in side] for side in fold) for fold in found
    ] == expected
