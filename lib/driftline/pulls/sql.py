"""What a pull asks a database, in PostgreSQL's words.

Every column is asked for as text, as a file would have it: a numeric of forty digits, NaN, an
infinite time or a JSON document reaches the parser unchanged and is judged there, row by row. One
statement also means one snapshot of the database, whatever others commit meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone

from driftline.pulls.sections import Database


def select(
    database: Database,
    names: Sequence[str],
    *,
    watermark: str | None = None,
    since: datetime | date | int | None = None,
) -> str:
    """Select columns as texts named c0, c1, …: what they are called must not trouble Spark.

    With ``since``, the rows from that watermark on and those without one.

    Rows at the watermark itself are among them: some may have been committed after it was read.
    """
    columns = ", ".join(f"{quoted(name)}::text AS c{place}" for place, name in enumerate(names))
    statement = f"SELECT {columns} FROM {_origin(database)}"
    if watermark is None or since is None:
        return statement
    column = quoted(watermark)
    return f"{statement} WHERE {column} >= {literal(since)} OR {column} IS NULL"


def count_without(database: Database, watermark: str) -> str:
    """Count the rows that have no watermark."""
    return f"SELECT count(*)::text AS c0 FROM {_origin(database)} WHERE {quoted(watermark)} IS NULL"


def _origin(database: Database) -> str:
    # The line end keeps a comment at the end of the query from swallowing the bracket.
    return database.table or f"(\n{database.query}\n) AS pulled"


def quoted(name: str) -> str:
    """An identifier exactly as it is written."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: datetime | date | int) -> str:
    """A watermark as a literal; a time says its zone, so that no setting can shift it."""
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc).replace(tzinfo=None)
        return f"TIMESTAMPTZ '{moment.isoformat(' ', 'microseconds')}+00'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return str(value)
