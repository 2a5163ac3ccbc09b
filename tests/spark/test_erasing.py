"""What Spark finds of a person: in rejects' bytes, in what tables tell of columns, by a number."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from pyspark.sql import functions as F

from driftline import cli_models, erasure, pins, pseudonyms, rewriting, schemas
from driftline.errors import ConfError, Refused
from driftline.jobs import drift, erase, explore, ingest, validate
from driftline.jobs.sides import Asked
from driftline.problem import load_problem
from driftline.schema import Table
from driftline.serving.request_log import RequestLog


def rewritten(spark, table: Table, rows: list[dict[str, object]], words) -> list[dict]:
    """As the job rewrites a table; the fields that are said of rows, the others are null."""
    every = [tuple(row.get(name) for name in table.column_names) for row in rows]
    frame = spark.createDataFrame(every, table.ddl)
    here = erasure.describes(table.full_name, words)
    for_rows = {
        field: F.when(here, value).otherwise(F.col(f"`{field}`"))
        for field, value in erasure.changes(table.full_name, words).items()
    }
    changed = frame.withColumns(for_rows)
    if table.full_name in erasure.ALONE:
        changed = changed.where(f"NOT {erasure.ALONE[table.full_name]}")
    return [{name: row[name] for name in rows[0]} for row in changed.collect()]


def test_segments_and_causes_tell_no_words_either(spark) -> None:
    """As `drift --by agent` and `--by customer_id` leave them; `a` is c1's, `ab` another's."""
    words = {"agent": {"a"}, "customer_id": {"c1"}}
    cells = [{"agent": "ab"}, {"half": "a"}, {"customer_id": "c12", "agent": None}, {}]
    theirs = [{"agent": "a"}, {"customer_id": "c1", "half": "a"}]  # of nobody else: they go
    rows = [{"cell": cell, "column": "amount"} for cell in (*cells, *theirs)]
    assert rewritten(spark, schemas.PROFILES, rows, words) == rows[:4]

    head = "added since 1"
    kept = [head, f"{head}, agent=a b", f"{head}, half=a", f"{head}, customer_id=c1.5"]
    slices = [*kept, f"{head}, agent=a", f"{head}, customer_id=c1"]
    rows = [{"slice": each, "column": "amount"} for each in slices]
    for table in (schemas.DRIFT, schemas.CAUSES):
        found = [row["slice"] for row in rewritten(spark, table, rows, words)]
        assert found == [*kept, f"{head}, agent=(erased)", f"{head}, customer_id=(erased)"]

    causes = [("amount", "half", "a"), ("amount", "agent", "ab"), ("amount", "commit", "3")]
    theirs = [("amount", "agent", "a"), ("agent:length", "customer_id", "c1")]
    theirs += [("agent", "agent", "a"), ("agent", "half", "a")]
    names = ("column", "kind", "name")
    rows = [dict(zip(names, each, strict=True)) for each in causes + theirs]
    found = [tuple(row.values()) for row in rewritten(spark, schemas.CAUSES, rows, words)]
    assert found == causes + [(*each[:2], "(erased)") for each in theirs]

    places = [{"name": each} for each in ("agent", "agent=ab", "half=a", "agent=a")]
    found = rewritten(spark, schemas.CURVES, places, words)
    assert found == [*places[:3], {"name": "agent=(erased)"}]


def test_numbers_of_a_column_are_quoted_no_more(spark) -> None:
    """Of a column in which somebody had a number of their own; what others quote stays."""

    def unquoted(table: Table, *rows: dict[str, object]) -> list[str]:
        every = [tuple(row.get(name) for name in table.column_names) for row in rows]
        frame = spark.createDataFrame(every, table.ddl)
        where, changes = erasure.unquoted(table.full_name, ["born", "phone"])
        changed = frame.withColumns(
            {
                name: F.when(where, value).otherwise(F.col(f"`{name}`"))
                for name, value in changes.items()
            }
        )
        return [row[next(iter(rows[0]))] for row in changed.collect()]

    def quoted(name: str, *columns: str, **more: str) -> list[dict[str, object]]:
        return [{name: "4 … 9", "column": each, **more} for each in columns]

    for table in (schemas.DRIFT, schemas.SKEW):
        told = quoted("detail", "born", "phone", "age", "born:weekday", statistic="range")
        told += quoted("detail", "phone", statistic="null_rate")
        told += quoted("detail", "phone", statistic="psi")  # "49: 0% → 3%", of few values
        assert unquoted(table, *told) == ["(erased)"] * 2 + ["4 … 9"] * 3 + ["(erased)"]
    for table, name in ((schemas.QUALITY, "observed"), (schemas.SLICES, "value")):
        assert unquoted(table, *quoted(name, "phone", "age")) == ["(erased)", "4 … 9"]
    kwargs = (
        '{"expectation_config": {"kwargs": {"column": "%s"}}, "result": {"observed_value": %s}}'
    )
    for met in ("777.13", '"1931-05-04 10:00:00"', '{"quantiles": [0.5], "values": [7]}', "[1, 2]"):
        rows = [(None, None, None, kwargs % (each, met)) for each in ("phone", "age")]
        frame = spark.createDataFrame(
            rows, "table string, batch string, suite string, result string"
        )
        where, changes = erasure.unobserved(["born", "phone"])
        found = [
            row.result
            for row in frame.where(where).select(changes["result"].alias("result")).collect()
        ]
        assert [json.loads(each)["result"] for each in found] == [{"observed_value": None}]
    told = quoted("name", "age", kind="phone") + quoted("name", "phone", kind="delivery")
    assert unquoted(schemas.CAUSES, *told) == ["(erased)", "4 … 9"]
    slices = ["since 1, phone=49", "since 1, born=4\n9", "since 1, telephone=49", "phone=49"]
    for table in (schemas.DRIFT, schemas.CAUSES):
        found = unquoted(table, *({"slice": each, "column": "age"} for each in slices))
        assert found == ["since 1, phone=(erased)", "since 1, born=(erased)", *slices[2:]]


def test_a_record_is_theirs_in_whatever_encoding_it_came(spark) -> None:
    texts = {
        "ours": ["id;c1;x", '{"id": "j\\u00f6rg"}', "jörg,5"],
        "others": ["id;c12;x", "c", '{"id": "jan"}'],
    }
    rows = [
        (whose, encoding, bytearray(text.encode(encoding)))
        for whose, some in texts.items()
        for text in some
        for encoding in ("utf-8", "utf-16-le", "cp1252")
    ]
    frame = spark.createDataFrame(rows, "whose string, encoding string, raw binary")
    held = erasure.in_bytes(frame["raw"], ["c1", "jörg", "日c"], ["utf-8", "utf-16-le", "cp1252"])
    found = frame.where(held).select("whose", "encoding").collect()
    assert [tuple(row) for row in found if row.whose == "ours"] == [row[:2] for row in rows[:9]]
    # In UTF-16 a longer name is told apart by nothing: its record goes, too.
    assert {tuple(row) for row in found if row.whose == "others"} <= {("others", "utf-16-le")}


GONE, KEPT = 21345678, 87654321
"""Numbers of people that a double's text has as 2.1345678E7 and 8.7654321E7."""
OWN = {
    "03": [f"{GONE} 19970330 1 777.13", f"{GONE} 19970330 2 1.3791"],
    "04": [f"{KEPT} 19970428 1 555.17"],
}
"""Days and amounts that nobody else has; of the first delivery the last, the most and the least."""
JUNE = datetime(1998, 6, 1, tzinfo=timezone.utc)


