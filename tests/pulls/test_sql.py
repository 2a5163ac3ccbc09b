"""The statement of a pull, word by word."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from driftline.pulls.sections import Database
from driftline.pulls.sql import count_without, literal, quoted, select

TABLE = Database(connection="shop", table="public.orders")
QUERY = Database(connection="shop", query="SELECT * FROM a -- all")


def test_all_rows_of_a_table() -> None:
    assert select(TABLE, ["id", "At"]) == (
        'SELECT "id"::text AS c0, "At"::text AS c1 FROM public.orders'
    )
    assert select(TABLE, ["id"], watermark="id") == select(TABLE, ["id"])


def test_a_query_may_end_with_a_comment() -> None:
    assert select(QUERY, ["id"], watermark="id", since=7) == (
        'SELECT "id"::text AS c0 FROM (\nSELECT * FROM a -- all\n) AS pulled '
        'WHERE "id" >= 7 OR "id" IS NULL'
    )


def test_rows_without_a_watermark_are_counted() -> None:
    assert count_without(TABLE, "At") == (
        'SELECT count(*)::text AS c0 FROM public.orders WHERE "At" IS NULL'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            datetime(2025, 1, 31, 1, 2, 3, 4, timezone(timedelta(hours=2))),
            "TIMESTAMPTZ '2025-01-30 23:02:03.000004+00'",
        ),
        (date(2025, 1, 31), "DATE '2025-01-31'"),
        (-5, "-5"),
    ],
)
def test_literals(value: Any, expected: str) -> None:
    assert literal(value) == expected


def test_names_cannot_end_themselves() -> None:
    assert quoted('a"; DROP TABLE b --') == '"a""; DROP TABLE b --"'
