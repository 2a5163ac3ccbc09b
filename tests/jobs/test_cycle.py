"""Turns of the wheel on the simulated shop: calm months, then buyers who go for good."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from pyspark.sql import Row

from driftline import decision
from driftline.jobs import cycle, deciding, explore, planning, score, sla
from driftline.metrics import SMALLER_IS_BETTER
from driftline.monitor_section import Monitor
from driftline.problem import load_problem
from driftline.simulate import Shop, simulate
from engines import answers, assert_read_by_four
from small_shop import write_project
from wheel import Wheel

pytestmark = pytest.mark.slow  # a shop's year, turn by turn

# From November on any order may be a customer's last. It tells at the cut-off after four weeks of
# it, whose labels come in December.
SHOP = Shop(customers=1200, concept_drift_month=10)
OBSERVED = ("ingest", "validate", "features", "score", "drift", "monitor")
CALM, DRIFTED = (9, 10), (11, 12)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repository, open_line) -> Wheel:
    root = tmp_path_factory.mktemp("wheel")
    conf = write_project(root, repository)
    problem = yaml.safe_load(conf.read_text("utf-8"))
    problem["drift"]["tables"] = ["gold.features"]
    conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    simulate(SHOP, root / "data" / "shop", months=9)
    line = open_line(
        load_problem(conf), data=root / "data", warehouse=root / "warehouse", root=root
    )
    return Wheel(line)


def more(wheel: Wheel, month: int) -> None:
    simulate(SHOP, Path(wheel.line.environment.data) / "shop", first_month=month, months=1)


def made_again(made: list[Row], outcomes: list[Row]) -> None:
    """Each row, and those that were there before it, give its decision again."""
    for row in made:

        def before(rows: list[Row], row: Row = row) -> dict[str, Row]:
            there = [each for each in rows if each.at < row.at and each.as_of <= row.as_of]
            there.sort(key=lambda each: (each.as_of, each.at))
            return {each.decision: each for each in there}

        rule = Monitor.model_validate_json(row.rule)
        turn = decision.from_json(json.loads(row.turn))
        trained = before([each for each in outcomes if each.kind == "training"])
        turns = deciding.history(before(made), trained, turn, row.metric, rule.drop)
        costs = decision.Economics(row.gain, row.cost)
        found = decision.decide(turns, rule, costs, smaller=row.metric in SMALLER_IS_BETTER)
        kept = (row.action, tuple(row.causes), row.violations, row.why)
        assert (found.action, found.causes, found.violations, found.why) == kept, row.as_of


def test_the_wheel(wheel, command) -> None:
    plan = planning.plan(wheel.line)
    assert "From the beginning; there is no champion" in plan
    assert "files of orders" in plan
    assert not (Path(wheel.line.tables.root) / "ops" / "runs").exists()

    said = wheel.turn()
    assert said == "retrain: there is no champion; version 1 is champion"
    names = [name for name, _ in wheel.ran]
    assert names == [*OBSERVED[:3], "monitor", "train", *OBSERVED[3:], "report"]
    plan = planning.plan(wheel.line)
    assert plan.count("nothing to do") == 8, plan
    before = wheel.versions()
    again = wheel.turn()
    assert again == "retrain: there is no champion"
    changed = {name for name, each in wheel.versions().items() if each != before[name]}
    assert changed == {"ops.runs"}, wheel.ran
    assert wheel.statuses == {"unchanged"}

    for month in CALM:
        more(wheel, month)
        print(wheel.turn())
        assert wheel.champion == 1
    made = wheel.rows("ops.decisions")
    assert [row.action for row in made if row.model_version == 1].count("retrain") == 0

    more(wheel, DRIFTED[0])
    plan = planning.plan(wheel.line)
    print(plan)
    for stage in ("validate", "features", "score", "drift", "monitor"):
        assert f"{stage:<10}what comes before it is due" in plan
    assert f"{'train':<10}if monitor decides so" in plan
    assert "files of visits" in plan
    print(wheel.turn())
    made = max(wheel.rows("ops.decisions"), key=lambda row: row.as_of)
    assert (made.action, wheel.champion) == ("watch", 1)
    assert "concept" in made.causes

    more(wheel, DRIFTED[1])
    said = wheel.turn()
    print(said)
    assert said.startswith("retrain: ") and said.endswith("; version 2 is champion")
    made = max(wheel.rows("ops.decisions"), key=lambda row: row.as_of)
    assert made.action == "retrain"
    assert not made.trusted
    assert json.loads(made.turn)["version"] == 1
    assert made.cost > 0
    told = Path(wheel.line.beside("metrics.prom")).read_text("utf-8")
    assert 'driftline_decision{action="retrain",problem="churn"} 1.0' in told
    outcomes = {row.decision: row for row in wheel.rows("ops.outcomes") if row.kind == "training"}
    assert outcomes[made.decision].model_version == 2
    scored = {row.model_version for row in wheel.rows("gold.predictions") if row.as_of.month == 1}
    assert scored == {1, 2}
    judged = [row.verdict for row in wheel.rows("ops.outcomes") if row.kind == "judged"]
    assert judged.count("missed") <= 1, judged

    for name in ("decisions", "promises_and_labels"):  # the others: tests/jobs/test_line.py
        by_spark, by_duckdb = answers(wheel.line, name)
        assert by_spark == by_duckdb, name
        assert by_spark, name
    skewed, by_duckdb = answers(wheel.line, "what_is_skewed")
    assert skewed == by_duckdb
    explore.run(wheel.line, table="gold.features")
    sla.run(wheel.line)
    score.run(wheel.line, challenger=1)
    there = wheel.line.tables.names()
    assert {"gold.shadow", "ops.exploration", "ops.sla"} <= set(there)
    for name in there:
        assert_read_by_four(wheel.line.tables, name)
    compared = wheel.rows("ops.skew")
    last = [row for row in compared if row.at == max(each.at for each in compared)]
    assert len(skewed) == sum(row.skewed for row in last)
    assert {row.model_version for row in last} == {2}

    before = wheel.versions()
    wheel.turn()
    changed = {name for name, each in wheel.versions().items() if each != before[name]}
    assert changed == {"ops.runs"}, wheel.ran

    # As of a day in the past: what was known then, by the champion of then; today's stays.
    wheel.turn(as_of=datetime(2024, 11, 15, tzinfo=timezone.utc))
    past = max(wheel.rows("ops.decisions"), key=lambda row: row.at)
    assert (past.as_of.month, past.model_version) == (11, 1)
    assert (f"{past.cutoff:%m-%d}", f"{past.real_cutoff:%m-%d}") == ("10-28", "09-28")
    assert "train" not in [name for name, _ in wheel.ran]
    assert wheel.champion == 2

    made_again(wheel.rows("ops.decisions"), wheel.rows("ops.outcomes"))

    # The command: what it would do, and that a second one at the same time is told to come again.
    conf = wheel.line.root / "conf" / "churn.yaml"
    plan = command("cycle", "--problem", conf, "--dry-run", cwd=wheel.line.root)
    assert plan.returncode == 0, plan.stderr
    assert "champion is version 2" in plan.stdout
    assert f"{'features':<10}up to 2024-11-15 → 2025-01-31" in plan.stdout
    with wheel.line.tables.lock(cycle.LOCK):
        second = command("cycle", "--problem", conf, cwd=wheel.line.root)
    assert second.returncode == 75, second.stderr
    assert "is being written by another process" in second.stderr
    with ThreadPoolExecutor(2) as pool:
        at_once = [
            pool.submit(command, "cycle", "--problem", conf, cwd=wheel.line.root) for _ in range(2)
        ]
        codes = sorted(each.result().returncode for each in at_once)
    assert codes == [0, 75]
    assert sum(row.at > past.at for row in wheel.rows("ops.decisions")) <= 1
    newest = wheel.line.tables.read("gold.features").groupBy().agg({"as_of": "max"}).collect()
    assert newest[0][0].month == 1, "the one that was not told to come again did the turn"
    scored = wheel.line.tables.read("gold.predictions").groupBy("entity", "as_of", "model_version")
    assert scored.count().where("count > 1").isEmpty()
