"""The gate, a step several jobs take: run the suite of a table, keep the verdicts, refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from driftline import (
    arrow_rules,
    arrow_scan,
    measures,
    quality,
    rule_checks,
    schemas,
    storage,
    suites,
    untold,
)
from driftline.arrow_files import Files
from driftline.errors import ConfError
from driftline.expectation_results import Numbers
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.schemas import Table
from driftline.suite_files import Rule, Suite, read_suite
from driftline.suites import Judged
from driftline.watch import Vitals


def suite_path(line: Line, table: Table) -> Path:
    """``expectations/<problem>/<layer>_<table>.json``."""
    return line.root / "expectations" / line.problem.name / table.suite_file


def suite_of(line: Line, table: Table) -> Suite:
    """Read the suite that guards ``table`` and check that it can run on its columns."""
    suite = read_suite(suite_path(line, table), table.column_names)
    suites.check(suite)
    rule_checks.check(line.spark.createDataFrame([], table.ddl), suite)
    return suite


def as_declared(rows: DataFrame, table: Table) -> DataFrame:
    """The columns of ``table`` and no other; one that the rows have not got yet is null, as it will
    be of them once it is written.
    """
    there = set(rows.columns)
    return rows.select(
        *(
            F.col(f"`{each.name}`")
            if each.name in there
            else F.lit(None).cast(each.type).alias(each.name)
            for each in table.columns
        )
    )


def guard(
    line: Line,
    ledger: Run,
    rows: DataFrame,
    table: Table,
    *,
    suite: Suite | None = None,
    batch: str = "",
    vitals: Vitals | None = None,
    files: Files | None = None,
) -> Judged:
    """Judge what is about to be written to ``table``; raises Refused after keeping the verdicts.

    ``suite`` is that of the table, if it was read before; ``vitals`` is what the same pass shall
    tell beside, ``files`` where the rows are, if workers can read them as they are.
    """
    suite = suite or suite_of(line, table)
    judged = verdicts(
        line, ledger, rows, table, suite=suite, batch=batch, vitals=vitals, files=files
    )
    suites.refuse(judged, table.full_name)
    return judged


def verdicts(
    line: Line,
    ledger: Run,
    rows: DataFrame,
    table: Table,
    *,
    suite: Suite,
    batch: str,
    vitals: Vitals | None = None,
    files: Files | None = None,
) -> Judged:
    """Judge and keep the verdicts, whatever they are."""
    ledger.progress(f"judging {table.full_name} by {len(suite.rules)} expectations")
    now = datetime.now(timezone.utc)
    meta = {
        "run_id": {"run_name": ledger.run_id, "run_time": now.isoformat()},
        "table": table.full_name,
        "batch": batch,
    }
    judged = judge(rows, suite, meta=meta, vitals=vitals, files=files)
    values = [
        (
            table.full_name,
            batch,
            suite.digest,
            verdict.rule.name,
            verdict.rule.fingerprint,
            verdict.rule.type,
            verdict.rule.column,
            verdict.rule.severity,
            verdict.rule.why,
            verdict.engine,
            verdict.success,
            verdict.element_count,
            verdict.unexpected_count,
            verdict.missing_count,
            verdict.observed,
            ledger.run_id,
            now,
        )
        for verdict in judged.verdicts
    ]
    whole = (table.full_name, batch, suite.digest, judged.result, ledger.run_id, now)
    with line.tables.lock(schemas.QUALITY.full_name, schemas.VALIDATIONS.full_name, wait=120.0):
        line.tables.append_values(values, schemas.QUALITY, key=None)
        line.tables.append_values([whole], schemas.VALIDATIONS, key=None)
    return judged


def judge(
    rows: DataFrame,
    suite: Suite,
    *,
    meta: Mapping[str, Any],
    vitals: Vitals | None = None,
    files: Files | None = None,
) -> Judged:
    """The verdicts of a suite: one pass over the rows, one shuffle for each set of columns whose
    distinct values are asked for, and whatever Great Expectations runs by itself. Only if one of
    the rules fails on a value there are more, and if Arrow tells some of the rules and not all:
    then Spark passes over the rows, too.
    """

    def ask(places: Sequence[int]) -> tuple[Row, dict[int, Numbers | None]]:
        rules = [suite.rules[place] for place in places]
        told, numbers = _asked(rows, rules, vitals, files)
        return told, dict(zip(places, numbers, strict=True))

    with unsaid(suite):
        (told, numbers), failing = untold.as_far_as_told(ask, range(len(suite.rules)))
        found = [
            failing[place] if place in failing else numbers[place]
            for place in range(len(suite.rules))
        ]
        judged = suites.judge(rows, suite, found, count=told["rows"], meta=meta)
        return replace(judged, told=told)


def _asked(
    rows: DataFrame, rules: Sequence[Rule], vitals: Vitals | None, files: Files | None
) -> tuple[Row, list[Numbers | None]]:
    """What one pass tells, and the numbers of each rule; None if Great Expectations runs it."""
    found: dict[int, dict[str, Any]] = {
        place: {} for place, rule in enumerate(rules) if quality.compiled(rule)
    }
    told, by_arrow = None, dict[int, Numbers]()
    if files is not None:
        told, by_arrow = _told_by_arrow(rows.sparkSession, rules, list(found), vitals, files)
        for place, numbers in by_arrow.items():
            found[place].update(numbers)
    left = [place for place in found if place not in by_arrow]
    asked = [rules[place] for place in left]
    if told is None or any(map(measures.numbers_asked, asked)):
        also = vitals.aggregates() if vitals and told is None else []
        seen = measures.scan(rows, asked, *also).first()
        assert isinstance(seen, Row)
        told = told or seen
        for n, (place, rule) in enumerate(zip(left, asked, strict=True)):
            for number, name in enumerate(measures.numbers_asked(rule)):
                found[place][name] = seen[f"r{n}_{number}"]
    for each in measures.groups(rows, rules):
        distinct = each.rows.first()
        assert isinstance(distinct, Row)
        for alias, (place, name) in each.names.items():
            found[place][name] = distinct[alias]
    return told, [found.get(place) for place in range(len(rules))]


def _told_by_arrow(
    spark: SparkSession,
    rules: Sequence[Rule],
    places: Sequence[int],
    vitals: Vitals | None,
    files: Files,
) -> tuple[Row, dict[int, Numbers]]:
    """What Arrow tells of the rows in some files, and the numbers of the rules that it tells."""
    told = [place for place in places if arrow_rules.tells(rules[place], files.schema)]
    asked = [rules[place] for place in told]
    newest = (vitals.time, vitals.arrived) if vitals else ()
    found = arrow_scan.scan(spark, files, asked, newest)
    numbers = {
        place: arrow_scan.numbers(n, rule, found)
        for n, (place, rule) in enumerate(zip(told, asked, strict=True))
    }
    if vitals is None:
        return Row(rows=found.rows), numbers
    return vitals.row(found.rows, found.values, found.newest), numbers


@contextmanager
def unsaid(suite: Suite) -> Iterator[None]:
    """While rules run on rows: what Spark says of what fails on one may quote its value."""
    try:
        yield
    except PySparkException as error:
        if storage.explained(f"{type(error).__name__} {error}"):
            raise
        raise ConfError(
            "the suite cannot be run on these rows",
            file=suite.file or suite.name,
            found=str(error.getCondition() or type(error).__name__),
            allowed="expectations that Spark can run, on rows that it can make",
            hint="try it with fewer rules; or what makes the rows fails on a value: use try_cast, "
            "try_divide there",
        ) from None
