"""What a run of ingest does before it looks for deliveries."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from driftline import layouts, pseudonyms, schemas
from driftline.environment import Environment
from driftline.errors import ConfError, Missing
from driftline.jobs import pulls
from driftline.jobs.line import Line
from driftline.problem import Problem, load_problem
from driftline.pulls import spool
from driftline.sources import read, splits

from .postgres import PASSWORD, Postgres
from .server import says, serving

DATABASE = {"connection": "shop", "table": "orders", "watermark": "time"}
API = {"connection": "desk", "path": "/orders", "since": "after", "watermark": "time"}


def problem(folder: Path, repository: Path, *, hide: bool = False, **origin: Any) -> Problem:
    content = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    orders = content["sources"]["orders"]
    orders["columns"] = {"order_id": "string", "customer_id": "string", "time": "timestamp"}
    content["sources"]["orders"] = {
        key: each for key, each in orders.items() if key not in ("path", "format")
    } | origin
    content["features"] = [{**content["features"][0]}]
    if hide:
        hidden = {"type": "string", "from": "customer", "pseudonym": True}
        orders["columns"]["customer_id"] = hidden
        content["sources"] = {"orders": content["sources"]["orders"]}
        content["drift"]["tables"] = ["silver.orders"]
        del content["profile"]
    (folder / "x.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return load_problem(folder / "x.yaml")


Opened = Callable[..., Line]


@pytest.fixture
def opened(open_line: Callable[..., Line], tmp_path: Path, repository: Path) -> Opened:
    def line(connections: dict[str, Any], **origin: Any) -> Line:
        chosen = problem(tmp_path, repository, **origin)
        plain = open_line(chosen, data=tmp_path / "data", warehouse=tmp_path / "warehouse")
        content = {"warehouse": "w", "data": "d", "mlflow": "m", "connections": connections}
        update = {"connections": Environment.model_validate(content).connections}
        return replace(plain, environment=plain.environment.model_copy(update=update))

    return line


def land(line: Line, *rows: tuple[Any, ...]) -> None:
    """Put rows into bronze as a run would that had read them from somewhere."""
    ddl = "order_id string, customer_id string, time timestamp"
    table = schemas.bronze(line.problem, "orders")
    others = ", ".join(
        f"CAST(NULL AS {column.type}) AS {column.name}"
        for column in table.columns
        if column.name.startswith("_")
    )
    found = line.spark.createDataFrame(rows, ddl).selectExpr("*", *others.split(", "))
    line.tables.append(found, table, key=str(rows))


def ids(*paths: Path | None) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path}


def test_an_api_from_the_watermark_in_bronze(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DESK_TOKEN", "t0k3n")
    with serving(says([{"order_id": "1"}]), says([{"order_id": "2"}]), says([])) as server:
        place = {"url": server.url, "token": "DESK_TOKEN", "requests_per_second": 1e9}
        line = opened({"desk": place}, api=API)
        first = pulls.pull(line, "orders", known=())
        assert first is not None
        assert first.parent == tmp_path / "warehouse" / "churn" / "_spool" / "orders"
        # Killed before it was planned: the file lands before anything more is asked for.
        assert pulls.pull(line, "orders", known=()) is None
        assert server.asked == ["/orders"]
        moment = datetime(2025, 1, 31, 12, 0, 0, 1, timezone.utc)
        land(line, ("1", "a", moment), ("0", "a", None))
        second = pulls.pull(line, "orders", known=ids(first))
        assert server.asked[1:] == ["/orders?after=2025-01-31T12%3A00%3A00.000001Z"]
        assert spool.files(first.parent) == [first, second]
        assert pulls.pull(line, "orders", known=ids(first, second)) is None
    assert server.tokens == ["Bearer t0k3n"] * 3


def test_what_is_kept_of_an_api_has_pseudonyms_which_are_not_made_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(pseudonyms.VARIABLE, raising=False)
    with serving(says([{"order_id": "anna", "customer": "anna"}])) as server:
        line = opened({"desk": {"url": server.url}}, hide=True, api=API)
        with pytest.raises(Missing, match=f"{pseudonyms.VARIABLE} is not set"):
            pulls.pull(line, "orders", known=())
        assert server.asked == []
        monkeypatch.setenv(pseudonyms.VARIABLE, "k" * 32)
        kept = pulls.pull(line, "orders", known=())
    assert kept is not None
    made = pseudonyms.pseudonym("anna", b"k" * 32)
    assert json.loads(kept.read_bytes()) == {"order_id": "anna", "customer": made}
    layout = layouts.keyed(line.problem.sources["orders"])
    (split,) = splits(str(kept), kept.stat().st_size, layout)
    (parsed,) = read(split, layout)
    assert parsed.rows["customer_id"].to_pylist() == [made]


def test_nothing_is_pulled_for_a_source_of_files(opened: Opened) -> None:
    line = opened({}, path="x.csv", format="csv")
    assert pulls.pull(line, "orders", known=()) is None
    assert pulls.folder(line, "orders") is None


def test_what_is_missing_is_said_before_anything_is_asked(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_TOKEN", raising=False)
    with serving(says([])) as server:
        line = opened({"desk": {"url": server.url, "token": "DESK_TOKEN"}}, api=API)
        with pytest.raises(Missing, match="DESK_TOKEN is not set"):
            pulls.pull(line, "orders", known=())
        with pytest.raises(ConfError, match="is to be pulled from nowhere"):
            pulls.pull(opened({}, api=API), "orders", known=())
    assert server.asked == []


def test_a_warehouse_in_an_object_store_has_no_spool(opened: Opened) -> None:
    line = opened({}, api=API)
    away = line.environment.model_copy(update={"warehouse": "s3a://bucket/warehouse"})
    with pytest.raises(Missing, match="no folder to keep what is pulled for orders"):
        pulls.pull(replace(line, environment=away), "orders", known=())


def test_a_watermark_in_the_future_is_said(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(logging.getLogger("driftline"), "propagate", True)
    with serving(says([])) as server:
        line = opened({"desk": {"url": server.url}}, api=API)
        land(line, ("1", "a", datetime(2999, 1, 1, tzinfo=timezone.utc)))
        pulls.pull(line, "orders", known=())
    assert "orders: the newest time, 2999-01-01, is in the future" in caplog.text


def test_erasing_lets_no_watermark_fall(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    days = [datetime(year, 1, 31, tzinfo=timezone.utc) for year in (2021, 2022, 2023)]

    def asked_after_erasing(line: Line, whom: str) -> str:
        pulls.keep_watermark(line, "orders")
        theirs = line.spark.createDataFrame([(whom,)], "customer_id string")
        line.tables.delete("bronze.orders", matching=theirs)
        pulls.pull(line, "orders", known=())
        return server.asked[-1].partition("=")[2][:4]

    with serving(*[says([])] * 4) as server:
        line = opened({"desk": {"url": server.url}}, api=API)
        assert pulls.origin(line, "orders") == "desk: /orders"
        pulls.keep_watermark(line, "orders")  # before anything has landed
        land(line, *((str(each.year), str(each.year), each) for each in days))
        assert asked_after_erasing(line, "2023") == "2023"
        assert asked_after_erasing(line, "2022") == "2023"
        land(line, ("4", "d", datetime(2024, 1, 31, tzinfo=timezone.utc)))
        assert asked_after_erasing(line, "2021") == "2024"
        # What no clock has said yet keeps newer rows away: it goes with its row.
        land(line, ("5", "e", datetime(2999, 1, 31, tzinfo=timezone.utc)))
        assert asked_after_erasing(line, "e") == "2024"
    (kept,) = tmp_path.rglob("watermark")
    assert kept.read_text().startswith("time timestamp 17")


@pytest.mark.parametrize(
    ("type_", "landed", "kept", "since"),
    [
        ("long", 7, "id long 9", 9),
        ("long", None, "id long 9", 9),
        ("long", 11, "id long 9", 11),
        ("long", 7, "time timestamp 9", 7),
        ("long", None, None, None),
        ("date", 700_000, "id date 738000", date.fromordinal(738_000)),
        ("date", 700_000, "id long 738000", date.fromordinal(700_000)),
        ("timestamp", 5, "id timestamp 1000000", datetime(1970, 1, 1, 0, 0, 1, 0, timezone.utc)),
    ],
)
def test_a_watermark_that_was_kept_is_of_its_column(
    type_: str, landed: int | None, kept: str | None, since: Any, tmp_path: Path, monkeypatch
) -> None:
    if kept:
        (tmp_path / "watermark").write_text(kept)
    monkeypatch.setattr(pulls, "folder", lambda line, source: tmp_path)
    monkeypatch.setattr(pulls, "_landed", lambda line, source, watermark: landed)
    source = SimpleNamespace(columns={"id": SimpleNamespace(type=type_)})
    line: Any = SimpleNamespace(
        problem=SimpleNamespace(sources={"orders": source}),
        tables=SimpleNamespace(exists=lambda name: True),
    )
    now = datetime(2025, 1, 1, tzinfo=timezone.utc)
    assert pulls._since(line, "orders", "id", now) == since


PROCESS = """
import json, sys
from pathlib import Path
from driftline import logs
from driftline.environment import load_environment
from driftline.jobs import pulls
from driftline.jobs.line import open_line
from driftline.problem import load_problem

