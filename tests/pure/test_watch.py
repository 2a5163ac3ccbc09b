"""The alarm: how often it is false, and what it does not miss."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.errors import Missing
from driftline.jobs.watch import _of, _unusual
from driftline.watch import LEAST, unusual


def false_alarms(metric: str, draw, *, batches: int, rows: float = 1000.0) -> float:
    """Share of histories of one kind whose newest value is called unusual."""
    tries = 1500
    alarms = 0
    for _ in range(tries):
        *history, newest = draw(batches + 1)
        alarms += unusual(metric, history, newest, rows=rows) is not None
    return alarms / tries


@pytest.mark.parametrize("batches", [8, 14, 30])
def test_false_alarms_are_as_rare_as_is_said(batches: int) -> None:
    random = np.random.default_rng(7)
    normal = {
        "lag_hours": lambda n: 50 + 9 * random.normal(size=n),
        "rows": lambda n: np.exp(9 + 0.3 * random.normal(size=n)),
        "null_rate": lambda n: random.binomial(1000, 0.02, n) / 1000,
        "broken_rate": lambda n: random.binomial(1000, 0.3, n) / 1000,
    }
    for metric, draw in normal.items():
        assert false_alarms(metric, draw, batches=batches) <= 0.01
    for count, share in ((20, 0.15), (30, 0.1), (40, 0.08), (300, 0.01)):  # no null is no alarm
        alarms = false_alarms(
            "null_rate",
            lambda n, count=count, share=share: random.binomial(count, share, n) / count,
            batches=batches,
            rows=count,
        )
        assert alarms <= 0.01, (count, share)
    heavy = false_alarms("lag_hours", lambda n: 50 + 9 * random.standard_t(3, n), batches=batches)
    assert heavy <= 0.05


def test_what_is_unusual_is_seen_through_one_bad_batch_before() -> None:
    steady = [1000.0, 1010, 990, 1005, 20, 1002, 998, 1001, 995, 1003]
    found = unusual("rows", steady, 300.0, rows=300)
    assert found is not None and found.low < 1000 < found.high and not found.low <= 300
    assert unusual("rows", steady, 1020.0, rows=1020) is None
    assert unusual("null_rate", [0.0] * 20, 0.2, rows=1000) is not None
    assert unusual("null_rate", [0.0] * 20, 0.001, rows=1000) is None
    assert unusual("lag_hours", [24.0] * 20, 72.0, rows=1) is not None
    assert unusual("rows", [7.0] * 20, 0.0, rows=0) is not None


def test_a_short_history_says_nothing() -> None:
    assert unusual("rows", [1000.0] * (LEAST - 1), 0.0, rows=0) is None
    assert unusual("rows", [1000.0] * LEAST, 0.0, rows=0) is not None


def test_only_what_the_newest_batch_has_is_judged() -> None:
    """A rule that was dropped after its alarm has no newest value; each table has a newest batch of
    its own.
    """
    batches = [f"b{n}" for n in range(12)]
    values = [0.02] * 9 + [0.9] * 3

    def history(table: str, metric: str, about: str, until: int) -> list[tuple]:
        found = [1000.0] * 12 if metric == "rows" else values
        return [
            (table, metric, about, f"{about} shown" if about else "", value, batch)
            for value, batch in zip(found[:until], batches, strict=False)
        ]

    measured = [
        *history("silver.a", "broken_rate", "dropped", 10),
        *history("silver.a", "broken_rate", "kept", 12),
        *history("silver.a", "rows", "", 12),
        *history("silver.b", "broken_rate", "newest", 10),
        *history("silver.b", "rows", "", 10),
    ]
    told, judged, young = _unusual(measured)
    assert [line.split(":")[0].split() for line in told] == [
        ["silver.a", "kept", "shown", "broken_rate"],
        ["silver.b", "newest", "shown", "broken_rate"],
    ]
    assert (judged, young) == (4, 0)


def test_the_history_of_a_rule_is_of_what_it_demands_not_of_its_name() -> None:
    """Of two rules of one kind the first has the plain name; when it goes the second gets it."""
    batches = [f"b{n}" for n in range(12)]
    rows = [("silver.a", "rows", "", "", 1000.0, batch) for batch in batches]
    first = [("silver.a", "broken_rate", "1st", "amount", 0.5, batch) for batch in batches[:-1]]
    names = ["amount 2nd"] * 11 + ["amount"]
    second = [
        ("silver.a", "broken_rate", "2nd", name, 0.02, batch)
        for name, batch in zip(names, batches, strict=True)
    ]
    assert _unusual([*first, *second, *rows]) == ([], 2, 0)
    second[-1] = (*second[-1][:4], 0.5, batches[-1])
    assert [line.split(":")[0] for line in _unusual([*first, *second, *rows])[0]] == [
        "  silver.a amount broken_rate"
    ]


def test_a_watch_of_nothing_does_not_say_that_all_is_well() -> None:
    measured = [
        ("silver.orders", "rows", "", "", 10.0, "b1"),
        ("silver.visits", "rows", "", "", 20.0, "b1"),
    ]
    assert _of(None, measured) == measured
    assert _of("silver.visits", measured) == measured[1:]
    with pytest.raises(Missing, match=r"of silver\.order\n") as caught:
        _of("silver.order", measured)
    assert caught.value.hint == "did you mean 'silver.orders'?"
    with pytest.raises(Missing, match=r"of gold\.features\n") as caught:
        _of("gold.features", measured)
    assert caught.value.hint == "measured are silver.orders, silver.visits"
    with pytest.raises(Missing, match="nothing has been measured yet"):
        _of(None, [])
