"""Keep the model, watch it, or train again: a pure function of numbers.

Each turn of the cycle leaves one :class:`Turn`: what was known then. A turn *violates* where labels
show the model worse than it was, or not what its scores promised; where no label says otherwise,
where it must be expected to be worse; or where the service level is missed. Labels better than the
scores promised are watched: what scores promise is believed no longer, and nothing is wrong with
the model. Drift alone is watched, too: it is a reason to train again only while nothing can tell
what it does to the model. So is skew, and it never is such a reason: rows that are made otherwise
than those that train are to be mended.

A model is trained again when enough of the newest turns violate and the newest does (as Databricks'
mlops-stacks does: 2 of the last 5), it was not tried just before, and it pays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from driftline.evaluation import Interval
from driftline.monitor_section import Monitor
from driftline.performance import error

Action = Literal["keep", "watch", "retrain"]

CAUSES = {
    "no_champion": "there is no champion",
    "floor": "the service level is missed",
    "worse": "labels show it worse than when it was judged",
    "concept": "labels are not what its scores promised",
    "expected": "its scores let expect that it is worse",
    "drift": "features that matter to it have drifted",
    "skew": "features that matter to it are not as in the rows it learnt from",
    "better": "labels are better than its scores promised, which are not believed any more",
    "stale": "there is no new cut-off to judge it by",
}
"""Why a turn is no calm one, the gravest first."""

_VIOLATIONS = {"no_champion", "floor", "worse", "concept", "expected"}
"""Causes that count towards training again."""

_TYPING = timedelta(days=1)
"""A day that is asked for longer than this before it begins is taken for mistyped."""


@dataclass(frozen=True)
class Turn:
    """What one turn of the cycle knows of the champion."""

    as_of: datetime
    """Nothing after this is known."""
    cutoff: datetime | None
    """The newest predictions' as-of; None where there are none."""
    version: int | None
    """The champion's version; None where there is no champion."""
    reference: Interval | None
    """The metric on the test rows when the version was judged."""
    drift: float | None
    """Share of the model's importance that lies in features which drifted since the version it was
    trained on was made; None if unknown."""
    expected: Interval | None
    """The metric that the newest predictions' scores promise (CBPE)."""
    trusted: bool
    """Whether the newest labels of predictions that promised something bore that out."""
    real: Interval | None
    """The metric of the newest predictions of this version whose labels are known; None also where
    these labels do not tell it."""
    concept: bool
    """Whether labels broke the promise: these, or the newest that anything was promised for."""
    better: bool = False
    """Whether they broke it for the better: by the metric, beyond chance."""
    real_cutoff: datetime | None = None
    """As-of of the predictions that the newest labels are of."""
    concept_cutoff: datetime | None = None
    """As-of of those whose labels broke the promise, where these are older."""
    stale: bool = False
    """Whether the newest predictions are more than a period older than ``as_of``."""
    trained: bool = False
    """Whether the training it decided came to an end; of the last turn, one decided before now."""
    skew: float | None = None
    """Share of its importance in features that are not as in the rows it learnt from: train-serve
    skew; None if unknown."""


@dataclass(frozen=True)
class Economics:
    """What training again may bring, and what it costs, in the price book's currency."""

    gain: float | None
    """At most: the excess loss a row, now against then, times rows, times the periods it must pay
    within. None where no value matrix says what an error costs, or nothing tells the errors: that
    keeps no training back."""
    cost: float | None
    """Of the last training and its tries that were killed or failed, by the ledger; None where none
    is known."""


@dataclass(frozen=True)
class Decision:
    """The action, what speaks for it, and in words how it came to that."""

    action: Action
    causes: tuple[str, ...]
    violations: int
    """Violating turns among the newest ``of``; of those by the same labels, one."""
    why: str


