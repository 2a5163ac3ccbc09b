"""``ops.*`` → one HTML page."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from driftline import beside, explore, schemas
from driftline.jobs.line import Line
from driftline.registry import Registry
from driftline.report import Facts, render
from driftline.schemas import Table


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
    runs = _frame(line, schemas.RUNS)
    return Facts(
        problem=line.problem,
        generated_at=datetime.now(timezone.utc),
        runs=runs,
        deliveries=_frame(line, schemas.DELIVERIES),
        rejects=_counts(line, schemas.REJECTS, ["source", "reason", "column"]),
        quality=_frame(line, schemas.QUALITY),
        quarantine=_quarantine(line),
        trials=_frame(line, schemas.TRIALS),
        evaluations=_frame(line, schemas.EVALUATIONS),
        slices=_frame(line, schemas.SLICES),
        curves=_frame(line, schemas.CURVES),
        drift=_frame(line, schemas.DRIFT),
        causes=_frame(line, schemas.CAUSES),
        histograms=newest(_frame(line, schemas.HISTOGRAMS), runs),
        champion=_champion(line),
        explored=_frame(line, explore.TABLE),
        performance=_frame(line, schemas.PERFORMANCE),
        skew=_frame(line, schemas.SKEW),
        decisions=_frame(line, schemas.DECISIONS),
        outcomes=_frame(line, schemas.OUTCOMES),
        sla=_frame(line, schemas.SLA),
    )


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
