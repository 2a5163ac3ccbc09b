"""What fails on a value is found by halving, and costs nothing where nothing does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pyspark.errors import PySparkException

from driftline import untold


class Failed(PySparkException):
    def __init__(self, condition: str, state: str) -> None:
        super().__init__("the value 'secret'")
        self._said = condition, state

    def getCondition(self) -> str:
        return self._said[0]

    def getSqlState(self) -> str:
        return self._said[1]


class Asking:
    def __init__(self, *failing: int, condition: str = "DIVIDE_BY_ZERO", state: str = "22012"):
        self.failing, self.error = failing, Failed(condition, state)
        self.passes: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> int:
        self.passes.append(list(asked))
        if set(self.failing).intersection(asked):
            raise self.error
        return sum(asked)


def test_where_nothing_fails_it_is_asked_once() -> None:
    ask = Asking()
    assert untold.as_far_as_told(ask, range(50)) == (sum(range(50)), {})
    assert ask.passes == [list(range(50))]


@pytest.mark.parametrize("failing", [(0,), (49,), (3, 4), (7, 25, 26, 48), tuple(range(50))])
def test_those_that_fail_are_found_in_few_passes_and_the_others_told(failing) -> None:
    ask = Asking(*failing)
    told, found = untold.as_far_as_told(ask, range(50))
    assert found == dict.fromkeys(failing, "DIVIDE_BY_ZERO")
    assert told == sum(range(50)) - sum(failing)
    assert len(ask.passes) <= 3 + 12 * len(failing)


def test_what_fails_without_any_is_raised() -> None:
    def ask(asked: Sequence[int]) -> None:
        passes.append(len(asked))
        raise Failed("CAST_INVALID_INPUT", "22018")

    passes: list[int] = []
    with pytest.raises(Failed):
        untold.as_far_as_told(ask, range(50))
    assert passes == [50, 0]


def test_an_error_that_is_about_no_value_is_raised() -> None:
    ask = Asking(3, condition="FAILED_READ_FILE.FILE_NOT_EXIST", state="KD001")
    with pytest.raises(Failed):
        untold.as_far_as_told(ask, range(50))
    assert len(ask.passes) == 1
    assert untold.condition_of(PySparkException("lost an executor")) is None


def test_of_a_trace_only_the_condition_is_taken() -> None:
    said = "[CAST_INVALID_INPUT] The value 'Error: [OTHER] SQLSTATE: 22000' is malformed. SQLSTATE:"
    before = 'x = metrics["A"]\npyspark.errors.exceptions.captured.NumberFormatException: '
    assert untold.condition_in(f"{before}{said} 22018") == "CAST_INVALID_INPUT"
    lost = "SparkException: [FAILED_READ_FILE] SQLSTATE: KD001"
    assert untold.condition_in(f"{lost} Error: [X] SQLSTATE: 22018") is None
    assert untold.condition_in("TypeError: no number") is None
