"""The sections of a problem file that speak of events: what is asked, of whom, by which features.

Each is a frozen value that checks itself; what can only be checked across sections is in
``problem.py``.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from driftline.conf import Day, Days, Identifier, Strict, wrong
from driftline.operations import OPERATIONS

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SUBQUERY = re.compile(
    r"\(\s*(select\b|with\b|from\b|values\s+[\d('\"]|table\s+[\w`'])", re.IGNORECASE
)
_NOW = re.compile(
    r"\b((?:to_)?(?:date|timestamp(?:_ntz|_ltz)?)|cast)\s*\(?\s*r?['\"]\s*"
    r"(?:now|today|tomorrow|yesterday)\b",
    re.IGNORECASE,
)
_RESTLESS = re.compile(
    r"\b(current_(?:date|time|timestamp)|localtimestamp|(?:now|curdate|rand|randn|random|uuid|"
    r"shuffle|monotonically_increasing_id|spark_partition_id|input_file_name|unix_timestamp\s*\("
    r"\s*\))\s*(?=\())",
    re.IGNORECASE,
)


def _of_one_row(text: str) -> str:
    """An expression must say the same of a row whenever, and beside whatever rows, it is asked."""
    bare = _COMMENT.sub(" ", _QUOTED.sub("''", text))
    if found := _SUBQUERY.search(bare):
        raise wrong(
            "a subquery would look at other rows, and at other times",
            found=text,
            allowed="an expression over the columns of one row",
            hint=f"there is a {found[1].split()[0].upper()} in it; "
            "use a feature of that source instead",
        )
    if found := _RESTLESS.search(bare) or _NOW.search(text):
        raise wrong(
            "says something else each time it is asked",
            found=text,
            allowed="an expression over the columns of one row",
            hint=f"{found[1]} is not allowed: windows end at the as-of, not now",
        )
    return text


Expression = Annotated[str, Field(min_length=1), AfterValidator(_of_one_row)]
"""A Spark SQL expression over the columns of one source."""


class Events(Strict):
    """Rows of one source, optionally narrowed by a SQL condition."""

    source: Identifier
    where: Expression | None = None


class Label(Events):
    """What is to be predicted, from the events in (as-of, as-of + horizon]."""

    horizon: Days
    outcome: Literal["none", "any", "sum"]
    value: Expression | None = None

    @model_validator(mode="after")
    def _value_for_sum(self) -> Label:
        if (self.outcome == "sum") != (self.value is not None):
            raise wrong(
                f"outcome {self.outcome} {'needs a' if self.value is None else 'takes no'} value",
                key="value",
                found=self.value or "nothing",
                allowed="outcome: sum with a value; outcome: none or any without",
                hint="value is what is added up, e.g. amount",
            )
        return self


class Population(Events):
    """Which entities are asked about at an as-of: those with such an event lately (or ever)."""

    within: Days | None = None


class Feature(Events):
    """One aggregate of a source's events over one or more windows that end at the as-of."""

    name: Identifier
    operation: Literal[
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "std",
        "first",
        "last",
        "distinct",
        "top_share",
        "recency",
        "frequency",
        "gap",
        "gap_std",
        "trend",
        "ratio",
        "slope",
    ]
    value: Expression | None = None
    windows: tuple[Days, ...] = Field(min_length=1)
    against: Days | None = None
    """The window that a ratio's windows are compared with."""

    @model_validator(mode="after")
    def _value_where_needed(self) -> Feature:
        rule = OPERATIONS[self.operation].value
        if (rule == "needed" and self.value is None) or (rule == "none" and self.value):
            needing = (name for name, each in OPERATIONS.items() if each.value == "needed")
            maybe = (name for name, each in OPERATIONS.items() if each.value == "possible")
            raise wrong(
                f"{self.operation} {'needs a' if rule == 'needed' else 'takes no'} value",
                key="value",
                found=self.value or "nothing",
                allowed=f"value with {', '.join(needing)}; with or without {', '.join(maybe)}; "
                "none with the others",
                hint="value is a column or a SQL expression over the columns",
            )
        return self

    @model_validator(mode="after")
    def _windows_that_mean_something(self) -> Feature:
        if (self.operation == "ratio") != (self.against is not None):
            needs = self.against is None
            raise wrong(
                f"{self.operation} {'needs' if needs else 'takes no'} against",
                key="against",
                found="nothing" if needs else f"{self.against}d",
                allowed="a window with ratio, none with the others",
                hint="windows: [30d], against: 365d is the share of a year that fell into 30 days",
            )
        if self.operation == "slope" and not 2 <= min(self.windows) <= max(self.windows) <= 3_650:
            raise wrong(
                "no line goes through so few days, or so many",
                key="windows",
                found=", ".join(f"{days}d" for days in self.windows),
                allowed="windows from 2d to 3650d with slope",
                hint="write 30d",
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature's columns in ``gold.features``, one a window: ``spend_30d``."""
        return tuple(f"{self.name}_{days}d" for days in self.windows)


class Profile(Strict):
    """Attributes of an entity, taken from its latest row not after the as-of."""

    source: Identifier
    attributes: tuple[Identifier, ...] = Field(min_length=1)


class Cutoffs(Strict):
    """The as-of days: ``first``, then one every ``every`` until the data ends."""

    first: Day
    every: Days
    known: Literal["event", "arrival"] = "event"
    """Whether an as-of sees what had happened by then, or only what had arrived by then too."""
