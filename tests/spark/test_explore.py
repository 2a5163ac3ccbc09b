"""Exploring a table: exact where it can be, two scans for all columns, and said in words."""

from __future__ import annotations

import json
import random

import pytest

from driftline.errors import Missing, Refused
from driftline.jobs import explore
from driftline.problem import load_problem
from driftline.schemas import Column, Table

ROWS = 2_000
THINGS = Table(
    "silver",
    "things",
    "Things, to be explored",
    (
        Column("id", "string", "All different"),
        Column("x", "double", "Tells the label"),
        Column("kind", "string", "One of three"),
        Column("far", "bigint", "0 to 99, and 20 far away"),
        Column("label", "double", "0 or 1"),
    ),
)


@pytest.fixture(scope="module")
def things() -> list[tuple]:
    draw = random.Random(2)
    made = []
    for place in range(ROWS):
        label = float(draw.random() < 0.4)
        x = None if place % 10 == 0 else label + draw.gauss(0, 1)
        far = 10_000 if place % 100 == 1 else place % 100
        made.append((f"n{place}", x, draw.choice("aab"), far, label))
    return made


def test_a_table_is_explored_once_by_two_scans(
    open_line, repository, tmp_path, spark, things
) -> None:
    line = open_line(
        load_problem(repository / "conf" / "churn.yaml"), data=tmp_path, warehouse=tmp_path
    )
    line.tables.append(spark.createDataFrame(things, THINGS.ddl), THINGS, key="a")
    said = explore.run(line, table="silver.things")
    assert said.startswith("silver.things version 1: 2,000 rows, 5 columns")
    assert "suspicious: id, an id: all different" in said
    rows = line.tables.read("ops.exploration").collect()
    found = {(row.column, row.statistic): row.value for row in rows if row.other is None}
    numbers = sorted(row[3] for row in things)
    exact = {
        ("id", "distinct"): pytest.approx(ROWS, rel=0.03),
        ("x", "nulls"): 200,
        ("kind", "distinct"): 2,
        ("far", "min"): 0,
        ("far", "max"): 10_000,
        ("far", "mean"): pytest.approx(sum(numbers) / ROWS),
        ("far", "q50"): pytest.approx(numbers[ROWS // 2], abs=1),
        ("far", "outliers"): pytest.approx(0.01, abs=1e-9),
        ("label", "distinct"): 2,
    }
    assert {key: found[key] for key in exact} == exact
    details = {(row.column, row.statistic): row.detail for row in rows}
    assert json.loads(details["kind", "top"])["a"] == sum(row[2] == "a" for row in things)
    shares = json.loads(details["far", "histogram"])["shares"]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    tells = {row.column: row.value for row in rows if row.statistic == "tells"}
    assert 0.7 < tells["x"] < 0.85
    assert {row.column for row in rows if row.statistic == "suspicious"} == {"id"}
    assert "explored already" in explore.run(line, table="silver.things")
    runs = line.tables.read("ops.runs").where("stage = 'explore'").orderBy("started_at").collect()
    assert [row.status for row in runs] == ["done", "unchanged"]
    # A scan of all rows, a sample, and Delta's own reading of its log.
    assert runs[0].jobs <= 12
    with pytest.raises(Missing, match="no column labl"):
        explore.run(line, table="silver.things", label="labl")
    with pytest.raises(Refused, match="kind is string: a label is a number"):
        explore.run(line, table="silver.things", label="kind")
