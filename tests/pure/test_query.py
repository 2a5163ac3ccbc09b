"""Queries as texts: which tables they name, and what becomes of their cells in a CSV."""

from __future__ import annotations

import duckdb
import pytest

from driftline import query
from driftline.errors import ConfError
from driftline.logs import visible


def test_tables_are_found_where_sql_has_names_and_nowhere_else() -> None:
    sql = """SELECT r.stage, 'from ops.drift, it''s ops.drift' AS said -- ops.drift
FROM ops.runs r JOIN gold.features ON r.ops.x = 1 /* silver.visits
bronze.visits */ WHERE r.table = 'gold.predictions' AND a IN (SELECT 1 FROM ops.runs)"""
    assert query.tables(sql) == ["ops.runs", "gold.features"]
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


def test_a_query_that_is_not_there_is_told_with_the_nearest(tmp_path) -> None:
    with pytest.raises(ConfError, match="did you mean 'failing_rules'"):
        query.text("failing_rule")
    with pytest.raises(ConfError, match="cannot be read"):
        query.text(str(tmp_path / "none.sql"))
    (tmp_path / "bytes.sql").write_bytes(b"SELECT \xff")
    with pytest.raises(ConfError, match="UnicodeDecodeError"):
        query.text(str(tmp_path / "bytes.sql"))


FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '="a"&B1']


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_text_is_a_formula_in_a_spreadsheet(cell: str) -> None:
    assert query.neutral(cell) == "'" + cell


def test_texts_that_are_no_formulas_stay_as_they_are() -> None:
    for cell in ("", "a=b", " =1", "2024-01-01", "é", "1-2"):
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
