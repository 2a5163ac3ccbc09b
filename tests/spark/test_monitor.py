"""Predictions and the labels that came, counted: point in time, restated, missing."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import losses, monitor, schemas
from driftline.certificate import Evidence
from driftline.jobs import measuring
from driftline.jobs import monitor as job
from driftline.performance import Calibrated
from driftline.prepare import Numeric, Preparation
from driftline.problem import load_problem
from driftline.registry import Registry

PROJECT = Path(__file__).parents[2]


def day(month: int, of: int = 1) -> datetime:
    return datetime(2024, month, of, tzinfo=timezone.utc)


FEATURES = "customer_id string, as_of timestamp, label double, country string"
PREDICTIONS = "entity string, as_of timestamp, model_version int, score double, prediction double"


def test_counts_are_point_in_time_and_add_up(spark) -> None:
    """One table of each, and everything asked of them."""
    features = spark.createDataFrame(
        [
            ("a", day(6), 1.0, "DE"),
            ("b", day(6), 0.0, None),
            ("c", day(6), 0.0, "DE"),
            ("a", day(7), 1.0, "FR"),  # over on 31 July
            ("b", day(7), None, "DE"),
        ],
        FEATURES,
    )
    predictions = spark.createDataFrame(
        [
            ("a", day(6), 1, 0.9, 1.0),
            ("b", day(6), 1, 0.9001, 1.0),  # in one cell with a
            ("c", day(6), 1, 0.2, 0.0),
            ("gone", day(6), 1, 0.5, 1.0),  # nothing is known of it any more
            ("a", day(7), 1, 0.7, 1.0),
            ("b", day(7), 2, 1.0, 1.0),
            ("a", day(9), 1, 0.7, 1.0),  # later than anything asked about
        ],
        PREDICTIONS,
    )

    def found(as_of: datetime) -> list:
        labels = monitor.known(features, entity="customer_id", horizon=30, as_of=as_of)
        rows = monitor.joined(predictions, labels, as_of=as_of)
        return monitor.counted(rows, task="classification", slices=["country"]).collect()

    def totals(rows: list, by: tuple[str, ...]) -> Counter:
        sums: Counter = Counter()
        for row in rows:
            key = tuple(row[name].month if name == "cutoff" else row[name] for name in by)
            sums[key] += np.array([row.rows, row.labelled, row.ones, row.matched])
        return Counter({key: tuple(each.astype(int).tolist()) for key, each in sums.items()})

    late = found(day(8, 15))
    whole = [row for row in late if row.slice == ""]
    assert totals(whole, ("cutoff", "model_version")) == {
        (6, 1): (4, 3, 1, 3),
        (7, 1): (1, 1, 1, 1),
        (7, 2): (1, 0, 0, 1),
    }
    cells = {(row.bin, row.called): row.rows for row in whole if row.cutoff.month == 6}
    assert cells == {(219, 1.0): 2, (-139, 0.0): 1, (0, 1.0): 1}  # hundredths of log-odds
    assert [row.bin for row in whole if row.model_version == 2] == [1381]  # a score of 1 has one
    assert totals([row for row in late if row.cutoff.month == 6], ("slice",)) == {
        ("",): (4, 3, 1, 3),
        ("country=DE",): (2, 2, 1, 2),
        ("country=missing",): (2, 1, 0, 1),
    }
    # Slices of few rows, all cut-offs and versions by themselves, do not come to the driver.
    table = spark.createDataFrame(late)
    many = monitor.frequent(table, at_least=2).collect()
    assert {(row.cutoff.month, row.model_version, row.slice) for row in many} == {
        *((6, 1, ""), (7, 1, ""), (7, 2, "")),
        *((6, 1, "country=DE"), (6, 1, "country=missing")),
    }
    assert Counter(many) == Counter(row for row in late if row in many)
    # A day before they are over, the same labels are unknown; a month before, nothing was asked.
    july = found(day(7, 30))
    assert totals([r for r in july if not r.slice], ("cutoff",)) == {
        (6,): (4, 3, 1, 3),
        (7,): (2, 0, 0, 2),
    }
    june = [row for row in found(day(6, 30)) if not row.slice]
    assert totals(june, ("cutoff",)) == {(6,): (4, 0, 0, 3)}

    # Digests: of parts as of the whole, however grouped; another label is another digest.
    hashes = [int(row.content) for row in whole if row.cutoff.month == 6]
    assert monitor.content(hashes) == monitor.content(hashes[::-1])
    assert monitor.content(hashes) != monitor.content([int(row.content) for row in june])
    sums = [int(row.content) for row in late if row.slice and row.cutoff.month == 6]
    assert monitor.content(hashes) == monitor.content(sums)

    later = features.withColumn(
        "label", F.when(F.col("customer_id") == "a", 0.0).otherwise(F.col("label"))
    )
    old, new = (
        monitor.known(each, entity="customer_id", horizon=30, as_of=day(8, 15))
        for each in (features, later)
    )
    differ = monitor.restated(old, new, [day(6)]).collect()
    assert [(row.cutoff.month, row.restated) for row in differ] == [(6, 1)]


def test_scores_that_nothing_is_known_of_are_doubted(repository) -> None:
    """The warehouse was made anew beside an old registry."""
    problem = load_problem(repository / "conf" / "churn.yaml")
    rows = [Row(scores=80.0, called=1.0, rows=100, labelled=0, ones=0.0)]
    line: Any = SimpleNamespace(problem=problem)
    doubts = [
        measuring._kinds(line, measuring._Judged(known, {}), 1, rows, 0)[2]
        for known in ({}, {1: Calibrated()})
    ]
    assert doubts == ["what its scores mean is not known: each is taken at its word", ""]
    assert measuring._said(100, 0, None, None, doubts[0]) == doubts[0]


def test_a_few_labels_of_a_class_are_said(repository) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    cell = {"cutoff": day(6), "model_version": 1, "slice": "", "called": 0.0, "matched": 100}
    rows = [
        Row(**cell, scores=score, rows=100, labelled=100, ones=ones)
        for score, ones in ((2.0, 3.0), (4.0, 1.0))
    ]
    line: Any = SimpleNamespace(problem=problem)
    known = measuring._Judged({1: Calibrated()}, {})
    found = measuring._rows(line, known, (day(6), 1), rows, restated=None)
    assert {row[-1] for row in found} == {
        "4 of 200 labels are 1: too few of a class to judge the metric by"
    }


REGRESSION = "customer_id bigint, as_of timestamp, label double, spend_90d double"


def test_errors_are_counted_by_the_edges_of_their_version(spark) -> None:
    predictions = spark.createDataFrame(
        [
            ("1", day(6), 1, 1.0, 1.0),
            ("2", day(6), 1, 9.0, 9.0),
            ("3", day(6), 1, 10.0, 10.0),  # as high as the last edge
            ("1", day(6), 2, 9.0, 9.0),  # a version that nothing is known of
        ],
        PREDICTIONS,
    )
    features = spark.createDataFrame(
        [(1, day(6), 3.0, 0.0), (2, day(6), 8.0, 0.0), (3, day(6), None, 0.0)], REGRESSION
    )
    labels = monitor.known(features, entity="customer_id", horizon=30, as_of=day(8))
    rows = monitor.joined(predictions, labels, as_of=day(8))
    counted = monitor.counted(rows, task="regression", slices=[], edges={1: [2.0, 5.0, 10.0]})
    found = {
        (row.model_version, row.bin): (row.rows, row.labelled, row.e, row.e1, row.e2, row.e4)
        for row in counted.collect()
    }
    assert found == {
        (1, 0): (1, 1, -2.0, 2.0, 4.0, 16.0),
        (1, 2): (1, 1, 1.0, 1.0, 1.0, 1.0),
        (1, 3): (1, 0, None, None, None, None),
        (2, 0): (1, 1, 6.0, 6.0, 36.0, 1296.0),
    }


@pytest.mark.slow  # four runs of the job
def test_a_regression_before_labels_and_after(open_line, tmp_path) -> None:
    """Errors grow with the score, and the scored rows have higher ones: what its errors will be is
    said before labels come, and holds. The month after, customers spend otherwise: it does not.
    """
    problem = load_problem(PROJECT / "conf" / "cdnow_spend.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")
    random = np.random.default_rng(3)

    def drawn(rows: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
        score = random.normal(mean, 10.0, rows)
        return score, score + random.normal(0.0, np.maximum(score, 1.0) / 10)

    score, label = drawn(1500, 50.0)
    models = Registry(line.environment.mlflow, problem.name)
    preparation = Preparation((Numeric("spend_90d", 45.0, 0.0, 90.0, 0.0, 90.0),), ())
    version = models.record(
        preparation.transformer(),
        trials=[],
        metrics={},
        tags={"tables": json.dumps({"gold.features": 1}), "watermark": day(5).isoformat()},
        files=lambda _: {},
    )
    models.judge(version, passed=True)
    models.promote(version)
    tables = line.tables
    then = np.sqrt(np.mean((score - label) ** 2))
    judged = (1, "test", "model", "rmse", then, then - 0.2, then + 0.2, 1500, None, "", day(5))
    tables.append_values([judged], schemas.EVALUATIONS, key=None)
    points = [(1, *vars(each).values(), "") for each in losses.points(label, score)]
    tables.append_values(points, schemas.CURVES, key=None)
    later = {6: drawn(800, 57.0), 7: drawn(800, 57.0)}
    later[7] = (later[7][0], later[7][1] + 2.0)
    predicted = [
        (str(n), day(month), float(each), float(each), [], 1, 1, "", "")
        for month, (its, _) in later.items()
        for n, each in enumerate(its)
    ]
    tables.append_values(predicted, schemas.PREDICTIONS, key=None)
    table = schemas.features(problem)

    def features(until: datetime, labelled: tuple[int, ...]) -> None:
        rows = [
            (n, day(month), float(each) if month in labelled else None, 1.0)
            for month, (_, found) in later.items()
            for n, each in enumerate(found)
        ]
        frame = line.spark.createDataFrame(rows, REGRESSION)
        for column in table.columns:
            if column.name not in frame.columns:
                frame = frame.selectExpr("*", f"CAST(NULL AS {column.type}) AS `{column.name}`")
        noted = Evidence(until, "event", 90, ()).to_json()
        tables.overwrite(frame, table, key=str(until), made_from={}, noted=noted)

    def measured(month: int, kind: str) -> dict[str, tuple]:
        rows = tables.read("ops.performance").where(f"kind = '{kind}'").collect()
        mine = [row for row in rows if row.cutoff.month == month]
        mine.sort(key=lambda row: row.at)
        return {row.metric: row for row in mine}

    features(day(6, 10), ())
    said = job.run(line)
    assert f"expected {measured(6, 'expected')['rmse'].value:.3f} of 2024-06-01" in said, said
    before = {name: measured(6, "expected")[name] for name in ("rmse", "mae", "bias")}
    assert before["rmse"].assumption is None
    assert before["rmse"].value > then * 1.08  # by the truth: half a unit more, of five
    off = later[6][0] - later[6][1]
    truth = {"rmse": np.sqrt(np.mean(off**2)), "mae": np.mean(abs(off)), "bias": np.mean(off)}
    for name, each in truth.items():
        assert before[name].low <= each <= before[name].high, name

    features(day(9, 10), (6,))
    job.run(line)
    came = measured(6, "real")
    assert came["rmse"].value == pytest.approx(truth["rmse"])
    assert came["mae"].value == pytest.approx(truth["mae"])
    assert came["rmse"].assumption is True

    features(day(10, 10), (6, 7))
    said = job.run(line)
    assert "labels are not what its scores promised" in said, said
    assert ", not to be trusted" in said
    assert measured(7, "real")["rmse"].assumption is False
    assert measured(7, "real")["rmse"].detail.startswith("concept drift: ")
    assert "bias " in measured(7, "real")["rmse"].detail
