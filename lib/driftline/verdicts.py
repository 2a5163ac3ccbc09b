"""Whether a change is drift.

A column has drifted when a statistic has reached its threshold, which is a size of effect, and
chance is no explanation: over all columns and segments compared at once at most 0.5 % of what is
called drift is none (Benjamini & Hochberg 1995). At a hundred million rows everything is
significant and only size counts; at a hundred rows size alone cries wolf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scipy.stats import false_discovery_control

from driftline.drift import Statistic

RATE = 0.005
"""Share of false alarms among alarms."""

_BEYOND = 1.25
_LEAST = 0.1


def learnt(calm: Sequence[Sequence[Statistic]], found: Iterable[Statistic]) -> list[Statistic]:
    """The same with thresholds from comparisons that are known to be calm.

    Drift is then what goes a quarter beyond the most that was ever calm, but at least a tenth of
    the threshold that is set: what never moved at all may move a little.
    """
    most: dict[tuple[str, str, str], float] = {}
    for each in (statistic for said in calm for statistic in said):
        key = each.segment, each.column, each.statistic
        most[key] = max(most.get(key, 0.0), each.value)
    return [
        each
        if each.threshold is None or each.column == "*" or key not in most
        else replace(each, threshold=max(_BEYOND * most[key], _LEAST * each.threshold))
        for each in found
        for key in [(each.segment, each.column, each.statistic)]
    ]


def judged(found: Iterable[Statistic]) -> list[Statistic]:
    """The same with verdicts, which depend on how many were asked for."""
    said = list(found)
    # Statistics of a column that rest on the same test are one question, not several.
    questions = [
        None if each.p is None or not each.threshold else (each.segment, each.column, each.p)
        for each in said
    ]
    asked = sorted({each for each in questions if each is not None})
    if not asked:
        return said
    chances = dict(zip(asked, false_discovery_control([p for *_, p in asked]), strict=True))
    return [
        each
        if question is None
        else replace(each, drifted=each.reached and bool(chances[question] <= RATE))
        for each, question in zip(said, questions, strict=True)
    ]
