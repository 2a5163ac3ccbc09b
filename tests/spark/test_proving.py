"""The proof in the gate: on real fitted models it holds, and what differs is counted and named."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from driftline import models, portable, prepare
from driftline.jobs import proving
from driftline.models import Candidate
from driftline.portable import graph, proof, saved
from driftline.portable.proof import Proof
from driftline.portable.saved import Linear
from driftline.problem import load_problem
from driftline.sections import Prepare
from driftline.serving.model import Portable

PROJECT = Path(__file__).parents[2]
COLUMNS = [("recency_90d", "double"), ("age", "bigint"), ("gender", "string")]


@pytest.fixture(scope="module")
def fitted(spark, open_line, tmp_path_factory):
    """A line, rows with a test part, a model fitted on the rest, and the version's folder."""
    folder = tmp_path_factory.mktemp("proving")
    problem = load_problem(PROJECT / "conf" / "churn.yaml")
    line = open_line(problem, data=folder, warehouse=folder / "warehouse")
    random = np.random.default_rng(5)
    made = [
        (
            f"c{n}",
            datetime(2024, 6, 1),
            None if n % 11 == 0 else float(random.gamma(2, 10)),
            None if n % 7 == 0 else int(random.integers(18, 90)),
            [None, "F", "M", "D"][n % 4],
            float(random.random() < 0.4),
            "test" if n % 5 == 0 else "train",
        )
        for n in range(400)
    ]
    ddl = "customer_id string, as_of timestamp, recency_90d double, age bigint, gender string"
    rows = spark.createDataFrame(made, f"{ddl}, label double, part string").persist()
    train = rows.where("part = 'train'")
    learnt = prepare.fit(train, COLUMNS, Prepare())
    transformer = learnt.transformer()
    estimator = models.estimator(
        Candidate("logistic_regression", (("maxIter", 5), ("regParam", 0.01))),
        task="classification",
        seed=1,
    )
    model = PipelineModel([*transformer.stages, estimator.fit(transformer.transform(train))])
    model.write().save(str(folder / "sparkml"))
    facts = proving.facts(line, train, learnt)
    for name, content in portable.files(learnt, folder / "sparkml", facts).items():
        (folder / name).write_bytes(content)
    yield line, rows, model, folder, learnt, facts
    rows.unpersist()


def test_facts_tell_where_training_rows_lay(fitted) -> None:
    *_, facts = fitted
    recency, age, gender = facts.columns
    assert (recency.name, recency.type, age.type, gender.type) == (
        *("recency_90d", "double"),
        *("bigint", "string"),
    )
    assert len(recency.edges) == 11
    assert sorted(recency.edges) == list(recency.edges)
    assert 18 <= age.edges[0] < age.edges[-1] < 90
    assert gender.words == ("D", "F", "M")
    assert facts.problem == fitted[0].problem.digest
    assert not facts.pseudonymous


def test_facts_tell_that_nobody_is_to_be_named(fitted) -> None:
    """By which a server refuses names: see tests/serving."""
    line, rows, _, _, learnt, _ = fitted
    sources = dict(line.problem.sources)
    for name, each in sources.items():
        hidden = each.columns["customer_id"].model_copy(update={"pseudonym": True})
        columns = {**each.columns, "customer_id": hidden}
        sources[name] = each.model_copy(update={"columns": columns})
    secret = line.problem.model_copy(update={"sources": sources})
    assert proving.facts(dataclasses.replace(line, problem=secret), rows, learnt).pseudonymous


def test_the_portable_model_is_proven_equal(fitted, monkeypatch) -> None:
    line, rows, model, folder, learnt, _ = fitted
    monkeypatch.setattr(proving, "SIMULATED", 3000)
    monkeypatch.setattr(proving, "_AT_ONCE", 2000)
    found = proving.proofs(line, rows, model, folder, learnt)
    assert {part: each.rows for part, each in found.items()} == {"test": 80, "simulated": 3000}
    assert all(each.holds and each.largest < 1e-12 for each in found.values())
    assert proving.reasons(found) == []


