"""Deliveries → ``bronze.<source>``: every record accounted for, each delivery once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from pyspark.sql import Row

from driftline import ingest, schemas
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.jobs import batches, deliveries, landing, pulls, retry
from driftline.jobs.batches import Counts
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
        history = batches.history(line)
        faults: dict[str, str] = {}
        landing.restore(line, ledger, batches.lost(line, history))
        unfinished = batches.unfinished(history)
        if unfinished:
            LOGGER.info("finishing %d batches of an earlier run", len(unfinished))
            faults |= landing.finish(line, ledger, unfinished)
            history = batches.history(line)
        failed = _pull(line, ledger, history)
        plans = {
            source: _plan(line, ledger, source, history, retry_rejects)
            for source in line.problem.sources
        }
        new = {source: plan.new for source, plan in plans.items()}
        attempt = f"after {len(history)}" if retry_rejects else ""
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
    faults: Mapping[str, str],
    history: list[Row],
) -> str:
    new = [each for each in plan.new if each.id in landed]
    parts = ["nothing new"]
    if new:
        records = sum(landed[each.id][0] for each in new)
        parts = [f"{len(new):,} new deliveries with {records:,} records"]
    parts += [f"{len(plan.duplicates)} known duplicates"] if plan.duplicates else []
    refused = {row.delivery for row in history if row.source == source and row.status == "refused"}
    refused |= {each.id for each in plan.new} & faults.keys()
    refused -= landed.keys() | {row.delivery for row in history if row.status == "landed"}
    parts += [f"{len(refused)} refused deliveries kept out"] if refused else []
    return f"{source}: {', '.join(parts)}"


def _plan(
    line: Line, ledger: Run, source: str, history: list[Row], retry_refused: bool
) -> ingest.Plan:
    ledger.progress(f"looking for deliveries of {source}")
    dealt_with = _dealt_with(history, source, retry_refused)
    plan = ingest.plan(deliveries.found(line, source), dealt_with)
    for path in plan.changed:
        LOGGER.info("%s: %s had landed with other bytes; its new content is new", source, path)
    return plan


def _dealt_with(
    history: list[Row], source: str, retry_refused: bool = False
) -> list[tuple[str, str]]:
    """The (delivery, path) pairs of a source that are over and done."""
    again = {"planned", "abandoned"} | ({"refused"} if retry_refused else set())
    return [
        (row.delivery, row.path)
        for row in history
        if row.source == source and row.status not in again
    ]


def _duplicates(
    line: Line,
    ledger: Run,
    plans: Mapping[str, ingest.Plan],
    history: list[Row],
    landed: Counts,
) -> None:
    """Report deliveries whose bytes had landed under another name, each name once."""
    records: dict[str, int] = {}
    for row in history:
        if row.status == "landed":  # a row more, with none, says what a retry changed
            records[row.delivery] = records.get(row.delivery, 0) + row.records
    records |= {delivery: each[0] for delivery, each in landed.items()}
    now = datetime.now(timezone.utc)
    rows = []
    for source, plan in plans.items():
        for each in plan.duplicates:
            LOGGER.info("%s: %s has landed before under another name", source, each.path)
            count = records.get(each.id, 0)  # 0 for the copy of a refused delivery
            rows.append(
                (source, each.id, each.path, each.bytes, "duplicate", None, None, count, 0, 0)
                + (ledger.run_id, now)
            )
            ledger.count(in_=count, out=0, duplicate=count)
    if rows:
        key = "duplicate:" + ingest.batch_id(f"{row[0]} {row[1]} {row[2]}" for row in rows)
        ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))