@pytest.fixture
def numbered(open_line, repository, tmp_path):
    """Purchases of people who have numbers, in two deliveries, with what tables tell of them."""
    told = yaml.safe_load((repository / "conf" / "cdnow.yaml").read_text("utf-8"))
    told["sources"]["purchases"]["path"] = "*.txt"
    told["drift"]["tables"] = ["silver.purchases"]
    conf = tmp_path / "cdnow.yaml"
    conf.write_text(yaml.safe_dump(told), "utf-8")
    line = open_line(load_problem(conf), data=tmp_path, warehouse=tmp_path / "w")
    head = "customer_id date number_of_cds dollar_value"
    for month, people in (("03", (GONE, KEPT)), ("04", (KEPT, 55555555))):
        rows = [f"{each} 1997{month}{day:02d} 1 9.50" for each in people for day in range(1, 9)]
        rows += [f"{people[0]} 1997{month}09 0 9.50"]  # out of the suite's range
        rows += [f"{60000000 + each} 1997{month}03 2 5.00" for each in range(90)]
        rows += OWN[month]
        (tmp_path / f"{month}.txt").write_text("\n".join([head, *rows]) + "\n")
        ingest.run(line)
        validate.run(line)
    rows = [head, f"{KEPT} 19970401 1 9.50", f"{KEPT} 19970402 1 9.50", f"{GONE} soon 1 9.50"]
    (tmp_path / "05.txt").write_text("\n".join(rows) + "\n")  # of them a reject alone
    ingest.run(line)
    explore.run(line, table="silver.purchases")
    newest = line.tables.version("silver.purchases")
    drift.run(line, table="silver.purchases", asked=Asked(str(newest - 1), str(newest)))
    told = dict.fromkeys(schemas.DRIFT.column_names) | {"column": "customer_id"}
    told |= {"detail": f"new {KEPT / 1e7}E7, {GONE / 1e7}E7", "statistic": "new"}
    line.tables.append_values([tuple(told.values())], schemas.DRIFT, key=None)
    for table in (schemas.PREDICTIONS, schemas.SHADOW):
        empty = dict.fromkeys(table.column_names)
        rows = [empty | {"entity": str(each), "as_of": JUNE} for each in (GONE, KEPT)]
        values = [tuple(row.values()) for row in rows]
        line.tables.append_values(values, table, key=None)
    return line


