"""The leak certificate: planted leaks are found, and a clean training set is said to be one."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from driftline import certificate
from driftline.certificate import Check, Evidence, Seen

T = datetime(2024, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
TIMES = [T + 30 * n * DAY for n in range(5)]

CLEAN = Evidence(
    watermark=TIMES[-1] + 30 * DAY,
    known="arrival",
    horizon=30,
    seen=tuple(
        Seen(each, 100, 100, each - DAY, each, each + TICK, each + 30 * DAY) for each in TIMES
    ),
)
PARTS = {"train": TIMES[:3], "validation": TIMES[3:4], "test": TIMES[4:]}


def rows(spark, parts=None, entities=None):
    """200 people an as-of; x knows something, code is the label, gone is null where it is 1,
    seldom and note are the label where they are known.
    """
    draw = random.Random(5)
    made = []
    for part, times in (parts or PARTS).items():
        for time in times:
            for who in range(200):
                label = float(draw.random() < 0.3)
                mine = f"{part}{who}" if entities is None else f"{entities(part, who)}"
                made.append(
                    (
                        mine,
                        time,
                        label,
                        part,
                        label + draw.gauss(0, 1),
                        7 - 2 * label,
                        None if label else draw.random(),
                        f"{'left' if label else 'here'} {draw.randrange(3)}",
                        draw.choice([None, "x", "y"]),
                        draw.choice([None, label]),
                        draw.choice([None, f"was {label}"]),
                        # A code whose order means nothing: 2 and 3 are of label 1.
                        draw.choice([2.0, 3.0] if label else [1.0, 4.0]),
                    )
                )
    ddl = "_entity string, as_of timestamp, label double, part string, x double, code double, "
    ddl += "gone double, status string, word string, seldom double, note string, number double"
    return spark.createDataFrame(made, ddl)


def failed(found: list[Check]) -> dict[str, str]:
    return {each.check: each.detail for each in found if not each.holds}


def checked(evidence: Evidence, parts, columns=("x", "word"), **how) -> list[Check]:
    rule = {"task": "classification", "by": "time", **how}
    return certificate.checks(evidence, parts, columns, **rule)


@pytest.fixture(scope="module")
def clean(spark):
    return rows(spark).persist()


def test_a_clean_training_set_holds(clean) -> None:
    found = checked(CLEAN, clean)
    assert [each.check for each in found] == ["events", "arrivals", "labels", "times", "columns"]
    assert failed(found) == {}
    assert certificate.leaks(found) == []
    said = certificate.to_json(found, CLEAN)
    assert "labels of train are over at 2024-05-30, validation begins at 2024-05-30" in said
    assert Evidence.from_json(CLEAN.to_json()) == CLEAN


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        ({"newest_event": T + TICK}, "events"),
        ({"newest_arrival": T + TICK}, "arrivals"),
        ({"first_outcome": T}, "labels"),
        ({"last_outcome": T + 30 * DAY + TICK}, "labels"),
    ],
)
def test_what_lies_on_the_wrong_side_of_the_as_of_is_found(clean, planted, check) -> None:
    seen = (replace(CLEAN.seen[0], **planted), *CLEAN.seen[1:])
    found = checked(replace(CLEAN, seen=seen), clean)
    assert list(failed(found)) == [check]
    assert str(*planted.values()) in failed(found)[check]
    if check == "arrivals":
        by_event = checked(replace(CLEAN, seen=seen, known="event"), clean)
        assert failed(by_event) == {}


def test_a_label_that_is_not_over_is_found(clean) -> None:
    early = replace(CLEAN, watermark=TIMES[-1] + 30 * DAY - timedelta(microseconds=1))
    assert list(failed(checked(early, clean))) == ["labels"]
    # An as-of without labels may be as young as it likes.
    young = replace(CLEAN.seen[-1], labelled=0)
    assert failed(checked(replace(early, seen=(*CLEAN.seen[:-1], young)), clean)) == {}


def test_parts_that_share_time_or_somebody_are_found(spark, clean) -> None:
    near = {**PARTS, "validation": [TIMES[3] - DAY]}
    assert list(failed(checked(CLEAN, rows(spark, near)))) == ["times"]
    assert failed(checked(CLEAN, clean, by="entity")) == {}
    shared = rows(spark, entities=lambda part, who: who if who == 7 else f"{part}{who}")
    [found] = certificate.leaks(checked(CLEAN, shared, by="random"))
    assert (found.check, found.detail) == (
        "entities",
        "1 of 598 entities are in more than one of the parts",
    )


def test_columns_that_tell_the_label_alone_are_suspected(clean) -> None:
    columns = ["x", "code", "gone", "status", "word", "seldom", "note", "number"]
    found = checked(CLEAN, clean, columns)
    assert failed(found) == {
        "columns": "code alone has ROC AUC 1.000, gone alone has ROC AUC 1.000, "
        "status alone has ROC AUC 1.000, seldom alone has ROC AUC 1.000, "
        "note alone has ROC AUC 1.000, number alone has ROC AUC 1.000"
    }
    assert certificate.leaks(found) == []  # a suspicion is for people to judge
    found = checked(CLEAN, clean, columns, task="regression")
    assert "code alone has |correlation| 1.000" in failed(found)["columns"]
