"""A table read by Spark, delta-rs, DuckDB and Polars; a ready query by Spark and by DuckDB."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone

import duckdb
import numpy as np
import polars
import pyarrow as pa
from deltalake import DeltaTable

from driftline import query
from driftline.jobs.line import Line
from driftline.jobs.query import answer
from driftline.tables import Tables


def assert_read_by_four(tables: Tables, name: str) -> None:
    """Each engine reads the same: names of columns, and rows, value by value, as often."""
    path = tables.path(name)
    rows = tables.read(name)
    for field in rows.schema.fields:
        assert field.metadata.get("comment"), f"{name} {field.name}"
    by_spark = rows.toArrow()
    held = _held(by_spark)
    dataset = DeltaTable(path).to_pyarrow_dataset()
    analyst = duckdb.connect()
    analyst.sql("set timezone = 'UTC'")
    analyst.register("given", dataset)
    by_duckdb = analyst.sql("from given").to_arrow_table()
    for each in (dataset.to_table(), by_duckdb, polars.read_delta(path).to_arrow()):
        assert each.column_names == by_spark.column_names, name
        assert _held(each) == held, name


def _held(table: pa.Table) -> Counter[str]:
    """The rows of a table, however ordered: values as Python spells them, times in UTC. A map is
    pairs, for which Polars has structs of key and value.
    """

    def value(each: object) -> object:
        if isinstance(each, datetime):
            return each.astimezone(timezone.utc).replace(tzinfo=None)
        if isinstance(each, dict):
            pair = list(each) == ["key", "value"]
            return value(list(each.values() if pair else each.items()))
        return [value(held) for held in each] if isinstance(each, (list, tuple)) else each

    def values(column: pa.ChunkedArray) -> list:
        if pa.types.is_nested(column.type):
            return list(map(value, column.to_pylist()))
        plain = pa.timestamp("us") if pa.types.is_timestamp(column.type) else column.type
        return column.cast(plain).to_pylist()

    return Counter(map(repr, zip(*map(values, table.columns), strict=True)))


def answers(line: Line, name: str) -> tuple[list[tuple], list[tuple]]:
    """What Spark and DuckDB say to a ready query."""
    text = query.text(name)
    by_spark = answer(line, text, name).collect()
    analyst = duckdb.connect()
    analyst.sql("set timezone = 'UTC'")
    for asked in query.tables(text):
        layer, table = asked.split(".")
        given = DeltaTable(line.tables.path(asked)).to_pyarrow_dataset()
        analyst.register(f"{layer}_{table}", given)
        analyst.sql(f"create schema if not exists {layer}")
        analyst.sql(f"create view {asked} as from {layer}_{table}")
    return _plain(by_spark), _plain(analyst.sql(text).fetchall())


def _plain(rows: list) -> list[tuple]:
    """Rows as both engines may give them: times without a zone, arrays as lists."""

    def value(each: object) -> object:
        if isinstance(each, datetime):
            return each.replace(tzinfo=None)
        return list(each) if isinstance(each, (list, tuple, np.ndarray)) else each

    return [tuple(map(value, row)) for row in rows]
