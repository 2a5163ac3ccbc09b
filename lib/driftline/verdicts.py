"""Whether a change is drift.

A column has drifted when a statistic has reached its threshold, which is a size of effect, and
chance is no explanation (of a fact, such as a lost column, it never is): over all columns and
segments compared at once at most 0.5 % of what is called drift is none (Benjamini & Hochberg 1995).
At a hundred million rows everything is significant and only size counts; at a hundred rows size
alone cries wolf.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scipy.stats import false_discovery_control

from driftline import distances
from driftline.drift import Statistic

RATE = 0.005
"""Share of false alarms among alarms."""

_BEYOND = 1.25
_LEAST = 0.1

_FLOORS = {"freshness": 0.5, "ks": 0.015, "js": 0.01}
"""The least thresholds of what has none by nature: half a day; of times a tenth of the usual."""

_SHARES = frozenset(("ks", "js", "null_rate", "new", "lost", "total_variation", "cramers_v"))
"""Statistics that are 1 at most."""

_TESTS = {
    **dict.fromkeys(("psi", "js", "total_variation", "cramers_v"), "chi_square"),
    "wasserstein": "ks",
}
"""The tests by which chance answers, where more than one statistic rests on it."""


def learnt(
    calm: Sequence[Sequence[Statistic]], found: Sequence[Statistic], *, steps: int = 1
) -> list[Statistic]:
    """The same with thresholds from comparisons that are known to be calm.

    Drift is then what goes a quarter beyond the most that was ever calm, but at least a tenth of
    the threshold that is set: what never moved at all may move a little. Of statistics without a
    threshold it is taught of rows, freshness, and times' KS and Jensen-Shannon distance, which may
    go on as they did: further, if there are more days between the sides than in a calm step.
    ``steps`` is over how many such comparisons what was found added its rows.
    """
    known: dict[tuple[str, str, str], list[Statistic]] = {}
    for each in (statistic for said in calm for statistic in said):
        known.setdefault(_called(each), []).append(each)
    days = {each.column: each.pace[1] for each in found if each.statistic == "freshness"}
    return [_taught(each, known, days, steps) for each in found]


def _taught(
    each: Statistic,
    known: Mapping[tuple[str, str, str], Sequence[Statistic]],
    days: Mapping[str, float],
    steps: int,
) -> Statistic:
    calm = known.get(_called(each))
    if not calm or each.statistic == "schema":
        return each
    if each.statistic == "volume":
        return _usual(each, [step.rows for step in calm], steps)
    times = known.get(("", each.column, "freshness"), ())
    return _beyond(each, _most(each, calm, times, days.get(each.column)))


def _called(each: Statistic) -> tuple[str, str, str]:
    return each.segment, each.column, each.statistic


def _most(
    each: Statistic, calm: Sequence[Statistic], times: Sequence[Statistic], days: float | None
) -> float:
    """The most that was calm; of times, by what they did in calm steps, in as many days as these.

    Those that moved on with the days are moved further by more of them. Those that stand still, as
    birthdays do, fall behind by them and are no staler for it.
    """
    most = max(step.value for step in calm)
    between = math.fsum(step.pace[1] for step in times)
    if days is None or between <= 0:
        return most
    moved = min(1.0, max(0.0, math.fsum(step.pace[0] for step in times) / between))
    if each.statistic == "freshness":
        return max(most, (1 - moved) * days)
    if each.threshold is None:
        return most * max(1.0, moved * days * len(times) / between)
    return most


def _beyond(each: Statistic, most: float) -> Statistic:
    """With the threshold that calm steps taught, of which this was the most."""
    least = _FLOORS.get(each.statistic) if each.threshold is None else _LEAST * each.threshold
    if least is None:
        return each
    threshold: float | None = max(_BEYOND * most, least)
    if each.statistic in _SHARES and _BEYOND * most > 1:
        # Nothing is beyond what was all; and times that move on come to that sooner or later.
        threshold = None if most >= 1 or each.threshold is None else 1.0
    return replace(each, threshold=threshold)


def _usual(volume: Statistic, calm: Sequence[int], steps: int) -> Statistic:
    """The volume against the mean of calm steps, for what one adds is no share of what there was.

    A quarter more than the most of them is drift, and so is what the least is a quarter more than.
    """
    mean = steps * sum(calm) / len(calm)
    if not mean:
        return volume
    if volume.rows < mean:
        least = steps * min(calm) / _BEYOND
        threshold = 1 - least / mean if least else None  # there is nothing less than none
    else:
        threshold = _BEYOND * steps * max(calm) / mean - 1
    said = f"{mean:,.0f} rows in calm steps → {volume.rows:,} rows"
    value = abs(volume.rows / mean - 1)
    p = distances.counts_p((sum(calm), volume.rows), (len(calm), steps))
    return replace(volume, value=value, threshold=threshold, detail=said, p=p)


def judged(found: Iterable[Statistic]) -> list[Statistic]:
    """The same with verdicts, which depend on how many were asked for.

    What has no ``p`` is a fact, and not among the questions that chance may answer.
    """
    said = list(found)
    # Statistics of a column that rest on the same test are one question, not several.
    questions = [
        None
        if each.p is None or each.threshold is None
        else (each.segment, each.column, _TESTS.get(each.statistic, each.statistic), each.p)
        for each in said
    ]
    asked = sorted({each for each in questions if each is not None})
    chances: dict[tuple[str, str, str, float] | None, float] = {None: 1.0}
    if asked:
        sure = false_discovery_control([p for *_, p in asked])
        chances |= zip(asked, map(float, sure), strict=True)
    return [
        replace(each, drifted=each.reached and (each.p is None or chances[question] <= RATE))
        for each, question in zip(said, questions, strict=True)
    ]
