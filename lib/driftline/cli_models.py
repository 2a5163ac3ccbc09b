"""The commands that look after models and tables: rollback, reproduce, vacuum, cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from driftline.options import utc, where

Stage = Callable[..., None]
"""(name of the job, options of :func:`where`, arguments of the job)."""


def commands(stage: Stage) -> list[click.Command]:
    """The commands, for a program that runs jobs by ``stage``."""

    @click.command()
    @where
    @click.option("--to", type=click.IntRange(1), help="A version that passed the gate.")
    def rollback(to: int | None, **options: Any) -> None:
        """The version that was champion before → champion again, its files checked first."""
        stage("rollback", options, to=to)

    @click.command()
    @where
    @click.option("--version", type=click.IntRange(1), help="Default: the champion.")
    def reproduce(version: int | None, **options: Any) -> None:
        """A model version, fitted again from the rows it came from: is it the same?

        Exit code 3 where the rows or a metric are not.
        """
        stage("reproduce", options, version=version)

    @click.command()
    @where
    @click.option(
        "--hours",
        type=click.FloatRange(0),
        default=168.0,
        show_default=True,
        help="Keep what versions of so many hours need. Below 168 nobody may be writing.",
    )
    def vacuum(hours: float, **options: Any) -> None:
        """Remove the files of old versions, except those that models came from."""
        stage("vacuum", options, hours=hours)

    @click.command()
    @where
    @click.option(
        "--by",
        type=click.Choice(["stage", "day", "month", "status", "run", "table"]),
        default="stage",
        show_default=True,
        help="What to add up by; table: how much storage each table has.",
    )
    @click.option(
        "--since", type=click.DateTime(["%Y-%m-%d"]), help="Only runs from this day on (UTC)."
    )
    def cost(by: str, since: datetime | None, **options: Any) -> None:
        """The ledger added up: runs, time, bytes and money; or what the tables hold.

        Money is cores and memory held while a stage ran plus a month of the bytes it wrote, by the
        prices in the problem file. A run that failed costs, too.
        """
        stage("cost", options, by=by, since=utc(since))

    return [rollback, reproduce, vacuum, cost]
