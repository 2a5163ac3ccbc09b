"""Times move on by nature: what of them is compared, and what calm history teaches of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from profiles import RULE, Values, drifted, numeric, words

from driftline.drift import Statistic, compare
from driftline.profile import Profile
from driftline.times import freshness, strays
from driftline.verdicts import judged, learnt

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)


def times(days: Sequence[float] | Values, *, name: str = "at") -> dict[str, Profile]:
    """A column of times, in days since the first of March 2026, with its hours and weekdays."""
    seconds = MARCH.timestamp() + np.asarray(days) * 86_400.0
    moments = [datetime.fromtimestamp(each, timezone.utc) for each in seconds]
    whole = numeric(seconds, name=name, type="timestamp")
    parts = {"hour": Counter(str(each.hour) for each in moments)}
    parts["weekday"] = Counter(str(each.weekday()) for each in moments)
    told = (replace(words(c, name=name, type="timestamp"), part=part) for part, c in parts.items())
    return {each.name: each for each in (whole, *told)}


def test_times_move_on_by_nature() -> None:
    """Thirty days and the next one: told, and no drift; that they are missing is."""
    days = np.random.default_rng(1).uniform(0, 30, size=3000)
    before, after = times(days), times(30 + days[:400] / 30)
    found = {(each.column, each.statistic): each for each in judged(compare(before, after, RULE))}
    assert found["at", "ks"].value == found["at", "range"].value == 1.0
    assert found["at", "psi"].value > 5 and found["at:weekday", "js"].value > 0.7
    assert not any(each.drifted for each in found.values())
    set_ = {column for (column, name), each in found.items() if each.threshold and name[0] != "n"}
    assert set_ == {"at:hour"}
    gone = replace(after["at"], nulls=400, rows=800)
    nulls = judged(compare(before, after | {"at": gone}, RULE))[0]
    assert (nulls.statistic, nulls.drifted) == ("null_rate", True)


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ((0, 28), (28, 42), "weekday"),
        ((0, 31), (31, 61), "weekday"),
        ((0, 28), (28, 36), None),
        ((0, 17), (17, 37), None),
        ((0, 1), (1, 2), None),
        ((0, 3), (7, 10), "weekday"),
        ((0, 1), (1, 2), "hour"),
        ((0, 0.5), (0.5, 1), None),
        ((0, 30), (30, 30.1), None),
    ],
)
def test_parts_are_judged_where_the_calendar_is_alike(
    before: tuple[float, float], after: tuple[float, float], part: str | None
) -> None:
    """Weekdays of whole weeks, nearly; hours of whole days; or of the same ones of either."""
    sides = [times(np.linspace(*span, num=4000, endpoint=False)) for span in (before, after)]
    said = judged(compare(*sides, RULE))
    asked = {each.column.partition(":")[2] for each in said if each.threshold is not None} - {""}
    assert (
        asked >= {part}
        if part
        else not asked & {"weekday" if after[1] - after[0] > 0.9 else "hour"}
    )
    assert not any(each.drifted for each in said)


def test_other_hours_and_weekdays_are_drift() -> None:
    """Each Sunday and every night left out, of four weeks against four."""
    days = np.linspace(0, 28, num=4000, endpoint=False)
    moved = 28 + days[(days // 1 % 7 != 0) & (days % 1 > 0.25)]
    said = judged(compare(times(days), times(moved), RULE))
    assert {each.column for each in said if each.drifted} == {"at:hour", "at:weekday"}


def taught(
    calm: Sequence[tuple[Values, Values]], pair: tuple[Values, Values], *, days: float
) -> dict[str, Statistic]:
    """What is said of a column of times after calm steps of a day each."""

    def one(sides: tuple[Values, Values], apart: float) -> list[Statistic]:
        before, after = (times(each)["at"] for each in sides)
        fresh = freshness(before, after, (MARCH, MARCH + timedelta(days=apart)))
        assert fresh is not None
        return [*compare({"at": before}, {"at": after}, RULE), fresh]

    said = judged(learnt([one(sides, 1) for sides in calm], one(pair, days)))
    return {each.statistic: each for each in said}


def test_calm_history_says_which_times_stand_still() -> None:
    """Birthdays do, and are drift when they are others; what is shipped is of another day each."""
    draw = np.random.default_rng(2)
    births = [draw.uniform(-30_000, -6_000, size=3000) for _ in range(6)]
    calm = list(pairwise(births))
    assert not drifted(taught(calm, (births[0], births[-1]), days=1))
    for days in (1, 30):
        assert "ks" in drifted(taught(calm, (births[0], births[1] / 2), days=days))
    shipped = [np.linspace(0, day, num=300 * day, endpoint=False) for day in range(1, 9)]
    calm = [(all_, all_[-300:] + 0.9) for all_ in shipped]  # some of the day before
    for days in (1, 8):
        said = taught(calm, (shipped[0], shipped[-1] + 1), days=days)
        assert (said["ks"].value, said["ks"].threshold) == (1.0, None) and not drifted(said)
    # A list of all that ever was, whole against whole: each day is a hundredth of it.
    lists = [np.linspace(0, 100 + day, num=100 * (100 + day)) for day in range(31)]
    calm = list(pairwise(lists[:6]))
    said = taught(calm, (lists[0], lists[30]), days=30)
    assert said["ks"].value == pytest.approx(30 / 130, abs=0.02) and not drifted(said)
    assert "ks" in drifted(taught(calm, (lists[0], lists[30]), days=1))


def test_a_column_that_stands_still_is_no_staler_for_it() -> None:
    """Birthdays, of thirty steps against steps of one; what came each day, and stopped, is."""
    birth, day = [-20_000.0, -9_000.0], [0.0, 1.0]
    still = taught([(birth, birth)] * 30, (birth, birth), days=30)["freshness"]
    assert (still.value, still.threshold, still.drifted) == (30.0, 37.5, False)
    moving = [(day, [0.0, 2.0])] * 30
    for newest, behind in ((31.0, 0.0), (30.6, 0.4), (30.4, 0.6), (1.0, 30.0)):
        said = taught(moving, (day, [0.0, newest]), days=30)["freshness"]
        assert (said.value, said.threshold) == (pytest.approx(behind), 0.5)
        assert said.drifted is (behind > 0.5)


def test_freshness_is_asked_of_the_times_that_a_problem_names() -> None:
    """Of any, where it says nothing of the table; a birthday need not move on."""
    at = (MARCH, MARCH + timedelta(days=7))
    still = {name: times([-30.0], name=name)[name] for name in ("birth", "time")}
    for keys, asked in ((("time", "id"), {"time"}), ((), {"birth", "time"})):
        said = [freshness(each, each, at, 3.0, keys=keys) for each in still.values()]
        assert {each.column for each in judged(said) if each.drifted} == asked
        assert {each.value for each in said} == {7.0}


def test_a_newest_time_in_the_future_is_after_its_version() -> None:
    at = tuple(datetime(2024, 3, day, tzinfo=timezone.utc) for day in (2, 9))
    days = [(2024, 3, 1), (9999, 12, 31), (2024, 3, 2)]
    then, last, now = (
        numeric([0.0, datetime(*day, tzinfo=timezone.utc).timestamp()], type="timestamp")
        for day in days
    )
    said = freshness(then, last, at)
    assert said.detail == "newest 1.0 days before → 2,913,105.0 days after the version"
    assert said.value == 0.0
    assert freshness(last, now, at).value == 2_913_112 + 7
    assert freshness(now, then, at).detail.startswith("newest 0.0 days before → ")


def test_times_that_are_as_none_was() -> None:
    """A default of 1970, milliseconds for seconds, years for days; not those that move on, be they
    late, or of next month as they always were.
    """
    random = np.random.default_rng(1)
    at = (MARCH + timedelta(days=30), MARCH + timedelta(days=60))
    days = random.uniform(0, 40, size=2000)  # some are planned ahead

    def told(now: Values) -> Statistic:
        said = strays(times(days)["at"], times(now)["at"], at, 0.03)
        assert said is not None
        return judged([said])[0]

    later = days + 30
    since = -MARCH.timestamp() / 86_400
    for now, share in (
        (np.full(2000, since), 1.0),
        (np.where(random.random(2000) < 0.1, since, later), 0.1),
        (later * 365, 1.0),
        (later + 1000 * 365, 1.0),
    ):
        said = told(now)
        assert said.drifted
        assert said.value == pytest.approx(share, abs=0.05)
    for calm in (later, days, later - 35, np.where(random.random(2000) < 0.01, since, later)):
        assert not told(calm).drifted
    # A delivery of one date, due in two weeks; the next one is a little earlier in its day.
    at = (MARCH + timedelta(hours=8), MARCH + timedelta(hours=31.8))
    day = times(np.full(2000, 14.0))["at"]
    for now in (np.full(2000, 15.0), np.where(random.random(2000) < 0.1, -13.0, 15.0)):
        said = strays(day, times(now)["at"], at, 0.03)
        assert said is not None
        assert not judged([said])[0].drifted
    assert strays(numeric([1.0]), numeric([2.0]), at, 0.03) is None
    assert strays(times([1.0])["at"], numeric([], type="timestamp"), at, 0.03) is None
