"""The problem's ``budgets`` around the jobs: refuse before a stage begins, warn after it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from driftline.budgets import Budget, OverBudget, Taken, beyond, left, tighter
from driftline.jobs import batches, ingest, planning
from driftline.jobs.line import Line
from driftline.logs import LOGGER

_LEAST = 3
"""Runs that a forecast needs to refuse a stage. By one, the first load of years, a daily budget
would refuse it for ever: what is refused adds no run that says otherwise."""


def bounded(line: Line, stage: str, job: Callable[..., str], arguments: dict[str, Any]) -> str:
    """Run a job within the budget of its stage; :class:`OverBudget` if its forecast exceeds it:
    the ledger then has a row of it, refused, by which alerts tell that it is not done.

    Training is not refused: it ends by itself, with the best so far. The ledger notes the as-of.
    """
    line.ledger.as_of = arguments.get("as_of")
    budgets = line.problem.budgets
    budget = budgets.stages.get(stage)
    if budget is None:
        return job(line, **arguments)
    if stage == "train":
        arguments = _within(arguments, budget)
    else:
        _refuse(line, stage, budget, arguments.get("as_of"), f"the budget of {stage}")
    seconds, money = line.ledger.seconds, line.ledger.money
    said = job(line, **arguments)
    taken = Taken((line.ledger.seconds - seconds) / 60, line.ledger.money - money)
    if reached := beyond(budget, taken, share=budgets.warn):
        LOGGER.warning("%s took %s of its budget", stage, reached)
    return said


class Turn:
    """A turn of the cycle and what it may take: checked between stages."""

    def __init__(self, line: Line, stage: Callable[..., object]) -> None:
        self._line, self._stage = line, stage
        self._started, self._money = time.monotonic(), line.ledger.money
        self._warned = False

    def __call__(self, stage: str, **arguments: Any) -> None:
        """Run a stage if what is left lets it; :class:`OverBudget` if not."""
        budget = self._line.problem.budgets.cycle
        rest = left(budget, self._taken)
        if rest is None:
            used = f"{beyond(budget, self._taken, share=0.999)} are used up"
            _stop(
                self._line,
                stage,
                arguments.get("as_of"),
                f"the budget of this turn ended before {stage}",
                where=used,
                hint="what is done stays; the next turn goes on from there",
            )
        elif stage == "train":
            arguments = _within(arguments, rest)
        elif rest != Budget():
            _refuse(self._line, stage, rest, arguments.get("as_of"), "what is left for this turn")
        self._stage(stage, **arguments)
        reached = beyond(budget, self._taken, share=self._line.problem.budgets.warn)
        if reached and not self._warned:
            LOGGER.warning("this turn has taken %s", reached)
            self._warned = True

    @property
    def _taken(self) -> Taken:
        minutes = (time.monotonic() - self._started) / 60
        return Taken(minutes, self._line.ledger.money - self._money)


def _refuse(line: Line, stage: str, budget: Budget, as_of: datetime | None, name: str) -> None:
    """Raise where a stage that has something to do would take more than it may."""
    runs = planning.runs_of(line).get(stage, [])
    waits, rows = ingest.waiting(line) if stage == "ingest" and runs else (None, None)
    if stage == "validate" and runs:
        rows = batches.unjudged(line, batches.history(line))
    next_ = planning.coming(runs, rows)
    too_much = next_ and beyond(budget, next_.taken)
    if (
        next_ is not None
        and next_.seconds.runs >= _LEAST
        and too_much
        and (waits if stage == "ingest" else planning.due(line, stage, as_of))
    ):
        _stop(
            line,
            stage,
            as_of,
            f"{stage} is not begun: its forecast exceeds {name}",
            where=f"{too_much}, by {next_.seconds.runs} runs",
            hint="raise budgets in the problem file, or give it less to do",
        )


def _stop(
    line: Line, stage: str, as_of: datetime | None, said: str, *, where: str, hint: str
) -> NoReturn:
    """Raise :class:`OverBudget` as the stage's run, which ends with it."""
    line.ledger.as_of = as_of
    with line.ledger.run(stage):
        raise OverBudget(said, where=where, hint=hint)
    raise AssertionError  # the block never swallows it


def _within(arguments: dict[str, Any], budget: Budget) -> dict[str, Any]:
    asked = Budget(minutes=arguments.get("budget"), money=arguments.get("budget_money"))
    bound = tighter(asked, budget)
    return arguments | {"budget": bound.minutes, "budget_money": bound.money}
