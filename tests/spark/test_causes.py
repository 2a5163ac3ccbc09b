"""Where drift comes from: the delivery that moved a column, from profiles alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from pyspark.sql import functions as F
from tests.data_files import remove_data

from driftline import schemas
from driftline.jobs import drift, ingest, profile, profiling, sides
from driftline.jobs.causes import causes
from driftline.jobs.sides import Asked
from driftline.problem import load_problem


@pytest.fixture
def line(open_line, tmp_path, repository):
    """A source of CSV files of an id, a time, and an amount; its table is ``bronze.purchases``."""
    told = yaml.safe_load((repository / "conf" / "cdnow.yaml").read_text("utf-8"))
    columns = {told["entity"]: {"type": "long", "from": "id"}, "at": "timestamp"}
    days = {"path": "days/*", "format": "csv", "time": "at", "settle": 0}
    told["sources"] = {"purchases": {**days, "columns": {**columns, "amount": "double"}}}
    told["label"]["source"] = "purchases"
    told["population"]["source"] = "purchases"
    count = {"name": "n", "source": "purchases", "operation": "count", "windows": ["30d"]}
    told |= {"features": [count]}
    told["drift"]["tables"] = ["bronze.purchases"]
    path = tmp_path / "conf" / "days.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    return open_line(load_problem(path), data=tmp_path, warehouse=tmp_path / "warehouse")


def deliver(line, name: str, *, amount: int = 0, rows: int = 200) -> None:
    folder = Path(line.environment.data, "days")
    folder.mkdir(exist_ok=True)
    lines = [f"{n},2024-01-01T10:00:{name[:2]},{n % 50 + amount}\n" for n in range(rows)]
    (folder / name).write_text("id,at,amount\n" + "".join(lines))


def test_a_delivery_among_others_of_its_commit(line) -> None:
    table = "bronze.purchases"
    for number in range(3):
        deliver(line, f"{number:02}.csv")
    ingest.run(line)
    before = line.tables.version(table)
    for number in range(3, 12):
        deliver(line, f"{number:02}.csv", amount=100 if number == 7 else 0)
    ingest.run(line)
    now = line.tables.version(table)
    assert now == before + 1  # nine of them in one commit
    profile.run(line, table=table, history=True)
    remove_data(line.tables.path(table))

    asked = Asked(str(before), str(now))
    assert drift.run(line, table=table, asked=asked).endswith("of amount from delivery days/07.csv")
    rows = line.tables.read(schemas.CAUSES.full_name).where("column = 'amount'").collect()
    found = {(row.kind, row.name): row for row in rows}
    moved = found["delivery", "days/07.csv"]
    assert (moved.share, moved.rows, moved.without) == (1.0, 200, 0.0)
    assert {name for kind, name in found if kind == "delivery"} <= {
        f"days/{number:02}.csv" for number in range(3, 12)
    }


def test_a_file_of_many_deliveries_is_not_cut(spark, line, tmp_path) -> None:
    """Profiles must not grow with deliveries that a table's files were compacted of."""
    folder = str(tmp_path / "t")
    for deliveries in (profiling._FEW, profiling._FEW + 1):
        rows = spark.range(0, 500, 1, 1).select("id", (F.col("id") % deliveries).alias("_delivery"))
        rows.withColumn("_delivery", F.col("_delivery").cast("string")).write.format("delta").mode(
            "append"
        ).save(folder)
    profile.run(line, table=folder)
    kept = line.tables.read(schemas.PROFILES.full_name).where("column = '*'")
    cells = {row.file: row for row in kept.groupBy("file").agg(F.count("*").alias("n")).collect()}
    assert sorted(row.n for row in cells.values()) == [1, profiling._FEW]
    assert kept.agg(F.sum("rows")).first()[0] == 1000
    profile.run(line, table=folder)  # once, ever
    assert line.tables.read(schemas.PROFILES.full_name).where("column = '*'").count() == 33


def test_a_segment_that_drifted_alone_has_its_causes(spark, line, tmp_path) -> None:
    """Of 4,000 rows a hundred are rare; those of the last commit are off."""
    folder = str(tmp_path / "t")
    for off in (0, 0, 5):
        rows = spark.range(0, 4000, 1, 1).select(
            F.expr("if(id % 40 = 0, 'rare', 'usual')").alias("kind"),
            F.expr(f"id * 48271 % 1000 / 1000 + if(id % 40 = 0, {off}, 0)").alias("x"),
        )
        rows.write.format("delta").mode("append").save(folder)
    said = drift.run(line, table=folder, asked=Asked("0", "2", by="kind"))
    drifted = " (added since 0): 1 of 2 columns drifted: x in kind=rare ("
    assert drifted in said
    assert said.endswith("); 100% of x (kind=rare) from commit 2")
    found = line.tables.read(schemas.CAUSES.full_name).collect()
    told = {(row.slice, row.column, row.kind, row.name): (row.share, row.rows) for row in found}
    assert told == {
        ("added since 0, kind=rare", "x", "commit", "2"): (1.0, 100),
        ("added since 0, kind=rare", "x", "commit", "1"): (0.0, 100),
    }
    # The daily case: the line says the one commit by its versions, the table by name.
    said = drift.run(line, table=folder, asked=Asked("1", "2", by="kind"))
    assert "2 columns drifted: x in kind=rare (" in said and "from commit" not in said
    [row] = line.tables.read(schemas.CAUSES.full_name).where("from_version = 1").collect()
    assert (row.name, row.share, row.without, row.rows) == ("2", 1.0, None, 100)


