"""What changed between two profiles of a table: which statistics a column of each kind has."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from driftline import categories, distances, profile, sketches
from driftline.profile import Field, Profile
from driftline.sections import Drift

_COVERED = 0.5
"""Where listed values hold less of the rows than this, there is no distribution to compare."""

_CALENDAR = {"hour": (3_600, 24), "weekday": (86_400, 7)}
"""Seconds of one, and after how many they come again."""


@dataclass(frozen=True)
class Statistic:
    """One statistic of one column (``*``: of the table), with its verdict."""

    column: str
    statistic: str
    value: float
    threshold: float | None
    detail: str
    bound: float = 0.0
    """How far the value may be from that of the data, for what sketches leave open."""
    p: float | None = None
    """How likely such a value is when nothing changed."""
    drifted: bool = False
    segment: str = ""
    """``column=value`` or ``column is null``: the rows that were compared, where not all were."""
    rows: int = 0
    """Of a volume: the rows of the current side."""
    pace: tuple[float, float] = (0.0, 0.0)
    """Of freshness: by how many days the newest time moved on, in how many between the versions."""

    @property
    def reached(self) -> bool:
        """Whether the value has reached its threshold."""
        return self.threshold is not None and self.value >= self.threshold

    @property
    def path(self) -> str:
        """Column and statistic; the statistic alone where it is the table's."""
        return self.statistic if self.column == "*" else f"{self.column}/{self.statistic}"

    @property
    def cells(self) -> tuple[object, ...]:
        """Its part of a row of ``ops.drift`` and of ``ops.skew``, in their order."""
        numbers = (self.value, self.bound, self.threshold, self.p)
        return (self.column, self.statistic, *numbers, self.drifted, self.detail)


def compare(
    reference: Mapping[str, Profile],
    current: Mapping[str, Profile],
    rule: Drift,
    *,
    keys: Collection[str] = (),
    segment: str = "",
) -> list[Statistic]:
    """All statistics of the columns that both sides have, column by column, without verdicts.

    By name: what was renamed in between goes by the new one, see :func:`profile.renamed`. Of
    ``keys``, columns of values that are others in any rows, only nulls are compared.

    Times move on by nature, so all but their nulls has no threshold; nor have their hours and
    weekdays where the two sides are of such spans that those differ by the calendar alone.
    """
    found: list[Statistic] = []
    for name, before in reference.items():
        after = current.get(name)
        if after is None:
            continue
        alike = profile.family(before.type) == profile.family(after.type)
        if "skipped" in (before.kind, after.kind) or not alike:
            what = f"{before.type} is not profiled"
            if not alike:
                what = f"{before.type} → {after.type}: no comparison"
            found.append(Statistic(name, "skipped", 0.0, None, what))
            continue
        if before.column in keys:
            if not before.part:
                said = "a key or a time: only its nulls are compared"
                found.append(_nulls(before, after, rule))
                found.append(Statistic(name, "skipped", 0.0, None, said))
            continue
        told = _column(before, after, rule)
        if before.is_time or _calendars_differ(before, reference, current, rule):
            told = [
                each if each.statistic == "null_rate" else replace(each, threshold=None)
                for each in told
            ]
        found += told
    return [replace(each, segment=segment) for each in found] if segment else found


def schema(reference: Sequence[Field], current: Sequence[Field]) -> Statistic:
    """What happened to the columns themselves; one that was renamed is neither lost nor new."""
    before, after = ({each.key: each for each in side} for side in (reference, current))
    both = [(before[key], after[key]) for key in before if key in after]
    said = {
        "lost": [each.name for key, each in before.items() if key not in after],
        "new": [each.name for key, each in after.items() if key not in before],
        "renamed": [f"{a.name} → {b.name}" for a, b in both if a.name != b.name],
        "type": [f"{b.name} {a.type} → {b.type}" for a, b in both if a.type != b.type],
    }
    detail = "; ".join(f"{word} {', '.join(names)}" for word, names in said.items() if names)
    changes = sum(map(len, said.values()))
    detail = detail or "same columns"
    return Statistic("*", "schema", float(changes), 1.0, detail)


def volume(before: int, after: int, threshold: float | None = None) -> Statistic:
    """By which share the rows grew or shrank."""
    change = abs(after / before - 1) if before else float(after > 0)
    said, p = f"{before:,} → {after:,} rows", distances.counts_p((before, after))
    return Statistic("*", "volume", change, threshold, said, p=p, rows=after)


