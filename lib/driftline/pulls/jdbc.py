"""A table or query of a database → one Parquet file in the spool, every column a text, or its
pseudonym where nobody may read it.

The same rows give the same bytes, so a second full snapshot of an unchanged table is a known
duplicate. Where a watermark says from where to go on, the rows at it that have landed are taken
off, as a multiset: a row that is there twice and landed once comes once. Rows without a watermark
are read every time and compared in the same way, so none is lost; how many there are is said.

What a watermark cannot see: a row that is deleted, and one that is committed later than others
with a higher watermark, by a transaction that took long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from py4j.java_gateway import is_instance_of
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession, Window
from pyspark.sql import functions as F

from driftline import jars, pseudonyms
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.logs import LOGGER
from driftline.pulls import spool, sql
from driftline.pulls.sections import Database
from driftline.pulls.spool import Pulled
from driftline.sources import Field
from driftline.sources.cast import cast

_FIXED = {
    "driver": "org.postgresql.Driver",
    "fetchsize": "10000",
    # Texts of times, and comparisons of those without a zone, are in the session's.
    "sessionInitStatement": "SET TIME ZONE 'UTC'",
    "readOnly": "true",
    "connectTimeout": "10",
    "tcpKeepAlive": "true",
    "ApplicationName": "driftline",
}


@dataclass(frozen=True)
class Server:
    """Where a database is, and who asks."""

    name: str
    """Its name under ``connections``, for messages."""
    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    variables: str = ""
    """The names of the variables that hold user and password, for messages."""


def pull(
    spark: SparkSession,
    database: Database,
    fields: Sequence[Field],
    server: Server,
    *,
    folder: Path,
    at: datetime,
    since: datetime | date | int | None = None,
    landed: DataFrame | None = None,
    hidden: Sequence[str] = (),
    key: bytes = b"",
) -> Pulled:
    """Read the columns that ``fields`` name into one file of ``folder``, or none if nothing is new.

    Of the columns ``hidden``, by their names there, only pseudonyms under ``key`` are kept.
    ``since`` is the highest watermark among ``landed``, rows with the fields' names and types.
    Raises :class:`TryAgain` if the database cannot be reached, :class:`Missing` if it refuses or
    has no such table or column.
    """
    names = list(dict.fromkeys(each.source for each in fields))
    mark = next((each for each in fields if each.name == database.watermark), None)
    statement = sql.select(database, names, watermark=mark.source if mark else None, since=since)
    columns = {name: f"c{place}" for place, name in enumerate(names)}
    login = {"user": server.user, "password": server.password}
    given = {name: value for name, value in login.items() if value is not None}
    options = {"url": server.url, **_FIXED, **given}
    with spool.writing(folder) as part, _explained(spark, server):
        reader = spark.read.format("jdbc").options(**options)
        if mark:
            _warn_of_unmarked(reader, database, mark, server)
        rows = reader.option("query", statement).load()
        if hidden:
            rows = _without(rows, tuple(columns[name] for name in hidden), key)
        if mark and since is not None and landed is not None:
            texts = [columns[each.source] for each in fields]
            rows = _not_landed(rows, fields, texts, landed.where(_open(mark, since)))
        ordered = rows.coalesce(1).sortWithinPartitions(*columns.values())
        named = ordered.select(*(F.col(text).alias(name) for name, text in columns.items()))
        named.write.parquet(f"file://{part}")
        files = [(pq.read_metadata(path).num_rows, path) for path in part.glob("*.parquet")]
        if sum(count for count, _ in files) == 0:
            return Pulled(None, 0)
        ((records, file),) = files
        return Pulled(spool.keep(file, folder, at=at, suffix=".parquet"), records)


def _without(rows: DataFrame, hidden: tuple[str, ...], key: bytes) -> DataFrame:
    """Rows with pseudonyms in the place of texts: what has landed has those, too."""

    def replace(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pseudonyms.replaced(batch, hidden, key)

    return rows.mapInArrow(replace, rows.schema)


def _warn_of_unmarked(
    reader: DataFrameReader, database: Database, mark: Field, server: Server
) -> None:
    count = sql.count_without(database, mark.source)
    unmarked = int(reader.option("query", count).load().collect()[0][0])
    if unmarked:
        LOGGER.warning(
            "%s: %d rows have no %s; they are read every time: give them one, or leave them out "
            "by a query",
            server.name,
            unmarked,
            mark.source,
        )


def _open(mark: Field, since: datetime | date | int) -> Column:
    """Which landed rows may come again."""
    return (F.col(mark.name) == F.lit(since)) | F.col(mark.name).isNull()


def _not_landed(
    rows: DataFrame, fields: Sequence[Field], texts: Sequence[str], landed: DataFrame
) -> DataFrame:
    """Rows that ``landed`` does not have, or has less often: each field's text against its value.

    ``texts`` names the column of ``rows`` that each field is read from.
    """
    values = [f"value_{place}" for place in range(len(fields))]
    ddl = [f"{name} string" for name in rows.columns]
    ddl += [
        f"{value} {'bigint' if each.type == 'long' else each.type}"
        for value, each in zip(values, fields, strict=True)
    ]
    read = rows.mapInArrow(_reader(fields, texts, values), ", ".join([*ddl, "readable boolean"]))
    equal = Window.partitionBy(*values, "readable").orderBy(*rows.columns)
    numbered = read.withColumn("number", F.row_number().over(equal))
    there = [f"landed_{place}" for place in range(len(fields))]
    renamed = [F.col(each.name).alias(name) for each, name in zip(fields, there, strict=True)]
    counts = landed.select(*renamed).groupBy(*there).agg(F.count("*").alias("times"))
    same = F.col("readable")
    for value, name in zip(values, there, strict=True):
        same = same & F.col(value).eqNullSafe(F.col(name))
    new = F.col("times").isNull() | (F.col("number") > F.col("times"))
    return numbered.join(counts, on=same, how="left").where(new).select(*rows.columns)


def _reader(
    fields: Sequence[Field], texts: Sequence[str], values: Sequence[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Texts → the same, then the values a parser would read in them, then whether it could."""

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            bad = np.zeros(batch.num_rows, np.bool_)
            arrays = list(batch.columns)
            for each, text in zip(fields, texts, strict=True):
                array, wrong = cast(batch.column(text), each, blank_is_null=False)
                arrays.append(array)
                bad |= wrong
            names = [*batch.schema.names, *values, "readable"]
            yield pa.RecordBatch.from_arrays([*arrays, pa.array(~bad)], names)

    return read


