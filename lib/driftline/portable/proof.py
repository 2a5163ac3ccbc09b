"""Do the portable model and Spark's score alike? Rows to ask both, and the comparison.

Simulated rows lie where two implementations part: at thresholds of trees and the doubles beside
them (a million rows draw each of MLlib's, and a third of a large forest's), at the ends of
clipping, at null, NaN, infinities, the smallest and largest numbers, unseen and missing words; half
of the numbers are anywhere in the training range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.portable.numbers import Floats, Model, Trees
from driftline.prepare import Preparation
from driftline.serving.facts import Column

TOLERANCE = 1e-6
"""Largest difference allowed; of the score itself where that is beyond ±1."""

_NAMED = 5
"""So many of the rows that differ are named."""


@dataclass(frozen=True)
class Proof:
    """How two scores of the same rows differ."""

    rows: int
    beyond: int
    largest: float
    named: tuple[str, ...]
    failed: str = ""
    """The condition with which Spark's own model refused a row."""

    @property
    def holds(self) -> bool:
        """Whether there were rows, and none differs by more than :data:`TOLERANCE`."""
        return self.rows > 0 and self.beyond == 0 and not self.failed

    def __add__(self, other: Proof) -> Proof:
        return Proof(
            self.rows + other.rows,
            self.beyond + other.beyond,
            max(self.largest, other.largest),
            (*self.named, *other.named)[:_NAMED],
            self.failed or other.failed,
        )


NOTHING = Proof(0, 0, 0.0, ())


def compare(spark: Floats, portable: Floats, names: Sequence[object]) -> Proof:
    """Compare scores row by row; a NaN equals a NaN only. ``names`` say which row is which."""
    if len(spark) != len(portable):
        raise ValueError(f"{len(spark)} scores beside {len(portable)}")
    with np.errstate(invalid="ignore"):
        apart = np.abs(spark - portable)
        same = (spark == portable) | (np.isnan(spark) & np.isnan(portable))
        apart[same] = 0.0
        apart[np.isnan(apart)] = np.inf
        beyond = np.flatnonzero(apart > TOLERANCE * np.fmax(1.0, np.abs(spark)))
    largest = float(apart.max()) if len(apart) else 0.0
    named = tuple(str(names[place]) for place in beyond[:_NAMED])
    return Proof(len(spark), len(beyond), largest, named)


def simulate(
    preparation: Preparation,
    model: Model,
    columns: Sequence[Column],
    *,
    rows: int,
    seed: int,
) -> pa.Table:
    """Rows of the feature columns, see above; equal arguments give equal rows."""
    random = np.random.default_rng(seed)
    cuts = _thresholds(preparation, model)
    made: dict[str, Any] = {}
    taken = np.zeros(rows, bool)
    for column in columns:
        if column.is_word:
            made[column.name] = _words(random, column.words, rows)
            continue
        numbers = _numbers(random, column, cuts.get(column.name, []), rows)
        if column.type == "double":
            # The sum of two such numbers depends on the order in which others are added to it.
            values = np.abs(numbers.to_numpy(zero_copy_only=False))
            huge = (values > _HUGE) & (values < np.inf)
            numbers = pc.if_else(pa.array(huge & taken), 0.0, numbers)
            taken |= huge
        made[column.name] = numbers
    return pa.table(made)


def _thresholds(preparation: Preparation, model: Model) -> dict[str, list[float]]:
    """Where the model's decisions lie on each number column, in the column's own unit."""
    cuts: dict[str, list[float]] = {}
    for place, rule in enumerate(preparation.numeric):
        found = [rule.fill, rule.center, *(x for x in (rule.low, rule.high) if x is not None)]
        if isinstance(model, Trees):
            at = model.threshold[(model.left >= 0) & (model.feature == place)]
            steps = np.arange(-2, 3)[:, None] * np.spacing(at)  # doubles beside it, once scaled
            found += ((at + steps) * rule.scale + rule.center).ravel().tolist()
        cuts[rule.column] = found
    return cuts


_HUGE = 1e300
"""At most one number of a row is beyond this."""

_ODD = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 2.0**53)


def _numbers(
    random: np.random.Generator, column: Column, cuts: Sequence[float], rows: int
) -> pa.Array:
    null = random.random(rows) < 0.05
    if column.type == "boolean":
        return pa.array(random.random(rows) < 0.5, mask=null)
    known = np.asarray([*column.edges, *cuts], np.float64)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    with np.errstate(over="ignore"):
        reach = 0.1 * (high - low) if np.isfinite(high - low) else 0.0
        anywhere = low - reach + random.random(rows) * (high - low + 2 * reach)
    beside = [known, np.nextafter(known, np.inf), np.nextafter(known, -np.inf)]
    pool = np.concatenate([*beside, np.floor(known), np.ceil(known), _ODD])
    values = np.where(random.random(rows) < 0.5, random.choice(pool, rows), anywhere)
    if column.type == "bigint":
        values = np.nan_to_num(values, nan=0.0, posinf=2.0**53, neginf=-(2.0**53))
        return pa.array(np.clip(values, -(2.0**62), 2.0**62).astype(np.int64), mask=null)
    return pa.array(values, mask=null, from_pandas=False)


_STRANGE = ("", " ", "never seen", "größe", "'", "\\", "😀", "a" * 300)


def _words(random: np.random.Generator, known: Sequence[str], rows: int) -> pa.Array:
    pool: npt.NDArray[np.object_] = np.asarray([*known, *known, *_STRANGE, None], object)
    return pa.array(pool[random.integers(0, len(pool), rows)], pa.string())
