"""The commands of the gate beside ``validate``: watch, suggest, docs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from driftline.options import where

Stage = Callable[..., None]
"""(name of the job, options of :func:`where`, arguments of the job)."""

validating = (
    click.option(
        "--replay",
        is_flag=True,
        help="Judge quarantined rows again that a change of the suite, or of the row, may cure.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Only tell what the suites would keep out of all that landed, by delivery and day.",
    ),
    click.option(
        "--quarantine",
        "give_up",
        metavar="BATCH",
        help="Give this refused batch up: all its rows go to quarantine, with what it broke.",
    ),
)


def commands(stage: Stage) -> list[click.Command]:
    """The commands, for a program that runs jobs by ``stage``."""

    @click.command()
    @where
    @click.option("--table", help="Only this silver table, e.g. silver.orders. Default: all.")
    def watch(table: str | None, **options: Any) -> None:
        """Is the newest batch unlike those before?

        By its rows, nulls, broken rules, and how fresh it is. The newest value is compared with the
        median of up to 30 before it, in units of their median absolute deviation. Of values that
        differ by normal noise at most 1 in 100 is called unusual. Weekdays are not told apart. The
        exit code is 0 whatever it finds: what is unusual is for people to look at, what must not
        pass belongs into a suite.
        """
        stage("watch", options, table=table)

    @click.command()
    @where
    @click.option("--table", required=True, help="Look at this table, e.g. bronze.orders.")
    @click.option("--out", required=True, help="Write the proposed suite into this new file.")
    def suggest(table: str, out: str, **options: Any) -> None:
        """Propose an expectation suite for a table.

        From what the table looks like, each rule with its evidence. Read and mend it: the gate
        uses it as soon as it lies at expectations/<problem>/silver_<source>.json.
        """
        stage("suggest", options, table=table, out=out)

    @click.command()
    @where
    @click.option("--out", required=True, help="Build the pages in this folder, which must be new.")
    def docs(out: str, **options: Any) -> None:
        """Great Expectations' Data Docs of the newest verdicts.

        Of the values of rows they show what is a column's aggregate (min, max), and no others.
        """
        stage("docs", options, out=out)

    return [watch, suggest, docs]
