"""Whether a change is drift.

A column has drifted when a statistic has reached its threshold, which is a size of effect, and
chance is no explanation (of a fact, such as a lost column, it never is): over all columns and
segments compared at once at most 0.5 % of what is called drift is none (Benjamini & Hochberg 1995).
At a hundred million rows everything is significant and only size counts; at a hundred rows size
alone cries wolf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scipy.stats import false_discovery_control

from driftline import distances
from driftline.drift import Statistic

RATE = 0.005
"""Share of false alarms among alarms."""

_BEYOND = 1.25
_LEAST = 0.1

_FLOORS = {"freshness": 0.5}
"""The least thresholds of what need not have one: half a day."""


def learnt(
    calm: Sequence[Sequence[Statistic]], found: Iterable[Statistic], *, steps: int = 1
) -> list[Statistic]:
    """The same with thresholds from comparisons that are known to be calm.

    Drift is then what goes a quarter beyond the most that was ever calm, but at least a tenth of
    the threshold that is set: what never moved at all may move a little. ``steps`` is over how many
    such comparisons what was found added its rows.
    """
    known: dict[tuple[str, str, str], list[Statistic]] = {}
    for each in (statistic for said in calm for statistic in said):
        known.setdefault((each.segment, each.column, each.statistic), []).append(each)
    return [
        _taught(each, known.get((each.segment, each.column, each.statistic), []), steps)
        for each in found
    ]


def _taught(each: Statistic, calm: Sequence[Statistic], steps: int) -> Statistic:
    if not calm or each.statistic == "schema":
        return each
    if each.statistic == "volume":
        return _usual(each, [step.rows for step in calm], steps)
    least = _FLOORS.get(each.statistic) if each.threshold is None else _LEAST * each.threshold
    if least is None:
        return each
    most = max(step.value for step in calm)
    return replace(each, threshold=max(_BEYOND * most, least))


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
        None if each.p is None or each.threshold is None else (each.segment, each.column, each.p)
        for each in said
    ]
    asked = sorted({each for each in questions if each is not None})
    chances: dict[tuple[str, str, float] | None, float] = {None: 1.0}
    if asked:
        sure = false_discovery_control([p for *_, p in asked])
        chances |= zip(asked, map(float, sure), strict=True)
    return [
        replace(each, drifted=each.reached and (each.p is None or chances[question] <= RATE))
        for each, question in zip(said, questions, strict=True)
    ]
