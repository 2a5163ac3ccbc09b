"""Promises: kept or broken by the number alone, unknown without one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from driftline import sla
from driftline.errors import ConfError
from driftline.problem import load_problem
from driftline.sla import Found, Promise
from driftline.sla_section import Sla

CHURN = Path(__file__).parents[2] / "conf" / "churn.yaml"
MOST, LEAST = Promise("a", "", 5.0, "h"), Promise("b", "", 5.0, "", at_most=False)


@pytest.mark.parametrize(
    ("promise", "found", "verdict"),
    [
        (MOST, Found(5.0, ""), "kept"),
        (MOST, Found(5.001, ""), "broken"),
        (LEAST, Found(5.0, ""), "kept"),
        (LEAST, Found(4.999, ""), "broken"),
        (MOST, None, "unknown"),
        (LEAST, None, "unknown"),
        (MOST, Found(None, "no answer"), "broken"),
        (LEAST, Found(None, "no answer"), "broken"),
        (MOST, Found(float("nan"), ""), "broken"),
        (LEAST, Found(float("nan"), ""), "broken"),
    ],
)
def test_a_promise_is_judged_by_its_number(promise, found, verdict) -> None:
    assert sla.judge(promise, found).verdict == verdict


def test_everything_the_section_says_is_a_promise() -> None:
    section = load_problem(CHURN).sla
    found = list(sla.promises(section, "roc_auc"))
    assert [(each.kind, each.subject, each.limit, each.at_most) for each in found] == [
        ("freshness", "silver.orders", 36.0, True),
        ("freshness", "gold.predictions", 744.0, True),
        ("duration", "ingest", 600.0, True),
        ("duration", "features", 900.0, True),
        ("duration", "train", 3600.0, True),
        ("deadline", "cycle", 6.0, True),
        ("quality", "validate", 0.98, False),
        ("model", "roc_auc", 0.6, False),
        ("response", "p99", 50.0, True),
        ("throughput", "", 100.0, False),
    ]
    assert list(sla.promises(Sla(), "roc_auc")) == []
    [rmse] = sla.promises(Sla(model=20.0), "rmse")
    assert rmse.at_most


DAY = datetime(2026, 3, 10, tzinfo=timezone.utc)


def hour(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("turns", "now", "expected"),
    [  # a turn: when it decided, and which day it is of, 0 being today
        ([(5.5, 0)], 7, 5.5),  # in time
        ([(6.5, 0), (-18.5, -1)], 7, 6.5),  # late
        ([(-18.5, -1)], 9, 9),  # yesterday's: late until now
        ([(6.5, 0)], 7, None),  # the first turn ever came after the deadline
        ([], 7, None),
        ([(-18.5, -1)], 5, -18.5),  # today's is not due yet: yesterday's counts
        ([(-18.5, -1), (5.5, 0)], 6, 5.5),  # just due
        ([(-42.5, -2), (-17.0, -1)], 9, 9),  # yesterday's came late: it is not today's
        ([(-42.5, -2), (-17.0, -1), (5.5, 0)], 9, 5.5),
        ([(-19.67, -1), (-10.0, -1)], 9, 9),  # one more yesterday, by hand: it is not today's
        ([(-42.5, -2), (4.33, 0)], 7, 4.33),  # a day was missed: today's is no late answer to it
        ([(-18.5, -1), (3.0, -1), (4.0, -9), (5.5, 0)], 7, 5.5),  # made again, made up for
        ([(-18.5, -1), (3.0, -1)], 7, 7),
        ([(5.5, 0), (6.5, 0)], 7, 5.5),  # the first of a day
        # Asked of an earlier day: what had ended by then.
        ([(-42.5, -2), (9, -1)], 0, 0),  # yesterday's was made up for later: none until then
        ([(-42.5, -2), (-18.5, -1), (9, 0)], 0, -18.5),
        ([(9, 0), (9.5, -30)], -720, None),  # nothing had been promised for a year ago
    ],
)
def test_a_deadline_is_met_by_the_turn_of_its_day(turns, now, expected) -> None:
    given = [sla.Turn(hour(end), hour(24 * day)) for end, day in turns]
    when = hour(now)
    found = sla.decided(given, "06:00", "04:00", when)
    if expected is None:
        assert found is None
        return
    moment = hour(expected)
    today = DAY if now >= 6 else DAY - timedelta(days=1)
    assert found == ((moment - today) / timedelta(hours=1), moment)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([(-1.0, -1), (-26.0, -2)], -1.0),  # the evening before, as planned
        ([(-26.0, -2)], 7),
        ([(-26.0, -2), (-17.0, -2)], 7),  # that of the evening before that came late
        ([(-26.0, -2), (-19.0, -1)], 7),  # by hand, before yesterday's deadline
        ([(-26.0, -2), (5.0, -1)], 5.0),
        ([(-26.0, -2), (6.5, -1)], 6.5),
    ],
)
def test_a_turn_that_is_planned_for_the_evening_is_of_the_day_before(turns, expected) -> None:
    given = [sla.Turn(hour(end), hour(24 * day)) for end, day in turns]
    assert sla.decided(given, "06:00", "22:00", hour(7)) == (expected, hour(expected))


def test_the_day_of_a_turn() -> None:
    assert sla.day(hour(-48), hour(5)) == hour(-48)  # as asked
    assert sla.day(None, hour(5)) == hour(0)
    assert sla.day(hour(240), hour(30)) == hour(24)  # as of what is to come: as of what there is


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("done", -1, 40), ("done", -2, 90)], (0, 40)),
        ([("unchanged", -1, 1), ("done", -2, 90)], (1, 90)),
        ([("failed", -1, 59), ("refused", -1, 60), ("done", -2, 40)], (2, 40)),  # tell nothing
        ([("failed", -1, 61), ("done", -2, 40)], (0, 61)),
        ([("killed", -1, 0), ("done", -2, 40)], (0, 3600)),  # and nothing has ended since
        ([("killed", -0.01, 30), ("done", -2, 40)], (1, 40)),  # it may be in time yet
        ([("failed", -0.5, 5), ("killed", -1, 30), ("done", -2, 40)], (1, 3600)),
        ([("unchanged", -0.5, 5), ("killed", -1, 30), ("done", -2, 40)], (2, 40)),
        ([("done", -0.5, 5), ("killed", -1, 30)], (0, 5)),
        ([("running", -1, 61), ("done", -2, 40)], (0, 61)),
        ([("running", -1, 60), ("done", -2, 40)], (1, 40)),  # it may be in time yet
        ([("unchanged", -0.5, 1), ("running", -1, 3600), ("done", -2, 40)], (1, 3600)),
        ([("done", -0.5, 5), ("running", -1, 3600)], (0, 5)),
        ([("unchanged", -1, 1), ("failed", -2, 1)], None),
        ([], None),
    ],
)
def test_a_stage_takes_what_its_newest_telling_run_took(runs, expected) -> None:
    told = [(status, hour(begun), seconds) for status, begun, seconds in runs]
    assert sla.timed(told, 60, hour(0)) == expected


def test_shares_and_ages() -> None:
    assert sla.passed(judged=100, out=90, duplicate=5) == 0.95
    assert sla.passed(judged=0, out=0, duplicate=0) is None
    assert sla.age(hour(-36), DAY) == 36


def test_the_table_shows_number_limit_and_where_it_comes_from() -> None:
    judged = [
        sla.judge(Promise("freshness", "silver.x", 36.0, "h"), Found(3.25, "said", "r1", "t", 4)),
        sla.judge(Promise("quality", "validate", 0.98, "", at_most=False), Found(0.9, "said")),
        sla.judge(Promise("response", "p99", 50.0, "ms"), Found(None, "gave no answer")),
        sla.judge(Promise("throughput", "", 100.0, "/s", at_most=False), None),
        sla.judge(Promise("deadline", "cycle", 6.0, "h"), Found(5.508, "a turn decided")),
        sla.judge(Promise("deadline", "cycle", 6.0, "h"), Found(29.5, "no turn has decided")),
        sla.judge(Promise("deadline", "cycle", 6.0, "h"), Found(-1.25, "the evening before")),
    ]
    lines = [" ".join(line.split()) for line in sla.table(judged).splitlines()]
    assert lines == [
        "promise of verdict found limit evidence",
        "freshness silver.x kept 3.2 h ≤ 36.0 h said, t version 4, run r1",
        "quality validate broken 0.9000 ≥ 0.9800 said",
        "response p99 broken - ≤ 50.0 ms gave no answer",
        "throughput unknown - ≥ 100.0/s no probe yet: --probe URL",
        "deadline cycle kept 05:30 ≤ 06:00 a turn decided",
        "deadline cycle broken 29:30 ≤ 06:00 no turn has decided",
        "deadline cycle kept -01:15 ≤ 06:00 the evening before",
    ]
    assert sla.counted(judged) == "3 kept, 3 broken, 1 unknown"
    assert [sla.short(each) for each in judged if each.verdict == "broken"] == [
        "quality validate (0.9000, promised ≥ 0.9800)",
        "response p99 (no answer, promised ≤ 50.0 ms)",
        "deadline cycle (29:30, promised ≤ 06:00)",
    ]


@pytest.mark.parametrize(
    ("kind", "unit", "limit", "at_most", "found", "said"),
    [
        ("deadline", "h", 6.0, True, 6.005, "(06:00:18.00, promised ≤ 06:00)"),
        ("freshness", "h", 20.0, True, 20.04, "(20.04 h, promised ≤ 20.0 h)"),
        ("quality", "", 0.98, False, 0.97996, "(0.97996, promised ≥ 0.9800)"),
    ],
)
def test_a_number_that_breaks_its_promise_is_told_so_far_that_it_does(
    kind, unit, limit, at_most, found, said
) -> None:
    promise = Promise(kind, "", limit, unit, at_most=at_most)
    judged = sla.judge(promise, Found(found, "evidence"))
    assert (judged.verdict, sla.short(judged)) == ("broken", f"{kind} {said}")
    assert said[1:].split(",")[0] in sla.table([judged])


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        (
            "silver.orders: 36h",
            "silver.order: 36h",
            "sla.freshness.silver.order",
            "'silver.orders'",
        ),
        ("silver.orders: 36h", "silver.orders: 36", "", ""),
        ("silver.orders: 36h", "silver.orders: soon", "sla.freshness.silver.orders", "36h"),
        ("ingest: 10m", "ingst: 10m", "sla.duration.ingst", "'ingest'"),
        ("'06:00'", "'6:00'", "sla.deadline", "06:00"),
        ("deadline: '06:00'", "deadline: 06:00", "", ""),
        ("quality: 0.98 ", "quality: 98 ", "sla.quality", "0.15"),
        ("p99: 50", "p95: 50", "sla.serving.p95", "'p99'"),
    ],
)
def test_what_is_wrong_with_a_promise_is_said(tmp_path, old, new, key, hint) -> None:
    text = CHURN.read_text("utf-8")
    assert text.count(old) == 1
    path = tmp_path / "x.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    if not key:
        load_problem(path)
        return
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert caught.value.key == key
    assert hint in caught.value.hint


def test_another_promise_is_no_other_question(tmp_path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(CHURN.read_text("utf-8").replace("quality: 0.98", "quality: 0.97"), "utf-8")
    assert load_problem(path).sla != load_problem(CHURN).sla
    assert load_problem(path).digest == load_problem(CHURN).digest
