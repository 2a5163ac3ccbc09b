"""A query that fails while it runs: in words, without a row's value, and without half a file."""

from __future__ import annotations

import pytest

from driftline.errors import ConfError
from driftline.jobs import query as job
from driftline.problem import load_problem
from driftline.schemas import RUNS


@pytest.fixture
def line(open_line, repository, tmp_path):
    line = open_line(
        load_problem(repository / "conf" / "churn.yaml"), data=tmp_path, warehouse=tmp_path
    )
    row = dict.fromkeys(RUNS.column_names)
    rows = [tuple((row | {"run_id": id_}).values()) for id_ in ("1", "private")]
    line.tables.append_values(rows, RUNS, key=None)
    return line


def test_what_fails_while_it_runs_is_no_trace(line, tmp_path) -> None:
    path, out = tmp_path / "mine.sql", tmp_path / "rows.csv"
    path.write_text("SELECT CAST(run_id AS int) AS n FROM ops.runs")
    for more in ({}, {"out": str(out)}):
        with pytest.raises(ConfError, match="the query cannot be run") as caught:
            job.run(line, asked=str(path), **more)
        assert caught.value.found == "CAST_INVALID_INPUT"
        assert "private" not in str(caught.value)
    assert not out.exists() and not list(tmp_path.glob("*.part"))
    # The same name does, once the query is mended.
    path.write_text("SELECT try_cast(run_id AS int) AS n FROM ops.runs")
    assert job.run(line, asked=str(path), out=str(out)) == f"2 rows in {out}"
    assert sorted(out.read_text().split()) == ['""', '"n"', "1"]
