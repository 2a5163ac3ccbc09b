"""Profiles of data in memory, as Spark makes them of files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt

from driftline import profile, scan
from driftline.profile import Profile
from driftline.sketches import Counts

Values = Sequence[float] | npt.NDArray[np.float64]


def numeric(
    values: Values, *, nulls: int = 0, name: str = "x", type: str = "double", files: int = 1
) -> Profile:
    """A numeric column, sketched as Spark does it; in several files, merged.

    Each file has half of what the ones before it left, and values of its own, so that one which is
    weighed wrongly tells.
    """
    data = np.asarray(values, dtype=np.float64)
    if files > 1:
        parts = [numeric(part, name=name, type=type) for part in halved(np.sort(data), files)]
        return profile.merge([*parts, numeric([], nulls=nulls, name=name, type=type)])
    full = len(data) > 0
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(((data - data.mean()) ** 2).sum()) if full else math.nan
    finite = math.isfinite(spread)
    sketch = datasketches.kll_doubles_sketch(scan.K)
    sketch.update(data)
    return Profile(
        name,
        type,
        "numeric",
        rows=len(data) + nulls,
        nulls=nulls,
        min=float(data.min()) if full else None,
        max=float(data.max()) if full else None,
        mean=float(data.mean()) if finite else None,
        spread=spread if finite else None,
        sketch=sketch.serialize() if full else None,
        counts=listed(Counter(map(repr, data.tolist()))),
        registers=registers(map(repr, data.tolist())),
    )


def halved(rows: npt.NDArray[Any], files: int) -> list[npt.NDArray[Any]]:
    """Rows in so many files, each with half of what the ones before it left."""
    return np.split(rows, [len(rows) - (len(rows) >> place) for place in range(1, files)])


def words(
    counts: Mapping[str, int], *, nulls: int = 0, name: str = "w", type: str = "string"
) -> Profile:
    """A column of words, by the rows of each."""
    rows = sum(counts.values())
    return Profile(
        name,
        type,
        "categorical",
        rows=rows + nulls,
        nulls=nulls,
        counts=listed(counts),
        registers=registers(counts) if counts else None,
    )


def listed(counts: Mapping[str, int]) -> Counts:
    """What is kept of the counts."""
    if len(counts) <= scan.TOP:
        return Counts(dict(counts))
    limit = -(-sum(counts.values()) // 1000)
    most = sorted(counts.items(), key=lambda pair: -pair[1])[: scan.TOP + 1]
    return Counts(dict(pair for pair in most if pair[1] >= limit), max(most[-1][1], limit))


def registers(values) -> bytes:
    sketch = datasketches.hll_sketch(12, datasketches.tgt_hll_type.HLL_8)
    for value in values:
        sketch.update(value)
    return bytes(sketch.serialize_compact())
