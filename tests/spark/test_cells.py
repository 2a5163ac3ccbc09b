"""How files are cut into cells: by columns, whatever these are called, and not into too many."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from tests.data_files import remove_data

from driftline import delta_files, schemas
from driftline.errors import Missing, Refused
from driftline.jobs import drift, profile, profiling
from driftline.jobs.sides import Asked
from driftline.problem import load_problem

MAPPED = {"delta.columnMapping.mode": "name"}


@pytest.fixture
def line(open_line, tmp_path, repository):
    problem = load_problem(repository / "conf" / "churn.yaml")
    return open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")


def write(
    spark, folder: str, rows: int, *, off: str = "region = 'none'", start: int = 0, **options
) -> None:
    """``x`` of 0 to 9 in three regions; a hundred more where it is off."""
    frame = spark.range(start, start + rows, 1, 1)
    frame = frame.withColumn("region", F.concat(F.lit("r"), F.col("id") % 3))
    frame = frame.withColumn("x", F.expr(f"id % 10 + IF({off}, 100.0, 0.0)"))
    frame.write.format("delta").mode("append").options(**options).save(folder)


def slices(line, version: int) -> dict[str, float]:
    """KS of ``x`` in each slice."""
    rows = line.tables.read(schemas.DRIFT.full_name).where(F.col("to_version") == version)
    return {
        row.slice: row.value for row in rows.where("column = 'x' AND statistic = 'ks'").collect()
    }


def test_a_segment_that_was_renamed(spark, line, tmp_path) -> None:
    """Files of before are cut by what the column is now called, also those of both sides."""
    folder = str(tmp_path / "t")
    write(spark, folder, 300, **MAPPED)
    write(spark, folder, 300, off="region = 'r1'")
    spark.sql(f"ALTER TABLE delta.`{folder}` RENAME COLUMN region TO area")
    profile.run(line, table=folder, history=True)
    drift.run(line, table=folder, asked=Asked("0", "2", by="area"))
    remove_data(folder)
    added = "added since 0"
    assert slices(line, 2) == {added: pytest.approx(1 / 3)} | {
        f"{added}, area={area}": float(area == "r1") for area in ("r0", "r1", "r2")
    }
    with pytest.raises(Missing, match="has no column region"):
        drift.run(line, table=folder, asked=Asked("0", "2", by="region"))
    rows = line.tables.read(schemas.PROFILES.full_name).where("column = '*' AND segments <> '[]'")
    assert sorted(row["rows"] for row in rows.collect()) == [100] * 6


def test_too_many_values_are_refused_before_they_are_kept(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 5000)
    write(spark, folder, 5000)
    profile.run(line, table=folder)
    kept = line.tables.version(schemas.PROFILES.full_name)
    with pytest.raises(Refused, match=r"about \d,\d{3} different values of id, .* at most 1,000"):
        drift.run(line, table=folder, asked=Asked("0", "1", by="id"))
    assert line.tables.version(schemas.PROFILES.full_name) == kept


def test_a_column_that_is_called_as_our_as_ofs(spark, line, tmp_path) -> None:
    """It is one like others: may come later, have any number of values, and be compared by."""
    folder = str(tmp_path / "t")
    for more in ({}, {"as_of": F.col("id")}):
        frame = spark.range(0, 2000, 1, 1).withColumns({"x": F.col("id") % 10, **more})
        writer = frame.write.format("delta").mode("append")
        writer.option("mergeSchema", "true").save(folder)
    profile.run(line, table=folder)
    said = drift.run(line, table=folder, asked=Asked("0", "1"))
    assert said.startswith(f"{folder} 0 → 1 (added since 0): ")
    with pytest.raises(Refused, match="different values of as_of"):
        drift.run(line, table=folder, asked=Asked("0", "1", by="as_of"))


def test_a_table_that_is_partitioned_by_another_column(spark, line, tmp_path) -> None:
    """Each file has the partition that it was written to, whatever the newest version has."""
    folder = str(tmp_path / "t")
    for by in ("region", "x"):
        frame = spark.range(60).selectExpr("id", "concat('r', id % 3) region", "id % 2 x")
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.partitionBy(by).save(folder)
    profile.run(line, table=folder, history=True)
    remove_data(folder)
    commits = line.tables.commits(folder, since=0, until=1)
    for number in (0, 1):
        version = delta_files.version(commits, number)
        with line.ledger.run("drift") as ledger:
            wanted = profiling.wanted(folder, version, version.files)
            known = profiling.profiles(line, ledger, [wanted])
        found = profiling.of(version.files, wanted.fields, known, table=folder)
        assert found["region"].counts.values == {"r0": 20, "r1": 20, "r2": 20}
        assert found["x"].counts.values == {"0.0": 30, "1.0": 30}


def test_a_span_in_which_a_table_was_overwritten_by_others(spark, line, tmp_path) -> None:
    """Without a column that it had, apart by none, then with another type of one: its files are
    read as they were written, and tell of it later.
    """
    folder = str(tmp_path / "t")
    calm = spark.range(0, 60, 1, 1).selectExpr("id", "concat('r', id % 3) region", "id % 2 x")
    retyped = calm.selectExpr("concat('k', id) id", "region")
    options = {"overwriteSchema": "true"}
    calm.write.format("delta").partitionBy("region").save(folder)
    calm.write.format("delta").mode("append").save(folder)
    for frame in (calm.drop("x"), retyped):
        frame.write.format("delta").mode("overwrite").options(**options).save(folder)
    times = [each.at for each in line.tables.commits(folder, since=0, until=3)]
    for number, hours in enumerate((30, 2, 1, 0)):
        moment = (times[3] - timedelta(hours=hours)).timestamp()
        os.utime(Path(folder, "_delta_log", f"{number:020}.json"), (moment, moment))

    drift.run(line, table=folder, asked=Asked(window=timedelta(days=1)))
    remove_data(folder)
    rows = line.tables.read(schemas.DRIFT.full_name).collect()
    told = {(row.column, row.statistic): row for row in rows}
    assert told["*", "volume"].detail == "60 → 180 rows"
    assert told["id", "skipped"].detail == "bigint → bigint and string: no comparison"
    assert told["region", "total_variation"].value == 0.0
    assert told["region", "null_rate"].value == 0.0
    assert drift.run(line, table=folder, asked=Asked("0", "1")).endswith(": calm")
    rows = line.tables.read(schemas.DRIFT.full_name).where("to_version = 1").collect()
    told = {(row.column, row.statistic): row for row in rows}
    assert {told[name, "null_rate"].value for name in ("x", "id", "region")} == {0.0}
    assert told["x", "total_variation"].value == 0.0


def test_profiles_that_were_lost_are_made_again(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 10)
    for _ in range(2):
        assert profile.run(line, table=folder).endswith("1 of 1 files have a profile")
        spark.sql(f"DELETE FROM delta.`{line.tables.path(schemas.PROFILES.full_name)}`")


def test_two_at_once_where_nothing_can_be_locked(spark, line, tmp_path, monkeypatch) -> None:
    """As on HDFS: another one makes the same profiles between the look for them and the write."""
    folder = str(tmp_path / "t")
    write(spark, folder, 10)
    commits = line.tables.commits(folder, since=0, until=0)
    version = delta_files.version(commits, 0)
    wanted = [profiling.wanted(folder, version, version.files)]
    look = profiling._there

    def late(line, lacking):
        monkeypatch.setattr(profiling, "_there", look)
        profiling.profiles(line, ledger, wanted)
        return look(line, lacking)

    monkeypatch.setattr(profiling, "_there", late)
    with line.ledger.run("profile") as ledger:
        known = profiling.profiles(line, ledger, wanted)
    rows = line.tables.read(schemas.PROFILES.full_name).where("column = '*'").collect()
    assert [row["rows"] for row in rows] == [10]
    assert len(known) == 1


def test_a_column_that_was_dropped_when_its_file_was_profiled(spark, line, tmp_path) -> None:
    """A version that still has it is what the file is read by, whatever else wants the file."""
    folder = str(tmp_path / "t")
    write(spark, folder, 30, **MAPPED)
    for change in ("DROP COLUMN region", "ADD COLUMN (more int)"):
        spark.sql(f"ALTER TABLE delta.`{folder}` {change}")
    profile.run(line, table=folder)
    newest = line.tables.version(folder)
    commits = line.tables.commits(folder, since=0, until=newest)
    versions = [delta_files.version(commits, number) for number in (newest, 0)]
    wanted = [profiling.wanted(folder, each, each.files) for each in versions]
    for _ in range(2):
        with line.ledger.run("drift") as ledger:
            known = profiling.profiles(line, ledger, wanted)
    new, old = (profiling.of(each.files, each.fields, known, table=folder) for each in wanted)
    assert (old["region"].rows, old["region"].nulls) == (30, 0)
    assert (new["more"].rows, new["more"].nulls) == (30, 30)
    assert ledger.status == "unchanged"  # the second time


def test_columns_that_are_called_as_nobody_would(spark, line, tmp_path) -> None:
    """One is Spark's own name of where a row is from."""
    folder = str(tmp_path / "t")
    for off in (0, 100):
        rows = spark.range(0, 300, 1, 1).selectExpr(
            "concat('r', id % 3) AS `re``gion`", f"id % 10 + {off}.0 AS _metadata", "id AS `a.b`"
        )
        rows.write.format("delta").mode("append").save(folder)
    said = drift.run(line, table=folder, asked=Asked("0", "1", by="re`gion"))
    assert "1 of 3 columns drifted: _metadata (" in said
    segments, _, _ = said.partition(", also in ")[2].partition(")")
    assert set(segments.split(", ")) == {f"re`gion=r{number}" for number in range(3)}


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_a_value_that_python_takes_for_the_end_of_a_line(spark, line, tmp_path, mark: str) -> None:
    """Delta writes it as it is into the statistics of a file, one JSON a line."""
    folder = str(tmp_path / "t")
    spark.createDataFrame([(f"{mark}x",)], "word string").write.format("delta").save(folder)
    assert mark in (Path(folder) / "_delta_log" / f"{0:020}.json").read_text("utf-8")
    assert profile.run(line, table=folder).endswith("1 of 1 files have a profile")


