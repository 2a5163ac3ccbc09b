"""What the page is made from, and how a frame is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import pandas as pd

from driftline.explore import TABLE as EXPLORATION
from driftline.problem import Problem
from driftline.schemas import (
    CAUSES,
    CURVES,
    DECISIONS,
    DELIVERIES,
    DRIFT,
    EVALUATIONS,
    HISTOGRAMS,
    OUTCOMES,
    PERFORMANCE,
    QUALITY,
    RUNS,
    SKEW,
    SLA,
    SLICES,
    TRIALS,
)

Row = dict[str, Any]

COLUMNS: dict[str, list[str]] = {
    "runs": RUNS.column_names,
    "deliveries": DELIVERIES.column_names,
    "rejects": ["source", "reason", "column", "rows"],
    "quality": QUALITY.column_names,
    "quarantine": ["table", "rule", "rows"],
    "trials": TRIALS.column_names,
    "evaluations": EVALUATIONS.column_names,
    "slices": SLICES.column_names,
    "curves": CURVES.column_names,
    "drift": DRIFT.column_names,
    "causes": CAUSES.column_names,
    "histograms": HISTOGRAMS.column_names,
    "explored": EXPLORATION.column_names,
    "performance": PERFORMANCE.column_names,
    "skew": SKEW.column_names,
    "decisions": DECISIONS.column_names,
    "outcomes": OUTCOMES.column_names,
    "sla": SLA.column_names,
}
"""The columns of each frame of :class:`Facts`; an empty frame may come without any."""


@dataclass(frozen=True)
class Facts:
    """Everything the page needs; an empty frame means that the stage has not run.

    ``rejects`` and ``quarantine`` are counted (``rows``); ``histograms`` are shares (0 to 1) of a
    bin or category of one column in one version of a table, bins being ``[low, high)``.
    ``champion`` has ``version``, ``family``, ``parameters``, ``as_of`` (of the test rows),
    ``tables`` (each with ``table`` and ``version``: what it was trained from), and perhaps
    ``linear_algebra`` (which BLAS it was fitted by).
    """

    problem: Problem
    generated_at: datetime
    runs: pd.DataFrame
    deliveries: pd.DataFrame
    rejects: pd.DataFrame
    quality: pd.DataFrame
    quarantine: pd.DataFrame
    trials: pd.DataFrame
    evaluations: pd.DataFrame
    slices: pd.DataFrame
    curves: pd.DataFrame
    drift: pd.DataFrame
    causes: pd.DataFrame
    histograms: pd.DataFrame
    champion: dict[str, Any] | None
    explored: pd.DataFrame = field(default_factory=pd.DataFrame)
    performance: pd.DataFrame = field(default_factory=pd.DataFrame)
    skew: pd.DataFrame = field(default_factory=pd.DataFrame)
    decisions: pd.DataFrame = field(default_factory=pd.DataFrame)
    outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)
    sla: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        for each in fields(self):
            wanted = COLUMNS.get(each.name)
            if wanted is None:
                continue
            frame = getattr(self, each.name)
            lacking = [name for name in wanted if name not in frame.columns]
            if lacking and len(frame):
                raise ValueError(f"{each.name} lacks the columns {', '.join(lacking)}")


def rows(frame: pd.DataFrame) -> list[Row]:
    """The frame as dicts, in order; every kind of missing value is ``None``."""
    return [
        {name: _missing_to_none(value) for name, value in record.items()}
        for record in frame.to_dict("records")
    ]


def whole(value: Any) -> int:
    """A count; a missing one is 0."""
    return 0 if value is None else int(value)


def total(records: Iterable[Row], column: str) -> int:
    """Sum of a column of counts."""
    return sum(whole(record[column]) for record in records)


def newest(records: Iterable[Row], *keys: str, by: str = "at") -> list[Row]:
    """The last record of each distinct ``keys``, by time, in order of first appearance."""
    last: dict[tuple[Any, ...], Row] = {}
    for record in records:
        key = tuple(record[name] for name in keys)
        known = last.get(key)
        if known is None or not _before(record[by], known[by]):
            last[key] = record
    return list(last.values())


def latest_run(records: list[Row], *, by: str = "at") -> list[Row]:
    """The records that the newest run wrote."""
    last = newest(records, by=by)
    return [record for record in records if last and record["run_id"] == last[0]["run_id"]]


def _before(one: Any, other: Any) -> bool:
    return other is not None and (one is None or one < other)


def _missing_to_none(value: Any) -> Any:
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float) and value != value:
        return None
    return value
