"""Deliveries → ``bronze.<source>``: every record accounted for, each delivery once."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pyspark.errors import PythonException
from pyspark.sql import DataFrame, Observation, Row
from pyspark.sql import functions as F

from driftline import ingest, schemas, sources
from driftline.errors import Missing
from driftline.ingest import Delivery
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER

_SPLIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Batch:
    """Deliveries of one source that were planned together, and when."""

    source: str
    id: str
    deliveries: tuple[Delivery, ...]
    planned_at: datetime


def run(line: Line) -> str:
    """Land everything that is new in the problem's sources; returns what happened in words."""
    names = [f"bronze.{source}" for source in line.problem.sources]
    locks = (*names, schemas.DELIVERIES.full_name, schemas.REJECTS.full_name)
    with line.ledger.run("ingest") as ledger, line.tables.lock(*locks):
        said = [_source(line, ledger, source) for source in line.problem.sources]
        ledger.message = "; ".join(said)
        return ledger.message


def _source(line: Line, ledger: Run, source: str) -> str:
    ledger.progress(f"looking for deliveries of {source}")
    history = _history(line, source)
    for batch in _unfinished(history, source):
        LOGGER.info("%s: finishing batch %s of an earlier run", source, batch.id)
        _land(line, ledger, batch)
        history = _history(line, source)
    dealt_with = [row for row in history if row.status != "planned"]
    found = [_delivery(line, path) for path in _paths(line, source)]
    plan = ingest.plan(found, ((row.delivery, row.path) for row in dealt_with))
    for path in plan.changed:
        LOGGER.info("%s: %s had landed with other bytes; its new content is new", source, path)
    counts = {row.delivery: row.records for row in dealt_with if row.status == "landed"}
    landed, corrupt = _land_new(line, ledger, source, plan.new)
    if plan.duplicates:
        _duplicates(line, ledger, source, plan.duplicates, counts | landed)
    corrupt += sum(row.status == "corrupt" for row in dealt_with)
    parts = ["nothing new"]
    if landed:
        parts = [f"{len(landed):,} new deliveries with {sum(landed.values()):,} records"]
    parts += [f"{len(plan.duplicates)} known duplicates"] if plan.duplicates else []
    parts += [f"{corrupt} corrupt deliveries kept out"] if corrupt else []
    return f"{source}: {', '.join(parts)}"


def _land_new(
    line: Line, ledger: Run, source: str, new: tuple[Delivery, ...]
) -> tuple[dict[str, int], int]:
    """Plan and land deliveries; returns the records of each that landed, and how many are corrupt.

    A compressed file that is torn is found out while it is read. Then nothing of its batch was
    committed; the file is written down as corrupt as a whole, and the others are planned anew.
    """
    if not new:
        return {}, 0
    now = datetime.now(timezone.utc)
    batch = Batch(source, ingest.batch_id(each.id for each in new), new, now)
    _record(line, ledger, batch, "planned", {})
    try:
        return _land(line, ledger, batch), 0
    except PythonException:
        corrupt = tuple(each for each in new if _is_corrupt(line, each))
        if not corrupt:
            raise
    for each in corrupt:
        LOGGER.warning("%s: %s is corrupt and was kept out as a whole", source, each.path)
    _record(line, ledger, replace(batch, deliveries=corrupt), "corrupt", {})
    rest = tuple(each for each in new if each not in corrupt)
    landed, more = _land_new(line, ledger, source, rest)
    return landed, len(corrupt) + more


def _is_corrupt(line: Line, delivery: Delivery) -> bool:
    path = os.path.join(line.environment.data, delivery.path)
    try:
        for split in sources.splits(path, delivery.bytes):
            for _ in sources.blocks(split):
                pass
    except sources.CorruptFile:
        return True
    return False


def _unfinished(history: list[Row], source: str) -> list[Batch]:
    """Batches that were planned and neither landed nor given up for a corrupt member."""
    ended = {row.batch for row in history if row.status in ("landed", "corrupt")}
    planned: dict[str, list[Row]] = {}
    for row in history:
        if row.status == "planned" and row.batch not in ended:
            planned.setdefault(row.batch, []).append(row)
    return [
        Batch(
            source,
            batch,
            tuple(Delivery(row.delivery, row.path, row.bytes) for row in rows),
            rows[0].at.replace(tzinfo=timezone.utc),
        )
        for batch, rows in planned.items()
    ]


