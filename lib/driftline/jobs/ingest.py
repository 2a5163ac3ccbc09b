"""Deliveries → ``bronze.<source>``: every record accounted for, each delivery once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from pyspark.errors import PythonException
from pyspark.sql import DataFrame, Observation, Row

from driftline import ingest, layouts, schemas, sources
from driftline.errors import Missing
from driftline.ingest import Delivery
from driftline.jobs import deliveries
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER

_SPLIT_BYTES = 64 * 1024 * 1024

Counts = dict[str, tuple[int, int, int]]
"""Delivery → records read, accepted, rejected."""


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
        history = _history(line)
        unfinished = _unfinished(history)
        if unfinished:
            LOGGER.info("finishing %d batches of an earlier run", len(unfinished))
            _finish(line, ledger, unfinished)
            history = _history(line)
        plans = {source: _plan(line, ledger, source, history) for source in line.problem.sources}
        landed, corrupt = _land_new(
            line, ledger, {source: plan.new for source, plan in plans.items()}
        )
        _duplicates(line, ledger, plans, history, landed)
        ledger.message = "; ".join(
            _said(source, plans[source], landed, corrupt, history) for source in plans
        )
        return ledger.message


def _said(
    source: str, plan: ingest.Plan, landed: Counts, corrupt: set[str], history: list[Row]
) -> str:
    new = [each for each in plan.new if each.id in landed]
    parts = ["nothing new"]
    if new:
        records = sum(landed[each.id][0] for each in new)
        parts = [f"{len(new):,} new deliveries with {records:,} records"]
    parts += [f"{len(plan.duplicates)} known duplicates"] if plan.duplicates else []
    bad = {row.delivery for row in history if row.source == source and row.status == "corrupt"}
    bad |= {each.id for each in plan.new} & corrupt
    parts += [f"{len(bad)} corrupt deliveries kept out"] if bad else []
    return f"{source}: {', '.join(parts)}"


def _plan(line: Line, ledger: Run, source: str, history: list[Row]) -> ingest.Plan:
    ledger.progress(f"looking for deliveries of {source}")
    found = [deliveries.identified(line, path) for path in deliveries.paths(line, source)]
    dealt_with = [
        (row.delivery, row.path)
        for row in history
        if row.source == source and row.status not in ("planned", "abandoned")
    ]
    plan = ingest.plan(found, dealt_with)
    for path in plan.changed:
        LOGGER.info("%s: %s had landed with other bytes; its new content is new", source, path)
    return plan


def _land_new(
    line: Line, ledger: Run, new: Mapping[str, tuple[Delivery, ...]]
) -> tuple[Counts, set[str]]:
    """Plan and land deliveries; returns the counts of each that landed, and which are corrupt.

    A compressed file that is torn is found out while it is read. Then nothing of its batch was
    committed; the file is written down as corrupt as a whole, and the others are planned anew.
    """
    now = datetime.now(timezone.utc)
    batches = [
        Batch(source, ingest.batch_id(each.id for each in files), files, now)
        for source, files in new.items()
        if files
    ]
    if not batches:
        return {}, set()
    _record(line, ledger, batches, "planned", {})
    return _settle(line, ledger, batches)


def _settle(line: Line, ledger: Run, batches: list[Batch]) -> tuple[Counts, set[str]]:
    """Land planned batches; what is corrupt in them is kept out, the rest planned anew."""
    if not batches:
        return {}, set()
    try:
        return _land(line, ledger, batches), set()
    except PythonException:
        corrupt = {
            each.id
            for batch in batches
            for each in batch.deliveries
            if deliveries.is_corrupt(line, batch.source, each)
        }
        if not corrupt:
            raise
    hit = [batch for batch in batches if corrupt & {each.id for each in batch.deliveries}]
    kept_out = [
        replace(batch, deliveries=tuple(each for each in batch.deliveries if each.id in corrupt))
        for batch in hit
    ]
    for batch in kept_out:
        for each in batch.deliveries:
            LOGGER.warning("%s: %s is corrupt, kept out as a whole", batch.source, each.path)
    _record(line, ledger, kept_out, "corrupt", {})
    rest = {
        batch.source: tuple(each for each in batch.deliveries if each.id not in corrupt)
        for batch in hit
    }
    landed, more = _settle(line, ledger, [batch for batch in batches if batch not in hit])
    again, worse = _land_new(line, ledger, rest)
    return landed | again, corrupt | more | worse


def _unfinished(history: list[Row]) -> list[Batch]:
    """Batches that were planned and neither landed nor given up for a corrupt member."""
    over = ("landed", "corrupt", "abandoned")
    ended = {(row.source, row.batch) for row in history if row.status in over}
    planned: dict[tuple[str, str], dict[str, Row]] = {}
    for row in history:
        if row.status == "planned" and (row.source, row.batch) not in ended:
            # Planned again after a corrupt member of another batch, it is still one delivery.
            planned.setdefault((row.source, row.batch), {})[row.delivery] = row
    return [
        Batch(
            source,
            batch,
            tuple(Delivery(row.delivery, row.path, row.bytes) for row in rows.values()),
            next(iter(rows.values())).at.replace(tzinfo=timezone.utc),
        )
        for (source, batch), rows in planned.items()
    ]


def _finish(line: Line, ledger: Run, batches: list[Batch]) -> None:
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
        if f"ingest:{batch.id}" in line.tables.committed(f"bronze.{batch.source}"):
            names = ", ".join(one.path for one in batch.deliveries if one.id in changed)
            raise Missing(
                f"deliveries of {batch.source} landed but cannot be counted again: {names}",
                where=line.environment.data,
                hint="an earlier run was killed after it landed them: put the files back once",
            )
    if broken:
        LOGGER.warning("%d planned deliveries are gone or changed; planned anew", len(changed))
        _record(line, ledger, broken, "abandoned", {})
    _settle(line, ledger, whole)


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
    _record(line, ledger, batches, "landed", counts)
    for read, kept, refused in sums:
        ledger.count(in_=read, out=kept, rejected=refused)
    return counts


def _land_one(line: Line, ledger: Run, batch: Batch) -> tuple[Counts, tuple[int, int, int]]:
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
    counts = {delivery.id: (0, 0, 0) for delivery in batch.deliveries}
    for tally in observed.get["tallies"]:
        before = counts[tally.delivery]
        counts[tally.delivery] = (
            before[0] + tally.records,
            before[1] + tally.accepted,
            before[2] + tally.rejected,
        )
    read, kept, refused = (sum(each[place] for each in counts.values()) for place in range(3))
    faulty = [each for each in batch.deliveries if counts[each.id][2]]
    if faulty:
        # Rejects are rare: reading their files again is cheaper than keeping all records at hand.
        ledger.progress(f"keeping the rejects of {len(faulty)} deliveries of {batch.source}")
        again = _records(line, batch, faulty)
        rejects = ingest.rejected(again, source=batch.source, batch=batch.id, run_id=ledger.run_id)
        kept_out = line.tables.append(rejects, schemas.REJECTS, key=f"ingest:{batch.id}")
        ledger.wrote(kept_out)
        refused = refused if kept_out.rows is None else kept_out.rows
    # Records are counted before they are parsed, rows by Delta when it commits.
    kept = kept if written.rows is None else written.rows
    return counts, (read, kept, refused)


def _records(line: Line, batch: Batch, files: Iterable[Delivery]) -> DataFrame:
    splits = [
        (delivery.id, split)
        for delivery in files
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
    layout = layouts.layout(line.problem.sources[batch.source])
    return ingest.records(numbers, splits, layout, ddl)


def _record(line: Line, ledger: Run, batches: list[Batch], status: str, counts: Counts) -> None:
    """Write down what became of the deliveries of some batches, in one commit."""
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
        for batch in batches
        for delivery in batch.deliveries
    ]
    key = f"{status}:" + ingest.batch_id(f"{batch.source} {batch.id}" for batch in batches)
    ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))


def _duplicates(
    line: Line,
    ledger: Run,
    plans: Mapping[str, ingest.Plan],
    history: list[Row],
    landed: Counts,
) -> None:
    """Report deliveries whose bytes had landed under another name, each name once."""
    records = {row.delivery: row.records for row in history if row.status == "landed"}
    records |= {delivery: each[0] for delivery, each in landed.items()}
    now = datetime.now(timezone.utc)
    rows = []
    for source, plan in plans.items():
        for each in plan.duplicates:
            LOGGER.info("%s: %s has landed before under another name", source, each.path)
            count = records.get(each.id, 0)  # 0 for the copy of a corrupt delivery
            rows.append(
                (source, each.id, each.path, each.bytes, "duplicate", None, count, 0, 0)
                + (ledger.run_id, now)
            )
            ledger.count(in_=count, out=0, duplicate=count)
    if rows:
        key = "duplicate:" + ingest.batch_id(f"{row[0]} {row[1]} {row[2]}" for row in rows)
        ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))


def _history(line: Line) -> list[Row]:
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return []
    return line.tables.read(schemas.DELIVERIES.full_name).collect()
