"""What fails on a value of some row, as a cast or a division may: which of the things that were
asked, found by halving, and Spark's condition of it. Its message may quote the value: nothing keeps
that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from pyspark.errors import PySparkException

Asked = TypeVar("Asked", bound=Hashable)
Told = TypeVar("Told")

_DATA = "22"
"""The class of SQLSTATE that is about data, whatever the database."""
_IN_TEXT = re.compile(r"(?:Exception|Error): \[([A-Z0-9_.]+)\].*?SQLSTATE: (\w\w)", re.S)


def said(condition: str) -> str:
    """What is said of a rule that fails on a value."""
    return f"cannot be told of every value: {condition}"


def condition_of(error: PySparkException) -> str | None:
    """Spark's condition of an error that is about a value; None of any other, as a lost file."""
    about_data = (error.getSqlState() or "").startswith(_DATA)
    return error.getCondition() if about_data else None


def condition_in(trace: str) -> str | None:
    """The same of an error that is there as text."""
    found = _IN_TEXT.search(trace)
    return found[1] if found and found[2] == _DATA else None


def as_far_as_told(
    ask: Callable[[Sequence[Asked]], Told], asked: Sequence[Asked]
) -> tuple[Told, dict[Asked, str]]:
    """What ``ask`` says of all that it can be told of, and the others with Spark's condition.

    If nothing fails it is called once.
    """
    try:
        return ask(asked), {}
    except PySparkException as error:
        condition = condition_of(error)
        if condition is None or not asked:
            raise
        ask(asked[:0])  # what fails without any of them is the fault of none
        failing = _halved(ask, asked, condition)
    return ask([each for each in asked if each not in failing]), failing


def _failing(ask: Callable[[Sequence[Asked]], Told], asked: Sequence[Asked]) -> dict[Asked, str]:
    try:
        ask(asked)
    except PySparkException as error:
        condition = condition_of(error)
        if condition is None:
            raise
        return _halved(ask, asked, condition)
    return {}


def _halved(
    ask: Callable[[Sequence[Asked]], Told], asked: Sequence[Asked], condition: str
) -> dict[Asked, str]:
    """The failing ones of some that fail together by ``condition``."""
    if len(asked) == 1:
        return {asked[0]: condition}
    half = len(asked) // 2
    return _failing(ask, asked[:half]) | _failing(ask, asked[half:])
