"""What the listed values of two columns say: shares over the same values, and which are new.

A value that a side does not list may have had some rows there all the same. How many is taken to be
what makes the sides most alike: that sketches forget the rare is not to look like drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

from driftline import distances
from driftline.profile import Profile
from driftline.sketches import Counts

FEW = 50
"""Numbers with at most so many different values are compared value by value."""

_SURELY = 10
"""A value is new if it has so many times the rows that it may have had, unlisted, before."""

_LUCK = 2
"""Standard deviations by which a value may have more rows on the side that lists it: that the other
does not list it, and it is looked at for that, is luck before it is drift.
"""

_GROUPS = tuple(product((True, False), repeat=2))
"""Whether the one side lists a value, and the other."""

Shares = tuple[list[float], list[float]]
"""The share of each value, the last one of all others, and how far each may be off."""


def few(column: Profile) -> bool:
    """Whether all values of a column are listed, and they are few."""
    counts = column.counts
    return counts is not None and counts.complete and len(counts.values) <= FEW


def listed(column: Profile) -> float:
    """Share of the rows in values that are listed."""
    counts = column.counts
    return sum(counts.values.values()) / column.filled if counts else 0.0


def shares(before: Profile, after: Profile) -> tuple[list[str], Shares, Shares]:
    """The values that either side lists, and the shares of both sides over them and the rest."""
    sides = before, after
    names = sorted({name for side in sides for name in _counts(side).values})
    known = [
        {name: rows / side.filled for name, rows in _counts(side).values.items()} for side in sides
    ]
    old, new = (
        _over(names, side, mine, other)
        for side, mine, other in zip(sides, known, reversed(known), strict=True)
    )
    return names, old, new


def _over(
    names: list[str], column: Profile, known: Mapping[str, float], other: Mapping[str, float]
) -> Shares:
    counts = _counts(column)
    room = [_room(counts, name) / column.filled for name in names]
    rest = 0.0 if counts.complete else max(0.0, 1.0 - math.fsum(known.values()))
    counted = [known.get(name, 0.0) for name in names]
    more = [
        min(max(0.0, other.get(name, 0.0) - share), most)
        for name, share, most in zip(names, counted, room, strict=True)
    ]
    wanted = math.fsum(more)
    scale = min(1.0, rest / wanted) if wanted else 0.0
    found = [share + scale * each for share, each in zip(counted, more, strict=True)]
    off = [min(1.0, most + counts.excess / column.filled) for most in room]
    return [*found, max(0.0, rest - wanted)], [*off, min(1.0, math.fsum(off))]


def _room(counts: Counts, name: str) -> int:
    """Rows that a value may have beside those that are counted."""
    return counts.short.get(name, 0) if name in counts.values else counts.unlisted


def together(before: Profile, after: Profile) -> tuple[Shares, Shares]:
    """The same of four groups: the values that both sides list, one, the other, neither.

    Of those that a side does not list any one may be what the other has, but not all of them: so
    the groups can be surely apart where no value is. Pooled categories are never further apart
    than they were by themselves (data processing inequality; Csiszár 1967).
    """
    names, (p, _), (q, _) = shares(before, after)
    sides = before, after
    lists = [tuple(name in _counts(side).values for side in sides) for name in names]
    kinds = [*lists, (False, False)]
    told = [
        [
            math.fsum(each for each, kind in zip(found, kinds, strict=True) if kind == group)
            for group in _GROUPS
        ]
        for found in (p, q)
    ]
    off = []
    for side, other in (sides, sides[::-1]):
        alone = [n for name, n in _counts(side).values.items() if name not in _counts(other).values]
        luck = math.fsum(_luck(n, side.filled / other.filled) for n in alone) / side.filled
        off.append([min(1.0, _unlisted(side) + luck)] * len(_GROUPS))
    return (told[0], off[0]), (told[1], off[1])


def _luck(count: int, ratio: float) -> float:
    """Rows that a value may have more by :data:`_LUCK` than the other side lets expect, of which
    this one has ``ratio`` times the rows: of the difference of two Poisson counts.
    """
    return min(count, _LUCK * math.sqrt(count * (1 + ratio)))


def said(column: Profile, name: str) -> str:
    """The share of a value in words."""
    counts = _counts(column)
    if name in counts.values or counts.complete:
        return f"{counts.values.get(name, 0) / column.filled:.1%}"
    return f"at most {counts.unlisted / column.filled:.1%}"


def unseen(seen: Profile, now: Profile) -> tuple[list[str], float, float, float]:
    """Values that ``now`` has and ``seen`` lacks, most frequent first; their share, how far that
    may be off, and its chance.

    Where ``seen`` lists all its values, less the share that had to be expected: as many again as
    it has just once, it has not met (Good 1953); by chance, if either that or
    :func:`distances.left_out_p` says so. Where it does not, those count that are too
    frequent to have been left out (:data:`_SURELY`), and the others may be new, too; the chance is
    that of the least likely one among all. Or, if that is more, as many rows as those of all others
    together, less :func:`_luck`, are more than ``seen`` has unlisted: which of them are new is not
    known then.
    """
    before, after = _counts(seen), _counts(now)
    rows = (seen.filled, now.filled)
    hidden = before.unlisted + before.excess
    unlisted = {name: count for name, count in after.values.items() if name not in before.values}
    names = {
        name: count
        for name, count in unlisted.items()
        if count / rows[1] > _SURELY * hidden / rows[0]
    }
    others = sum(names.values())
    if before.complete:
        once = sum(count == 1 for count in before.values.values())
        share = others / rows[1] - once / rows[0]
        chance = max(
            distances.two_shares_p((once, others), rows),
            distances.left_out_p(before.values, after.values, rows),
        )
    else:
        share = others / rows[1]
        chances = [distances.two_shares_p((hidden, count), rows) for count in names.values()]
        chance = min(1.0, min(chances, default=1.0) * len(after.values))
        room = _unlisted(seen)
        ratio = now.filled / seen.filled
        sure = (max(0.0, n - _luck(n, ratio) - after.excess) for n in unlisted.values())
        surely = math.fsum(sure)
        if (more := surely / rows[1] - room) > share:
            share, names = more, {}
            chance = distances.two_shares_p((room * rows[0], surely), rows)
    undecided = sum(unlisted.values()) - share * rows[1]
    off = min(1.0, undecided / rows[1] + _unlisted(now))
    ordered = sorted(names, key=lambda name: (-names[name], name))
    return ordered, max(0.0, share), off, chance if share > 0 else 1.0


def _unlisted(column: Profile) -> float:
    """The most rows, as a share, that are in values which are not listed, or listed too often."""
    counts = _counts(column)
    if counts.complete:
        return 0.0
    too_many = counts.excess * len(counts.values)
    listed = sum(counts.values.values())
    return max(too_many, column.filled - listed + too_many) / column.filled


def _counts(column: Profile) -> Counts:
    assert column.counts is not None
    return column.counts
