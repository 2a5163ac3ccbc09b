"""A model version → the same model again, from the rows it came from, and the proof that it is."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import __version__, candidates, digests, pins, scoring, session, training
from driftline.errors import ConfError, Missing, Refused
from driftline.jobs import judging, searching
from driftline.jobs.line import Line
from driftline.metrics import METRICS, Floats
from driftline.problem import load_problem
from driftline.registry import Registry, Version

_TOLERANCE = 1e-9
"""Largest difference of a metric, :func:`apart`: floats may be added in another order."""


def run(line: Line, *, version: int | None = None) -> str:
    """Fit a version (default: the champion) again, as recorded; :class:`Refused` if it differs.

    By the problem it was trained by, which its files hold: today's asks for other models, perhaps.
    """
    with line.ledger.run("reproduce") as ledger:
        models = Registry(line.environment.mlflow, line.problem.name)
        wanted = models.wanted(version)
        if not {"data", "search", "code"} <= wanted.tags.keys():
            raise Missing(
                f"version {wanted.number} does not say by which rows and code it was trained",
                where=line.environment.mlflow,
                hint="it is of an older driftline: train again",
            )
        name = searching.features_name(line.problem)
        if not pins.whole(line.tables, name, wanted.tables[name]):
            raise Missing(
                f"the rows of version {wanted.number} are not there any more",
                where=f"{name} version {wanted.tables[name]}",
                hint="their files are gone: was a vacuum killed (give it again: they come back), "
                "a person erased, or the table vacuumed by hand?"
                if wanted.passed
                else "their files are gone: vacuum keeps those of versions that passed the gate",
            )
        line = _as_then(line, models, wanted)
        problem = line.problem
        code = wanted.tags["code"]
        if searching.key(line, wanted.tables[name], code=code) != wanted.tags["search"]:
            raise Missing(
                f"version {wanted.number} was trained of another table, or a class of its "
                "candidates has changed",
                where=line.tables.path(name),
                hint="give it the warehouse it was trained in, and the packages of then",
            )
        ledger.read(name, wanted.tables[name])
        rows = searching.labelled(line, wanted.tables[name])
        rows = searching.ordered(problem, rows, int(wanted.tags["tasks"]))
        try:
            found = searching.fingerprint(rows)
            if found != wanted.tags["data"]:
                raise Refused(
                    f"the rows of version {wanted.number} are not the ones it was trained on",
                    where=f"{name} version {wanted.tables[name]}",
                    hint="was the table rewritten in place?",
                )
            ledger.progress("its rows are the same; fitting")
            differences = _differences(line, models, wanted, rows)
        finally:
            rows.unpersist()
        largest = max(differences.values())
        if not largest <= _TOLERANCE:
            worst = max(differences, key=lambda each: differences[each])
            raise Refused(
                f"version {wanted.number} fitted again differs in {worst} by {largest:.3g}",
                where=f"model {problem.name}",
                hint=_others(line, wanted),
            )
        ledger.message = (
            f"version {wanted.number}: the same rows ({name} version {wanted.tables[name]}), "
            f"and {len(differences)} test metrics that differ by {largest:.1e} at most"
        )
        return ledger.message


def _as_then(line: Line, models: Registry, version: Version) -> Line:
    """The line with the problem that a version was trained by."""
    try:
        problem = load_problem(models.folder(version) / "problem.json")
    except ConfError as error:
        raise Missing(
            f"the problem of version {version.number} is none to driftline {__version__}: "
            f"{error.what} ({error.found})",
            where=", ".join(filter(None, (error.file, error.key))),
            hint=f"reproduce it by the driftline that trained it, {version.tags['driftline']}",
        ) from error
    winner = searching.winner(version)
    try:
        candidates.check(problem, [winner])  # no other is made again
        candidates.sources(problem)  # but all of them are what its search is known by
    except (ConfError, ImportError, AttributeError) as error:
        said = f"{error.what} ({error.found})" if isinstance(error, ConfError) else str(error)
        raise Missing(
            f"version {version.number} cannot be fitted here again: {said}",
            where=f"model {problem.name}",
            hint="install the packages of then, or put its modules on the path: PYTHONPATH, "
            "--py-files",
        ) from error
    return replace(line, problem=problem)


def _others(line: Line, version: Version) -> str:
    """What is not what a version was trained by."""
    here = {
        "driftline": __version__,
        "code": digests.of_code(),
        "spark": line.spark.version,
        "linear_algebra": session.linear_algebra(line.spark),
    }
    found = [
        f"{name} was {version.tags.get(name, 'not noted')}, here {now}"
        for name, now in here.items()
        if version.tags.get(name) != now
    ]
    return "; ".join(found) or "driftline, Spark and linear algebra are those of then"


def _differences(
    line: Line, models: Registry, version: Version, rows: DataFrame
) -> dict[str, float]:
    """By how much each recorded metric of the test set differs from that of a model fitted anew."""
    problem = line.problem
    candidate = searching.winner(version)
    fitting = searching.fitting(problem, rows)
    try:
        model, _ = training.refit(fitting, candidate, problem, judging.feature_columns(line))
    finally:
        fitting.unpersist()
    sure = judging.calibrated(rows, model, version.tags.get("calibrate", "none"))
    unseen = rows.where(F.col("part") == "test")
    test = scoring.scored(unseen, model, task=problem.task, calibration=sure)
    label, score = (column.to_numpy() for column in test.select("label", "score").toArrow().columns)
    return compared(models.metrics(version), label, score, task=problem.task)


def compared(
    recorded: Mapping[str, float], label: Floats, score: Floats, *, task: str
) -> dict[str, float]:
    """By how much each metric of the test set that was recorded is another now. A newer driftline
    may measure others besides, which say nothing; :class:`Missing` where no metric is there.
    """
    found = {
        name: apart(recorded[f"test_{name}"], metric(label, score))
        for name, metric in METRICS[task].items()
        if f"test_{name}" in recorded
    }
    if not found:
        raise Missing(
            "the version was recorded without a metric of its test rows",
            where="its run in MLflow",
            hint="there is nothing to compare it with: were they deleted by hand?",
        )
    return found


def apart(then: float, now: float) -> float:
    """By how much of itself a metric is another now, of 1 where it is less: errors have a unit."""
    if abs(then) == sys.float_info.max:  # MLflow keeps infinity in SQL so
        then = math.copysign(math.inf, then)
    if not (math.isfinite(then) and math.isfinite(now)):
        return 0.0 if then == now or (math.isnan(then) and math.isnan(now)) else math.inf
    return abs(then - now) / max(1.0, abs(then))