logs.configure()
line = open_line(load_problem(Path("x.yaml")), load_environment(Path("env.yaml")), Path("."))
first = pulls.pull(line, "orders", known=())
print(first)
print(pulls.pull(line, "orders", known=(first.stem.rpartition("-")[2] + "0" * 52,)))
"""


@pytest.mark.slow
@pytest.mark.slow
def test_a_database_in_a_process_that_starts_with_its_driver(
    tmp_path: Path, repository: Path, postgres: Postgres
) -> None:
    """The driver comes by its coordinates; the password is in nothing that is written."""
    postgres.run(
        """DROP SCHEMA public CASCADE; CREATE SCHEMA public;
        CREATE TABLE orders (order_id int, customer_id text, time timestamptz);
        INSERT INTO orders VALUES (1, 'a', '2025-01-01Z')"""
    )
    problem(tmp_path, repository, database=DATABASE)
    (tmp_path / "events").mkdir()
    place = {"warehouse": "warehouse", "data": "data", "mlflow": "mlflow.db", "memory_gib": 2}
    place["connections"] = {
        "shop": {"url": postgres.url, "user": "SHOP_USER", "password": "SHOP_PASSWORD"}
    }
    place["spark"] = {"spark.eventLog.enabled": "true", "spark.eventLog.compress": "false"}
    place["spark"] |= {"spark.eventLog.dir": f"file://{tmp_path}/events"}
    (tmp_path / "env.yaml").write_text(json.dumps(place), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "SHOP_USER": "shop", "SHOP_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, again = done.stdout.split()
    assert pq.read_table(first).to_pylist() == [
        {"order_id": "1", "customer_id": "a", "time": "2025-01-01 00:00:00+00"}
    ]
    assert again == "None"
    assert "orders: pulled 1 records that were pulled before" in done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    events = [path for path in written if path.name.startswith("events_")]
    assert any(b"spark.driver.host" in path.read_bytes() for path in events)
    logged = [done.stderr.encode(), *(path.read_bytes() for path in written)]
    for never in (PASSWORD, json.dumps(PASSWORD)[1:-1]):
        assert not [text for text in logged if never.encode() in text]


def test_a_day_of_the_future_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    """Newer rows would be kept away for ever: it goes with its row."""
    monkeypatch.setattr(pulls, "folder", lambda line, source: tmp_path)
    column = SimpleNamespace(type="date")
    pull = SimpleNamespace(watermark="day")
    source = SimpleNamespace(columns={"day": column}, pull=pull)
    line: Any = SimpleNamespace(
        problem=SimpleNamespace(sources={"orders": source}, entity="who"),
        tables=SimpleNamespace(exists=lambda name: True),
    )
    for landed, kept in (
        (date(2024, 1, 31), date(2024, 1, 31)),
        (date(2999, 1, 1), date(2024, 1, 31)),
        (date(2024, 2, 1), date(2024, 2, 1)),
    ):
        monkeypatch.setattr(pulls, "_landed", lambda *_, landed=landed: landed.toordinal())
        pulls.keep_watermark(line, "orders")
        assert (tmp_path / "watermark").read_text() == f"day date {kept.toordinal()}\n"
