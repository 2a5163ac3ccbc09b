"""What a stage will take, by what it took: pure functions over runs of the ledger.

The median of the newest runs, or a line through (rows, value) where that would have told the runs
before better, each from those before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

_RECENT = 5
"""So many of the newest runs make the median."""
_LINE = 20
"""So many make the line."""

Past = tuple[float, int | None]
"""(what a run took, the rows it read), oldest run first in a history."""


@dataclass(frozen=True)
class Forecast:
    """``value`` in the history's unit; whether rows told it; how many runs it rests on."""

    value: float
    by_rows: bool
    runs: int


def expected(history: Sequence[Past], rows: int | None = None) -> Forecast | None:
    """What the next run takes, over ``rows`` if they are known; None without any run.

    Which of the two is asked is decided by the median size of the error, as a ratio, with which
    each would have told the newest runs from the runs before them.
    """
    if not history:
        return None
    flat = Forecast(_middle(history, rows) or 0.0, False, min(len(history), _RECENT))
    sloped = _line(history, rows)
    if sloped is None or _error(history, _line) >= _error(history, _middle):
        return flat
    return Forecast(sloped, True, min(len(history), _LINE))


def records(size: int, known: Sequence[tuple[int, int]]) -> int | None:
    """Records in ``size`` bytes, by (bytes, records) of what landed before; None of nothing."""
    total = sum(bytes_ for bytes_, _ in known)
    return round(size * sum(each for _, each in known) / total) if total else None


def _middle(history: Sequence[Past], rows: int | None) -> float | None:
    newest = [value for value, _ in history[-_RECENT:]]
    return median(newest) if newest else None


def _line(history: Sequence[Past], rows: int | None) -> float | None:
    """Theil and Sen's line, which a few odd runs do not move: the median slope, then offset."""
    points = [(many, value) for value, many in history[-_LINE:] if many is not None]
    slopes = [
        (two - one) / (more - less)
        for place, (less, one) in enumerate(points)
        for more, two in points[place + 1 :]
        if more != less
    ]
    if rows is None or len(points) < 3 or not slopes:
        return None
    slope = max(median(slopes), 0.0)
    offset = median(value - slope * many for many, value in points)
    return max(offset + slope * rows, 0.0)


def _error(
    history: Sequence[Past], told: Callable[[Sequence[Past], int | None], float | None]
) -> float:
    """Median of |log(told / taken)| over the newest runs with rows, each by those before it."""
    found = []
    for place in range(max(3, len(history) - _LINE), len(history)):
        value, rows = history[place]
        before = told(history[:place], rows)
        if rows is not None and value > 0 and before is not None:
            found.append(abs(math.log(before / value)) if before > 0 else math.inf)
    return median(found) if found else math.inf
