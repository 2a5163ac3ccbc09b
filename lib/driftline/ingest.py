"""Deliveries → batches → records: what is new, and every record with where it belongs.

A delivery is known by its content, not by its name or clock. What is new is planned as a batch and
written down before it is read, so that a killed run finishes exactly that batch first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline.digests import digest
from driftline.new_files import Target, Writer
from driftline.sources import REJECTS, RESCUED, Fault, Layout, Parsed, Split, read

_TALLY = pa.struct(
    [("delivery", pa.string())]
    + [(name, pa.int64()) for name in ("records", "accepted", "rejected")]
)
_REJECT = pa.struct([field.with_nullable(True) for field in REJECTS])
TALLY = "struct<delivery:string,records:bigint,accepted:bigint,rejected:bigint>"
REJECT = "struct<offset:bigint,length:bigint,reason:string,column:string,raw:binary>"

FIELDS = 10_000
"""Names of unknown fields that are looked at in a split: a file may have a million."""


@dataclass(frozen=True)
class Policy:
    """When a delivery is refused as a whole: nothing of it lands."""

    rejects: float = 1.0
    """Share of the records of a split that may be unreadable; a small file is one split."""
    unknown: bool = True
    """Whether there may be fields that the layout does not name."""


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


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")


def new_columns(fields: Iterable[str], known: Iterable[str], *, at_most: int) -> list[str]:
    """The unknown fields that can be columns: plain names that differ by more than their case
    from each other and from those known; the others stay in ``_rescued``.
    """
    taken = {name.lower() for name in known}
    columns: list[str] = []
    for name in sorted(fields):
        if len(columns) < at_most and _NAME.fullmatch(name) and name.lower() not in taken:
            columns.append(name)
            taken.add(name.lower())
    return columns


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
    numbers: DataFrame,
    splits: Sequence[tuple[str, Split]],
    layout: Layout,
    policy: Policy,
    ddl: str,
) -> DataFrame:
    """Read splits into the columns of ``ddl``, plus ``_delivery``, ``_reject`` and ``_tally``.

    ``numbers`` has one ``id`` a split, an index into ``splits`` (delivery id, split). Each row is
    a record (``_reject`` and ``_tally`` null), a reject (only ``_delivery`` and ``_reject`` set) or
    the tally of a split. Splits are read in the executors, block by block: memory is bounded by
    the block, not by the file. A delivery that cannot be taken as a whole fails the task, before
    anything is committed; :func:`examine` tells which it was.
    """
    schema = f"{ddl}, _delivery string, _reject {REJECT}, _tally {TALLY}"

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for delivery, split in _chosen(batches, splits):
            tally = Tally()
            for parsed in _checked(split, layout, policy, tally):
                yield from _rows(parsed, layout, delivery)
            row = {"delivery": delivery, **asdict(tally)}
            yield _batch(layout, 1, delivery, {"_tally": pa.array([row], _TALLY)})

    return numbers.mapInArrow(read, schema)


def land(
    numbers: DataFrame,
    splits: Sequence[tuple[str, Split]],
    layout: Layout,
    policy: Policy,
    *,
    rows: Target | None,
    rejects: Target | None,
) -> DataFrame:
    """Read splits and write their records and their rejects as data files of two tables, or of
    none where that is done already; for ``numbers`` and ``splits`` see :func:`records`.

    Each row is the ``tally`` of a split, or one ``file`` (a NewFile as JSON) with whether it is
    of the ``rejects``. Nothing of the files is visible before they are committed. A delivery that
    cannot be taken as a whole fails the task, whose files are then gone.
    """

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with ExitStack() as open_:
            kept = open_.enter_context(Writer(rows)) if rows else None
            refused = open_.enter_context(Writer(rejects)) if rejects else None
            for delivery, split in _chosen(batches, splits):
                tally = Tally()
                for parsed in _checked(split, layout, policy, tally):
                    if kept:
                        kept.write(parsed.rows, _delivery=delivery)
                    if refused:
                        refused.write(parsed.rejects, delivery=delivery)
                yield _landed(tally={"delivery": delivery, **asdict(tally)})
            for writer, of_rejects in ((kept, False), (refused, True)):
                file = writer.finish() if writer else None
                if file:
                    yield _landed(file=json.dumps(asdict(file)), rejects=of_rejects)

    return numbers.mapInArrow(write, f"tally {TALLY}, file string, rejects boolean")


_LANDED = pa.schema([("tally", _TALLY), ("file", pa.string()), ("rejects", pa.bool_())])


def _landed(**values: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([values], _LANDED)


def examine(
    numbers: DataFrame, splits: Sequence[tuple[str, Split]], layout: Layout, policy: Policy
) -> DataFrame:
    """What :func:`records` would meet: a row a split with ``delivery``, ``fault`` (a word of
    ``sources.FAULTS``, null for none) and ``fields``, the names the layout does not know.
    """

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for delivery, split in _chosen(batches, splits):
            fields: set[str] = set()
            fault = None
            try:
                for parsed in _checked(split, layout, policy, Tally()):
                    if len(fields) < FIELDS:
                        for text in _rescued(parsed).unique().drop_null().to_pylist():
                            fields |= json.loads(text).keys()
            except Fault as found:
                fault = found.reason
            row = {"delivery": delivery, "fault": fault, "fields": sorted(fields)}
            yield pa.RecordBatch.from_pylist([row], _EXAMINED)

    return numbers.mapInArrow(look, "delivery string, fault string, fields array<string>")


_EXAMINED = pa.schema(
    [("delivery", pa.string()), ("fault", pa.string()), ("fields", pa.list_(pa.string()))]
)


@dataclass
class Tally:
    """Records of a split so far."""

    records: int = 0
    accepted: int = 0
    rejected: int = 0


def _chosen(
    batches: Iterator[pa.RecordBatch], splits: Sequence[tuple[str, Split]]
) -> Iterator[tuple[str, Split]]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield splits[number]


def _checked(split: Split, layout: Layout, policy: Policy, tally: Tally) -> Iterator[Parsed]:
    """The blocks of a split; counts them, and raises Fault where the policy refuses them."""
    for parsed in read(split, layout):
        tally.records += parsed.records
        tally.accepted += parsed.rows.num_rows
        tally.rejected += parsed.rejects.num_rows
        if not policy.unknown and _rescued(parsed).null_count < parsed.rows.num_rows:
            raise Fault(split.path, "new_field", "it has fields that the columns do not name")
        yield parsed
    if tally.rejected > policy.rejects * tally.records:
        raise Fault(
            split.path,
            "rejects",
            f"{tally.rejected:,} of {tally.records:,} records cannot be read",
        )


def _rescued(parsed: Parsed) -> pa.Array:
    return parsed.rows.column(parsed.rows.schema.get_field_index(RESCUED))


def _rows(parsed: Parsed, layout: Layout, delivery: str) -> Iterator[pa.RecordBatch]:
    columns = dict(zip(parsed.rows.schema.names, parsed.rows.columns, strict=True))
    yield _batch(layout, parsed.rows.num_rows, delivery, columns)
    if parsed.rejects.num_rows:
        reject = pa.StructArray.from_arrays(parsed.rejects.columns, fields=list(_REJECT))
        yield _batch(layout, parsed.rejects.num_rows, delivery, {"_reject": reject})


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
