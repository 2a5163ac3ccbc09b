"""Who was champion as of a day, and what a turn carries out of what was decided."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from decisions import CHURN, DAY, START

from driftline.certificate import Evidence
from driftline.errors import Missing
from driftline.jobs import acting, cycle, deciding, monitor
from driftline.registry import Version


class Models:
    """A registry of versions that learnt until the first days of June, a day each."""

    def __init__(self, line: list[int], *, champion: int, promoted: str | None = None) -> None:
        tags = {"line": json.dumps(line)} | ({"promoted": promoted} if promoted else {})
        self.there = [
            Version(number, "", "", {"watermark": (START + number * DAY).isoformat(), **tags})
            for number in (1, 2, 3)
        ]
        self._champion = champion

    def champion(self) -> Version:
        return self.there[self._champion - 1]

    def passed(self) -> list[Version]:
        return self.there


@pytest.mark.parametrize(
    ("line", "champion", "day", "found"),
    [
        ([1, 2, 3], 3, 4, 3),
        ([1, 2, 3], 3, 2, 2),
        ([1, 3], 3, 2, 1),  # version 2 was rolled back from, though it was champion for a while
        ([1, 3], 3, 0, None),
        ([2, 1], 1, 0, None),
    ],
)
def test_the_champion_of_then(line: list[int], champion: int, day: int, found: int | None) -> None:
    models: Any = Models(line, champion=champion)
    there = acting.acting(models, START + day * DAY)
    assert (there and there.number) == found


@pytest.mark.parametrize(
    ("promoted", "found"),
    [
        ("2024-06-01T12:00:05+00:00", True),
        ("2024-06-01T12:00:04+00:00", True),  # the tag has no parts of seconds
        ("2024-06-01T12:00:03+00:00", False),
        (None, True),  # killed between the alias and the tag
    ],
)
def test_who_became_champion_since(promoted: str | None, found: bool) -> None:
    models: Any = Models([1, 2], champion=2, promoted=promoted)
    made = START + timedelta(hours=12, seconds=4.7)
    assert (acting.promoted_since(models, made) is not None) is found


@pytest.mark.parametrize(
    ("about", "champion", "promoted", "outcomes", "found"),
    [
        (1, 2, DAY, {}, ["promoted"]),
        (None, 1, DAY, {}, ["promoted"]),  # there was no champion
        (2, 2, DAY, {}, []),  # killed before anything was trained
        (1, 2, -DAY, {}, []),  # champion when a past day was made up for
        (2, 1, DAY, {}, []),  # rolled back
        (1, 2, DAY, {"other": 2}, []),  # another decision's training
        (1, 2, DAY, {"mine": 2}, []),  # written down
        (1, 2, DAY, {"other": 1}, ["promoted"]),
    ],
)
def test_which_promotion_nobody_wrote_down(
    monkeypatch,
    about: int | None,
    champion: int,
    promoted: timedelta,
    outcomes: dict[str, int],
    found: list[str],
) -> None:
    made = SimpleNamespace(
        action="retrain", decision="mine", model_version=about, at=START, as_of=START
    )
    calm = SimpleNamespace(action="keep", decision="calm")
    done = {name: SimpleNamespace(model_version=number) for name, number in outcomes.items()}
    concluded: list[str] = []
    monkeypatch.setattr(deciding, "decisions", lambda *_: {"mine": made, "calm": calm})
    monkeypatch.setattr(deciding, "outcomes", lambda *_: done)
    monkeypatch.setattr(cycle, "_conclude", lambda *said: concluded.append(said[2]))
    models: Any = Models([1, 2], champion=champion, promoted=(START + promoted).isoformat())
    line: Any = None
    cycle._catch_up(line, models, START + 9 * DAY)
    assert concluded == found


def test_where_data_ended_is_said_by_the_newest_version_that_knows() -> None:
    """What was erased or only rewritten since notes nothing."""
    found = {number: Evidence(START + number * DAY, "event", 30, ()).to_json() for number in (1, 3)}
    tables = SimpleNamespace(
        noted=lambda _, version: found.get(version, {}), path=lambda name: name
    )
    line: Any = SimpleNamespace(problem=CHURN, tables=tables)
    assert [monitor.watermark(line, version) for version in (1, 2, 3, 5)] == [
        START + number * DAY for number in (1, 1, 3, 3)
    ]
    with pytest.raises(Missing, match="version 0 does not say where its data ended"):
        monitor.watermark(line, 0)


def test_a_version_is_judged_by_labels_that_came_after_its_training() -> None:
    version = Version(1, "", "", {"watermark": START.isoformat()})
    cutoffs = [START - 31 * DAY, START - 30 * DAY, START - 29 * DAY, START]
    found = [acting.judged_by(version, each, horizon=30) for each in cutoffs]
    assert found == [False, False, True, True]
    assert acting.judged_by(Version(1, "", "", {}), START, horizon=30)


def test_what_another_problem_file_asked_for_is_not_carried_out(monkeypatch) -> None:
    """An edit that decided to train, and was taken back before that came to an end."""
    asked: Any = [
        SimpleNamespace(action="watch", problem=CHURN.digest),
        SimpleNamespace(action="retrain", problem="another"),
    ]
    monkeypatch.setattr(deciding, "made", lambda *_: asked)
    line: Any = SimpleNamespace(problem=CHURN)
    assert cycle._made(line, START).action == "watch"
    del asked[0]
    with pytest.raises(Missing, match="nothing was decided as of 2024-06-01 by this problem file"):
        cycle._made(line, START)
