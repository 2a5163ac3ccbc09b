"""Point-in-time features: what an as-of may see, to the microsecond; operations by hand."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta, timezone
from statistics import fmean

import pytest
from pyspark.sql import functions as F

from driftline import features
from driftline.sections import Cutoffs, Feature, Population

DDL = "who string, time timestamp, amount double, kind string"
T = datetime(2024, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def feature(operation: str, *windows: int, value: str | None = None, where: str | None = None):
    return Feature(
        name="f",
        source="events",
        operation=operation,
        value=value,
        where=where,
        windows=tuple(f"{days}d" for days in windows),
    )


def events(spark, *rows: tuple):
    """(who, time, amount, kind); what is left out at the end is null."""
    return spark.createDataFrame([(*row, *[None] * (4 - len(row))) for row in rows], DDL)


def windowed(rows, *wanted, as_ofs=(T,)) -> dict:
    """(who, as-of) → the values of every window of every feature."""
    seen = features.at_as_ofs(rows, list(as_ofs), time="time")
    found = features.windowed(seen, wanted, entity="who", time="time").collect()
    return {(row[0], row[1].replace(tzinfo=timezone.utc)): tuple(row)[2:] for row in found}


def test_as_ofs_go_from_the_first_to_the_end_of_the_data() -> None:
    cutoffs = Cutoffs(first="2024-02-28", every="2d")
    days = [
        datetime(2024, 2, 28, tzinfo=timezone.utc),
        T,
        datetime(2024, 3, 3, tzinfo=timezone.utc),
    ]
    assert features.as_ofs(cutoffs, days[2]) == days
    assert features.as_ofs(cutoffs, days[2] - TICK) == days[:2]
    assert features.as_ofs(cutoffs, days[0] - TICK) == []


def test_a_window_is_open_in_the_past_and_closed_at_the_as_of(spark) -> None:
    moments = {
        "after the as-of": T + TICK,
        "at the as-of": T,
        "just inside": T - 7 * DAY + TICK,
        "at the far end": T - 7 * DAY,
        "outside": T - 7 * DAY - TICK,
    }
    found = windowed(events(spark, *moments.items()), feature("count", 7))
    assert found == {("at the as-of", T): (1,), ("just inside", T): (1,)}


def test_what_happened_a_tick_after_an_as_of_belongs_to_the_next(spark) -> None:
    rows = events(spark, ("a", T + TICK), ("a", T))
    later = T + DAY
    assert windowed(rows, feature("count", 5), as_ofs=(T, later)) == {
        ("a", T): (1,),
        ("a", later): (2,),
    }


def test_every_operation_by_hand(spark) -> None:
    rows = events(
        spark,
        ("a", T - 9 * DAY, 100.0, "x"),
        ("a", T - 5 * DAY, 1.0, "x"),
        ("a", T - 5 * DAY + timedelta(hours=2), 2.0, "y"),
        ("a", T - 1 * DAY, 4.0, "y"),
        ("a", T - timedelta(hours=6), None, None),
    )
    found = windowed(
        rows,
        feature("count", 8, 30),
        feature("sum", 8, 30, value="amount"),
        feature("mean", 8, 30, value="amount * 2"),
        feature("distinct", 8, 30, value="kind"),
        feature("recency", 8, 30),
        feature("frequency", 8, 30),
        feature("gap", 8, 30),
        feature("trend", 8, 30),
    )
    assert found == {
        ("a", T): (
            *(4, 5),
            *(7.0, 107.0),
            *(pytest.approx(14 / 3), pytest.approx(214 / 4)),
            *(2, 2),
            *(0.25, 0.25),
            # 25 Feb (twice) and 29 Feb (twice); in the longer window 21 Feb too.
            *(2, 3),
            *(4.0, 4.0),
            # Halves: the newer 4 (15) days have 2 (5) of the 4 (5) events.
            *(0.0, 1.0),
        )
    }


def test_a_window_without_events_says_what_its_operation_means(spark) -> None:
    rows = events(spark, ("a", T - 20 * DAY, 1.0, "x"))
    operations = [
        feature("count", 8),
        feature("sum", 8, value="amount"),
        feature("mean", 8, value="amount"),
        feature("distinct", 8, value="kind"),
        feature("recency", 8),
        feature("frequency", 8),
        feature("gap", 8),
        feature("trend", 8),
        feature("count", 30),
    ]
    assert windowed(rows, *operations) == {("a", T): (0, 0, None, 0, 8, 0, None, 0, 1)}


def test_events_of_nobody_are_nobodys(spark) -> None:
    rows = events(spark, (None, T, 1.0), ("a", T, 2.0))
    assert windowed(rows, feature("sum", 3, value="amount")) == {("a", T): (2.0,)}


def test_a_condition_that_is_unknown_is_not_met(spark) -> None:
    rows = events(spark, ("a", T, 1.0, None), ("a", T, 2.0, "x"), ("a", T, 4.0, "y"))
    assert windowed(
        rows, feature("sum", 3, value="amount", where="kind = 'x'"), feature("count", 3)
    ) == {("a", T): (2.0, 3)}


def test_population_of_an_as_of(spark) -> None:
    rows = events(
        spark,
        ("lately", T - DAY, 1.0, "x"),
        ("lately", T - 2 * DAY, 1.0, "x"),
        ("at the far end", T - 5 * DAY, 1.0, "x"),
        ("long ago", T - 50 * DAY, 1.0, "x"),
        ("unknown kind", T - DAY, 1.0, None),
        ("other kind", T - DAY, 1.0, "y"),
        ("later", T + TICK, 1.0, "x"),
        (None, T, 1.0, "x"),
    )
    seen = features.at_as_ofs(rows, [T], time="time")

    def asked(**rule) -> list:
        found = features.population(
            seen, Population(source="events", where="kind = 'x'", **rule), entity="who"
        )
        return sorted(row.who for row in found.collect())

    assert asked(within="5d") == ["lately"]
    assert asked() == ["at the far end", "lately", "long ago"]


def test_the_latest_profile_up_to_the_as_of(spark) -> None:
    ddl = "who string, time timestamp, city string, _delivery string, _offset long"
    rows = spark.createDataFrame(
        [
            ("a", T - DAY, "old", "d1", 0),
            ("a", T, "now", "d1", 1),
            ("a", T + TICK, "too late", "d9", 2),
            ("b", T, "first delivery", "d1", 9),
            ("b", T, "same time, earlier in the file", "d2", 1),
            ("b", T, "same time, later in the file", "d2", 7),
            (None, T, "nobody", "d1", 3),
        ],
        ddl,
    )
    seen = features.at_as_ofs(rows, [T, T + DAY], time="time")
    found = features.attributes(seen, ["city"], entity="who", time="time").collect()
    assert {(row.who, row.as_of.day): row.city for row in found} == {
        ("a", 1): "now",
        ("a", 2): "too late",
        ("b", 1): "same time, later in the file",
        ("b", 2): "same time, later in the file",
    }


# --- against a slow reference --------------------------------------------------------------------

_OPERATIONS = (
    ("count", None),
    ("sum", "amount"),
    ("mean", "amount"),
    ("distinct", "kind"),
    ("recency", None),
    ("frequency", None),
    ("gap", None),
    ("trend", None),
)
_WINDOWS = (1, 7, 30)
_AS_OFS = [T, T + DAY, T + 10 * DAY, T + 29 * DAY]


def adversarial(seed: int, count: int) -> list[tuple]:
    """Events that crowd around every boundary of every window, with nulls everywhere."""
    draw = random.Random(seed)
    edges = [as_of - days * DAY for as_of in _AS_OFS for days in (0, 0.5, 1, 3.5, 7, 15, 30)]
    near = [timedelta(0), TICK, -TICK, timedelta(seconds=1), timedelta(hours=-1)]
    rows = []
    for _ in range(count):
        time = draw.choice(edges) + draw.choice(near)
        if draw.random() < 0.3:
            time = T + timedelta(
                microseconds=draw.randrange(-40 * 86_400 * 10**6, 30 * 86_400 * 10**6)
            )
        rows.append(
            (
                draw.choice([*"abcdefghij", None]),
                None if draw.random() < 0.01 else time,
                draw.choice([None, 0.0, -3.5, 1e9, round(draw.uniform(-5, 50), 2)]),
                draw.choice([None, "x", "y", "z", ""]),
            )
        )
    return rows


def reference(rows: list[tuple], operation: str, days: int, who: str, as_of: datetime):
    """The same definition as plainly as Python can say it, in whole microseconds."""
    inside = [
        (time, amount, kind)
        for owner, time, amount, kind in rows
        if owner == who
        and time is not None
        and as_of - timedelta(days=days) < time <= as_of
        and kind in ("x", "y")
    ]
    dates: list[date] = sorted({time.date() for time, _, _ in inside})
    amounts = [amount for _, amount, _ in inside if amount is not None]
    if operation == "count":
        return len(inside)
    if operation == "sum":
        return sum(amounts)
    if operation == "mean":
        return fmean(amounts) if amounts else None
    if operation == "distinct":
        return len({kind for _, _, kind in inside})
    if operation == "recency":
        return min(((as_of - time) / DAY for time, _, _ in inside), default=days)
    if operation == "frequency":
        return len(dates)
    if operation == "gap":
        return (dates[-1] - dates[0]).days / (len(dates) - 1) if len(dates) > 1 else None
    newer = sum(as_of - time < timedelta(days=days) / 2 for time, _, _ in inside)
    return (newer - (len(inside) - newer)) / len(inside) if inside else 0


@pytest.fixture(scope="module")
def random_rows() -> list[tuple]:
    return adversarial(11, 2_000)


def all_features(where: str = "kind in ('x', 'y')") -> list[Feature]:
    return [
        feature(operation, *_WINDOWS, value=value, where=where) for operation, value in _OPERATIONS
    ]


def test_two_thousand_random_events_against_plain_python(spark, random_rows) -> None:
    found = windowed(events(spark, *random_rows), *all_features(), as_ofs=_AS_OFS)
    assert len(found) == 10 * len(_AS_OFS)
    differences = []
    for (who, as_of), values in found.items():
        names = [(operation, days) for operation, _ in _OPERATIONS for days in _WINDOWS]
        for (operation, days), ours in zip(names, values, strict=True):
            theirs = reference(random_rows, operation, days, who, as_of)
            whole = operation in ("count", "distinct", "frequency")
            same = (
                ours == theirs
                if whole or theirs is None
                else ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
            )
            if not same:
                differences.append((operation, days, who, as_of, ours, theirs))
    assert differences == []


def test_what_happens_later_changes_nothing(spark, random_rows) -> None:
    """Two thousand further events, all after the last as-of: not one value moves."""
    draw = random.Random(5)
    later = [
        (who, _AS_OFS[-1] + timedelta(microseconds=draw.randrange(1, 10**12)), 7.0, "x")
        for who, *_ in adversarial(12, 2_000)
    ]
    before = windowed(events(spark, *random_rows), *all_features(), as_ofs=_AS_OFS)
    after = windowed(events(spark, *random_rows, *later), *all_features(), as_ofs=_AS_OFS)
    for key, values in before.items():
        # Money is summed in whatever order the rows come.
        assert after[key] == tuple(
            None if value is None else pytest.approx(value, rel=1e-12) for value in values
        )
    assert after.keys() == before.keys()


def test_join_fills_what_did_not_happen_and_keeps_what_is_unknown(spark, repository) -> None:
    from driftline.problem import load_problem

    problem = load_problem(repository / "conf" / "churn.yaml")
    asked = spark.createDataFrame([("a", T), ("b", T)], "customer_id string, as_of timestamp")
    columns = [name for each in problem.features for name in each.columns]
    ddl = ", ".join(f"{name} double" for name in columns)
    part = spark.createDataFrame(
        [("a", T, *[5.0] * len(columns))], f"customer_id string, as_of timestamp, {ddl}"
    )
    people = spark.createDataFrame(
        [("a", T, 30, "f", "DE")],
        "customer_id string, as_of timestamp, age bigint, gender string, country string",
    )
    rows = features.join(asked, [part, people], problem)
    assert rows.columns == ["customer_id", "as_of", *columns, "age", "gender", "country"]
    found = {row.customer_id: row for row in rows.collect()}
    assert [found["a"][name] for name in columns] == [5.0] * len(columns)
    assert (found["a"].age, found["a"].country) == (30, "DE")
    missing = found["b"]
    assert (missing.orders_30d, missing.spend_90d, missing.trend_90d) == (0, 0, 0)
    assert (missing.recency_90d, missing.visit_recency_90d) == (90, 90)
    assert (missing.order_value_90d, missing.gap_180d, missing.age) == (None, None, None)


def test_one_source_costs_one_shuffle(spark, random_rows) -> None:
    """Many features and windows are one aggregation over the events, not one each."""
    seen = features.at_as_ofs(events(spark, *random_rows), _AS_OFS, time="time")
    found = features.windowed(seen, all_features(), entity="who", time="time")
    plan = found._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning") == 1
    assert found.where(F.col("who").isNull()).count() == 0
