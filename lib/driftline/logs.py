"""What a job says while it works: human text on a terminal, JSON lines on stderr elsewhere."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from rich import progress
from rich.console import Console

LOGGER = logging.getLogger("driftline")
_CONSOLE = Console(stderr=True, highlight=False)


class JsonLines(logging.Formatter):
    """One JSON object a line; what was passed as ``extra={"facts": …}`` becomes keys of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; json.dumps escapes control characters, so data cannot forge lines."""
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "facts", {})
        line |= {"trace": _trace(record)} if record.exc_info else {}
        return json.dumps(line, default=str)


class Plain(logging.Formatter):
    """Text for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, control characters made visible, further lines set in: none of them
        can be taken for a line of its own.
        """
        message = record.getMessage() + (f"\n{_trace(record)}" if record.exc_info else "")
        return visible(message).replace("\n", "\n    ")


def _trace(record: logging.LogRecord) -> str:
    """Through which lines an exception came, and its kind: its text may be a value of the data."""
    assert record.exc_info
    kind, _, trace = record.exc_info
    return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "")


def visible(text: str, *, kept: str = "\n\t") -> str:
    """A text that cannot move a terminal's cursor: control characters as their escapes."""

    def shown(c: str) -> bool:
        return c.isprintable() or c in kept or unicodedata.category(c) == "Zs"  # spaces

    return "".join(c if shown(c) else repr(c)[1:-1] for c in text)


def configure(*, file: str | None = None) -> None:
    """Send driftline's log to ``file`` as JSON lines, or to stderr in the form that fits it."""
    LOGGER.handlers.clear()
    handler: logging.Handler
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8")
        handler.setFormatter(JsonLines())
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(Plain() if sys.stderr.isatty() else JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


class Progress:
    """Says what is running now and for how long: one line on a terminal, nothing elsewhere."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._line = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.TimeElapsedColumn(),
            console=_CONSOLE,
            transient=True,
            disable=not _CONSOLE.is_terminal,
        )
        self._task = self._line.add_task(stage, total=None)

    def __call__(self, doing: str) -> None:
        """Replace what is shown as running."""
        self._line.update(self._task, description=f"{self._stage}: {doing}")

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show the line while the block runs."""
        with self._line:
            yield self
