"""Labels: what happened after the as-of, and only once the data reaches far enough to know it."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta, timezone

import pytest

from driftline import labels, tiles
from driftline.events import Label
from driftline.operations import component, unique

T = datetime(2024, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def label(outcome: str, value: str | None = None, where: str | None = None) -> Label:
    return Label(source="events", outcome=outcome, value=value, where=where, horizon="30d")


def test_an_as_of_is_mature_when_its_whole_horizon_is_in_the_data() -> None:
    times = [T, T + DAY, T + 2 * DAY]
    assert labels.mature(times, label("none"), T + 31 * DAY) == [T, T + DAY]
    assert labels.mature(times, label("none"), T + 31 * DAY - TICK) == [T]
    assert labels.mature(times, label("none"), T) == []


def days(*stretches: tuple[int, int]) -> set[date]:
    """Each day from T plus the one to T plus the other number of days."""
    return {(T + place * DAY).date() for begin, end in stretches for place in range(begin, end)}


def test_a_stretch_that_nothing_was_delivered_of_makes_no_labels() -> None:
    """Else everybody lapsed then."""
    hole = days((0, 60), (91, 100))
    silent = labels.silences(hole)
    assert silent == [(T + 60 * DAY, T + 91 * DAY)]
    times = [T + place * DAY for place in (30, 44, 45, 46, 58, 75, 76, 90)]
    known = labels.mature(times, label("none"), T + 130 * DAY, silent)
    # (as-of, as-of + 30 days]: half of it at most is in the hole.
    assert known == [T + place * DAY for place in (30, 44, 45, 76, 90)]
    assert labels.silences(hole | days((60, 91))) == []  # once it is delivered


@pytest.mark.parametrize(
    "seen",
    [
        days((0, 29), (60, 100)),  # too few days before it to tell what is usual
        days(*((7 * week, 7 * week + 6) for week in range(20))),  # never on Sundays
        days((0, 40), (42, 60)),  # a day, and two of them later, are nothing
        days((0, 10), (20, 60), (80, 100)),  # it was so before
        set(),
    ],
)
def test_what_is_usual_is_no_silence(seen: set[date]) -> None:
    assert labels.silences(seen) == []


def test_a_shop_that_is_closed_for_a_week_keeps_its_labels() -> None:
    silent = labels.silences(days((0, 60), (71, 100)))
    assert silent == [(T + 60 * DAY, T + 71 * DAY)]
    times = [T + place * DAY for place in range(70)]
    assert labels.mature(times, label("none"), T + 130 * DAY, silent) == times


@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_shop_with_few_orders_keeps_its_labels(every: int) -> None:
    """Orders by chance, one in so many days: who knows what is usual is fooled once in a while."""
    lost = asked = 0
    for seed in range(100):
        draw = random.Random(seed)
        at, seen = 0.0, set[date]()
        while at < 730:
            at += draw.expovariate(1 / every)
            seen.add((T + at * DAY).date())
        times = [T + place * DAY for place in range(0, 700, 30)]
        known = labels.mature(times, label("none"), T + 800 * DAY, labels.silences(seen))
        lost += len(times) - len(known)
        asked += len(times)
    assert lost <= asked / 300


@pytest.fixture(scope="module")
def events(spark):
    return spark.createDataFrame(
        [
            ("at the as-of", T, 1.0, "sale"),
            ("just after", T + TICK, 2.0, "sale"),
            ("at the end", T + 30 * DAY, 4.0, "sale"),
            ("just too late", T + 30 * DAY + TICK, 8.0, "sale"),
            ("another kind", T + DAY, 16.0, "return"),
            ("of no kind", T + DAY, 32.0, None),
            ("twice", T + DAY, 0.5, "sale"),
            ("twice", T + 2 * DAY, 0.25, "sale"),
            ("without amount", T + DAY, None, "sale"),
            (None, T + DAY, 64.0, "sale"),
        ],
        "who string, time timestamp, amount double, kind string",
    ).selectExpr("*", "'d' AS _delivery", "0L AS _offset", "time AS _arrived_at")


def outcomes(events, times: list[datetime], rule: Label):
    """Outcomes by way of tiles, as the job does it."""
    parts = [component("events", rule.where)]
    parts += [component("sum", rule.where, rule.value)] if rule.value else []
    made = tiles.tiles(
        events, unique(parts), entity="who", time="time", arrived=tiles.arrival(None), late=False
    )
    return labels.outcomes(made, times, rule, entity="who")


def attached(spark, events, rule: Label, known: list[datetime], as_of: datetime = T) -> dict:
    asked = (
        events.select("who")
        .where("who is not null")
        .distinct()
        .crossJoin(spark.createDataFrame([(as_of,)], "as_of timestamp"))
    )
    found = outcomes(events, known or [as_of], rule)
    rows = labels.attach(asked, found, known, rule, entity="who")
    assert rows.columns == ["who", "as_of", "_first", "_last", "label"]
    return {row.who: row.label for row in rows.collect()}


SALES = {"just after": 2.0, "at the end": 4.0, "twice": 0.75, "without amount": 0.0}
EVERYBODY = ("at the as-of", "just too late", "another kind", "of no kind", *SALES)


def test_none_any_and_sum(spark, events) -> None:
    where = "kind = 'sale'"
    assert attached(spark, events, label("none", where=where), [T]) == {
        who: 0.0 if who in SALES else 1.0 for who in EVERYBODY
    }
    assert attached(spark, events, label("any", where=where), [T]) == {
        who: 1.0 if who in SALES else 0.0 for who in EVERYBODY
    }
    assert attached(spark, events, label("sum", "amount", where), [T]) == {
        who: SALES.get(who, 0.0) for who in EVERYBODY
    }


def test_without_a_condition_every_event_counts(spark, events) -> None:
    found = attached(spark, events, label("sum", "amount * 2"), [T])
    assert found["another kind"] == 32.0
    assert found["of no kind"] == 64.0
    assert found["at the as-of"] == 0.0


@pytest.mark.parametrize("known", [[], [T - DAY]], ids=["no as-of", "another as-of"])
def test_what_is_not_known_yet_is_null_not_zero(spark, events, known) -> None:
    found = attached(spark, events, label("none"), known)
    assert found == dict.fromkeys(EVERYBODY)


def test_overlapping_horizons_see_the_same_event(spark, events) -> None:
    times = [T - 29 * DAY, T, T + DAY]
    found = outcomes(events, times, label("any"))
    seen = {
        row.as_of.replace(tzinfo=timezone.utc)
        for row in found.where("who = 'just after'").collect()
    }
    assert seen == {T - 29 * DAY, T}
