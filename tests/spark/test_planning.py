"""What is due, told from rows whose clocks were wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import functions as F

from driftline.budgets import Budgets
from driftline.errors import Missing
from driftline.jobs import (
    acting,
    batches,
    deciding,
    deliveries,
    ingest,
    monitor,
    planning,
    searching,
)
from driftline.jobs.cycle import PARTS
from driftline.problem import load_problem
from driftline.registry import Version

ARRIVED = datetime(2024, 6, 10, tzinfo=timezone.utc)
TURN = {*PARTS}
OBSERVED = {"score", "drift", "monitor"}
OLD, NEW = (
    Version(number, "", "", {"watermark": datetime(2024, day, 1, tzinfo=timezone.utc).isoformat()})
    for number, day in ((1, 5), (2, 7))
)


def test_a_wrong_clock_does_not_make_features_due(spark, repository, monkeypatch) -> None:
    """As features themselves: a time after its own arrival is none."""
    rows = spark.createDataFrame(
        [(datetime(2024, 6, 9, 12), ARRIVED), (datetime(2034, 1, 1), ARRIVED)],
        "time timestamp, _arrived_at timestamp",
    )
    tables = SimpleNamespace(read=lambda _: rows, version=lambda _: 1, exists=lambda _: True)
    line = SimpleNamespace(tables=tables, problem=load_problem(repository / "conf" / "churn.yaml"))
    monkeypatch.setattr(
        monitor, "watermark", lambda *_: datetime(2024, 6, 9, 12, tzinfo=timezone.utc)
    )
    assert planning._reaches(line, None) is None
    monkeypatch.setattr(monitor, "watermark", lambda *_: datetime(2024, 4, 1, tzinfo=timezone.utc))
    assert planning._reaches(line, None) == "up to 2024-04-01 → 2024-06-09"


def test_after_a_day_made_up_for_the_plan_is_of_the_newest_day(spark, problem, monkeypatch) -> None:
    """As the turn is: features reach back to that day, and the champion of then was another one."""
    rows = spark.createDataFrame([(datetime(2024, 7, 9),)], "time timestamp")
    rows = rows.withColumn("_arrived_at", F.col("time"))
    tables = SimpleNamespace(read=lambda _: rows, version=lambda _: 1, exists=lambda _: True)
    environment = SimpleNamespace(mlflow="")
    line = SimpleNamespace(tables=tables, problem=problem, environment=environment)
    day = datetime(2024, 6, 9, tzinfo=timezone.utc)
    monkeypatch.setattr(monitor, "watermark", lambda *_: day)
    monkeypatch.setattr(planning, "Registry", lambda *_: SimpleNamespace(champion=lambda: NEW))
    monkeypatch.setattr(acting, "acting", lambda _, at: NEW if at > ARRIVED else OLD)
    told = planning._told(line, None)
    assert (told.day, told.then) == (datetime(2024, 7, 9, tzinfo=timezone.utc), NEW)
    assert planning._reaches(line, None) == "up to 2024-06-09 → 2024-07-09"
    asked = planning._told(line, day)
    assert (asked.day, asked.then) == (day, OLD)
    # A label's source of now may not be there yet, or have another time.
    monkeypatch.setattr(tables, "exists", lambda name: name == "gold.features")
    assert planning._told(line, None).day == day
    monkeypatch.setattr(tables, "exists", lambda _: True)
    monkeypatch.setattr(tables, "read", lambda _: rows.drop("time"))
    assert planning._told(line, None).day == day


@pytest.fixture
def problem(repository):
    return load_problem(repository / "conf" / "churn.yaml")


def test_a_changed_problem_file_is_something_to_do(problem, monkeypatch) -> None:
    tables = SimpleNamespace(exists=lambda _: True, version=lambda _: 7)
    line = SimpleNamespace(problem=problem, tables=tables)
    last = SimpleNamespace(tables_read=[("silver.orders", 7)], problem=problem.digest)
    made = SimpleNamespace(problem=problem.digest, decision="d", model_version=1)
    monkeypatch.setattr(deciding, "made", lambda *_: [made])
    monkeypatch.setattr(deciding, "outcomes", lambda *_: {})
    assert planning._moved(line, {"features": [last]}, "features") is None
    assert planning._undecided(line, ARRIVED, OLD) is None
    drift = problem.drift.model_copy(update={"psi": problem.drift.psi / 2})
    line.problem = problem.model_copy(update={"drift": drift})
    assert planning._moved(line, {"features": [last]}, "features") == "the problem file changed"
    assert planning._undecided(line, ARRIVED, OLD) == "no decision as of 2024-06-10 yet"
    # What is promised, or may be spent, asks nothing else.
    line.problem = problem.model_copy(update={"budgets": Budgets(warn=0.5)})
    assert line.problem != problem
    assert planning._moved(line, {"features": [last]}, "features") is None


def test_a_version_that_came_back_has_the_newest_cut_off_to_score(spark, problem) -> None:
    june, july = datetime(2024, 6, 1), datetime(2024, 7, 1)
    rows = {
        "gold.features": spark.createDataFrame([(june,), (july,)], "as_of timestamp"),
        "gold.predictions": spark.createDataFrame(
            [(june, 1), (july, 2)], "as_of timestamp, model_version int"
        ),
    }
    tables = SimpleNamespace(read=rows.__getitem__, exists=lambda _: True)
    line = SimpleNamespace(problem=problem, tables=tables)
    one, two = (Version(number, "", "", {}) for number in (1, 2))
    assert planning._unscored(line, two, None) is None
    assert planning._unscored(line, one, None) == "version 1 has scored nothing of 2024-07-01"
    assert planning._unscored(line, one, ARRIVED) is None
    assert planning._unscored(line, two, ARRIVED) == "version 2 has scored nothing of 2024-06-01"


def test_what_no_report_tells_of_is_reported(monkeypatch, problem) -> None:
    """As after a turn that was killed before its report."""

    def run(stage: str, hour: int, status: str = "done") -> SimpleNamespace:
        return SimpleNamespace(stage=stage, status=status, started_at=ARRIVED.replace(hour=hour))

    told = planning._Told(ARRIVED, ARRIVED, OLD, OLD, None)
    runs = {"sla": [run("sla", 3, "unchanged"), run("sla", 1)], "report": [run("report", 2)]}
    for expected in (None, "something was done"):
        found = steps(monkeypatch, problem, told, runs=runs)
        assert {each.stage: each.why for each in found}["report"] == expected
        runs["report"] = [run("report", 4, "unchanged"), run("report", 0)]
    assert planning.unreported({"ingest": [run("ingest", 1)]})
    assert not planning.unreported({"report": [run("report", 1)]})
    assert not planning.unreported({})


def steps(
    monkeypatch,
    problem,
    told: planning._Told,
    *,
    waits: str | None = None,
    action: str = "keep",
    runs: Mapping[str, list[Any]] | None = None,
) -> list[planning.Step]:
    """The steps of a turn, where nothing moved but what waits for ingest."""
    monkeypatch.setattr(ingest, "waiting", lambda _: (waits, None))
    monkeypatch.setattr(acting, "backfill", lambda *_: False)
    monkeypatch.setattr(deciding, "outcomes", lambda *_: {})
    for name in ("_moved", "_reaches", "_unscored"):
        monkeypatch.setattr(planning, name, lambda *_: None)
    of = told.then.number if told.then else None
    made = SimpleNamespace(problem=problem.digest, action=action, decision="d", model_version=of)
    monkeypatch.setattr(deciding, "made", lambda *_: [made])
    return planning._steps(SimpleNamespace(problem=problem), runs or {}, told)


def why(found: list[planning.Step]) -> dict[str, str]:
    """Why each step is due that is."""
    return {each.stage: each.why for each in found if each.why is not None}


@pytest.mark.parametrize(
    ("champion", "then", "refused", "waits", "due"),
    [
        (NEW, NEW, None, None, set()),
        (OLD, OLD, None, "1 files", TURN),
        # A day before today's champion had learnt: the one of then is asked, and nobody trained.
        (NEW, OLD, None, "1 files", TURN - {"train"}),
        (NEW, None, None, "1 files", TURN - {"score", "drift", "train"}),
        (None, None, None, None, {"train", "report"} | OBSERVED),
        # What was refused is tried again with other data only.
        (None, None, "does not beat majority", None, set()),
        (None, None, "does not beat majority", "1 files", TURN),
    ],
)
def test_who_is_asked_and_who_is_trained(
    monkeypatch, problem, champion, then, refused, waits, due
) -> None:
    told = planning._Told(ARRIVED, ARRIVED, champion, then, refused)
    assert set(why(steps(monkeypatch, problem, told, waits=waits))) == due
    head = planning._head(told)
    assert ("was version 1 then" in head) == (then not in (champion, None))
    assert ("does not beat majority" in head) == (refused is not None)


@pytest.mark.parametrize(
    ("champion", "waits", "times"),
    [
        # Nobody scores before there is a champion; monitor decides that, and looks at it.
        (None, "1 files", {"score": 1, "drift": 1, "monitor": 2}),
        # Killed between its decision and its training: what was observed before is done.
        (OLD, None, {"score": 1, "drift": 1, "monitor": 1}),
        (OLD, "1 files", {"score": 1, "drift": 1, "monitor": 1}),  # monitor decides anew
    ],
)
def test_a_turn_that_trains_observes_its_champion_too(
    monkeypatch, problem, champion, waits, times
) -> None:
    told = planning._Told(ARRIVED, ARRIVED, champion, champion, None)
    found = steps(monkeypatch, problem, told, waits=waits, action="retrain")
    assert {each.stage: each.times for each in found if each.stage in OBSERVED} == times
    run = SimpleNamespace(status="done", wall_seconds=10.0, rows_in=None, money=0.5)
    budget = Budgets.model_validate({"cycle": {"minutes": 0.5}})
    line = SimpleNamespace(problem=problem.model_copy(update={"budgets": budget}))
    *rows, total = planning._table(line, found, {name: [run] for name in PARTS})
    due = [each for each in found if each.why not in (None, planning._IF_DECIDED)]
    assert f"{10.0 * sum(each.times for each in due):.1f}" in total
    assert "over the cycle's budget" in total
    assert ("20.0" in rows[6]) == (times["monitor"] == 2)

    # Where nobody is promoted, nobody new has to be observed.
    gate = problem.train.gate.model_copy(update={"mode": "dry-run"})
    train = problem.train.model_copy(update={"gate": gate})
    tried = problem.model_copy(update={"train": train})
    found = steps(monkeypatch, tried, told, waits=waits, action="retrain")
    assert {each.times for each in found} == {1}
    assert not any(planning._NEW_CHAMPION in (each.why or "") for each in found)


def test_what_cannot_be_told_of_a_source_is_something_to_do(problem, monkeypatch) -> None:
    """What a database has is told by asking it; where nothing was delivered, a turn fails."""
    source = problem.sources["orders"]
    pulled = source.model_copy(update={"database": SimpleNamespace()})
    line = SimpleNamespace(problem=problem.model_copy(update={"sources": {"orders": pulled}}))
    monkeypatch.setattr(batches, "history", lambda _: [])
    monkeypatch.setattr(batches, "unfinished", lambda *_: [])
    monkeypatch.setattr(deliveries, "found", lambda *_: [])
    assert ingest.waiting(line) == ("orders is pulled", None)
    line.problem = problem.model_copy(update={"sources": {"orders": source}})
    assert ingest.waiting(line) == (None, 0)

    def none(*_: object) -> None:
        raise Missing("no deliveries of orders found", where="data/orders", hint="")

    monkeypatch.setattr(deliveries, "found", none)
    assert ingest.waiting(line) == ("no deliveries of orders found", None)


class Models:
    """A registry whose versions were trained under keys."""

    def __init__(self, **tags: str) -> None:
        self.there = [Version(1, "", "", {"training": "key", **tags})] if tags else []

    def trained_on(self, key: str) -> Version | None:
        return next((each for each in self.there if each.tags["training"] == key), None)


@pytest.mark.parametrize(
    ("tags", "mode", "idle"),
    [
        ({}, "enforce", False),
        ({"gate": "refused"}, "enforce", True),
        ({"gate": "passed"}, "enforce", False),  # killed before it became champion
        ({"gate": "passed"}, "dry-run", True),
        ({"gate": "passed", "promoted": "2024-06-01"}, "enforce", False),  # lost its alias
        ({"seed": "7"}, "enforce", False),  # killed before its gate
    ],
)
def test_training_that_would_do_nothing(
    monkeypatch, problem, tags: dict[str, str], mode: str, idle: bool
) -> None:
    """As of any day: it is known by what it would be trained on."""
    monkeypatch.setattr(searching, "key", lambda *_: "search")
    monkeypatch.setattr(searching, "judged", lambda *_: "key")
    gate = problem.train.gate.model_copy(update={"mode": mode})
    asked = problem.model_copy(update={"train": problem.train.model_copy(update={"gate": gate})})
    found = planning._refused(SimpleNamespace(problem=asked), Models(**tags), 3)
    assert (found is not None) is idle


@pytest.mark.parametrize(
    ("about", "verdict", "there", "why"),
    [
        (1, None, True, None),
        (1, None, False, "the champion of then is gone"),
        (None, "promoted", False, "the champion of then is gone"),
        (None, "refused", False, None),
        (None, None, False, None),
    ],
)
def test_a_champion_that_is_gone_is_decided_on(
    monkeypatch, problem, about: int | None, verdict: str | None, there: bool, why: str | None
) -> None:
    made = SimpleNamespace(problem=problem.digest, decision="d", model_version=about)
    outcomes = {"d": SimpleNamespace(verdict=verdict)} if verdict else {}
    monkeypatch.setattr(deciding, "made", lambda *_: [made])
    monkeypatch.setattr(deciding, "outcomes", lambda *_: outcomes)
    line = SimpleNamespace(problem=problem)
    assert planning._undecided(line, ARRIVED, OLD if there else None) == why
    assert deciding.had_champion(made, outcomes) is (about == 1 or verdict == "promoted")