def _calendars_differ(
    part: Profile, reference: Mapping[str, Profile], current: Mapping[str, Profile], rule: Drift
) -> bool:
    """Whether hours or weekdays would be called drift had each one in the sides' spans as many rows
    as any other.
    """
    if part.part not in _CALENDAR:
        return False
    times = [side.get(replace(part, part="").name) for side in (reference, current)]
    spans = [_calendar(each, *_CALENDAR[part.part]) for each in times if each and not each.is_empty]
    return len(spans) == 2 and (
        distances.js(*spans) >= rule.js or distances.psi(*spans) >= rule.psi
    )


def _calendar(time: Profile, unit: int, cycle: int) -> list[float]:
    """How often each hour or weekday was, from the first to the last percent of the rows."""
    low, high = (math.floor(each / unit) for each in time.distribution.quantiles([0.01, 0.99]))
    each, more = divmod(high - low + 1, cycle)
    counts = [each + ((place - low) % cycle < more) for place in range(cycle)]
    return [count / (high - low + 1) for count in counts]


def _column(before: Profile, after: Profile, rule: Drift) -> list[Statistic]:
    name = before.name
    if before.part:
        if before.is_empty or after.is_empty:
            return []  # said of the column itself
        return (
            _numbers(before, after, rule)
            if before.kind == "numeric"
            else _words(before, after, rule)
        )
    found = [_nulls(before, after, rule)]
    if before.is_empty or after.is_empty:
        return found
    found += _cardinality(before, after)
    if before.kind == "numeric":
        found += _numbers(before, after, rule)
    elif min(categories.listed(each) for each in (before, after)) >= _COVERED:
        found += _words(before, after, rule)
    else:
        said = "most values are too rare to be listed: no distribution"
        found.append(Statistic(name, "skipped", 0.0, None, said))
    return found


def _nulls(before: Profile, after: Profile, rule: Drift) -> Statistic:
    difference = abs(after.null_rate - before.null_rate)
    said = f"{before.null_rate:.1%} → {after.null_rate:.1%} null"
    if not (before.rows and after.rows):
        gone = bool(before.rows) != bool(after.rows)
        said = f"{before.rows} → {after.rows} rows: nothing to compare"
        return Statistic(
            before.name, "null_rate", float(gone), rule.null_rate, said, p=0.0 if gone else 1.0
        )
    p = distances.two_shares_p((before.nulls, after.nulls), (before.rows, after.rows))
    return Statistic(before.name, "null_rate", difference, rule.null_rate, said, p=p)


def _cardinality(before: Profile, after: Profile) -> list[Statistic]:
    if before.distinct is None or after.distinct is None or not before.distinct:
        return []
    change = after.distinct / before.distinct
    off = [_distinct_error(each) for each in (before, after)]
    bound = change * ((1 + off[1]) / max(1 - off[0], 1e-9) - 1)
    said = f"{before.distinct:,} → {after.distinct:,} distinct values"
    return [Statistic(before.name, "cardinality", abs(change - 1), None, said, bound)]


def _distinct_error(column: Profile) -> float:
    if column.enumerated or column.registers is None:
        return 0.0
    return sketches.distinct_error(column.registers)


def _numbers(before: Profile, after: Profile, rule: Drift) -> list[Statistic]:
    name, rows = before.name, (before.filled, after.filled)
    said = f"mean {_short(before, before.mean)} → {_short(after, after.mean)}"
    a, b = before.distribution, after.distribution
    open_ = a.error + b.error
    ks = distances.ks(a, b)
    chance = distances.ks_p(ks - open_, rows)
    found = [Statistic(name, "ks", ks, rule.ks, said, open_, chance)]
    if before.deviation and before.mean is not None and after.mean is not None:
        scale = before.deviation
        off = _wasserstein_off(before) + _wasserstein_off(after)
        value = distances.wasserstein(a, b, scale)
        found.append(
            Statistic(name, "wasserstein", value, rule.wasserstein, said, off / scale, chance)
        )
    assert before.min is not None and before.max is not None
    outside = b.below(before.min) + 1 - float(b.ranks([before.max])[0])
    spans = (f"{_short(each, each.min)} … {_short(each, each.max)}" for each in (before, after))
    span = " → ".join(spans)
    found.append(Statistic(name, "range", outside, None, span, b.error))
    if categories.few(before) and categories.few(after):
        return found + _words(before, after, rule)
    edges = profile.edges(a)
    p, q = a.between(edges), b.between(edges)
    off_ = ([a.error] * len(p), [b.error] * len(q))
    return found + _shares(name, p, q, off_, rows, rule, said)


