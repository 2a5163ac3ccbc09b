"""What a suite asks of the rows: one pass for all its rules, a shuffle for distinct values.

The numbers have Great Expectations' names, so that its own code can make verdicts of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, GroupedData
from pyspark.sql import functions as F

from driftline import quality
from driftline.suite_files import Rule


@dataclass(frozen=True)
class Groups:
    """Numbers over the distinct values of some columns."""

    rows: DataFrame
    """One row."""
    names: Mapping[str, tuple[int, str]]
    """Column of ``rows`` → which rule asked for it, and the number's name."""


def scan(rows: DataFrame | GroupedData, rules: Sequence[Rule], *also: Column) -> DataFrame:
    """One row, or one a group, with everything about ``rules`` that one pass over ``rows`` tells.

    Column ``r<rule>_<number>`` is the number of :func:`numbers_asked` in that place, ``rows`` how
    many rows there are; then come the aggregates asked for ``also``.
    """
    asked = [
        column.alias(f"r{place}_{number}")
        for place, rule in enumerate(rules)
        for number, column in enumerate(numbers_asked(rule).values())
    ]
    return rows.agg(*asked, F.count(F.lit(1)).alias("rows"), *also)


def numbers_asked(rule: Rule) -> dict[str, Column]:
    """The numbers a rule needs of one pass over the rows, by Great Expectations' names."""
    if not quality.compiled(rule) or rule.type in quality.SCHEMA:
        return {}
    condition = quality.condition_of(rule)

    def kept(value: Column) -> Column:
        return value if condition is None else F.when(condition, value)

    asked: dict[str, Column] = {}
    if rule.type in quality.AGGREGATES:
        name, aggregate = quality.AGGREGATES[rule.type]
        asked[name] = aggregate(kept, rule.arguments)
        if name == quality.ROW_COUNT:
            return asked
    asked[quality.ROW_COUNT] = F.count(kept(F.lit(1)))
    if "column" in rule.arguments:
        asked[quality.NULL_COUNT] = F.count(kept(F.lit(1))) - F.count(
            kept(quality.column_of(rule.arguments))
        )
    looked = quality.looked_at(rule)
    if rule.column is None and looked is not None:
        asked[quality.FILTERED] = F.count_if(F.coalesce(kept(looked), F.lit(False)))
    elif rule.column is None:
        asked[quality.FILTERED] = F.count(kept(F.lit(1)))
    if rule.type in quality.ROWS:
        asked[quality.UNEXPECTED] = F.count_if(quality.breaks(rule))
    return asked


def groups(rows: DataFrame, rules: Sequence[Rule]) -> list[Groups]:
    """What the rules ask of distinct values, those of the same columns and rows together."""
    together: dict[tuple[Any, ...], list[int]] = {}
    for place, rule in enumerate(rules):
        if rule.type in quality.GROUPS and quality.compiled(rule):
            ignored = rule.arguments.get("ignore_row_if", "all_values_are_missing")
            condition = quality.spark_condition(rule)
            together.setdefault((tuple(rule.columns), condition, ignored), []).append(place)
    found = []
    for (columns, _, _), alike in together.items():
        first = rules[alike[0]]
        wanted = [
            each
            for each in (quality.condition_of(first), quality.looked_at(first))
            if each is not None
        ]
        values = [F.col(f"`{name}`").alias(f"_value_{n}") for n, name in enumerate(columns)]
        sizes = (
            rows.where(quality.every(wanted)).groupBy(*values).agg(F.count(F.lit(1)).alias("_size"))
        )
        names = {
            f"g{place}_{number}": (place, name)
            for place in alike
            for number, name in enumerate(quality.GROUPS[rules[place].type])
        }
        asked = [
            quality.GROUPS[rules[place].type][name](rules[place].arguments).alias(each)
            for each, (place, name) in names.items()
        ]
        found.append(Groups(sizes.agg(*asked), names))
    return found