def causes(turn: Turn, rule: Monitor, *, smaller: bool) -> tuple[str, ...]:
    """Why a turn is no calm one, the gravest first; ``smaller`` metrics are better ones."""
    if turn.version is None:
        return ("no_champion",)
    found = []
    sign = -1.0 if smaller else 1.0
    promised = _promised(turn)
    if any(_missed(each, rule, sign) for each in (turn.real, promised)):
        found.append("floor")
    if _worse(turn.real, turn.reference, rule.drop, sign):
        found.append("worse")
    if turn.concept and not turn.better:
        found.append("concept")
    if _worse(promised, turn.reference, rule.drop, sign):
        found.append("expected")
    if turn.drift is not None and turn.drift >= rule.drift:
        found.append("drift")
    if turn.skew is not None and turn.skew >= rule.drift:
        found.append("skew")
    if turn.concept and turn.better:
        found.append("better")
    if turn.stale:
        found.append("stale")
    return tuple(found)


def _promised(turn: Turn) -> Interval | None:
    """What trusted scores let expect, where no labels of these very predictions tell."""
    labelled = turn.real is not None and turn.real_cutoff == turn.cutoff
    return turn.expected if turn.trusted and not labelled else None


def _missed(found: Interval | None, rule: Monitor, sign: float) -> bool:
    """Whether a metric is on the wrong side of the service level."""
    if found is None or rule.floor is None:
        return False
    return sign * (found.value - rule.floor) < 0


def _worse(found: Interval | None, reference: Interval | None, drop: float, sign: float) -> bool:
    """Worse by at least ``drop`` (of an error: times the reference), and beyond three standard
    errors of both.
    """
    if found is None or reference is None:
        return False
    lost = sign * (reference.value - found.value)
    drop *= reference.value if sign < 0 else 1.0
    return lost >= drop and lost > 3 * math.hypot(error(found), error(reference))


def violates(turn: Turn, found: Sequence[str]) -> bool:
    """Whether a turn's causes count towards training again."""
    if _VIOLATIONS & set(found):
        return True
    return "drift" in found and _blind(turn)


def _blind(turn: Turn) -> bool:
    """Whether neither labels nor scores tell how the model does."""
    return turn.real is None and (turn.expected is None or not turn.trusted)


def _counted(turns: Sequence[Turn], rule: Monitor, *, smaller: bool) -> int:
    """How many turns violate; those that labels alone speak against, once for the same labels.

    Where a horizon is no multiple of the days between cut-offs, a new one comes before new labels.
    """
    count = 0
    told: set[datetime | None] = set()
    for turn in turns:
        found = causes(turn, rule, smaller=smaller)
        if not violates(turn, found):
            continue
        if not _by_scores(turn, found, rule, smaller=smaller):
            labels = _labels(turn, found, rule, smaller=smaller)
            if labels and labels <= told:
                continue
            told |= labels
        count += 1
    return count


def _labels(
    turn: Turn, found: Sequence[str], rule: Monitor, *, smaller: bool
) -> set[datetime | None]:
    """As-ofs of the predictions whose labels speak against a turn, as far as they are known."""
    labels: set[datetime | None] = set()
    if "worse" in found or _missed(turn.real, rule, -1.0 if smaller else 1.0):
        labels.add(turn.real_cutoff)
    if "concept" in found:
        labels.add(turn.concept_cutoff or turn.real_cutoff)
    return labels - {None}


def _by_scores(turn: Turn, found: Sequence[str], rule: Monitor, *, smaller: bool) -> bool:
    """Whether the newest predictions by themselves make a violation of a turn."""
    if "expected" in found or _missed(_promised(turn), rule, -1.0 if smaller else 1.0):
        return True
    return "drift" in found and _blind(turn)


