"""Point-in-time features: what an as-of may see, to the microsecond; operations by hand."""

from __future__ import annotations

import itertools
import math
import random
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from statistics import stdev

import pytest
from pyspark.sql import functions as F

from driftline import features, operations, tiles
from driftline.events import Cutoffs, Feature, Population

T = datetime(2024, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
DDL = (
    "who string, time timestamp, amount double, kind string, _arrived_at timestamp, "
    "_delivery string, _offset bigint"
)


def feature(operation: str, *windows: int, value: str | None = None, where: str | None = None):
    against = "30d" if operation == "ratio" else None
    return Feature(
        name="f",
        source="events",
        operation=operation,
        value=value,
        where=where,
        windows=tuple(f"{days}d" for days in windows),
        against=against,
    )


def events(spark, *rows: tuple):
    """(who, time, amount, kind, arrival); what is left out at the end is null, arrival the time."""
    whole = []
    for place, row in enumerate(rows):
        who, time, amount, kind, arrived = (*row, *[None] * (5 - len(row)))
        whole.append((who, time, amount, kind, arrived or time or T, "d", place))
    return spark.createDataFrame(whole, DDL)


def tiled(rows, *wanted, late: bool = False, population: Population | None = None):
    parts = [part for each in wanted for part in operations.components(each.operation, each)]
    if population:
        parts.append(operations.component("events", population.where))
    return tiles.tiles(
        rows,
        operations.unique(parts),
        entity="who",
        time="time",
        arrived=tiles.arrival(None),
        late=late,
    )


def windowed(rows, *wanted, as_ofs=(T,), late: bool = False) -> dict:
    """(who, as-of) → the values of every window of every feature."""
    numbered = [each.model_copy(update={"name": f"f{place}"}) for place, each in enumerate(wanted)]
    plan = features.plan(numbered, as_ofs, entity="who")
    found = features.windowed(tiled(rows, *numbered, late=late), plan).collect()
    return {(row[0], row[1].replace(tzinfo=timezone.utc)): tuple(row)[2:-2] for row in found}


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
        "before 1970": datetime(1969, 12, 31, 23, 59, tzinfo=timezone.utc),
    }
    found = windowed(events(spark, *moments.items()), feature("count", 7), as_ofs=(T, T + DAY))
    assert found == {
        ("at the as-of", T): (1,),
        ("just inside", T): (1,),
        ("at the as-of", T + DAY): (1,),
        ("after the as-of", T + DAY): (1,),
    }


EVENTS = (
    ("a", T - 9 * DAY, 100.0, "x"),
    ("a", T - 5 * DAY, 1.0, "x"),
    ("a", T - 5 * DAY + timedelta(hours=2), 2.0, "y"),
    ("a", T - 1 * DAY, 4.0, "y"),
    ("a", T - timedelta(hours=6), None, None),
)
BY_HAND = [
    # operation, value, in 8 days, in 30 days
    ("count", None, 4, 5),
    ("sum", "amount", 7.0, 107.0),
    ("mean", "amount * 2", 14 / 3, 214 / 4),
    ("min", "amount", 1.0, 1.0),
    ("max", "amount", 4.0, 100.0),
    ("std", "amount", math.sqrt(7 / 3), stdev([100.0, 1.0, 2.0, 4.0])),
    ("first", "amount", 1.0, 100.0),
    ("last", "amount", 4.0, 4.0),
    ("distinct", "kind", 2, 2),
    ("top_share", "kind", 2 / 3, 0.5),
    ("recency", None, 0.25, 0.25),
    # 25 Feb (twice) and 29 Feb (twice); in the longer window 21 Feb too.
    ("frequency", None, 2, 3),
    ("gap", None, 4.0, 4.0),
    ("gap_std", None, None, 0.0),
    # Halves: the newer 4 (15) days have 2 (5) of the 4 (5) events.
    ("trend", None, 0.0, 1.0),
    ("ratio", None, 4 / 5, 1.0),
    ("ratio", "amount", 7 / 107, 1.0),
    # An event at midnight ends its day: days −6, −5, −2, −1 counted from 0 have 1, 2, 4, null.
    (
        "slope",
        "amount",
        sum((place - 3.5) * y for place, y in ((2, 1), (3, 2), (6, 4))) * 12 / (8 * 63),
        sum((place - 14.5) * y for place, y in ((20, 100), (24, 1), (25, 2), (28, 4)))
        * 12
        / (30 * 899),
    ),
]


