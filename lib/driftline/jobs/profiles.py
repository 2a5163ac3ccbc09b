"""Rows of ``ops.profiles`` as profiles."""

from __future__ import annotations

from pyspark.sql import Row

from driftline.profile import Profile


def from_row(row: Row) -> Profile:
    """A row of ``ops.profiles`` as a profile."""
    return Profile(
        row.column,
        row.type,
        row.kind,
        row.rows,
        row.nulls,
        row.min,
        row.max,
        row["mean"],
        bytes(row.sketch) if row.sketch is not None else None,
        row.categories,
        row.distinct,
    )
