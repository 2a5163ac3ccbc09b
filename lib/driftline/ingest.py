"""Deliveries → batches → records: what is new, and every record with where it belongs.

A delivery is known by its content, not by its name or clock. What is new is planned as a batch and
written down before it is read, so that a killed run finishes exactly that batch first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.problem import digest
from driftline.sources import Layout, Split, blocks, header, parse

TALLY = "struct<delivery:string,records:bigint,accepted:bigint,rejected:bigint>"
REJECT = "struct<offset:bigint,reason:string,column:string,raw:binary>"

_TALLY = pa.struct(
    [("delivery", pa.string())]
    + [(name, pa.int64()) for name in ("records", "accepted", "rejected")]
)
_REJECT = pa.struct(
    [
        ("offset", pa.int64()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("raw", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Delivery:
    """A delivered file: ``path`` from the data folder, ``id`` the SHA-256 of its bytes."""

    id: str
    path: str
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What is to be done about the deliveries that were found."""

    new: tuple[Delivery, ...]
    duplicates: tuple[Delivery, ...]
    """Bytes that had landed, or are about to, under another name; not reported before."""
    known: int
    """Deliveries that had been dealt with under this very name."""
    changed: tuple[str, ...]
    """Paths that had landed with other bytes: their new content is a new delivery."""


def batch_id(deliveries: Iterable[str]) -> str:
    """Identity of a set of deliveries, whatever their order."""
    return digest(sorted(deliveries))[:16]


def plan(found: Iterable[Delivery], seen: Iterable[tuple[str, str]]) -> Plan:
    """Compare what was found with the (delivery id, path) pairs that were dealt with before."""
    pairs = set(seen)
    ids = {delivery for delivery, _ in pairs}
    paths = {path for _, path in pairs}
    new: list[Delivery] = []
    duplicates: list[Delivery] = []
    changed: list[str] = []
    known = 0
    for delivery in sorted(found, key=lambda each: each.path):
        if (delivery.id, delivery.path) in pairs:
            known += 1
        elif delivery.id in ids:
            duplicates.append(delivery)
        else:
            if delivery.path in paths:
                changed.append(delivery.path)
            new.append(delivery)
            ids.add(delivery.id)
    return Plan(tuple(new), tuple(duplicates), known, tuple(changed))


def records(
    numbers: DataFrame, splits: Sequence[tuple[str, Split]], layout: Layout, ddl: str
) -> DataFrame:
    """Read splits into the columns of ``ddl``, plus ``_delivery``, ``_reject`` and ``_tally``.

    ``numbers`` has one ``id`` a split, an index into ``splits`` (delivery id, split). Each row is
    a record (``_reject`` and ``_tally`` null), a reject (only ``_delivery`` and ``_reject`` set) or
    the tally of a split. Splits are read in the executors, block by block: memory is bounded by
    the block, not by the file.
    """
    schema = f"{ddl}, _delivery string, _reject {REJECT}, _tally {TALLY}"
    return numbers.mapInArrow(_reader(splits, layout), schema)


def _reader(
    splits: Sequence[tuple[str, Split]], layout: Layout
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                delivery, split = splits[number]
                yield from _read_split(delivery, split, layout)

    return read


def _read_split(delivery: str, split: Split, layout: Layout) -> Iterator[pa.RecordBatch]:
    first = header(split.path, layout) if layout.header else None
    total = accepted = rejected = 0
    for offset, block in blocks(split, max_line=layout.max_line, encoding=layout.encoding):
        parsed = parse(block, layout, offset=offset, header=first)
        total += parsed.records
        accepted += parsed.rows.num_rows
        rejected += parsed.rejects.num_rows
        columns = dict(zip(parsed.rows.schema.names, parsed.rows.columns, strict=True))
        yield _batch(layout, parsed.rows.num_rows, delivery, columns)
        if parsed.rejects.num_rows:
            reject = pa.StructArray.from_arrays(parsed.rejects.columns, fields=list(_REJECT))
            yield _batch(layout, parsed.rejects.num_rows, delivery, {"_reject": reject})
    tally = {"delivery": delivery, "records": total, "accepted": accepted, "rejected": rejected}
    yield _batch(layout, 1, delivery, {"_tally": pa.array([tally], _TALLY)})


def _batch(
    layout: Layout, rows: int, delivery: str, columns: Mapping[str, pa.Array]
) -> pa.RecordBatch:
    schema = pa.schema(
        [field.with_nullable(True) for field in layout.schema]
        + [("_delivery", pa.string()), ("_reject", _REJECT), ("_tally", _TALLY)]
    )
    constant = {"_delivery": pa.repeat(pa.scalar(delivery), rows)}
    arrays = [
        columns[field.name]
        if field.name in columns
        else constant.get(field.name, pa.nulls(rows, field.type))
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def tallies() -> Column:
    """Aggregate for ``observe``: the tally of every split that was read."""
    return F.collect_list("_tally").alias("tallies")


def accepted(records: DataFrame, *, batch: str, arrived_at: Any) -> DataFrame:
    """The readable records, with what ``bronze`` adds to them."""
    return records.where(F.col("_tally").isNull() & F.col("_reject").isNull()).select(
        "*", F.lit(batch).alias("_batch"), F.lit(arrived_at).alias("_arrived_at")
    )


def rejected(records: DataFrame, *, source: str, batch: str, run_id: str) -> DataFrame:
    """The records that could not be read, as rows of ``ops.rejects``."""
    return records.where(F.col("_reject").isNotNull()).select(
        F.lit(source).alias("source"),
        F.col("_delivery").alias("delivery"),
        "_reject.*",
        F.lit(batch).alias("batch"),
        F.lit(run_id).alias("run_id"),
    )
