"""The gate, a step several jobs take: run the suite of a table, keep the verdicts, refuse."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from pyspark.sql import DataFrame

from driftline import schemas, suites
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.quality import Suite, Verdict, read_suite
from driftline.schemas import Table


def suite_path(line: Line, table: Table) -> Path:
    """``expectations/<problem>/<layer>_<table>.json``."""
    return line.root / "expectations" / line.problem.name / table.suite_file


def suite_of(line: Line, table: Table) -> Suite:
    """Read the suite that guards ``table``."""
    return read_suite(suite_path(line, table), table.column_names)


def guard(line: Line, ledger: Run, rows: DataFrame, table: Table) -> list[Verdict]:
    """Judge what is about to be written to ``table``; raises Refused after keeping the verdicts."""
    suite = suite_of(line, table)
    ledger.progress(f"judging {table.full_name} by {len(suite.rules)} expectations")
    verdicts = suites.validate(rows, suite, file=str(suite_path(line, table)))
    now = datetime.now(timezone.utc)
    values = [
        (
            table.full_name,
            suite.digest,
            verdict.rule.name,
            verdict.rule.type,
            verdict.rule.column,
            verdict.rule.severity,
            verdict.rule.why,
            verdict.success,
            verdict.element_count,
            verdict.unexpected_count,
            verdict.observed,
            ledger.run_id,
            now,
        )
        for verdict in verdicts
    ]
    with line.tables.lock(schemas.QUALITY.full_name, wait=120.0):
        line.tables.append_values(values, schemas.QUALITY, key=None)
    suites.refuse(verdicts, table.full_name)
    return verdicts
