"""``ops.*`` → one HTML page."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from driftline import profile, schemas
from driftline.jobs.line import Line
from driftline.jobs.profiles import from_row
from driftline.profile import Profile
from driftline.registry import Registry
from driftline.report import Facts, render
from driftline.schemas import Table


def run(line: Line) -> str:
    """Write the page; returns where it is."""
    with line.ledger.run("report") as ledger:
        ledger.progress("gathering facts")
        page = render(facts(line))
        path = line.report_path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)
        ledger.status = "done"
        ledger.message = str(path)
        return ledger.message


def facts(line: Line) -> Facts:
    """Read everything the page needs from ``ops.*`` and the registry."""
    drift = _frame(line, schemas.DRIFT)
    return Facts(
        problem=line.problem,
        generated_at=datetime.now(timezone.utc),
        runs=_frame(line, schemas.RUNS),
        deliveries=_frame(line, schemas.DELIVERIES),
        rejects=_counts(line, schemas.REJECTS, ["source", "reason", "column"]),
        quality=_frame(line, schemas.QUALITY),
        quarantine=_quarantine(line),
        trials=_frame(line, schemas.TRIALS),
        evaluations=_frame(line, schemas.EVALUATIONS),
        slices=_frame(line, schemas.SLICES),
        curves=_frame(line, schemas.CURVES),
        drift=drift,
        histograms=_histograms(line, drift),
        champion=_champion(line),
    )


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
    rows = line.tables.read(name).select("table", F.explode("rules").alias("rule"))
    return rows.groupBy("table", "rule").agg(F.count("*").alias("rows")).toPandas()


def _champion(line: Line) -> dict[str, Any] | None:
    version = Registry(line.environment.mlflow, line.problem.name).champion()
    if version is None:
        return None
    return {
        "version": version.number,
        "family": version.tags["family"],
        "parameters": version.tags["parameters"],
        "as_of": [],
        "tables": [
            {"table": table, "version": number} for table, number in sorted(version.tables.items())
        ],
    }


def _histograms(line: Line, drift: pd.DataFrame) -> pd.DataFrame:
    """Bins of the newest profile of every watched table, beside the one it was compared with."""
    records: list[dict[str, Any]] = []
    if line.tables.exists(schemas.PROFILES.full_name):
        rows = line.tables.read(schemas.PROFILES.full_name).collect()
        known: dict[str, dict[tuple[int, str], dict[str, Profile]]] = {}
        for row in rows:
            sides = known.setdefault(row.table, {})
            sides.setdefault((row.version, row.slice), {})[row.column] = from_row(row)
        for table, sides in known.items():
            shown = _newest(table, sides, drift)
            for column in sides[shown[-1]]:
                present = {side: sides[side][column] for side in shown if column in sides[side]}
                records += _bins(table, present)
    return pd.DataFrame(
        records,
        columns=[
            *("table", "version", "slice", "column", "kind"),
            *("low", "high", "category", "share", "rows"),
        ],
    )


def _newest(
    table: str, sides: dict[tuple[int, str], Any], drift: pd.DataFrame
) -> list[tuple[int, str]]:
    """The sides of the newest comparison of a table, or its newest profile alone."""
    compared = drift[drift["table"] == table].sort_values("at")
    if len(compared):
        last = compared.iloc[-1]
        current = (int(last["to_version"]), str(last["slice"]))
        before = [
            side
            for side in sides
            if side[0] == int(last["from_version"]) and side[1] in ("whole", "newest as-of")
        ]
        return [*before[:1], current]
    return [max(sides)]


def _bins(table: str, present: dict[tuple[int, str], Profile]) -> list[dict[str, Any]]:
    columns = list(present.values())
    if columns[0].kind == "skipped":
        return []
    numeric = columns[0].kind == "numeric"
    edges = profile.even_edges(columns) if numeric else []
    records = []
    for (version, slice_), column in present.items():
        where = {"table": table, "version": version, "slice": slice_, "column": column.column}
        where["kind"] = column.kind
        rows = column.rows - column.nulls
        if not rows:
            continue
        if numeric:
            shares = column.shares(edges[1:-1]) if len(edges) > 2 else [1.0]
            for low, high, share in zip(edges, edges[1:], shares, strict=False):
                records.append({**where, "low": low, "high": high, "share": share, "rows": rows})
        else:
            for category, count in (column.categories or {}).items():
                records.append({**where, "category": category, "share": count / rows, "rows": rows})
    return records
