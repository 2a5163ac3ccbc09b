"""Statistics between two distributions: plain functions of floats, each with its source and bound.

Shares are given over the same bins or categories and sum to 1. A *bound* says how far a statistic
may be from the one on the data themselves, given how far each share may be (its ``off``): what
sketches leave open, not chance; chance is :func:`chi_square_p` and :func:`ks_p`. With ``others``
the last share is of all values that are not listed: nobody knows which of them both sides have.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline.sketches import Distribution

Shares = Sequence[float]
Off = tuple[Shares, Shares]

_EXPECTED = 5

FLOOR = 1e-4
"""An empty bin counts as this share in PSI, or it would be infinite."""


def psi(p: Shares, q: Shares) -> float:
    """Population stability index: Σ (q − p) ln(q / p) (Siddiqi 2006, *Credit Risk Scorecards*)."""
    return math.fsum(_psi(a, b) for a, b in zip(p, q, strict=True))


def js(p: Shares, q: Shares) -> float:
    """Jensen–Shannon distance, base 2, from 0 to 1 (Endres & Schindelin 2003)."""
    distance = float(jensenshannon(list(p), list(q), base=2))
    return 0.0 if math.isnan(distance) else distance


def total_variation(p: Shares, q: Shares) -> float:
    """Half of Σ |q − p|: the share that would have to move (Levin & Peres 2017, 4.2)."""
    return math.fsum(abs(b - a) for a, b in zip(p, q, strict=True)) / 2


def cramers_v(p: Shares, q: Shares, rows: tuple[float, float]) -> float:
    """Cramér's V of side against category, from 0 to 1 (Cramér 1946): √(χ² / rows)."""
    return math.sqrt(chi_square(p, q, rows) / sum(rows))


def chi_square(p: Shares, q: Shares, rows: tuple[float, float]) -> float:
    """Pearson's χ² of the table of counts, without a correction for continuity (Pearson 1900)."""
    weight = _weights(rows)
    return sum(rows) * math.fsum(_chi(a, b, weight) for a, b in zip(p, q, strict=True))


def ks(a: Distribution, b: Distribution) -> float:
    """Kolmogorov–Smirnov: the largest difference of the distribution functions (Smirnov 1939)."""
    points = np.concatenate([a.points, b.points])
    return float(np.max(np.abs(a.ranks(points) - b.ranks(points))))


def wasserstein(a: Distribution, b: Distribution, scale: float) -> float:
    """Wasserstein-1 distance (Villani 2009, 2.18) over ``scale``: the reference's deviation."""
    return float(stats.wasserstein_distance(a.points, b.points, a.shares, b.shares)) / scale


def wasserstein_off(a: Distribution, mean: float, least: float, most: float) -> float:
    """How far a sketch may be from its column in Wasserstein distance, given what is exact of it.

    The functions differ by at most ``error``, from the least value to the largest. Where few values
    are far out, the exact mean says more: ∫ (1 − F) beyond t is mean − t + ∫ F below t.
    """
    if not a.error:
        return 0.0
    points = np.concatenate([[least], a.points, [most]])  # a sketch may have dropped the ends
    below = np.concatenate([[0.0], np.minimum(np.cumsum(a.shares), 1.0)])
    gaps = np.diff(points)
    bias = mean - float(np.dot(a.points, a.shares))
    above = np.append(np.cumsum((gaps * (1 - below))[::-1])[::-1], 0.0)
    under = np.append(0.0, np.cumsum(gaps * below))
    near, far = a.error * (points - least), a.error * (most - points)
    right = near + above + np.maximum(0.0, near + bias + above)
    left = far + under + np.maximum(0.0, far - bias + under)
    return float(min(a.error * (most - least), right.min(), left.min()))


def psi_bound(p: Shares, q: Shares, off: Off, *, others: bool = False) -> float:
    """How far :func:`psi` may be off."""
    value = psi(p, q)
    low, high = _between(_psi, p, q, off, others=others)
    if others:  # as many values, each too rare to count at all
        low, _ = _between(_psi, p[:-1], q[:-1], (off[0][:-1], off[1][:-1]))
    return max(high - value, value - low)


def js_bound(p: Shares, q: Shares, off: Off, *, others: bool = False) -> float:
    """How far :func:`js` may be off."""
    low, high = _between(_js, p, q, off, others=others)
    value = js(p, q)
    return max(min(1.0, math.sqrt(high)) - value, value - math.sqrt(low), 0.0)


def total_variation_bound(p: Shares, q: Shares, off: Off, *, others: bool = False) -> float:
    """How far :func:`total_variation` may be off."""
    low, high = _between(lambda a, b: abs(b - a) / 2, p, q, off, others=others)
    value = total_variation(p, q)
    return max(min(1.0, high) - value, value - low, 0.0)


def cramers_v_bound(
    p: Shares, q: Shares, rows: tuple[float, float], off: Off, *, others: bool = False
) -> float:
    """How far :func:`cramers_v` may be off."""
    low, high = (
        math.sqrt(each / sum(rows)) for each in chi_square_range(p, q, rows, off, others=others)
    )
    value = cramers_v(p, q, rows)
    return max(high - value, value - low, 0.0)


def chi_square_range(
    p: Shares, q: Shares, rows: tuple[float, float], off: Off, *, others: bool = False
) -> tuple[float, float]:
    """The least and the largest χ² there may be."""
    weight = _weights(rows)
    low, high = _between(lambda a, b: _chi(a, b, weight), p, q, off, others=others)
    return sum(rows) * low, sum(rows) * min(high, 1.0)


