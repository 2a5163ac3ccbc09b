"""Queries as texts: which tables they name, and what becomes of their cells in a CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from types import SimpleNamespace

import duckdb
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import ArithmeticException

from driftline import query, schemas
from driftline.errors import ConfError
from driftline.jobs import query as job
from driftline.logs import visible


def test_tables_are_found_where_sql_has_names_and_nowhere_else() -> None:
    sql = """SELECT r.stage, 'from ops.drift, it''s ops.drift' AS said -- ops.drift
FROM ops.runs r JOIN gold.features ON r.ops.x = 1 /* silver.visits
bronze.visits */ WHERE r.table = 'gold.predictions' AND a IN (SELECT 1 FROM ops.runs)"""
    assert query.tables(sql) == ["ops.runs", "gold.features"]
    whole = query.renamed('SELECT "gold.features", ops.runs.stage FROM ops.runs', lambda _: "t")
    assert whole == 'SELECT "gold.features", ops.runs.stage FROM t'  # no text, no column is a table
    renamed = query.renamed(sql, lambda name: f"delta.`/w/{name}`")
    assert renamed.count("delta.`/w/ops.runs`") == 2 and "'gold.predictions'" in renamed
    assert "-- ops.drift" in renamed and "r.ops.x" in renamed


def test_every_ready_query_says_what_it_asks_and_names_its_tables() -> None:
    assert len(query.ready()) >= 10
    for name, question in query.ready().items():
        assert question.endswith("?"), name
        assert query.tables(query.text(name)), name


@pytest.mark.parametrize("name", query.ready())
def test_duckdb_understands_every_ready_query(name: str) -> None:
    """Its words are not all Spark's: ``at`` begins a clause there."""
    assert len(duckdb.extract_statements(query.text(name))) == 1


def asked(name: str, runs: list[tuple], versions: list[tuple[int, str]]) -> list[int]:
    """Versions that a ready query shows, by DuckDB: of runs (stage, status, hour, version), where
    versions scored at as-ofs, and all have slices.
    """
    analyst = duckdb.connect()
    analyst.sql("CREATE SCHEMA ops; CREATE SCHEMA gold")
    analyst.sql(
        "CREATE TABLE ops.runs (stage text, status text, started_at timestamp, model_version int);"
        "CREATE TABLE gold.predictions (entity text, as_of date, score double, reasons text[], "
        "model_version int);"
        'CREATE TABLE ops.slices (model_version int, "column" text, value text, rows int, '
        "metric text, score double, low double, high double, worse boolean)"
    )
    for stage, status, hour, version in runs:
        at = f"2024-06-01 {hour:02}:00:00"
        analyst.execute("INSERT INTO ops.runs VALUES (?, ?, ?, ?)", [stage, status, at, version])
    for version, day in versions:
        analyst.execute("INSERT INTO gold.predictions VALUES ('a', ?, 0.5, [], ?)", [day, version])
        analyst.execute(
            "INSERT INTO ops.slices VALUES (?, 'age', '9', 9, 'auc', 0.5, 0, 1, true)", [version]
        )
    found = analyst.sql(query.text(name))
    place = found.columns.index("model_version")
    return [row[place] for row in found.fetchall()]


MAY, JUNE = "2024-05-01", "2024-06-01"
TAKEN_BACK = [
    ("score", "done", 1, 1),
    ("train", "done", 2, 2),
    ("score", "done", 3, 2),
    ("rollback", "done", 4, 1),
]


@pytest.mark.parametrize("name", ["highest_scores", "weak_slices"])
@pytest.mark.parametrize(
    ("runs", "shown"),
    [
        (TAKEN_BACK[:1], 1),
        (TAKEN_BACK[:3], 2),
        (TAKEN_BACK, 1),
        ([*TAKEN_BACK, ("score", "unchanged", 5, 1)], 1),
        ([*TAKEN_BACK, ("rollback", "done", 5, 2)], 2),
        ([*TAKEN_BACK, ("score", "refused", 5, 2)], 1),  # by the gate: nothing of it is there
        ([*TAKEN_BACK, ("score", "done", 5, None)], 1),  # a challenger, or a day made up for
    ],
)
def test_what_is_told_of_the_model_is_of_the_one_in_use(name, runs, shown) -> None:
    assert asked(name, runs, [(1, JUNE), (2, JUNE), (1, MAY)])[0] == shown
    told = asked("highest_scores", runs, [(1, MAY), (1, JUNE), (2, JUNE)])
    assert told == [shown]


