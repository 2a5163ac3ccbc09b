"""The commands that close the cycle: ``monitor`` and ``cycle``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from driftline.options import as_of_option, utc, where
from driftline.sla_section import TIMED

if TYPE_CHECKING:
    from driftline.jobs.line import Line

Stage = Callable[..., None]
"""(name of the job, options of :func:`where`, arguments of the job)."""


def commands(
    stage: Stage, opened: Callable[..., Line], job: Callable[..., str]
) -> list[click.Command]:
    """The commands, for a program that opens a line by ``opened`` and runs a ``job`` on it."""

    @click.command()
    @where
    @as_of_option
    def monitor(as_of: datetime | None, **options: Any) -> None:
        """Predictions, labels → keep, watch or retrain.

        Writes ops.performance, ops.skew, ops.decisions and ops.outcomes.

        Before labels come, what the scores let expect (CBPE, of a regression errors by score); when
        they come, whether that held. And train-serve skew (ops.skew): what the champion is asked
        about against the rows that trained it.
        """
        stage("monitor", options, as_of=utc(as_of))

    @click.command()
    @where
    @as_of_option
    @click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
    @click.option(
        "--only",
        type=click.Choice(TIMED),
        help="Only this part of a turn: what a scheduler calls that has a task a stage.",
    )
    def cycle(as_of: datetime | None, dry_run: bool, only: str | None, **options: Any) -> None:
        """One turn of the wheel, for a scheduler.

        What is new goes through the line, then monitor decides, and what it decided is done.

        ingest → validate → features → score → drift → monitor → decision; if it is retrain: train,
        gate, promote, score; then the report. Given again it does nothing again. With --as-of in
        the past only what was known then is used; before a day that was decided on already nothing
        is trained, and the champion stays. Stops between two stages, with exit code 3, where the
        budgets of the problem file end; the next turn goes on from there.

        Its metrics are in metrics.prom beside the tables, also where it fails or is to be tried
        again (but for another turn under way), and are pushed where the environment names a
        pushgateway; one that is away ends in exit code 75, all else done.
        """
        if dry_run and only is not None:
            raise click.UsageError("give one of --dry-run, which tells of all parts, and --only")
        line = opened(options)
        if dry_run:
            from driftline.jobs import planning

            click.echo(planning.plan(line, as_of=utc(as_of)))
            return
        from driftline.jobs import cycle as turn
        from driftline.jobs.spending_limits import Turn

        bounded = Turn(line, lambda name, **given: job(line, name, **given))
        said = turn.run(line, bounded, as_of=utc(as_of), only=only)
        click.echo(f"{'cycle':<10}{said}")

    return [monitor, cycle]
