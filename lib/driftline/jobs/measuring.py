"""Performance, a step of monitor: what is new of predictions and labels → ``ops.performance``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from driftline import losses, monitor, performance, pins, schemas
from driftline.errors import Missing
from driftline.evaluation import Interval, Point
from driftline.jobs import acting, judging
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.losses import Losses
from driftline.performance import Assumption, Calibrated
from driftline.registry import Version
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
    """What labels tell well enough to judge by, see :func:`driftline.performance.weighty`."""
    expected: Mapping[str, Interval]
    assumption: bool | None


def measure(
    line: Line, ledger: Run, *, versions: Sequence[Version], features_version: int, as_of: datetime
) -> list[Measured]:
    """Measure anew what changed since it was measured; returns all that is known as of a day,
    oldest first. Cut-offs whose labels a version may have learnt from say nothing of it.
    """
    name = schemas.PREDICTIONS.full_name
    if not line.tables.exists(name) or not versions:
        return []
    labels = _labels(line, features_version, as_of)
    by_number = {each.number: each for each in versions}
    predictions = line.tables.read(name).where(F.col("model_version").isin(list(by_number)))
    ledger.read(name, line.tables.version(name))
    words = [each for each, type_ in judging.feature_columns(line) if type_ == "string"]
    rows = monitor.joined(predictions, labels, as_of=as_of)
    ledger.progress("joining predictions with labels")
    known = _judged(line, list(by_number))
    edges = {version: found.edges.tolist() for version, found in known.losses.items()}
    counted = monitor.counted(rows, task=line.problem.task, slices=words, edges=edges)
    groups: dict[Group, list[Row]] = {}
    for row in monitor.frequent(counted, at_least=_AT_LEAST).collect():
        cutoff, number = utc(row.cutoff), row.model_version
        if acting.judged_by(by_number[number], cutoff, horizon=line.problem.label.horizon):
            groups.setdefault((cutoff, number), []).append(row)
    before = _newest(_rows_of(line, as_of))
    changed = {}
    for group, found in groups.items():
        # Slices are measured by the problem's metric alone.
        hashes = [int(row.content) for row in found if not row.slice]
        rows_alone = monitor.content(hashes)
        digest = f"{rows_alone} {line.problem.train.metric}"
        # Alone, as an older version wrote it down, it is of the metric of then, which was kept.
        if group not in before or before[group].content not in (digest, rows_alone):
            changed[group] = digest
    again = {group: before[group] for group in changed if group in before}
    differ = _restated(line, labels, again, as_of)
    written: list[tuple[Any, ...]] = []
    for group in sorted(changed):
        tail = (as_of, features_version, changed[group], ledger.run_id, datetime.now(timezone.utc))
        written += [
            (*group, *found, *tail)
            for found in _rows(line, known, group, groups[group], restated=differ.get(group))
        ]
    if written:
        ledger.wrote(line.tables.append_values(written, schemas.PERFORMANCE, key=None))
    return read(line, as_of)


def read(line: Line, as_of: datetime) -> list[Measured]:
    """What ``ops.performance`` knew as of a day, oldest first: the newest measurement of each."""
    rows = _rows_of(line, as_of)
    found = []
    for (cutoff, version), last in sorted(_newest(rows).items()):
        kinds: dict[str, dict[str, Interval]] = {"real": {}, "expected": {}}
        for row in rows:
            mine = (row.run_id, utc(row.cutoff), row.model_version) == (
                last.run_id,
                cutoff,
                version,
            )
            if mine and None not in (row.value, row.low, row.high):
                kinds[row.kind][row.metric] = Interval(row.value, row.low, row.high)
        real = performance.weighty(kinds["real"], last.labelled)
        checked = _checked(line, kinds["expected"], real)  # by what is asked for now
        holds = checked.holds if checked else None
        found.append(
            Measured(cutoff, version, last.rows, last.labelled, real, kinds["expected"], holds)
        )
    return found


def _labels(line: Line, version: int, as_of: datetime) -> DataFrame:
    features = line.tables.read(schemas.features(line.problem).full_name, version=version)
    problem = line.problem
    return monitor.known(
        features, entity=problem.entity, horizon=problem.label.horizon, as_of=as_of
    )


def _rows_of(line: Line, as_of: datetime) -> list[Row]:
    """All measurements made as of that day or before, of all rows of a group, oldest first."""
    name = schemas.PERFORMANCE.full_name
    if not line.tables.exists(name):
        return []
    rows = line.tables.read(name).where((F.col("as_of") <= F.lit(as_of)) & (F.col("slice") == ""))
    return sorted(rows.collect(), key=lambda row: (row.as_of, row.at))


def _newest(rows: Sequence[Row]) -> dict[Group, Row]:
    """A row of the newest measurement of each group."""
    return {(utc(row.cutoff), row.model_version): row for row in rows}


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


@dataclass(frozen=True)
class _Judged:
    """What the test rows of each version say of its scores."""

    calibrated: Mapping[int, Calibrated]
    losses: Mapping[int, Losses]


def _judged(line: Line, versions: Sequence[int]) -> _Judged:
    curves = line.tables.read(schemas.CURVES.full_name)
    asked = F.col("model_version").isin(list(versions))
    wanted = F.col("curve").isin("calibration", losses.CURVE)
    points: dict[tuple[int, str], list[Point]] = {}
    for row in curves.where(asked & wanted).collect():
        point = Point(row.curve, row.name, row.x, row.y, row.rows)
        points.setdefault((row.model_version, row.curve), []).append(point)
    if line.problem.task == "regression":
        for each in versions:
            if (each, losses.CURVE) not in points:
                raise Missing(
                    f"{schemas.CURVES.full_name} does not tell how version {each} errs",
                    where=line.tables.root,
                    hint="was the warehouse made anew beside an old registry? `driftline train`",
                )
        return _Judged({}, {each: losses.losses(points[each, losses.CURVE]) for each in versions})
    calibrated = {
        version: performance.calibration([(one.x, one.y, one.rows or 0) for one in found])
        for (version, curve), found in points.items()
        if curve == "calibration"
    }
    return _Judged(calibrated, {})


def _rows(
    line: Line, known: _Judged, group: Group, found: Sequence[Row], *, restated: int | None
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
        kinds, checked, doubt = _kinds(line, known, group[1], mine, labelled)
        if "real" in kinds and not name:
            doubt = "; ".join(filter(None, [doubt, performance.few(kinds["real"], labelled)]))
        detail = _said(rows, unmatched, restated, checked, doubt) if not name else None
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
    line: Line, known: _Judged, version: int, found: Sequence[Row], labelled: int
) -> tuple[dict[str, Mapping[str, Interval]], Assumption | None, str]:
    """Metrics by kind, whether labels bore out the scores, and why these promise little."""
    if line.problem.task == "regression":
        return _errors(line, known.losses[version], found, labelled)
    seed = line.problem.train.seed
    cells = performance.cells(
        [(row.scores, row.called, row.rows, row.labelled, int(row.ones)) for row in found]
    )
    its = known.calibrated.get(version)
    said = "" if its else "what its scores mean is not known: each is taken at its word"
    promised = performance.expected(cells, its or Calibrated(), seed=seed)
    if not labelled:
        return {"expected": promised}, None, said
    came = performance.real(cells, seed=seed)
    checked = _checked(line, promised, performance.weighty(came, labelled))
    return {"expected": promised, "real": came}, checked, said


def _errors(
    line: Line, known: Losses, found: Sequence[Row], labelled: int
) -> tuple[dict[str, Mapping[str, Interval]], Assumption | None, str]:
    """:func:`_kinds` of a regression."""
    metric = line.problem.train.metric
    kinds: dict[str, Mapping[str, Interval]] = {}
    if labelled:
        sums = {name: sum(row[name] or 0.0 for row in found) for name in ("e", "e1", "e2", "e4")}
        kinds["real"] = performance.residuals({"n": labelled, **sums})
    counts: dict[int, int] = {}
    for row in found:
        counts[row.bin] = counts.get(row.bin, 0) + row.rows
    promise = losses.expected(known, counts)
    if not promise.metrics:
        kinds["expected"] = {metric: Interval(math.nan, math.nan, math.nan)}
        said = f"{promise.outside:.0%} of scores lie outside those of the test rows, for which "
        return kinds, None, f"{said}nothing is known: no expected {metric}"
    kinds["expected"] = promise.metrics
    if not labelled:
        return kinds, None, ""
    real = performance.weighty(kinds["real"], labelled)
    return kinds, _checked(line, promise.metrics, real), ""


def _checked(
    line: Line, promised: Mapping[str, Interval], came: Mapping[str, Interval]
) -> Assumption | None:
    """Whether labels bore out what scores promised; None where either is not known."""
    if not promised or not came:
        return None
    metric, drop = line.problem.train.metric, line.problem.monitor.drop
    regression = line.problem.task == "regression"
    if regression:
        if metric not in promised:
            return None
        drop *= promised[metric].value
    names = (metric, "bias" if regression else "share_of_1")
    return performance.assumption(promised, came, names, drop=drop)


def _said(
    rows: int, unmatched: int, restated: int | None, checked: Assumption | None, doubt: str
) -> str | None:
    parts = []
    if unmatched:
        parts.append(f"{unmatched:,} of {rows:,} predictions have no features any more")
    if restated:
        parts.append(f"{restated:,} labels restated")
    if checked and not checked.holds:
        parts.append(checked.words)
    return "; ".join(filter(None, [*parts, doubt])) or None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
