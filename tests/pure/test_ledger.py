"""Money by the price book, and runs that must account for every row."""

from __future__ import annotations

import math
import re

import pytest

from driftline.errors import DriftlineError
from driftline.ledger import Run
from driftline.logs import Progress
from driftline.prices import affordable, money
from driftline.sections import Prices
from driftline.tables import Written

PRICES = Prices(currency="EUR", core_hour=0.05, gib_hour=0.006, gib_month=0.02)


@pytest.mark.parametrize(
    ("core_hours", "gib_hours", "gib_months", "expected"),
    [
        (0, 0, 0, 0.0),
        (1, 0, 0, 0.05),
        (0, 1, 0, 0.006),
        (0, 0, 1, 0.02),
        # two cores and eight GiB for an hour, and 1.5 GiB kept for a month
        (2, 8, 1.5, 0.178),
    ],
)
def test_money_by_hand(
    core_hours: float, gib_hours: float, gib_months: float, expected: float
) -> None:
    found = money(PRICES, core_hours=core_hours, gib_hours=gib_hours, gib_months=gib_months)
    assert found == pytest.approx(expected, rel=1e-12)


def test_what_is_free_costs_nothing() -> None:
    free = Prices(core_hour=0, gib_hour=0, gib_month=0)
    assert money(free, core_hours=9, gib_hours=9, gib_months=9) == 0.0


def run() -> Run:
    return Run("ingest", Progress("ingest"))


def test_a_run_has_an_id_of_its_own_and_a_time_with_a_zone() -> None:
    first, second = run(), run()
    assert re.fullmatch("[0-9a-f]{12}", first.run_id)
    assert first.run_id != second.run_id
    assert first.started_at.utcoffset() is not None


def test_counts_add_up_over_sources() -> None:
    found = run()
    found.count(in_=10, out=7, rejected=2, duplicate=1)
    found.count(in_=5, out=5)
    assert (found.rows_in, found.rows_out) == (15, 12)
    assert (found.rows_rejected, found.rows_duplicate) == (2, 1)
    found.balance()


@pytest.mark.parametrize(
    ("in_", "out", "rejected", "duplicate"),
    [(10, 9, 0, 0), (10, 7, 2, 0), (10, 10, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)],
)
def test_a_lost_or_invented_row_is_a_bug(in_: int, out: int, rejected: int, duplicate: int) -> None:
    found = run()
    found.count(in_=in_, out=out, rejected=rejected, duplicate=duplicate)
    with pytest.raises(DriftlineError) as caught:
        found.balance()
    assert caught.value.exit_code == 1
    assert caught.value.what == (
        f"ingest cannot account for every row: {in_} in, {out} out + {rejected} rejected + "
        f"{duplicate} duplicate"
    )
    assert caught.value.where == f"run {found.run_id}"


def test_a_run_that_counted_nothing_balances() -> None:
    found = run()
    found.balance()
    assert (found.rows_in, found.rows_out) == (None, None)


def test_a_run_is_done_when_something_was_written() -> None:
    found = run()
    found.read("bronze.orders", 4)
    assert found.status == "unchanged"
    found.wrote(Written("silver.orders", 3, skipped=True))
    assert (found.status, found.tables_written) == ("unchanged", {})
    found.wrote(Written("silver.orders", 4))
    assert (found.status, found.tables_written) == ("done", {"silver.orders": 4})
    assert found.tables_read == {"bronze.orders": 4}


def test_money_buys_time_until_it_is_spent() -> None:
    prices = Prices(core_hour=0.05, gib_hour=0.006)
    held = {"cores": 4, "memory_gib": 16}
    seconds = affordable(prices, 0.5, **held)
    assert seconds == pytest.approx(3600 * 0.5 / (4 * 0.05 + 16 * 0.006))
    hours = seconds / 3600
    spent = money(prices, core_hours=4 * hours, gib_hours=16 * hours, gib_months=0)
    assert spent == pytest.approx(0.5)
    assert affordable(Prices(core_hour=0, gib_hour=0), 1e-9, **held) == math.inf