def test_a_champion_that_has_scored_nobody_yet_has_slices_alone() -> None:
    runs = TAKEN_BACK[:2]
    assert asked("weak_slices", runs, [(1, JUNE), (2, JUNE)]) == [2]
    assert asked("highest_scores", runs, [(1, JUNE)]) == [1]


def test_slices_of_a_model_that_never_was_in_use_are_told() -> None:
    assert asked("weak_slices", [("train", "refused", 1, None)], [(1, JUNE)]) == [1]
    assert asked("highest_scores", TAKEN_BACK[-1:], [(2, JUNE)]) == []  # 1 has scored nobody


def watched(name: str, table: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a ready query shows, by DuckDB, of a table of ``ops`` with these rows."""
    analyst = duckdb.connect()
    columns = ", ".join(
        f'"{each.name}" {each.type.replace("string", "text")}' for each in table_of(table).columns
    )
    analyst.sql(f"CREATE SCHEMA ops; CREATE TABLE ops.{table} ({columns})")
    for row in rows:
        names = ", ".join(f'"{each}"' for each in row)
        marks = ", ".join("?" * len(row))
        analyst.execute(f"INSERT INTO ops.{table} ({names}) VALUES ({marks})", list(row.values()))
    found = analyst.sql(query.text(name))
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def table_of(name: str) -> schemas.Table:
    return {"performance": schemas.PERFORMANCE, "skew": schemas.SKEW}[name]


SEPTEMBER = "2024-09-01"
DAYS = [
    # (as of, at): the first turn, the one with labels, one made up for, one mistyped.
    ("2024-09-03", "2024-09-03"),
    ("2024-10-04", "2024-10-04"),
    ("2024-09-02", "2024-11-05"),
    ("2124-09-03", "2024-10-02"),
]


def test_a_day_made_up_for_takes_no_labels_away() -> None:
    rows: list[dict[str, object]] = []
    for place, (as_of, at) in enumerate(DAYS):
        row = {"cutoff": SEPTEMBER, "model_version": 1, "slice": "", "metric": "roc_auc"}
        row |= {"as_of": as_of, "at": at, "rows": 90, "labelled": 80 if place == 1 else 0}
        rows.append({**row, "kind": "expected", "value": 0.7 + place / 100})
        if place == 1:
            rows.append({**row, "kind": "real", "value": 0.65})
    for given in (rows, rows[::-1]):
        (found,) = watched("promises_and_labels", "performance", given)
        told = ("promised", "came_true", "predictions", "labelled")
        assert [found[each] for each in told] == [0.71, 0.65, 90, 80]


def test_what_is_skewed_is_of_the_newest_day_not_of_one_made_up_for() -> None:
    rows: list[dict[str, object]] = []
    for place, (as_of, at) in enumerate(DAYS):
        row = {"table": "gold.features", "cutoff": SEPTEMBER, "model_version": 1, "skewed": True}
        row |= {"column": "age", "statistic": "psi", "threshold": 0.2, "as_of": as_of, "at": at}
        rows.append({**row, "value": 0.3 + place / 10})
    rows.append({**rows[0], "table": "silver.requests"})
    found = watched("what_is_skewed", "skew", rows)
    assert [(row["table_name"], row["value"]) for row in found] == [
        ("gold.features", 0.4),
        ("silver.requests", 0.3),
    ]


def test_a_query_that_is_not_there_is_told_with_the_nearest(tmp_path) -> None:
    with pytest.raises(ConfError, match="did you mean 'failing_rules'"):
        query.text("failing_rule")
    with pytest.raises(ConfError, match="cannot be read"):
        query.text(str(tmp_path / "none.sql"))
    (tmp_path / "bytes.sql").write_bytes(b"SELECT \xff")
    with pytest.raises(ConfError, match="UnicodeDecodeError"):
        query.text(str(tmp_path / "bytes.sql"))


FORMULAS = [
    ("=1+1", "'=1+1"),
    ("+1", "'+1"),
    ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t'=1"),
    ("\r=1", "'\r'=1"),
    ("\n=1", "'\n'=1"),
    ("\tx", "'\tx"),
    ('="a"&B1', '\'="a"&B1'),
    ("\uff1d1+1", "'\uff1d1+1"),  # full width, of East Asia
    ("books;=1+1", "books;'=1+1"),
    ("books\t@SUM(A1)", "books\t'@SUM(A1)"),
    ("books\n-1", "books\n'-1"),
    ('books;"=1+1', "books;\"'=1+1"),
    ("a;b;+1;=2", "a;b;'+1;'=2"),
]


@pytest.mark.parametrize(("cell", "neutral"), FORMULAS)
def test_no_text_is_a_formula_in_a_spreadsheet(cell: str, neutral: str) -> None:
    assert query.neutral(cell) == neutral


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_a_file_is_a_formula_whatever_separates_cells(tmp_path, separator) -> None:
    """As a spreadsheet opens it: by the separator of its locale, not by that of the file."""
    cells = [cell for cell, _ in FORMULAS] + ["books;=1+1;", '";=1', ';"";=1', '\n"\n=1', "a,=1"]
    out = tmp_path / "rows.csv"
    given = [(1, cell, f"x{cell}", cell + cell) for cell in cells]
    job._write(SimpleNamespace(columns=["=a", *"bcd"], toLocalIterator=lambda: iter(given)), out)
    with out.open(encoding="utf-8", newline="") as file:
        read = list(csv.reader(file, delimiter=separator))
    assert len(read) > len(cells)
    found = [cell.lstrip('"') for row in read for cell in row]
    assert [cell for cell in found if cell.startswith(tuple("=+-@\uff1d"))] == []


def test_texts_that_are_no_formulas_stay_as_they_are() -> None:
    for cell in ("", "a=b", " =1", "2024-01-01", "é", "1-2", "a; -1", "(X11; Linux)", "a\nb;c"):
        assert query.neutral(cell) == cell
    assert visible("a\x1b[2J\u202eb\r") == "a\\x1b[2J\\u202eb\\r"


def test_a_file_that_cannot_be_made_is_said_before_anything_starts(command, tmp_path) -> None:
    old = tmp_path / "old.csv"
    old.write_text("mine")
    for out, found in ((old, "it is there already"), (tmp_path / "no" / "x.csv", "its folder is")):
        done = command("query", "failing_rules", "--problem", "conf/churn.yaml", "--out", out)
        assert done.returncode == 2, done.stderr
        assert found in done.stderr and "Traceback" not in done.stderr
    assert old.read_text() == "mine"
    query.check_new(str(tmp_path / "new.csv"))


class FromJava(Py4JJavaError):
    """An exception as PySpark hands it on, without a JVM to ask for its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ArithmeticException("Division by zero", errorClass="DIVIDE_BY_ZERO"), "DIVIDE_BY_ZERO"),
        (
            FromJava(
                "An error occurred while calling o1.getResult.\n: SparkException: Exception thrown "
                "in awaitResult: \nCaused by: org.apache.spark.SparkNumberFormatException: "
                "[CAST_INVALID_INPUT] The value '[PRIVATE]' of the type STRING"
            ),
            "CAST_INVALID_INPUT",
        ),
        (FromJava("An error occurred: java.lang.Exception: of '[PRIVATE]'"), "FromJava"),
    ],
)
def test_what_fails_while_it_runs_is_told_without_a_row(error, found) -> None:
    with (
        pytest.raises(ConfError, match="the query cannot be run") as caught,
        job._explained("mine"),
    ):
        raise error
    assert caught.value.found == found
    assert "PRIVATE" not in str(caught.value)


def test_a_lost_file_is_no_fault_of_the_query() -> None:
    lost = FromJava("SparkException: [FAILED_READ_FILE.FILE_NOT_EXIST] file:/w/runs/a.parquet")
    with pytest.raises(FromJava), job._explained("mine"):
        raise lost


def test_there_are_all_rows_or_no_file(tmp_path) -> None:
    def rows(*, fail: bool) -> SimpleNamespace:
        def each() -> Iterator[tuple]:
            yield "=1", 1
            if fail:
                raise FromJava("it ended")
            yield None, -1

        return SimpleNamespace(columns=["a", "b"], toLocalIterator=each)

    out = tmp_path / "rows.csv"
    with pytest.raises(FromJava):
        job._write(rows(fail=True), out)
    assert list(tmp_path.iterdir()) == []
    assert job._write(rows(fail=False), out) == 2
    assert out.read_text() == '"a","b"\n"\'=1",1\n"",-1\n'
    assert list(tmp_path.iterdir()) == [out]