def values(warehouse: Path) -> Iterator[tuple[str, Any]]:
    """Every value of every Parquet file, with the file's table; what is nested one by one."""

    def flat(value: Any) -> Iterator[Any]:
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        if isinstance(inside, (list, tuple)):
            for each in inside:
                yield from flat(each)
        else:
            yield value

    for path in warehouse.rglob("*.parquet"):
        table = ".".join(path.relative_to(warehouse).parts[1:3])
        for row in pq.ParquetFile(path).read().to_pylist():
            yield from ((table, each) for each in flat(list(row.values())))


def tables_with(number: float, warehouse: Path, *spelled: str, at: datetime | None = None):
    """The tables whose files have a number: as one, as any text of it, or in a sketch's bytes; or
    as the time that it is in seconds.
    """
    texts = {*spelled} or {str(number), f"{number}.0", f"{number / 1e7}E7"}
    inside = struct.pack("<d", number)
    found = set()
    for table, value in values(warehouse):
        if isinstance(value, bytes):
            held = inside in value or any(each.encode() in value for each in texts)
        elif isinstance(value, str):
            held = any(each in value for each in texts)
        elif isinstance(value, datetime):
            held = value.replace(tzinfo=timezone.utc) == at
        else:
            held = isinstance(value, (int, float)) and value == number
        if held:
            found.add(table)
    return found


