"""A query → rows on the screen, or a CSV file. Reads only, and leaves no row in the ledger."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from rich.table import Table as Grid
from rich.text import Text

from driftline import query, storage
from driftline.errors import ConfError, Missing
from driftline.jobs.line import Line
from driftline.logs import visible
from driftline.report.words import plain

_SHOWN = 1_000

_WIDE = 1_000_000
"""Characters of a line: a row is one, whatever it holds. Of more, one could be taken for a row."""


def run(line: Line, *, asked: str, out: str | None = None) -> str:
    """Answer a ready query or one of a file; ``out`` is a CSV file that gets all rows."""
    rows = answer(line, query.text(asked), asked)
    with _explained(asked):
        if out is not None:
            written = _write(rows, Path(out))
            return f"{written:,} rows in {out}"
        found = rows.limit(_SHOWN + 1).collect()
    grid = Grid(*(visible(each, kept="") for each in rows.columns), box=None, pad_edge=False)
    for row in found[:_SHOWN]:
        grid.add_row(*(Text(visible(_cell(each), kept="")) for each in row))
    more = f"the first {_SHOWN:,} rows; --out FILE.csv writes all"
    said = more if len(found) > _SHOWN else f"{len(found):,} rows"
    return f"{said}\n{plain(grid, width=_WIDE)}"


def answer(line: Line, sql: str, asked: str) -> DataFrame:
    """The rows of a query; :class:`Missing` where a table is not there (yet)."""
    for name in query.tables(sql):
        if not line.tables.exists(name):
            raise Missing(
                f"there is no table {name} yet",
                where=line.tables.path(name),
                hint="driftline run, monitor and drift make the tables; see their --help",
            )
    named = query.renamed(sql, lambda name: f"delta.`{line.tables.path(name)}`")
    with _explained(asked):
        # As a subquery, so that it can only read.
        return line.spark.sql(f"SELECT * FROM (\n{named}\n)")


@contextmanager
def _explained(asked: str) -> Iterator[None]:
    """What Spark has against a query, also once it runs: without its words, which quote rows.

    PySpark hands on as it came from Java what an iterator's own thread met.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        told = f"{type(error).__name__} {error}"
        if storage.explained(told):
            raise
        if isinstance(error, PySparkException):
            condition = error.getCondition()
        else:
            named = re.search(r"(?:Exception|Error): \[([A-Z][A-Z0-9_.]*)\]", told)
            condition = named and named[1]
        raise ConfError(
            "the query cannot be run",
            file=asked,
            found=condition or type(error).__name__,
            allowed="one SELECT over bronze.*, silver.*, gold.*, ops.*",
            hint="DESCRIBE tells the columns; try_cast and try_divide bear any value; "
            "driftline query --list has ready ones",
        ) from None


def _write(rows: DataFrame, path: Path) -> int:
    """All rows or no file; returns how many there are."""
    part = path.with_name(path.name + ".part")
    written = 0
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow(map(query.neutral, rows.columns))
            for row in rows.toLocalIterator():
                writer.writerow(map(_csv, row))
                written += 1
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return written


def _csv(value: Any) -> Any:
    # A number may well begin with a minus; only texts can be formulas.
    return value if isinstance(value, (int, float, Decimal)) else query.neutral(_cell(value))


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
