"""Sources in a conf: a format, type, time or key that is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from conf_errors import CHURN, CUSTOMER_COLUMNS, ORDER_COLUMNS, PROJECT, refusal, said, written

from driftline.errors import ConfError
from driftline.problem import load_problem

TYPES = "string, long, double, boolean, timestamp, date"

# id: what is replaced, by what; then what the error says: what, key, found, allowed, hint
CHANGES = {
    "type that is none": (
        ("category: {type: string", "category: {type: str"),
        (
            "not one of the allowed values",
            "sources.orders.columns.category.type",
            "str",
            TYPES,
            "did you mean 'string'?",
        ),
    ),
    "type that is none, short form": (
        ("category: {type: string, comment: Main category}", "category: text"),
        (
            "not one of the allowed values",
            "sources.orders.columns.category",
            "text",
            TYPES,
            "choose one of the allowed values",
        ),
    ),
    "entity of another type where no feature is made": (
        (
            "  orders:\n",
            "  calls: {path: calls/*.csv, format: csv, time: time, columns: "
            "{customer_id: long, time: timestamp}}\n  orders:\n",
        ),
        (
            "the entity has different types in different sources",
            "entity",
            "visits: string, calls: long, orders: string, customers: string",
            "one type, or nothing joins, and nobody can be erased",
            "give customer_id the same type under each source's columns",
        ),
    ),
    "format that is none": (
        ("format: ndjson", "format: json"),
        (
            "not one of the allowed values",
            "sources.orders.format",
            "json",
            "access_log, csv, ndjson, parquet, whitespace",
            "did you mean 'ndjson'?",
        ),
    ),
    "event time that is not a time": (
        ("time: {type: timestamp, comment: When}", "time: {type: string}"),
        (
            "the event time is not a time",
            "sources.orders.time",
            "time, a string",
            "a column of type timestamp or date",
            "give it a type, and a format if it is not ISO 8601",
        ),
    ),
    "event time that is no column": (
        ("time: updated_at", "time: updated"),
        (
            "no such column",
            "sources.customers.time",
            "updated",
            CUSTOMER_COLUMNS,
            "did you mean 'updated_at'?",
        ),
    ),
    "key that is no column": (
        ("key: [order_id]", "key: [number]"),
        (
            "no such column",
            "sources.orders.key",
            "number",
            ORDER_COLUMNS,
            "declare it under columns",
        ),
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    assert said(refusal(tmp_path, change)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("attributes: [side, age", "attributes: [age"),
            ("no such attribute to split by", "split.attribute", "side"),
        ),
        (
            ("{type: timestamp, value: 1994-01-01", "{type: string, value: 1994-01-01"),
            (
                "not a column that can have the same value in every row",
                "sources.people.columns.known.value",
                "a string",
            ),
        ),
        (
            ("{type: timestamp, value: 1994-01-01", "{type: date, from: x, value: 1994-01-01"),
            (
                "not a column that can have the same value in every row",
                "sources.people.columns.known.value",
                "a date from x",
            ),
        ),
    ],
)
def test_wrong_in_a_table_without_time(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str]
) -> None:
    text = (PROJECT / "conf" / "adult.yaml").read_text("utf-8")
    assert change[0] in text
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, text.replace(*change)))
    assert said(caught.value)[:3] == expected


def test_short_form_of_a_column(tmp_path: Path) -> None:
    long = "items: {type: long, comment: Pieces}"
    assert long in CHURN
    problem = load_problem(written(tmp_path, CHURN.replace(long, "items: long")))
    assert problem.sources["orders"].columns["items"].type == "long"
    assert problem.sources["orders"].columns["items"].comment == ""
