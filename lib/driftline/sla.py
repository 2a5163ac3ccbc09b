"""Are promises kept: numbers that were found beside what the problem's ``sla`` says.

Pure: where numbers come from is :mod:`driftline.jobs.sla`'s affair. Without a number a promise is
*unknown*, never kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from driftline.metrics import SMALLER_IS_BETTER
from driftline.sla_section import Sla

Verdict = Literal["kept", "broken", "unknown"]

PROBED = ("response", "throughput")
"""Kinds of promises that only a probe of a server can judge."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Promise:
    """``kind`` of ``subject`` (a table, a stage; may be empty) is at most, or at least, a limit."""

    kind: str
    subject: str
    limit: float
    unit: str
    at_most: bool = True


@dataclass(frozen=True)
class Found:
    """A number, what it is in words, and the run and table version it comes from.

    ``value`` None: it was asked for, and what was asked gave no answer. That is broken.
    """

    value: float | None
    said: str
    run_id: str | None = None
    table: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Judged:
    """A promise, what was found, and whether it is kept."""

    promise: Promise
    found: Found | None
    verdict: Verdict


def promises(sla: Sla, metric: str) -> Iterator[Promise]:
    """Everything the section promises, in its order; ``metric`` is what ``model`` is about."""
    for table, seconds in sla.freshness.items():
        yield Promise("freshness", table, seconds / 3600, "h")
    for stage, seconds in sla.duration.items():
        yield Promise("duration", stage, seconds, "s")
    if sla.deadline is not None:
        yield Promise("deadline", "cycle", _hours(sla.deadline), "h")
    if sla.quality is not None:
        yield Promise("quality", "validate", sla.quality, "", at_most=False)
    if sla.model is not None:
        yield Promise("model", metric, sla.model, "", at_most=metric in SMALLER_IS_BETTER)
    if sla.serving.p99 is not None:
        yield Promise("response", "p99", sla.serving.p99, "ms")
    if sla.serving.throughput is not None:
        yield Promise("throughput", "", sla.serving.throughput, "/s", at_most=False)


def judge(promise: Promise, found: Found | None) -> Judged:
    """Kept or broken by the number alone; a limit that is just met is kept."""
    if found is None:
        return Judged(promise, None, "unknown")
    value, limit = found.value, promise.limit
    kept = value is not None and (value <= limit if promise.at_most else value >= limit)
    return Judged(promise, found, "kept" if kept else "broken")


def age(newest: datetime, now: datetime) -> float:
    """Hours since the newest row that is not of the future."""
    return (now - newest) / timedelta(hours=1)


def timed(
    runs: Iterable[tuple[str, datetime, float]], limit: float, now: datetime
) -> tuple[int, float] | None:
    """Of the runs of a stage (status, when it began, seconds), the newest first: the place of the
    one that tells how long the stage takes, and the seconds.

    That is the newest that was done, or a newer one that took too long: which was refused or failed
    only after the limit, or is running beyond it, or was killed and, as no run has ended since,
    takes until now. One refused or failed before, or running or killed within the limit from now,
    tells nothing.
    """
    ended = False
    for place, (status, begun, seconds) in enumerate(runs):
        late = status in ("refused", "failed", "running") and seconds > limit
        if status == "done" or late:
            return place, seconds
        until_now = (now - begun).total_seconds()
        if status == "killed" and not ended and until_now > limit:
            return place, until_now
        ended = ended or status == "unchanged"
    return None


def passed(*, judged: int, out: int, duplicate: int) -> float | None:
    """Share of judged rows that broke no rule and were of no refused batch; None of no rows."""
    return (out + duplicate) / judged if judged else None


@dataclass(frozen=True)
class Turn:
    """When a turn of the cycle had come to its decision, and which day it was of."""

    end: datetime
    day: datetime


def day(asked: datetime | None, began: datetime) -> datetime:
    """The day a turn is of: the as-of it was asked for; asked for none, or for one to come, the day
    it began on.
    """
    return min(asked or began, began).replace(hour=0, minute=0, second=0, microsecond=0)


