"""A table read by Spark, delta-rs, DuckDB and Polars; a ready query by Spark and by DuckDB."""

from __future__ import annotations

from datetime import datetime

import duckdb
import numpy as np
import polars
from deltalake import DeltaTable
from pyspark.sql import functions as F

from driftline import query
from driftline.jobs.line import Line
from driftline.jobs.query import answer
from driftline.tables import Tables


def assert_read_by_four(tables: Tables, name: str) -> None:
    """Each engine decodes every column: the same names, rows, and values that are null."""
    path = tables.path(name)
    rows = tables.read(name)
    for field in rows.schema.fields:
        assert field.metadata.get("comment"), f"{name} {field.name}"
    nulls = [F.count_if(F.col(f"`{column}`").isNull()) for column in rows.columns]
    total, *absent = rows.agg(F.count(F.lit(1)), *nulls).first()
    dataset = DeltaTable(path).to_pyarrow_dataset()
    by_duckdb = duckdb.sql("from dataset").to_arrow_table()
    for each in (dataset.to_table(), by_duckdb, polars.read_delta(path).to_arrow()):
        assert each.column_names == rows.columns, name
        assert each.num_rows == total, name
        assert [column.null_count for column in each.columns] == absent, name


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
