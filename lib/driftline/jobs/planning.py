"""What a turn of the cycle would do, and by the ledger take and cost: `driftline cycle --dry-run`.

Reads only. A stage is due when a table that it read last has another version now, when the problem
file asks something else since, or when a stage before it is due. What it would take is told by its
runs that had something to do, see :mod:`driftline.forecast`, over the records that wait where those
can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import features, forecast, labels, schemas
from driftline.budgets import Budget, Taken, beyond
from driftline.forecast import Forecast
from driftline.jobs import acting, batches, deciding, ingest, monitor, searching
from driftline.jobs.line import Line
from driftline.registry import Registry, Version
from driftline.session import utc
from driftline.tiles import believable, moment

_IF_DECIDED = "if monitor decides so"
_NEW_CHAMPION = "by a new champion, if it passes"


@dataclass(frozen=True)
class Step:
    """A stage, and why it is due; None where it has nothing to do."""

    stage: str
    why: str | None
    rows: int | None = None
    """Rows it would read, where that can be told."""
    times: int = 1
    """It runs twice where a new champion scores, and is looked at, in the same turn."""


@dataclass(frozen=True)
class Next:
    """What the next run of a stage takes: seconds, and money."""

    seconds: Forecast
    money: Forecast

    @property
    def taken(self) -> Taken:
        """For a budget."""
        return Taken(self.seconds.value / 60, self.money.value)


def coming(runs: list[Row], rows: int | None = None) -> Next | None:
    """What the next run takes, by those that did something (the newest first); None without one."""
    past = [row for row in reversed(runs) if row.status == "done"]
    seconds = forecast.expected([(row.wall_seconds, row.rows_in) for row in past], rows)
    money = forecast.expected([(row.money, row.rows_in) for row in past], rows)
    return None if seconds is None or money is None else Next(seconds, money)


def due(line: Line, stage: str, as_of: datetime | None) -> bool:
    """Whether a stage, asked for by itself, has something to do: a report always."""
    if stage == "report":
        return True
    steps = _steps(line, runs_of(line), _told(line, as_of), only=stage)
    return any(each.why is not None for each in steps if each.stage == stage)


def plan(line: Line, *, as_of: datetime | None = None) -> str:
    """The plan as a table; nothing is written."""
    runs, told = runs_of(line), _told(line, as_of)
    return "\n".join([_head(told), "", *_table(line, _steps(line, runs, told), runs)])


@dataclass(frozen=True)
class _Told:
    """Of when a turn is asked for, and who is champion."""

    as_of: datetime | None
    day: datetime | None
    """What ``as_of`` is, or where the data ends; None before there are features."""
    champion: Version | None
    """Of today: whom training would follow."""
    then: Version | None
    """As of the day: who scores, and is judged."""
    refused: str | None
    """Why training would do nothing, where there is no champion."""

    def first(self, *, due: bool) -> bool:
        """Whether this turn trains the first champion; ``due``: something before it is."""
        return self.champion is None and (due or self.refused is None)


def _told(line: Line, as_of: datetime | None) -> _Told:
    name = schemas.features(line.problem).full_name
    if not line.tables.exists(name):
        return _Told(as_of, as_of, None, None, None)
    version = line.tables.version(name)
    # Asked for no day, a turn goes to the data's end, also where features are of a day made up for.
    day = as_of or max(filter(None, (monitor.watermark(line, version), _newest(line))))
    models = Registry(line.environment.mlflow, line.problem.name)
    champion, then = models.champion(), acting.acting(models, day)
    refused = None if champion is not None else _refused(line, models, version)
    return _Told(as_of, day, champion, then, refused)


def _refused(line: Line, models: Registry, features_version: int) -> str | None:
    """What was trained on exactly what is there, and is not to be promoted: train does nothing.
    Asked where there is no champion.
    """
    key = searching.judged(line.problem, searching.key(line, features_version))
    there = models.trained_on(key)
    if there is None or not there.finished:
        return None
    if there.passed and line.problem.train.gate.mode == "enforce":
        return None  # it becomes champion, also where it was before and lost the alias
    return f"version {there.number} was trained on exactly this, and is not made it"


def _steps(
    line: Line,
    runs: Mapping[str, list[Row]],
    told: _Told,
    *,
    only: str | None = None,
) -> list[Step]:
    """The steps of a turn; of one that is asked for by itself, ``only``, none before it counts."""
    before, records = ingest.waiting(line) if only in (None, "ingest") else (None, None)
    steps = [Step("ingest", before, records)]
    due = before is not None and only is None
    for stage in ("validate", "features", "score", "drift", "monitor"):
        if only not in (None, stage):
            continue
        if stage in ("score", "drift") and told.then is None and not told.first(due=due):
            steps.append(Step(stage, None))  # by nobody
            continue
        rows = _judging(line, runs, records) if stage == "validate" else None
        why = "what comes before it is due" if due else _moved(line, runs, stage)
        if why is None and stage == "features":
            why = _reaches(line, told.as_of)
        if why is None and stage == "score" and told.then is not None:
            why = _unscored(line, told.then, told.as_of)
        if why is None and stage == "monitor" and told.day is not None:
            why = _undecided(line, told.day, told.then)
        steps.append(Step(stage, why, rows))
        due = due or why is not None
    if only is not None:
        return steps
    train = _training(line, told, due=due)
    promotes = line.problem.train.gate.mode == "enforce"
    if promotes and train not in (None, _IF_DECIDED):
        steps = [_observed_again(step, told) for step in steps]
    report = "something was done" if due or train or unreported(runs) else None
    return [*steps, Step("train", train), Step("report", report)]


def _observed_again(step: Step, told: _Told) -> Step:
    """A step of a turn that trains: a new champion scores, drift and monitor follow it. Whether
    there is one the gate decides; what is planned is for the more that it takes.
    """
    if step.stage not in ("score", "drift", "monitor"):
        return step
    if step.why is None:
        return replace(step, why=_NEW_CHAMPION)
    if told.then is None and step.stage != "monitor":  # nobody scores before there is one
        return step
    return replace(step, why=f"{step.why}; again {_NEW_CHAMPION}", times=2)


def _judging(line: Line, runs: Mapping[str, list[Row]], records: int | None) -> int | None:
    """Rows that validate will read: what waits in bronze, and what ingest lands before it."""
    past = [row for row in runs.get("ingest", []) if row.rows_in]
    if records is None or not past or not runs.get("validate"):
        return None
    share = sum(row.rows_out for row in past) / sum(row.rows_in for row in past)
    return batches.unjudged(line, batches.history(line)) + round(records * float(share))


def _moved(line: Line, runs: Mapping[str, list[Row]], stage: str) -> str | None:
    last = next((row for row in runs.get(stage, []) if row.tables_read), None)
    if last is None:
        return "it never ran"
    for table, version in sorted(last.tables_read):
        now = line.tables.version(table) if line.tables.exists(table) else None
        if now != version:
            return f"{table} {version} → {now}"
    return "the problem file changed" if last.problem != line.problem.digest else None


def _reaches(line: Line, as_of: datetime | None) -> str | None:
    """Whether the features asked for end at another cut-off, or know other labels."""
    problem, newest = line.problem, _newest(line)
    if newest is None:
        return None
    wanted = min(newest, as_of or newest)
    made = monitor.watermark(line, line.tables.version(schemas.features(problem).full_name))
    sides = [
        (times, labels.mature(times, problem.label, until))
        for until in (made, wanted)
        for times in [features.as_ofs(problem.cutoffs, until)]
    ]
    return None if sides[0] == sides[1] else f"up to {made:%Y-%m-%d} → {wanted:%Y-%m-%d}"


def _newest(line: Line) -> datetime | None:
    """The newest believable event of the source that labels are made from, where there is one."""
    source = line.problem.sources[line.problem.label.source]
    name = f"silver.{line.problem.label.source}"
    rows = line.tables.read(name) if line.tables.exists(name) else None
    # As the problem file of now has it: what is there may be of another one.
    needed = {source.time} | ({source.arrival} if source.arrival else set())
    if rows is None or not needed <= {*rows.columns}:
        return None
    sane = rows.where(believable(source.time, source.arrival))
    found = sane.agg(F.max(moment(source.time))).first()
    return None if found is None or found[0] is None else utc(found[0])


def _unscored(line: Line, champion: Version, as_of: datetime | None) -> str | None:
    """Whether the newest cut-off has no predictions of the champion, as of one that came back."""
    rows = line.tables.read(schemas.features(line.problem).full_name)
    if as_of is not None:
        rows = rows.where(F.col("as_of") <= F.lit(as_of))
    newest = rows.agg(F.max("as_of").alias("as_of")).collect()[0].as_of
    name = schemas.PREDICTIONS.full_name
    if newest is not None and line.tables.exists(name):
        there = (F.col("as_of") == F.lit(newest)) & (F.col("model_version") == champion.number)
        if not line.tables.read(name).where(there).isEmpty():
            return None
    of = f" of {newest:%Y-%m-%d}" if newest else ""
    return f"version {champion.number} has scored nothing{of}"


def _undecided(line: Line, day: datetime, champion: Version | None) -> str | None:
    made = _decided(line, day)
    if not made:
        return f"no decision as of {day:%Y-%m-%d} yet"
    trained = deciding.outcomes(line, day, "training")
    gone = champion is None and deciding.had_champion(made[-1], trained)
    return "the champion of then is gone" if gone else None


def _decided(line: Line, day: datetime) -> list[Row]:
    """The decisions as of a day by what the problem file says now, the newest last."""
    return [row for row in deciding.made(line, day) if row.problem == line.problem.digest]


def _training(line: Line, told: _Told, *, due: bool) -> str | None:
    day, champion = told.day, told.champion
    if day is not None and champion is not None and not acting.known(champion, day):
        return None
    if acting.backfill(line, told.as_of):
        return None
    if champion is None:
        return "there is no champion" if told.first(due=due) else None
    if due or day is None:
        return _IF_DECIDED
    made = _decided(line, day)[-1]
    open_ = made.decision not in deciding.outcomes(line, day, "training")
    return "decided, and not done yet" if made.action == "retrain" and open_ else None


def runs_of(line: Line) -> dict[str, list[Row]]:
    """Runs by stage, the newest first, but for those that failed or were refused."""
    name = schemas.RUNS.full_name
    if not line.tables.exists(name):
        return {}
    rows = line.tables.read(name).where(F.col("status").isin("done", "unchanged"))
    found: dict[str, list[Row]] = {}
    for row in rows.orderBy(F.col("started_at").desc()).collect():
        found.setdefault(row.stage, []).append(row)
    return found


def unreported(runs: Mapping[str, list[Row]]) -> bool:
    """Whether a stage did something after the newest report, also one of a turn that was killed."""
    done = [row for rows in runs.values() for row in rows if row.status == "done"]
    reports = [row.started_at for row in done if row.stage == "report"]
    others = [row.started_at for row in done if row.stage != "report"]
    return bool(others) and (not reports or max(others) > max(reports))


def _head(told: _Told) -> str:
    when = "the end of what is known so far" if told.as_of is None else "as asked"
    upto = f"As of {told.day:%Y-%m-%d} ({when})" if told.day else "From the beginning"
    who = f"champion is version {told.champion.number}" if told.champion else "there is no champion"
    if told.then is not None and told.then != told.champion:
        who += f", was version {told.then.number} then"
    elif told.champion is not None and told.then is None:
        who += ", and there was none then"
    elif told.refused is not None:
        who += f" ({told.refused}: other data, features or candidates may)"
    return f"{upto}; {who}. Nothing is done now; a turn of the cycle would do this:"


def _table(line: Line, steps: list[Step], runs: Mapping[str, list[Row]]) -> list[str]:
    currency, budgets = line.problem.prices.currency, line.problem.budgets
    wide = max(44, *(len(each.why or "") + 2 for each in steps))
    lines = [f"{'stage':<10}{'why':<{wide}}{'seconds':>9}{'money':>12}"]
    total, unknown = Taken(), 0
    for step in steps:
        if step.why is None:
            lines.append(f"{step.stage:<10}nothing to do")
            continue
        next_ = coming(runs.get(step.stage, []), step.rows)
        if next_ is None:
            lines.append(f"{step.stage:<10}{step.why:<{wide}}{'?':>9}{'?':>12}")
            unknown += step.why != _IF_DECIDED
            continue
        taken = Taken(step.times * next_.taken.minutes, step.times * next_.taken.money)
        if step.why != _IF_DECIDED:
            total = total.plus(taken)
        said = _amounts(taken, currency) + _rows(step, next_)
        too_much = beyond(budgets.stages.get(step.stage, Budget()), next_.taken)
        said += f"  over its budget: {too_much}" if too_much else ""
        lines.append(f"{step.stage:<10}{step.why:<{wide}}{said}")
    at_least = " at least, not all stages ran before" if unknown else ""
    rest = "" if not any(each.why == _IF_DECIDED for each in steps) else "without training"
    said = _amounts(total, currency)
    too_much = beyond(budgets.cycle, total)
    said += f"  over the cycle's budget: {too_much}" if too_much else ""
    lines.append(f"{'total':<10}{f'{rest}{at_least}'.strip():<{wide}}{said}")
    return lines


def _amounts(taken: Taken, currency: str) -> str:
    return f"{60 * taken.minutes:>9.1f}{taken.money:>8.5f} {currency}"


def _rows(step: Step, next_: Next) -> str:
    return f"  for {step.rows:,} rows" if next_.seconds.by_rows else ""
