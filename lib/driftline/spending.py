"""What was spent, by stage, day, month, run or part of one: sums over rows of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

Run = Mapping[str, Any]
"""A row of ``ops.runs``."""

BY: Mapping[str, Callable[[Run], str]] = {
    "stage": lambda run: str(run["stage"]),
    "day": lambda run: f"{run['started_at']:%Y-%m-%d}",
    "month": lambda run: f"{run['started_at']:%Y-%m}",
    "status": lambda run: str(run["status"]),
    "run": lambda run: f"{run['started_at']:%Y-%m-%d %H:%M:%S} {run['stage']} {run['run_id']}",
    "trial": lambda run: str(run["part"]),
    "suite": lambda run: str(run["part"]),
    "table": lambda run: str(run["part"]),
}
"""What runs can be added up by."""


@dataclass(frozen=True)
class Spent:
    """Sums over some runs; ``money`` in the price book's currency."""

    runs: int = 0
    wall_seconds: float = 0.0
    task_seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    money: float = 0.0

    def plus(self, run: Run) -> Spent:
        """With one run more; what a run does not know counts as nothing."""
        one = {each.name: run[each.name] or 0 for each in fields(self)[1:]}
        return Spent(self.runs + 1, **{name: getattr(self, name) + one[name] for name in one})


def added_up(runs: Iterable[Run], by: str) -> dict[tuple[str, str], Spent]:
    """(group, currency) → sums: in order of time by day, month and run, else what costs most first.

    Money of different currencies is never added up.
    """
    found: dict[tuple[str, str], Spent] = {}
    for run in sorted(runs, key=lambda run: run["started_at"]):
        key = BY[by](run), str(run["currency"])
        found[key] = found.get(key, Spent()).plus(run)
    if by in ("stage", "status", "trial", "suite", "table"):
        return dict(sorted(found.items(), key=lambda each: -each[1].money))
    return found


def parted(runs: Iterable[Run], parts: Mapping[str, Mapping[str, float]]) -> list[Run]:
    """A row for each part of a run, with its share of what the run took; other runs are left out.

    ``parts``: run id → part → weight. What a run does besides its parts is shared by them as well:
    the model that a search ends with is fitted because of all trials.
    """
    found: list[Run] = []
    for run in runs:
        mine = parts.get(str(run["run_id"]), {})
        whole = sum(mine.values())
        for part, weight in mine.items():
            share = weight / whole if whole else 1 / len(mine)
            taken = {each.name: (run[each.name] or 0) * share for each in fields(Spent)[1:]}
            found.append({**run, **taken, "part": part})
    return found


def written(
    runs: Iterable[Run], added: Mapping[str, Mapping[int, int]]
) -> dict[str, dict[str, float]]:
    """Run id → table → bytes that the run added to it, as the parts of :func:`parted`.

    ``added``: table → version → bytes. A run notes the last version it wrote of a table; those
    after the one that another run noted are its own, too. What a log no longer names has no bytes.
    """
    noted: dict[str, list[tuple[int, str]]] = {}
    for run in runs:
        for table, version in run["tables_written"] or ():
            noted.setdefault(table, []).append((version, str(run["run_id"])))
    found: dict[str, dict[str, float]] = {}
    for table, each in noted.items():
        last = -1
        for version, run_id in sorted(each):
            own = (added.get(table, {}).get(number, 0) for number in range(last + 1, version + 1))
            found.setdefault(run_id, {})[table] = float(sum(own))
            last = version
    return found


def total(runs: Iterable[Run]) -> dict[str, Spent]:
    """Currency → sums over all runs."""
    found: dict[str, Spent] = {}
    for run in runs:
        found[str(run["currency"])] = found.get(str(run["currency"]), Spent()).plus(run)
    return found


def a_thousand_predictions(runs: Iterable[Run]) -> dict[str, float]:
    """Currency → what scoring a thousand rows cost, over all runs of ``score`` that did work."""
    scored = [run for run in runs if run["stage"] == "score" and run["rows_out"]]
    rows: dict[str, int] = {}
    for run in scored:
        rows[str(run["currency"])] = rows.get(str(run["currency"]), 0) + run["rows_out"]
    return {each: 1000 * spent.money / rows[each] for each, spent in total(scored).items()}
