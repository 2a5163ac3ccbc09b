"""Sketches outside Spark: merge them, and read them as a distribution, a count or a set of values.

Numbers: KLL (Karnin, Lang & Liberty 2016); different values: HyperLogLog (Flajolet et al. 2007);
frequent values: counts with a bound on what they leave out, which add up (Agarwal et al. 2013,
*Mergeable summaries*). Spark builds them; Apache DataSketches, which Spark uses, reads them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import datasketches
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SURE = 1.5
"""DataSketches gives the error that 99 % of sketches keep; the error being close to normal, half
as much again is kept by 9,999 of 10,000."""

_LG = 12

_MOST = 1000
"""Values kept of merged counts; of more, those with a thousandth of the rows."""


@dataclass(frozen=True)
class Distribution:
    """Numbers with the share of each: all there are, or a sample that stands for them."""

    points: Floats
    """Ascending, each once."""
    shares: Floats
    """Of the same length; they sum to 1."""
    error: float = 0.0
    """Within this the share of values at or below any point is right, and so is the share between
    two points, for which DataSketches tells it; 0 if all are there."""

    @classmethod
    def of(cls, values: Iterable[float], weights: Iterable[float] | None = None) -> Distribution:
        """The distribution of values, as they are or weighted."""
        data = np.asarray(list(values), dtype=np.float64)
        mass = np.ones(len(data)) if weights is None else np.asarray(list(weights), np.float64)
        points, place = np.unique(data, return_inverse=True)
        sums = np.bincount(place, weights=mass, minlength=len(points))
        return cls(points, sums / sums.sum())

    @cached_property
    def _cumulative(self) -> Floats:
        found = np.minimum(np.cumsum(self.shares), 1.0)
        found[-1:] = 1.0  # whatever rounding left
        return found

    def ranks(self, points: Sequence[float] | Floats) -> Floats:
        """Share of the values at or below each point."""
        place = np.searchsorted(self.points, np.asarray(points, np.float64), side="right")
        found: Floats = np.concatenate([[0.0], self._cumulative])[place]
        return found

    def below(self, point: float) -> float:
        """Share of the values below a point."""
        place = int(np.searchsorted(self.points, point, side="left"))
        return float(self._cumulative[place - 1]) if place else 0.0

    def quantiles(self, ranks: Sequence[float]) -> list[float]:
        """The smallest values that have at least these ranks (0 to 1)."""
        wanted = np.asarray(ranks, np.float64) - 1e-12
        place = np.searchsorted(self._cumulative, wanted, side="left")
        return [float(value) for value in self.points[np.minimum(place, len(self.points) - 1)]]

    def between(self, edges: Sequence[float]) -> list[float]:
        """Share of the values in (−∞, e₁], (e₁, e₂], …, (eₙ, ∞); edges ascend."""
        ranks = [0.0, *self.ranks(edges), 1.0]
        return [float(high - low) for low, high in pairwise(ranks)]


@dataclass(frozen=True)
class Counts:
    """Rows a value. What is not listed has at most ``unlisted`` rows a value; 0: all are listed."""

    values: Mapping[str, int]
    unlisted: int = 0
    excess: int = 0
    """A listed count may be too high by so many rows."""
    short: Mapping[str, int] = field(default_factory=dict)
    """By so many rows a count may be too low, if not 0: some of those it was merged of did not list
    the value.
    """

    @property
    def complete(self) -> bool:
        """Whether every value is listed, with its exact count."""
        return not (self.unlisted or self.excess)


def quantiles(sketch: bytes) -> Distribution:
    """What a KLL sketch with at least one value says."""
    found = datasketches.kll_doubles_sketch.deserialize(sketch)
    # Not the weights that iteration gives: they are all 1 where the lowest level is empty.
    points = np.unique(np.fromiter((value for value, _ in found), np.float64))
    shares = np.asarray(found.get_pmf(points, True))[:-1]
    error = _SURE * found.normalized_rank_error(True) if found.is_estimation_mode() else 0.0
    return Distribution(points, shares, error)


def merge_quantiles(sketches: Sequence[bytes]) -> bytes | None:
    """One KLL sketch for all; None for none."""
    if len(sketches) < 2:
        return sketches[0] if sketches else None
    merged = datasketches.kll_doubles_sketch.deserialize(sketches[0])
    for each in sketches[1:]:
        merged.merge(datasketches.kll_doubles_sketch.deserialize(each))
    return bytes(merged.serialize())


def merge_distinct(sketches: Sequence[bytes]) -> bytes | None:
    """One HyperLogLog sketch for all; None for none."""
    if len(sketches) < 2:
        return sketches[0] if sketches else None
    union = datasketches.hll_union(_LG)
    for each in sketches:
        union.update(datasketches.hll_sketch.deserialize(each))
    return bytes(union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_compact())


def distinct(sketch: bytes) -> int:
    """How many different values a HyperLogLog sketch has seen, about."""
    estimate: float = datasketches.hll_sketch.deserialize(sketch).get_estimate()
    return round(estimate)


def distinct_error(sketch: bytes) -> float:
    """The share by which that may be wrong, at three standard deviations."""
    found = datasketches.hll_sketch.deserialize(sketch)
    estimate = found.get_estimate()
    return float((found.get_upper_bound(3) - found.get_lower_bound(3)) / 2 / max(estimate, 1.0))


def merge_counts(counts: Sequence[Counts]) -> Counts:
    """Counts of all together: what one does not list adds to the bound of what it leaves out."""
    values: dict[str, int] = {}
    sure: dict[str, int] = {}
    for each in counts:
        for value, rows in each.values.items():
            values[value] = values.get(value, 0) + rows
            if each.unlisted:
                sure[value] = sure.get(value, 0) + each.unlisted - each.short.get(value, 0)
    unlisted, excess = sum(c.unlisted for c in counts), sum(c.excess for c in counts)
    short = {value: unlisted - sure.get(value, 0) for value in values} if unlisted else {}
    if len(values) > _MOST:
        # Many small files list all their values; what is kept must not grow with the rows.
        limit = sum(values.values()) / _MOST
        dropped = max(rows for rows in values.values() if rows < limit)
        values = {value: rows for value, rows in values.items() if rows >= limit}
        unlisted += dropped
    return Counts(values, unlisted, excess, {v: rows for v in values if (rows := short.get(v, 0))})