def _wasserstein_off(column: Profile) -> float:
    assert column.mean is not None and column.min is not None and column.max is not None
    return distances.wasserstein_off(column.distribution, column.mean, column.min, column.max)


def _words(before: Profile, after: Profile, rule: Drift) -> list[Statistic]:
    """Over the union of the listed values, the rest as one; and what is new or lost."""
    names, (p, p_off), (q, q_off) = categories.shares(before, after)
    rows = (before.filled, after.filled)
    new = categories.unseen(before, after)
    lost = categories.unseen(after, before)
    parts = []
    for word, (some, share, *_) in (("new", new), ("lost", lost)):
        if some:
            first = ", ".join(_word(before, each) for each in some[:5])
            parts.append(f"{word} {first}" + (f" and {len(some) - 5} more" if some[5:] else ""))
        elif share:
            parts.append(f"{word} values of at least {share:.1%} of the rows")
    detail = "; ".join(parts) or "same categories"
    found = [
        Statistic(before.name, which, value, rule.categories, detail, off, chance)
        for which, (_, value, off, chance) in (("new", new), ("lost", lost))
    ]
    said = f"{before.distinct:,} → {after.distinct:,} distinct values" if before.distinct else ""
    moved = max(range(len(names)), key=lambda place: abs(q[place] - p[place]), default=None)
    if moved is not None:
        before_, after_ = (categories.said(each, names[moved]) for each in (before, after))
        said = f"{_word(before, names[moved])}: {before_} → {after_}"
    (one, one_off), (other, other_off) = categories.together(before, after)
    apart = _chance(one, other, (one_off, other_off), rows)
    found += _shares(before.name, p, q, (p_off, q_off), rows, rule, said, apart=apart)
    return found


def _shares(
    name: str,
    p: Sequence[float],
    q: Sequence[float],
    off: tuple[Sequence[float], Sequence[float]],
    rows: tuple[int, int],
    rule: Drift,
    said: str,
    *,
    apart: float | None = None,
) -> list[Statistic]:
    """The statistics of shares; of words with the chance that groups of them are as far apart."""
    others = apart is not None
    chance = _chance(p, q, off, rows)
    if apart is not None and any(map(any, off)):
        chance = min(1.0, 2 * min(chance, apart))  # the surer of two tests (Bonferroni)
    alike = (1.0, 1.0)  # by their rows what was added to a large table would be no effect at all
    told = [
        ("psi", distances.psi(p, q), rule.psi, distances.psi_bound(p, q, off, others=others)),
        ("js", distances.js(p, q), rule.js, distances.js_bound(p, q, off, others=others)),
        (
            "total_variation",
            distances.total_variation(p, q),
            rule.total_variation,
            distances.total_variation_bound(p, q, off, others=others),
        ),
        (
            "cramers_v",
            distances.cramers_v(p, q, alike),
            rule.cramers_v,
            distances.cramers_v_bound(p, q, alike, off, others=others),
        ),
    ]
    return [
        Statistic(name, statistic, value, threshold, said, bound, chance)
        for statistic, value, threshold, bound in told
    ]


def _chance(
    p: Sequence[float],
    q: Sequence[float],
    off: tuple[Sequence[float], Sequence[float]],
    rows: tuple[int, int],
) -> float:
    """How likely shares are so far apart, at the least, when nothing changed."""
    one, other, open_ = distances.pooled(p, q, off, rows)
    least, _ = distances.chi_square_range(one, other, rows, open_)
    return distances.chi_square_p(least, sum(a + b > 0 for a, b in zip(one, other, strict=True)))


def _short(column: Profile, value: float | None) -> str:
    if value is None:
        return "?"
    return profile.moment(value) if column.is_time else f"{value:.4g}".replace("inf", "∞")


def _word(column: Profile, name: str) -> str:
    if column.is_time:
        return profile.moment(float(name))
    return name if name.strip() else "(blank)" if name else "(empty)"
