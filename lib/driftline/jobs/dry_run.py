"""A suite, tried on all that ever landed of a source before it guards anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import measures, quality, schemas, suites, untold
from driftline.jobs.gate import as_declared, unsaid
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.suite_files import Rule, Suite


def trial(line: Line, ledger: Run, source: str, suite: Suite) -> list[str]:
    """What the suite would keep out of all that ever landed, by rule, delivery and day, and how
    many batches it would refuse for it; in lines. Writes nothing.
    """
    table, bronze = schemas.silver(line.problem, source), f"bronze.{source}"
    version = line.tables.version(bronze)
    ledger.read(bronze, version)
    rules = [rule for rule in suite.rules if quality.by_row(rule)]
    rows = as_declared(line.tables.read(bronze, version=version), table)
    day = F.to_date(line.problem.sources[source].time).alias("day")
    ledger.progress(f"trying {len(rules)} rules on {bronze}")

    def ask(places: Sequence[int]) -> list[dict[str, Any]]:
        parts = rows.groupBy("_batch", "_delivery", day)
        told = measures.scan(parts, [rules[place] for place in places])
        return [row.asDict() for row in told.orderBy("day", "_delivery").collect()]

    with unsaid(suite):
        found, failing = untold.as_far_as_told(ask, range(len(rules)))
        landed = list(dict.fromkeys(row["_delivery"] for row in found))
        untried = [
            (rules[place], why, _untold(rows, rules[place], landed, ledger))
            for place, why in failing.items()
        ]
    rules = [rule for place, rule in enumerate(rules) if place not in failing]
    paths = {
        row.delivery: row.path
        for row in line.tables.read(schemas.DELIVERIES.full_name)
        .where(F.col("source") == source)
        .select("delivery", "path")
        .distinct()
        .collect()
    }
    names = [list(measures.numbers_asked(rule)) for rule in rules]
    numbers = [  # of every delivery and day, of every rule
        [
            {name: row[f"r{place}_{number}"] for number, name in enumerate(each)}
            for place, each in enumerate(names)
        ]
        for row in found
    ]
    batches: dict[str, list[list[dict[str, int]]]] = {}
    for row, each in zip(found, numbers, strict=True):
        batches.setdefault(row["_batch"], []).append(each)
    refusing = Counter(
        name for parts in batches.values() for name in _refusing(rows, suite, rules, parts)
    )
    total = sum(row["rows"] for row in found)

    def would(refused: int) -> str:
        return f"; {refused:,} of {len(batches):,} batches would be refused" if refused else ""

    said = []
    for place, rule in enumerate(rules):
        counts = [each[place][quality.UNEXPECTED] for each in numbers]
        said.append(
            f"{table.full_name} {rule.name} ({rule.severity}): "
            f"{sum(counts):,} of {total:,} rows break it{would(refusing[rule.name])}"
        )
        hit = [(count, row) for count, row in zip(counts, found, strict=True) if count]
        said += [
            f"  {row['day'] or 'no day'}  {paths.get(row['_delivery'], row['_delivery'])}: "
            f"{count:,} of {row['rows']:,}"
            for count, row in sorted(hit, key=lambda each: -each[0])[:_SHOWN]
        ]
        if len(hit) > _SHOWN:
            said.append(f"  and {len(hit) - _SHOWN:,} more deliveries and days")
    for rule, why, on in untried:
        refused = len({row["_batch"] for row in found if row["_delivery"] in on})
        said.append(
            f"{table.full_name} {rule.name} ({rule.severity}): {untold.said(why)}{would(refused)}"
        )
        said += [f"  {paths.get(each, each)}: fails on at least one row" for each in on[:_SHOWN]]
        if len(on) > _SHOWN:
            said.append(f"  and {len(on) - _SHOWN:,} more deliveries")
    others = [rule.name for rule in suite.rules if not quality.by_row(rule)]
    if others:
        said.append(
            f"{table.full_name} not tried, being about all rows of a batch, or for Great "
            f"Expectations to run: {', '.join(others)}"
        )
    return said


def _untold(rows: DataFrame, rule: Rule, deliveries: Sequence[str], ledger: Run) -> list[str]:
    """The deliveries with a row on whose value a rule fails, if that refuses their batches."""
    if rule.severity != "error":
        return []
    ledger.progress(f"looking for the deliveries on whose values {rule.name} fails")

    def ask(some: Sequence[str]) -> None:
        measures.scan(rows.where(F.col("_delivery").isin(*some)), [rule]).collect()

    return list(untold.as_far_as_told(ask, deliveries)[1])


def _refusing(
    rows: DataFrame, suite: Suite, rules: Sequence[Rule], parts: Sequence[list[dict[str, int]]]
) -> list[str]:
    """The rules that would refuse a batch, of which ``parts`` are the numbers."""
    numbers = [
        {name: sum(part[place][name] for part in parts) for name in parts[0][place]}
        for place in range(len(rules))
    ]
    places = [  # no other can: nothing breaks it, and there was something to look at
        place
        for place, each in enumerate(numbers)
        if rules[place].severity == "error"
        and (each[quality.UNEXPECTED] or _missing(each) == each[quality.ROW_COUNT])
    ]
    if not places:
        return []
    asked = replace(suite, rules=tuple(rules[place] for place in places))
    judged = suites.judge(rows, asked, [numbers[place] for place in places], count=1, meta={})
    return [each.rule.name for each in judged.verdicts if each.refusal]


def _missing(numbers: dict[str, int]) -> int:
    """How many rows a rule did not look at for want of a value, or of values."""
    if quality.NULL_COUNT in numbers:
        return numbers[quality.NULL_COUNT]
    return numbers[quality.ROW_COUNT] - numbers[quality.FILTERED]


_SHOWN = 10
"""Deliveries and days that are shown of a rule, the worst first."""
