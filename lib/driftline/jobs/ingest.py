"""Deliveries → ``bronze.<source>``: every record accounted for, each delivery once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from pyspark.sql import Row

from driftline import forecast, ingest, layouts, schemas
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.ingest import Delivery
from driftline.jobs import batches, deliveries, landing, pulls, retry
from driftline.jobs.batches import Counts, Faults, Known
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER


def run(line: Line, *, retry_rejects: bool = False) -> str:
    """Land everything that is new in the problem's sources; returns what happened in words.

    With ``retry_rejects``, deliveries that were refused and records that were rejected are tried
    again, by what the problem file says now.
    """
    names = [f"bronze.{source}" for source in line.problem.sources]
    locks = (*names, schemas.DELIVERIES.full_name, schemas.REJECTS.full_name)
    with line.ledger.run("ingest") as ledger, line.tables.lock(*locks):
        for declared in line.problem.sources.values():
            layouts.keyed(declared)  # is there a key for the pseudonyms? Before anything is planned
        history = batches.history(line)
        faults: Faults = {}
        lost = batches.lost(line, history)
        landing.restore(line, ledger, [batch for batch in lost if not batch.retried])
        retry.restore(line, ledger, [batch for batch in lost if batch.retried])
        unfinished = batches.unfinished(line, history)
        if unfinished:
            LOGGER.info("finishing %d batches of an earlier run", len(unfinished))
            faults |= landing.finish(line, ledger, unfinished)
            history = batches.history(line)
        failed = _pull(line, ledger, history)
        plans = {}
        for source in line.problem.sources:
            try:
                plans[source] = _plan(line, ledger, source, history, retry_rejects)
            except Missing as error:  # does not hold up what is there of the others
                LOGGER.warning("%s: %s", source, error)
                failed.append(error)
        new = {source: plan.new for source, plan in plans.items()}
        # These deliveries may have been a batch before, which came to another end.
        before = any(row.status == "abandoned" for row in history)
        attempt = f"after {len(history)}" if retry_rejects or before else ""
        landed, found = landing.land_new(line, ledger, new, attempt=attempt)
        faults |= found
        _duplicates(line, ledger, plans, history, landed)
        said = [_said(source, plans[source], landed, found, history) for source in plans]
        if retry_rejects:
            said += [retry.rejects(line, ledger, source) for source in line.problem.sources]
        ledger.message = "; ".join(said)
        landing.refuse(faults)
        if failed:
            raise failed[0]
        return ledger.message


def _pull(line: Line, ledger: Run, history: list[Row]) -> list[DriftlineError]:
    """Pull what is new; a database or API that cannot be had does not hold up what is there."""
    failed: list[DriftlineError] = []
    for source in line.problem.sources:
        known = {id_ for id_, _ in _dealt_with(history, source)}
        ledger.progress(f"pulling {source}")
        try:
            pulls.pull(line, source, known=known)
        except (Missing, TryAgain) as error:
            LOGGER.warning("%s: %s", source, error)
            failed.append(error)
    return failed


def _said(
    source: str,
    plan: ingest.Plan,
    landed: Counts,
    faults: Faults,
    history: list[Row],
) -> str:
    new = [each for each in plan.new if (source, each.id) in landed]
    parts = ["nothing new"]
    if new:
        records = sum(landed[source, each.id][0] for each in new)
        parts = [f"{len(new):,} new deliveries with {records:,} records"]
    parts += [f"{len(plan.duplicates)} known duplicates"] if plan.duplicates else []
    refused = _refused(history, source)
    refused |= {each.id for each in plan.new if (source, each.id) in faults}
    refused -= {each.id for each in new}
    parts += [f"{len(refused)} refused deliveries kept out"] if refused else []
    return f"{source}: {', '.join(parts)}"


def waiting(line: Line) -> tuple[str | None, int | None]:
    """What a run would land of what lies there now, in words, and about how many records that is
    by those that landed before; nothing is pulled or written.
    """
    history = batches.history(line)
    said: list[str] = []
    records: list[int | None] = []
    for source, declared in line.problem.sources.items():
        try:
            plan = ingest.plan(_found(line, source, history), _dealt_with(history, source))
        except Missing as error:  # the run says so, and lands what is there of the others
            said.append(error.what)
            records.append(None)
            continue
        if declared.pull is not None:  # what is new there is told by asking alone
            said.append(f"{source} is pulled")
            records.append(None)
        elif plan.new:
            size = sum(each.bytes for each in plan.new) / 1e6
            said.append(f"{len(plan.new):,} files of {source} ({size:.1f} MB)")
            landed = [row for row in history if (row.source, row.status) == (source, "landed")]
            known = [(row.bytes, row.records or 0) for row in landed]
            records.append(forecast.records(sum(each.bytes for each in plan.new), known))
    if batches.unfinished(line, history):
        said.append("a run that was killed")
    told = [each for each in records if each is not None]
    return ", ".join(said) or None, sum(told) if len(told) == len(records) else None


def _plan(
    line: Line, ledger: Run, source: str, history: list[Row], retry_refused: bool
) -> ingest.Plan:
    ledger.progress(f"looking for deliveries of {source}")
    dealt_with = _dealt_with(history, source, retry_refused)
    plan = ingest.plan(_found(line, source, history), dealt_with)
    for path in plan.changed:
        LOGGER.info("%s: %s had landed with other bytes; its new content is new", source, path)
    return plan


def _found(line: Line, source: str, history: list[Row]) -> list[Delivery]:
    """What lies there; nothing, where what had landed was cleared away since. Raises
    :class:`Missing` where nothing lies there and nothing ever landed.
    """
    try:
        return deliveries.found(line, source)
    except Missing as error:
        if not any((row.source, row.status) == (source, "landed") for row in history):
            raise
        LOGGER.warning("%s: %s, where some had landed before: nothing new", source, error.what)
        return []


def _dealt_with(
    history: list[Row], source: str, retry_refused: bool = False
) -> list[tuple[str, str]]:
    """The (delivery, path) pairs of a source that are over and done."""
    again = _refused(history, source) if retry_refused else set()
    return [
        (row.delivery, row.path)
        for row in history
        if row.source == source
        and row.status not in ("planned", "abandoned")
        and row.delivery not in again
    ]


def _refused(history: list[Row], source: str) -> set[str]:
    """The deliveries of a source that were refused and have not landed since."""
    mine = [row for row in history if row.source == source]
    refused, landed = (
        {row.delivery for row in mine if row.status == status} for status in ("refused", "landed")
    )
    return refused - landed


def _duplicates(
    line: Line,
    ledger: Run,
    plans: Mapping[str, ingest.Plan],
    history: list[Row],
    landed: Counts,
) -> None:
    """Report deliveries whose bytes were there under another name, each name once."""
    records: dict[Known, int] = {}
    for row in history:
        if row.status == "landed":  # a row more, with none, says what a retry changed
            which = (row.source, row.delivery)
            records[which] = records.get(which, 0) + row.records
    records |= {which: each[0] for which, each in landed.items()}
    now = datetime.now(timezone.utc)
    rows = []
    for source, plan in plans.items():
        for each in plan.duplicates:
            LOGGER.info("%s: %s was there before under another name", source, each.path)
            count = records.get((source, each.id), 0)  # 0 for the copy of a refused delivery
            rows.append(
                (source, each.id, each.path, each.bytes, "duplicate", None, None, count, 0, 0)
                + (ledger.run_id, now)
            )
            ledger.count(in_=count, out=0, duplicate=count)
    if rows:
        key = "duplicate:" + ingest.batch_id(f"{row[0]} {row[1]} {row[2]}" for row in rows)
        ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))
