"""``ops.*`` → one HTML page."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from driftline import beside, explore, schemas
from driftline.jobs.line import Line
from driftline.registry import Registry
from driftline.report import Facts, render
from driftline.schemas import Table
from driftline.threads import at_once


def run(line: Line) -> str:
    """Write the page; returns where it is."""
    with line.ledger.run("report") as ledger:
        ledger.progress("gathering facts")
        page = render(facts(line))
        path = line.beside("report.html")
        beside.write(line.spark, path, page)
        ledger.status = "done"
        ledger.message = path
        return ledger.message


def facts(line: Line) -> Facts:
    """Read everything the page needs from ``ops.*`` and the registry."""
    read: dict[str, Callable[[], pd.DataFrame]] = {
        name: partial(_frame, line, table) for name, table in _TABLES.items()
    }
    read["rejects"] = partial(_counts, line, schemas.REJECTS, ["source", "reason", "column"])
    read["quarantine"] = partial(_quarantine, line)
    cores = line.environment.cores
    found = at_once(line.spark, lambda name: read[name](), read, threads=cores)
    frames = dict(zip(read, found, strict=True))
    frames["histograms"] = newest(frames["histograms"], frames["runs"])
    return Facts(
        problem=line.problem,
        generated_at=datetime.now(timezone.utc),
        champion=_champion(line),
        **frames,
    )


_TABLES = {
    "runs": schemas.RUNS,
    "deliveries": schemas.DELIVERIES,
    "quality": schemas.QUALITY,
    "trials": schemas.TRIALS,
    "evaluations": schemas.EVALUATIONS,
    "slices": schemas.SLICES,
    "curves": schemas.CURVES,
    "drift": schemas.DRIFT,
    "causes": schemas.CAUSES,
    "histograms": schemas.HISTOGRAMS,
    "explored": explore.TABLE,
    "performance": schemas.PERFORMANCE,
    "skew": schemas.SKEW,
    "decisions": schemas.DECISIONS,
    "outcomes": schemas.OUTCOMES,
    "sla": schemas.SLA,
}
"""Facts that are tables, read whole."""


def newest(histograms: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Of each picture the one of the last run: bins depend on what a version was compared with."""
    started = histograms["run_id"].map(runs.set_index("run_id")["started_at"])
    which = [histograms[name] for name in ("table", "version", "slice", "column")]
    return histograms[started == started.groupby(which).transform("max")]


def _frame(line: Line, table: Table) -> pd.DataFrame:
    if not line.tables.exists(table.full_name):
        return pd.DataFrame(columns=table.column_names)
    rows = [row.asDict(recursive=True) for row in line.tables.read(table.full_name).collect()]
    return pd.DataFrame(rows, columns=table.column_names)


def _counts(line: Line, table: Table, by: list[str]) -> pd.DataFrame:
    if not line.tables.exists(table.full_name):
        return pd.DataFrame(columns=[*by, "rows"])
    counted = line.tables.read(table.full_name).groupBy(*by).agg(F.count("*").alias("rows"))
    return counted.toPandas()


def _quarantine(line: Line) -> pd.DataFrame:
    name = schemas.QUARANTINE.full_name
    if not line.tables.exists(name):
        return pd.DataFrame(columns=["table", "rule", "rows"])
    rows = line.tables.read(name).select("table", F.explode("rules.name").alias("rule"))
    return rows.groupBy("table", "rule").agg(F.count("*").alias("rows")).toPandas()


def _champion(line: Line) -> dict[str, Any] | None:
    version = Registry(line.environment.mlflow, line.problem.name).champion()
    if version is None:
        return None
    return {
        "version": version.number,
        "family": version.tags["family"],
        "parameters": json.loads(version.tags["parameters"]),
        "linear_algebra": version.tags.get("linear_algebra"),
        "as_of": [],
        "tables": [
            {"table": table, "version": number} for table, number in sorted(version.tables.items())
        ],
    }
