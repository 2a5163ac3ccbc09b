"""What a table looks like → an expectation suite to review, each rule with its evidence.

Every rule holds on the rows it was made from: ``mostly`` is what they keep, rounded down. What is
estimated (distinct values, frequent shapes) only decides which rules are tried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    NumericType,
    StringType,
    TimestampType,
)

from driftline.suite_files import Rule, Verdict

_FEW, _OFTEN, _SHAPES = 20, 50, 5
"""Values of a set at most; rows each must have on average; shapes of a text at most."""
_COVERED = 0.95
"""Share of the values that shapes must explain to be proposed."""


@dataclass(frozen=True)
class Proposal:
    """A rule that was found, and what speaks for it."""

    type: str
    arguments: dict[str, Any]
    evidence: str
    severity: str = "warn"

    @property
    def rule(self) -> Rule:
        """As a suite has it."""
        return Rule(self.type, self.type, self.arguments, self.evidence, self.severity)

    @property
    def entry(self) -> dict[str, Any]:
        """As a suite's file has it."""
        meta = {"why": self.evidence, "severity": self.severity}
        return {"type": self.type, "kwargs": self.arguments, "meta": meta}


def looked_at(rows: DataFrame) -> DataFrame:
    """One row: counts, ranges, distinct values, frequent values and shapes of every column."""
    asked = [F.count(F.lit(1)).alias("rows")]
    for place, field in enumerate(rows.schema):
        column = F.col(f"`{field.name}`")
        asked += [
            F.count(column).alias(f"values{place}"),
            F.approx_count_distinct(column, 0.02).alias(f"distinct{place}"),
            F.min(column).alias(f"min{place}"),
            F.max(column).alias(f"max{place}"),
        ]
        if isinstance(field.dataType, StringType):
            asked += [
                F.min(F.length(column)).alias(f"shortest{place}"),
                F.max(F.length(column)).alias(f"longest{place}"),
                F.expr(f"approx_top_k(`{field.name}`, {_FEW}, 10000)").alias(f"top{place}"),
                F.expr(f"approx_top_k({_shape(field.name)}, {_SHAPES}, 10000)").alias(
                    f"shapes{place}"
                ),
            ]
    return rows.agg(*asked)


def _shape(name: str) -> str:
    """SQL of a text with every letter as a or A and every digit as 9; long ones do not count."""
    small = f"regexp_replace(`{name}`, '[a-z]', 'a')"
    letters = f"regexp_replace({small}, '[A-Z]', 'A')"
    return f"if(length(`{name}`) <= 60, regexp_replace({letters}, '[0-9]', '9'), NULL)"


def proposals(
    rows: DataFrame, told: Row, *, time: str | None = None, key: Sequence[str] = ()
) -> list[Proposal]:
    """Rules to try, from what :func:`looked_at` told; ``time`` is the column of event times.

    ``key`` is by what repeats were taken out of the rows. A batch is judged before they are, so
    that it may repeat what is unique here: nothing unique is demanded, of the key not even wished.
    """
    count = told.rows
    found = [
        Proposal(
            "expect_table_row_count_to_be_between",
            {"min_value": 1},
            f"an empty table is a broken export; there were {count:,} rows",
            "error",
        )
    ]
    for place, field in enumerate(rows.schema):
        name, type_ = field.name, field.dataType
        values = told[f"values{place}"]
        kind = type(type_).__name__
        found.append(
            Proposal(
                "expect_column_values_to_be_of_type",
                {"column": name, "type_": kind},
                f"{name} is {type_.simpleString()}",
                "error",
            )
        )
        share = values / count if count else 0.0
        if share >= 0.5:
            found.append(
                Proposal(
                    "expect_column_values_to_not_be_null",
                    {"column": name, **_mostly(share)},
                    f"{count - values:,} of {count:,} rows have none",
                    "error" if share == 1 else "warn",
                )
            )
        if not values:
            continue
        found += _range(name, type_, told, place, values)
        if isinstance(type_, StringType):
            found += _texts(name, told, place, values)
        distinct = told[f"distinct{place}"]
        is_unique = values == count and count >= 2 and abs(distinct - count) <= 0.06 * count
        if is_unique and tuple(key) != (name,):
            repeats = ", judged before repeats of the key are taken out" if key else ""
            found.append(
                Proposal(
                    "expect_column_values_to_be_unique",
                    {"column": name},
                    f"about {distinct:,} different values in {count:,} rows{repeats}",
                    "warn" if key else "error",
                )
            )
        if name == time and isinstance(type_, DateType | TimestampType):
            newest = told[f"max{place}"]
            found.append(
                Proposal(
                    "expect_column_max_to_be_between",
                    {"column": name, "min_value": _text(newest)},
                    f"the newest was of {_text(newest)}: move it on, or watch lag_hours instead",
                )
            )
    return found


