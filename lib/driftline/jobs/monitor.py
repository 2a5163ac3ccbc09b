"""Predictions and late labels → ``ops.performance``, ``ops.skew``, ``ops.decisions``."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Row

from driftline import schemas
from driftline.certificate import Evidence
from driftline.errors import Missing
from driftline.jobs import acting, deciding, measuring, skewing
from driftline.jobs.line import Line
from driftline.registry import Registry


def run(line: Line, *, as_of: datetime | None = None) -> str:
    """Measure what labels tell by now, judge past decisions, compare what was asked about with what
    was learnt from, and make the next decision.

    As of a day (else: of the data's end) nothing later is used: no label that was not over by
    then, no model that learnt from later events, no decision that was made later.
    """
    features = schemas.features(line.problem).full_name
    kept = (schemas.PERFORMANCE, schemas.DECISIONS, schemas.OUTCOMES)
    books = (*kept, schemas.SKEW, schemas.PROFILES)
    with (
        line.ledger.run("monitor") as ledger,
        line.tables.lock(*(each.full_name for each in books)),
    ):
        version = line.tables.version(features)
        ledger.read(features, version)
        as_of = as_of or watermark(line, version)
        models = Registry(line.environment.mlflow, line.problem.name)
        champion = acting.acting(models, as_of)
        known = acting.versions(models, as_of)
        measured = measuring.measure(
            line, ledger, versions=known, features_version=version, as_of=as_of
        )
        deciding.judge(line, ledger, measured, as_of=as_of)
        skew = skewing.measure(line, ledger, models, champion, as_of=as_of)
        made = deciding.decide(
            line, ledger, champion, measured, skew, known, as_of=as_of, features_version=version
        )
        ledger.message = "; ".join(filter(None, (said(made), skew.said)))
        return ledger.message


def watermark(line: Line, features_version: int) -> datetime:
    """Where the data ended of which a version of ``gold.features`` was made.

    Versions after it that only take rows away or rewrite files (erase, OPTIMIZE) do not say so
    again. Raises :class:`Missing` where none before does.
    """
    name = schemas.features(line.problem).full_name
    for version in range(features_version, -1, -1):
        if noted := line.tables.noted(name, version):
            return Evidence.from_json(noted).watermark
    raise Missing(
        f"{name} version {features_version} does not say where its data ended",
        where=line.tables.path(name),
        hint="run `driftline features` again",
    )


def said(made: Row) -> str:
    """A decision and what it rests on, in a line."""
    parts = []
    if made.real is not None:
        parts.append(f"real {made.metric} {made.real:.3f} of {made.real_cutoff:%Y-%m-%d}")
    if made.expected is not None:
        doubt = "" if made.trusted else ", not to be trusted"
        parts.append(f"expected {made.expected:.3f} of {made.cutoff:%Y-%m-%d}{doubt}")
    if made.reference is not None:
        parts.append(f"{made.reference:.3f} when judged")
    if made.drift is not None:
        parts.append(f"drift {made.drift:.0%} of importance")
    numbers = f" ({', '.join(parts)})" if parts else ""
    return f"{made.action}: {made.why}{numbers}"