def test_what_differs_is_counted_and_named(fitted, monkeypatch) -> None:
    line, rows, model, folder, learnt, facts = fitted
    monkeypatch.setattr(proving, "SIMULATED", 1000)
    right = (folder / portable.FILE).read_bytes()
    numbers = saved.read(folder / "sparkml")
    off = numbers.coefficients.copy()
    off[0] += 1e-3  # what the recency says
    wrong = graph.write(learnt, Linear(off, numbers.intercept, numbers.logistic), facts)
    (folder / portable.FILE).write_bytes(wrong)
    try:
        found = proving.proofs(line, rows, model, folder, learnt)
    finally:
        (folder / portable.FILE).write_bytes(right)
    test, simulated = found["test"], found["simulated"]
    assert 60 < test.beyond <= 80
    assert 500 < simulated.beyond <= 1000
    assert 1e-6 < test.largest < 1e-2
    named = F.xxhash64("customer_id", "as_of").cast("string")
    known = rows.where(named.isin(list(test.named))).where("part = 'test'").count()
    assert known == len(test.named) == 5
    assert all(0 <= int(number) < 1000 for number in simulated.named)
    first, second = proving.reasons(found)
    assert f"on {test.beyond} of 80 test rows: {', '.join(test.named)}" in first
    assert "simulated rows" in second
    assert "there were none to compare" in proving.reasons({"test": Proof(0, 0, 0.0, ())})[0]
    # and it is written down
    with line.ledger.run("train") as ledger:
        proving.write(line, ledger, found, 7)
    written = line.tables.read("ops.evaluations").where("model = 'portable'").collect()
    assert {(row.part, row.metric) for row in written} == {
        (f"portable_{part}", metric)
        for part in ("test", "simulated")
        for metric in ("largest_difference", "rows_beyond")
    }


@pytest.mark.slow
def test_a_million_simulated_rows(fitted) -> None:
    line, rows, model, folder, learnt, _ = fitted
    assert proving.proofs(line, rows, model, folder, learnt)["simulated"].rows >= 1_000_000


WAYS = [
    *({"impute": impute, "clip": None} for impute in ("median", "mean", "zero")),
    *({"scale": scale} for scale in ("standard", "minmax", "robust", "none")),
    {"clip": "iqr", "missing_flags": True},
    {"clip": None, "missing_flags": True, "scale": "minmax"},
    {"rare": 0.3},
    {"rare": 0.9},
    {"encode": "target"},
    {"encode": "target", "rare": 0.3, "missing_flags": True},
]


@pytest.mark.slow
def test_every_way_to_prepare_has_a_portable_form(spark, fitted) -> None:
    """The vector Spark makes and the one in ONNX, by weights no two places share."""
    _, rows, _, _, _, facts = fitted
    for rule in WAYS:
        learnt = prepare.fit(rows, COLUMNS, Prepare(**rule))
        weights = np.sqrt(np.arange(2, 2 + len(learnt.names)))
        model = Linear(weights, 0.0, logistic=False)
        asked = proof.simulate(learnt, model, facts.columns, rows=2000, seed=1)
        vectors = learnt.transformer().transform(spark.createDataFrame(asked))
        made = vectors.select(vector_to_array("features").alias("v")).toArrow()["v"].to_pylist()
        with np.errstate(over="ignore", invalid="ignore"):
            by_spark = np.asarray(made) @ weights
        there = Portable(graph.write(learnt, model, facts))
        found = proof.compare(by_spark, there.score(*there.inputs(asked)), range(2000))
        assert found.rows == 2000
        large = np.fmax(1.0, np.abs(by_spark[np.isfinite(by_spark)])).max()
        assert found.largest <= 1e-9 * large, (rule, found)
