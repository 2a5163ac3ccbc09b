"""Where drift comes from: what a statistic would be without one part of the rows.

Parts (commits, deliveries, files, partitions, segments) have profiles, so leaving one out is a
merge of the others; no row is read. A part's share is what the statistic loses without it, over
what it loses without each of them (leave-one-out, Cook & Weisberg 1982, of a two-sample statistic);
over the statistic itself where that is more: of parts that are all off alike, none did it. A part
without which the statistic cannot be told (what is left has no distribution) has no share, for
nobody knows; one without which no value is left has all of it.

Rows that went have no part to be left out. What took them is undone instead: its current rows are
left out, those it took are put back, and its share is what the statistic loses by that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driftline import drift, profile, times
from driftline.profile import Profile
from driftline.sections import Drift
from driftline.times import At

MOST = 100
"""Of more parts of a kind than this, those with the fewest rows are taken together as one."""


@dataclass(frozen=True)
class Cause:
    """One part of the current rows of a column that drifted, or what took rows of it away."""

    column: str
    statistic: str
    kind: str
    """commit, delivery, file, or the column that is the same in all its rows."""
    name: str
    share: float
    """Of the drift, from 0 to 1."""
    without: float | None
    """The statistic when this part is left out, or undone; None where it cannot be told."""
    rows: int
    """Of the part; or those that were taken away."""
    segment: str = ""
    """As a statistic's: the rows that were taken apart, where not all were."""


def causes(
    before: Profile,
    parts: Mapping[str | None, Profile],
    *,
    statistic: str,
    kind: str,
    rule: Drift,
    at: At | None = None,
) -> list[Cause]:
    """The parts of the current rows, that which moved the statistic most first.

    The part called None is of the rows without a value, and said as null. Parts that moved it the
    other way have share 0. One alone has all of it. ``at``, when the versions were committed, is
    what strays are told by.
    """
    named = [("null" if name is None else name, (part,)) for name, part in parts.items()]
    if len(named) < 2:
        return [
            Cause(before.name, statistic, kind, name, float(value > 0), None, part.rows)
            for name, (part,) in named
            if (value := _value(before, part, statistic, rule, at)) is not None
        ]
    shown = _shown(named, rows=0)
    whole = profile.merge([part for _, (part,) in shown])
    left = all_but_one([part for _, (part,) in shown])
    each_rows = [(name, part.rows) for name, (part,) in shown]
    return _ranked(before, whole, each_rows, left, statistic=statistic, kind=kind, rule=rule, at=at)


def undone(
    before: Profile,
    rest: Profile,
    parts: Mapping[str, tuple[Profile, Profile]],
    *,
    statistic: str,
    kind: str,
    rule: Drift,
    at: At | None = None,
) -> list[Cause]:
    """The same of what took rows of the reference away; one alone is named, too.

    Each part is the current rows that came in place of those that it took, perhaps none, and those
    that it took. ``rest`` are all other current rows.
    """
    shown = _shown(list(parts.items()), rows=1)
    now = [part for _, (part, _) in shown]
    back = [
        profile.merge([others, then])
        for others, (_, (_, then)) in zip(all_but_one([rest, *now])[1:], shown, strict=True)
    ]
    each_rows = [(name, then.rows) for name, (_, then) in shown]
    whole = profile.merge([rest, *now])
    return _ranked(before, whole, each_rows, back, statistic=statistic, kind=kind, rule=rule, at=at)


def _shown(
    parts: Sequence[tuple[str, tuple[Profile, ...]]], *, rows: int
) -> Sequence[tuple[str, tuple[Profile, ...]]]:
    """Those with most rows by themselves, all others as one, so that each costs a few merges."""
    if len(parts) <= MOST:
        return parts
    ranked = sorted(parts, key=lambda part: -part[1][rows].rows)
    others = [part for _, part in ranked[MOST - 1 :]]
    merged = tuple(profile.merge(list(each)) for each in zip(*others, strict=True))
    return [*ranked[: MOST - 1], (f"the other {len(others):,}", merged)]


def _ranked(
    before: Profile,
    whole: Profile,
    parts: Sequence[tuple[str, int]],
    left: Sequence[Profile],
    *,
    statistic: str,
    kind: str,
    rule: Drift,
    at: At | None,
) -> list[Cause]:
    """Causes by name and rows, of what is left of the whole without each."""
    value = _value(before, whole, statistic, rule, at)
    if value is None:
        return []
    without = [_value(before, each, statistic, rule, at) for each in left]
    lost = [_lost(value, other, each) for other, each in zip(without, left, strict=True)]
    total = max(value, math.fsum(lost))
    found = [
        Cause(before.name, statistic, kind, name, loss / total if total else 0.0, other, rows)
        for (name, rows), loss, other in zip(parts, lost, without, strict=True)
    ]
    return sorted(found, key=lambda each: -each.share)


def all_but_one(parts: Sequence[Profile]) -> list[Profile]:
    """For each part the merge of all others, in three merges a part."""
    last = len(parts) - 1
    left, right = [parts[0]], [parts[-1]]
    for place in range(1, last):
        left.append(profile.merge([left[-1], parts[place]]))
        right.append(profile.merge([parts[last - place], right[-1]]))
    right.reverse()  # right[n] is all after n
    middle = [profile.merge([left[n - 1], right[n]]) for n in range(1, last)]
    return [right[0], *middle, left[-1]]


def _lost(whole: float, without: float | None, left: Profile) -> float:
    if without is None:
        return whole if left.is_empty else 0.0
    return max(0.0, whole - without)


def _value(
    before: Profile, after: Profile, statistic: str, rule: Drift, at: At | None
) -> float | None:
    if statistic == times.STRAYS:
        told = times.strays(before, after, at, rule.categories) if at else None
        return told.value if told else None
    found = drift.compare({before.name: before}, {before.name: after}, rule)
    return next((each.value for each in found if each.statistic == statistic), None)
