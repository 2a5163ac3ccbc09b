"""What a run came to, in about twenty lines."""

from __future__ import annotations

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import alarm, beside, schemas
from driftline.errors import Missing
from driftline.jobs import STAGES
from driftline.jobs.comparisons import statistics
from driftline.jobs.line import Line
from driftline.registry import Registry
from driftline.schemas import Table


def summary(line: Line, run_ids: list[str]) -> str:
    """Rows, quality, the model beside its baselines, drift, seconds and money of these runs."""
    runs = [row for row in _rows(line, schemas.RUNS) if row.run_id in run_ids]
    runs.sort(key=lambda row: STAGES.index(row.stage))
    lines = [line.problem.question, ""]
    lines += _landed(runs) + _quality(line, run_ids) + _model(line) + _drift(line, run_ids)
    lines += ["", f"{'stage':<10}{'':<11}{'rows out':>12}{'seconds':>9}{'money':>12}"]
    for row in runs:
        out = f"{row.rows_out:,}" if row.rows_out is not None else "-"
        lines.append(
            f"{row.stage:<10}{row.status:<11}{out:>12}{row.wall_seconds:>9.1f}"
            f"{row.money:>8.5f} {row.currency}"
        )
    seconds, money = (sum(row[name] for row in runs) for name in ("wall_seconds", "money"))
    currency = line.problem.prices.currency
    lines.append(f"{'total':<10}{'':<11}{'':>12}{seconds:>9.1f}{money:>8.5f} {currency}")
    report = line.beside("report.html")
    if beside.exists(line.spark, report):
        lines += ["", f"report: {report}"]
    return "\n".join(lines)


def _rows(line: Line, table: Table) -> list[Row]:
    if not line.tables.exists(table.full_name):
        return []
    return line.tables.read(table.full_name).collect()


def _landed(runs: list[Row]) -> list[str]:
    lines = []
    for row in runs:
        if row.stage in ("ingest", "validate"):
            if row.rows_in is None:
                lines.append(f"{row.stage + ':':<10}nothing new")
                continue
            kept, what = (
                ("accepted", "rejected") if row.stage == "ingest" else ("good", "quarantined")
            )
            lines.append(
                f"{row.stage + ':':<10}{row.rows_in:,} records in = {row.rows_out:,} {kept} + "
                f"{row.rows_rejected:,} {what} + {row.rows_duplicate:,} known duplicates"
            )
    return lines


def _quality(line: Line, run_ids: list[str]) -> list[str]:
    verdicts = [row for row in _rows(line, schemas.QUALITY) if row.run_id in run_ids]
    if not verdicts:
        return ["quality:  nothing new to judge"]
    failed = [f"{row.table} {row.rule}" for row in verdicts if not row.success]
    text = f"quality:  {len(verdicts) - len(failed)} of {len(verdicts)} expectations hold"
    return [text + (f"; not: {', '.join(failed)}" if failed else "")]


def _model(line: Line) -> list[str]:
    rows = [row for row in _rows(line, schemas.EVALUATIONS) if row.part == "test"]
    if not rows:
        return ["model:    none yet"]
    newest = max(row.model_version for row in rows)
    metric = line.problem.train.metric
    found = {(row.model, row.metric): row for row in rows if row.model_version == newest}
    ours = found["model", metric]
    constant, feature = found["constant", metric], found["best_feature", metric]
    three = found.get(("rfm", metric))
    by_three = f", RFM {three.value:.3f}" if three else ""
    gain = found["model", f"{metric}_above_best_feature"]
    return [
        f"model:    version {newest}, {_family(line, newest)}: test {metric} {ours.value:.3f} "
        f"[{ours.low:.3f}, {ours.high:.3f}] on {ours.rows:,} rows",
        f"baseline: constant {constant.value:.3f}{by_three}, best feature ({feature.detail}) "
        f"{feature.value:.3f}; the model is better by {gain.value:.3f} "
        f"[{gain.low:.3f}, {gain.high:.3f}]",
    ]


def _family(line: Line, version: int) -> str:
    """Of a model version; what was evaluated may be deleted since."""
    try:
        return Registry(line.environment.mlflow, line.problem.name).version(version).tags["family"]
    except Missing:
        return "deleted"


def _drift(line: Line, run_ids: list[str]) -> list[str]:
    name = schemas.DRIFT.full_name
    if not line.tables.exists(name):
        return ["drift:    nothing to compare yet"]
    rows = line.tables.read(name).where(F.col("run_id").isin(run_ids)).collect()
    if not rows:
        return ["drift:    nothing new to compare"]
    lines = []
    for table in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table == table]
        versions = f"{own[0].from_version} → {own[0].to_version}"
        lines.append(f"drift:    {table} {versions}: {alarm.verdict(statistics(own))}")
    return lines
