"""The quality gate: which rules a suite has, which rows break them, which rows repeat a key.

A rule is one small function from an expectation's arguments to a column that is true where a row
breaks it. Adding one is one entry in :data:`RULES`. As in Great Expectations, a null breaks only
rules about nulls. The verdict on the batch as a whole is Great Expectations' own (``suites.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from driftline.errors import ConfError, did_you_mean
from driftline.problem import digest

Arguments = Mapping[str, Any]


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


@dataclass(frozen=True)
class Suite:
    """A Great Expectations suite, as its file says it."""

    name: str
    rules: tuple[Rule, ...]
    digest: str


@dataclass(frozen=True)
class Verdict:
    """What Great Expectations said about one rule on one batch."""

    rule: Rule
    success: bool
    element_count: int | None
    unexpected_count: int | None
    missing_count: int | None
    observed: str | None

    @property
    def refusal(self) -> str | None:
        """Why the batch must not pass, in words; null when it may."""
        if self.rule.severity != "error":
            return None
        if self.element_count == 0:
            return f"{self.rule.name}: there is no row to judge"
        about_nulls = self.rule.type in _ABOUT_NULLS
        if self.element_count and self.missing_count == self.element_count and not about_nulls:
            return f"{self.rule.name}: every value is null, nothing could be judged"
        if not self.success:
            seen = (
                f"{self.unexpected_count:,} of {self.element_count:,} rows break it"
                if self.unexpected_count is not None and self.element_count
                else f"observed {self.observed}"
            )
            return f"{self.rule.name}: {seen} ({self.rule.why})"
        return None


_ABOUT_NULLS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


def _between(of: Callable[[Arguments], Column]) -> Callable[[Arguments], Column]:
    def breaks(arguments: Arguments) -> Column:
        value, broken = of(arguments), F.lit(False)
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if low is not None:
            strict = arguments.get("strict_min", False)
            broken = broken | (value <= low if strict else value < low)
        if high is not None:
            strict = arguments.get("strict_max", False)
            broken = broken | (value >= high if strict else value > high)
        return broken

    return breaks


def _column(arguments: Arguments) -> Column:
    return F.col(arguments["column"])


RULES: Mapping[str, Callable[[Arguments], Column]] = {
    "expect_column_values_to_not_be_null": lambda a: _column(a).isNull(),
    "expect_column_values_to_be_null": lambda a: _column(a).isNotNull(),
    "expect_column_values_to_be_between": _between(_column),
    "expect_column_value_lengths_to_be_between": _between(lambda a: F.length(_column(a))),
    "expect_column_values_to_be_in_set": lambda a: ~_column(a).isin(list(a["value_set"])),
    "expect_column_values_to_not_be_in_set": lambda a: _column(a).isin(list(a["value_set"])),
    "expect_column_values_to_match_regex": lambda a: ~_column(a).rlike(a["regex"]),
    "expect_column_values_to_not_match_regex": lambda a: _column(a).rlike(a["regex"]),
    "expect_column_pair_values_a_to_be_greater_than_b": lambda a: (
        F.col(a["column_A"]) < F.col(a["column_B"])
        if a.get("or_equal")
        else F.col(a["column_A"]) <= F.col(a["column_B"])
    ),
}
"""Expectations about single rows: arguments → true where the row breaks it."""


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
            hint="a gate that cannot decide refuses: write the suite, even with one expectation",
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
        if not isinstance(entry, dict) or not isinstance(entry.get("kwargs", {}), dict):
            raise wrong(
                "not an expectation",
                key=key,
                found=type(entry).__name__,
                allowed="{type: …, kwargs: {…}, meta: {why: …}}",
                hint="compare with the suites in expectations/churn",
            )
        type_, arguments = entry.get("type", ""), entry.get("kwargs", {})
        meta = entry.get("meta") or {}
        if not meta.get("why"):
            raise wrong(
                "an expectation does not say why it is there",
                key=f"{key}.meta.why",
                found="nothing",
                allowed="a sentence",
                hint="who reads the refusal at night needs it",
            )
        severity = meta.get("severity", "error")
        if severity not in ("error", "warn"):
            raise wrong(
                "not a severity",
                key=f"{key}.meta.severity",
                found=str(severity),
                allowed="error, warn",
                hint="error refuses, warn is only said",
            )
        for argument in ("column", "column_A", "column_B"):
            name = arguments.get(argument)
            if name is not None and name not in known:
                raise wrong(
                    "an expectation about a column the table does not have",
                    key=f"{key}.kwargs.{argument}",
                    found=name,
                    allowed=", ".join(known),
                    hint=did_you_mean(name, known, otherwise="see schemas.py for the columns"),
                )
        if any(rule.type == type_ and rule.arguments == arguments for rule in rules):
            raise wrong(
                "an expectation is there twice",
                key=key,
                found=type_,
                allowed="each type with the same kwargs once",
                hint="remove one; Great Expectations would run only one of them",
            )
        rules.append(Rule(_name(type_, arguments), type_, arguments, meta["why"], severity))
    if all(rule.severity != "error" for rule in rules):
        raise wrong(
            "the suite can refuse nothing",
            key="expectations",
            found="warnings only",
            allowed="at least one expectation of severity error",
            hint="an empty delivery, at least, should not pass",
        )
    return Suite(content.get("name", path.stem), tuple(rules), digest(content))


def _name(type_: str, arguments: Arguments) -> str:
    """A short name: ``customer_id: values_to_not_be_null``."""
    what = type_.removeprefix("expect_").removeprefix("column_")
    about = [str(arguments[a]) for a in ("column", "column_A", "column_B") if a in arguments]
    return f"{', '.join(about) or 'table'}: {what}"


def judge(rows: DataFrame, suite: Suite) -> DataFrame:
    """Add ``_rules``: the names of the error rules each row breaks (empty for a good row)."""
    broken = [
        F.when(F.coalesce(RULES[rule.type](rule.arguments), F.lit(False)), F.lit(rule.name))
        for rule in suite.rules
        if rule.severity == "error"
        and rule.type in RULES
        # Judged on some rows only: Great Expectations' verdict on the batch has to do.
        and "row_condition" not in rule.arguments
    ]
    rules = F.array_compact(F.array(*broken)) if broken else F.array().cast("array<string>")
    return rows.withColumn("_rules", rules)


def mark_repeats(
    judged: DataFrame, seen: DataFrame | None, *, key: Sequence[str], time: str
) -> DataFrame:
    """Add ``_repeat``: true where a good row's key stands in ``seen`` or in an earlier good row.

    Earlier means by event time, then delivery, then place in it. A null in the key never repeats.
    """
    if not key:
        return judged.withColumn("_repeat", F.lit(False))
    good = F.size("_rules") == 0
    complete = F.lit(True)
    for name in key:
        complete = complete & F.col(name).isNotNull()
    order = Window.partitionBy(*key, good).orderBy(time, "_delivery", "_offset")
    repeats = F.row_number().over(order) > 1
    if seen is not None:
        before = seen.select(*key).distinct().withColumn("_seen", F.lit(True))
        judged = judged.join(before, on=list(key), how="left")
        repeats = repeats | F.col("_seen").isNotNull()
    marked = judged.withColumn("_repeat", good & complete & repeats)
    return marked.drop("_seen")


def quarantined(judged: DataFrame, columns: Sequence[str], *, table: str, run_id: str) -> DataFrame:
    """The rows that break a rule, as rows of ``ops.quarantine``."""
    return judged.where(F.size("_rules") > 0).select(
        F.lit(table).alias("table"),
        F.col("_delivery").alias("delivery"),
        F.col("_offset").alias("offset"),
        F.col("_rules").alias("rules"),
        F.to_json(F.struct(*columns)).alias("row"),
        F.col("_batch").alias("batch"),
        F.lit(run_id).alias("run_id"),
    )
