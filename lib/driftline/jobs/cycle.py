"""One turn of the wheel: what is new through the line, what labels tell, and what follows.

The jobs are given as a function, so that this knows their order and none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pyspark.sql import Row

from driftline import schemas
from driftline.budgets import OverBudget
from driftline.errors import Missing, Refused
from driftline.jobs import acting, deciding, exposing, monitor, planning
from driftline.jobs.line import Line
from driftline.jobs.sides import Asked
from driftline.logs import LOGGER
from driftline.registry import Registry, Version
from driftline.session import utc

PARTS = ("ingest", "validate", "features", "score", "drift", "monitor", "train", "report")
"""Of a turn, in order; train is what follows from the decision that monitor made."""

LOCK = "ops.cycle"
"""Held for a whole turn: a second one is told to come again."""

Stage = Callable[..., object]
"""(name of a job, its arguments)."""


def run(line: Line, stage: Stage, *, as_of: datetime | None = None, only: str | None = None) -> str:
    """One turn as of a day, or of the data's end; doing it again does nothing again.

    ``only`` one of its :data:`PARTS`, for a scheduler that calls them in turn. A turn that was
    killed goes on where it was: each stage does only what is new, and a decision is carried out
    once. Raises :class:`Refused` where there is no champion after all, :class:`Missing` where only
    train is asked for and nothing was decided. Its metrics are told at the end, and where it fails,
    also for what may be over by the next try: the tries may end before it is.
    """
    wanted = PARTS if only is None else (only,)
    with line.tables.lock(LOCK), line.ledger.between("cycle"):
        try:
            said = _turn(line, stage, as_of, wanted)
        except Exception:
            try:
                exposing.write(line)
            except Exception as error:  # what went wrong first is what is raised
                LOGGER.warning("the metrics of a turn that failed are not told: %s", error)
            raise
        if "report" in wanted:
            exposing.write(line)
        return said


def _turn(line: Line, stage: Stage, as_of: datetime | None, wanted: Sequence[str]) -> str:
    for part in ("ingest", "validate"):
        if part in wanted:
            stage(part)
    if "features" in wanted:
        stage("features", as_of=as_of)
    if not set(PARTS[3:]) & set(wanted):
        return "as asked"
    models = Registry(line.environment.mlflow, line.problem.name)
    version = line.tables.version(schemas.features(line.problem).full_name)
    day = as_of or monitor.watermark(line, version)
    if {"monitor", "train"} & set(wanted) and not acting.backfill(line, as_of):
        _catch_up(line, models, day)
    said = _observe(line, stage, models, as_of, day, wanted)
    if "train" in wanted:
        made = _made(line, day)
        followed = _follow(line, stage, models, made, as_of, day, scored="score" in wanted)
        said = f"{made.action}: {made.why}" + (f"; {followed}" if followed else "")
    if "report" in wanted and planning.unreported(planning.runs_of(line)):
        stage("report")
    if "train" in wanted and models.champion() is None:
        outcome = deciding.outcomes(line, day, "training").get(made.decision)
        raise Refused(
            "there is no champion",
            where=outcome.detail if outcome else f"it was decided to {made.action}",
            hint="see ops.evaluations; the next turn tries again when there is more data",
        )
    return said


def _made(line: Line, day: datetime) -> Row:
    """The newest decision as of a day by what the problem file says now; raises :class:`Missing`
    where there is none.
    """
    found = [row for row in deciding.made(line, day) if row.problem == line.problem.digest]
    if not found:
        raise Missing(
            f"nothing was decided as of {day:%Y-%m-%d} by this problem file",
            where=schemas.DECISIONS.full_name,
            hint="monitor decides, and comes before train: `driftline cycle --only monitor`",
        )
    return found[-1]


def _observe(
    line: Line,
    stage: Stage,
    models: Registry,
    as_of: datetime | None,
    day: datetime,
    wanted: Sequence[str] = ("score", "drift", "monitor"),
) -> str:
    """Score, drift, monitor: by the version that was champion then."""
    then = acting.acting(models, day)
    past = then is not None and _past(models, then)
    if then is not None and "score" in wanted:
        stage("score", as_of=as_of, champion=then.number if past else None)
    if then is not None and "drift" in wanted:
        if past:
            features = schemas.features(line.problem).full_name
            stage("drift", table=features, asked=Asked(first=str(then.tables[features])))
        else:
            stage("drift")
    if "monitor" in wanted:
        stage("monitor", as_of=as_of)
    return "as asked" if then is not None else "there was no champion yet"


def _past(models: Registry, then: Version) -> bool:
    """Whether a day is asked for before which the champion of today had not learnt."""
    champion = models.champion()
    return champion is not None and champion.number != then.number


def _catch_up(line: Line, models: Registry, day: datetime) -> None:
    """Write down what became of the newest decision to train whose turn was killed in between: the
    new version was champion already, and its day does not come again.
    """
    done = deciding.outcomes(line, day, "training")
    waiting = [
        row
        for row in deciding.decisions(line, day).values()
        if row.action == "retrain" and row.decision not in done
    ]
    if not waiting:
        return
    made = waiting[-1]
    champion = acting.promoted_since(models, utc(made.at))
    if champion is None or champion.number <= (made.model_version or 0):  # or rolled back
        return
    if champion.number in {row.model_version for row in done.values()}:
        return
    _promoted(line, made, champion, utc(made.as_of))


def _promoted(line: Line, made: Row, champion: Version, day: datetime) -> str:
    said = f"version {champion.number} is champion"
    _conclude(line, made, "promoted", said, day, champion.number)
    return said


def _follow(
    line: Line,
    stage: Stage,
    models: Registry,
    made: Row,
    as_of: datetime | None,
    day: datetime,
    *,
    scored: bool,
) -> str | None:
    """Carry a decision out, once; returns what came of it if something was done.

    ``scored``: by whoever is champion, in this very turn. If not, a new champion's predictions may
    still be missing, of a turn that was killed between its promotion and these.
    """
    if made.action != "retrain":
        return None
    champion = models.champion()
    done = deciding.outcomes(line, day, "training").get(made.decision)
    if done is not None:
        if not scored and champion is not None and champion.number == done.model_version:
            _observe(line, stage, models, as_of, day)
        return None
    if champion is not None and not acting.known(champion, day):
        said = f"champion version {champion.number} learnt from later days: it stays"
        _conclude(line, made, "skipped", said, day, None)
        return said
    if acting.backfill(line, as_of):
        said = "a later day was decided on: the champion stays"
        _conclude(line, made, "skipped", said, day, None)
        return said
    try:
        stage("train")
    except OverBudget:
        raise  # the decision stays open: the next turn carries it out
    except Refused as error:
        reason = error.where or error.what
        _conclude(line, made, "refused", f"{error.what}: {reason}", day, None)
        return f"the new model was refused ({reason}), the champion stays"
    champion = models.champion()
    if champion is None or champion.number == made.model_version:
        said = "trained, and not promoted"
        _conclude(line, made, "not_promoted", said, day, None)
        return said
    said = _promoted(line, made, champion, day)
    _observe(line, stage, models, as_of, day)
    return said


def _conclude(
    line: Line, made: Row, verdict: str, said: str, day: datetime, version: int | None
) -> None:
    name = schemas.OUTCOMES.full_name
    with line.ledger.run("cycle") as ledger, line.tables.lock(name):
        deciding.conclude(line, ledger, made, "training", verdict, said, as_of=day, version=version)
        ledger.message = said
