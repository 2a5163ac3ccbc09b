"""How each operation is computed from what an as-of sees; NaN is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from driftline.windows.exact import LIMBS, Floats, Integers, as_float, exactly, share
from driftline.windows.rows import Rows, View

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class Output:
    """One column to compute: an operation over a window of so many days."""

    name: str
    operation: str
    parts: tuple[str, ...]
    days: int
    against: int = 0


def _count(view: View, of: Output) -> Floats:
    return view.count(of.parts[0], of.days).astype(np.float64)


def _sum(view: View, of: Output) -> Floats:
    return view.total(of.parts[0], of.days)


def _mean(view: View, of: Output) -> Floats:
    values, total = of.parts
    return share(view.total(total, of.days), view.count(values, of.days))


def _std(view: View, of: Output) -> Floats:
    """Of a sample, √((n Σx² − (Σx)²) / (n (n − 1))), in whole numbers until the root."""
    values, total, squares = of.parts
    n = view.count(values, of.days)
    some = n > 1
    count = n[some].astype(object)
    x = exactly(view.limbs(total, of.days), LIMBS["sum"], some)
    xx = exactly(view.limbs(squares, of.days), LIMBS["squares"], some)
    spread = (count * xx << 72) - x * x
    # What was cut off below 2^-72 of each of the three parts of a square is no spread.
    spread = np.where(spread > (3 * count * count << 72), spread, 0)
    result = np.full(len(n), np.nan)
    result[some] = np.sqrt((spread / (count * (count - 1) << 144)).astype(np.float64))
    return result


def _extreme(ufunc: np.ufunc) -> Callable[[View, Output], Floats]:
    return lambda view, of: view.rows.reduced(ufunc, of.parts[0], *view.window(of.days))


def _nth(first: bool) -> Callable[[View, Output], Floats]:
    def value(view: View, of: Output) -> Floats:
        rows = view.rows.ordered(of.parts[0])
        start, end = view.window(of.days, rows)
        place = start if first else end - 1
        values = np.append(rows[of.parts[0]], np.nan)
        return np.where(start < end, values[place], np.nan)

    return value


def _distinct(view: View, of: Output) -> Floats:
    return view.counts(of.parts[0], of.days)[0].astype(np.float64)


def _top_share(view: View, of: Output) -> Floats:
    _, most, events = view.counts(of.parts[0], of.days)
    return share(most, events)


def _recency(view: View, of: Output) -> Floats:
    last = view.rows.reduced(np.fmax, of.parts[0], *view.window(of.days))
    age = (view.as_of * DAY - last) / DAY  # microseconds since 1970 are exact as doubles
    return np.where(np.isnan(last), float(of.days), age)


def _days_with_event(view: View, of: Output) -> tuple[Rows, Integers, Integers, Integers]:
    """The rows with an event, the window's first and end among them, and its calendar days."""
    rows = view.rows.active(of.parts[0])
    start, end = view.window(of.days, rows)
    new = rows.total("new", start, end)
    # The window's first row may be the rest of a date that began before the window.
    begun = np.append(rows["new"], 1)[start]
    return rows, start, end, new + ((start < end) & (begun == 0))


def _frequency(view: View, of: Output) -> Floats:
    return _days_with_event(view, of)[3].astype(np.float64)


def _gaps(view: View, of: Output) -> tuple[Integers, Integers, Integers]:
    """Gaps between days with an event: how many, their sum, the sum of their squares, in days."""
    rows, start, end, days = _days_with_event(view, of)
    after = np.minimum(start + 1, end)  # the first row's gap lies before the window
    return (
        days - 1,
        rows.total("gap", after, end),
        rows.total("gap_squared", after, end),
    )


def _gap(view: View, of: Output) -> Floats:
    number, days, _ = _gaps(view, of)
    return share(days, np.maximum(number, 0))


def _gap_std(view: View, of: Output) -> Floats:
    number, days, squares = _gaps(view, of)
    number = np.maximum(number, 0)
    spread = number * squares - days * days
    return np.sqrt(share(spread, number * np.maximum(number - 1, 0)))


def _trend(view: View, of: Output) -> Floats:
    events, late = of.parts
    number = view.count(events, of.days)
    half, odd = divmod(of.days, 2)
    newer = view.count(events, half)
    if odd:  # half a day more: its second half belongs to the newer half of the window
        newer = newer + view.count(late, half + 1) - view.count(late, half)
    return np.nan_to_num(share(2 * newer - number, number))


def _ratio(view: View, of: Output) -> Floats:
    whole = view.total(of.parts[0], of.against)
    # Sales and returns that cancel leave the rounding of their doubles, and shares of that by 1e16.
    return share(view.total(of.parts[0], of.days), np.where(np.abs(whole) < 1e-9, 0.0, whole))


def _slope(view: View, of: Output) -> Floats:
    """Σ (t − t̄) y / Σ (t − t̄)² over the window's days; Σ (t − t̄)² = d (d² − 1) / 12."""
    name, days = of.parts[0], of.days
    rows, units = view.rows.daily(name)
    window = view.window(days)
    twice_the_middle = 2 * view.as_of - (days - 1)
    # Twice the sum: the middle of an even number of days is half a day.
    total = [
        2 * rows.total(f"moment_{place}", *window)
        - twice_the_middle * rows.total(f"limb_{place}", *window)
        for place in range(len(units))
    ]
    return as_float(total, units) * 6 / (days * (days * days - 1))


OPERATIONS: Mapping[str, Callable[[View, Output], Floats]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _extreme(np.fmin),
    "max": _extreme(np.fmax),
    "std": _std,
    "first": _nth(first=True),
    "last": _nth(first=False),
    "distinct": _distinct,
    "top_share": _top_share,
    "recency": _recency,
    "frequency": _frequency,
    "gap": _gap,
    "gap_std": _gap_std,
    "trend": _trend,
    "ratio": _ratio,
    "slope": _slope,
}
"""How each operation is computed from what an as-of sees; NaN is unknown."""
