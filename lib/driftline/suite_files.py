"""A suite file as it is written: which rules guard a table, how much each matters, and why.

The file is a Great Expectations suite. Beside what that library asks for, ``meta`` may say ``why``
(else the expectation's ``description`` or ``notes`` do) and ``severity``: ``error`` refuses,
``warn`` is only said (else Great Expectations' own ``severity``: critical refuses).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from driftline.digests import digest
from driftline.errors import ConfError, did_you_mean

Arguments = Mapping[str, Any]

_SEVERITIES = {
    "error": "error",
    "warn": "warn",
    "critical": "error",
    "warning": "warn",
    "info": "warn",
}
_NO_COLUMN_NEEDED = "expect_column_to_exist"
"""The one expectation whose verdict is about a column that may not be there."""


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite."""

    name: str
    type: str
    arguments: Arguments
    why: str
    severity: str = "error"

    @property
    def column(self) -> str | None:
        """The column it speaks of, if it is one."""
        return self.arguments.get("column")

    @property
    def columns(self) -> list[str]:
        """All columns it speaks of by name, none for a rule in SQL or about the whole table."""
        named = [self.arguments.get(each) for each in ("column", "column_A", "column_B")]
        listed = self.arguments.get("column_list")
        return [*filter(None, named), *(listed if isinstance(listed, list) else [])]

    @property
    def fingerprint(self) -> str:
        """Identity of what the rule demands, whatever it is called and however much it matters."""
        return digest([self.type, dict(self.arguments)])[:16]


_CAN_BE_TOLD = "in its SQL use try_cast, try_divide"

ABOUT_NULLS = (
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_null",
    "expect_column_proportion_of_non_null_values_to_be_between",
)


@dataclass(frozen=True)
class Verdict:
    """What Great Expectations said about one rule on one batch."""

    rule: Rule
    success: bool
    element_count: int | None
    unexpected_count: int | None
    missing_count: int | None
    observed: str | None
    engine: str = "plan"
    """``plan``: the numbers come from the one pass; ``great_expectations``: it ran the rule."""
    told: bool = True
    """False: the rule's SQL fails on some value. Nothing is counted, ``observed`` says by what."""

    @property
    def refusal(self) -> str | None:
        """Why the batch must not pass, in words; null when it may."""
        if self.rule.severity != "error":
            return None
        if self.element_count == 0 and "row_condition" not in self.rule.arguments:
            return f"{self.rule.name}: there is no row to judge"
        about_nulls = self.rule.type in ABOUT_NULLS
        if self.element_count and self.missing_count == self.element_count and not about_nulls:
            return f"{self.rule.name}: every value is null, nothing could be judged"
        if not self.told:
            return f"{self.rule.name}: {self.observed}; {_CAN_BE_TOLD} ({self.rule.why})"
        if not self.success:
            seen = (
                f"{self.unexpected_count:,} of {self.element_count:,} rows break it"
                if self.unexpected_count is not None and self.element_count
                else f"observed {self.observed}"
            )
            return f"{self.rule.name}: {seen} ({self.rule.why})"
        return None


@dataclass(frozen=True)
class Suite:
    """A Great Expectations suite, as its file says it."""

    name: str
    rules: tuple[Rule, ...]
    digest: str
    file: str = ""


def _proposed(path: Path) -> str:
    """Where a suite comes from that is not there: of what driftline makes itself, by hand."""
    layer, _, name = path.stem.partition("_")
    if layer == "gold":
        return "a gate that cannot decide refuses: write one after those in expectations/churn"
    command = f"driftline suggest --problem … --table bronze.{name} --out {path}"
    return f"a gate that cannot decide refuses; `{command}` proposes one"


