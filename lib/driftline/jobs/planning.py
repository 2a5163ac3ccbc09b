"""What a turn of the cycle would do, and by the ledger take and cost: `driftline cycle --dry-run`.

Reads only. A stage is due when a table that it read last has another version now, or when a stage
before it is due; what it would take is the median of its newest runs that had something to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import features, labels, schemas
from driftline.jobs import acting, deciding, ingest, monitor
from driftline.jobs.line import Line
from driftline.registry import Registry, Version
from driftline.session import utc

_RUNS = 5
"""So many of the newest runs of a stage tell what the next one takes."""

_IF_DECIDED = "if monitor decides so"


@dataclass(frozen=True)
class Step:
    """A stage, and why it is due; None where it has nothing to do."""

    stage: str
    why: str | None


def plan(line: Line, *, as_of: datetime | None = None) -> str:
    """The plan as a table; nothing is written."""
    runs = _runs(line)
    there = line.tables.exists(schemas.features(line.problem).full_name)
    champion = Registry(line.environment.mlflow, line.problem.name).champion() if there else None
    day = as_of
    if day is None and there:
        name = schemas.features(line.problem).full_name
        day = monitor.watermark(line, line.tables.version(name))
    steps = _steps(line, runs, champion, as_of, day)
    return "\n".join([_head(as_of, day, champion), "", *_table(line, steps, runs)])


def _steps(
    line: Line,
    runs: Mapping[str, list[Row]],
    champion: Version | None,
    as_of: datetime | None,
    day: datetime | None,
) -> list[Step]:
    before = ingest.waiting(line)
    steps = [Step("ingest", before)]
    due = before is not None
    for stage in ("validate", "features", "score", "drift", "monitor"):
        why = "what comes before it is new" if due else _moved(line, runs, stage)
        if why is None and stage == "features":
            why = _reaches(line, as_of)
        if why is None and stage == "score" and champion is not None:
            why = _unscored(line, champion)
        if why is None and stage == "monitor" and day is not None:
            why = _undecided(line, day)
        steps.append(Step(stage, why))
        due = due or why is not None
    train = _training(line, champion, day, due=due)
    steps += [Step("train", train), Step("report", "something was done" if due or train else None)]
    return steps


def _moved(line: Line, runs: Mapping[str, list[Row]], stage: str) -> str | None:
    last = next((row for row in runs.get(stage, []) if row.tables_read), None)
    if last is None:
        return "it never ran"
    for table, version in sorted(last.tables_read):
        now = line.tables.version(table) if line.tables.exists(table) else None
        if now != version:
            return f"{table} {version} → {now}"
    return None


def _reaches(line: Line, as_of: datetime | None) -> str | None:
    """Whether the features asked for end at another cut-off, or know other labels."""
    problem = line.problem
    source = problem.label.source
    found = line.tables.read(f"silver.{source}").agg(F.max(problem.sources[source].time)).first()
    if found is None or found[0] is None:
        return None
    newest = utc(found[0])
    wanted = min(newest, as_of or newest)
    made = monitor.watermark(line, line.tables.version(schemas.features(problem).full_name))
    sides = [
        (times, labels.mature(times, problem.label, until))
        for until in (made, wanted)
        for times in [features.as_ofs(problem.cutoffs, until)]
    ]
    return None if sides[0] == sides[1] else f"up to {made:%Y-%m-%d} → {wanted:%Y-%m-%d}"


def _unscored(line: Line, champion: Version) -> str | None:
    name = schemas.PREDICTIONS.full_name
    if line.tables.exists(name):
        mine = line.tables.read(name).where(F.col("model_version") == champion.number)
        if mine.limit(1).count():
            return None
    return f"version {champion.number} has scored nothing"


def _undecided(line: Line, day: datetime) -> str | None:
    return None if deciding.made(line, day) else f"no decision as of {day:%Y-%m-%d} yet"


def _training(
    line: Line, champion: Version | None, day: datetime | None, *, due: bool
) -> str | None:
    if day is not None and champion is not None and not acting.known(champion, day):
        return None
    if champion is None:
        return "there is no champion"
    if due or day is None:
        return _IF_DECIDED
    made = deciding.made(line, day)[-1]
    open_ = made.decision not in deciding.outcomes(line, day, "training")
    return "decided, and not done yet" if made.action == "retrain" and open_ else None


def _runs(line: Line) -> dict[str, list[Row]]:
    """Runs by stage, the newest first, but for those that failed or were refused."""
    name = schemas.RUNS.full_name
    if not line.tables.exists(name):
        return {}
    rows = line.tables.read(name).where(F.col("status").isin("done", "unchanged"))
    found: dict[str, list[Row]] = {}
    for row in rows.orderBy(F.col("started_at").desc()).collect():
        found.setdefault(row.stage, []).append(row)
    return found


def _head(as_of: datetime | None, day: datetime | None, champion: Version | None) -> str:
    when = "the end of what is known so far" if as_of is None else "as asked"
    upto = f"As of {day:%Y-%m-%d} ({when})" if day else "From the beginning"
    who = f"champion is version {champion.number}" if champion else "there is no champion"
    return f"{upto}; {who}. Nothing is done now; a turn of the cycle would do this:"


def _table(line: Line, steps: list[Step], runs: Mapping[str, list[Row]]) -> list[str]:
    currency = line.problem.prices.currency
    wide = max(44, *(len(each.why or "") + 2 for each in steps))
    lines = [f"{'stage':<10}{'why':<{wide}}{'seconds':>9}{'money':>12}"]
    sums = {"seconds": 0.0, "money": 0.0, "unknown": 0.0}
    for step in steps:
        if step.why is None:
            lines.append(f"{step.stage:<10}nothing to do")
            continue
        past = [row for row in runs.get(step.stage, []) if row.status == "done"][:_RUNS]
        if not past:
            lines.append(f"{step.stage:<10}{step.why:<{wide}}{'?':>9}{'?':>12}")
            sums["unknown"] += step.why != _IF_DECIDED
            continue
        seconds = median(row.wall_seconds for row in past)
        money = median(row.money for row in past)
        lines.append(f"{step.stage:<10}{step.why:<{wide}}{seconds:>9.1f}{money:>8.5f} {currency}")
        if step.why != _IF_DECIDED:
            sums["seconds"] += seconds
            sums["money"] += money
    at_least = " at least, not all stages ran before" if sums["unknown"] else ""
    rest = "" if not any(each.why == _IF_DECIDED for each in steps) else "without training"
    said = f"{rest}{at_least}".strip()
    lines.append(
        f"{'total':<10}{said:<{wide}}{sums['seconds']:>9.1f}{sums['money']:>8.5f} {currency}"
    )
    return lines
