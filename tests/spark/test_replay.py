"""Quarantine: rows that are cured come back, batches that are refused are given up."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from driftline.errors import Missing, Refused
from driftline.jobs import gate, validate
from gated_orders import (
    AMOUNT,
    BECAUSE,
    CHANNEL,
    CODED,
    NOON,
    NULL,
    ORDERS,
    SUITE,
    UNTOLD,
    killed_at,
    with_sql,
)


def test_a_batch_that_was_killed_is_left_to_validate_by_a_replay(shop, monkeypatch) -> None:
    """Orders have no key here: whatever came back before the batch is done would come twice."""
    orders = shop.line.problem.sources["orders"].model_copy(update={"key": ()})
    changed = shop.line.problem.model_copy(update={"sources": {"orders": orders}})
    object.__setattr__(shop.line, "problem", changed)
    shop.lands("b1", ORDERS)
    validate.run(shop.line)
    later = [(f"p{n}", *order[1:]) for n, order in enumerate(ORDERS)]
    shop.lands("b2", later, at=NOON + timedelta(hours=1))
    killed_at(monkeypatch, shop, "append_files", "silver.orders")
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
