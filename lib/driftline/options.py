"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from driftline.jobs.sides import Asked

Command = TypeVar("Command", bound=Callable[..., Any])

as_of_option = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="As if the data ended when this day begins (UTC). Default: where they end.",
)

table_option = click.option(
    "--table", help="This table, e.g. silver.orders, or a folder. Default: all watched ones."
)


def where(command: Command) -> Command:
    """The options every stage has."""
    for option in (
        click.option("--log-file", help="Write the log there, as JSON lines."),
        click.option("--verbose", is_flag=True, help="Show Spark's own log too."),
        click.option("--warehouse", help="Folder of the tables, instead of the environment's."),
        click.option("--data", help="Folder of the deliveries, instead of the environment's."),
        click.option(
            "--env",
            default="local",
            show_default=True,
            help="Where to run: conf/env/NAME.yaml beside the problem, or a path to such a file.",
        ),
        click.option("--problem", required=True, help="The problem file, e.g. conf/churn.yaml."),
    ):
        command = option(command)
    return command


def utc(day: datetime | None) -> datetime | None:
    """A day as the command line gives it: it begins at midnight UTC."""
    return None if day is None else day.replace(tzinfo=timezone.utc)


def version(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """The callback of an option that names a version of a table."""
    if text is None or text == "latest" or text.isdecimal():
        return text
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        said = f"'{text}' is no version: say 7, 2026-01-31, 2026-01-31T12:00 or latest"
        raise click.BadParameter(said) from None


def span(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    """The callback of an option that is a span of time."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", text)
    if not found:
        raise click.BadParameter(f"'{text}' is no span: say 12h, 7d or 2w")
    length = int(found[1]) * timedelta(hours={"h": 1, "d": 24, "w": 168}[found[2]])
    if length > _LONGEST:
        raise click.BadParameter(f"'{text}' is more than a hundred years")
    return length


_LONGEST = timedelta(days=36_525)
"""No log goes back further, and two of it before now are times that a calendar here knows."""

COMPARED = ("first", "last", "window", "against", "learn")


def compared(
    table: str | None,
    by: str | None,
    *,
    first: str | None,
    last: str | None,
    window: timedelta | None,
    against: str | None,
    learn: int | None,
) -> Asked:
    """What ``drift`` is asked to compare, if its options go together."""
    from driftline.jobs.sides import Asked

    if table is None and (first, last, by) != (None, None, None):
        raise click.UsageError("--from, --to and --by are of one table: name it by --table")
    if against in ("previous", "same-weekday") and not window:
        raise click.UsageError(f"--against {against} is of spans: give a --window, e.g. 7d")
    if against == "training" and first:
        raise click.UsageError("--against training is a reference itself: leave --from out")
    if window and first:
        raise click.UsageError("--window ends at --to: leave --from out")
    if learn and window:
        raise click.UsageError("--learn is of versions: leave --window out")
    return Asked(first, last, window, against or "previous", by, learn or 0)  # type: ignore[arg-type]
