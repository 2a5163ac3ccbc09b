"""Planned batches → bronze, each record once: the one place where exactly-once is decided.

A batch is written down before it is read. Its rows, its rejects and its end are each one keyed
commit, in that order, so that whoever is killed between two of them finishes the same batch first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from itertools import compress

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, Row

from driftline import ingest, layouts, schemas, sources
from driftline.errors import Missing, Refused
from driftline.ingest import Delivery, Policy
from driftline.jobs import deliveries
from driftline.jobs.batches import Batch, Counts, Faults, record
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER
from driftline.new_files import NewFile
from driftline.schemas import Table
from driftline.sources import Layout, Split
from driftline.tables import Written

_SPLIT_BYTES = 64 * 1024 * 1024

_ADDED = 100
"""Columns that unknown fields may become in a table; the fields beyond stay in ``_rescued``."""


def land_new(
    line: Line, ledger: Run, new: Mapping[str, tuple[Delivery, ...]], *, attempt: str = ""
) -> tuple[Counts, Faults]:
    """Plan and land deliveries; returns the counts of each that landed, and why others did not.

    That a delivery cannot be taken is found out while it is read. Then nothing of its batch was
    committed; it is written down as refused as a whole, and the others are planned anew. An
    ``attempt`` sets a batch apart from an earlier one of the same deliveries.
    """
    now = datetime.now(timezone.utc)
    salt = [attempt] if attempt else []
    batches = [
        Batch(source, ingest.batch_id([source, *(each.id for each in files), *salt]), files, now)
        for source, files in new.items()
        if files
    ]
    if not batches:
        return {}, {}
    record(line, ledger, batches, "planned")
    return _settle(line, ledger, batches)


def _settle(line: Line, ledger: Run, batches: list[Batch]) -> tuple[Counts, Faults]:
    """Land planned batches; what is faulty in them is kept out, the rest planned anew."""
    if not batches:
        return {}, {}
    try:
        return _land(line, ledger, batches), {}
    except (PySparkException, Py4JJavaError):  # which one depends on how far the write had come
        faults = _faults(line, ledger, batches)
        if not faults:
            raise
    hit = [batch for batch in batches if any(which in faults for which in batch.known_as)]
    refused, rest = [], {}
    for batch in hit:
        faulty = [(batch.source, each.id) in faults for each in batch.deliveries]
        refused.append(replace(batch, deliveries=tuple(compress(batch.deliveries, faulty))))
        sound = (not each for each in faulty)
        rest[batch.source] = tuple(compress(batch.deliveries, sound))
    for batch in refused:
        for each in batch.deliveries:
            why = sources.FAULTS[faults[batch.source, each.id]]
            LOGGER.warning("%s: %s is refused as a whole: %s", batch.source, each.path, why)
    record(line, ledger, refused, "refused", faults=faults)
    landed, more = _settle(line, ledger, [batch for batch in batches if batch not in hit])
    # The same deliveries may have been a batch before, which came to another end.
    again, worse = land_new(line, ledger, rest, attempt=" ".join(batch.id for batch in hit))
    return landed | again, faults | more | worse


def _faults(line: Line, ledger: Run, batches: list[Batch]) -> Faults:
    """Why deliveries cannot be taken, of those that cannot."""
    faults: Faults = {}
    for batch in batches:
        ledger.progress(f"looking for what is wrong with deliveries of {batch.source}")
        layout = layouts.keyed(line.problem.sources[batch.source])
        numbers, splits = _splits(line, batch.deliveries, layout)
        seen = ingest.examine(numbers, splits, layout, _policy(line, batch))
        for row in seen.where("fault IS NOT NULL").select("delivery", "fault").collect():
            faults[batch.source, row.delivery] = row.fault
    return faults


def _policy(line: Line, batch: Batch) -> Policy:
    """What a batch is judged by; one whose rows are in bronze was judged when they landed."""
    if _key(batch) in line.tables.committed(f"bronze.{batch.source}"):
        return Policy()
    return layouts.policy(line.problem.sources[batch.source])


def restore(line: Line, ledger: Run, lost: list[Batch]) -> None:
    """Land again what bronze has lost; the books have it already."""
    for batch in lost:
        LOGGER.warning("%s: batch %s is lost from bronze and lands again", batch.source, batch.id)
        _, (read, kept, refused) = _land_one(line, ledger, batch)
        ledger.count(in_=read, out=kept, rejected=refused)


def finish(line: Line, ledger: Run, batches: list[Batch]) -> Faults:
    """Land what an earlier run planned, if its deliveries are still what they were."""
    changed = {
        each.id
        for batch in batches
        for each in batch.deliveries
        if not deliveries.is_unchanged(line, each)
    }
    whole = [each for each in batches if not changed & {one.id for one in each.deliveries}]
    broken = [each for each in batches if each not in whole]
    for batch in broken:
        if _key(batch) in line.tables.committed(f"bronze.{batch.source}"):
            names = ", ".join(one.path for one in batch.deliveries if one.id in changed)
            raise Missing(
                f"deliveries of {batch.source} landed but cannot be counted again: {names}",
                where=line.environment.data,
                hint="an earlier run was killed after it landed them: put the files back once",
            )
    if broken:
        LOGGER.warning("%d planned deliveries are gone or changed; planned anew", len(changed))
        record(line, ledger, broken, "abandoned")
    _, faults = _settle(line, ledger, whole)
    return faults


def _key(batch: Batch) -> str:
    return f"ingest:{batch.id}"


def _land(line: Line, ledger: Run, batches: list[Batch]) -> Counts:
    """Write planned batches; returns what became of the records of each delivery.

    Every step is keyed, so that a second try does only what is left.
    """
    counts: Counts = {}
    sums = []
    for batch in batches:
        found, sum_ = _land_one(line, ledger, batch)
        counts |= found
        sums.append(sum_)
    record(line, ledger, batches, "landed", counts=counts)
    for read, kept, refused in sums:
        ledger.count(in_=read, out=kept, rejected=refused)
    return counts


def _land_one(line: Line, ledger: Run, batch: Batch) -> tuple[Counts, tuple[int, int, int]]:
    """Land one batch; the counts of its deliveries, and their sums as the tables have them."""
    new = _added(line, ledger, batch)
    table = schemas.bronze(line.problem, batch.source, new)
    ledger.progress(f"landing {len(batch.deliveries)} deliveries of {batch.source}")
    both = (table, schemas.REJECTS)
    land = _land_files if all(map(line.tables.takes_files, both)) else _land_by_spark
    tallies, written, kept_out = land(line, ledger, batch, table, new)
    ledger.bytes_read += sum(each.bytes for each in batch.deliveries)
    counts: Counts = dict.fromkeys(batch.known_as, (0, 0, 0))
    for tally in tallies:
        before = counts[batch.source, tally.delivery]
        counts[batch.source, tally.delivery] = (
            before[0] + tally.records,
            before[1] + tally.accepted,
            before[2] + tally.rejected,
        )
    total, kept, refused = (sum(each[place] for each in counts.values()) for place in range(3))
    # Records are counted before they are parsed, rows where they were written.
    ledger.wrote(written)
    kept = kept if written.rows is None else written.rows
    if kept_out:
        ledger.wrote(kept_out)
        refused = refused if kept_out.rows is None else kept_out.rows
    return counts, (total, kept, refused)


def _land_files(
    line: Line, ledger: Run, batch: Batch, table: Table, new: list[str]
) -> tuple[list[Row], Written, Written | None]:
    """Workers write both tables' files while they read; each table's are one commit.

    Killed between the two, a second try writes those of the second only.
    """
    key = _key(batch)
    same = {"_batch": batch.id, "_arrived_at": batch.planned_at}
    theirs = {"source": batch.source, "batch": batch.id, "run_id": ledger.run_id}
    declared = line.problem.sources[batch.source]
    layout = layouts.keyed(declared, new)
    numbers, splits = _splits(line, batch.deliveries, layout)
    found = ingest.land(
        numbers,
        splits,
        layout,
        _policy(line, batch),
        rows=line.tables.target(table, same, unless=key),
        rejects=line.tables.target(schemas.REJECTS, theirs, unless=key),
    ).collect()
    files = [(row.rejects, NewFile(**json.loads(row.file))) for row in found if row.file]
    kept = [file for of_rejects, file in files if not of_rejects]
    refused = [file for of_rejects, file in files if of_rejects]
    written = line.tables.append_files(kept, table, key=key)
    tallies = [row.tally for row in found if row.tally]
    if not any(tally.rejected for tally in tallies):
        return tallies, written, None
    return tallies, written, line.tables.append_files(refused, schemas.REJECTS, key=key)


def _land_by_spark(
    line: Line, ledger: Run, batch: Batch, table: Table, new: list[str]
) -> tuple[list[Row], Written, Written | None]:
    """The same where Spark has to write."""
    policy = _policy(line, batch)
    records = read(line, batch.source, batch.deliveries, new, policy=policy)
    observed = Observation()
    rows = ingest.accepted(
        records.observe(observed, ingest.tallies()), batch=batch.id, arrived_at=batch.planned_at
    )
    written = line.tables.append(rows, table, key=_key(batch))
    if written.skipped:  # killed after this commit: count again, write nothing
        rows.write.format("noop").mode("overwrite").save()
    tallies = list(observed.get["tallies"])
    faulty = {tally.delivery for tally in tallies if tally.rejected}
    if not faulty:
        return tallies, written, None
    # Rejects are rare: reading their files again is cheaper than keeping all records at hand.
    ledger.progress(f"keeping the rejects of {len(faulty)} deliveries of {batch.source}")
    some = [each for each in batch.deliveries if each.id in faulty]
    again = read(line, batch.source, some, new, policy=policy)
    rejects = ingest.rejected(again, source=batch.source, batch=batch.id, run_id=ledger.run_id)
    return tallies, written, line.tables.append(rejects, schemas.REJECTS, key=_key(batch))


def added(line: Line, source: str) -> list[str]:
    """The columns that unknown fields of a source became in bronze, where that is asked for."""
    table = schemas.bronze(line.problem, source)
    if line.problem.sources[source].unknown != "add" or not line.tables.exists(table.full_name):
        return []
    there = line.tables.read(table.full_name).dtypes
    return [name for name, type_ in there if type_ == "string" and name not in table.column_names]


def _added(line: Line, ledger: Run, batch: Batch) -> list[str]:
    """The columns that unknown fields became before, and become with this batch."""
    source = line.problem.sources[batch.source]
    if source.unknown != "add":
        return []
    table = schemas.bronze(line.problem, batch.source)
    before = added(line, batch.source)
    ledger.progress(f"looking for new fields in {len(batch.deliveries)} deliveries")
    layout = layouts.keyed(source, before)
    numbers, splits = _splits(line, batch.deliveries, layout)
    seen = ingest.examine(numbers, splits, layout, layouts.policy(source)).select("fields")
    fields = {name for row in seen.collect() for name in row.fields}
    theirs = [column.source or name for name, column in source.columns.items()]
    known = [*table.column_names, *theirs, *before]
    new = ingest.new_columns(fields, known, at_most=_ADDED - len(before))
    if new:
        LOGGER.info("%s: new columns %s", table.full_name, ", ".join(new))
    return before + new


def read(
    line: Line,
    source: str,
    files: Iterable[Delivery],
    new: Iterable[str] = (),
    *,
    policy: Policy | None = None,
) -> DataFrame:
    """The records, rejects and tallies of some deliveries, see ``ingest.records``.

    ``new`` are unknown fields that are columns; the policy is the source's if none is given.
    """
    new = list(new)
    declared = line.problem.sources[source]
    layout = layouts.keyed(declared, new)
    numbers, splits = _splits(line, files, layout)
    columns = {column.name: column.type for column in schemas.bronze(line.problem, source).columns}
    ddl = ", ".join(f"`{name}` {columns.get(name, 'string')}" for name in layout.schema.names)
    return ingest.records(numbers, splits, layout, policy or layouts.policy(declared), ddl)


def _splits(
    line: Line, files: Iterable[Delivery], layout: Layout
) -> tuple[DataFrame, list[tuple[str, Split]]]:
    """The splits of some deliveries with whose they are, and their numbers spread over tasks."""
    splits = [
        (delivery.id, split)
        for delivery in files
        for split in sources.splits(
            str(deliveries.location(line, delivery)), delivery.bytes, layout, target=_SPLIT_BYTES
        )
    ]
    size = sum(split.length for _, split in splits)
    tasks = max(1, min(len(splits), max(line.environment.cores, -(-size // _SPLIT_BYTES))))
    return line.spark.range(0, len(splits), 1, tasks), splits


def refuse(faults: Faults) -> None:
    """Raise Refused if deliveries were refused in this run."""
    if faults:
        reasons = sorted(set(faults.values()))
        raise Refused(
            f"{len(faults)} deliveries were refused; what else was new has landed",
            where="; ".join(sources.FAULTS[reason] for reason in reasons),
            hint="see ops.deliveries; mend the files or the problem's limits, then "
            "driftline ingest --retry-rejects",
        )
