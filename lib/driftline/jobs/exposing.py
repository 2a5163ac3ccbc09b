"""The newest decision and the newest run of each stage → ``metrics.prom`` beside the report."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import functions as F

from driftline import beside, openmetrics, schemas
from driftline.jobs.line import Line
from driftline.openmetrics import Stage, State
from driftline.session import utc


def write(line: Line) -> str:
    """Write the file in one step: a collector reads the old one or the new one."""
    path = line.beside("metrics.prom")
    beside.write(line.spark, path, text(line))
    return path


def text(line: Line) -> str:
    """What ``ops.decisions`` and ``ops.runs`` say last."""
    return openmetrics.text(line.problem.name, _state(line), _stages(line))


def _state(line: Line) -> State | None:
    name = schemas.DECISIONS.full_name
    if not line.tables.exists(name):
        return None
    last = line.tables.read(name).orderBy(F.col("as_of").desc(), F.col("at").desc()).limit(1)
    for row in last.collect():
        return State(
            utc(row.at),
            utc(row.as_of),
            row.action,
            tuple(row.causes),
            row.model_version,
            row.metric,
            {"real": row.real, "expected": row.expected, "reference": row.reference},
            row.drift,
            row.skew,
            tuple(row.skewed or ()),
            row.trusted,
            row.gain,
            row.cost,
        )
    return None


def _stages(line: Line) -> list[Stage]:
    name = schemas.RUNS.full_name
    if not line.tables.exists(name):
        return []
    wanted = ("stage", "status", "started_at", "wall_seconds", "money")
    newest = F.max_by(F.struct(*wanted), "started_at").alias("run")
    rows = line.tables.read(name).groupBy("stage").agg(newest).select("run.*").collect()
    return [
        Stage(
            row.stage,
            row.status,
            utc(row.started_at) + timedelta(seconds=row.wall_seconds),
            row.wall_seconds,
            row.money,
        )
        for row in sorted(rows, key=lambda row: row.stage)
    ]