def decide(
    turns: Sequence[Turn], rule: Monitor, economics: Economics, *, smaller: bool
) -> Decision:
    """What to do after the last of ``turns``, one a period, oldest first.

    Turns of another version than the last one's count for the cooldown only.
    """
    now = turns[-1]
    found = causes(now, rule, smaller=smaller)
    if now.version is None:
        return Decision("retrain", found, 1, CAUSES["no_champion"])
    mine = [each for each in turns if each.version == now.version][-rule.of :]
    count = _counted(mine, rule, smaller=smaller)
    said = "; ".join(CAUSES[each] for each in found)
    if not violates(now, found):
        if not found:
            return Decision("keep", found, count, "nothing speaks against it")
        return Decision("watch", found, count, f"{said}; the model holds as far as can be told")
    tally = f"{count} of the last {len(mine)} turns, the newest among them"
    if count < rule.at_least:
        return Decision("watch", found, count, f"{said}; {tally}: {rule.at_least} are asked for")
    rest = [each.trained for each in turns][::-1][: rule.cooldown + 1]
    if any(rest):
        ago = rest.index(True)
        waits = f"{ago} turns since training was decided, more than {rule.cooldown} have to pass"
        return Decision("watch", found, count, f"{said}; {tally}; {waits}")
    pays, money = _pays(economics) if rule.value else (True, "")
    return Decision(
        "retrain" if pays else "watch", found, count, "; ".join(filter(None, (said, tally, money)))
    )


def _pays(economics: Economics) -> tuple[bool, str]:
    gain, cost = economics.gain, economics.cost
    if gain is None:
        return True, "what it may gain is unknown"
    if cost is None:
        return True, f"may gain {gain:.4g}, cost unknown"
    verb = "may gain" if gain > cost else "gains at most"
    return gain > cost, f"training again {verb} {gain:.4g} and costs {cost:.4g}"


def worth(
    found: tuple[float, float] | None,
    reference: tuple[float, float] | None,
    rule: Monitor,
    *,
    rows: int,
) -> float | None:
    """The gain of :class:`Economics` from (false alarms, misses), each a share of all rows."""
    if rule.value is None or found is None or reference is None:
        return None
    loss, before = (
        each[0] * rule.value.false_alarm + each[1] * rule.value.miss for each in (found, reference)
    )
    return max(0.0, loss - before) * rows * rule.payback


@dataclass(frozen=True)
class Judgement:
    """What a decision turned out to be, once the labels of its predictions came."""

    verdict: Literal["right", "missed", "needless", "no_better"]
    words: str


def judged(
    action: Action,
    real: Interval,
    reference: Interval | None,
    retrained: Interval | None,
    rule: Monitor,
    *,
    smaller: bool,
) -> Judgement:
    """Judge a decision by the labels of the predictions it was made about.

    ``real`` is how the model of then did on them; ``retrained``, where training gave a new
    champion, how that one did on the same rows.
    """
    sign = -1.0 if smaller else 1.0
    fell = _worse(real, reference, rule.drop, sign) or _missed(real, rule, sign)
    if retrained is not None:
        gain = sign * (retrained.value - real.value)
        words = f"the new champion was {'better' if gain > 0 else 'no better'} by {abs(gain):.4f}"
        return Judgement("right" if gain > 0 else "no_better", words)
    said = f"the model then reached {real.value:.4f}"
    if action == "keep":
        return Judgement("missed" if fell else "right", said)
    return Judgement("right" if fell else "needless", said)


def order(as_of: datetime, at: datetime) -> tuple[bool, datetime, datetime]:
    """Sorts decisions, made ``at`` a time as of a day, the one that is to be told of last.

    One as of a day that was far from over, as one mistyped, hides none of a day that was.
    """
    return as_of <= at + _TYPING, as_of, at


_TIMES = ("as_of", "cutoff", "real_cutoff", "concept_cutoff")


def to_json(turn: Turn) -> dict[str, Any]:
    """The turn as plain values, times in ISO 8601: what a decision keeps of its inputs."""
    plain = asdict(turn)
    for name in _TIMES:
        plain[name] = plain[name].isoformat() if plain[name] else None
    return plain


def from_json(plain: dict[str, Any]) -> Turn:
    """The reverse of :func:`to_json`."""
    given = dict(plain)
    for name in _TIMES:
        given[name] = datetime.fromisoformat(given[name]) if given.get(name) else None
    for name in ("reference", "expected", "real"):
        given[name] = Interval(**given[name]) if given[name] else None
    return Turn(**given)
