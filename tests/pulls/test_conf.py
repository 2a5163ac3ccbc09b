"""What a conf may say of sources that are pulled; a wrong one never shows what may be a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftline import connections
from driftline.connections import secret
from driftline.environment import Environment, load_environment
from driftline.errors import ConfError, Missing
from driftline.explain import explain
from driftline.layouts import layout
from driftline.problem import Problem, load_problem

CHURN = Path(__file__).parents[2] / "conf" / "churn.yaml"
DATABASE: dict[str, Any] = {"connection": "shop", "table": "public.orders", "watermark": "time"}
API: dict[str, Any] = {
    "connection": "desk",
    "path": "/v1/orders",
    "records": "data.items",
    "pagination": {"by": "cursor", "parameter": "after", "next": "data.next"},
    "since": "updated_after",
    "watermark": "time",
}


def problem(folder: Path, **changes: Any) -> Problem:
    """churn.yaml with another source of orders; a None takes a key away."""
    content = yaml.safe_load(CHURN.read_text("utf-8"))
    orders = {**content["sources"]["orders"], "path": None, "format": None, **changes}
    content["sources"]["orders"] = {key: each for key, each in orders.items() if each is not None}
    (folder / "x.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return load_problem(folder / "x.yaml")


def environment(folder: Path, shop: Any) -> Environment:
    content = {"warehouse": "w", "data": "d", "mlflow": "m", "connections": {"shop": shop}}
    (folder / "env.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return load_environment(folder / "env.yaml")


@pytest.mark.parametrize(("origin", "format"), [("database", "parquet"), ("api", "ndjson")])
def test_what_is_pulled_has_the_format_it_is_written_in(
    tmp_path: Path, origin: str, format: str
) -> None:
    section = {"database": DATABASE, "api": API}[origin]
    for given in ({}, {"format": format}):
        source = problem(tmp_path, **{origin: section}, **given).sources["orders"]
        assert source.pull is not None
        assert source.pull.connection == section["connection"]
        assert layout(source).format == format
    assert problem(tmp_path, path="x", format="csv").sources["orders"].pull is None


WITHOUT_KEY = {"key": None, "api": API}
WRONG: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "no origin": ({}, ("a source without an origin", "path", "nothing")),
    "two origins": (
        {"path": "x", "database": DATABASE},
        ("a source with two origins", "database", "path and database"),
    ),
    "format of its own": (
        {"api": API, "format": "csv"},
        ("what is pulled from an API is kept as ndjson", "format", "csv"),
    ),
    "neither table nor query": (
        {"database": {"connection": "shop"}},
        ("neither a table nor a query", "database.table", "nothing"),
    ),
    "table and query": (
        {"database": {**DATABASE, "query": "SELECT 1"}},
        ("a table and a query", "database.query", "SELECT 1"),
    ),
    "unknown key": (
        {"database": {**DATABASE, "tabel": "x"}},
        ("unknown key", "database.tabel", "tabel"),
    ),
    "watermark that is no column": (
        {"database": {**DATABASE, "watermark": "tim"}},
        ("no such column", "database.watermark", "tim"),
    ),
    "watermark that is a text": (
        {"database": {**DATABASE, "watermark": "order_id"}},
        ("nothing one can go on from", "database.watermark", "order_id, a string"),
    ),
    "watermark in a format": (
        {
            "database": DATABASE,
            "columns": {
                "order_id": "string",
                "customer_id": "string",
                "time": {"type": "timestamp", "format": "epoch_s"},
            },
        },
        ("a watermark in a text", "columns.time.format", "epoch_s"),
    ),
    "since without watermark": (
        {"api": {**API, "watermark": None}},
        ("since and watermark go together", "api.watermark", "nothing"),
    ),
    "watermark without since": (
        {"api": {**API, "since": None}},
        ("since and watermark go together", "api.since", "nothing"),
    ),
    "since without a key": (
        WITHOUT_KEY,
        ("records may come twice and nothing tells them apart", "key", "nothing"),
    ),
    "pagination of another kind": (
        {"api": {**API, "pagination": {"by": "offset"}}},
        ("not one of the allowed values", "api.pagination.by", "offset"),
    ),
    "pagination without its key": (
        {"api": {**API, "pagination": {"by": "cursor", "parameter": "after"}}},
        ("a required key is missing", "api.pagination.next", "nothing"),
    ),
    "path with parameters": (
        {"api": {**API, "path": "/v1/orders?size=1"}},
        ("not a path", "api.path", "/v1/orders?size=1"),
    ),
    "path without a slash": (
        {"api": {**API, "path": "@evil.example/"}},
        ("not a path", "api.path", "@evil.example/"),
    ),
}


@pytest.mark.parametrize(("changes", "expected"), WRONG.values(), ids=WRONG)
def test_a_source_that_is_wrong(
    tmp_path: Path, changes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    what, key, found = expected
    with pytest.raises(ConfError) as caught:
        problem(tmp_path, **changes)
    assert (caught.value.what, caught.value.key, caught.value.found) == (
        what,
        f"sources.orders.{key}",
        found,
    )
    assert caught.value.allowed
    assert caught.value.hint


SECRET = "hunter2"
PG = "jdbc:postgresql://127.0.0.1:5432/shop"
BAD_CONNECTIONS: dict[str, tuple[Any, str, str]] = {
    "no section": (f"jdbc:postgresql://me:{SECRET}@host/shop", "not a mapping", ""),
    "password": ({"url": PG, "password": SECRET}, "not the name of an", ".password"),
    "password of digits": ({"url": PG, "password": 1234567}, "not the name of an", ".password"),
    "token": ({"url": "https://x", "token": "abc.DEF"}, "not the name of an", ".token"),
    "user in the address": (
        {"url": f"https://me:{SECRET}@host"},
        "a secret in a conf file",
        ".url",
    ),
    "password in the address": (
        {"url": f"{PG}?sslmode=require&Password={SECRET}"},
        "a secret in a conf file",
        ".url",
    ),
    "password of a key in the address": (
        {"url": f"{PG}?sslmode=verify-full&sslpassword={SECRET}"},
        "a secret in a conf file",
        ".url",
    ),
    "password with a slash": (
        {"url": f"jdbc:postgresql://me:hun/{SECRET}@host/shop"},
        "a secret in a conf file",
        ".url",
    ),
    "password that looks like a port": (
        {"url": f"https://me:12/{SECRET}@host"},
        "a secret in a conf file",
        ".url",
    ),
    "password with a bracket": (
        {"url": f"https://me:[{SECRET}@host"},
        "a secret in a conf file",
        ".url",
    ),
    "token in the address": ({"url": f"https://{SECRET}@host"}, "a secret in a conf", ".url"),
    "user and password of another kind": (
        {"url": f"jdbc:oracle:thin:me/{SECRET}@host"},
        "a secret in a conf file",
        ".url",
    ),
    "password among another kind's settings": (
        {"url": f"jdbc:sqlserver://host;password={SECRET}"},
        "not the address of",
        ".url",
    ),
    "user and password without slashes": ({"url": f"me:{SECRET}@host"}, "a secret", ".url"),
    "other database": ({"url": "jdbc:mysql://host/shop"}, "not the address of", ".url"),
    "other scheme": ({"url": "ftp://host"}, "not the address of", ".url"),
    "no host": ({"url": "https:///v1"}, "not the address of", ".url"),
    "no port": ({"url": "https://host:http"}, "not the address of", ".url"),
    "no text": ({"url": 5}, "not an address", ".url"),
    "token as a parameter": ({"url": f"https://host/?key={SECRET}"}, "with parameters", ".url"),
    "token of a database": ({"url": PG, "token": "A"}, "not a key of such", ".token"),
    "user of an API": ({"url": "https://host", "user": "A"}, "not a key of such", ".user"),
    "token in the clear": ({"url": "http://host", "token": "A"}, "a token would be sent", ".url"),
    "rate": ({"url": "https://host", "requests_per_second": 0}, "out of range", ".requests_per_"),
    "unknown key": ({"url": "https://host", "passwd": SECRET}, "unknown key", ".passwd"),
    "no address": ({"token": "A"}, "a required key is missing", ".url"),
}


@pytest.mark.parametrize(("shop", "what", "key"), BAD_CONNECTIONS.values(), ids=BAD_CONNECTIONS)
def test_a_connection_that_is_wrong(tmp_path: Path, shop: Any, what: str, key: str) -> None:
    with pytest.raises(ConfError) as caught:
        environment(tmp_path, shop)
    assert what in caught.value.what
    assert caught.value.key.startswith(f"connections.shop{key}")
    assert caught.value.allowed
    for never in (SECRET, "1234567", "abc.DEF"):
        assert never not in str(caught.value)


@pytest.mark.parametrize(
    ("shop", "kind"),
    [
        ({"url": PG + "?sslmode=require", "user": "SHOP_USER", "password": "P1"}, "database"),
        ({"url": "https://api.example/shops/me@shop", "token": "T"}, "api"),
        ({"url": "https://api.example/base", "token": "T", "requests_per_second": 0.5}, "api"),
        ({"url": "http://127.0.0.1:9000", "token": "T"}, "api"),
        ({"url": "http://intranet"}, "api"),
    ],
)
def test_connections(tmp_path: Path, shop: dict[str, Any], kind: str) -> None:
    assert environment(tmp_path, shop).connections["shop"].kind == kind


@pytest.mark.parametrize(
    ("shop", "name", "found", "hint"),
    [
        ({"url": PG}, "shpo", "nothing", "did you mean 'shop'?"),
        ({"url": PG}, "other", "nothing", "add it here"),
        ({"url": "https://host"}, "shop", "one of kind api", "add it here"),
    ],
)
def test_a_connection_that_is_not_there(
    tmp_path: Path, shop: Any, name: str, found: str, hint: str
) -> None:
    source = problem(tmp_path, database={**DATABASE, "connection": name}).sources["orders"]
    assert source.pull is not None
    known = environment(tmp_path, shop).connections
    with pytest.raises(ConfError) as caught:
        connections.check({"orders": source.pull}, known, "here.yaml")
    error = caught.value
    assert (error.file, error.key, error.found, error.hint) == (
        "here.yaml",
        f"connections.{name}",
        found,
        hint,
    )


def test_the_command_ends_before_spark_if_a_connection_is_not_there(tmp_path: Path) -> None:
    problem(tmp_path, database=DATABASE)
    environment(tmp_path, {"url": "https://host"})
    done = subprocess.run(
        [
            *(Path(sys.prefix, "bin", "driftline"), "ingest", "--problem", tmp_path / "x.yaml"),
            *("--env", tmp_path / "env.yaml"),
        ],
        env={**os.environ, "JAVA_HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "driftline: sources.orders is to be pulled from nowhere\n" in done.stderr
    assert f"file:    {tmp_path}/env.yaml\n" in done.stderr


def test_a_secret_is_what_the_variable_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", " pässword \r\n")
    assert secret("SHOP_TOKEN", connection="shop") == " pässword "


@pytest.mark.parametrize(
    ("value", "what"),
    [(None, "is not set"), ("\n", "is not set"), ("two\nlines", "more than a line of text")],
)
def test_a_variable_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, value: str | None, what: str
) -> None:
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_TOKEN", value)
    with pytest.raises(Missing) as caught:
        secret("SHOP_TOKEN", connection="shop")
    assert what in caught.value.what
    assert "SHOP_TOKEN" in caught.value.what
    assert "lines" not in str(caught.value)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (
            {"database": DATABASE},
            "table public.orders of the database shop, from the newest time on",
        ),
        (
            {"database": {"connection": "shop", "query": "SELECT *\n  FROM orders"}},
            "query SELECT * FROM orders of the database shop, all of it each time",
        ),
        ({"api": API}, "path /v1/orders of the API desk, from the newest time on"),
    ],
)
def test_explained(tmp_path: Path, origin: dict[str, Any], words: str) -> None:
    said = explain(problem(tmp_path, **origin)).split("\n")
    kept = "event time time, a repeated (order_id) is kept once"
    assert f"  orders: {words}, {kept}" in said