def test_a_table_called_by_its_folder_in_other_ways(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    write(spark, folder, 10)
    said = [profile.run(line, table=each) for each in (folder, f"{folder}/", f"file://{folder}")]
    assert said == [f"{folder}: 1 of 1 files have a profile"] * 3


def test_cells_of_deliveries_and_segments_together_are_few(
    spark, line, tmp_path, monkeypatch
) -> None:
    """Of a file that both would cut into too many, the deliveries are not told apart."""
    monkeypatch.setattr(profiling, "_CELLS", 8)
    folder = str(tmp_path / "t")
    told = {}
    for deliveries in (2, 3):
        rows = spark.range(0, 120, 1, 1).selectExpr(
            f"CAST(id div 4 % {deliveries} AS STRING) AS _delivery", "concat('k', id % 4) AS kind"
        )
        rows.write.format("delta").mode("append").save(folder)
        commit = line.tables.commits(folder, since=0, until=line.tables.version(folder))[-1]
        with line.ledger.run("drift") as ledger:
            wanted = profiling.Wanted(folder, commit.number, commit.schema, commit.added)
            known = profiling.profiles(line, ledger, [wanted], segments=("kind",))
        [found] = known.values()
        told[deliveries] = [(len(cell), cell[profiling.DELIVERY]) for cell, _ in found.cells]
    assert sorted(told[2]) == [(2, "0")] * 4 + [(2, "1")] * 4
    assert told[3] == [(2, None)] * 4


def test_a_segment_that_was_dropped_when_its_file_was_profiled(spark, line, tmp_path) -> None:
    """What rows have there cannot be told by that version; asked by one that can, none is counted
    twice.
    """
    folder = str(tmp_path / "t")
    write(spark, folder, 30, **MAPPED)
    write(spark, folder, 60, start=100)
    spark.sql(f"ALTER TABLE delta.`{folder}` DROP COLUMN region")
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE id < 100")
    newest = line.tables.version(folder)
    commits = line.tables.commits(folder, since=0, until=newest)
    assert len(delta_files.version(commits, newest).files) == 1
    drift.run(line, table=folder, asked=Asked(str(newest), "0", by="region"))
    drift.run(line, table=folder, asked=Asked("0", "1", by="region"))
    rows = line.tables.read(schemas.DRIFT.full_name).where("statistic = 'volume'").collect()
    told = {(row.to_version, row.slice.partition(", ")[2]): row.detail for row in rows}
    by = {f"region=r{n}" for n in range(3)}
    assert told[1, ""] == "60 rows added to 30"
    assert {told[1, each] for each in by} == {"20 rows added to 10"}
    assert {told[0, each] for each in by} == {"0 → 10 rows"}


@pytest.mark.parametrize(("column", "type_"), [("raw", "binary"), ("tags", "map<string,int>")])
def test_what_rows_cannot_be_told_apart_by_is_refused_before_it_is_kept(
    spark, line, tmp_path, column, type_
) -> None:
    folder = str(tmp_path / "t")
    for _ in range(2):
        rows = spark.range(0, 4, 1, 1).selectExpr("id", "X'FF' AS raw", "map('a', 1) AS tags")
        rows.write.format("delta").mode("append").save(folder)
    profile.run(line, table=folder)
    kept = line.tables.version(schemas.PROFILES.full_name)
    with pytest.raises(Missing, match=rf"{column} of .* is {type_}: rows cannot be told apart"):
        drift.run(line, table=folder, asked=Asked("0", "1", by=column))
    assert line.tables.version(schemas.PROFILES.full_name) == kept


def test_a_segment_that_is_no_text_is_read_as_one(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    for _ in range(2):
        rows = spark.range(0, 40, 1, 1).selectExpr("id", "CAST(X'41FF' AS STRING) AS kind")
        rows.write.format("delta").mode("append").save(folder)
    drift.run(line, table=folder, asked=Asked("0", "1", by="kind"))
    rows = line.tables.read(schemas.DRIFT.full_name).where("statistic = 'volume'").collect()
    assert {row.slice for row in rows} == {"added since 0", "added since 0, kind=A\ufffd"}


def test_profiles_of_before_it_was_kept_when_files_were_written(spark, line, tmp_path) -> None:
    folder, books = str(tmp_path / "t"), line.tables.path(schemas.PROFILES.full_name)
    write(spark, folder, 10)
    old = [each for each in schemas.PROFILES.columns if each.name not in ("modified", "version")]
    columns = ", ".join(f"`{each.name}` {each.type}" for each in old)
    spark.sql(f"CREATE TABLE delta.`{books}` ({columns}) USING delta")
    profile.run(line, table=folder)
    spark.sql(f"UPDATE delta.`{books}` SET modified = NULL, version = NULL")
    remove_data(folder)
    assert profile.run(line, table=folder).endswith("1 of 1 files have a profile")
    assert drift.run(line, table=folder).endswith("version 0 is the reference itself")
