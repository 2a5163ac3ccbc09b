"""``gold.features`` + champion → ``gold.predictions``: every row scored, or refused by name."""

from __future__ import annotations

from datetime import datetime, timezone

from pyspark.sql import functions as F

from driftline import schemas, scoring
from driftline.errors import DriftlineError, Missing
from driftline.jobs.gate import guard, suite_of
from driftline.jobs.line import Line
from driftline.registry import Registry


def run(line: Line, *, as_of: datetime | None = None) -> str:
    """Score the newest as-of of ``gold.features``, or ``as_of``, by the champion."""
    problem = line.problem
    table, features = schemas.PREDICTIONS, schemas.features(problem).full_name
    with line.ledger.run("score") as ledger, line.tables.lock(table.full_name):
        models = Registry(line.environment.mlflow, problem.name)
        champion = models.champion()
        if champion is None:
            raise Missing(
                f"{problem.name} has no champion",
                where=line.environment.mlflow,
                hint="run `driftline train`; if its gate refused, see ops.evaluations",
            )
        version = line.tables.version(features)
        ledger.read(features, version)
        rows = line.tables.read(features, version=version)
        known = rows if as_of is None else rows.where(F.col("as_of") <= F.lit(as_of))
        newest = known.agg(F.max("as_of")).first()
        if newest is None or newest[0] is None:
            raise Missing(
                "there is no cut-off to score",
                where=f"{features} version {version}, as-of {as_of or 'any'}",
                hint="as-ofs are the cut-offs of the problem; see `driftline explain`",
            )
        day = newest[0].replace(tzinfo=timezone.utc)
        key = f"score:{champion.number}:{version}:{day:%Y-%m-%d}"
        if key in line.tables.committed(table.full_name):
            ledger.message = f"as of {day:%Y-%m-%d} is scored by version {champion.number} already"
            return ledger.message
        asked = rows.where(F.col("as_of") == F.lit(day))
        ledger.progress(f"scoring by version {champion.number}")
        found = scoring.scored(asked, models.load(champion), task=problem.task).select(
            F.col(problem.entity).cast("string").alias("entity"),
            "as_of",
            "score",
            "prediction",
            F.lit(champion.number).cast("int").alias("model_version"),
            F.lit(version).cast("bigint").alias("features_version"),
            F.lit(problem.digest).alias("problem"),
            F.lit(ledger.run_id).alias("run_id"),
        )
        found = found.persist()
        try:
            given, scored = asked.count(), found.count()
            if given != scored:
                raise DriftlineError(
                    f"{given} rows were given to the model and {scored} came back",
                    where=features,
                    hint="this is a bug in driftline, please report it",
                )
            guard(line, ledger, found, table, suite=suite_of(line, table))
            where = (
                f"as_of = TIMESTAMP '{day:%Y-%m-%d %H:%M:%S}' AND model_version = {champion.number}"
            )
            ledger.wrote(line.tables.replace(found, table, where=where, key=key))
        finally:
            found.unpersist()
        ledger.count(in_=given, out=scored)
        ledger.message = (
            f"{scored:,} {problem.entity}s as of {day:%Y-%m-%d} by version {champion.number}"
        )
        return ledger.message
