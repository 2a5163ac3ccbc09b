"""Options of several commands, and the kinds of values they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

AS_OF = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Do as if the data ended on this day. Default: the newest cut-off the data reaches.",
)


TABLE = click.option(
    "--table", help="This table, e.g. silver.orders, or a folder. Default: all watched ones."
)


class _Version(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text == "latest" or text.isdigit():
            return text
        try:
            return datetime.fromisoformat(text).isoformat()
        except ValueError:
            self.fail(f"'{text}' is no version: say 7, 2026-01-31, 2026-01-31T12:00 or latest")


class _Span(click.ParamType):  # type: ignore[type-arg]
    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", str(value))
        if not found:
            self.fail(f"'{value}' is no span: say 12h, 7d or 2w")
        return int(found[1]) * {"h": _HOUR, "d": 24 * _HOUR, "w": 168 * _HOUR}[found[2]]


_HOUR = timedelta(hours=1)
VERSION = _Version()
SPAN = _Span()


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
