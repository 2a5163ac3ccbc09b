"""The job ``score``: what is new is scored, once; what was scored stays."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F

from driftline import portable, schemas
from driftline.errors import Missing, Refused
from driftline.jobs import drift, score
from driftline.portable import graph, reasons
from driftline.portable.saved import Linear
from driftline.prepare import Numeric, Preparation
from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.serving.facts import Column, Facts

PROJECT = Path(__file__).parents[2]
JUNE, JULY = (datetime(2024, month, 1, tzinfo=timezone.utc) for month in (6, 7))
RECENCY = Preparation((Numeric("recency_90d", 45.0, 0.0, 90.0, 0.0, 90.0),), ())


pytestmark = pytest.mark.slow  # six runs of the job, each with its suite


@pytest.fixture
def line(open_line, tmp_path):
    problem = load_problem(PROJECT / "conf" / "churn.yaml")
    return open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")


def features(line, *rows: tuple[str, datetime, float | None]) -> None:
    """A new version of gold.features with nothing but the recency."""
    table = schemas.features(line.problem)
    frame = line.spark.createDataFrame(
        list(rows), "customer_id string, as_of timestamp, recency_90d double"
    )
    for column in table.columns:
        if column.name not in frame.columns:
            frame = frame.selectExpr("*", f"CAST(NULL AS {column.type}) AS `{column.name}`")
    line.tables.overwrite(frame, table, key=str(rows), made_from={})


def train(line, slope: float, intercept: float = 0.0, *, logistic: bool = True):
    facts = Facts(
        "churn", "who?", "classification", "d", "customer_id", "string",
        (Column("recency_90d", "double"),),
    )  # fmt: skip
    model = Linear(np.array([slope]), intercept, logistic=logistic)
    models = Registry(line.environment.mlflow, "churn")
    version = models.record(
        RECENCY.transformer(),
        trials=[],
        metrics={},
        tags={"tables": json.dumps({})},
        files=lambda _: {
            portable.FILE: graph.write(RECENCY, model, facts),
            portable.REASONS: reasons.write(RECENCY, model, facts),
        },
    )
    models.judge(version, passed=True)
    return models, version


def found(line, table: str = "gold.predictions") -> list[tuple]:
    rows = line.tables.read(table).collect()
    return sorted((r.entity, f"{r.as_of:%m}", r.model_version, r.features_version) for r in rows)


def test_what_is_not_scored_yet_is_scored(line) -> None:
    with pytest.raises(Missing, match="no champion"):
        score.run(line)
    models, first = train(line, 2.0)
    models.promote(first)
    features(line, ("a", JUNE, 9.0), ("b", JUNE, None))
    assert score.run(line) == "2 customer_ids as of 2024-06-01 by version 1"
    one = [("a", "06", 1, 1), ("b", "06", 1, 1)]
    assert found(line) == one
    rows = {row.entity: row for row in line.tables.read("gold.predictions").collect()}
    assert rows["a"].score == pytest.approx(1 / (1 + np.exp(-0.2)))
    assert rows["b"].score == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert rows["a"].prediction == 1.0
    assert rows["a"].reasons == ["recency_90d"]
    version = line.tables.version("gold.predictions")
    assert score.run(line) == "as of 2024-06-01 is scored by version 1 already"
    assert line.tables.version("gold.predictions") == version

    features(line, ("a", JUNE, 90.0), ("b", JUNE, 1.0), ("c", JUNE, 2.0))
    said = score.run(line)
    assert said.startswith("1 customer_ids as of 2024-06-01 by version 1; 2 were scored from older")
    assert found(line) == [*one, ("c", "06", 1, 2)]

    features(line, ("a", JUNE, 90.0), ("a", JULY, 90.0), ("d", JULY, 1.0))
    assert score.run(line) == "2 customer_ids as of 2024-07-01 by version 1"
    newest = [("a", "07", 1, 3), ("d", "07", 1, 3)]
    assert found(line) == sorted([*one, ("c", "06", 1, 2), *newest])

    _, second = train(line, -2.0)  # a challenger is scored beside, not among
    assert score.run(line, challenger=2).endswith("by version 2, into gold.shadow")
    assert found(line, "gold.shadow") == [("a", "07", 2, 3), ("d", "07", 2, 3)]
    assert {row[2] for row in found(line)} == {1}
    models.promote(second)
    assert score.run(line) == "2 customer_ids as of 2024-07-01 by version 2"
    said = "nothing to compare, version 4 is the reference itself"  # not with those of version 1
    assert drift.run(line, table="gold.predictions") == f"gold.predictions: {said}"

    before = found(line)
    assert score.run(line, full=True) == "3 customer_ids up to 2024-07-01 by version 2"
    others = [row for row in before if row[2] == 1]
    again = [("a", "06", 2, 3), ("a", "07", 2, 3), ("d", "07", 2, 3)]
    assert found(line) == sorted([*others, *again])
    said = drift.run(line, table="gold.predictions")
    assert said.startswith("gold.predictions 4 → 5 (newest as-of; ")
    # Whoever has fallen out of the features keeps what was predicted.
    features(line, ("a", JULY, 1.0), ("e", JULY, 80.0))
    assert score.run(line, full=True) == "2 customer_ids up to 2024-07-01 by version 2"
    newer = [("a", "06", 2, 3), ("a", "07", 2, 4), ("d", "07", 2, 3), ("e", "07", 2, 4)]
    assert found(line) == sorted([*others, *newer])
    with pytest.raises(Missing, match="there is no cut-off to score"):
        score.run(line, as_of=datetime(2024, 5, 1, tzinfo=timezone.utc))
    with pytest.raises(Missing, match="model churn has no version 9"):
        score.run(line, challenger=9)

    # The ledger knows the champion: neither a challenger, nor the champion of another day.
    score.run(line, challenger=1)
    score.run(line, champion=1)
    assert "by version 2" in score.run(line)
    runs = line.tables.read("ops.runs").where("stage = 'score'").orderBy("started_at").collect()
    assert [row.model_version for row in runs][-3:] == [None, None, 2]


def test_a_challenger_is_judged_under_the_table_it_is_written_to(line) -> None:
    models, first = train(line, 2.0)
    models.promote(first)
    features(line, ("a", JUNE, 9.0), ("b", JUNE, None))
    score.run(line)
    train(line, 0.0)  # says the same of everybody
    with pytest.raises(Refused, match=r"gold\.shadow was not written: the batch breaks its suite"):
        score.run(line, challenger=2)
    rows = line.tables.read("ops.quality").groupBy("table").agg({"success": "min"}).collect()
    assert dict(rows) == {"gold.predictions": True, "gold.shadow": False}


def test_rows_without_a_finite_score_are_named(line) -> None:
    """None of them is written, as decided or otherwise; a server says the same of them."""
    models, first = train(line, 1e308, 1e308, logistic=False)
    models.promote(first)
    features(line, ("a", JUNE, 0.0), ("b", JUNE, 90.0), ("c", JUNE, None))
    with pytest.raises(Refused, match="no finite score for 1 of 3 rows") as caught:
        score.run(line)
    rows = line.tables.read("gold.features")
    found_ = rows.where(F.expr(caught.value.where.partition(", ")[2].replace("in ", "in (") + ")"))
    assert [row.customer_id for row in found_.collect()] == ["b"]
    assert not line.tables.exists("gold.predictions")


def test_another_registry_s_version_of_the_same_number_is_another_model(line, tmp_path) -> None:
    models, first = train(line, 2.0)
    models.promote(first)
    features(line, ("a", JUNE, 9.0), ("b", JUNE, None))
    score.run(line)
    assert score.run(line).endswith("is scored by version 1 already")
    where = f"sqlite:///{tmp_path}/anew/mlflow.db"
    environment = line.environment.model_copy(update={"mlflow": where})
    (tmp_path / "anew").mkdir()
    anew = replace(line, environment=environment)
    models, first = train(anew, -2.0)
    models.promote(first)
    assert first.number == 1
    for full in (False, True):
        with pytest.raises(Refused, match="of another model that is version 1, too"):
            score.run(anew, full=full)
    table = line.tables.read("gold.predictions")
    line.tables.delete("gold.predictions", matching=table.where("model_version = 1"))
    assert score.run(anew) == "2 customer_ids as of 2024-06-01 by version 1"
    assert score.run(anew).endswith("is scored by version 1 already")