def test_every_operation_by_hand_and_what_a_window_without_events_says(spark) -> None:
    rows = events(spark, *EVENTS, ("b", T - 20 * DAY, 1.0, "x"))
    wanted = [feature(operation, 8, 30, value=value) for operation, value, *_ in BY_HAND]
    assert {each.operation for each in wanted} == set(operations.OPERATIONS)
    found = windowed(rows, *wanted)
    by_hand = [each for _, _, *both in BY_HAND for each in both]
    assert found["a", T] == tuple(
        each if each is None else pytest.approx(each, rel=1e-14) for each in by_hand
    )
    empty = {"zero": 0, "null": None, "length": 8}
    for (operation, value, *_), ours in zip(BY_HAND, found["b", T][::2], strict=True):
        # As a share of a longer window nothing is nothing.
        known = 0 if operation == "ratio" else empty[operations.OPERATIONS[operation].empty]
        assert (operation, value, ours) == (operation, value, known)


def test_nobodys_events_unknown_conditions_and_numbers_that_are_none(spark) -> None:
    rows = events(
        spark,
        (None, T, 1.0, "x"),
        ("a", T, 1.0, None),
        ("a", T, 2.0, "x"),
        ("a", T, 4.0, "y"),
        ("a", T, math.nan, "x"),
        ("a", T, math.inf, "x"),
        ("a", T, -1e300, "x"),
        ("a", None, 8.0, "x"),
    )
    found = windowed(
        rows,
        feature("sum", 3, value="amount", where="kind = 'x'"),
        feature("mean", 3, value="amount"),
        feature("max", 3, value="amount"),
        feature("count", 3),
    )
    assert found == {("a", T): (2.0, 7 / 3, 4.0, 6)}


def test_sums_are_exact_in_any_order(spark) -> None:
    """Doubles added up one by one lose the small ones beside the large; whole numbers do not."""
    draw = random.Random(3)
    small = [draw.uniform(-1, 1) * 10.0 ** draw.randrange(-9, 12) for _ in range(3_000)]
    amounts = [*small, *(-each for each in small[:2_990]), 9.99e15, -9.99e15, 1e-12]
    draw.shuffle(amounts)
    same = [("same", T - place % 9 * DAY, 9.99) for place in range(700)]
    rows = [("a", T - draw.randrange(20) * DAY, amount) for amount in amounts] + same
    wanted = [feature(each, 30, value="amount") for each in ("sum", "mean", "std")]
    found = windowed(events(spark, *rows), *wanted)
    exact = sum(map(Fraction, amounts))
    mean = exact / len(amounts)
    spread = sum((Fraction(each) - mean) ** 2 for each in amounts) / (len(amounts) - 1)
    total, average, deviation = found["a", T]
    assert total == pytest.approx(float(exact), rel=1e-14)
    assert average == pytest.approx(float(mean), rel=1e-14)
    assert deviation == pytest.approx(math.sqrt(spread), rel=1e-14)
    assert found["same", T] == (pytest.approx(6_993.0, rel=1e-15), pytest.approx(9.99), 0.0)
    again = windowed(events(spark, *rows[::-1]).repartition(7), *wanted)
    assert again == found


def test_population_of_an_as_of(spark) -> None:
    rows = events(
        spark,
        ("lately", T - DAY, 1.0, "x"),
        ("lately", T - 2 * DAY, 1.0, "x"),
        ("at the far end", T - 5 * DAY, 1.0, "x"),
        ("long ago", T - 5_000 * DAY, 1.0, "x"),
        ("unknown kind", T - DAY, 1.0, None),
        ("other kind", T - DAY, 1.0, "y"),
        ("later", T + TICK, 1.0, "x"),
        (None, T, 1.0, "x"),
    )

    def asked(**rule) -> list:
        population = Population(source="events", where="kind = 'x'", **rule)
        made = tiled(rows, feature("count", 3), population=population)
        plan = features.plan([feature("count", 3)], [T], entity="who", asked=population)
        found = features.windowed(made, plan).select("who", "f_3d", "_newest").collect()
        return sorted((row.who, row.f_3d, row._newest is not None) for row in found)

    assert [who for who, *_ in asked(within="5d")] == ["lately"]
    assert asked() == [
        ("at the far end", 0.0, True),
        ("lately", 2.0, True),
        ("long ago", 0.0, True),
    ]