def chi_square_p(value: float, categories: int) -> float:
    """How likely χ² is at least this when both sides are alike."""
    return float(stats.chi2.sf(value, max(1, categories - 1)))


def two_shares_p(counts: tuple[float, float], rows: tuple[int, int]) -> float:
    """How likely two counts out of so many rows are this far apart when both sides are alike.

    χ² of the 2 × 2 table; where it expects fewer than five (Cochran 1954), the exact test of
    Fisher (1922), two-sided by doubling.
    """
    total, hits = sum(rows), sum(counts)
    if not 0 < hits < total:
        return 1.0
    least = min(rows) * min(hits, total - hits) / total
    p, q = (count / n for count, n in zip(counts, rows, strict=True))
    if least >= _EXPECTED:
        return chi_square_p(chi_square([p, 1 - p], [q, 1 - q], rows), 2)
    many, n = round(hits), rows[1]
    k = many - round(counts[0])
    tails = stats.hypergeom.cdf(k, total, many, n), stats.hypergeom.sf(k - 1, total, many, n)
    return float(min(1.0, 2 * min(tails)))


def counts_p(counts: tuple[int, int], over: tuple[int, int] = (1, 1)) -> float:
    """How likely two counts are this far apart when as many come at a time, independently.

    ``over`` is how many times each was counted. The exact test of two Poisson means (Przyborowski &
    Wilenski 1940), two-sided by doubling.
    """
    one, both, share = counts[0], sum(counts), over[0] / sum(over)
    tails = stats.binom.cdf(one, both, share), stats.binom.sf(one - 1, both, share)
    return float(min(1.0, 2 * min(tails)))


def left_out_p(seen: Mapping[str, int], now: Mapping[str, int], rows: tuple[int, int]) -> float:
    """How likely so many rows of ``now`` are of values that ``seen`` lacks when both are alike.

    Had all rows been dealt out, a value of c rows would be left out of the first side as often as
    c draws without putting back miss it (hypergeometric); the sum over values is taken as normal.
    """
    counts = Counter(seen) + Counter(now)
    c = np.array(list(counts.values()), np.float64)
    miss = stats.hypergeom.pmf(0, sum(rows), rows[0], c)
    expected, variance = float(c @ miss), float(c**2 @ (miss * (1 - miss)))
    more = sum(count for name, count in now.items() if name not in seen) - expected
    return float(stats.norm.sf(more / math.sqrt(variance))) if variance else float(more <= 0)


def pooled(
    p: Shares, q: Shares, off: Off, rows: tuple[float, float]
) -> tuple[list[float], list[float], tuple[list[float], list[float]]]:
    """The same with the categories as one of which fewer than five rows are expected on a side.

    With fewer, χ² is larger by chance than its distribution says (Cochran 1954).
    """
    weight = _weights(rows)
    columns = list(zip(p, q, *off, strict=True))
    large = [(weight[0] * a + weight[1] * b) * min(rows) >= _EXPECTED for a, b, _, _ in columns]
    kept = [each for each, keep in zip(columns, large, strict=True) if keep]
    rest = [each for each, keep in zip(columns, large, strict=True) if not keep]
    if rest:
        kept.append(tuple(math.fsum(part) for part in zip(*rest, strict=True)))  # type: ignore
    a, b, c, d = (list(side) for side in zip(*kept, strict=True))
    return a, b, (c, d)


def ks_p(value: float, rows: tuple[float, float]) -> float:
    """How likely KS is at least this when both sides are alike (SciPy's asymptotic method)."""
    if value <= 0:
        return 1.0
    effective = rows[0] * rows[1] / sum(rows)
    return float(stats.kstwobign.sf(math.sqrt(effective) * value))


def _psi(p: float, q: float) -> float:
    p, q = max(p, FLOOR), max(q, FLOOR)
    return (q - p) * math.log(q / p)


def _js(p: float, q: float) -> float:
    middle = (p + q) / 2
    return sum(each / 2 * math.log2(each / middle) for each in (p, q) if each > 0)


def _chi(p: float, q: float, weight: tuple[float, float]) -> float:
    pooled = weight[0] * p + weight[1] * q
    return weight[0] * weight[1] * (p - q) ** 2 / pooled if pooled else 0.0


def _weights(rows: tuple[float, float]) -> tuple[float, float]:
    return rows[0] / sum(rows), rows[1] / sum(rows)


def _between(
    term: Callable[[float, float], float], p: Shares, q: Shares, off: Off, *, others: bool = False
) -> tuple[float, float]:
    """The least and the largest sum of terms while each share stays within its ``off``.

    Each term is convex in both shares and 0 where they are equal: its largest value is at a corner
    of what is possible, its least where the shares come nearest. Of ``others`` it is the largest
    where no value is on both sides.
    """
    low, high = [], []
    for a, b, da, db in zip(p, q, *off, strict=True):
        ranges = [(max(0.0, v - d), min(1.0, v + d)) for v, d in ((a, da), (b, db))]
        corners = [term(x, y) for x, y in product(*ranges)]
        high.append(max(corners))
        (a_low, a_high), (b_low, b_high) = ranges
        apart = a_high < b_low or b_high < a_low
        nearest = (a_high, b_low) if a_high < b_low else (a_low, b_high)
        low.append(min(term(*nearest), *corners) if apart else 0.0)
    if others:
        high[-1] = term(a_high, 0.0) + term(0.0, b_high)
    return math.fsum(low), math.fsum(high)
