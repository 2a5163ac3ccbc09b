"""The commands about data that change: ``profile`` and ``drift``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from driftline.options import COMPARED, compared, span, table_option, version, where

Stage = Callable[..., None]
"""(name of the job, options of :func:`where`, arguments of the job)."""


def commands(stage: Stage) -> list[click.Command]:
    """The commands, for a program that runs jobs by ``stage``."""

    @click.command()
    @where
    @table_option
    @click.option("--history", is_flag=True, help="Every file the log still tells of, in one pass.")
    def profile(table: str | None, history: bool, **options: Any) -> None:
        """Data files → ops.profiles, each read once.

        Drift then reads none of them. A file that is profiled serves all versions it is part of,
        also after VACUUM removed it. It is cut by its partition and the columns of drift.segments:
        by another one (drift --by) it is read once more, if it is still there, and so it is for a
        column that the table had lost by now.
        """
        stage("profile", options, table=table, history=history)

    @click.command()
    @where
    @table_option
    @click.option("--from", "first", callback=version, help="Reference version, or a time.")
    @click.option("--to", "last", callback=version, help="Current version, a time, or latest.")
    @click.option(
        "--window", callback=span, help="Compare what was written in a span, e.g. 7d or 12h."
    )
    @click.option(
        "--against",
        type=click.Choice(["previous", "same-weekday", "training"]),
        help="With which: the span before, the same days weeks before, or the champion's data.",
    )
    @click.option(
        "--by",
        help="Compare each of the 100 most frequent values of this column by itself, too. Unless "
        "it is a partition or in drift.segments, files are read once more for it.",
    )
    @click.option(
        "--learn",
        type=click.IntRange(1),
        help="So many steps from version to version, up to the reference, were calm: what they "
        "showed are the thresholds.",
    )
    def drift(table: str | None, by: str | None, **options: Any) -> None:
        """Two versions of a table → ops.drift.

        What changed, column by column, and what moved it. Without versions: what the champion was
        trained on against the newest; of a table that none was trained on, the first version with
        rows. A table with as-ofs is compared at the newest as-of of each version; one that only
        grew, by what was added. Files that have a profile (see profile) are not read again, but for
        --by. Times without a zone are UTC. What is compared with the version the champion was
        trained on is logged to MLflow, too, beside its training.
        """
        asked = compared(table, by, **{name: options.pop(name) for name in COMPARED})
        stage("drift", options, table=table, asked=asked)

    return [profile, drift]
