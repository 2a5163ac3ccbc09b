"""An older model version → champion again, after its files were checked."""

from __future__ import annotations

from driftline.errors import Refused
from driftline.jobs import resuming
from driftline.jobs.line import Line
from driftline.registry import Registry


def run(line: Line, *, to: int | None = None) -> str:
    """Move the champion back to version ``to``, or to the one that was champion before.

    The model of a training that still searches is compared with it; once that evaluates,
    :class:`TryAgain`. Where there is no champion any more, ``to`` is made it. :class:`Refused` for
    a version that the gate did not let through.
    """
    with line.ledger.run("rollback") as ledger, line.tables.lock(resuming.ALIAS):
        models = Registry(line.environment.mlflow, line.problem.name)
        champion = models.champion()
        chosen = models.before(models.wanted()) if to is None else models.version(to)
        if not chosen.passed:
            raise Refused(
                f"version {chosen.number} did not pass the gate",
                where=f"model {line.problem.name}",
                hint="see ops.evaluations; choose a version that passed",
            )
        models.folder(chosen)  # unchanged, or nothing moves
        if champion is not None and chosen.number == champion.number:
            ledger.model_version = chosen.number
            ledger.message = f"version {chosen.number} is champion already"
            return ledger.message
        models.promote(chosen)
        ledger.status, ledger.model_version = "done", chosen.number
        instead = f", instead of {champion.number}" if champion else "; there was none"
        ledger.message = f"version {chosen.number} is champion again{instead}"
        return ledger.message
