"""The books of ingest, ``ops.deliveries``: what was planned, what landed, what is left to do."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Row

from driftline import ingest, schemas
from driftline.errors import Missing
from driftline.ingest import Delivery
from driftline.jobs import deliveries
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import LOGGER
from driftline.session import utc

Known = tuple[str, str]
"""Source and delivery: several sources may read the same bytes, each for itself."""

Counts = dict[Known, tuple[int, int, int]]
"""Records read, accepted, rejected."""

Faults = dict[Known, str]
"""Why a delivery cannot be taken, one of the words in ``sources.FAULTS``."""


@dataclass(frozen=True)
class Batch:
    """Deliveries of one source that were planned together, and when."""

    source: str
    id: str
    deliveries: tuple[Delivery, ...]
    planned_at: datetime
    retried: bool = False
    """Whether its rows were rejects before."""

    @property
    def known_as(self) -> list[Known]:
        """Each delivery with its source."""
        return [(self.source, each.id) for each in self.deliveries]


def history(line: Line) -> list[Row]:
    """What became of all deliveries so far."""
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return []
    return line.tables.read(schemas.DELIVERIES.full_name).collect()


def unfinished(line: Line, history: list[Row]) -> list[Batch]:
    """Batches that were planned and neither landed nor were given up for a refused member.

    What was planned for a source that the problem no longer has waits until it has it again.
    """
    over = ("landed", "refused", "abandoned")
    ended = {(row.source, row.batch) for row in history if row.status in over}
    planned: dict[tuple[str, str], dict[str, Row]] = {}
    for row in history:
        if row.status == "planned" and (row.source, row.batch) not in ended:
            if row.source not in line.problem.sources:
                LOGGER.warning("%s is no source now: its batch %s waits", row.source, row.batch)
                continue
            # Planned again after a refused member of another batch, it is still one delivery.
            planned.setdefault((row.source, row.batch), {})[row.delivery] = row
    return [
        Batch(
            source,
            batch,
            tuple(Delivery(row.delivery, row.path, row.bytes) for row in rows.values()),
            utc(next(iter(rows.values())).at),
        )
        for (source, batch), rows in planned.items()
    ]


def is_landed(keys: Set[str], batch: str) -> bool:
    """Whether bronze, by the keys of its commits, has a batch: its records, or what was none."""
    return not keys.isdisjoint({f"ingest:{batch}", f"rejects:{batch}"})


def unjudged(line: Line, history: list[Row]) -> int:
    """Rows that landed and are not through the gate: validate judges them the next time, those of
    refused batches again.
    """
    through = {each: line.tables.committed(f"silver.{each}") for each in line.problem.sources}
    return sum(
        row.accepted or 0
        for row in history
        if row.status == "landed"
        and row.source in through
        and f"validate:{row.batch}" not in through[row.source]
    )


def lost(line: Line, history: list[Row]) -> list[Batch]:
    """Batches that the books say have landed and bronze does not have, as after the loss of a
    commit. Raises :class:`Missing` when their deliveries are not there to land them again.
    """
    landed: dict[str, dict[str, list[Row]]] = {}
    planned = {(row.source, row.batch) for row in history if row.status == "planned"}
    for row in sorted(history, key=lambda row: row.at):
        if row.status == "landed" and row.source in line.problem.sources:
            landed.setdefault(row.source, {}).setdefault(row.batch, []).append(row)
    found = []
    for source, batches in landed.items():
        keys = line.tables.committed(f"bronze.{source}")
        for batch, rows in batches.items():
            if not is_landed(keys, batch):
                files = tuple(Delivery(row.delivery, row.path, row.bytes) for row in rows)
                at = utc(rows[0].at)
                found.append(Batch(source, batch, files, at, (source, batch) not in planned))
    gone = [
        each.path
        for batch in found
        for each in batch.deliveries
        if not deliveries.is_unchanged(line, each)
    ]
    if gone:
        raise Missing(
            f"bronze has lost records, and {len(gone)} of the deliveries they came from are gone",
            where=", ".join(gone[:3]),
            hint="put the deliveries back once, or the table from a copy",
        )
    return found


def record(
    line: Line,
    ledger: Run,
    batches: list[Batch],
    status: str,
    *,
    counts: Mapping[Known, tuple[int, int, int]] = {},
    faults: Mapping[Known, str] = {},
) -> None:
    """Write down what became of the deliveries of some batches, in one commit."""
    rows = [
        (
            batch.source,
            delivery.id,
            delivery.path,
            delivery.bytes,
            status,
            faults.get((batch.source, delivery.id)),
            batch.id,
            *counts.get((batch.source, delivery.id), (None, None, None)),
            ledger.run_id,
            batch.planned_at,
        )
        for batch in batches
        for delivery in batch.deliveries
    ]
    key = f"{status}:" + ingest.batch_id(f"{batch.source} {batch.id}" for batch in batches)
    ledger.wrote(line.tables.append_values(rows, schemas.DELIVERIES, key=key))
