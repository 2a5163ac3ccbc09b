"""Every table → without the files of old versions, but those that models that passed came from."""

from __future__ import annotations

from driftline import pins
from driftline.jobs.line import Line
from driftline.registry import Registry


def run(line: Line, *, hours: float) -> str:
    """Vacuum what is older than ``hours``; a version a model that passed came from stays whole."""
    with line.ledger.run("vacuum") as ledger:
        live = Registry(line.environment.mlflow, line.problem.name).passed()
        removed = kept = 0
        lost = set()
        for name in line.tables.names():
            asked = sorted({each.tables[name] for each in live if name in each.tables})
            with line.tables.lock(name):
                # Before it is asked which versions are whole: what a vacuum that was killed left
                # under second names alone would count as lost, and then be it.
                pins.restore(line.tables, name)
                pinned = [version for version in asked if pins.whole(line.tables, name, version)]
                ledger.progress(f"{name}: {len(pinned)} versions are pinned")
                found = pins.vacuum(line.tables, name, hours=hours, pinned=pinned)
            lost |= {each.number for each in live if each.tables.get(name) in {*asked} - {*pinned}}
            removed, kept = removed + found["removed"], kept + found["kept"]
        ledger.status = "done" if removed else "unchanged"
        ledger.message = (
            f"{removed:,} files removed; {kept:,} kept for {len(live) - len(lost)} model versions "
            "alone"
        )
        if lost:
            ledger.message += (
                f"; not for {', '.join(map(str, sorted(lost)))}, of whose tables files are gone "
                "already, or the log does not tell them any more"
            )
        return ledger.message