def _paths(line: Line, source: str) -> list[Path]:
    """The files that match the source's pattern; hidden ones are named, never silently left out."""
    pattern = os.path.join(line.environment.data, line.problem.sources[source].path)
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    if not paths:
        raise Missing(
            f"no deliveries of {source} found",
            where=pattern,
            hint="check sources.*.path and the data folder (--data), or fetch the data first",
        )
    files = []
    for path in paths:
        if not path.is_file():
            LOGGER.warning("%s: %s is not a file and was left alone", source, path.name)
        else:
            files.append(path)
    return files


def _delivery(line: Line, path: Path) -> Delivery:
    size, sha256 = sources.digest(str(path))
    return Delivery(sha256, os.path.relpath(path, line.environment.data), size)


def _land(line: Line, ledger: Run, batch: Batch) -> dict[str, int]:
    """Write a planned batch, return the records of each delivery.

    Every step is keyed, so that a second try does only what is left.
    """
    table = schemas.bronze(line.problem, batch.source)
    ledger.progress(f"landing {len(batch.deliveries)} deliveries of {batch.source}")
    records = _records(line, batch, batch.deliveries)
    observed = Observation()
    rows = ingest.accepted(
        records.observe(observed, ingest.tallies()), batch=batch.id, arrived_at=batch.planned_at
    )
    written = line.tables.append(rows, table, key=f"ingest:{batch.id}")
    ledger.wrote(written)
    if written.skipped:  # killed after this commit: count again, write nothing
        rows.write.format("noop").mode("overwrite").save()
    counts: dict[str, list[int]] = {delivery.id: [0, 0, 0] for delivery in batch.deliveries}
    for tally in observed.get["tallies"]:
        for place, name in enumerate(("records", "accepted", "rejected")):
            counts[tally.delivery][place] += tally[name]
    faulty = [each for each in batch.deliveries if counts[each.id][2]]
    if faulty:
        # Rejects are rare: reading their files again is cheaper than keeping all records at hand.
        ledger.progress(f"keeping the rejects of {len(faulty)} deliveries of {batch.source}")
        again = _records(line, batch, faulty)
        rejects = ingest.rejected(
            again, source=batch.source, batch=batch.id, run_id=ledger.run_id
        )
        ledger.wrote(line.tables.append(rejects, schemas.REJECTS, key=f"ingest:{batch.id}"))
    _record(line, ledger, batch, "landed", counts)
    read, kept, refused = (sum(each[place] for each in counts.values()) for place in range(3))
    ledger.count(in_=read, out=kept, rejected=refused)
    return {delivery: each[0] for delivery, each in counts.items()}


def _records(line: Line, batch: Batch, deliveries: Iterable[Delivery]) -> DataFrame:
    splits = [
        (delivery.id, split)
        for delivery in deliveries
        for split in sources.splits(
            os.path.join(line.environment.data, delivery.path),
            delivery.bytes,
            target=_SPLIT_BYTES,
        )
    ]
    size = sum(split.length for _, split in splits)
    tasks = max(1, min(len(splits), max(line.environment.cores, -(-size // _SPLIT_BYTES))))
    numbers = line.spark.range(0, len(splits), 1, tasks)
    table = schemas.bronze(line.problem, batch.source)
    ddl = ", ".join(
        f"`{column.name}` {column.type}"
        for column in table.columns
        if column.name not in ("_delivery", "_batch", "_arrived_at")
    )
    layout = ingest.layout(line.problem.sources[batch.source])
    return ingest.records(numbers, splits, layout, ddl)


def _record(
    line: Line, ledger: Run, batch: Batch, status: str, counts: dict[str, list[int]]
) -> None:
    rows = [
        (
            batch.source,
            delivery.id,
            delivery.path,
            delivery.bytes,
            status,
            batch.id,
            *(counts.get(delivery.id) or (None, None, None)),
            ledger.run_id,
            batch.planned_at,
        )
        for delivery in batch.deliveries
    ]
    key = f"{status}:{batch.source}:{batch.id}"
    ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))


def _duplicates(
    line: Line,
    ledger: Run,
    source: str,
    duplicates: tuple[Delivery, ...],
    records: dict[str, int],
) -> None:
    """Report deliveries whose bytes had landed under another name, each name once."""
    now = datetime.now(timezone.utc)
    rows = []
    for each in duplicates:
        LOGGER.info("%s: %s has landed before under another name", source, each.path)
        count = records[each.id]
        rows.append(
            (source, each.id, each.path, each.bytes, "duplicate", None, count, 0, 0)
            + (ledger.run_id, now)
        )
        ledger.count(in_=count, out=0, duplicate=count)
    key = f"duplicate:{source}:" + ingest.batch_id(f"{each.id} {each.path}" for each in duplicates)
    ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))


def _history(line: Line, source: str) -> list[Row]:
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return []
    rows = line.tables.read(schemas.DELIVERIES.full_name)
    return rows.where(F.col("source") == source).collect()
