"""Turns of the cycle in one process, and what they left in the tables."""

from __future__ import annotations

import importlib
from pathlib import Path

from pyspark.sql import Row

from driftline.jobs import cycle
from driftline.registry import Registry


class Wheel:
    """A line, and turns of it in this process."""

    def __init__(self, line) -> None:
        self.line = line
        self.ran: list[tuple[str, str]] = []
        """Stages of the newest turn, each with the id of its run."""

    def stage(self, name: str, **arguments: object) -> None:
        importlib.import_module(f"driftline.jobs.{name}").run(self.line, **arguments)
        self.ran.append((name, self.line.ledger.last_run_id))

    def turn(self, **arguments) -> str:
        self.ran.clear()
        return cycle.run(self.line, self.stage, **arguments)

    def rows(self, table: str) -> list[Row]:
        return self.line.tables.read(table).collect()

    @property
    def statuses(self) -> set[str]:
        """What the ledger says of the newest turn."""
        known = {row.run_id: row.status for row in self.rows("ops.runs")}
        return {known[run_id] for _, run_id in self.ran}

    @property
    def champion(self) -> int:
        found = Registry(self.line.environment.mlflow, "churn").champion()
        return 0 if found is None else found.number

    def versions(self) -> dict[str, int]:
        folders = [path.parent for path in Path(self.line.tables.root).glob("*/*/_delta_log")]
        names = sorted(f"{path.parent.name}.{path.name}" for path in folders)
        return {name: self.line.tables.version(name) for name in names}