def micros(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def test_the_latest_profile_up_to_the_as_of(spark) -> None:
    ddl = (
        "who string, time timestamp, city string, _delivery string, _offset long, "
        "_arrived_at timestamp"
    )
    rows = spark.createDataFrame(
        [
            ("a", T - DAY, "old", "d1", 0, T),
            ("a", T, "now", "d1", 1, T),
            ("a", T + TICK, "too late", "d9", 2, T + 3 * DAY),
            ("b", T, "first delivery", "d1", 9, T),
            ("b", T, "same time, earlier in the file", "d2", 1, T),
            ("b", T, "same time, later in the file", "d2", 7, T + TICK),
            (None, T, "nobody", "d1", 3, T),
            ("c", None, "never", "d1", 4, T),
        ],
        ddl,
    )

    def latest(known) -> dict:
        times = [T, T + DAY, T + 3 * DAY]
        more = {"known": known, "arrived": F.col("_arrived_at")}
        found = features.attributes(
            rows, ["city"], times, entity="who", time="time", **more
        ).collect()
        assert {row._newest for row in found} == {micros(T), micros(T + TICK)}
        assert all(row._newest <= micros(row.as_of.replace(tzinfo=timezone.utc)) for row in found)
        assert {row._arrived for row in found} >= {micros(T), micros(T + 3 * DAY)}
        return {(row.who, row.as_of.day): row.city for row in found}

    assert latest(F.col("time")) == {
        ("a", 1): "now",
        ("a", 2): "too late",
        ("a", 4): "too late",
        **{("b", day): "same time, later in the file" for day in (1, 2, 4)},
    }
    assert latest(F.greatest("time", "_arrived_at")) == {
        ("a", 1): "now",
        ("a", 2): "now",
        ("a", 4): "too late",
        ("b", 1): "same time, earlier in the file",
        ("b", 2): "same time, later in the file",
        ("b", 4): "same time, later in the file",
    }


# --- against a slow reference --------------------------------------------------------------------

_WINDOWS = (1, 7, 30)
_AS_OFS = [T, T + DAY, T + 10 * DAY, T + 29 * DAY]
_VALUES = {"needed": "amount", "possible": "amount", "none": None}


def adversarial(seed: int, count: int) -> list[tuple]:
    """Events that crowd around every boundary of every window, late ones too, nulls everywhere."""
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
        late = draw.choice([timedelta(0), TICK, DAY, -DAY, draw.random() * 9 * DAY])
        rows.append(
            (
                draw.choice([*"abcdefghij", None]),
                None if draw.random() < 0.01 else time,
                draw.choice([None, 0.0, -3.5, 1e9, round(draw.uniform(-5, 50), 2)]),
                draw.choice([None, "x", "y", "z", ""]),
                draw.choice([time + late, draw.choice(edges) + draw.choice(near)]),
            )
        )
    return rows


def reference(rows: list[tuple], feature_: Feature, days: int, as_of: datetime, late: bool):
    """The same definition as plainly as Python can say it; ``rows`` are one owner's, in order."""
    operation = feature_.operation

    def within(length: float) -> list[tuple]:
        return [
            (time, amount, kind)
            for _, time, amount, kind, arrived in rows
            if time is not None
            and as_of - timedelta(days=length) < time <= as_of
            and (arrived <= as_of or not late)
            and kind in ("x", "y")
        ]

    def total(found: list[tuple]):
        if feature_.value is None:
            return Fraction(len(found))
        return sum((Fraction(amount) for _, amount, _ in found if amount is not None), Fraction(0))

    inside = within(days)
    dates: list[date] = sorted({time.date() for time, _, _ in inside})
    gaps = [(b - a).days for a, b in itertools.pairwise(dates)]
    amounts = [Fraction(amount) for _, amount, _ in inside if amount is not None]
    kinds = [kind for _, _, kind in inside]
    if operation == "count":
        return len(inside)
    if operation == "sum":
        return float(sum(amounts))
    if operation == "mean":
        return float(sum(amounts) / len(amounts)) if amounts else None
    if operation in ("min", "max"):
        return float((min if operation == "min" else max)(amounts)) if amounts else None
    if operation == "std":
        return float(stdev(amounts)) if len(amounts) > 1 else None
    if operation in ("first", "last"):
        return float(amounts[0 if operation == "first" else -1]) if amounts else None
    if operation == "distinct":
        return len(set(kinds))
    if operation == "top_share":
        return max(map(kinds.count, kinds)) / len(kinds) if kinds else None
    if operation == "recency":
        return min(((as_of - time) / DAY for time, _, _ in inside), default=days)
    if operation == "frequency":
        return len(dates)
    if operation == "gap":
        return sum(gaps) / len(gaps) if gaps else None
    if operation == "gap_std":
        return stdev(gaps) if len(gaps) > 1 else None
    if operation == "trend":
        newer = len(within(days / 2))
        return (newer - (len(inside) - newer)) / len(inside) if inside else 0
    if operation == "ratio":
        whole = total(within(30))
        return float(total(inside) / whole) if whole else None
    assert operation == "slope"
    daily = [total(within(days - place)) - total(within(days - place - 1)) for place in range(days)]
    middle = Fraction(days - 1, 2)
    return float(
        sum((place - middle) * y for place, y in enumerate(daily))
        / sum((place - middle) ** 2 for place in range(days))
    )


def all_features() -> list[Feature]:
    made = []
    for name, operation in operations.OPERATIONS.items():
        value = "kind" if "categories" in operation.parts else _VALUES[operation.value]
        windows = [days for days in _WINDOWS if days > 1 or name != "slope"]
        made.append(feature(name, *windows, value=value, where="kind in ('x', 'y')"))
    made += [feature(name, 7, where="kind in ('x', 'y')") for name in ("ratio", "slope")]
    return made


@pytest.mark.parametrize("late", [False, True], ids=["by event time", "by arrival too"])
def test_ten_thousand_adversarial_events_against_plain_python(spark, late) -> None:
    rows = adversarial(11, 10_000)
    wanted = all_features()
    found = windowed(events(spark, *rows), *wanted, as_ofs=_AS_OFS, late=late)
    assert len(found) == 10 * len(_AS_OFS)
    differences = []
    exact = {"count", "min", "max", "first", "last", "distinct", "frequency"}
    # In the order of events: by time, then by the day they were known, then as they came.
    for who in "abcdefghij":
        mine = [row for row in rows if row[0] == who and row[1] is not None]
        mine.sort(key=lambda row: (row[1], midnight(max(row[1], row[4])) if late else row[1]))
        for as_of in _AS_OFS:
            ours = iter(found[who, as_of])
            for each in wanted:
                for days in each.windows:
                    a, b = next(ours), reference(mine, each, days, as_of, late)
                    same = a == b
                    if not same and each.operation not in exact and None not in (a, b):
                        same = a == pytest.approx(b, rel=1e-9, abs=1e-12)
                    if not same:
                        differences.append((each.operation, days, who, as_of, a, b))
    assert differences == []


def midnight(time: datetime) -> datetime:
    """The first midnight that is not before ``time``."""
    day = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if day == time else day + DAY


def test_what_happens_or_arrives_later_changes_nothing(spark) -> None:
    """Two thousand further events, after the last as-of or known only then: not one bit moves."""
    rows = adversarial(11, 1_000)
    last = _AS_OFS[-1]
    arriving = [(*row[:4], last + TICK) for row in adversarial(12, 1_000)]
    later = [(row[0], last + TICK, *row[2:4], last + TICK) for row in arriving]
    for late, more in ((False, later), (True, later + arriving)):
        before = windowed(events(spark, *rows), *all_features(), as_ofs=_AS_OFS, late=late)
        after = windowed(events(spark, *rows, *more), *all_features(), as_ofs=_AS_OFS, late=late)
        assert after == before


def test_one_source_costs_one_shuffle_by_entity(spark) -> None:
    """Many features, windows and as-ofs are one pass over the tiles, not one each."""
    made = tiled(events(spark, *EVENTS), *all_features())
    numbered = [each.model_copy(update={"name": f"f{n}"}) for n, each in enumerate(all_features())]
    stored = spark.createDataFrame([], made.schema)
    found = features.windowed(stored, features.plan(numbered, _AS_OFS, entity="who"))
    plan = found._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning") == 1


def test_join_fills_what_did_not_happen_and_keeps_what_is_unknown(spark, repository) -> None:
    from driftline.problem import load_problem

    problem = load_problem(repository / "conf" / "churn.yaml")
    orders = [name for each in problem.features if each.source == "orders" for name in each.columns]
    visits = [name for each in problem.features if each.source == "visits" for name in each.columns]

    def part(who: str, names: list[str], until: int):
        ddl = ", ".join(f"{name} double" for name in names)
        return spark.createDataFrame(
            [(who, T, *[5.0] * len(names), until, until)],
            f"customer_id string, as_of timestamp, {ddl}, _newest bigint, _arrived bigint",
        )

    people = spark.createDataFrame(
        [("a", T, 30, "f", "DE", 12, 13)],
        "customer_id string, as_of timestamp, age bigint, gender string, country string, "
        "_newest bigint, _arrived bigint",
    )
    asked = part("a", orders, 7).unionAll(part("b", orders, 8))
    rows = features.join(asked, [part("a", visits, 9), people], problem)
    columns = [name for each in problem.features for name in each.columns]
    assert rows.columns == [
        *("customer_id", "as_of", *columns, "age", "gender", "country"),
        *("_newest", "_arrived"),
    ]
    found = {row.customer_id: row for row in rows.collect()}
    assert [found["a"][name] for name in columns] == [5.0] * len(columns)
    assert (found["a"].age, found["a"].country, found["a"]._newest) == (30, "DE", 12)
    missing = found["b"]
    assert (missing.visit_days_7d, missing.visit_trend_60d, missing.carts_30d) == (0, 0, 0)
    assert (missing.visit_recency_90d, missing.age, missing._newest) == (90, None, 8)
