"""Tables with as-ofs are compared at the newest one: of any number, and whatever came later."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pyspark.sql import Row
from pyspark.sql import functions as F
from tests.data_files import remove_data

from driftline import schemas
from driftline.errors import Missing, Refused
from driftline.jobs import drift, profile, profiling
from driftline.jobs.sides import Asked
from driftline.problem import load_problem
from driftline.schemas import Table

FEATURES, PREDICTIONS = "gold.features", "gold.predictions"


@pytest.fixture
def line(open_line, tmp_path, repository):
    problem = load_problem(repository / "conf" / "churn.yaml")
    return open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")


def by(line, **segments: list[str]):
    """The line with declared segments, of tables of the gold layer."""
    declared = {f"gold.{name}": tuple(columns) for name, columns in segments.items()}
    rule = line.problem.drift.model_copy(update={"segments": declared})
    return replace(line, problem=line.problem.model_copy(update={"drift": rule}))


def write(spark, line, table: str, rows: str, mode: str = "append", **columns: str) -> None:
    """One file with the as-ofs and numbers of rows of a query with a ``day`` and ``n``."""
    made = spark.sql(f"SELECT *, explode(sequence(1, n)) AS i FROM ({rows})").selectExpr(
        "CAST(i AS STRING) AS entity",
        "TIMESTAMP '2023-01-01' + make_dt_interval(day) AS as_of",
        *(f"{said} AS {name}" for name, said in columns.items()),
    )
    writer = made.coalesce(1).write.format("delta").mode(mode)
    writer.save(line.tables.path(table))


def predicted(spark, line, table: Table, day: int, model: int, score: int) -> None:
    """What the job ``score`` writes of 200 entities."""
    rows = spark.range(0, 200, 1, 1).selectExpr(
        "CAST(id AS STRING) AS entity",
        f"TIMESTAMP '2023-01-01' + make_dt_interval({day}) AS as_of",
        f"DOUBLE(id % 10 + {score}) AS score",
        "DOUBLE(0) AS prediction",
        "CAST(NULL AS array<string>) AS reasons",
        f"{model} AS model_version",
        "BIGINT(1) AS features_version",
        "'p' AS problem",
        "'r' AS run_id",
    )
    line.tables.append(rows, table, key=None, noted={"model_version": model})


def found(line, table: str, statistic: str) -> list[Row]:
    rows = line.tables.read(schemas.DRIFT.full_name).where(F.col("table") == table)
    return rows.where(F.col("statistic") == statistic).collect()


def volumes(line) -> dict[tuple[int, int, str], str]:
    rows = line.tables.read(schemas.DRIFT.full_name).where("statistic = 'volume'").collect()
    return {(row.from_version, row.to_version, row.slice): row.detail for row in rows}


def test_any_number_of_as_ofs_is_two_cells(spark, line) -> None:
    """Also with values of a declared segment: of each, the newest as-of and all before."""
    line = by(line, features=["country"])
    for days, x in ((1001, "i % 7"), (1002, "IF(day = 1001, 100, 0) + i % 7")):
        countries = "concat('c', i % 3)"
        rows = f"SELECT id AS day, 30 AS n FROM range({days})"
        write(spark, line, FEATURES, rows, "overwrite", x=f"DOUBLE({x})", country=countries)
    profile.run(line, table=FEATURES)
    said = drift.run(line, table=FEATURES, asked=Asked("0", "1"))
    assert said.startswith(f"{FEATURES} 0 → 1 (newest as-of): 1 of 3 columns drifted: x (")
    assert "also in country=c0, country=c1, country=c2" in said
    rows = line.tables.read(schemas.PROFILES.full_name).where("column = '*'").collect()
    assert sorted(row["rows"] for row in rows) == [10] * 6 + [10_000] * 3 + [10_010] * 3
    assert len({(row.file, tuple(sorted(row.cell.items(), key=str))) for row in rows}) == 12


def test_a_files_newest_as_of_stays_what_it_was(spark, line) -> None:
    """Files of several as-ofs, one of late rows, one with newer ones: each is cut once, and tells
    of every version that has it.
    """
    for rows in ("VALUES (1, 10), (2, 20)", "VALUES (2, 5)", "VALUES (1, 7), (3, 40)"):
        write(spark, line, FEATURES, f"SELECT * FROM ({rows}) AS t(day, n)", x="i % 5")
        profile.run(line, table=FEATURES)
    remove_data(line.tables.path(FEATURES))
    for first, last in ((0, 1), (1, 2), (2, 0)):
        drift.run(line, table=FEATURES, asked=Asked(str(first), str(last)))
    assert volumes(line) == {
        (0, 1, "newest as-of"): "20 → 25 rows",
        (1, 2, "newest as-of"): "25 → 40 rows",
        (2, 0, "newest as-of"): "40 → 20 rows",
    }
    books = line.tables.read(schemas.PROFILES.full_name).where("column = '*'")
    assert sorted(row["rows"] for row in books.collect()) == [5, 7, 10, 20, 40]


def test_a_window_has_all_as_ofs(spark, line) -> None:
    """Of what was written in a span every row is compared, and each as-of where it is asked for."""
    for rows, x in (("VALUES (1, 40), (2, 80)", "i % 5"), ("VALUES (1, 60), (2, 90)", "9 + i % 5")):
        write(spark, line, FEATURES, f"SELECT * FROM ({rows}) AS t(day, n)", x=x)
    log, now = Path(line.tables.path(FEATURES), "_delta_log"), datetime.now(timezone.utc)
    early = (now - timedelta(days=1.5)).timestamp()
    os.utime(log / f"{0:020}.json", (early, early))
    profile.run(line, table=FEATURES)
    drift.run(line, table=FEATURES, asked=Asked(window=timedelta(days=1)))
    drift.run(line, table=FEATURES, asked=Asked(window=timedelta(days=1), by="as_of"))
    found = {slice_.partition(", ")[2]: said for (_, _, slice_), said in volumes(line).items()}
    assert found == {
        "": "120 → 150 rows",
        "as_of=2023-01-02 00:00:00": "40 → 60 rows",
        "as_of=2023-01-03 00:00:00": "80 → 90 rows",
    }
    kinds = {row.kind for row in line.tables.read(schemas.CAUSES.full_name).collect()}
    assert kinds == {"commit", "as_of"}


def test_predictions_are_those_of_the_model_that_scored_last(spark, line) -> None:
    """Against what it said first, and not against what others said of the same data: two models
    have predictions of the second as-of, and one file. The reference of shadow tables is such, too.
    """
    for table in (schemas.PREDICTIONS, schemas.SHADOW):
        name = table.full_name
        days = ((1, 1, 0), (2, 1, 0), (2, 2, 50), (3, 2, 50), (2, 1, 0), (4, 2, 90), (4, 1, 0))
        for number, (day, model, score) in enumerate(days, 1):
            predicted(spark, line, table, day, model, score)
            if number == 4:
                spark.sql(f"OPTIMIZE delta.`{line.tables.path(name)}`")
        told = [drift.run(line, table=name, asked=Asked(last=str(last))) for last in range(2, 9)]
        how = "newest as-of; no champion was trained on it"
        assert told[:5] == [
            f"{name} 1 → 2 ({how}): calm",
            f"{name}: nothing to compare, version 3 is the reference itself",
            f"{name} 3 → 4 ({how}): calm",
            f"{name} 3 → 5 ({how}): calm",  # optimized
            f"{name} 1 → 6 ({how}): calm",  # late ones of a day that the other is beyond
        ]
        assert told[5].startswith(f"{name} 3 → 7 ({how}): 1 of 3 columns drifted: score (")
        assert told[6] == f"{name} 1 → 8 ({how}): calm"  # back to the first one
        rows = {row.to_version: row.detail for row in found(line, name, "volume")}
        assert rows == dict.fromkeys((2, 4, 5, 7, 8), "200 → 200 rows") | {6: "200 → 400 rows"}
        said = drift.run(line, table=name, asked=Asked("2", "5"))
        how = "newest as-of; of model version 2 against those of 1"
        assert said.startswith(f"{name} 2 → 5 ({how}): 1 of 3 columns drifted: score (")
        with pytest.raises(Missing, match="compared at its newest as-of"):
            drift.run(line, table=name, asked=Asked(by="model_version"))


def test_a_segment_of_too_many_values_is_left_out_and_said(spark, line, monkeypatch) -> None:
    """A turn goes on to what comes after drift; what was asked for by name is refused."""
    monkeypatch.setattr(profiling, "_CELLS", 30)
    line = by(line, features=["shop", "half"], predictions=["half"])
    columns = {"shop": "concat('s', i)", "half": "concat('h', i % 2)"}
    for table in (FEATURES, PREDICTIONS):
        for x in ("i % 5", "100 + i % 5"):
            write(spark, line, table, "SELECT 1 AS day, 90 AS n", "overwrite", x=x, **columns)
    said = dict(part.split(" ", 1) for part in drift.run(line).split("; gold."))
    features = said["features"]
    assert "x (" in features and "half=h0" not in features
    assert "; of shop a file has about 9" in features and "of half a file has" in features
    assert features.count("no value is compared by itself") == 2
    assert "half=h0" in said["predictions"]
    with pytest.raises(Refused, match="different values of entity,"):
        drift.run(line, table=FEATURES, asked=Asked(by="entity"))
