"""Every table → without the files of old versions, except those that models came from."""

from __future__ import annotations

from driftline import pins
from driftline.jobs.line import Line
from driftline.registry import Registry


def run(line: Line, *, hours: float) -> str:
    """Vacuum what is older than ``hours``; a version a model that passed came from stays whole."""
    with line.ledger.run("vacuum") as ledger:
        live = Registry(line.environment.mlflow, line.problem.name).passed()
        removed = kept = 0
        for name in line.tables.names():
            asked = sorted({each.tables[name] for each in live if name in each.tables})
            pinned = [version for version in asked if pins.whole(line.tables, name, version)]
            ledger.progress(f"{name}: {len(pinned)} versions are pinned")
            if len(pinned) < len(asked):
                ledger.progress(f"{name}: {len(asked) - len(pinned)} more have lost files already")
            with line.tables.lock(name):
                found = pins.vacuum(line.tables, name, hours=hours, pinned=pinned)
            removed, kept = removed + found["removed"], kept + found["kept"]
        ledger.status = "done" if removed else "unchanged"
        ledger.message = (
            f"{removed:,} files removed; {kept:,} kept for {len(live)} model versions alone"
        )
        return ledger.message
