"""What a feature can be: each operation in words, and the partial aggregates it is made of.

An operation is made of components: what is kept of one entity's events of one day, so that days
add up to windows. ``tiles.py`` says how a component is aggregated, ``windows.py`` how an operation
is computed from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


class Asked(Protocol):
    """What names events and something about them: a feature, a label, a population."""

    @property
    def where(self) -> str | None:
        """Which events."""

    @property
    def value(self) -> str | None:
        """What of them."""


class Of(Asked, Protocol):
    """A feature, as far as its words go."""

    @property
    def source(self) -> str:
        """Whose events."""

    @property
    def against(self) -> int | None:
        """The window, in days, that a ratio compares with."""


@dataclass(frozen=True)
class Component:
    """One partial aggregate of the events ``where`` a condition holds, of their ``value``."""

    kind: str
    where: str | None = None
    value: str | None = None

    @property
    def name(self) -> str:
        """The column of a tile; equal definitions share it, whichever features they serve."""
        text = "\0".join((self.where or "", self.value or ""))
        return f"{self.kind}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def words(self) -> str:
        """The definition, as a comment."""
        where = f" where {self.where}" if self.where else ""
        return f"{KINDS[self.kind].format(value=self.value)}{where}"


KINDS: Mapping[str, str] = {
    "events": "Number of events",
    "late": "Number of events in the second half of the day",
    "values": "Number of events with {value}",
    "sum": "Sum of {value}",
    "squares": "Sum of the squares of {value}",
    "min": "Smallest {value}",
    "max": "Largest {value}",
    "newest": "Time of the last event, microseconds since 1970",
    "first": "{value} of the first event that has one",
    "last": "{value} of the last event that has one",
    "categories": "Number of events a {value}",
}
"""Every kind of component in words."""

_OF_EVENTS = ("events", "late", "newest")
"""Kinds that look at no value."""


@dataclass(frozen=True)
class Operation:
    """One way to make a number of the events of a window.

    ``parts`` are the kinds of its components; ``total`` is the sum of a value, or the number of
    events without one. ``empty`` is what a window without events has: 0, null, or its own length.
    """

    words: str
    parts: tuple[str, ...]
    value: Literal["needed", "possible", "none"]
    empty: Literal["zero", "null", "length"] = "null"


OPERATIONS: Mapping[str, Operation] = {
    "count": Operation("number of events", ("events",), "none", "zero"),
    "sum": Operation("sum of {value}", ("sum",), "needed", "zero"),
    "mean": Operation("mean of {value}", ("values", "sum"), "needed"),
    "min": Operation("smallest {value}", ("min",), "needed"),
    "max": Operation("largest {value}", ("max",), "needed"),
    "std": Operation(
        "standard deviation of {value} (of a sample; unknown below two events)",
        ("values", "sum", "squares"),
        "needed",
    ),
    "first": Operation("{value} of the first event that has one", ("first",), "needed"),
    "last": Operation("{value} of the last event that has one", ("last",), "needed"),
    "distinct": Operation("number of different {value}", ("categories",), "needed", "zero"),
    "top_share": Operation(
        "share of the most frequent {value} among the events that have one",
        ("categories",),
        "needed",
    ),
    "recency": Operation(
        "days since the last event (the window's length without one)", ("newest",), "none", "length"
    ),
    "frequency": Operation("days with an event", ("events",), "none", "zero"),
    "gap": Operation(
        "mean days between one day with an event and the next (unknown below two such days)",
        ("events",),
        "none",
    ),
    "gap_std": Operation(
        "standard deviation of the days between one day with an event and the next (unknown below "
        "three such days)",
        ("events",),
        "none",
    ),
    "trend": Operation(
        "newer half of the window against the older half, from -1 to 1",
        ("events", "late"),
        "none",
        "zero",
    ),
    "ratio": Operation(
        "{total} as a share of that in the {against} days up to the as-of (unknown where that "
        "is 0, to nine places)",
        ("total",),
        "possible",
    ),
    "slope": Operation(
        "slope of the least-squares line through the daily {total}, a day (days without events "
        "count as 0)",
        ("total",),
        "possible",
        "zero",
    ),
}
"""Every operation by its name in ``features``."""


def components(operation: str, asked: Asked) -> tuple[Component, ...]:
    """The components of one feature, in the order of its operation's parts."""
    found = []
    for kind in OPERATIONS[operation].parts:
        if kind == "total":
            kind = "sum" if asked.value else "events"
        found.append(component(kind, asked.where, asked.value))
    return tuple(found)


def component(kind: str, where: str | None, value: str | None = None) -> Component:
    """One component; kinds that look at no value have none."""
    return Component(kind, where, None if kind in _OF_EVENTS else value)


def words(operation: str, value: str | None, against: int | None = None) -> str:
    """An operation on a value in words."""
    total = f"sum of {value}" if value else "number of events"
    return OPERATIONS[operation].words.format(value=value, total=total, against=against)


def definition(operation: str, asked: Of, days: int) -> str:
    """One column of a feature in words."""
    what = words(operation, asked.value, asked.against)
    where = f" where {asked.where}" if asked.where else ""
    return f"{what} in {asked.source}{where}, {days} days up to the as-of"


def unique(parts: Iterable[Component]) -> tuple[Component, ...]:
    """Each component once, in the order of names: what a tile table holds."""
    return tuple(sorted(set(parts), key=lambda each: each.name))
