"""A query that fails while it runs: in words, without a row's value, and without half a file; and
which model the ready ones are about.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from driftline import query
from driftline.errors import ConfError
from driftline.jobs import query as job
from driftline.problem import load_problem
from driftline.schemas import PREDICTIONS, RUNS, SLICES


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


def test_what_is_told_of_the_model_is_of_the_one_in_use(line) -> None:
    """To Spark as to DuckDB: version 2 scored after 1, and was taken back."""
    day = datetime(2024, 6, 1, tzinfo=timezone.utc)
    runs = [("score", 1), ("score", 2), ("rollback", 1), ("drift", None)]
    for hour, (stage, version) in enumerate(runs):
        row = dict.fromkeys(RUNS.column_names) | {"stage": stage, "status": "done"}
        row |= {"started_at": day + timedelta(hours=hour), "model_version": version}
        line.tables.append_values([tuple(row.values())], RUNS, key=None)
    for table, more in ((PREDICTIONS, {"entity": "a", "as_of": day}), (SLICES, {"column": "age"})):
        rows = [
            dict.fromkeys(table.column_names) | {"model_version": version, "score": 0.5} | more
            for version in (1, 2)
        ]
        line.tables.append_values([tuple(row.values()) for row in rows], table, key=None)
    for name in ("highest_scores", "weak_slices"):
        told = job.answer(line, query.text(name), name).collect()
        assert [row.model_version for row in told] == [1]