def _range(name: str, type_: DataType, told: Row, place: int, values: int) -> list[Proposal]:
    low, high = told[f"min{place}"], told[f"max{place}"]
    between = "expect_column_values_to_be_between"
    said = f"{values:,} values lie between {_text(low)} and {_text(high)}"
    if isinstance(type_, DateType | TimestampType):
        bounds = {"min_value": _text(low), "max_value": _text(high, up=True)}
        return [Proposal(between, {"column": name, **bounds}, said)]
    if not isinstance(type_, NumericType) or not all(map(math.isfinite, (low, high))):
        return []
    sign = [
        Proposal(between, {"column": name, "min_value": 0}, f"{said}: none is below 0", "error")
    ]
    ends: dict[str, Any] = {"min_value": float(low), "max_value": float(high)}
    return [*(sign if low >= 0 else []), Proposal(between, {"column": name, **ends}, said)]


def _texts(name: str, told: Row, place: int, values: int) -> list[Proposal]:
    found = [
        Proposal(
            "expect_column_value_lengths_to_be_between",
            {
                "column": name,
                "min_value": told[f"shortest{place}"],
                "max_value": told[f"longest{place}"],
            },
            f"the shortest of {values:,} values has {told[f'shortest{place}']:,} characters, the "
            f"longest {told[f'longest{place}']:,}",
        )
    ]
    top = [each for each in told[f"top{place}"] or [] if each.item is not None]
    if told[f"distinct{place}"] <= _FEW and values >= _OFTEN * len(top) and top:
        allowed = sorted(each.item for each in top)
        found.append(
            Proposal(
                "expect_column_values_to_be_in_set",
                {"column": name, "value_set": allowed},
                f"{len(allowed)} different values in {values:,} rows",
            )
        )
        return found
    shapes = [each for each in told[f"shapes{place}"] or [] if each.item]
    covered = sum(each["count"] for each in shapes) / values
    if shapes and covered >= _COVERED:
        regex = "^(" + "|".join(sorted({_regex(each.item) for each in shapes})) + ")$"
        found.append(
            Proposal(
                "expect_column_values_to_match_regex",
                {"column": name, "regex": regex},
                f"{covered:.1%} of {values:,} values have {len(shapes)} shapes",
            )
        )
    return found


def _regex(shape: str) -> str:
    """``aa-999`` → ``[a-z]{2}-[0-9]{3}``."""
    parts = []
    for run in re.finditer(r"a+|A+|9+|.", shape, re.S):
        kind = {"a": "[a-z]", "A": "[A-Z]", "9": "[0-9]"}.get(run[0][0])
        length = len(run[0])
        parts.append(re.escape(run[0]) if kind is None else kind + (f"{{{length}}}" * (length > 1)))
    return "".join(parts)


def _text(value: Any, *, up: bool = False) -> str:
    """A bound as a suite writes it; a time to the second, rounded ``up`` for an upper one."""
    if isinstance(value, datetime):
        moment = value.replace(microsecond=0)
        if up and value.microsecond:
            last = datetime.max.replace(microsecond=0)
            moment = value if moment == last else moment + timedelta(seconds=1)
        return moment.isoformat(sep=" ")  # strftime leaves zeros of a year out
    return value.isoformat() if isinstance(value, date) else str(value)


def _mostly(share: float) -> dict[str, float]:
    """The share that is kept, rounded down; nothing where all are."""
    return {} if share == 1 else {"mostly": math.floor(share * 1000) / 1000}


def kept(
    found: Sequence[Proposal], verdicts: Sequence[Verdict]
) -> tuple[list[Proposal], list[str]]:
    """What holds on the rows, loosened where an estimate was too strict; and in words what is not
    proposed because it fails on a value. What else does not hold was a guess.
    """
    holding, untold = [], []
    for proposal, verdict in zip(found, verdicts, strict=True):
        if verdict.success:
            holding.append(proposal)
        elif not verdict.told:
            about = proposal.arguments.get("column", "table")
            untold.append(f"{about}: {proposal.type} {verdict.observed}")
        elif is_tried(proposal) and verdict.unexpected_count:
            holding.append(loosened(proposal, verdict))
    return holding, untold


def loosened(proposal: Proposal, verdict: Verdict) -> Proposal:
    """The rule with the share of the values that keep it as its ``mostly``."""
    values = (verdict.element_count or 0) - (verdict.missing_count or 0)
    broken = verdict.unexpected_count or 0
    share = 1 - broken / values if values else 0.0
    said = f"{proposal.evidence}; {broken:,} of {values:,} break it"
    return replace(proposal, arguments={**proposal.arguments, **_mostly(share)}, evidence=said)


def is_tried(proposal: Proposal) -> bool:
    """Whether what is estimated may have made the rule too strict."""
    return proposal.type in (
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_match_regex",
    )
