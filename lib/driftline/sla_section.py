"""The section ``sla`` of a problem file: what is promised to those who wait for the answers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from driftline.conf import Strict, wrong
from driftline.errors import did_you_mean

TIMED = ("ingest", "validate", "features", "train", "score", "drift", "monitor", "report")
"""Stages whose time can be promised, and bounded."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _span(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)  # what a dumped section holds
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", value)):
        return float(int(match[1]) * _SECONDS[match[2]])
    raise PydanticCustomError(
        "span",
        "not a span of time",
        {"allowed": "a whole number with s, m, h or d", "hint": "write 90s, 30m, 36h or 2d"},
    )


Span = Annotated[float, BeforeValidator(_span)]
"""A span of time in seconds, written ``90s``, ``30m``, ``36h`` or ``2d``."""


def _clock(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        return value
    raise PydanticCustomError(
        "clock",
        "not a time of day",
        {"allowed": "hours and minutes, UTC", "hint": "write '06:00', in quotes"},
    )


Clock = Annotated[str, BeforeValidator(_clock)]
"""A time of day in UTC, written ``'06:00'``."""


def check_stages(given: Any) -> Any:
    """The keys of a mapping by stage, if each is a stage whose time is known."""
    for stage in given:
        if stage not in TIMED:
            raise wrong(
                "no such stage",
                key=stage,
                found=stage,
                allowed=", ".join(TIMED),
                hint=did_you_mean(stage, TIMED, otherwise="choose one of these"),
            )
    return given


class Serving(Strict):
    """What is promised of a server that `driftline sla --probe` asks."""

    p99: float | None = Field(default=None, gt=0)
    """Milliseconds within which 99 of 100 requests are answered, at the promised throughput."""
    throughput: float | None = Field(default=None, gt=0, le=2000)
    """Requests of one row that are answered a second."""


class Sla(Strict):
    """What is promised; what is left out is not."""

    freshness: dict[str, Span] = {}
    """How old the newest row of ``silver.<source>``, or as-of of ``gold.predictions``, may be."""
    duration: dict[str, Span] = {}
    """How long a stage may take."""
    deadline: Clock | None = None
    """By when a turn of the cycle has come to its decision, each day (UTC)."""
    quality: float | None = Field(default=None, gt=0, le=1)
    """Share of the rows of a validation that passes the gate."""
    model: float | None = None
    """What the champion's metric is, beyond its 95 % interval, or better."""
    serving: Serving = Serving()

    @field_validator("duration")
    @classmethod
    def _stages(cls, given: Any) -> Any:
        return check_stages(given)
