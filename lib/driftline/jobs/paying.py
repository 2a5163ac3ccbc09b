"""What training again may gain, and what it cost last: money, for the decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import decision, schemas
from driftline.decision import Economics
from driftline.evaluation import Interval
from driftline.jobs.line import Line
from driftline.jobs.measuring import Measured
from driftline.monitor_section import Monitor
from driftline.registry import Version


def economics(
    line: Line,
    champion: Version | None,
    mine: Sequence[Measured],
    known: Sequence[Version],
    *,
    trusted: bool,
) -> Economics:
    """Gain from the newest periods that can be told, cost of the newest training of versions that
    were ``known`` by then.
    """
    before = _shares_then(line, champion) if champion else None
    found = gain(mine, before, line.problem.monitor, trusted=trusted)
    return Economics(found, _cost(line, known))


def evaluations(line: Line, champion: Version) -> dict[tuple[str, str], Row]:
    """What was measured on a version's test rows, by model and metric."""
    name = schemas.EVALUATIONS.full_name
    if not line.tables.exists(name):
        return {}
    rows = line.tables.read(name).where(
        (F.col("model_version") == champion.number) & (F.col("part") == "test")
    )
    return {(row.model, row.metric): row for row in rows.collect()}


def gain(
    mine: Sequence[Measured], before: tuple[float, float] | None, rule: Monitor, *, trusted: bool
) -> float | None:
    """What training again may gain at most: by the newest labels or, where scores are trusted and
    its labels are not there yet, by what those of the newest period promise, whichever is more.

    ``before``: false alarms and misses when the champion was judged, as shares of all rows.
    """
    told = [each.real for each in mine if "misses" in each.real][-1:]
    told += [each.expected for each in mine[-1:] if trusted and "misses" not in each.real]
    worths = [decision.worth(_shares(each), before, rule, rows=mine[-1].rows) for each in told]
    return max((each for each in worths if each is not None), default=None)


def _cost(line: Line, known: Sequence[Version]) -> float | None:
    """What the last training of these versions cost, by the ledger; None if there was none."""
    if not line.tables.exists(schemas.RUNS.full_name):
        return None
    name = schemas.features(line.problem).full_name
    of = {each.tables.get(name) for each in known}
    runs = line.tables.read(schemas.RUNS.full_name).where(
        "stage = 'train' AND status IN ('done', 'killed', 'failed')"
    )
    rows = runs.orderBy("started_at").select("status", "money", "tables_read").collect()
    told = [(row.status, float(row.money), dict(row.tables_read or ()).get(name)) for row in rows]
    return cost(told, of)


def cost(runs: Sequence[tuple[str, float, int | None]], of: Collection[int | None]) -> float | None:
    """Of the newest training of such versions of the features that was done, and of its tries
    before: a search that was killed goes on with what it has not measured. None if there was none.

    ``runs`` of train, oldest first: status, money, version of the features read, if it is known.
    """
    found, spent = None, 0.0
    for status, money, version in runs:
        spent += money
        if status == "done":
            found = spent if version in of else found
            spent = 0.0
    return found


def _shares(metrics: Mapping[str, Interval]) -> tuple[float, float] | None:
    if "misses" not in metrics:
        return None
    return metrics["false_alarms"].value, metrics["misses"].value


def _shares_then(line: Line, champion: Version) -> tuple[float, float] | None:
    """False alarms and misses on the champion's test rows, as shares of all of them."""
    if line.problem.monitor.value is None:
        return None
    rows = line.tables.read(schemas.CURVES.full_name).where(
        (F.col("model_version") == champion.number) & (F.col("curve") == "confusion")
    )
    counts = {row.name: row.y for row in rows.collect()}
    if not counts:
        return None
    total = sum(counts.values())
    found = evaluations(line, champion)
    decided = [found.get(("decision", name)) for name in ("accuracy", "recall")]
    if None in decided:  # answers are 1 from 0.5 on, as in the confusion matrix
        return counts["fp"] / total, counts["fn"] / total
    accuracy, recall = (row.value for row in decided if row is not None)
    misses = (counts["tp"] + counts["fn"]) / total * (1 - recall)
    return max(0.0, 1 - accuracy - misses), misses
