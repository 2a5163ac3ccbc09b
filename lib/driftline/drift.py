"""Statistics between two profiles: plain functions of floats, and what they say about a table.

PSI: Σ (q − p) ln(q / p) over bins (Siddiqi 2006, *Credit Risk Scorecards*). JS: square root of the
Jensen–Shannon divergence, base 2, from 0 to 1 (Endres & Schindelin 2003). KS: the largest
difference of the two distribution functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.spatial.distance import jensenshannon

from driftline import profile
from driftline.profile import Profile
from driftline.sections import Drift

_FLOOR = 1e-4
"""An empty bin counts as this share, or PSI would be infinite."""

_POINTS = [place / 200 for place in range(1, 200)]


@dataclass(frozen=True)
class Statistic:
    """One statistic of one column (``*``: of the table), with its verdict."""

    column: str
    statistic: str
    value: float
    threshold: float | None
    detail: str

    @property
    def drifted(self) -> bool:
        """Whether the value has reached its threshold."""
        return self.threshold is not None and self.value >= self.threshold


def psi(reference: Sequence[float], current: Sequence[float]) -> float:
    """Population stability index of two distributions over the same bins."""
    floored = [(max(p, _FLOOR), max(q, _FLOOR)) for p, q in zip(reference, current, strict=True)]
    return math.fsum((q - p) * math.log(q / p) for p, q in floored)


def js(reference: Sequence[float], current: Sequence[float]) -> float:
    """Jensen–Shannon distance of two distributions over the same bins, from 0 to 1."""
    distance = float(jensenshannon(list(reference), list(current), base=2))
    return 0.0 if math.isnan(distance) else distance


def ks(reference: Profile, current: Profile) -> float:
    """Kolmogorov–Smirnov statistic of two numeric columns, at 199 quantiles of each."""
    points = sorted({*reference.quantiles(_POINTS), *current.quantiles(_POINTS)})
    pairs = zip(reference.ranks(points), current.ranks(points), strict=True)
    return max(abs(p - q) for p, q in pairs)


def compare(
    reference: Mapping[str, Profile], current: Mapping[str, Profile], rule: Drift
) -> list[Statistic]:
    """All statistics of a table: its schema first, then column by column."""
    found = [_schema(reference, current)]
    for name, before in reference.items():
        after = current.get(name)
        if after is not None and after.type == before.type and before.kind != "skipped":
            found += _column(before, after, rule)
    return found


def _schema(reference: Mapping[str, Profile], current: Mapping[str, Profile]) -> Statistic:
    lost = [name for name in reference if name not in current]
    new = [name for name in current if name not in reference]
    retyped = [
        f"{name} {reference[name].type} → {current[name].type}"
        for name in reference
        if name in current and current[name].type != reference[name].type
    ]
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (("lost", lost), ("new", new), ("type", retyped))
        if names
    ]
    changes = len(lost) + len(new) + len(retyped)
    return Statistic("*", "schema", float(changes), 1.0, "; ".join(parts) or "same columns")


def _column(before: Profile, after: Profile, rule: Drift) -> list[Statistic]:
    name = before.column
    difference = abs(after.null_rate - before.null_rate)
    said = f"{before.null_rate:.1%} → {after.null_rate:.1%} null"
    if bool(before.rows) != bool(after.rows):
        difference, said = 1.0, f"{before.rows} → {after.rows} rows: nothing to compare"
    found = [Statistic(name, "null_rate", difference, rule.null_rate, said)]
    if before.is_empty or after.is_empty:
        return found
    if before.kind == "numeric":
        bins = profile.edges(before)
        p, q = before.shares(bins), after.shares(bins)
        mean = f"mean {before.mean:.4g} → {after.mean:.4g}"
        found.append(Statistic(name, "ks", ks(before, after), rule.ks, mean))
    else:
        mean = f"{before.distinct} → {after.distinct} distinct values"
        if max(before.distinct or 0, after.distinct or 0) > profile.TOP:
            # Most values are outside the profile, or every row has its own: no distribution.
            return found
        p, q, detail, unseen = _categories(before, after)
        found.append(Statistic(name, "categories", unseen, rule.null_rate, detail))
    found.append(Statistic(name, "psi", psi(p, q), rule.psi, mean))
    found.append(Statistic(name, "js", js(p, q), rule.js, mean))
    return found


def _categories(before: Profile, after: Profile) -> tuple[list[float], list[float], str, float]:
    """Shares over the union of categories, the rest as one; what is new or lost, and its share."""
    p_counts, q_counts = before.categories or {}, after.categories or {}
    names = sorted({*p_counts, *q_counts})

    def shares(column: Profile, counts: Mapping[str, int]) -> list[float]:
        total = column.rows - column.nulls
        known = [counts.get(name, 0) / total for name in names]
        return [*known, max(0.0, 1.0 - sum(known))]

    new = [name for name in names if name not in p_counts]
    lost = [name for name in names if name not in q_counts]
    p, q = shares(before, p_counts), shares(after, q_counts)
    unseen = math.fsum(q[names.index(name)] for name in new)
    parts = [
        f"{word} {', '.join(some[:5])}" + (f" and {len(some) - 5} more" if len(some) > 5 else "")
        for word, some in (("new", new), ("lost", lost))
        if some
    ]
    return p, q, "; ".join(parts) or "same categories", unseen
