"""What is said of times by the clock: how fresh the newest are, and how many lie out of all time.

Their distributions move on by nature, see :func:`driftline.drift.compare`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from driftline import distances
from driftline.drift import Statistic
from driftline.profile import Profile, moment

FRESHNESS, STRAYS = "freshness", "strays"

_MONTH = 30 * 86_400

At = tuple[datetime, datetime]
"""When the two versions were committed."""


def freshness(
    before: Profile,
    after: Profile,
    at: At,
    threshold: float | None = None,
    *,
    keys: Collection[str] = (),
) -> Statistic | None:
    """By how many days the newest time of a column has fallen further behind its version's commit.

    ``at`` are the commits' times. None where a side has no time. A threshold is of those of
    ``keys``, where they are known: other times, as birthdays, need not move on.
    """
    newest = [each.max for each in (before, after) if each.is_time and each.max is not None]
    if len(newest) < 2:
        return None
    days = [(when.timestamp() - last) / 86_400 for when, last in zip(at, newest, strict=True)]
    told = [f"{abs(each):,.1f} days {'after' if each < 0 else 'before'}" for each in days]
    said = f"newest {' → '.join(told)} the version"
    behind = days[1] - days[0]
    threshold = threshold if not keys or before.column in keys else None
    pace = ((newest[1] - newest[0]) / 86_400, (at[1] - at[0]).total_seconds() / 86_400)
    return Statistic(before.name, FRESHNESS, max(0.0, behind), threshold, said, pace=pace)


def strays(before: Profile, after: Profile, at: At, threshold: float) -> Statistic | None:
    """The share of rows whose time is as none was in the reference, though times move on.

    Earlier than its earliest, or further ahead of the version than its latest was, by more than
    its whole span and a month: what another unit or a default of 1970 looks like, and not a late
    row of a delivery that has one date. None where a side has no time.
    """
    sides = before, after
    if not all(each.is_time and each.min is not None for each in sides):
        return None
    assert before.min is not None and before.max is not None
    assert after.min is not None and after.max is not None
    span = max(before.max - before.min, _MONTH)
    ahead = max(0.0, before.max - at[0].timestamp())
    low, high = before.min - span, max(before.max, at[1].timestamp() + ahead) + span
    found = after.distribution
    share = found.below(low) + 1 - float(found.ranks([high])[0])
    off = min(1.0, 2 * found.error)
    surely = max(0.0, share - off) * after.filled
    chance = distances.two_shares_p((0, surely), (before.filled, after.filled))
    said = f"{share:.1%} before {moment(low)} or after {moment(high)}"
    return Statistic(before.name, STRAYS, share, threshold, said, off, chance)