@pytest.mark.slow
def test_a_number_is_found_however_it_is_written(numbered, tmp_path) -> None:
    """Given as +021345678, it is 21345678 in rows, and 2.1345678E7 in profiles."""
    line, warehouse = numbered, tmp_path / "w"
    before = tables_with(GONE, warehouse)
    assert before >= {"bronze.purchases", "silver.purchases", "gold.predictions", "gold.shadow"}
    assert before >= {"ops.profiles", "ops.exploration", "ops.drift", "ops.quarantine"}
    assert "ops.rejects" in before
    own = {"amount": (777.13, "777.1"), "least": (1.3791, "1.379")}
    day = datetime(1997, 3, 30, tzinfo=timezone.utc)
    seconds = day.timestamp()
    spelled = ("1997-03-30", f"{seconds / 1e8}E8", str(seconds))
    for number, *texts in own.values():
        held = tables_with(number, warehouse, *texts)
        assert held >= {"bronze.purchases", "silver.purchases", "ops.profiles", "ops.drift"}
    assert "ops.exploration" in tables_with(777.13, warehouse, "777.1")
    held = tables_with(seconds, warehouse, *spelled, at=day)
    assert held >= {"bronze.purchases", "silver.purchases", "ops.profiles", "ops.exploration"}
    others = tables_with(555.17, warehouse, "555.17")
    assert others >= {"bronze.purchases", "silver.purchases", "ops.profiles"}
    page = Path(line.beside("report.html"))
    page.write_text("made before, of what tables told then")
    people = [f"+0{GONE}", "99999999"]
    with pytest.raises(ConfError, match="the request names a person"):
        erase.run(line, entities=people, request=f"of {GONE}")
    said = erase.run(line, entities=people, request="R-1")
    assert not page.exists()
    assert tables_with(GONE, warehouse) == set()
    assert tables_with(KEPT, warehouse) >= {"bronze.purchases", "silver.purchases"}
    for number, *texts in own.values():
        assert tables_with(number, warehouse, *texts) == set()
    assert tables_with(seconds, warehouse, *spelled, at=day) == set()
    # Files that nobody was erased from are told of as before.
    others = tables_with(555.17, warehouse, "555.17")
    assert others >= {"bronze.purchases", "silver.purchases", "ops.profiles"}
    assert "1 of them in no row: are they written as the tables have them?" in said
    last = line.tables.read("ops.erasures").orderBy("at").collect()[-1]
    assert (last.status, last.entities, last.absent) == ("complete", 2, 1)
    assert [Path(each).name for each in last.deliveries] == ["03.txt", "05.txt"]
    # What is gone of the profiles is of that column alone: versions are still compared.
    newest = line.tables.version("silver.purchases")
    assert "silver.purchases" in drift.run(
        line, table="silver.purchases", asked=Asked("1", str(newest))
    )
    told = line.tables.read("ops.drift").where(f"to_version = {newest}")
    told = {(row.column, row.statistic) for row in told.collect()}
    assert {("cds", "ks"), ("amount", "skipped")} <= told
    # And what is there is counted again.
    explore.run(line, table="silver.purchases")
    most = line.tables.read("ops.exploration").where("column = 'amount' AND statistic = 'max'")
    assert [row.value for row in most.collect()] == [555.17]
    written = (
        line.tables.read("ops.runs").where("stage = 'erase' AND status = 'done'").collect()[-1]
    )
    noted = {each.table: each.version for each in written.tables_written}
    assert noted["ops.profiles"] and noted["silver.purchases"] == newest


@pytest.mark.slow
def test_requests_go_with_whom_they_were_about(
    open_line, repository, tmp_path, monkeypatch
) -> None:
    """The server was asked for pseudonyms: its log has these, and is ingested as it is."""
    monkeypatch.setenv(pseudonyms.VARIABLE, "k" * 32)
    told = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    orders = told["sources"]["orders"] | {"path": "orders.ndjson"}
    orders["columns"]["customer_id"] = {"type": "string", "pseudonym": True}
    types = {"row_id": "string", "time": "timestamp", "customer_id": "string", "orders_30d": "long"}
    asked = {"format": "ndjson", "path": "requests/*", "time": "time", "key": ["row_id"]}
    told["sources"] = {"orders": orders, "requests": asked | {"columns": types}}
    told["features"] = [each for each in told["features"] if each["source"] == "orders"]
    told["drift"]["tables"], told["monitor"] = ["silver.orders"], {"requests": "requests"}
    del told["profile"]
    told["sla"] = {}
    conf = tmp_path / "churn.yaml"
    conf.write_text(yaml.safe_dump(told), "utf-8")
    line = open_line(load_problem(conf), data=tmp_path, warehouse=tmp_path / "w")
    anna, ben = (pseudonyms.pseudonym(each, b"k" * 32) for each in ("anna", "ben"))
    bought = [
        {"order_id": each, "customer_id": each, "time": "2024-03-01T00:00:00Z", "amount": 1.0}
        for each in ("anna", "ben")
    ]
    (tmp_path / "orders.ndjson").write_text("".join(json.dumps(each) + "\n" for each in bought))
    log = RequestLog(tmp_path / "requests")
    rows = [{"customer_id": each, "orders_30d": 1} for each in (anna, anna, ben)]
    log.add("r1", 1, rows, [0.5] * 3, [1.0] * 3)
    log.close()
    ingest.run(line)
    for name in ("bronze.orders", "bronze.requests"):
        known = {row.customer_id for row in line.tables.read(name).collect()}
        assert known == {anna, ben}, name  # they meet
    erase.run(line, entities=["anna"], request="R-1")
    for name in ("bronze.orders", "bronze.requests"):
        assert {row.customer_id for row in line.tables.read(name).collect()} == {ben}, name
    last = line.tables.read("ops.erasures").orderBy("at").collect()[-1]
    assert (last.status, last.absent, last.left) == ("complete", 0, [])
    assert {each.table: each.rows for each in last.tables}["bronze.requests"] == 2


