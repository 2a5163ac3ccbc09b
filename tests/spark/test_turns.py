"""Turns of a small shop: its periods, labels that come late, kills, champions that go and come."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from driftline import decision, metrics, schemas
from driftline.budgets import OverBudget
from driftline.certificate import Evidence
from driftline.errors import Missing, Refused, TryAgain
from driftline.evaluation import Interval
from driftline.jobs import cycle, deciding, exposing, gating, paying
from driftline.jobs import monitor as job
from driftline.logs import LOGGER
from driftline.prepare import Numeric, Preparation
from driftline.problem import load_problem
from driftline.registry import Registry, Version
from driftline.trials import best

PROJECT = Path(__file__).parents[2]


def day(month: int, of: int = 1) -> datetime:
    return datetime(2024, month, of, tzinfo=timezone.utc)


FEATURES = "customer_id string, as_of timestamp, label double, country string"


class Shop:
    """Hand-made tables of 300 customers at one cut-off; scores are calibrated by their making."""

    def __init__(self, line) -> None:
        self.line = line
        self.random = np.random.default_rng(5)
        self.score = self.random.beta(1.2, 1.2, 300)
        self.label = (self.random.random(300) < self.score).astype(float)
        self.models = Registry(line.environment.mlflow, "churn")

    def features(self, until: datetime, label: np.ndarray | None, *, skip: int = 0) -> int:
        """A new version of gold.features at 1 June; ``label`` None: not over yet."""
        line, table = self.line, schemas.features(self.line.problem)
        rows = [
            (f"c{n}", day(6), None if label is None else float(label[n]), "DE" if n % 2 else "FR")
            for n in range(skip, 300)
        ]
        frame = line.spark.createDataFrame(rows, FEATURES)
        for column in table.columns:
            if column.name not in frame.columns:
                frame = frame.selectExpr("*", f"CAST(NULL AS {column.type}) AS `{column.name}`")
        noted = Evidence(until, "event", 30, ()).to_json()
        key = str((until, None if label is None else label.sum(), skip))
        return line.tables.overwrite(frame, table, key=key, made_from={}, noted=noted).version

    def version(self, watermark: datetime, auc: float) -> int:
        """A champion that learnt until ``watermark`` and reached ``auc`` when it was judged."""
        preparation = Preparation((Numeric("recency_90d", 45.0, 0.0, 90.0, 0.0, 90.0),), ())
        version = self.models.record(
            preparation.transformer(),
            trials=[],
            metrics={},
            tags={"tables": json.dumps({"gold.features": 1}), "watermark": watermark.isoformat()},
            files=lambda _: {},
        )
        self.models.judge(version, passed=True)
        self.models.promote(version)
        tables, number, now = self.line.tables, version.number, day(1)
        judged = (
            number,
            "test",
            "model",
            "roc_auc",
            auc,
            auc - 0.03,
            auc + 0.03,
            300,
            None,
            "",
            now,
        )
        tables.append_values([judged], schemas.EVALUATIONS, key=None)
        points = [(number, "calibration", None, x, x, 100, "") for x in (0.1, 0.4, 0.6, 0.9)]
        tables.append_values(points, schemas.CURVES, key=None)
        return number

    def scored(self, number: int, month: int = 6, of: int = 1) -> None:
        rows = [
            (f"c{n}", day(month, of), float(its), float(its >= 0.5), [], number, 1, "", "")
            for n, its in enumerate(self.score)
        ]
        self.line.tables.append_values(rows, schemas.PREDICTIONS, key=None)

    def rows(self, table: str) -> list:
        return self.line.tables.read(table).collect()

    def metric(self, kind: str, **where: object) -> list:
        rows = [r for r in self.rows("ops.performance") if r.kind == kind and not r.slice]
        rows = [r for r in rows if r.metric == "roc_auc"]
        return sorted(
            (r for r in rows if all(r[name] == each for name, each in where.items())),
            key=lambda r: r.at,
        )


@pytest.fixture
def shop(open_line, tmp_path) -> Shop:
    problem = load_problem(PROJECT / "conf" / "churn.yaml")
    return Shop(open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse"))


@pytest.mark.slow  # seven runs of the job
def test_the_life_of_a_period(shop) -> None:
    line = shop.line
    shop.features(day(6, 10), None)
    assert job.run(line) == "retrain: there is no champion"

    one = shop.version(day(5, 20), 0.78)
    shop.scored(one)
    shop.scored(one, 4, 20)  # it was trained on the day when their labels were known
    shop.features(day(6, 12), None)
    said = job.run(line)
    assert said.startswith("keep: nothing speaks against it (expected 0."), said
    (expected,) = shop.metric("expected")
    truth = metrics.roc_auc(shop.label, shop.score)
    assert expected.low <= truth <= expected.high
    assert (expected.rows, expected.labelled, expected.assumption) == (300, 0, None)
    assert shop.metric("real") == []

    books = ("ops.performance", "ops.decisions")
    before = {name: line.tables.version(name) for name in books}
    assert job.run(line) == said
    runs = {row.run_id: row.status for row in shop.rows("ops.runs")}
    assert runs[line.ledger.last_run_id] == "unchanged"
    assert {name: line.tables.version(name) for name in books} == before

    # The labels come; three of the customers are no longer known.
    shop.features(day(7, 5), shop.label, skip=3)
    said = job.run(line)
    assert said.startswith("keep: nothing speaks against it (real roc_auc 0."), said
    (real,) = shop.metric("real")
    assert real.value == pytest.approx(metrics.roc_auc(shop.label[3:], shop.score[3:]), abs=2e-3)
    assert (real.labelled, real.unmatched, real.assumption) == (297, 3, True)
    assert real.detail == "3 of 300 predictions have no features any more"
    judged = [row for row in shop.rows("ops.outcomes") if row.kind == "judged"]
    assert {row.verdict for row in judged} == {"right"}

    # Forty are restated to their contrary: the newest statement counts, and it is said.
    other = np.where(np.arange(300) < 43, 1 - shop.label, shop.label)
    shop.features(day(7, 6), other, skip=3)
    job.run(line)
    newest = shop.metric("real")[-1]
    assert (newest.restated, len(shop.metric("real"))) == (40, 2)
    assert newest.value == pytest.approx(metrics.roc_auc(other[3:], shop.score[3:]), abs=2e-3)

    # What those customers do has changed altogether: the promise is broken, and it is said.
    random = (np.random.default_rng(1).random(300) < 0.5).astype(float)
    shop.features(day(7, 7), random, skip=3)
    said = job.run(line)
    assert said.startswith("watch: labels show it worse"), said
    assert "labels are not what its scores promised" in said
    assert shop.metric("real")[-1].assumption is False
    assert "concept drift: roc_auc 0." in shop.metric("real")[-1].detail

    # As of a day in the past none of that is known, nor a champion that learnt from it.
    two = shop.version(day(7, 7), 0.9)
    rows = len(shop.metric("real"))
    said = job.run(line, as_of=day(6, 12))
    assert said.startswith("keep: nothing speaks against it (expected 0."), said
    assert len(shop.metric("real")) == rows
    past = deciding.made(line, day(6, 12))[-1]
    assert (past.model_version, past.real, past.reference) == (one, None, 0.78)
    assert two == 2
    # Before it had learnt there was no champion at all.
    assert job.run(line, as_of=day(5, 10)) == "retrain: there is no champion"


@pytest.mark.slow  # eleven turns
def test_a_turn_goes_on_where_it_was_killed(shop) -> None:
    """Stages are stand-ins here, but for monitor: what is tried is the order of a turn."""
    line, ran = shop.line, []
    killed: set[str] = set()

    def stage(name: str, **_: object) -> None:
        ran.append(name)
        if name in killed:
            raise RuntimeError(name)
        if name == "monitor":
            job.run(line)
        if name == "train":
            if "gate" in refusing:
                raise Refused("the gate refused it", where="roc_auc 0.6 does not reach 0.9")
            if shop.models.champion() is None:  # as train does: exactly this is there already
                shop.version(day(6, 1), 0.78)

    def outcomes() -> list[tuple]:
        rows = sorted(shop.rows("ops.outcomes"), key=lambda row: row.at)
        return [(row.kind, row.verdict, row.model_version) for row in rows]

    shop.features(day(6, 10), None)
    with pytest.raises(Missing, match="nothing was decided as of 2024-06-10"):
        cycle.run(line, stage, only="train")
    refusing = {"gate"}
    for _ in range(2):  # the refused one is not trained a second time
        with pytest.raises(Refused, match="there is no champion"):
            cycle.run(line, stage)
    assert ran.count("train") == 1
    assert outcomes() == [("training", "refused", None)]

    refusing.clear()
    shop.features(day(6, 11), None)
    for name in ("ingest", "features", "monitor", "train", "score", "report"):
        killed.add(name)
        with pytest.raises(RuntimeError, match=name):
            cycle.run(line, stage)
        killed.clear()
    assert "version 1 is champion" not in cycle.run(line, stage)  # it was told before
    assert outcomes() == [("training", "refused", None), ("training", "promoted", 1)]
    assert len(shop.rows("ops.decisions")) == 2


@pytest.mark.slow  # five turns
def test_a_worse_model_leaves_the_champion_and_the_decision_says_why(shop) -> None:
    rule = shop.line.problem.monitor.model_copy(update={"at_least": 1, "cooldown": 0})
    line = replace(shop.line, problem=shop.line.problem.model_copy(update={"monitor": rule}))
    one = shop.version(day(5, 20), 0.9)
    shop.scored(one)
    judged = {"roc_auc": Interval(0.8, 0.78, 0.82)}
    beaten = {"constant": Interval(0.3, 0.28, 0.32), "champion": Interval(-0.021, -0.04, -0.002)}
    beaten["best_feature"] = Interval(0.05, 0.03, 0.07)
    (why,) = gating.reasons(line, judged, beaten, [], one)
    trained: list[str] = []
    killed = True

    def stage(name: str, **_: object) -> None:
        if name == "monitor":
            job.run(line)
        if name == "train":
            if killed:
                raise RuntimeError("killed")
            trained.append(name)
            raise Refused("model version 2 was registered but did not become champion", where=why)

    shop.features(day(7, 4), np.random.default_rng(0).permutation(shop.label))
    with pytest.raises(RuntimeError, match="killed"):
        cycle.run(line, stage)
    killed = False  # what it was about to train for is not forgotten on the next day
    shop.features(day(7, 5), np.random.default_rng(1).permutation(shop.label))
    said = cycle.run(line, stage)
    assert said.startswith("retrain: labels show it worse"), said
    assert said.endswith(f"; the new model was refused ({why}), the champion stays")
    assert shop.models.champion().number == one
    first, made = sorted(shop.rows("ops.decisions"), key=lambda row: row.as_of)
    assert (first.action, made.action) == ("retrain", "retrain")
    (outcome,) = [row for row in shop.rows("ops.outcomes") if row.kind == "training"]
    assert (outcome.decision, outcome.verdict) == (made.decision, "refused")
    assert outcome.detail.endswith(why)

    cycle.run(line, stage)  # on the same data it is not tried again
    assert trained == ["train"]
    shop.features(day(7, 6), np.random.default_rng(2).permutation(shop.label))
    said = cycle.run(line, stage)  # nor on newer data of the same period: it has one turn
    assert said.startswith("watch: labels show it worse"), said
    shop.features(day(7, 3), np.random.default_rng(0).permutation(shop.label))
    said = cycle.run(line, stage, as_of=day(7, 3))  # nor as of a day that is past
    assert said.startswith("retrain: labels show it worse"), said
    assert said.endswith("; a later day was decided on: the champion stays")
    assert trained == ["train"]
    assert shop.models.champion().number == one


def hasty(shop) -> Any:
    """The line of a shop whose champion is trained again as soon as a turn violates, and does."""
    rule = shop.line.problem.monitor.model_copy(update={"at_least": 1, "cooldown": 3})
    shop.scored(shop.version(day(5, 20), 0.9))
    shop.features(day(7, 4), np.random.default_rng(0).permutation(shop.label))
    return replace(shop.line, problem=shop.line.problem.model_copy(update={"monitor": rule}))


@pytest.mark.slow  # two turns
def test_a_promotion_that_nobody_wrote_down_is_concluded_by_the_next_turn(shop) -> None:
    """Killed between the two, and its day does not come again."""
    line, ran = hasty(shop), []

    def stage(name: str, **_: object) -> None:
        ran.append(name)
        if name == "monitor":
            job.run(line)
        if name == "train":
            shop.version(day(7, 4), 0.6)
            raise RuntimeError("killed")

    def trained() -> list[tuple]:
        rows = [row for row in shop.rows("ops.outcomes") if row.kind == "training"]
        return [(row.verdict, row.model_version, row.as_of.day) for row in rows]

    with pytest.raises(RuntimeError, match="killed"):
        cycle.run(line, stage)
    assert (shop.models.champion().number, trained()) == (2, [])
    shop.features(day(7, 5), np.random.default_rng(1).permutation(shop.label))
    cycle.run(line, stage)
    assert trained() == [("promoted", 2, 4)]
    # It is a training that the cooldown counts.
    (first, now) = sorted(shop.rows("ops.decisions"), key=lambda row: row.as_of)
    assert (first.action, first.model_version, now.model_version) == ("retrain", 1, 2)
    then = decision.from_json(json.loads(now.turn))
    outcomes = deciding.outcomes(line, day(7, 5), "training")
    found = deciding.history(
        {first.decision: first}, outcomes, then, first.metric, line.problem.monitor.drop
    )
    assert [each.trained for each in found] == [True]


@pytest.mark.slow  # two turns
def test_a_search_that_its_budget_cut_is_gone_on_with_by_the_next_turn(shop) -> None:
    """Nobody judged the new model: the decision stays open."""
    line, trained = hasty(shop), []

    def stage(name: str, **_: object) -> None:
        if name == "monitor":
            job.run(line)
        if name == "train":
            trained.append(name)
            if len(trained) == 1:
                best([], cut=True)
            shop.version(day(7, 4), 0.6)

    with pytest.raises(OverBudget, match="the budget ended before one candidate"):
        cycle.run(line, stage)
    (made,) = shop.rows("ops.decisions")
    assert made.action == "retrain"
    assert deciding.outcomes(line, day(7, 4), "training") == {}
    assert cycle.run(line, stage).endswith("; version 2 is champion")
    (outcome,) = [row for row in shop.rows("ops.outcomes") if row.kind == "training"]
    assert (outcome.decision, outcome.verdict) == (made.decision, "promoted")
    assert len(trained) == 2


@pytest.mark.slow  # three turns
def test_predictions_of_a_new_champion_are_made_up_for(shop) -> None:
    """A scheduler calls the parts one by one; train was killed before the new champion scored."""
    line, ran, killed = hasty(shop), [], {"score"}

    def stage(name: str, **_: object) -> None:
        ran.append(name)
        if name in killed:
            raise RuntimeError(f"{name} killed")
        if name == "monitor":
            job.run(line)
        if name == "train":
            shop.version(day(7, 4), 0.6)

    cycle.run(line, stage, only="monitor")
    with pytest.raises(RuntimeError, match="score killed"):
        cycle.run(line, stage, only="train")
    assert ran == ["monitor", "train", "score"]
    killed.clear()
    ran.clear()
    cycle.run(line, stage, only="train")
    assert ran == ["score", "drift", "monitor"]
    assert shop.models.champion().number == 2


def test_the_cost_of_then_is_that_of_a_training_of_then(shop) -> None:
    row = dict.fromkeys(schemas.RUNS.column_names) | {"stage": "train", "status": "done"}
    rows = [
        row | {"started_at": day(6, when), "money": money, "tables_read": [("gold.features", of)]}
        for when, of, money in ((1, 3, 1.0), (2, 5, 2.0), (3, 8, 4.0))
    ]
    rows.append(rows[-1] | {"status": "refused", "money": 9.0, "started_at": day(6, 4)})
    killed = {"status": "killed", "money": 0.5, "tables_read": []}  # what it read nobody knows
    rows.append(rows[1] | killed | {"started_at": day(6, 1) + timedelta(hours=1)})
    shop.line.tables.append_values([tuple(each.values()) for each in rows], schemas.RUNS, key=None)
    known = [Version(n, "", "", {"tables": f'{{"gold.features": {n}}}'}) for n in (3, 5, 8)]
    found = [paying._cost(shop.line, known[:count]) for count in range(4)]
    assert found == [None, 1.0, 2.5, 4.0]


@pytest.mark.slow  # three turns
def test_the_metrics_of_a_turn_are_told_also_where_it_fails(shop, caplog, monkeypatch) -> None:
    """A refused stage reaches the file that alerts are made of. A gateway that is away hides no
    other error, and loses no turn: given again, the turn pushes.
    """
    monkeypatch.setattr(LOGGER, "propagate", True)
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        environment = shop.line.environment.model_copy(update={"pushgateway": url})
        line = replace(shop.line, environment=environment)
        one = shop.version(day(5, 20), 0.78)
        shop.scored(one)
        shop.features(day(6, 10), None)
        wrong = [TryAgain("the database is away"), Refused("nothing but torn files")]

        def stage(name: str, **_: object) -> None:
            if name == "monitor":
                job.run(line)
            elif name == "ingest":
                with line.ledger.run(name):
                    if wrong:
                        raise wrong.pop(0)

        with line.tables.lock(cycle.LOCK), pytest.raises(TryAgain):
            cycle.run(line, stage)
        assert not Path(line.beside("metrics.prom")).exists()  # the turn that holds it tells
        with pytest.raises(TryAgain, match="the database is away"):
            cycle.run(line, stage)
        away = 'driftline_stage_failed{problem="churn",stage="ingest",status="failed"} 1.0'
        assert away in Path(line.beside("metrics.prom")).read_text("utf-8")  # tries may all fail
        with pytest.raises(Refused, match="nothing but torn files"):
            cycle.run(line, stage)
        told = Path(line.beside("metrics.prom")).read_text("utf-8")
        failed = 'driftline_stage_failed{problem="churn",stage="ingest",status="refused"} 1.0'
        assert failed in told
        assert away not in told
        assert "the metrics could not be pushed" in caplog.text

        with pytest.raises(TryAgain, match="the metrics could not be pushed"):
            cycle.run(line, stage)
        told = Path(line.beside("metrics.prom")).read_text("utf-8")
        assert 'driftline_decision{action="keep",problem="churn"} 1.0' in told
        assert 'driftline_champion_version{problem="churn"} 1.0' in told
        assert failed not in told

    pushed = []

    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pushed.append((self.path, body.decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        there = environment.model_copy(update={"pushgateway": url})
        cycle.run(replace(line, environment=there), stage)
        server.shutdown()
    assert len(shop.rows("ops.decisions")) == 1
    ((path, body),) = pushed
    assert path == "/metrics/job/driftline/problem/churn"
    assert 'driftline_decision{action="keep",problem="churn"} 1.0' in body


@pytest.mark.slow  # six runs of the job
def test_months_without_deliveries_and_a_model_that_was_deleted(shop) -> None:
    line = shop.line
    one = shop.version(day(5, 20), 0.78)
    shop.scored(one)
    shop.features(day(6, 12), None)
    assert job.run(line).startswith("keep")
    said = job.run(line, as_of=day(8, 20))
    assert said.startswith("watch: there is no new cut-off to judge it by"), said
    before = shop.rows("ops.performance")

    def told() -> str:
        (known,) = re.findall(r"as_of_timestamp_seconds\S+ (\S+)", exposing.text(line))
        return f"{datetime.fromtimestamp(float(known), timezone.utc):%Y-%m-%d}"

    assert told() == "2024-08-20"
    job.run(line, as_of=datetime(2124, 8, 20, tzinfo=timezone.utc))  # mistyped
    job.run(line, as_of=day(7, 20))  # a day that is past
    assert told() == "2024-08-20"

    MlflowClient(line.environment.mlflow).delete_model_version("churn", str(one))
    with pytest.raises(Refused, match="there is no champion") as caught:
        cycle.run(line, lambda _: None, only="train")
    assert caught.value.where == "it was decided to keep"
    for _ in range(2):  # of the same data: what was decided was about the one that is gone
        assert job.run(line) == "retrain: there is no champion"
    assert len(shop.rows("ops.decisions")) == 5
    shop.features(day(6, 13), shop.label)
    assert job.run(line) == "retrain: there is no champion"
    assert shop.rows("ops.performance") == before  # nobody answers for its predictions any more
    two = shop.version(day(6, 12), 0.78)
    assert (two, job.run(line).partition(":")[0]) == (2, "retrain")  # decided once a state of data
