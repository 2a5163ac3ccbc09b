"""Orders before the gate, for tests of it: what landed, and a suite that can be rewritten."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from driftline import schemas
from driftline.jobs import gate, validate

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
SUITE = [
    {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "order_id", "mostly": 0.5},
        "meta": {"why": "Orders have numbers"},
    },
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "amount", "min_value": 0, "mostly": 0.5},
        "meta": {"why": "Refunds are elsewhere"},
    },
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "channel", "value_set": ["web", "mobile"], "mostly": 0.5},
        "meta": {"why": "The shop sells nowhere else"},
    },
    {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 1},
        "meta": {"why": "An empty delivery is a broken export"},
    },
]


class Shop:
    """Orders that landed, a suite that can be rewritten, and the stage."""

    def __init__(self, line: Any) -> None:
        self.line = line
        self.silver = schemas.silver(line.problem, "orders")
        for source in line.problem.sources:
            self.guarded_by(SUITE, source)

    def guarded_by(self, expectations: list[dict], source: str = "orders") -> None:
        path = gate.suite_path(self.line, schemas.silver(self.line.problem, source))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": "orders", "expectations": expectations}))

    def lands(
        self,
        batch: str,
        orders: list[tuple],
        at: datetime = NOON,
        *,
        rejected: int = 0,
        delivery: str = "",
        source: str = "orders",
    ) -> None:
        """(order_id, time, amount, channel) each; ``delivery`` if its batch has several."""
        name = delivery or batch
        rows = [
            (number, "c1", time, amount, 1, "a", channel, None, f"d{name}", n, batch, at)
            for n, (number, time, amount, channel) in enumerate(orders)
        ]
        self.line.tables.append_values(
            rows, schemas.bronze(self.line.problem, source), key=f"ingest:{name}"
        )
        told = (source, f"d{name}", f"{name}.ndjson", 1, "landed", None, batch)
        counts = (len(rows) + rejected, len(rows), rejected, "r")
        self.line.tables.append_values(
            [(*told, *counts, at)], schemas.DELIVERIES, key=f"landed:{name}"
        )

    def read(self, name: str) -> list:
        if not self.line.tables.exists(name):
            return []
        return self.line.tables.read(name).collect()

    def numbers(self) -> list:
        return sorted(row.order_id or "" for row in self.read("silver.orders"))

    def kept_out(self) -> dict[int, list[str]]:
        rows = self.read("ops.quarantine")
        found = {row.offset: sorted(each.name for each in row.rules) for row in rows}
        assert len(found) == len(rows)
        return found


ORDERS = [
    ("o0", NOON, 5.0, "web"),
    ("o1", NOON, -5.0, "web"),
    (None, NOON, -1.0, "fax"),
    ("o3", NOON, 5.0, "mobile"),
    ("o3", NOON, 6.0, "web"),
    ("o5", NOON.replace(microsecond=123456), None, "fax"),
    ("o6", None, 0.0, "web"),
]
AMOUNT, NULL, CHANNEL = (
    "amount: values_to_be_between",
    "order_id: values_to_not_be_null",
    "channel: values_to_be_in_set",
)
OUT = {1: [AMOUNT], 2: [AMOUNT, CHANNEL, NULL], 5: [CHANNEL]}


class Killed(Exception):
    pass


def killed_at(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, method: str, table: str, **options: Any
) -> None:
    """Let the stage end where it would write a table, or any of a layer ("silver."); what was
    written before stays.
    """
    real = getattr(shop.line.tables, method)

    def write(rows: Any, written: Any, **more: Any) -> Any:
        if written.full_name.startswith(table):
            raise Killed
        return real(rows, written, **more)

    with monkeypatch.context() as patched:
        patched.setattr(shop.line.tables, method, write)
        with pytest.raises(Killed):
            validate.run(shop.line, replay=method == "merge", **options)


def with_sql(condition: str, severity: str = "error") -> dict:
    query = f"SELECT * FROM {{batch}} WHERE {condition}"
    meta = {"severity": severity, "why": "A code"}
    kwargs = {"unexpected_rows_query": query}
    return {"type": "unexpected_rows_expectation", "kwargs": kwargs, "meta": meta}


CODED = [("o0", NOON, 5.0, "1"), ("o1", NOON, 6.0, "0"), (None, NOON, 7.0, "1")]
UNTOLD = "table: unexpected_rows_expectation"
BECAUSE = "cannot be told of every value: CAST_INVALID_INPUT"
