"""The leak certificate, a step of train: checked before a model is fitted, kept with it."""

from __future__ import annotations

from datetime import datetime, timezone

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import certificate, features, schemas
from driftline.certificate import Evidence
from driftline.errors import Missing, Refused
from driftline.jobs import judging
from driftline.jobs.line import Line
from driftline.ledger import Run


def evidence(line: Line, version: int) -> Evidence:
    """What was noted when a version of the features was made; :class:`Missing` where it was not, or
    they were made for another problem than is asked now: of other labels, say.
    """
    name = schemas.features(line.problem).full_name
    noted = line.tables.noted(name, version)
    if not noted:
        raise Missing(
            f"{name} version {version} does not say what its features saw",
            where=line.tables.path(name),
            hint="it was made by another version of driftline: run `driftline features` again",
        )
    found = Evidence.from_json(noted)
    if found.asked != features.asked(line.problem):
        raise Missing(
            f"{name} version {version} was made before the problem became what it is now",
            where=f"problem {line.problem.name}: entity, label, population, features, profile, "
            "cutoffs, arrival of sources",
            hint="run `driftline features`",
        )
    return found


def certify(
    line: Line, ledger: Run, rows: DataFrame, *, features_version: int, key: str
) -> tuple[str, str]:
    """Check the training set, write the checks down, refuse where a proof fails.

    Returns the certificate as JSON, and what is suspicious, for the gate to judge.
    """
    problem, saw = line.problem, evidence(line, features_version)
    ledger.progress("looking for leaks")
    found = certificate.checks(
        saw,
        rows.withColumn("_entity", F.col(problem.entity)),
        [name for name, _ in judging.feature_columns(line)],
        task=problem.task,
        by=problem.split.by,
    )
    now = datetime.now(timezone.utc)
    values = [
        (key, features_version, each.check, each.holds, each.detail, ledger.run_id, now)
        for each in found
    ]
    line.tables.append_values(values, certificate.TABLE, key=f"certificate:{key}")
    failed = certificate.leaks(found)
    if failed:
        raise Refused(
            "the training set leaks",
            where="; ".join(f"{each.check}: {each.detail}" for each in failed),
            hint="see ops.certificates; no model was fitted",
        )
    suspicious = "; ".join(each.detail for each in found if not each.holds)
    if suspicious:
        ledger.progress(f"suspicious: {suspicious}")
    return certificate.to_json(found, saw), suspicious
