"""What a training finds of itself: the version that an earlier run registered for the very same."""

from __future__ import annotations

from driftline.errors import Refused
from driftline.jobs import gating
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.registry import Registry, Version

ALIAS = "gold.champion"
"""What is locked by who moves the champion, from when it is looked at until another one is."""


def found(line: Line, ledger: Run, models: Registry, key: str) -> Version | None:
    """The version that was trained under ``key``, finished or not.

    One that is to go on, is champion or is to be it, and whose files are not those that were
    recorded, is as good as none: it is trained again, under another number.
    """
    trained = models.trained_on(key)
    if trained is None:
        return None
    champion = models.champion()
    serves = champion is not None and champion.number == trained.number
    if trained.finished and not serves and not _due(line, champion, trained):
        return trained
    _, lost = gating.files(models, trained)
    if lost:
        ledger.progress(f"version {trained.number} is trained again: {lost}")
        return None
    return trained


def nothing_new(line: Line, ledger: Run, models: Registry, trained: Version) -> str:
    """What is said where the version is there already; a verdict of its gate still counts."""
    said = f"version {trained.number} was trained on exactly this"
    with line.tables.lock(ALIAS, wait=120.0):
        if _due(line, models.champion(), trained):
            models.promote(trained)
            ledger.model_version = trained.number
            said += ", and is champion now"
    if not trained.passed and _enforced(line):
        raise Refused(
            f"nothing new: {said}, and the gate refused it",
            where=f"model {line.problem.name}",
            hint="see ops.evaluations; other data, features or candidates may do better",
        )
    ledger.message = f"nothing new: {said}"
    return ledger.message


def _due(line: Line, champion: Version | None, trained: Version) -> bool:
    """Whether a version is still to become champion: it was killed after the verdict, before the
    alias; or somebody took the alias away since. One that was rolled back from is not.
    """
    # It may be champion itself, if MLflow was gone before that was written down.
    newer = champion is None or champion.number <= trained.number
    never = champion is None or not trained.promoted
    return trained.passed and _enforced(line) and newer and never


def _enforced(line: Line) -> bool:
    return line.problem.train.gate.mode == "enforce"