def read_suite(path: Path, columns: Iterable[str]) -> Suite:
    """Read a suite file for a table with ``columns``; whatever is wrong is a :class:`ConfError`."""

    def wrong(what: str, *, key: str = "", found: str = "", allowed: str, hint: str) -> ConfError:
        return ConfError(what, file=str(path), key=key, found=found, allowed=allowed, hint=hint)

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise wrong(
            "the table has no expectation suite",
            allowed="a Great Expectations suite as JSON",
            hint=_proposed(path),
        ) from None
    except (OSError, ValueError) as error:
        raise wrong(
            "cannot read the suite",
            found=str(error)[:80],
            allowed="a Great Expectations suite as JSON",
            hint="check commas and quotes near that place",
        ) from None
    entries = content.get("expectations") if isinstance(content, dict) else None
    if not entries or not isinstance(entries, list):
        raise wrong(
            "the suite is empty",
            key="expectations",
            allowed="at least one expectation",
            hint="an empty suite would let everything pass",
        )
    known = list(columns)
    rules: list[Rule] = []
    for place, entry in enumerate(entries):
        key = f"expectations.{place}"
        if not isinstance(entry, dict) or not (
            isinstance(entry.get("kwargs", {}), dict)
            and isinstance(entry.get("type", ""), str)
            and isinstance(entry.get("meta") or {}, dict)
        ):
            raise wrong(
                "not an expectation",
                key=key,
                found=type(entry).__name__,
                allowed="{type: …, kwargs: {…}, meta: {why: …}}",
                hint="compare with the suites in expectations/churn",
            )
        if not entry.get("type"):
            old = "expectation_type" in entry
            raise wrong(
                "a suite of Great Expectations before 1.0" if old else "an expectation of no type",
                key=f"{key}.type",
                found=str(entry.get("expectation_type", "")),
                allowed="the name of the expectation, e.g. expect_column_values_to_not_be_null",
                hint="rename expectation_type to type, and expectation_suite_name to name"
                if old
                else "compare with the suites in expectations/churn",
            )
        type_, arguments = entry["type"], entry.get("kwargs", {})
        meta = entry.get("meta") or {}
        said = meta.get("severity", entry.get("severity", "error"))
        if not isinstance(said, str) or said not in _SEVERITIES:
            raise wrong(
                "not a severity",
                key=f"{key}.meta.severity",
                found=str(said),
                allowed="error, warn",
                hint="error refuses, warn is only said",
            )
        for argument, name in _named(type_, arguments):
            if name not in known:
                raise wrong(
                    "an expectation about a column the table does not have",
                    key=f"{key}.kwargs.{argument}",
                    found=str(name),
                    allowed=", ".join(known),
                    hint=did_you_mean(str(name), known, otherwise="see schemas.py for the columns"),
                )
        rule = Rule(_name(type_, arguments), type_, arguments, _why(entry, meta), _SEVERITIES[said])
        if any(rule.type == each.type and rule.arguments == each.arguments for each in rules):
            raise wrong(
                "an expectation is there twice",
                key=key,
                found=type_,
                allowed="each type with the same kwargs once",
                hint="remove one; Great Expectations would run only one of them",
            )
        rules.append(replace(rule, name=_free(rule, {each.name for each in rules})))
    if all(rule.severity != "error" for rule in rules):
        raise wrong(
            "the suite can refuse nothing",
            key="expectations",
            found="warnings only",
            allowed="at least one expectation of severity error",
            hint="an empty delivery, at least, should not pass",
        )
    return Suite(str(content.get("name") or path.stem), tuple(rules), digest(content), str(path))


def _named(type_: str, arguments: Arguments) -> list[tuple[str, Any]]:
    """(argument, column) of the columns that must be there for the expectation to make sense."""
    if type_ == _NO_COLUMN_NEEDED:
        return []
    listed = arguments.get("column_list")
    several = listed if isinstance(listed, list) and "expect_table" not in type_ else []
    named = [(each, arguments.get(each)) for each in ("column", "column_A", "column_B")]
    return [
        *((argument, name) for argument, name in named if name is not None),
        *(("column_list", name) for name in several),
    ]


def _why(entry: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    notes = entry.get("notes")
    text = notes[0] if isinstance(notes, list) and notes else notes
    return str(meta.get("why") or entry.get("description") or text or "it does not say why")


def _name(type_: str, arguments: Arguments) -> str:
    """A short name: ``customer_id: values_to_not_be_null``."""
    what = str(type_).removeprefix("expect_").removeprefix("column_")
    about = [str(arguments[a]) for a in ("column", "column_A", "column_B") if a in arguments]
    listed = arguments.get("column_list")
    about = about or ([str(each) for each in listed] if isinstance(listed, list) else [])
    return f"{', '.join(about) or 'table'}: {what}"


def _free(rule: Rule, taken: Collection[str]) -> str:
    """The rule's name, or the shortest beginning of its fingerprint after it that no other has:
    verdicts, reasons and histories of rules are told apart by their names.
    """
    longer = (f"{rule.name} {rule.fingerprint[:digits]}" for digits in (4, 8, 12, 16))
    return next(each for each in (rule.name, *longer) if each not in taken)