def decided(
    turns: Sequence[Turn], deadline: str, planned: str, now: datetime
) -> tuple[float, datetime] | None:
    """(hour of the deadline's day, UTC, at which its turn had come to its decision; that moment).

    The newest deadline that has passed counts, and what had ended by now, which may be asked of a
    day that is long over. Its turn is of its day, or of the day before where
    turns are ``planned`` for an hour after it: then the hour may be below 0. The first one that was
    of that day or a later one counts: neither a turn that was late for the deadline before, nor one
    of another day that is made up for. Where there is none yet, the hour is that of now. None where
    no turn decided before that deadline ever: nothing was promised for then.
    """
    turns = [each for each in turns if each.end <= now]
    due = now.replace(hour=0, minute=0, second=0, microsecond=0)
    at = timedelta(hours=_hours(deadline))
    if due + at > now:
        due -= _DAY
    if not any(each.end <= due + at for each in turns):
        return None
    of = due if _hours(planned) <= _hours(deadline) else due - _DAY
    # Of the evening before, what ended by the deadline before was asked for by hand.
    since = due + at - _DAY
    ends = (each.end for each in turns if each.day >= of and each.end > since)
    moment = min(ends, default=now)
    return (moment - due) / timedelta(hours=1), moment


def _hours(clock: str) -> float:
    hours, minutes = clock.split(":")
    return int(hours) + int(minutes) / 60


def table(judged: Sequence[Judged]) -> str:
    """The verdicts as text, a line each, with the evidence."""
    rows = [("promise", "of", "verdict", "found", "limit", "evidence")]
    for each in judged:
        promise, found = each.promise, each.found
        rows.append(
            (
                promise.kind,
                promise.subject,
                each.verdict,
                "-" if found is None or found.value is None else _found(each),
                limit(promise),
                _lacking(promise) if found is None else _evidence(found),
            )
        )
    wide = [max(len(row[place]) for row in rows) + 2 for place in range(5)]
    return "\n".join(
        "".join(f"{row[place]:<{wide[place]}}" for place in range(5)) + row[5] for row in rows
    )


def counted(judged: Sequence[Judged]) -> str:
    """``5 kept, 1 broken, 2 unknown``."""
    verdicts = [each.verdict for each in judged]
    return ", ".join(f"{verdicts.count(each)} {each}" for each in ("kept", "broken", "unknown"))


def short(judged: Judged) -> str:
    """``freshness silver.orders (26.2 h, promised ≤ 20.0 h)``, of one for which a number was asked:
    what those are told who do not see the table.
    """
    promise = judged.promise
    told = judged.found is not None and judged.found.value is not None
    found = _found(judged) if told else "no answer"
    return f"{promise.kind} {promise.subject}".strip() + f" ({found}, promised {limit(promise)})"


def _found(judged: Judged) -> str:
    """The number that was found; of one that breaks its promise with all digits it needs for that
    to be seen.
    """
    promise = judged.promise
    assert judged.found is not None and judged.found.value is not None
    text = said(promise, judged.found.value)
    if judged.verdict == "broken" and text == said(promise, promise.limit):
        return said(promise, judged.found.value, exact=True)
    return text


def limit(promise: Promise) -> str:
    """``≤ 36.0 h``, ``≥ 0.9800``, ``≤ 06:00``"""
    return f"{'≤' if promise.at_most else '≥'} {said(promise, promise.limit)}"


def said(promise: Promise, value: float, *, exact: bool = False) -> str:
    """A number in the promise's unit; a deadline's is a time of its day, beyond 24:00 the next."""
    unit = promise.unit
    if promise.kind == "deadline" and math.isfinite(value):
        sign, seconds = "-" if value < 0 else "", abs(value) * 3600
        if exact:
            hours, rest = divmod(seconds, 3600)
            return f"{sign}{hours:02.0f}:{rest // 60:02.0f}:{rest % 60:05.2f}"
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{sign}{hours:02}:{minutes:02}"
    number = f"{value:,.10g}" if exact else f"{value:,.{1 if unit else 4}f}"
    return f"{number}{' ' if unit and unit != '/s' else ''}{unit}"


def _lacking(promise: Promise) -> str:
    probed = promise.kind in PROBED
    return "no probe yet: --probe URL" if probed else "no evidence yet"


def _evidence(found: Found) -> str:
    places = [found.said]
    if found.table is not None:
        version = "" if found.version is None else f" version {found.version}"
        places.append(f"{found.table}{version}")
    if found.run_id:
        places.append(f"run {found.run_id}")
    return ", ".join(places)
