"""What is due, told from rows whose clocks were wrong."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

from driftline.jobs import monitor, planning
from driftline.problem import load_problem

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
