"""A calm turn of the flagship's champion, and how decisions are tried on changes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from driftline.decision import (
    Economics,
    Turn,
)
from driftline.evaluation import Interval
from driftline.monitor_section import Monitor
from driftline.problem import load_problem

START = datetime(2024, 6, 1, tzinfo=timezone.utc)


DAY = timedelta(days=1)


CHURN = load_problem(Path(__file__).parents[2] / "conf" / "churn.yaml")


RULE = Monitor(at_least=2, of=5, cooldown=1)


FREE = Economics(None, None)


def interval(value: float, half: float = 0.005) -> Interval:
    return Interval(value, value - half, value + half)


CALM = Turn(
    as_of=START,
    cutoff=START,
    version=1,
    reference=interval(0.75),
    drift=0.0,
    expected=interval(0.75),
    trusted=True,
    real=interval(0.75),
    concept=False,
)


def turns(*changes: dict[str, Any]) -> list[Turn]:
    """One turn a month, calm but for the changes."""
    months = (START + timedelta(days=30 * number) for number in range(len(changes)))
    return [
        replace(CALM, as_of=month, cutoff=month, **each)
        for month, each in zip(months, changes, strict=True)
    ]


WORSE = {"real": interval(0.65)}
