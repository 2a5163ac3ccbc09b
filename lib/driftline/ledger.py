"""The run ledger: what every stage read, wrote, rejected, took and cost, as rows of ``ops.runs``.

Time and bytes come from Spark's own task metrics, summed over the stages a run started. Money is
the price book times what was held: cores and memory for the wall time, and a month of storage for
the bytes written.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from driftline import __version__, running, usage
from driftline.environment import Environment
from driftline.errors import DriftlineError, Refused
from driftline.logs import LOGGER, Progress
from driftline.prices import GIB, money
from driftline.problem import Problem
from driftline.schemas import RUNS
from driftline.tables import Tables, Written
from driftline.usage import Usage

_PATIENCE = 120.0
"""Seconds to wait for another stage that writes its own row."""


@dataclass
class Run:
    """One stage of one run, while it runs: the stage tells it what it did."""

    stage: str
    progress: Progress
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    started_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    status: str = "unchanged"
    as_of: datetime | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None
    rows_duplicate: int | None = None
    tables_read: dict[str, int] = field(default_factory=dict)
    tables_written: dict[str, int] = field(default_factory=dict)
    model_version: int | None = None
    """Which version is champion, where the stage is about that."""
    message: str = ""
    bytes_read: int = 0
    """Bytes that were read, and written, past Spark and its counters."""
    bytes_written: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, table: str, version: int) -> None:
        """Note the exact version of a table that was read."""
        self.tables_read[table] = version

    def wrote(self, written: Written) -> None:
        """Note a write; one that was not skipped makes the run ``done``."""
        if not written.skipped:
            with self._lock:  # of tables that are worked on at once
                self.status = "done"
                newest = max(written.version, self.tables_written.get(written.table, 0))
                self.tables_written[written.table] = newest
                self.bytes_written += written.bytes

    def count(self, *, in_: int, out: int, rejected: int = 0, duplicate: int = 0) -> None:
        """Add row counts; a stage may count several times (once a source)."""
        with self._lock:
            self.rows_in = (self.rows_in or 0) + in_
            self.rows_out = (self.rows_out or 0) + out
            self.rows_rejected = (self.rows_rejected or 0) + rejected
            self.rows_duplicate = (self.rows_duplicate or 0) + duplicate

    def balance(self) -> None:
        """Raise unless in = out + rejected + duplicate."""
        kept = (self.rows_out or 0) + (self.rows_rejected or 0) + (self.rows_duplicate or 0)
        if self.rows_in is not None and self.rows_in != kept:
            raise DriftlineError(
                f"{self.stage} cannot account for every row: {self.rows_in} in, "
                f"{self.rows_out} out + {self.rows_rejected} rejected + "
                f"{self.rows_duplicate} duplicate",
                where=f"run {self.run_id}",
                hint="this is a bug in driftline; the ledger has the row, please report it",
            )


class Ledger:
    """Writes one row a stage into ``ops.runs``."""

    def __init__(self, tables: Tables, problem: Problem, environment: Environment) -> None:
        self._tables = tables
        self._problem = problem
        self._environment = environment
        self.last_run_id = ""
        """Id of the stage that ran last."""
        self.seconds = 0.0
        """Wall time of all stages of this process, and what they cost."""
        self.money = 0.0
        self.as_of: datetime | None = None
        """The day that the next stages are asked for, if they are."""
        self._used = Usage()

    @contextmanager
    def run(self, stage: str) -> Iterator[Run]:
        """Measure a stage; its row is written also when the stage fails or refuses, and of one
        that was killed by the next stage that begins.
        """
        spark = self._tables.spark
        self._write_killed()
        with Progress(stage).shown() as progress, self._marked(Run(stage, progress)) as (run, mark):
            self.last_run_id, run.as_of = run.run_id, self.as_of
            before, started = usage.mark(spark), time.monotonic()
            LOGGER.info("%s started", stage, extra={"facts": _facts(run)})
            try:
                yield run
                run.balance()
            except Exception as error:
                run.status = "refused" if isinstance(error, Refused) else "failed"
                run.message = _said(error)
                try:
                    self._finish(run, before, started, mark)
                except Exception as other:  # what is told is why the stage ended, not this
                    LOGGER.error("%s: the ledger has no row of it: %s", stage, _said(other))
                raise
            self._finish(run, before, started, mark)

    @contextmanager
    def between(self, stage: str) -> Iterator[None]:
        """What is done in the block besides the stages in it is a row, too: looks at tables,
        decisions, the ledger itself. Its status says nothing of the stages.
        """
        spark = self._tables.spark
        before, started = usage.mark(spark), time.monotonic()
        used, seconds = self._used, self.seconds
        try:
            yield
        finally:
            inside = self._used.plus(used, -1)
            rest = usage.since(spark, before).plus(inside, -1)
            wall = max(time.monotonic() - started - (self.seconds - seconds), 0.0)
            run = Run(stage, Progress(stage), message="between its stages")
            self._write(run, rest, wall)

    def going_on(self, stage: str) -> list[tuple[str, datetime]]:
        """The runs of a stage that have not ended (id, when it began), where they leave marks."""
        marks = running.alive(self._tables.spark, self._tables.root)
        said = [(each.name, json.loads(each.said)) for each in marks]
        return [
            (name, datetime.fromisoformat(each["started_at"]))
            for name, each in said
            if each["stage"] == stage
        ]

    @contextmanager
    def _marked(self, run: Run) -> Iterator[tuple[Run, running.Mark]]:
        """What is to be known of a run, should it be killed."""
        said = {
            "stage": run.stage,
            "started_at": run.started_at.isoformat(),
            "cores": self._environment.cores,
            "memory_gib": self._environment.memory_gib,
            "problem": self._problem.digest,
        }
        root = self._tables.root
        with running.marked(self._tables.spark, root, run.run_id, json.dumps(said)) as mark:
            yield run, mark

    def _write_killed(self) -> None:
        """Rows of runs that were killed: they took until they were last alive, and what their tasks
        did nobody knows.
        """
        spark, root = self._tables.spark, self._tables.root
        dead = running.killed(spark, root)
        if not dead:
            return
        with self._tables.lock(RUNS.full_name, wait=_PATIENCE):
            self._tables.ensure(RUNS)
            ids = F.col("run_id").isin([each.name for each in dead])
            # One may have been killed with its row in, or be written down by another stage by now.
            known = {row.run_id for row in self._tables.read(RUNS.full_name).where(ids).collect()}
            rows = [self._killed(each) for each in dead if each.name not in known]
            if rows:
                self._tables.append_values(rows, RUNS, key=None)
        for each in dead:
            running.forget(spark, root, each)

    def _killed(self, dead: running.Killed) -> tuple[object, ...]:
        said = json.loads(dead.said)
        begun = datetime.fromisoformat(said["started_at"])
        run = Run(said["stage"], Progress(said["stage"]), dead.name, begun, "killed")
        run.message = f"killed, or could not write its row: last alive {dead.at:%Y-%m-%d %H:%M:%S}"
        wall = max((dead.at - begun).total_seconds(), 0.0)
        cores, gib = (said[each] * wall / 3600 for each in ("cores", "memory_gib"))
        cost = money(self._problem.prices, core_hours=cores, gib_hours=gib, gib_months=0)
        _log(run, wall, cost)
        return self._row(run, Usage(), wall, cost, said["problem"])

    def _finish(self, run: Run, before: usage.Mark, started: float, mark: running.Mark) -> None:
        wall = time.monotonic() - started
        used = usage.since(self._tables.spark, before)
        self._used = self._used.plus(used)
        used = replace(
            used,
            bytes_read=used.bytes_read + run.bytes_read,
            bytes_written=used.bytes_written + run.bytes_written,
        )
        self._write(run, used, wall)
        mark.over = True

    def _write(self, run: Run, used: Usage, wall: float) -> None:
        environment, prices = self._environment, self._problem.prices
        cost = money(
            prices,
            core_hours=environment.cores * wall / 3600,
            gib_hours=environment.memory_gib * wall / 3600,
            gib_months=used.bytes_written / GIB,
        )
        self.seconds += wall
        self.money += cost
        row = self._row(run, used, wall, cost, self._problem.digest)
        with self._tables.lock(RUNS.full_name, wait=_PATIENCE):
            self._tables.append_values([row], RUNS, key=None)
        _log(run, wall, cost)

    def _row(
        self, run: Run, used: Usage, wall: float, cost: float, problem: str
    ) -> tuple[object, ...]:
        return (
            run.run_id,
            run.stage,
            run.status,
            run.started_at,
            run.as_of,
            wall,
            run.rows_in,
            run.rows_out,
            run.rows_rejected,
            run.rows_duplicate,
            sorted(run.tables_read.items()),
            sorted(run.tables_written.items()),
            used.cpu_seconds,
            used.task_seconds,
            used.bytes_read,
            used.bytes_written,
            used.shuffle_bytes,
            used.spill_bytes,
            used.jobs,
            cost,
            self._problem.prices.currency,
            problem,
            __version__,
            run.model_version,
            run.message,
        )


def _said(error: Exception) -> str:
    """What the ledger keeps of an error: of ours what was wrong, of others, which may quote a
    row's value, only the kind.
    """
    if isinstance(error, DriftlineError):
        return error.what[:500]
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    return type(error).__name__ + (f" {condition}" if condition else "")


def _log(run: Run, seconds: float, cost: float) -> None:
    facts = _facts(run) | {"seconds": round(seconds, 3), "money": cost}
    LOGGER.info("%s %s: %s", run.stage, run.status, run.message, extra={"facts": facts})


def _facts(run: Run) -> dict[str, Any]:
    return {"run_id": run.run_id, "stage": run.stage, "status": run.status}
