"""The commands that look after models and tables, and answer for them: rollback to erase."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TextIO

import click

from driftline import spending
from driftline.options import utc, where
from driftline.query import check_new, ready

Stage = Callable[..., None]
"""(name of the job, options of :func:`where`, arguments of the job)."""


def commands(stage: Stage) -> list[click.Command]:
    """The commands, for a program that runs jobs by ``stage``."""

    @click.command()
    @where
    @click.option(
        "--to",
        type=click.IntRange(1),
        help="A version that passed the gate, also where no champion is left.",
    )
    def rollback(to: int | None, **options: Any) -> None:
        """The champion of before is champion again.

        Its files are checked first. A training that runs goes on with its search, and its model is
        compared with that champion; once it evaluates, wait for it (exit code 75).
        """
        stage("rollback", options, to=to)

    @click.command()
    @where
    @click.option("--version", type=click.IntRange(1), help="Default: the champion.")
    def reproduce(version: int | None, **options: Any) -> None:
        """Fit a model version again: is it the same?

        From the very rows it came from, by the problem it was trained by, which is kept beside it.
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
        """Remove files of old versions.

        Those that models which passed the gate came from stay. In local warehouses only.
        """
        stage("vacuum", options, hours=hours)

    @click.command()
    @where
    @click.option(
        "--by",
        type=click.Choice(list(spending.BY)),
        default="stage",
        show_default=True,
        help="What to add up by. trial, suite: their share of the runs that measured, or judged by "
        "them, beside the runs that did neither; table: how much storage each table has, and its "
        "share, by bytes, of the runs that say they wrote it.",
    )
    @click.option(
        "--since", type=click.DateTime(["%Y-%m-%d"]), help="Only runs from this day on (UTC)."
    )
    def cost(by: str, since: datetime | None, **options: Any) -> None:
        """The ledger added up: runs, time, bytes, money.

        Or, by table, what is stored. Money is cores and memory held while a stage ran plus a month
        of the bytes it wrote, by the prices in the problem file. A run that failed or was killed
        costs, too.
        """
        stage("cost", options, by=by, since=utc(since))

    @click.command()
    @where
    @click.argument("name")
    @click.option("--out", help="Write all rows there, as CSV; the file must be new.")
    @click.option(
        "--list",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_queries,
        help="Print the ready queries and what they ask, and do nothing.",
    )
    def query(name: str, out: str | None, **options: Any) -> None:
        """Ask the tables, by a ready query or your own.

        NAME is a ready query (see --list), or a file that ends in .sql. A file holds one SELECT
        that calls tables by their names, as ops.runs or gold.features. DuckDB, Polars and delta-rs
        can ask the same tables without Spark: README, Ask the tables.
        """
        if out is not None:
            check_new(out)
        stage("query", options, asked=name, out=out)

    @click.command()
    @where
    @click.option("--entity", "named", multiple=True, help="Whom, by ID; may be given again.")
    @click.option(
        "--entities",
        type=click.File(encoding="utf-8-sig"),  # spreadsheets begin a text with a mark
        help="A file of them, one a line; - is stdin.",
    )
    @click.option(
        "--request",
        required=True,
        help="What the certificate calls this, not the name; of one set of persons.",
    )
    @click.confirmation_option(prompt="Their rows go for ever, and with them all old versions. Go?")
    def erase(
        named: tuple[str, ...], entities: TextIO | None, request: str, **options: Any
    ) -> None:
        """Take persons out of everything that is kept of this problem.

        Out of every table, old file, log and text; ops.erasures has the certificate. Words that
        only they used go, too, where tables describe columns, and report.html, which `report` makes
        anew. Old versions of all tables can no longer be read, so that models made from them cannot
        be reproduced. Delivered files are yours: the certificate lists those that hold them.
        Killed? Give the command again: the persons of a request stay the same. In an object store
        it refuses: it could not look into every file. Other problems that know them, perhaps of the
        same files, are asked one by one.
        """
        whom = {*named, *(line.strip() for line in entities or ())} - {""}
        if not whom:
            raise click.UsageError("nobody is named: give --entity or --entities")
        stage("erase", options, entities=sorted(whom), request=request)

    return [rollback, reproduce, vacuum, cost, query, erase]


def _queries(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        for name, question in ready().items():
            click.echo(f"{name:<22}{question}")
        context.exit()
