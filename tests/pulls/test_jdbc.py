"""A table of a real PostgreSQL becomes one file: all of it, or what a watermark says is new."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from driftline import jars, pseudonyms
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.pulls import jdbc
from driftline.pulls.jdbc import Server
from driftline.pulls.sections import Database
from driftline.pulls.spool import Pulled
from driftline.sources import Field, Layout, digest, read, splits

from .postgres import PASSWORD, Postgres

slow = pytest.mark.slow

KEY = b"k" * 32
AT = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
ORDERS = (
    Field("order_id", "string", "id"),
    Field("amount", "double"),
    Field("updated_at", "timestamp", "Updated At"),
)
WATERMARK = {"table": "orders", "watermark": "updated_at"}


@pytest.fixture(scope="session")
def driver(spark) -> None:
    """The driver where `spark.jars` would put it; the session of the tests runs already."""
    loader = spark._jvm.Thread.currentThread().getContextClassLoader()
    (jar,) = jars.driver(jars.POSTGRESQL)
    loader.addURL(spark._jvm.java.io.File(str(jar)).toURI().toURL())


@pytest.fixture
def database(postgres: Postgres) -> Postgres:
    """An empty database with a table of orders."""
    postgres.run(
        """DROP SCHEMA public CASCADE; CREATE SCHEMA public;
        CREATE TABLE orders (id int, amount numeric, "Updated At" timestamptz, other text);"""
    )
    return postgres


def server(postgres: Postgres, **changed: Any) -> Server:
    facts = {"url": postgres.url, "user": "shop", "password": PASSWORD}
    return Server("shop", **(facts | {"variables": "SHOP_USER and SHOP_PASSWORD"} | changed))


Pull = Callable[..., Pulled]


@pytest.fixture
def pull(spark, driver: None, database: Postgres, tmp_path: Path) -> Pull:
    def pulled(
        fields: tuple[Field, ...] = ORDERS,
        *,
        since: Any = None,
        landed: list[tuple[Any, ...]] | None = None,
        at: Server | None = None,
        hidden: tuple[str, ...] = (),
        **section: Any,
    ) -> Pulled:
        chosen = Database.model_validate({"connection": "shop", **(section or WATERMARK)})
        types = {"long": "bigint"}
        ddl = ", ".join(f"{each.name} {types.get(each.type, each.type)}" for each in fields)
        rows = None if landed is None else spark.createDataFrame(landed, ddl)
        asked = at or server(database)
        named = {"folder": tmp_path, "at": AT, "since": since, "landed": rows}
        return jdbc.pull(spark, chosen, fields, asked, **named, hidden=hidden, key=KEY)

    return pulled


def rows(pulled: Pulled) -> list[tuple[Any, ...]]:
    assert pulled.path is not None
    return [tuple(row.values()) for row in pq.read_table(pulled.path).to_pylist()]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.fixture
def warnings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    monkeypatch.setattr(logging.getLogger("driftline"), "propagate", True)
    return lambda: [each.getMessage() for each in caplog.records]


def test_a_snapshot_is_one_file_and_again_the_same(
    pull: Pull, database: Postgres, tmp_path: Path
) -> None:
    values = [f"({number}, {number % 7}.50, '2025-01-0{number % 9 + 1}')" for number in range(50)]
    insert = "INSERT INTO orders VALUES " + ", ".join(values)
    database.run(insert)
    first = pull(table="public.orders")
    assert first.records == 50
    assert first.path is not None
    assert rows(first) == sorted(rows(first))
    assert first.path.name.startswith("20250131T120000000000Z-")
    assert first.path.suffix == ".parquet"
    before = first.path.read_bytes()
    # The same rows from another order on disk, and by a query.
    again = pull(query="SELECT * FROM orders ORDER BY random() -- all of them")
    assert (again.path, again.records) == (None, 50)
    database.run("TRUNCATE orders; " + "INSERT INTO orders VALUES " + ", ".join(values[::-1]))
    assert pull(table="orders").path is None
    assert list(tmp_path.iterdir()) == [first.path]
    assert first.path.read_bytes() == before


@slow
def test_an_empty_table_is_no_file(pull: Pull, tmp_path: Path) -> None:
    assert pull() == Pulled(None, 0)
    assert list(tmp_path.iterdir()) == []


def test_from_a_watermark_on_with_ties(pull: Pull, database: Postgres) -> None:
    database.run(
        """INSERT INTO orders VALUES
        (1, 1, '2025-01-01Z'), (2, 2, '2025-01-02Z'), (3, 3, '2025-01-03Z'), (3, 3, '2025-01-03Z')
        """
    )
    old = [(str(n), float(n), moment(f"2025-01-0{n}")) for n in (1, 2, 3, 3)]
    assert rows(pull())[0] == ("1", "1", "2025-01-01 00:00:00+00")
    edge = moment("2025-01-03")
    assert pull(since=edge, landed=old).path is None
    # Committed later at the very same instant: another row, and a third of the same.
    database.run("INSERT INTO orders VALUES (4, 4, '2025-01-03Z'), (3, 3.00, '2025-01-03Z')")
    assert [each[0] for each in rows(pull(since=edge, landed=old))] == ["3", "4"]
    # An update moves a row beyond the watermark, a later time comes anyway.
    database.run(
        """UPDATE orders SET amount = 1.25, "Updated At" = '2025-01-04 05:30+05:30' WHERE id = 1;
        INSERT INTO orders VALUES (5, NULL, '2025-01-03 00:00:00.000001Z')"""
    )
    assert rows(pull(since=edge, landed=old)) == [
        ("1", "1.25", "2025-01-04 00:00:00+00"),
        ("3", "3.00", "2025-01-03 00:00:00+00"),
        ("4", "4", "2025-01-03 00:00:00+00"),
        ("5", None, "2025-01-03 00:00:00.000001+00"),
    ]


@slow
def test_of_what_nobody_may_read_the_pseudonym_is_kept_and_compared(
    pull: Pull, database: Postgres
) -> None:
    """The rows at the watermark have landed as pseudonyms: they come once."""
    database.run(
        """ALTER TABLE orders ALTER id TYPE text;
        INSERT INTO orders VALUES ('anna', 1, '2025-01-01Z'), (NULL, 2, '2025-01-01Z')"""
    )
    anna, ben = (pseudonyms.pseudonym(each, KEY) for each in ("anna", "ben"))
    at = moment("2025-01-01")
    first = pull(hidden=("id",))
    assert set(rows(first)) == {
        (anna, "1", "2025-01-01 00:00:00+00"),
        (None, "2", "2025-01-01 00:00:00+00"),
    }
    landed = [(anna, 1.0, at), (None, 2.0, at)]
    assert pull(hidden=("id",), since=at, landed=landed).path is None
    database.run("INSERT INTO orders VALUES ('ben', 1, '2025-01-01Z'), ('anna', 1, '2025-01-01Z')")
    again = pull(hidden=("id",), since=at, landed=landed)
    assert {each[0] for each in rows(again)} == {anna, ben}
    assert again.records == 2


@slow
def test_rows_without_a_watermark_are_neither_lost_nor_repeated(
    pull: Pull, database: Postgres, warnings: Callable[[], list[str]]
) -> None:
    database.run("INSERT INTO orders VALUES (1, 1, '2025-01-01Z'), (2, NULL, NULL)")
    assert pull().records == 2
    said = (
        "shop: 1 rows have no Updated At; they are read every time: give them one, or leave them "
        "out by a query"
    )
    assert warnings() == [said]
    landed = [("1", 1.0, moment("2025-01-01")), ("2", None, None)]
    assert pull(since=moment("2025-01-01"), landed=landed).path is None
    database.run("INSERT INTO orders VALUES (3, NULL, NULL)")
    assert rows(pull(since=moment("2025-01-01"), landed=landed)) == [("3", None, None)]
    assert warnings() == [said, said, said.replace("1 rows", "2 rows")]


@slow
def test_nothing_from_the_watermark_on(pull: Pull, database: Postgres) -> None:
    """The rows at it were deleted: what has landed stays landed."""
    database.run("INSERT INTO orders VALUES (1, 1, '2025-01-01Z')")
    landed = [("2", 2.0, moment("2025-01-02"))]
    assert pull(since=moment("2025-01-02"), landed=landed) == Pulled(None, 0)


@slow
def test_the_zone_of_the_machine_does_not_matter(spark, pull: Pull, database: Postgres) -> None:
    zones = spark._jvm.java.util.TimeZone
    before = zones.getDefault()
    database.run(
        """CREATE TABLE marks (mark timestamp);
        INSERT INTO marks VALUES ('2025-01-01 12:00'), ('2025-01-01 13:00');
        INSERT INTO orders VALUES (1, 1, '2025-01-01 12:00Z')"""
    )
    zones.setDefault(zones.getTimeZone("Asia/Tokyo"))
    try:
        since = moment("2025-01-01 12:30")
        marks = pull((Field("mark", "timestamp"),), since=since, table="marks", watermark="mark")
        assert rows(marks) == [("2025-01-01 13:00:00",)]
        assert rows(pull()) == [("1", "1", "2025-01-01 12:00:00+00")]
    finally:
        zones.setDefault(before)


@slow
def test_a_row_at_the_watermark_that_cannot_be_read_comes_again(
    pull: Pull, database: Postgres
) -> None:
    database.run("INSERT INTO orders VALUES (1, 'NaN', '2025-01-01Z'), (1, NULL, '2025-01-01Z')")
    landed = [("1", None, moment("2025-01-01"))] * 2
    again = pull(since=moment("2025-01-01"), landed=landed)
    assert rows(again) == [("1", "NaN", "2025-01-01 00:00:00+00")]


@pytest.mark.parametrize(
    ("type", "field", "values", "since", "new"),
    [
        ("bigint", "long", "(1), (2), (9223372036854775807)", 2, ["9223372036854775807"]),
        ("date", "date", "('2025-01-01'), ('2025-01-02')", date(2025, 1, 1), ["2025-01-02"]),
        (
            "timestamp",
            "timestamp",
            "('2025-01-01 12:00'), ('2025-01-01 12:00:00.000001'), ('2025-01-01 11:59:59.999999')",
            moment("2025-01-01 12:00"),
            ["2025-01-01 12:00:00.000001"],
        ),
    ],
)
@slow
def test_watermarks_of_other_types(
    pull: Pull, database: Postgres, type: str, field: Any, values: str, since: Any, new: list[str]
) -> None:
    database.run(f"CREATE TABLE marks (mark {type}); INSERT INTO marks VALUES {values}")
    found = pull(
        (Field("mark", field),), since=since, landed=[(since,)], table="marks", watermark="mark"
    )
    assert rows(found) == [(each,) for each in new]


VALUES = {
    "int": ("-2147483648", "-2147483648"),
    "bigint": ("9223372036854775807", "9223372036854775807"),
    "numeric": ("1234567890123456789012345678901234567890.10", None),
    "numeric(10,2)": ("1.5", "1.50"),
    "float8": ("0.1", "0.1"),
    "double precision": ("'-Infinity'", "-Infinity"),
    "boolean": ("true", "true"),
    "text": ("E'a\\n\"b\\'; é 漢 😀\\\\'", "a\n\"b'; é 漢 😀\\"),
    "varchar(9)": ("''", ""),
    "char(3)": ("'a'", "a"),
    "date": ("'2024-02-29'", "2024-02-29"),
    "timestamp": ("'2024-02-29 23:59:59.123456'", "2024-02-29 23:59:59.123456"),
    "timestamptz": ("'2024-02-29 23:59:59.5+05:30'", "2024-02-29 18:29:59.5+00"),
    "timestamptz[]": ("'{}'", "{}"),
    "json": ("""'{"b": 1.0,  "a": 1e400}'""", '{"b": 1.0,  "a": 1e400}'),
    "jsonb": ("""'{"b": 1.0,  "a": 1}'""", '{"a": 1, "b": 1.0}'),
    "bytea": ("'\\x00ff'", "\\x00ff"),
    "int[]": ("'{1,NULL,3}'", "{1,NULL,3}"),
    "uuid": ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "interval": ("'1 day 2 hours'", "1 day 02:00:00"),
    "int4range": ("'[1,5)'", "[1,5)"),
    "inet": ("'10.0.0.1'", "10.0.0.1/32"),
    "mood": ("'so so'", "so so"),
    "pair": ("ROW(1, 'x')", "(1,x)"),
}


@slow
def test_every_type_comes_as_its_text(pull: Pull, database: Postgres) -> None:
    database.run("CREATE TYPE mood AS ENUM ('so so'); CREATE TYPE pair AS (a int, b text)")
    columns = ", ".join(f"c{place} {type}" for place, type in enumerate(VALUES))
    literals = ", ".join(value for value, _ in VALUES.values())
    nulls = ", ".join(["NULL"] * len(VALUES))
    database.run(f"CREATE TABLE t ({columns}); INSERT INTO t VALUES ({literals}), ({nulls})")
    fields = tuple(Field(f"c{place}", "string") for place in range(len(VALUES)))
    nothing, found = rows(pull(fields, table="t"))
    assert set(nothing) == {None}
    expected = [text or value for value, text in VALUES.values()]
    expected[list(VALUES).index("varchar(9)")] = ""
    assert list(found) == expected


def test_the_values_that_a_parser_reads(pull: Pull, database: Postgres) -> None:
    """What the file becomes in bronze: declared types, or a reject that names the column."""
    database.run(
        """CREATE TABLE t (id bigint, price numeric(40, 20), ok bool, day date,
        at timestamptz, n text);
        INSERT INTO t VALUES
        (9223372036854775807, 0.1, true, '2024-02-29', '2024-02-29 23:59:59.5+05:30', E'a\n"é'),
        (NULL, NULL, NULL, NULL, NULL, NULL),
        (2, 'NaN', false, '2024-02-29', '2024-02-29', ''),
        (3, 1, true, 'infinity', '2024-02-29', 'x'),
        (4, 1, true, '2024-02-29', '0044-03-15 BC', 'x')"""
    )
    types: dict[str, Any] = {"id": "long", "price": "double", "ok": "boolean", "day": "date"}
    types |= {"at": "timestamp", "n": "string"}
    fields = tuple(Field(name, type) for name, type in types.items())
    found = pull(fields, table="t")
    assert found.path is not None
    layout = Layout("parquet", fields)
    size, _ = digest(str(found.path))
    (split,) = splits(str(found.path), size, layout)
    (parsed,) = read(split, layout)
    half = datetime(2024, 2, 29, 18, 29, 59, 500_000, timezone.utc)
    assert [tuple(row.values())[:6] for row in parsed.rows.to_pylist()] == [
        (None,) * 6,
        (2**63 - 1, 0.1, True, date(2024, 2, 29), half, 'a\n"é'),
    ]
    rejects = parsed.rejects.select(["reason", "column"]).to_pylist()
    assert rejects == [{"reason": "bad_value", "column": name} for name in ("price", "day", "at")]


@slow
def test_names_are_taken_as_they_stand(pull: Pull, database: Postgres) -> None:
    odd = 'a "b`.c; --'
    quoted = '"' + odd.replace('"', '""') + '"'
    database.run(f'CREATE TABLE odd ({quoted} int, "A" int); INSERT INTO odd VALUES (1, 2)')
    fields = (Field("x", "long", odd), Field("y", "long", "A"), Field("z", "long", "A"))
    found = pull(fields, since=0, landed=[(0, 0, 0)], table="odd", watermark="x")
    assert found.path is not None
    assert pq.read_table(found.path).to_pylist() == [{odd: "1", "A": "2"}]


def refused(pull: Pull, kind: type[DriftlineError], folder: Path, **options: Any) -> str:
    """The words of the error; nothing was written, and no secret is in them."""
    with pytest.raises(kind) as caught:
        pull(**options)
    assert [path for path in folder.iterdir() if path.suffix == ".parquet"] == []
    assert not (folder / "pull.part").exists()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_nobody_listens(pull: Pull, database: Postgres, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"jdbc:postgresql://127.0.0.1:{closed.getsockname()[1]}/shop"
        words = refused(pull, TryAgain, tmp_path, at=server(database, url=url + "?sslmode=disable"))
    assert words == (
        "shop: the database cannot be reached or is too busy (08001)\n"
        f"  where:   {url}\n"
        "  hint:    is the server running, and does the network let us through? then try again"
    )


@slow
def test_stopped_while_it_answers(pull: Pull, database: Postgres, tmp_path: Path) -> None:
    """The connection breaks off in the middle of the rows."""
    dying = "SELECT n AS id, CASE n WHEN 50000 THEN pg_terminate_backend(pg_backend_pid()) END"
    query = f'{dying} AS amount, now() AS "Updated At" FROM generate_series(1, 99999) AS n'
    assert "too busy (" in refused(pull, TryAgain, tmp_path, query=query)


@pytest.mark.parametrize(
    ("changed", "section", "what"),
    [
        ({"password": "wrong"}, {}, "refuses what is in SHOP_USER and SHOP_PASSWORD (28P01)"),
        ({"user": None, "password": None, "variables": ""}, {}, "us without a user (08004)"),
        ({"database": "shoe"}, {}, "there is no such database"),
        ({}, {"table": "order"}, 'syntax error at or near "order"'),
        ({}, {"table": "ordres"}, 'relation "ordres" does not exist (42P01)'),
        ({}, {"query": "SELECT 1 AS id"}, 'column "amount" does not exist (42703)'),
        ({}, {"table": "pg_authid"}, "does not exist (42703)"),
        ({}, {"query": "SELECT * FROM orders; DROP TABLE orders"}, "(42601)"),
    ],
)
def test_what_is_for_a_person(
    pull: Pull, database: Postgres, tmp_path: Path, changed: Any, section: Any, what: str
) -> None:
    name = changed.pop("database", "shop")
    at = server(database, url=database.url.replace("/shop", f"/{name}"), **changed)
    assert what in refused(pull, Missing, tmp_path, at=at, **section)
    assert database.run("SELECT count(*) FROM orders") == "0\n"


@slow
def test_a_value_is_not_in_the_error(pull: Pull, database: Postgres, tmp_path: Path) -> None:
    database.run("INSERT INTO orders VALUES (1, 1, now(), 'private')")
    query = 'SELECT id, amount, other::int AS "Updated At" FROM orders'
    words = refused(pull, Missing, tmp_path, query=query)
    assert "the database gave up (22P02)" in words
    assert "private" not in words


@slow
def test_nothing_can_be_written_through_a_pull(
    pull: Pull, database: Postgres, tmp_path: Path
) -> None:
    database.run(
        """CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS
        $$ INSERT INTO orders VALUES (7, 7, now()) RETURNING 1 $$"""
    )
    query = 'SELECT 1 AS id, evil() AS amount, now() AS "Updated At"'
    assert "(25006)" in refused(pull, Missing, tmp_path, query=query)
    assert database.run("SELECT count(*) FROM orders") == "0\n"


@slow
def test_the_password_is_in_no_plan(spark, driver: None, database: Postgres, capsys) -> None:
    options = {"url": database.url, "user": "shop", "password": PASSWORD}
    options |= {"query": "SELECT 1 AS a", "driver": "org.postgresql.Driver"}
    read = spark.read.format("jdbc").options(**options).load()
    read.explain(True)
    said = capsys.readouterr().out + read._jdf.queryExecution().toString()
    assert "JDBCRelation" in said
    assert PASSWORD not in said
    assert PASSWORD not in str(spark.sparkContext.getConf().getAll())