@contextmanager
def _explained(spark: SparkSession, server: Server) -> Iterator[None]:
    """Turn what the database says into words of ours: a value of a row may be in its own."""
    try:
        yield
    except DriftlineError:
        raise
    except Exception as error:
        kind, what, hint = _meaning(spark, server, error)
        if kind is None:
            raise
        where = server.url.partition("?")[0]
        raise kind(f"{server.name}: {what}", where=where, hint=hint) from None


_Meaning = tuple[type[DriftlineError] | None, str, str]


def _meaning(spark: SparkSession, server: Server, error: Exception) -> _Meaning:
    """What an error of Spark's means, by the SQLSTATE if it is the database's: kind, what, hint."""
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while cause is not None:
        if cause.getClass().getName() == "java.lang.ClassNotFoundException":
            hint = f"under spark-submit: --packages {jars.POSTGRESQL.coordinates}"
            return Missing, "Spark has no driver for PostgreSQL", hint
        if is_instance_of(spark.sparkContext._gateway, cause, "java.sql.SQLException"):
            return _by_state(cause.getSQLState() or "", cause.getMessage() or "", server)
        cause = cause.getCause()
    return None, "", ""


def _by_state(state: str, message: str, server: Server) -> _Meaning:
    """Classes of PostgreSQL's error codes: its manual, appendix A."""
    if state[:2] == "28" or state == "08004":  # the driver's own, where a password is asked for
        said = f"what is in {server.variables}" if server.variables else "us without a user"
        hint = "check user and password, and pg_hba.conf; the database's own log says more"
        return Missing, f"the database refuses {said} ({state})", hint
    if state[:2] in ("08", "53", "57") or state == "40001":
        hint = "is the server running, and does the network let us through? then try again"
        return TryAgain, f"the database cannot be reached or is too busy ({state})", hint
    if state[:2] == "3D":
        return Missing, "there is no such database", "check the end of the connection's url"
    if state[:2] == "42":  # about names, types and rights, never about a value
        said = message.split("\n", 1)[0].removeprefix("ERROR: ")
        hint = "check the source's database section, its columns' from, and the user's rights"
        return Missing, f"the database cannot do this: {said} ({state})", hint
    return Missing, f"the database gave up ({state})", "its own log says why"
