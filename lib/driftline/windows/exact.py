"""Sums that do not depend on the order of what is summed: doubles as whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BITS = 36
"""Bits between two units of an exact sum; 63 − 36 are left for the number of events."""

LIMBS: Mapping[str, tuple[int, ...]] = {
    "sum": (36, 0, -36, -72),
    "squares": (72, 36, 0, -36, -72),
}
"""The kinds of components that are exact sums, with the powers of 2 that they count."""

LARGEST = 2.0**62
"""Values must be smaller than this (4.6e18) to be added up; larger ones count as missing."""


def as_float(limbs: Sequence[npt.NDArray[Any]], units: Sequence[int]) -> Floats:
    """An exact sum as a double, its largest unit first so that what cancels does so exactly."""
    total = np.zeros(len(limbs[0]))
    for limb, bits in zip(limbs, units, strict=True):
        total = total + limb * 2.0**bits
    return total


def exactly(
    limbs: Sequence[Integers], units: Sequence[int], some: npt.NDArray[np.bool_]
) -> npt.NDArray[np.object_]:
    """Exact sums as Python's whole numbers of 2^-72."""
    total = np.zeros(int(some.sum()), dtype=object)
    for limb, bits in zip(limbs, units, strict=True):
        total = total + (limb[some].astype(object) << (bits + 72))
    return total


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """``part / whole``, NaN where the whole is 0."""
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result
