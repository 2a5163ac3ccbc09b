"""Train-serve skew: a feature that is made otherwise where it is asked about is named."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyspark.sql import functions as F

from driftline import schemas
from driftline.certificate import Evidence
from driftline.jobs import exposing
from driftline.jobs import monitor as job
from driftline.prepare import Numeric, Preparation
from driftline.problem import load_problem
from driftline.registry import Registry

PROJECT = Path(__file__).parents[2]
PEOPLE = 400
REQUESTS = """
  requests:
    path: requests/*.ndjson
    format: ndjson
    time: time
    columns:
      time: {type: timestamp, comment: When}
      customer_id: {type: string, comment: Who}
      spend_90d: {type: double, comment: Feature}
      orders_90d: {type: double, comment: Feature}
      country: {type: string, comment: Feature}
"""


def day(month: int, of: int = 1) -> datetime:
    return datetime(2024, month, of, tzinfo=timezone.utc)


class Line:
    """Features of the same customers at six cut-offs, all drawn alike; the first four have labels.

    By time the first two train, one validates, one tests; the newest is scored.
    """

    def __init__(self, line) -> None:
        self.line = line
        self.models = Registry(line.environment.mlflow, "churn")
        self.table = schemas.features(line.problem)
        self.country = np.array(["AT", "DE", "FR"])

    def features(self, until: datetime, changed: dict[str, str] | None = None) -> int:
        """A version of gold.features; at its newest cut-off columns are as ``changed`` says."""
        random = np.random.default_rng(7)
        rows = []
        for place, month in enumerate(range(5, 11)):
            spend = random.lognormal(4.0, 0.7, PEOPLE)
            orders = random.poisson(3.0, PEOPLE)
            age = random.normal(45, 12, PEOPLE).round()
            where = random.choice(self.country, PEOPLE, p=[0.2, 0.5, 0.3])
            for n in range(PEOPLE):
                label = float(n % 2) if place < 4 else None
                some = (float(spend[n]), float(orders[n]), int(age[n]), str(where[n]))
                rows.append((f"c{n}", day(month), label, *some))
        frame = self.line.spark.createDataFrame(
            rows,
            "customer_id string, as_of timestamp, label double, spend_90d double, "
            "orders_90d double, age bigint, country string",
        )
        newest = F.col("as_of") == F.lit(day(10))
        for name, value in (changed or {}).items():
            frame = frame.withColumn(name, F.when(newest, F.expr(value)).otherwise(F.col(name)))
        for column in self.table.columns:
            if column.name not in frame.columns:
                frame = frame.selectExpr("*", f"CAST(NULL AS {column.type}) AS `{column.name}`")
        noted = Evidence(until, "event", 30, ()).to_json()
        key = str((until, changed))
        frame = frame.select(*self.table.column_names)
        made = self.line.tables.overwrite(frame, self.table, key=key, made_from={}, noted=noted)
        return made.version

    def champion(self, features: int) -> int:
        preparation = Preparation((Numeric("spend_90d", 45.0, 0.0, 90.0, 0.0, 90.0),), ())
        told = self.line.problem.model_dump_json(by_alias=True).encode()
        version = self.models.record(
            preparation.transformer(),
            trials=[],
            metrics={},
            tags={
                "tables": json.dumps({"gold.features": features}),
                "watermark": day(10).isoformat(),
            },
            files=lambda _: {"problem.json": told},
        )
        self.models.judge(version, passed=True)
        self.models.promote(version)
        weights = {"spend_90d": 0.06, "orders_90d": 0.03, "age": 0.01, "country": 0.0}
        points = [
            (version.number, "permutation", name, 0.0, worth, 100, "")
            for name, worth in weights.items()
        ]
        points += [(version.number, "calibration", None, x, x, 100, "") for x in (0.1, 0.9)]
        self.line.tables.append_values(points, schemas.CURVES, key=None)
        return version.number

    def scored(self, number: int, features: int) -> None:
        rows = [(f"c{n}", day(10), 0.5, 1.0, [], number, features, "", "") for n in range(PEOPLE)]
        self.line.tables.append_values(rows, schemas.PREDICTIONS, key=None)

    def rows(self, table: str) -> list:
        return self.line.tables.read(table).collect()


@pytest.fixture
def place(open_line, tmp_path) -> Line:
    conf = tmp_path / "conf"
    conf.mkdir()
    text = (PROJECT / "conf" / "churn.yaml").read_text("utf-8")
    problem = yaml.safe_load(text)
    problem["sources"] |= yaml.safe_load(REQUESTS)
    problem["monitor"] = {"requests": "requests"}
    (conf / "churn.yaml").write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    opened = open_line(
        load_problem(conf / "churn.yaml"), data=tmp_path, warehouse=tmp_path / "warehouse"
    )
    return Line(opened)


@pytest.mark.slow  # five runs of the job
def test_what_is_made_otherwise_is_named_and_nothing_else(place) -> None:
    line = place.line
    first = place.features(day(10))
    one = place.champion(first)
    place.scored(one, first)
    said = job.run(line)
    assert "skew" not in said, said
    found = place.rows("ops.skew")
    assert {row.table for row in found} == {"gold.features"}
    assert {row.column.partition(":")[0] for row in found if row.value} <= {
        *("spend_90d", "orders_90d", "age", "country")
    }
    assert not any(row.skewed for row in found)
    # Exactly the rows of the two cut-offs that train, and those that were scored.
    assert {(row.trained, row.rows) for row in found} == {(2 * PEOPLE, PEOPLE)}
    (made,) = place.rows("ops.decisions")
    assert (made.action, made.skew, made.skewed) == ("keep", 0.0, [])

    # Nothing is read again: neither the training rows nor what was scored.
    profiles, skew = (line.tables.version(name) for name in ("ops.profiles", "ops.skew"))
    job.run(line)
    assert line.tables.version("ops.profiles") == profiles
    assert line.tables.version("ops.skew") == skew

    # Cents instead of euros, and an attribute that nobody delivers any more: in scored rows only.
    changed = {"spend_90d": "spend_90d * 100", "age": "CAST(NULL AS BIGINT)"}
    second = place.features(day(10, 2), changed)
    place.scored(one, second)
    line.tables.delete(
        "gold.predictions",
        matching=line.tables.read("gold.predictions").where(f"features_version = {first}"),
    )
    said = job.run(line)
    told = "skew in 2 features of the rows scored as of 2024-10-01: age (missing), spend_90d ("
    assert told in said, said
    newest = [row for row in place.rows("ops.skew") if row.as_of.day == 2]
    assert {row.column for row in newest if row.skewed} == {"spend_90d", "age"}
    (missing,) = [row for row in newest if row.statistic == "missing"]
    assert missing.detail == "no value in 400 rows; in training 100.0% had one"
    made = max(place.rows("ops.decisions"), key=lambda row: row.at)
    assert made.skew == pytest.approx(0.7)
    assert sorted(made.skewed) == ["age", "spend_90d"]
    assert (made.action, made.causes) == ("watch", ["skew"])
    assert "features that matter to it are not as in the rows it learnt from" in made.why
    assert line.tables.version("ops.profiles") == profiles  # what trained is profiled once, ever
    told = exposing.text(line)
    assert 'driftline_feature_skewed{feature="age",problem="churn"} 1.0' in told
    assert 'driftline_skew_share{problem="churn"} 0.7' in told
    assert 'driftline_cause{cause="skew",problem="churn"} 1.0' in told

    # As of the day before, only what was known then.
    said = job.run(line, as_of=day(10, 1))
    assert "skew unknown" not in said

    # What an application sends: country is sent in three letters, age not at all.
    random = np.random.default_rng(3)
    at = day(10, 2) - timedelta(hours=5)
    sent = [
        (at - timedelta(hours=n), f"c{n}", float(random.lognormal(4.0, 0.7)),
         float(random.poisson(3.0)), "DEU" if n % 2 else "AUT")
        for n in range(300)
    ]  # fmt: skip
    sent.append((day(8), "old", 1e9, 1e9, "DE"))  # asked long ago
    silver = schemas.silver(line.problem, "requests")
    rows = line.spark.createDataFrame(
        sent,
        "time timestamp, customer_id string, spend_90d double, orders_90d double, country string",
    )
    for column in silver.columns:
        if column.name not in rows.columns:
            rows = rows.withColumn(column.name, F.lit(None).cast(column.type))
    line.tables.append(rows, silver, key="requests")
    said = job.run(line)
    assert "skew in 2 features of the requests from 2024-09-02 to 2024-10-02: age (missing)" in said
    mine = [row for row in place.rows("ops.skew") if row.table == "silver.requests"]
    assert {row.column for row in mine if row.skewed} == {"age", "country", "country:length"}
    assert {row.rows for row in mine} == {300}
    # New requests are a new state: it is decided again, of the same day.
    made = max(place.rows("ops.decisions"), key=lambda row: row.at)
    assert (made.as_of.day, sorted(made.skewed)) == (2, ["age", "country", "spend_90d"])
    decided = len(place.rows("ops.decisions"))
    job.run(line)
    assert len(place.rows("ops.decisions")) == decided


@pytest.mark.slow  # two runs of the job
def test_what_cannot_be_told_is_said(place) -> None:
    line = place.line
    first = place.features(day(10))
    one = place.champion(first)
    place.scored(one, first)
    other = line.problem.model_copy(
        update={"train": line.problem.train.model_copy(update={"seed": 8})}
    )
    changed = type(line)(other, *(getattr(line, each) for each in _FIELDS))
    said = job.run(changed)
    assert "skew unknown: the problem file does not say which rows trained version 1" in said, said
    assert not line.tables.exists("ops.skew")
    made = max(place.rows("ops.decisions"), key=lambda row: row.at)
    assert made.skew is None


_FIELDS = ("environment", "root", "spark", "tables", "ledger")
