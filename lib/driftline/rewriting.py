"""Fields of rows given other values, rows taken away, and out of their files; touches Delta for
:mod:`driftline.tables`.

Delta's log keeps what a change was asked for by: what is looked for must not stand there, so rows
are told by ``where``, which names columns, never values of a person.
"""

from __future__ import annotations

from collections.abc import Mapping

from delta.tables import DeltaTable
from pyspark.sql import Column

from driftline.tables import Tables, Written


def update(tables: Tables, name: str, *, where: Column, changes: Mapping[str, Column]) -> Written:
    """Set fields of the rows ``where`` holds."""
    before, found = tables.version(name), DeltaTable.forPath(tables.spark, tables.path(name))
    found.update(where, {f"`{field}`": value for field, value in changes.items()})
    return tables.written_since(name, before)


def delete(tables: Tables, name: str, *, where: Column | str) -> Written:
    """Take away the rows for which ``where``, perhaps in SQL, holds."""
    before = tables.version(name)
    DeltaTable.forPath(tables.spark, tables.path(name)).delete(where)
    return tables.written_since(name, before)


def purge(tables: Tables, name: str) -> Written:
    """Write the files anew in which a deletion vector hides rows, without these. No row changes."""
    before = tables.version(name)
    tables.spark.sql(f"REORG TABLE delta.`{tables.path(name)}` APPLY (PURGE)")
    return tables.written_since(name, before)
