"""Performance, a step of monitor: what is new of predictions and labels → ``ops.performance``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from driftline import monitor, performance, pins, schemas
from driftline.evaluation import Interval
from driftline.jobs import judging
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.performance import Assumption
from driftline.session import utc

_AT_LEAST = 50
"""A slice with fewer predictions is not measured: its metric would be noise."""

Group = tuple[datetime, int]
"""(cut-off, model version)."""


@dataclass(frozen=True)
class Measured:
    """What is known of the predictions of one cut-off by one version."""

    cutoff: datetime
    version: int
    rows: int
    labelled: int
    real: Mapping[str, Interval]
    expected: Mapping[str, Interval]
    assumption: bool | None


def measure(
    line: Line, ledger: Run, *, versions: Sequence[int], features_version: int, as_of: datetime
) -> list[Measured]:
    """Measure anew what changed since it was measured; returns all that is known as of a day,
    oldest first.
    """
    name = schemas.PREDICTIONS.full_name
    if not line.tables.exists(name) or not versions:
        return []
    labels = _labels(line, features_version, as_of)
    predictions = line.tables.read(name).where(F.col("model_version").isin(list(versions)))
    ledger.read(name, line.tables.version(name))
    words = [each for each, type_ in judging.feature_columns(line) if type_ == "string"]
    rows = monitor.joined(predictions, labels, as_of=as_of)
    ledger.progress("joining predictions with labels")
    groups: dict[Group, list[Row]] = {}
    for row in monitor.counted(rows, task=line.problem.task, slices=words).collect():
        groups.setdefault((utc(row.cutoff), row.model_version), []).append(row)
    before = _newest(line, as_of)
    changed = {}
    for group, found in groups.items():
        digest = monitor.content([int(row.content) for row in found if not row.slice])
        if group not in before or before[group].content != digest:
            changed[group] = digest
    again = {group: before[group] for group in changed if group in before}
    differ = _restated(line, labels, again, as_of)
    written: list[tuple[Any, ...]] = []
    for group in sorted(changed):
        tail = (as_of, features_version, changed[group], ledger.run_id, datetime.now(timezone.utc))
        written += [
            (*group, *found, *tail)
            for found in _rows(line, group, groups[group], restated=differ.get(group))
        ]
    if written:
        ledger.wrote(line.tables.append_values(written, schemas.PERFORMANCE, key=None))
    return read(line, as_of)


def read(line: Line, as_of: datetime) -> list[Measured]:
    """What ``ops.performance`` knew as of a day, oldest first: the newest measurement of each."""
    newest = _newest(line, as_of)
    if not newest:
        return []
    rows = line.tables.read(schemas.PERFORMANCE.full_name).where("slice = ''").collect()
    found = []
    for (cutoff, version), last in sorted(newest.items()):
        mine = [row for row in rows if row.run_id == last.run_id]
        mine = [
            each for each in mine if (utc(each.cutoff), each.model_version) == (cutoff, version)
        ]
        kinds: dict[str, dict[str, Interval]] = {"real": {}, "expected": {}}
        for row in mine:
            if row.value is not None:
                kinds[row.kind][row.metric] = Interval(row.value, row.low, row.high)
        found.append(
            Measured(
                cutoff,
                version,
                last.rows,
                last.labelled,
                kinds["real"],
                kinds["expected"],
                last.assumption,
            )
        )
    return found


def _labels(line: Line, version: int, as_of: datetime) -> DataFrame:
    features = line.tables.read(schemas.features(line.problem).full_name, version=version)
    problem = line.problem
    return monitor.known(
        features, entity=problem.entity, horizon=problem.label.horizon, as_of=as_of
    )


def _newest(line: Line, as_of: datetime) -> dict[Group, Row]:
    """A row of the newest measurement of each group, of those made as of that day or before."""
    name = schemas.PERFORMANCE.full_name
    if not line.tables.exists(name):
        return {}
    rows = line.tables.read(name).where((F.col("as_of") <= F.lit(as_of)) & (F.col("slice") == ""))
    found: dict[Group, Row] = {}
    for row in sorted(rows.collect(), key=lambda row: (row.as_of, row.at)):
        found[utc(row.cutoff), row.model_version] = row
    return found


def _restated(
    line: Line, now: DataFrame, before: Mapping[Group, Row], as_of: datetime
) -> dict[Group, int]:
    """How many labels of a group differ from those it was measured by, where the latter are still
    there.
    """
    name = schemas.features(line.problem).full_name
    versions: dict[int, list[Group]] = {}
    for group, row in before.items():
        if row.labelled:
            versions.setdefault(row.features_version, []).append(group)
    found: dict[Group, int] = {}
    for version, groups in versions.items():
        if not pins.whole(line.tables, name, version):
            continue
        old = _labels(line, version, as_of)
        cutoffs = sorted({cutoff for cutoff, _ in groups})
        counts = {
            utc(row.cutoff): row.restated for row in monitor.restated(old, now, cutoffs).collect()
        }
        found |= {group: counts.get(group[0], 0) for group in groups}
    return found


def _rows(
    line: Line, group: Group, found: Sequence[Row], *, restated: int | None
) -> list[tuple[Any, ...]]:
    """slice, kind, metric, value, low, high, rows, labelled, unmatched, restated, assumption,
    detail of a group.
    """
    slices: dict[str, list[Row]] = {}
    for row in found:
        slices.setdefault(row.slice, []).append(row)
    made = []
    for name in sorted(slices):
        mine = slices[name]
        rows, labelled = sum(row.rows for row in mine), sum(row.labelled for row in mine)
        unmatched = rows - sum(row.matched for row in mine)
        if name and rows < _AT_LEAST:
            continue
        kinds, checked = _kinds(line, group[1], mine, labelled)
        detail = _said(rows, unmatched, restated, checked) if not name else None
        counts = (rows, labelled, unmatched, None if name else restated)
        holds = None if checked is None or name else checked.holds
        for kind, metrics in kinds.items():
            for metric, each in metrics.items():
                if name and metric != line.problem.train.metric:
                    continue
                values = (_finite(each.value), _finite(each.low), _finite(each.high))
                made.append((name, kind, metric, *values, *counts, holds, detail))
    return made


def _kinds(
    line: Line, version: int, found: Sequence[Row], labelled: int
) -> tuple[dict[str, Mapping[str, Interval]], Assumption | None]:
    problem = line.problem
    kinds: dict[str, Mapping[str, Interval]] = {}
    if problem.task == "regression":
        if labelled:
            sums = {name: sum(row[name] or 0.0 for row in found) for name in ("e1", "e2", "e4")}
            kinds["real"] = performance.residuals({"n": labelled, **sums})
        return kinds, None
    seed = problem.train.seed
    cells = performance.cells(
        [(row.scores, row.called, row.rows, row.labelled, int(row.ones)) for row in found]
    )
    promised = performance.expected(
        cells, performance.calibration(_calibration(line, version)), seed=seed
    )
    kinds["expected"] = promised
    if not labelled:
        return kinds, None
    came = performance.real(cells, seed=seed)
    kinds["real"] = came
    checked = performance.assumption(
        promised, came, problem.train.metric, drop=problem.monitor.drop
    )
    return kinds, checked


def _calibration(line: Line, version: int) -> list[tuple[float, float, int]]:
    """The calibration curve of a version's test rows."""
    curves = line.tables.read(schemas.CURVES.full_name)
    mine = (F.col("model_version") == version) & (F.col("curve") == "calibration")
    return [(row.x, row.y, row.rows) for row in curves.where(mine).collect()]


def _said(
    rows: int, unmatched: int, restated: int | None, checked: Assumption | None
) -> str | None:
    parts = []
    if unmatched:
        parts.append(f"{unmatched:,} of {rows:,} predictions have no features any more")
    if restated:
        parts.append(f"{restated:,} labels restated")
    if checked and not checked.holds:
        parts.append(checked.words)
    return "; ".join(parts) or None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
