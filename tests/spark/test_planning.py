"""What is due, told from rows whose clocks were wrong."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from driftline.budgets import Budgets
from driftline.jobs import deciding, monitor, planning
from driftline.problem import load_problem
from driftline.registry import Version

ARRIVED = datetime(2024, 6, 10, tzinfo=timezone.utc)


def test_a_wrong_clock_does_not_make_features_due(spark, repository, monkeypatch) -> None:
    """As features themselves: a time after its own arrival is none."""
    rows = spark.createDataFrame(
        [(datetime(2024, 6, 9, 12), ARRIVED), (datetime(2034, 1, 1), ARRIVED)],
        "time timestamp, _arrived_at timestamp",
    )
    tables = SimpleNamespace(read=lambda _: rows, version=lambda _: 1)
    line = SimpleNamespace(tables=tables, problem=load_problem(repository / "conf" / "churn.yaml"))
    monkeypatch.setattr(
        monitor, "watermark", lambda *_: datetime(2024, 6, 9, 12, tzinfo=timezone.utc)
    )
    assert planning._reaches(line, None) is None
    monkeypatch.setattr(monitor, "watermark", lambda *_: datetime(2024, 4, 1, tzinfo=timezone.utc))
    assert planning._reaches(line, None) == "up to 2024-04-01 → 2024-06-09"


@pytest.fixture
def problem(repository):
    return load_problem(repository / "conf" / "churn.yaml")


def test_a_changed_problem_file_is_something_to_do(problem, monkeypatch) -> None:
    tables = SimpleNamespace(exists=lambda _: True, version=lambda _: 7)
    line = SimpleNamespace(problem=problem, tables=tables)
    last = SimpleNamespace(tables_read=[("silver.orders", 7)], problem=problem.digest)
    made = SimpleNamespace(problem=problem.digest)
    monkeypatch.setattr(deciding, "made", lambda *_: [made])
    assert planning._moved(line, {"features": [last]}, "features") is None
    assert planning._undecided(line, ARRIVED) is None
    drift = problem.drift.model_copy(update={"psi": problem.drift.psi / 2})
    line.problem = problem.model_copy(update={"drift": drift})
    assert planning._moved(line, {"features": [last]}, "features") == "the problem file changed"
    assert planning._undecided(line, ARRIVED) == "no decision as of 2024-06-10 yet"
    # What is promised, or may be spent, asks nothing else.
    line.problem = problem.model_copy(update={"budgets": Budgets(warn=0.5)})
    assert line.problem != problem
    assert planning._moved(line, {"features": [last]}, "features") is None


def test_a_version_that_came_back_has_the_newest_cut_off_to_score(spark, problem) -> None:
    june, july = datetime(2024, 6, 1), datetime(2024, 7, 1)
    rows = {
        "gold.features": spark.createDataFrame([(june,), (july,)], "as_of timestamp"),
        "gold.predictions": spark.createDataFrame(
            [(june, 1), (july, 2)], "as_of timestamp, model_version int"
        ),
    }
    tables = SimpleNamespace(read=rows.__getitem__, exists=lambda _: True)
    line = SimpleNamespace(problem=problem, tables=tables)
    one, two = (Version(number, "", "", {}) for number in (1, 2))
    assert planning._unscored(line, two, None) is None
    assert planning._unscored(line, one, None) == "version 1 has scored nothing of 2024-07-01"
    assert planning._unscored(line, one, ARRIVED) is None
    assert planning._unscored(line, two, ARRIVED) == "version 2 has scored nothing of 2024-06-01"