def test_rows_that_a_deletion_vector_hides_go_out_of_their_files(
    spark, open_line, repository, tmp_path, monkeypatch
) -> None:
    """Somebody let Delta make them, and had taken away rows so before: of one table all of hers."""
    problem = load_problem(repository / "conf" / "churn.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path / "w")
    whose = {"silver.orders": ("anna", "anna", "ben"), "silver.visits": ("anna", "ben", "carl")}
    for name, people in whose.items():
        table = schemas.silver(problem, name.partition(".")[2])
        empty = dict.fromkeys(table.column_names)
        rows = [empty | {"customer_id": each, "_offset": n} for n, each in enumerate(people)]
        frame = spark.createDataFrame([tuple(row.values()) for row in rows], table.ddl)
        line.tables.append(frame.coalesce(1), table, key=None)
        folder = f"delta.`{line.tables.path(name)}`"
        vectors = "'delta.enableDeletionVectors' = 'true'"
        spark.sql(f"ALTER TABLE {folder} SET TBLPROPERTIES ({vectors})")
        spark.sql(f"DELETE FROM {folder} WHERE _offset = 0")
        assert len(pins.hiding(line.tables, name)) == 1

    def held() -> set[str]:
        return {table for table, value in values(tmp_path / "w") if value == "anna"}

    def asked() -> tuple[str, list[str]]:
        last = line.tables.read("ops.erasures").orderBy("at").collect()[-1]
        return last.status, last.left

    with monkeypatch.context() as patched:  # of a Delta that cannot
        patched.setattr(rewriting, "purge", lambda tables, name: tables.written_since(name, 0))
        with pytest.raises(Refused, match="still found in 2 places"):
            erase.run(line, entities=["anna"], request="R-1")
    hidden = sorted(str(path) for name in whose for path in pins.hiding(line.tables, name))
    assert held() == {*whose}
    assert asked() == ("left", hidden)
    # The same command again ends it; so it does where it was killed in between.
    erase.run(line, entities=["anna"], request="R-1")
    assert held() == set()
    assert asked() == ("complete", [])
    left = {name: [row.customer_id for row in line.tables.read(name).collect()] for name in whose}
    assert left == {"silver.orders": ["ben"], "silver.visits": ["ben", "carl"]}
    last = line.tables.read("ops.erasures").orderBy("at").collect()[-1]
    assert {each.table: (each.rows, each.version) for each in last.tables}.items() >= {
        (name, (rows, line.tables.version(name)))
        for name, rows in (("silver.orders", 1), ("silver.visits", 0))
    }


def test_a_list_of_people_may_come_from_a_spreadsheet(tmp_path) -> None:
    """Which begins a text with a byte order mark."""
    asked: list[Any] = []
    (command,) = [
        each
        for each in cli_models.commands(lambda name, options, **asks: asked.append(asks))
        if each.name == "erase"
    ]
    (tmp_path / "people.csv").write_text("anna\r\nben \r\n", "utf-8-sig")
    given = ["--problem", "p.yaml", "--entities", str(tmp_path / "people.csv")]
    done = CliRunner().invoke(command, [*given, "--request", "R-1", "--yes"])
    assert done.exit_code == 0, done.output
    assert asked == [{"entities": ["anna", "ben"], "request": "R-1"}]