@pytest.mark.slow
def test_what_took_rows_away_is_named(spark, line, tmp_path) -> None:
    """A partition is deleted; then rows by deletion vectors; compaction in between took none."""
    folder = str(tmp_path / "t")
    for _ in range(2):
        rows = spark.range(0, 3000, 1, 1).select(
            F.expr("element_at(array('aaa', 'b c', 'ddd'), int(id % 3 + 1))").alias("kind"),
            ((F.col("id") * 48_271) % 1_000 / 1_000).alias("x"),
        )
        rows.write.format("delta").mode("append").partitionBy("kind").option(
            "delta.enableDeletionVectors", "true"
        ).save(folder)
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE kind = 'b c'")
    spark.sql(f"OPTIMIZE delta.`{folder}`")
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE x > 0.7")
    profile.run(line, table=folder, history=True)
    remove_data(folder)

    said = drift.run(line, table=folder, asked=Asked("1", "3"))
    assert said.startswith(f"{folder} 1 → 3 (whole): 1 of ")
    assert " columns drifted: kind (" in said and "); 100% of kind from commit 2 " in said
    drift.run(line, table=folder, asked=Asked("3", "4"))
    drift.run(line, table=folder, asked=Asked("0", "4"))
    found = line.tables.read(schemas.CAUSES.full_name).where("name LIKE '% files)'").collect()
    told = {(row.from_version, row.column): (row.name, row.share, row.without) for row in found}
    assert told[1, "kind"] == ("2 (removed files)", 1.0, 0.0)
    name, share, without = told[3, "x"]
    assert (name, without) == ("4 (replaced files)", pytest.approx(0, abs=0.03))  # of sketches
    assert share == pytest.approx(1, abs=0.1)
    # Compacted in between: what was deleted later was of the same files.
    assert {row.name for row in found if row.from_version == 0} == {
        "2 (removed files)",
        "1, 4 (replaced files)",
    }


@pytest.mark.slow
def test_the_planted_delivery_comes_first(spark, line, tmp_path) -> None:
    """Sixty commits of 4 to 20 deliveries, one of which has a fifth to a half of the rows and is
    off: by three deviations, or in half of its rows, which are null, or 40 % of a new category.
    """
    folder = str(tmp_path / "t")
    random = np.random.default_rng(8)
    planted = []
    rows = [_delivered(random, "calm", 4000, "")]
    for number in range(60):
        sizes = random.integers(100, 1000, size=int(random.integers(4, 20)))
        off, share = int(random.integers(len(sizes))), random.uniform(0.2, 0.5)
        sizes[off] = (sizes.sum() - sizes[off]) * share / (1 - share)
        kind = ["mean", "nulls", "category"][number % 3]
        planted.append((kind, f"{number}-{off}"))
        rows.append(
            [
                each
                for place, size in enumerate(sizes)
                for each in _delivered(
                    random, f"{number}-{place}", int(size), kind * (place == off)
                )
            ]
        )
    for each in rows:
        frame = spark.createDataFrame(each, "_delivery string, x double, kind string")
        frame.coalesce(1).write.format("delta").mode("append").save(folder)
    profile.run(line, table=folder, history=True)
    remove_data(folder)
    right = 0
    for number, (kind, delivery) in enumerate(planted, 1):
        whole = sides.pair(line, folder, Asked("0", "0"))
        pair = sides.pair(line, folder, Asked(str(number - 1), str(number)))
        pair = sides.Pair(whole.reference, pair.current, pair.commits)
        with line.ledger.run("drift") as ledger:
            wanted = [*pair.reference.wanted, *pair.current.wanted]
            known = profiling.profiles(line, ledger, wanted)
        statistics, profiles = drift.compared(line, pair, known)
        found = causes(line, pair, known, statistics, profiles[pair.reference])
        column = "kind" if kind == "category" else "x"
        first = next((c for c in found if (c.kind, c.column) == ("delivery", column)), None)
        right += first is not None and first.name == delivery
    assert right >= 57


def _delivered(random: np.random.Generator, name: str, rows: int, off: str) -> list[tuple]:
    x = random.normal(3.0 if off == "mean" else 0.0, 1, size=rows).tolist()
    gone = random.random(rows) < (0.5 if off == "nulls" else 0.02)
    shares = [0.4, 0.2, 0.4] if off == "category" else [0.6, 0.4, 0.0]
    kinds = random.choice(["a", "b", "new"], p=shares, size=rows).tolist()
    return [
        (name, None if null else value, kind)
        for value, null, kind in zip(x, gone, kinds, strict=True)
    ]
