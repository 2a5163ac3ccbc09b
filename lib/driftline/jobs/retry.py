"""Rejected records, read again after a fix of the problem file.

A record is known by its delivery and offset. So nothing here needs a plan: rows that are in bronze
are not added again, rejects that are in bronze are taken away, and the books are made to say what
the tables hold. Killed anywhere, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import ingest, schemas
from driftline.ingest import Delivery, Policy
from driftline.jobs import batches, deliveries, landing
from driftline.jobs.batches import Batch
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER
from driftline.tables import Written

_RECORD = ["_delivery", "_offset"]


def rejects(line: Line, ledger: Run, source: str) -> str:
    """Give the rejects of a source another try; returns what happened in words."""
    table = schemas.bronze(line.problem, source)
    needed = (schemas.REJECTS.full_name, table.full_name)
    if not all(line.tables.exists(name) for name in needed):
        return f"{source}: no rejects"
    bronze = line.tables.version(table.full_name)
    kept = _kept(line, source)
    waiting = kept.groupBy("_delivery").count().collect()
    if not waiting:
        return f"{source}: no rejects"
    ledger.progress(f"reading {sum(row['count'] for row in waiting):,} rejects of {source} again")
    faulty = _deliveries(line, source, {row._delivery for row in waiting})
    batch = Batch(
        source,
        ingest.batch_id(["rejects", source, str(bronze)]),
        tuple(_unchanged(line, source, faulty)),
        datetime.now(timezone.utc),
        retried=True,
    )
    _append(line, ledger, batch, _readable(line, batch).join(kept, _RECORD, "left_semi"))
    now = line.tables.read(table.full_name).where(F.col("_delivery").isin(list(faulty)))
    # Before the rejects are taken away: they are what a killed retry is found by.
    total = _reconcile(line, ledger, source, now, faulty)
    records = now.select(
        F.lit(source).alias("source"),
        F.col("_delivery").alias("delivery"),
        F.col("_offset").alias("offset"),
    )
    ledger.wrote(line.tables.delete(schemas.REJECTS.full_name, matching=records))
    left = sum(row["count"] for row in waiting) - total
    return f"{source}: {total:,} rejects have landed after all, {left:,} are left"


def restore(line: Line, ledger: Run, lost: Iterable[Batch]) -> None:
    """Add again what earlier retries had added and bronze has lost."""
    for batch in lost:
        LOGGER.warning("%s: retry %s is lost from bronze and lands again", batch.source, batch.id)
        rejects_ = _kept(line, batch.source)
        rows = _readable(line, batch).join(rejects_, _RECORD, "left_anti")
        written = _append(line, ledger, batch, rows)
        ledger.count(in_=written.rows or 0, out=written.rows or 0)


def _kept(line: Line, source: str) -> DataFrame:
    """Which records of a source are rejects."""
    rejects_ = line.tables.read(schemas.REJECTS.full_name).where(F.col("source") == source)
    return rejects_.select(F.col("delivery").alias("_delivery"), F.col("offset").alias("_offset"))


def _readable(line: Line, batch: Batch) -> DataFrame:
    """The records of a batch that can be read now and are not in bronze, as its rows."""
    added = landing.added(line, batch.source)
    records = landing.read(line, batch.source, batch.deliveries, added, policy=Policy())
    rows = ingest.accepted(records, batch=batch.id, arrived_at=batch.planned_at)
    name = f"bronze.{batch.source}"
    landed = line.tables.read(name, version=line.tables.version(name)).select(*_RECORD)
    return rows.join(landed, _RECORD, "left_anti")


def _append(line: Line, ledger: Run, batch: Batch, rows: DataFrame) -> Written:
    table = schemas.bronze(line.problem, batch.source, landing.added(line, batch.source))
    written = line.tables.append(rows, table, key=f"rejects:{batch.id}")
    ledger.wrote(written)
    return written


def _deliveries(line: Line, source: str, wanted: set[str]) -> dict[str, Delivery]:
    return {
        row.delivery: Delivery(row.delivery, row.path, row.bytes)
        for row in batches.history(line)
        if row.source == source and row.status == "landed" and row.delivery in wanted
    }


def _unchanged(line: Line, source: str, faulty: Mapping[str, Delivery]) -> list[Delivery]:
    """The deliveries that are still where they were; says which are not."""
    files = []
    for each in faulty.values():
        if deliveries.is_unchanged(line, each):
            files.append(each)
        else:
            LOGGER.warning("%s: %s is gone or changed; its rejects wait for it", source, each.path)
    return files


def _reconcile(
    line: Line, ledger: Run, source: str, bronze: DataFrame, faulty: Mapping[str, Delivery]
) -> int:
    """Write down the batches of bronze that the books do not have; returns their rows."""
    known = {row.batch for row in batches.history(line) if row.source == source}
    found = bronze.groupBy("_delivery", "_batch").agg(
        F.count("*").alias("rows"), F.max("_arrived_at").alias("at")
    )
    new = [row for row in found.collect() if row._batch not in known]
    rows = [
        (source, row._delivery, faulty[row._delivery].path, faulty[row._delivery].bytes)
        + ("landed", None, row._batch, 0, row.rows, -row.rows, ledger.run_id, row.at)
        for row in sorted(new, key=lambda row: (row._delivery, row._batch))
    ]
    if rows:
        key = "rejects:" + ingest.batch_id(f"{row[0]} {row[1]} {row[6]}" for row in rows)
        ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))
    total = sum(int(row.rows) for row in new)
    ledger.count(in_=total, out=total)
    return total
