"""The decision, a step of monitor: numbers of ``ops.*`` → ``ops.decisions``, ``ops.outcomes``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import decision, performance, schemas
from driftline.decision import Decision, Economics, Turn
from driftline.digests import digest
from driftline.evaluation import Interval
from driftline.jobs import comparisons, paying
from driftline.jobs.importance import importance
from driftline.jobs.line import Line
from driftline.jobs.measuring import Measured
from driftline.jobs.skewing import Skew
from driftline.ledger import Run
from driftline.metrics import SMALLER_IS_BETTER
from driftline.monitor_section import Monitor
from driftline.registry import Version
from driftline.schemas import Table
from driftline.session import utc


def decide(
    line: Line,
    ledger: Run,
    champion: Version | None,
    measured: Sequence[Measured],
    skew: Skew,
    known: Sequence[Version],
    *,
    as_of: datetime,
    features_version: int,
) -> Row:
    """The decision of this turn, as its row of ``ops.decisions``: made once a state of the data.

    ``known`` are the versions that could have been there as of that day.
    """
    past = decisions(line, as_of)
    problem = line.problem
    cutoff = max((each.cutoff for each in measured), default=None)
    state = [problem.digest, str(as_of), features_version]
    if skew.requests is not None:
        state.append(skew.requests)
    id_ = digest(state)[:16]
    trained = outcomes(line, as_of, "training")
    while champion is None and id_ in past and had_champion(past[id_], trained):
        id_ = digest([id_, "deleted"])[:16]
    if id_ in past:  # also where what it led to has changed the champion since
        return past[id_]
    mine = [each for each in measured if champion and each.version == champion.number]
    turn, apart = _turn(line, champion, mine, skew.features, as_of, cutoff, features_version)
    metric = problem.train.metric
    turns = history(past, trained, turn, metric, problem.monitor.drop)
    smaller = metric in SMALLER_IS_BETTER
    economics = paying.economics(line, champion, mine, known, trusted=turn.trusted)
    found = decision.decide(turns, problem.monitor, economics, smaller=smaller)
    turn = replace(turns[-1], trained=found.action == "retrain")
    row = _row(line, ledger, id_, turn, found, apart, economics, features_version)
    line.tables.ensure(schemas.OUTCOMES)  # who asks for decisions asks what became of them
    ledger.wrote(line.tables.append_values([row], schemas.DECISIONS, key=f"decision:{id_}"))
    return decisions(line, as_of)[id_]


def decisions(line: Line, as_of: datetime) -> dict[str, Row]:
    """The decisions made as of a day or before, by id, oldest first."""
    rows = _rows(line, schemas.DECISIONS, as_of)
    return {row.decision: row for row in sorted(rows, key=lambda row: (row.as_of, row.at))}


def made(line: Line, as_of: datetime) -> list[Row]:
    """The decisions as of a day, the newest last."""
    rows = [row for row in decisions(line, as_of).values() if utc(row.as_of) == as_of]
    return sorted(rows, key=lambda row: (row.features_version, row.at))


def had_champion(made: Row, trained: Mapping[str, Row]) -> bool:
    """Whether a decision was about a champion, or led to one: if there is none, it was deleted."""
    led = trained.get(made.decision)
    return made.model_version is not None or (led is not None and led.verdict == "promoted")


def outcomes(line: Line, as_of: datetime, kind: str) -> dict[str, Row]:
    """What became of decisions, by their id."""
    rows = _rows(line, schemas.OUTCOMES, as_of)
    return {row.decision: row for row in rows if row.kind == kind}


def conclude(
    line: Line,
    ledger: Run,
    made: Row,
    kind: str,
    verdict: str,
    detail: str,
    *,
    as_of: datetime,
    version: int | None = None,
) -> None:
    """Write down what became of a decision, once."""
    row = (made.decision, kind, verdict, detail, version, as_of, ledger.run_id, _now())
    key = f"outcome:{kind}:{made.decision}"
    ledger.wrote(line.tables.append_values([row], schemas.OUTCOMES, key=key))


def judge(line: Line, ledger: Run, measured: Sequence[Measured], *, as_of: datetime) -> int:
    """Judge every decision whose predictions have labels by now, by the metric and the rule it was
    made by; returns how many there were.
    """
    done = outcomes(line, as_of, "judged")
    trained = outcomes(line, as_of, "training")
    known = {(each.cutoff, each.version): each for each in measured if each.real}
    count = 0
    for id_, made in decisions(line, as_of).items():
        turn = decision.from_json(json.loads(made.turn))
        if id_ in done or turn.cutoff is None or turn.version is None:
            continue
        then = known.get((turn.cutoff, turn.version))
        metric = made.metric
        if then is None or metric not in then.real:
            continue
        after = trained.get(id_)
        new = known.get((turn.cutoff, after.model_version)) if after is not None else None
        found = decision.judged(
            made.action,
            then.real[metric],
            turn.reference,
            new.real.get(metric) if new and after and after.verdict == "promoted" else None,
            Monitor.model_validate_json(made.rule),
            smaller=metric in SMALLER_IS_BETTER,
        )
        conclude(line, ledger, made, "judged", found.verdict, found.words, as_of=as_of)
        count += 1
    return count


def _turn(
    line: Line,
    champion: Version | None,
    mine: Sequence[Measured],
    skew: Sequence[str] | None,
    as_of: datetime,
    cutoff: datetime | None,
    features_version: int,
) -> tuple[Turn, _Apart]:
    """What is known now, and which features are not what they were."""
    problem, metric = line.problem, line.problem.train.metric
    newest = mine[-1] if mine else None
    # Labels of one class, or few, tell no roc_auc, and may be the farthest from what was promised:
    # they may break a promise, and restore none that others broke. Nor do those that came where
    # nothing was promised, as of scores unlike any that are known.
    told = [each for each in mine if metric in each.real or each.assumption is False]
    judged = told[-1] if told else None
    checked = next((each for each in reversed(told) if each.assumption is not None), None)
    concept = checked is not None and checked.assumption is False
    drifted = None if champion is None else comparisons.drifted(line, champion, features_version)
    weight = importance(line, champion) if champion and (drifted or skew) else {}
    late = timedelta(days=2 * problem.cutoffs.every)
    turn = Turn(
        as_of=as_of,
        cutoff=cutoff,
        version=champion.number if champion else None,
        reference=_reference(line, champion) if champion else None,
        drift=_share(drifted, weight),
        expected=newest.expected.get(metric) if newest else None,
        trusted=not concept,
        real=judged.real.get(metric) if judged else None,
        concept=concept,
        better=checked is not None and better(checked, metric, problem.monitor.drop),
        real_cutoff=judged.cutoff if judged else None,
        concept_cutoff=checked.cutoff if concept and checked and checked is not judged else None,
        stale=cutoff is not None and as_of >= cutoff + late,
        skew=_share(skew, weight),
    )
    return turn, _Apart(tuple(drifted or ()), tuple(skew or ()))


def better(judged: Measured, metric: str, drop: float) -> bool:
    """Whether labels broke the promise for the better: by the metric beyond ``drop`` and chance,
    and by nothing that the metric cannot see for the worse.

    An error falls where there is less to err about, however far off all scores are by then. The
    area under precision and recall rises with the share of label 1, however rows are ranked.
    """
    promised, came = judged.expected, judged.real
    if metric not in promised or metric not in came:
        return False
    if metric in SMALLER_IS_BETTER:
        drop *= promised[metric].value
        aside = performance.gap("bias", promised, came, drop=drop)
        off_worse = aside and abs(came["bias"].value) > abs(promised["bias"].value)
        return performance.gap(metric, promised, came, drop=drop) < 0 and not off_worse
    if metric == "pr_auc":
        if "roc_auc" not in came:  # labels of one class, which scores promised not to be
            return False
        ranked = performance.gap("roc_auc", promised, came, drop=drop)
        if ranked < 0 or (performance.gap("share_of_1", promised, came, drop=drop) and not ranked):
            return False
    return performance.gap(metric, promised, came, drop=drop) > 0


def history(
    past: Mapping[str, Row], trained: Mapping[str, Row], turn: Turn, metric: str, drop: float
) -> list[Turn]:
    """One turn a cut-off, the newest decision of each, and this one. Those that were judged by
    another metric or ``drop`` are as another version's: they count for the cooldown alone.

    A turn has trained once its training came to an end: one that was decided and then killed, or
    did not fit into the budget, is decided again with the next day's data.
    """
    turns: dict[datetime | None, Turn] = {}
    for id_, row in past.items():
        each = decision.from_json(json.loads(row.turn))
        asked = Monitor.model_validate_json(row.rule)
        if (row.metric, asked.drop) != (metric, drop):  # it judged something else
            each = replace(each, version=None)
        before = turns.get(each.cutoff)
        done = id_ in trained and trained[id_].verdict != "skipped"
        turns[each.cutoff] = replace(each, trained=done or bool(before and before.trained))
    same = turns.pop(turn.cutoff, None)
    return [*turns.values(), replace(turn, trained=bool(same and same.trained))]


@dataclass(frozen=True)
class _Apart:
    """The features that are not what they were."""

    drifted: tuple[str, ...]
    skewed: tuple[str, ...]


def _share(features: Sequence[str] | None, weight: Mapping[str, float]) -> float | None:
    """Share of the importance in some features; None where these or the importance is unknown."""
    if features is None or (features and not weight):
        return None
    return sum(weight.get(name, 0.0) for name in features)


def _reference(line: Line, champion: Version) -> Interval | None:
    row = paying.evaluations(line, champion).get(("model", line.problem.train.metric))
    return Interval(row.value, row.low, row.high) if row is not None else None


def _row(
    line: Line,
    ledger: Run,
    id_: str,
    turn: Turn,
    found: Decision,
    apart: _Apart,
    economics: Economics,
    features_version: int,
) -> tuple[Any, ...]:
    problem = line.problem
    return (
        id_,
        turn.as_of,
        turn.cutoff,
        turn.version,
        found.action,
        list(found.causes),
        found.violations,
        found.why,
        problem.train.metric,
        turn.reference.value if turn.reference else None,
        turn.drift,
        list(apart.drifted),
        turn.skew,
        list(apart.skewed),
        turn.expected.value if turn.expected else None,
        turn.trusted,
        turn.real.value if turn.real else None,
        turn.real_cutoff,
        economics.gain,
        economics.cost,
        problem.prices.currency,
        json.dumps(decision.to_json(turn)),
        problem.monitor.model_dump_json(),
        features_version,
        problem.digest,
        ledger.run_id,
        _now(),
    )


def _rows(line: Line, table: Table, as_of: datetime) -> list[Row]:
    if not line.tables.exists(table.full_name):
        return []
    rows = line.tables.read(table.full_name)
    return rows.where(F.col("as_of") <= F.lit(as_of)).collect()


def _now() -> datetime:
    return datetime.now(timezone.utc)
