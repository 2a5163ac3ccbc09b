"""The whole line as people run it: `driftline run`, a process of its own, on the simulated shop."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import duckdb
import numpy as np
import pytest
from pyspark.sql import functions as F

from driftline import calibration, metrics, query
from driftline.jobs import planning
from driftline.problem import load_problem
from driftline.simulate import Shop, simulate
from driftline.tables import Tables
from engines import answers, assert_read_by_four
from small_shop import write_project

SHOP = Shop(customers=400, malformed=0.01, duplicates=0.02, late=0.03, covariate_drift_month=9)
DATA_TABLES = ("bronze.visits", "bronze.orders", "bronze.customers", "silver.visits")
DATA_TABLES += ("silver.orders", "silver.customers", "gold.features", "gold.predictions")
OPS_TABLES = ("deliveries", "rejects", "quality", "trials", "evaluations", "curves", "profiles")


@dataclass
class Ran:
    """One run of the command, and where every table stood after it."""

    done: CompletedProcess[str]
    versions: dict[str, int]


@pytest.fixture(scope="module")
def project(tmp_path_factory, repository) -> Path:
    root = tmp_path_factory.mktemp("shop")
    write_project(root, repository)
    simulate(SHOP, root / "data" / "shop", months=9)
    return root


@pytest.fixture(scope="module")
def tables(spark, project) -> Tables:
    return Tables(spark, str(project / "warehouse" / "churn"))


@pytest.fixture(scope="module")
def run(project, command, tables):
    def ran(*options: str) -> Ran:
        conf = project / "conf" / "churn.yaml"
        done = command("run", "--problem", conf, *options, cwd=project.parent)
        layers = [path.parent for path in Path(tables.root).glob("*/*/_delta_log")]
        names = [f"{path.parent.name}.{path.name}" for path in layers]
        return Ran(done, {name: tables.version(name) for name in sorted(names)})

    return ran


@pytest.fixture(scope="module")
def first(run) -> Ran:
    return run()


@pytest.fixture(scope="module")
def second(run, first) -> Ran:
    return run()


@pytest.fixture(scope="module")
def third(run, second, project) -> Ran:
    simulate(SHOP, project / "data" / "shop", first_month=9, months=2)
    return run("--stages", "ingest,validate,features,score,drift,report")


@pytest.fixture(scope="module")
def planted(project) -> dict[str, dict]:
    """What the simulator says it put into each file of the first nine months."""
    pattern = project / "data" / "shop" / "truth" / "files" / "2024-0*.parquet"
    rows = duckdb.sql(f"select * from '{pattern}'")
    return {row[0]: dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()}


def last_runs(tables: Tables, ran: int, stages: int = 7) -> dict:
    """The rows of the ledger of one run: seven stages each, the third has six."""
    rows = tables.read("ops.runs").orderBy("started_at").collect()
    return {row.stage: row for row in rows[ran * 7 : ran * 7 + stages]}


def test_the_first_run_ends_well_and_says_what_it_did(first, project, planted, tables) -> None:
    assert first.done.returncode == 0, first.done.stderr
    said = first.done.stdout
    assert "Which customers of the shop will buy nothing in the next 30 days?" in said
    runs = last_runs(tables, 0)
    stages = ["ingest", "validate", "features", "train", "score", "drift", "report"]
    assert list(runs) == stages
    assert {row.status for row in runs.values()} == {"done"}
    ingest = runs["ingest"]
    assert (
        f"ingest:   {ingest.rows_in:,} records in = {ingest.rows_out:,} accepted + "
        f"{ingest.rows_rejected:,} rejected + {ingest.rows_duplicate:,} known duplicates"
    ) in said
    report = project / "warehouse" / "churn" / "report.html"
    assert f"report: {report}" in said
    assert "</html>" in report.read_text("utf-8")
    for row in runs.values():
        assert row.money > 0
        assert row.jobs > 0
    # Java's chatter is in a file of its own; what is left on stderr is our log, a JSON line each.
    assert [json.loads(line)["level"] for line in first.done.stderr.splitlines()]


def test_the_training_set_has_a_certificate(first, tables) -> None:
    rows = tables.read("ops.certificates").collect()
    assert {row.check: row.holds for row in rows} == dict.fromkeys(
        ("events", "arrivals", "labels", "times", "columns"), True
    )
    assert {row.features_version for row in rows} == {first.versions["gold.features"]}
    models = list(Path(tables.root).parents[1].rglob("certificate.json"))
    assert [len(json.loads(path.read_text())["checks"]) for path in models] == [5]


def test_labels_are_drawn_from_the_planted_probabilities(first, project, tables) -> None:
    """Of each customer the simulator knows how likely no order was, on the first of a month."""
    pattern = project / "data" / "shop" / "truth" / "churn" / "*.parquet"
    sure = {
        row[:2]: row[2]
        for row in duckdb.sql(f"from '{pattern}'")
        .project("customer_id, as_of, p_no_order")
        .fetchall()
    }
    features = tables.read("gold.features", version=first.versions["gold.features"])
    rows = features.where("label is not null and as_of = '2024-05-01'").collect()
    pairs = [(sure[row.customer_id, row.as_of.date()], row.label) for row in rows]
    assert len(pairs) > 200
    chance = sum(p * (1 - p) for p, _ in pairs) ** 0.5
    assert abs(sum(label - p for p, label in pairs)) < 4 * chance
    chances, labels = map(np.array, zip(*pairs, strict=True))
    assert metrics.roc_auc(labels, chances) > 0.75


def test_scores_are_calibrated_on_validation_rows_alone(first, tables) -> None:
    """What the portable file scores is what was measured, beside what it was before."""
    assert "calibration error" in first.done.stdout
    rows = tables.read("ops.evaluations").where("part = 'test'").collect()
    found = {(row.model, row.metric): row for row in rows}
    ours, plain = (found[who, "roc_auc"].value for who in ("model", "uncalibrated"))
    assert ours == pytest.approx(plain, abs=0.03)  # steps tie some, and turn none around
    assert ours != plain
    assert found["model", "roc_auc"].detail == "calibrated on validation rows: isotonic"
    assert ("model", "roc_auc_above_uncalibrated") not in found
    [kept] = Path(tables.root).parents[1].rglob("calibration.json")
    steps = calibration.from_json(kept.read_text("utf-8"))
    ends = {steps.base, steps.base + sum(steps.rise)}
    scores = {row.score for row in tables.read("gold.predictions").collect()}
    assert min(ends) - 1e-12 <= min(scores) < max(scores) <= max(ends) + 1e-12


def test_recency_frequency_and_money_are_a_baseline(first, tables) -> None:
    rows = tables.read("ops.evaluations").where("metric like 'roc_auc%'").collect()
    found = {(row.part, row.model, row.metric): row for row in rows}
    assert {part for part, model, _ in found if model == "rfm"} == {"validation", "test"}
    assert found["test", "rfm", "roc_auc"].detail == "recency_90d, orders_180d, spend_90d"
    assert found["test", "rfm", "roc_auc"].value > 0.6
    gain = found["test", "model", "roc_auc"].value - found["test", "rfm", "roc_auc"].value
    assert found["test", "model", "roc_auc_above_rfm"].value == pytest.approx(gain)
    assert f"RFM {found['test', 'rfm', 'roc_auc'].value:.3f}" in first.done.stdout


def test_each_file_is_accounted_for_as_it_was_planted(first, planted, tables) -> None:
    landed = tables.read("ops.deliveries").where(F.col("status") == "landed").collect()
    found = {row.path.removeprefix("shop/"): row for row in landed}
    once = {file: truth for file, truth in planted.items() if truth["resent_of"] is None}
    first_months = {file: row for file, row in found.items() if file in planted}
    assert first_months.keys() == once.keys()
    for file, truth in once.items():
        row = found[file]
        header = file.endswith(".csv")
        assert row.records == truth["lines"] - header, file
        assert row.rejected == truth["malformed"], file
        assert row.accepted == row.records - row.rejected, file
    rejects = tables.read("ops.rejects").groupBy("delivery").count().collect()
    by_delivery = {row.delivery: row.rejected for row in landed if row.rejected}
    assert {row.delivery: row["count"] for row in rejects} == by_delivery


def test_planted_duplicates_are_found_and_no_others(first, planted, tables) -> None:
    validate, ingest = (last_runs(tables, 0)[stage] for stage in ("validate", "ingest"))
    resent = [truth for truth in planted.values() if truth["resent_of"] is not None]
    once = [truth for truth in planted.values() if truth["resent_of"] is None]
    assert len(resent) == 9
    assert ingest.rows_duplicate == sum(truth["lines"] for truth in resent)
    assert validate.rows_duplicate == sum(truth["duplicate"] for truth in once) > 0
    orders = tables.read("silver.orders", version=first.versions["silver.orders"])
    assert orders.count() == orders.select("order_id").distinct().count()


def test_everybody_asked_about_is_scored_once(first, tables) -> None:
    features = tables.read("gold.features", version=first.versions["gold.features"])
    newest = features.agg(F.max("as_of")).first()[0]
    asked = features.where(F.col("as_of") == newest).select("customer_id").collect()
    scored = tables.read("gold.predictions", version=first.versions["gold.predictions"]).collect()
    assert Counter(row.entity for row in scored) == Counter(row.customer_id for row in asked)
    assert {row.model_version for row in scored} == {1}
    assert all(0 <= row.score <= 1 for row in scored)


def test_a_second_run_changes_nothing_but_the_ledger(first, second, tables) -> None:
    assert second.done.returncode == 0, second.done.stderr
    assert second.versions == first.versions | {"ops.runs": first.versions["ops.runs"] + 7}
    assert {f"ops.{name}" for name in OPS_TABLES} | set(DATA_TABLES) <= first.versions.keys()
    statuses = {stage: row.status for stage, row in last_runs(tables, 1).items()}
    assert statuses.pop("report") == "done"
    assert set(statuses.values()) == {"unchanged"}
    assert second.done.stdout.count("unchanged") == 6


def test_then_only_what_never_ran_is_due(second, project, open_line) -> None:
    """A budget asks it of each stage by itself; no decision was ever made here."""
    conf = load_problem(project / "conf" / "churn.yaml")
    line = open_line(conf, data=project / "data", warehouse=project / "warehouse", root=project)
    stages = ("ingest", "validate", "features", "score", "drift", "monitor", "report")
    assert [each for each in stages if planning.due(line, each, None)] == ["monitor", "report"]


@pytest.mark.slow
def test_two_more_months_of_other_customers_drift(second, third, tables) -> None:
    assert third.done.returncode == 0, third.done.stderr
    grown = {name for name in DATA_TABLES if third.versions[name] > second.versions[name]}
    assert grown == set(DATA_TABLES)
    assert third.versions["ops.trials"] == second.versions["ops.trials"]
    rows = tables.read("ops.drift").where("table = 'silver.orders'").collect()
    drifted = {row.column for row in rows if row.drifted}
    # More mobile, dearer orders; what does not change is not accused.
    assert {"channel", "amount"} <= drifted
    assert "category" not in drifted
    assert {(row.from_version, row.to_version) for row in rows} == {
        (first_version(second, "silver.orders"), third.versions["silver.orders"])
    }
    assert "drift:    silver.orders" in third.done.stdout


def first_version(ran: Ran, table: str) -> int:
    """The version the champion was trained on is the newest one there was then."""
    return ran.versions[table]


READY = sorted(
    set(query.ready()) - {"broken_promises", "decisions", "promises_and_labels", "what_is_skewed"}
)
"""What is left needs sla and monitor: tests/spark/test_sla.py and the test of the cycle ask it."""


@pytest.mark.parametrize("name", READY)
def test_ready_queries_mean_the_same_to_spark_and_to_duckdb(
    name, third, project, open_line
) -> None:
    conf = load_problem(project / "conf" / "churn.yaml")
    line = open_line(conf, data=project / "data", warehouse=project / "warehouse", root=project)
    by_spark, by_duckdb = answers(line, name)
    assert by_spark == by_duckdb
    assert by_spark


def test_four_engines_read_every_table_and_know_what_its_columns_mean(third, tables) -> None:
    for name in third.versions:
        assert_read_by_four(tables, name)


def test_query_is_a_command(third, project, command) -> None:
    asked = ("query", "--problem", project / "conf" / "churn.yaml")
    done = command(*asked, "late_sources", cwd=project.parent)
    assert done.returncode == 0, done.stderr
    for source in ("visits", "orders", "customers"):
        assert source in done.stdout
    (project / "own.sql").write_text("SELECT entity, score FROM gold.predictions;")
    out = project / "own.csv"
    done = command(*asked, project / "own.sql", "--out", out, cwd=project.parent)
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) > 400
    (project / "bad.sql").write_text("DROP TABLE ops.runs")
    done = command(*asked, project / "bad.sql", cwd=project.parent)
    assert done.returncode == 2 and "one SELECT" in done.stderr
    done = command(*asked, "decisions", cwd=project.parent)
    assert done.returncode == 4 and "there is no table ops.decisions yet" in done.stderr
