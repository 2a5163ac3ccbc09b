"""What a version of a table is compared with: what the champion saw, or a model said first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from driftline.delta_files import Commit
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.registry import Registry
from driftline.registry import Version as Champion

Against = Literal["previous", "same-weekday", "training"]

BY = "model_version"
"""The column, and the note of a commit, that says which model version made predictions."""


def training(line: Line, table: str, current: int) -> tuple[int, Champion | None]:
    """The version the champion saw, and the champion; without one the first version with rows.

    Raises :class:`Missing` where the log was cleaned up since.
    """
    champion = Registry(line.environment.mlflow, line.problem.name).champion()
    if champion is not None and table in champion.tables:
        seen, oldest = champion.tables[table], line.tables.oldest(table)
        if seen < oldest:
            raise Missing(
                f"the log of {table} does not tell version {seen} any more, which the champion was "
                "trained on",
                where=line.tables.path(table),
                hint=f"version {oldest} is the oldest that can be told: name it by --from, or "
                "train again; delta.logRetentionDuration says how long the log is kept",
            )
        return seen, champion
    commits = line.tables.commits(table, since=line.tables.oldest(table), until=current)
    return next((each.number for each in commits if each.added), current), None


def reference(
    line: Line, table: str, current: int, against: Against
) -> tuple[int, Champion | None]:
    """The same; nothing stands in for a training that was asked for by name."""
    number, champion = training(line, table, current)
    if champion is None and against == "training":
        raise Missing(
            f"no champion was trained on {table}",
            where=line.tables.path(table),
            hint="train first, or name a version by --from",
        )
    return number, champion


def first_made(line: Line, table: str, first: int, current: int) -> int:
    """The version of the first predictions of the model that made the last ones: what it says may
    well be other than what the one before it said, of the same data. Else the ``first`` with rows.
    """
    log = line.tables.commits(table, since=line.tables.oldest(table), until=current)
    last = model(log, current)
    made = (each.number for each in log if last is not None and each.noted.get(BY) == last)
    return next(made, first)


def model(log: Sequence[Commit], number: int, wanted: int | None = None) -> int | None:
    """The model version that made the last predictions up to a version, or the ``wanted`` one if it
    had made any; None where no commit says so.
    """
    made = [each.noted[BY] for each in log if each.number <= number and BY in each.noted]
    return wanted if wanted in made else next(reversed(made), None)


def trained_on(line: Line, table: str, version: int) -> Champion | None:
    """The champion, if a version of a table that was named is what it was trained on: to compare
    with it is the same question, whether it was named or not.
    """
    if "/" in table:
        return None  # of a folder's table no problem knows
    champion = Registry(line.environment.mlflow, line.problem.name).champion()
    return champion if champion and champion.tables.get(table) == version else None
