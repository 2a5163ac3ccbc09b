"""The gate as a stage: split, refuse, go on after a kill, replay, try, watch, suggest."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from driftline import schemas
from driftline.errors import ConfError, Missing, Refused
from driftline.jobs import dry_run, gate, query, suggest, validate, watch
from driftline.problem import load_problem
from driftline.query import text
from driftline.suite_files import read_suite

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
        self.guarded_by(SUITE)

    def guarded_by(self, expectations: list[dict]) -> None:
        path = gate.suite_path(self.line, self.silver)
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
    ) -> None:
        """(order_id, time, amount, channel) each; ``delivery`` if its batch has several."""
        name = delivery or batch
        rows = [
            (number, "c1", time, amount, 1, "a", channel, None, f"d{name}", n, batch, at)
            for n, (number, time, amount, channel) in enumerate(orders)
        ]
        self.line.tables.append_values(
            rows, schemas.bronze(self.line.problem, "orders"), key=f"ingest:{name}"
        )
        told = ("orders", f"d{name}", f"{name}.ndjson", 1, "landed", None, batch)
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


@pytest.fixture
def shop(open_line: Callable, repository: Path, tmp_path: Path) -> Shop:
    problem = load_problem(repository / "conf" / "churn.yaml")
    problem = problem.model_copy(update={"sources": {"orders": problem.sources["orders"]}})
    return Shop(open_line(problem, data=tmp_path, warehouse=tmp_path / "w", root=tmp_path))


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


def jobs(line: Any) -> int:
    return int(line.spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def test_rows_are_split_once_and_accounted_for(shop) -> None:
    shop.lands("b1", ORDERS)
    said = validate.run(shop.line)
    assert said == "orders: 3 good, 3 quarantined, 1 known duplicates"
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert shop.kept_out() == OUT
    assert validate.run(shop.line) == "orders: nothing new"
    assert shop.kept_out() == OUT
    told = {row.rule: row for row in shop.read("ops.quality")}
    assert [told[name].unexpected_count for name in (AMOUNT, NULL, CHANNEL)] == [2, 1, 2]
    assert {row.engine for row in told.values()} == {"plan"}
    measured = {(row.metric, row.column): row.value for row in shop.read("ops.metrics")}
    assert measured["rows", None] == 7
    assert measured["null_rate", "amount"] == pytest.approx(1 / 7)
    assert len(shop.read("ops.validations")) == 1
    # Forty-six rules more start no Spark job more.
    shop.guarded_by(SUITE + SUITE_OF_MANY)
    shop.lands("b2", [(f"p{n}", NOON, n - 1.0, "web") for n in range(50)])
    before = jobs(shop.line)
    assert validate.run(shop.line) == "orders: 49 good, 1 quarantined, 0 known duplicates"
    assert jobs(shop.line) - before <= PINNED_WITH_BAD


@pytest.mark.slow
def test_a_batch_takes_as_many_spark_jobs_as_it_has_writes(shop) -> None:
    """One pass to judge, one to keep out, one to let in; no rule adds any."""
    shop.lands("b1", [(f"o{n}", NOON, 1.0, "web") for n in range(50)])
    validate.run(shop.line)
    counts = []
    for batch, more in (("b2", SUITE_OF_MANY), ("b3", []), ("b4", SUITE_OF_MANY)):
        bad = -1.0 if batch == "b4" else 1.0
        shop.guarded_by(SUITE + more)
        shop.lands(batch, [(f"{batch}{n}", NOON, bad if n == 3 else 1.0, "web") for n in range(50)])
        before = jobs(shop.line)
        validate.run(shop.line)
        counts.append(jobs(shop.line) - before)
    assert counts[0] == counts[1] <= PINNED
    assert counts[2] <= PINNED_WITH_BAD


SUITE_OF_MANY = [
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "items", "max_value": n}}
    for n in range(100, 146)
]
PINNED, PINNED_WITH_BAD = 19, 25


def test_a_refused_batch_is_seen_nowhere_and_holds_up_no_other(shop) -> None:
    shop.lands("b1", [("o0", NOON, -5.0, "web"), ("o1", NOON, 5.0, "web"), ("o2", NOON, -1.0, "x")])
    shop.lands("b2", ORDERS, at=NOON + timedelta(hours=1))
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    file = gate.suite_path(shop.line, shop.silver)
    assert caught.value.where == (
        f"silver.orders, batch b1 (b1.ndjson), {file}: amount: values_to_be_between: 2 of 3 rows "
        "break it (Refunds are elsewhere)"
    )
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert shop.kept_out() == OUT
    assert len(shop.read("ops.quality")) == 2 * len(SUITE)
    # What is judged again and again is counted once, as it was last.
    with pytest.raises(Refused):
        validate.run(shop.line)
    told = {row.rule: row for row in query.answer(shop.line, text("failing_rules"), "").collect()}
    assert (told[AMOUNT].judged, told[AMOUNT].failed) == (2, 1)
    assert (told[AMOUNT].rows_that_break_it, told[AMOUNT].rows_judged) == (4, 10)
    # Once the suite is mended, what was refused goes through.
    shop.guarded_by([SUITE[0], SUITE[3]])
    assert validate.run(shop.line) == "orders: 2 good, 0 quarantined, 1 known duplicates"


def test_every_refused_batch_is_named_with_some_of_its_deliveries(shop) -> None:
    shop.lands("b1", [("o0", NOON, -5.0, "web")])
    later = NOON + timedelta(hours=1)
    shop.lands("b2", [(None, NOON, 5.0, "web")], at=later)
    others = [
        ("orders", f"d{n}", f"{n}.ndjson", 1, "landed", None, "b2", 0, 0, 0, "r", later)
        for n in range(4)
    ]
    shop.line.tables.append_values(others, schemas.DELIVERIES, key="others")
    with pytest.raises(Refused, match="2 batches were refused") as caught:
        validate.run(shop.line)
    first, second = caught.value.where.split("; silver.orders, ")  # a line: an alert tells one
    assert "batch b1 (b1.ndjson)" in first and AMOUNT in first
    assert "batch b2 (0.ndjson, 1.ndjson, 2.ndjson and 2 more)" in second and NULL in second


def test_a_delivery_without_a_record_holds_up_nothing_once_silver_has_rows(shop) -> None:
    """Unless its suite demands rows of a batch: it is refused until it is given up."""
    shop.guarded_by(SUITE[:3])
    shop.lands("b1", [])
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    assert "there is no row to judge" in caught.value.where
    shop.lands("b2", ORDERS, at=NOON + timedelta(hours=1))
    with pytest.raises(Refused, match="1 batch was refused"):
        validate.run(shop.line)
    assert shop.numbers() == ["o0", "o3", "o6"]
    assert validate.run(shop.line) == "orders: 1 delivery without a record"
    assert validate.run(shop.line) == "orders: nothing new"
    shop.lands("b3", [], at=NOON + timedelta(hours=2))
    shop.lands("b4", [("o7", NOON, 1.0, "web")], at=NOON + timedelta(hours=3))
    said = "orders: 1 good, 0 quarantined, 0 known duplicates, 1 delivery without a record"
    assert validate.run(shop.line) == said
    # Records that could not be read are something else: nobody knows what they were.
    shop.lands("b5", [], at=NOON + timedelta(hours=4), rejected=3)
    for _ in range(2):
        with pytest.raises(Refused, match="1 batch was refused"):
            validate.run(shop.line)
    assert shop.numbers() == ["o0", "o3", "o6", "o7"]
    rows = {row.batch: row.value for row in shop.read("ops.metrics") if row.metric == "rows"}
    assert rows == {"b1": 0.0, "b2": 7.0, "b3": 0.0, "b4": 1.0}
    validate.run(shop.line, give_up="b5")
    shop.guarded_by(SUITE)
    shop.lands("b6\n  hint: none", [], at=NOON + timedelta(hours=5))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            validate.run(shop.line)
        assert "(b6\\n  hint: none.ndjson)" in caught.value.where
    said = validate.run(shop.line, give_up="b6\n  hint: none")
    assert said.endswith("is given up, all its 0 rows are quarantined")
    assert validate.run(shop.line) == "orders: nothing new"


def test_what_bronze_has_lost_is_not_given_up(shop) -> None:
    """It lands again, and would be in no table."""
    shop.lands("b1", ORDERS)
    lost = [("orders", "db2", "b2.ndjson", 1, "landed", None, "b2", 3, 3, 0, "r", NOON)]
    shop.line.tables.append_values(lost, schemas.DELIVERIES, key="landed:b2")
    with pytest.raises(Refused, match="1 batch was refused"):
        validate.run(shop.line)
    with pytest.raises(Missing, match="has lost batch b2"):
        validate.run(shop.line, give_up="b2")
    shop.lands("b2", [("o7", NOON, 1.0, "web")])
    assert validate.run(shop.line).startswith("orders: 1 good")


def test_a_wrong_suite_is_refused_before_anything_is_written(shop) -> None:
    shop.lands("b1", ORDERS)
    for type_, kwargs in (
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": "low"}),
        ("expect_column_values_to_match_regex", {"column": "channel", "regex": "("}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "DROP TABLE {batch}"}),
        ("expect_column_values_to_be_nice", {"column": "amount"}),
    ):
        shop.guarded_by([*SUITE, {"type": type_, "kwargs": kwargs}])
        with pytest.raises(ConfError) as caught:
            validate.run(shop.line)
        assert caught.value.file.endswith("silver_orders.json")
    assert not shop.read("ops.quality") and not shop.read("silver.orders")


class Killed(Exception):
    pass


def killed_at(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, method: str, table: str, **options: Any
) -> None:
    """Let the stage end where it would write a table; what was written before stays."""
    real = getattr(shop.line.tables, method)

    def write(rows: Any, written: Any, **more: Any) -> Any:
        if written.full_name == table:
            raise Killed
        return real(rows, written, **more)

    with monkeypatch.context() as patched:
        patched.setattr(shop.line.tables, method, write)
        with pytest.raises(Killed):
            validate.run(shop.line, replay=method == "merge", **options)


def test_killed_between_the_two_writes_it_goes_on_even_with_another_suite(
    shop, monkeypatch
) -> None:
    shop.lands("b1", ORDERS)
    killed_at(monkeypatch, shop, "append", "silver.orders")
    assert shop.kept_out() == OUT and not shop.numbers()
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])  # the channel does not matter any more
    assert validate.run(shop.line) == "orders: 4 good, 2 quarantined, 1 known duplicates"
    assert shop.kept_out() == {1: [AMOUNT], 2: [AMOUNT, NULL]}
    assert shop.numbers() == ["o0", "o3", "o5", "o6"]


def test_killed_with_one_suite_then_another_it_goes_on_with_the_first_again(
    shop, monkeypatch
) -> None:
    """What the second put into quarantine is not taken for what the first had."""
    shop.lands("b1", ORDERS)
    killed_at(monkeypatch, shop, "append", "silver.orders")
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])
    killed_at(monkeypatch, shop, "append", "silver.orders")
    assert shop.kept_out() == {1: [AMOUNT], 2: [AMOUNT, NULL]}
    shop.guarded_by(SUITE)
    assert validate.run(shop.line) == "orders: 3 good, 3 quarantined, 1 known duplicates"
    assert shop.kept_out() == OUT
    assert shop.numbers() == ["o0", "o3", "o6"]


def test_a_batch_that_was_killed_is_left_to_validate_by_a_replay(shop, monkeypatch) -> None:
    """Orders have no key here: whatever came back before the batch is done would come twice."""
    orders = shop.line.problem.sources["orders"].model_copy(update={"key": ()})
    changed = shop.line.problem.model_copy(update={"sources": {"orders": orders}})
    object.__setattr__(shop.line, "problem", changed)
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    later = [(f"p{n}", *order[1:]) for n, order in enumerate(ORDERS)]
    shop.lands("b2", later, at=NOON + timedelta(hours=1))
    killed_at(monkeypatch, shop, "append", "silver.orders")
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])  # the channel does not matter any more
    said = validate.run(shop.line, replay=True)
    assert said.startswith("orders: 2 rows judged again: 1 cured")  # of the first batch alone
    assert validate.run(shop.line) == "orders: 5 good, 2 quarantined, 0 known duplicates"
    assert shop.numbers() == [*("o0", "o3", "o3", "o5", "o6"), *("p0", "p3", "p4", "p5", "p6")]


@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_cured_rows_come_back_exactly_once(shop, monkeypatch, killed: bool) -> None:
    shop.lands("b1", [*ORDERS, ("o0", NOON, -7.0, "web")])
    validate.run(shop.line)
    assert "nothing in quarantine that could be cured" in validate.run(shop.line, replay=True)
    looser = json.loads(json.dumps(SUITE))
    looser[1]["kwargs"]["min_value"] = -5
    looser[2]["meta"]["severity"] = "warn"
    shop.guarded_by(looser)
    if killed:
        killed_at(monkeypatch, shop, "merge", "ops.quarantine")
    said = validate.run(shop.line, replay=True)
    # o0 with -7 stays: below -5; the one without a number, too; o1 and o5 are cured.
    good = 0 if killed else 2
    assert f"4 rows judged again: {good} cured, {2 - good} known duplicates, 2 stay" in said
    assert shop.numbers() == ["o0", "o1", "o3", "o5", "o6"]
    assert shop.kept_out() == {2: [NULL], 7: [AMOUNT]}
    o5 = next(row for row in shop.read("silver.orders") if row.order_id == "o5")
    assert (o5.time.microsecond, o5.amount, o5._batch, o5._offset) == (123456, None, "b1", 5)
    assert "nothing in quarantine" in validate.run(shop.line, replay=True)
    assert shop.numbers() == ["o0", "o1", "o3", "o5", "o6"]


def test_a_row_that_a_killed_replay_let_in_leaves_quarantine_whatever_the_suite_is_by_then(
    shop, monkeypatch
) -> None:
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    shop.guarded_by([SUITE[0], SUITE[1], SUITE[3]])  # the channel does not matter any more
    killed_at(monkeypatch, shop, "merge", "ops.quarantine")
    assert 5 in shop.kept_out() and "o5" in shop.numbers()
    shop.guarded_by(SUITE)  # that was a mistake
    said = validate.run(shop.line, replay=True)
    assert said.startswith("orders: 1 rows judged again: 0 cured, 1 known duplicates, 0 stay")
    assert shop.kept_out() == {1: [AMOUNT], 2: [AMOUNT, CHANNEL, NULL]}
    assert shop.numbers() == ["o0", "o3", "o5", "o6"]
    assert "nothing in quarantine that could be cured" in validate.run(shop.line, replay=True)


def test_a_refused_batch_is_given_up_exactly_once_and_comes_back_once_its_rules_go(
    shop, monkeypatch
) -> None:
    low = {"type": SUITE[1]["type"], "kwargs": {"column": "amount", "min_value": 0}}
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "order_id"}}
    shop.guarded_by([low, SUITE[2], SUITE[3], unique])
    shop.lands("b1", [("o0", NOON, 5.0, "web"), ("o1", NOON, -5.0, "web"), ("o1", NOON, 1.0, "x")])
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    assert "driftline validate --quarantine BATCH" in caught.value.hint
    with pytest.raises(Missing, match="no batch of that name waits") as absent:
        validate.run(shop.line, give_up="b1x")
    assert absent.value.hint == "did you mean 'b1'?" and "b1x" in absent.value.where
    whole = [f"{AMOUNT} (its batch)", "order_id: values_to_be_unique (its batch)"]
    all_out = {0: whole, 1: sorted([AMOUNT, *whole]), 2: sorted([CHANNEL, *whole])}
    killed_at(monkeypatch, shop, "append_files", "silver.orders", give_up="b1")
    assert shop.kept_out() == all_out and not shop.numbers()
    said = validate.run(shop.line, give_up="b1")
    assert said == "orders: batch b1 is given up, all its 3 rows are quarantined"
    assert shop.kept_out() == all_out and not shop.numbers()
    assert validate.run(shop.line) == "orders: nothing new"
    # While one of the rules that the batch broke is there, no row is let in by itself.
    assert "nothing in quarantine that could be cured" in validate.run(shop.line, replay=True)
    shop.guarded_by([SUITE[2], SUITE[3], unique])
    said = validate.run(shop.line, replay=True)
    assert "3 rows judged again: 0 cured, 0 known duplicates, 3 stay" in said
    assert shop.kept_out() == {0: whole[1:], 1: whole[1:], 2: [CHANNEL, *whole[1:]]}
    shop.guarded_by([SUITE[2], SUITE[3]])
    said = validate.run(shop.line, replay=True)
    assert "3 rows judged again: 2 cured, 0 known duplicates, 1 stay" in said
    assert shop.numbers() == ["o0", "o1"] and shop.kept_out() == {2: [CHANNEL]}
    shop.lands("b2", [("o2", NOON, 1.0, "web")], at=NOON + timedelta(hours=1))
    with pytest.raises(Missing, match="b2 is not refused"):
        validate.run(shop.line, give_up="b2")
    assert validate.run(shop.line).startswith("orders: 1 good")


def test_a_batch_that_was_given_up_comes_back_only_if_it_keeps_the_suite_as_it_is(shop) -> None:
    """Its rule was made another one: that is asked of the whole batch, too."""

    def mean(most: float) -> dict:
        kwargs = {"column": "amount", "max_value": most}
        return {"type": "expect_column_mean_to_be_between", "kwargs": kwargs}

    shop.guarded_by([SUITE[2], SUITE[3], mean(100)])
    shop.lands(
        "b1", [("o0", NOON, 240.0, "web"), ("o1", NOON, 260.0, "web"), ("o2", NOON, 9.0, "x")]
    )
    shop.lands("b2", [("p0", NOON, 5.0, "web")], at=NOON + timedelta(hours=1))
    with pytest.raises(Refused, match="1 batch was refused"):
        validate.run(shop.line)
    validate.run(shop.line, give_up="b1")
    whole = "amount: mean_to_be_between (its batch)"
    all_out = {0: [whole], 1: [whole], 2: [whole, CHANNEL]}
    assert shop.kept_out() == all_out
    shop.guarded_by([SUITE[2], SUITE[3], mean(90)])
    judged = len(shop.read("ops.quality"))
    said = validate.run(shop.line, replay=True)
    assert said.endswith(
        "3 rows judged again: 0 cured, 0 known duplicates, 3 stay in quarantine; "
        "batch b1 is refused as a whole: amount: mean_to_be_between"
    )
    assert shop.numbers() == ["p0"] and shop.kept_out() == all_out
    assert len(shop.read("ops.quality")) == judged  # which is of what is new
    assert "nothing in quarantine that could be cured" in validate.run(shop.line, replay=True)
    shop.guarded_by([SUITE[2], SUITE[3], mean(300)])
    said = validate.run(shop.line, replay=True)
    assert "3 rows judged again: 2 cured, 0 known duplicates, 1 stay in quarantine" in said
    assert said.endswith(
        "; not asked of single rows: table: table_row_count_to_be_between, "
        "amount: mean_to_be_between"
    )
    assert shop.numbers() == ["o0", "o1", "p0"] and shop.kept_out() == {2: [CHANNEL]}
    # The batch held: what is left of it is judged by itself, and its rule is no matter any more.
    shop.guarded_by([SUITE[3], mean(90)])
    assert "1 rows judged again: 1 cured" in validate.run(shop.line, replay=True)
    assert shop.numbers() == ["o0", "o1", "o2", "p0"]


def test_rows_come_back_only_if_what_their_rule_has_become_is_asked_of_them(shop) -> None:
    """Great Expectations runs a condition in its own language, and does not say which rows."""
    shop.lands("b1", ORDERS)
    validate.run(shop.line)

    def theirs(least: float) -> dict:
        own = {"row_condition": 'col("amount").notNull()', "condition_parser": "great_expectations"}
        kwargs = {"column": "amount", "min_value": least, "mostly": 0.5, **own}
        return {"type": SUITE[1]["type"], "kwargs": kwargs}

    shop.guarded_by([SUITE[0], theirs(-2), SUITE[3]])  # and the channel does not matter any more
    said = validate.run(shop.line, replay=True)
    assert "3 rows judged again: 1 cured, 0 known duplicates, 2 stay in quarantine" in said
    assert f"; some may break {AMOUNT}: run by Great Expectations, which does not say" in said
    assert shop.numbers() == ["o0", "o3", "o5", "o6"]
    assert shop.kept_out() == {1: [AMOUNT], 2: sorted([AMOUNT, NULL])}
    assert "0 cured, 0 known duplicates, 2 stay" in validate.run(shop.line, replay=True)
    shop.guarded_by([SUITE[0], theirs(-9), SUITE[3]])
    said = validate.run(shop.line, replay=True)
    assert "2 rows judged again: 1 cured, 0 known duplicates, 1 stay in quarantine;" in said
    assert "may break" not in said
    assert shop.numbers() == ["o0", "o1", "o3", "o5", "o6"] and shop.kept_out() == {2: [NULL]}


def with_sql(condition: str, severity: str = "error") -> dict:
    query = f"SELECT * FROM {{batch}} WHERE {condition}"
    meta = {"severity": severity, "why": "A code"}
    kwargs = {"unexpected_rows_query": query}
    return {"type": "unexpected_rows_expectation", "kwargs": kwargs, "meta": meta}


CODED = [("o0", NOON, 5.0, "1"), ("o1", NOON, 6.0, "0"), (None, NOON, 7.0, "1")]
UNTOLD = "table: unexpected_rows_expectation"
BECAUSE = "cannot be told of every value: CAST_INVALID_INPUT"


def test_a_rule_that_fails_on_a_value_refuses_its_batch_and_no_other(shop) -> None:
    fails = with_sql("cast(channel AS int) > 1")
    shop.guarded_by([SUITE[0], fails, SUITE[3], with_sql("cast(channel AS int) > 2", "warn")])
    shop.lands("b1", [("p0", NOON, 5.0, "7"), (None, NOON, 5.0, "web"), ("p2", NOON, 5.0, "7")])
    shop.lands("b2", CODED, at=NOON + timedelta(hours=1))
    with pytest.raises(Refused) as caught:
        validate.run(shop.line)
    file = gate.suite_path(shop.line, shop.silver)
    assert caught.value.where == (
        f"silver.orders, batch b1 (b1.ndjson), {file}: {UNTOLD}: {BECAUSE}; "
        "in its SQL use try_cast, try_divide (A code)"
    )
    assert shop.numbers() == ["o0", "o1"] and shop.kept_out() == {2: [NULL]}
    rows = {
        (row.batch, row.fingerprint): (row.success, row.unexpected_count, row.observed)
        for row in shop.read("ops.quality")
    }
    of = {batch: [told for (b, _), told in rows.items() if b == batch] for batch in ("b1", "b2")}
    assert len(of["b1"]) == len(of["b2"]) == 4
    assert of["b1"].count((False, None, BECAUSE)) == 2 and (True, 1, None) in of["b1"]
    assert all(success for success, *_ in of["b2"])
    assert not [each for each in shop.read("ops.validations") if "'web'" in each.result]
    # Given up it is not asked of the rows again; nor do they come back while the suite has it.
    said = validate.run(shop.line, give_up="b1")
    assert said == "orders: batch b1 is given up, all its 3 rows are quarantined"
    whole = f"{UNTOLD} (its batch)"
    given_up = [row for row in shop.read("ops.quarantine") if row.batch == "b1"]
    reasons = {row.offset: sorted(each.name for each in row.rules) for row in given_up}
    assert reasons == {0: [whole], 1: [NULL, whole], 2: [whole]}
    assert "nothing in quarantine that could be cured" in validate.run(shop.line, replay=True)
    # Another rule goes: the rows of the other batch are cured, of this one they stay as they are.
    shop.guarded_by([fails, SUITE[3]])
    said = validate.run(shop.line, replay=True)
    assert said == (
        "orders: 2 rows judged again: 1 cured, 0 known duplicates, 1 stay in quarantine, 1 of "
        f"them left as they are: of their batches {UNTOLD} {BECAUSE}; not asked of single rows: "
        "table: table_row_count_to_be_between"
    )
    assert len(shop.numbers()) == 3
    assert sorted(shop.read("ops.quarantine")) == sorted(given_up)
    shop.guarded_by([with_sql("try_cast(channel AS int) > 8"), SUITE[3]])
    assert "3 rows judged again: 3 cured" in validate.run(shop.line, replay=True)
    assert shop.numbers() == ["", "", "o0", "o1", "p0", "p2"]


def test_a_rule_that_fails_on_a_value_is_tried_on_history_beside_others(shop, monkeypatch) -> None:
    for batch, rows in {"b1": CODED, "b2": ORDERS, "b3": CODED, "b4": ORDERS[:1]}.items():
        shop.lands(batch, rows)
    shop.lands("b2", ORDERS[:2], delivery="late")
    shop.lands("b2", CODED[:1], delivery="later")
    monkeypatch.setattr(dry_run, "_SHOWN", 2)
    wish = with_sql("cast(channel AS int) > 2", "warn")
    shop.guarded_by([with_sql("cast(channel AS int) > 1"), SUITE[0], SUITE[3], wish])
    said = validate.run(shop.line, dry_run=True).splitlines()
    name = said[-2].split(" (")[0]
    assert said == [
        "dry run, nothing is written",
        f"silver.orders {NULL} (error): 3 of 17 rows break it",
        "  2024-03-01  b1.ndjson: 1 of 3",
        "  2024-03-01  b2.ndjson: 1 of 6",
        "  and 1 more deliveries and days",
        f"silver.orders {UNTOLD} (error): {BECAUSE}; 2 of 4 batches would be refused",
        "  b2.ndjson: fails on at least one row",
        "  b4.ndjson: fails on at least one row",
        "  and 1 more deliveries",
        f"{name} (warn): {BECAUSE}",
        "silver.orders not tried, being about all rows of a batch, or for Great Expectations to "
        "run: table: table_row_count_to_be_between",
    ]


def test_a_field_of_other_deliveries_is_none_of_silver_nor_of_its_suite(shop) -> None:
    own = [name for name in shop.silver.column_names if not name.startswith("_")]
    count = {"type": "expect_table_column_count_to_equal", "kwargs": {"value": len(own)}}
    listed = {"column_set": own, "exact_match": True}
    matching = {"type": "expect_table_columns_to_match_set", "kwargs": listed}
    median = {"type": "expect_column_median_to_be_between", "kwargs": {"column": "amount"}}
    median["kwargs"] |= {"min_value": -5, "max_value": 5}
    shop.guarded_by([*SUITE, count, matching, median])
    shop.lands("b1", ORDERS)
    path = shop.line.tables.path("bronze.orders")
    shop.line.spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS (coupon string)")
    assert validate.run(shop.line) == (
        "orders: 3 good, 3 quarantined, 1 known duplicates (expect_column_median_to_be_between: "
        "run by Great Expectations, rows that break it are not kept out)"
    )
    assert "coupon" not in shop.line.tables.read("silver.orders").columns


def test_a_column_that_bronze_has_not_got_yet_is_null(shop) -> None:
    """It gets it with the next delivery; the rule on it is tried before."""
    shop.lands("b1", ORDERS[:2])
    orders = shop.line.problem.sources["orders"]
    wider = orders.model_copy(
        update={"columns": {**orders.columns, "coupon": orders.columns["channel"]}}
    )
    changed = shop.line.problem.model_copy(update={"sources": {"orders": wider}})
    object.__setattr__(shop.line, "problem", changed)
    coupon = {"type": SUITE[0]["type"], "kwargs": {"column": "coupon"}, "meta": {"why": "New"}}
    shop.guarded_by([*SUITE, coupon])
    said = validate.run(shop.line, dry_run=True)
    assert "coupon: values_to_not_be_null (error): 2 of 2 rows break it" in said
    shop.guarded_by([*SUITE, {**coupon, "meta": {"severity": "warn"}}])
    assert validate.run(shop.line) == "orders: 1 good, 1 quarantined, 0 known duplicates"
    assert [row.coupon for row in shop.read("silver.orders")] == [None]


@pytest.mark.slow
def test_a_row_that_somebody_mended_is_judged_again(shop) -> None:
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    path = shop.line.tables.path("ops.quarantine")
    shop.line.spark.sql(
        f"UPDATE delta.`{path}` SET row = replace(row, '-5.0', '5.0') WHERE offset = 1"
    )
    shop.line.spark.sql(f"UPDATE delta.`{path}` SET row = 'no json' WHERE offset = 5")
    # Written anew by hand, without when it arrived: features would never see it.
    anew = '{"order_id": "o2", "amount": 1.0, "channel": "web"}'
    shop.line.spark.sql(f"UPDATE delta.`{path}` SET row = '{anew}' WHERE offset = 2")
    said = validate.run(shop.line, replay=True)
    assert "3 rows judged again: 1 cured, 0 known duplicates, 2 stay in quarantine, 2 of" in said
    assert shop.numbers() == ["o0", "o1", "o3", "o6"]
    assert set(shop.kept_out()) == {2, 5}


@pytest.mark.slow
def test_a_rule_is_tried_on_history_and_nothing_is_written(shop) -> None:
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    shop.lands("b2", [("p0", NOON + timedelta(days=1), 99.0, "web")])
    high = {"column": "amount", "max_value": 5.5}
    channel = {"column": "channel", "value_set": ["web", "mobile"], "mostly": 0.5}
    shop.guarded_by(
        [
            {"type": "expect_column_values_to_be_between", "kwargs": high},
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": channel,
                "meta": {"severity": "warn"},
            },
            SUITE[0],
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "time"}},
            {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "order_id"}},
            SUITE[3],
        ]
    )
    before = {name: len(shop.read(name)) for name in ("silver.orders", "ops.quarantine")}
    said = validate.run(shop.line, dry_run=True).splitlines()
    assert said == [
        "dry run, nothing is written",
        "silver.orders amount: values_to_be_between (error): 2 of 8 rows break it; "
        "2 of 2 batches would be refused",
        "  2024-03-01  b1.ndjson: 1 of 6",
        "  2024-03-02  b2.ndjson: 1 of 1",
        "silver.orders channel: values_to_be_in_set (warn): 2 of 8 rows break it",
        "  2024-03-01  b1.ndjson: 2 of 6",
        "silver.orders order_id: values_to_not_be_null (error): 1 of 8 rows break it",
        "  2024-03-01  b1.ndjson: 1 of 6",
        "silver.orders time: values_to_not_be_null (error): 1 of 8 rows break it; "
        "1 of 2 batches would be refused",
        "  no day  b1.ndjson: 1 of 1",
        "silver.orders not tried, being about all rows of a batch, or for Great Expectations to "
        "run: order_id: values_to_be_unique, table: table_row_count_to_be_between",
    ]
    assert before == {name: len(shop.read(name)) for name in before}


@pytest.mark.slow
def test_an_unusual_batch_is_noticed(shop) -> None:
    for day in range(10):
        rows = 60 if day < 9 else 8
        at = NOON + timedelta(days=day)
        time = at - timedelta(hours=1)
        orders = [(f"{day}.{n}", time, 1.0, "web" if n % 2 else None) for n in range(rows)]
        shop.lands(f"b{day}", orders, at=at)
        if day == 8:
            validate.run(shop.line)
    # A rule that demands more is another one, though it is called the same.
    high = {"column": "amount", "max_value": 0.5}
    tighter = {"type": SUITE[1]["type"], "kwargs": high, "meta": {"severity": "warn"}}
    shop.guarded_by([SUITE[0], tighter, SUITE[2], SUITE[3]])
    validate.run(shop.line)
    said = watch.run(shop.line).splitlines()
    assert said[0].startswith("1 of ") and ", 1 have fewer than 8 batches before" in said[0]
    assert "silver.orders rows: 8, expected " in said[1] and "after 9 batches" in said[1]


@pytest.mark.slow
def test_a_suggested_suite_holds_where_it_comes_from(shop, tmp_path) -> None:
    shop.lands("b1", [(f"o{n:04}", NOON, n / 4, "web" if n % 3 else "mobile") for n in range(300)])
    shop.guarded_by([SUITE[3]])
    validate.run(shop.line)
    said = suggest.run(shop.line, table="silver.orders", out=str(tmp_path / "s" / "orders.json"))
    assert "about 300 rows" in said
    with pytest.raises(ConfError, match="there already"):
        suggest.run(shop.line, table="silver.orders", out=str(tmp_path / "s" / "orders.json"))
    suite = read_suite(tmp_path / "s" / "orders.json", shop.silver.column_names)
    found = {(rule.type, rule.column): rule for rule in suite.rules}
    regex = found["expect_column_values_to_match_regex", "order_id"]
    assert regex.arguments["regex"] == "^(o[0-9]{4})$" or "[a-z]" in regex.arguments["regex"]
    assert found["expect_column_values_to_be_in_set", "channel"].arguments["value_set"] == [
        "mobile",
        "web",
    ]
    # A batch is judged before the repeats of its key, order_id, are taken out.
    assert ("expect_column_values_to_be_unique", "order_id") not in found
    unique = found["expect_column_values_to_be_unique", "amount"]
    assert unique.severity == "warn" and "before repeats of the key" in unique.why
    assert "300" in found["expect_column_values_to_not_be_null", "amount"].why
    rows = shop.line.tables.read("silver.orders")
    assert all(each.success for each in gate.judge(rows, suite, meta={}).verdicts)
    # From bronze, as before there is any suite: silver has no fields that nobody declared.
    bronze = shop.line.tables.path("bronze.orders")
    shop.line.spark.sql(f"ALTER TABLE delta.`{bronze}` ADD COLUMNS (coupon string)")
    suggest.run(shop.line, table="bronze.orders", out=str(tmp_path / "silver_orders.json"))
    landed = read_suite(tmp_path / "silver_orders.json", shop.silver.column_names)
    assert landed.name == "churn.silver_orders"
    found = {(rule.type, rule.column): rule for rule in landed.rules}
    assert ("expect_column_values_to_be_in_set", "channel") in found
    assert ("expect_column_values_to_be_unique", "order_id") not in found


@pytest.mark.slow
def test_of_a_hundred_thousand_rows_no_bad_one_passes(shop) -> None:
    bad = {0: (-1.0, "web"), 1: (5.0, "fax")}
    shop.lands(
        "b1",
        [(f"o{n}", NOON, *bad.get(n % 20, (n / 7, "mobile"))) for n in range(100_000)],
    )
    said = validate.run(shop.line)
    assert said == "orders: 90,000 good, 10,000 quarantined, 0 known duplicates"
    passed = shop.line.tables.read("silver.orders")
    assert passed.where("amount < 0 OR channel NOT IN ('web', 'mobile')").count() == 0
    assert shop.line.tables.read("ops.quarantine").count() == 10_000
