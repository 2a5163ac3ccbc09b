"""A decision is a pure function of numbers: what it comes to, case by case."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from decisions import CALM, DAY, FREE, RULE, START, WORSE, interval, turns

from driftline.decision import (
    CAUSES,
    Economics,
    Turn,
    causes,
    decide,
    from_json,
    judged,
    order,
    to_json,
    worth,
)
from driftline.monitor_section import Monitor
from driftline.sections import Costs

NONE: dict[str, Any] = {}


CASES = {
    "calm": ([NONE] * 5, "keep", (), 0),
    "worse once is watched": ([NONE, NONE, WORSE], "watch", ("worse",), 1),
    "worse twice is trained again": ([NONE, WORSE, WORSE], "retrain", ("worse",), 2),
    "two of five need not be neighbours": ([WORSE, NONE, NONE, WORSE], "retrain", ("worse",), 2),
    "a sixth turn back is forgotten": ([WORSE, *[NONE] * 4, WORSE], "watch", ("worse",), 1),
    "the newest has to violate": ([WORSE, WORSE, NONE], "keep", (), 2),
    "drift after violations is watched": (
        [WORSE, WORSE, {"drift": 0.6}],
        "watch",
        ("drift",),
        2,
    ),
    "a small loss is none": ([{"real": interval(0.73)}] * 3, "keep", (), 0),
    "a loss that chance explains is none": ([{"real": interval(0.65, 0.2)}] * 3, "keep", (), 0),
    "expected to be worse counts": (
        [{"expected": interval(0.65), "real": None}] * 2,
        "retrain",
        ("expected",),
        2,
    ),
    "what cannot be trusted does not": (
        [{"expected": interval(0.65), "trusted": False}] * 2,
        "keep",
        (),
        0,
    ),
    "labels that break the promise count": ([{"concept": True}] * 2, "retrain", ("concept",), 2),
    "labels better than promised are watched": (
        [{"concept": True, "better": True, "trusted": False, "real": interval(0.82)}] * 3,
        "watch",
        ("better",),
        0,
    ),
    "better than promised, worse than it was": (
        [{"concept": True, "better": True, "trusted": False, "real": interval(0.65)}] * 2,
        "retrain",
        ("worse", "better"),
        2,
    ),
    "drift alone is watched": ([{"drift": 0.6}] * 5, "watch", ("drift",), 0),
    "drift that nothing else can judge counts": (
        [{"drift": 0.6, "real": None, "expected": None}] * 2,
        "retrain",
        ("drift",),
        2,
    ),
    "the gravest cause is first": (
        [NONE, {**WORSE, "concept": True, "drift": 0.6, "stale": True}],
        "watch",
        ("worse", "concept", "drift", "stale"),
        1,
    ),
    "skew is watched": ([{"skew": 0.6}] * 5, "watch", ("skew",), 0),
    "a little skew is none": ([{"skew": 0.2}], "keep", (), 0),
    "skew is mended, not trained away": (
        [{"skew": 0.6, "real": None, "expected": None}] * 2,
        "watch",
        ("skew",),
        0,
    ),
    "stale is watched": ([{"stale": True}] * 3, "watch", ("stale",), 0),
    "cooldown after training": ([WORSE, {**WORSE, "trained": True}, WORSE], "watch", ("worse",), 3),
    "cooldown is over": (
        [{**WORSE, "trained": True}, WORSE, WORSE],
        "retrain",
        ("worse",),
        3,
    ),
    "another version's turns do not count": (
        [{**WORSE, "version": 2}, {**WORSE, "version": 2}, WORSE],
        "watch",
        ("worse",),
        1,
    ),
    "without a champion one is trained": (
        [NONE, {"version": None}],
        "retrain",
        ("no_champion",),
        1,
    ),
    "nothing known is no reason": (
        [{"real": None, "expected": None, "reference": None, "drift": None}] * 3,
        "keep",
        (),
        0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions(name: str) -> None:
    changes, action, found, violations = CASES[name]
    made = decide(turns(*changes), RULE, FREE, smaller=False)
    assert (made.action, made.causes, made.violations) == (action, found, violations)
    for each in found:
        assert CAUSES[each] in made.why


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"real": interval(0.69)}, ("floor", "worse")),
        ({"real": interval(0.71)}, ("worse",)),
        ({"real": None, "expected": interval(0.69)}, ("floor", "expected")),
        ({"real": None, "expected": interval(0.69), "trusted": False}, ()),
        ({"real": interval(0.75), "expected": interval(0.69)}, ("floor", "expected")),
        ({"real": interval(0.75), "expected": interval(0.69), "trusted": False}, ()),
        # Labels of the very predictions say otherwise.
        ({"real": interval(0.75), "real_cutoff": START, "expected": interval(0.69)}, ()),
        ({"real": interval(0.69), "real_cutoff": START - DAY}, ("floor", "worse")),
    ],
)
def test_the_service_level(changed: dict[str, Any], found: tuple[str, ...]) -> None:
    assert causes(replace(CALM, **changed), Monitor(floor=0.70), smaller=False) == found


def test_of_errors_smaller_is_better_and_the_drop_is_a_part() -> None:
    rule = Monitor(drop=0.1, floor=60.0)
    then = replace(CALM, reference=interval(50.0, 0.5), expected=None)
    asked = {54.0: (), 56.0: ("worse",), 61.0: ("floor", "worse"), 40.0: ()}
    for value, found in asked.items():
        assert causes(replace(then, real=interval(value, 0.5)), rule, smaller=True) == found


def test_the_cooldown_is_said() -> None:
    made = decide(turns(WORSE, {**WORSE, "trained": True}, WORSE), RULE, FREE, smaller=False)
    assert made.why.endswith("1 turns since training was decided, more than 1 have to pass")


@pytest.mark.parametrize(
    ("gain", "cost", "action", "words"),
    [
        (None, 3.0, "retrain", "newest among them; what it may gain is unknown"),
        (None, None, "retrain", "newest among them; what it may gain is unknown"),
        (5.0, None, "retrain", "may gain 5, cost unknown"),
        (5.0, 3.0, "retrain", "training again may gain 5 and costs 3"),
        (2.0, 3.0, "watch", "training again gains at most 2 and costs 3"),
        (3.0, 3.0, "watch", "gains at most"),
    ],
)
def test_it_has_to_pay(gain: float | None, cost: float | None, action: str, words: str) -> None:
    rule = RULE.model_copy(update={"value": Costs(false_alarm=1, miss=4)})
    made = decide(turns(WORSE, WORSE), rule, Economics(gain, cost), smaller=False)
    assert made.action == action
    assert words in made.why


def test_without_a_value_of_errors_no_money_is_spoken_of() -> None:
    made = decide(turns(WORSE, WORSE), RULE, Economics(None, 3.0), smaller=False)
    assert made.action == "retrain"
    assert made.why.endswith("newest among them")


def test_what_training_may_gain() -> None:
    """10 % false alarms at 1 and 5 % misses at 4 instead of 5 % and 2 %: 0.17 a row more."""
    rule = Monitor(value=Costs(false_alarm=1, miss=4), payback=3)
    assert worth((0.10, 0.05), (0.05, 0.02), rule, rows=1_000) == pytest.approx(510.0)
    assert worth((0.05, 0.02), (0.10, 0.05), rule, rows=1_000) == 0.0
    assert worth(None, (0.1, 0.1), rule, rows=1_000) is None
    assert worth((0.1, 0.1), (0.1, 0.1), Monitor(), rows=1_000) is None


@pytest.mark.parametrize(
    ("action", "real", "retrained", "verdict"),
    [
        ("keep", 0.75, None, "right"),
        ("keep", 0.65, None, "missed"),
        ("watch", 0.65, None, "right"),
        ("watch", 0.75, None, "needless"),
        ("retrain", 0.65, 0.74, "right"),
        ("retrain", 0.65, 0.64, "no_better"),
        ("retrain", 0.65, None, "right"),
        ("retrain", 0.75, None, "needless"),
    ],
)
def test_a_decision_is_judged_by_what_happened(
    action: Any, real: float, retrained: float | None, verdict: str
) -> None:
    new = None if retrained is None else interval(retrained)
    found = judged(action, interval(real), interval(0.75), new, RULE, smaller=False)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "turn",
    [
        CALM,
        replace(CALM, cutoff=None, version=None, reference=None, real=None, drift=None),
        replace(CALM, trained=True, stale=True, concept=True, trusted=False),
        replace(CALM, concept=True, better=True, real_cutoff=START - DAY),
    ],
)
def test_its_inputs_are_kept_and_give_it_again(turn: Turn) -> None:
    kept = from_json(json.loads(json.dumps(to_json(turn))))
    assert kept == turn
    rule = Monitor.model_validate_json(RULE.model_dump_json())
    again = [decide([each], rule, FREE, smaller=False) for each in (turn, kept)]
    assert again[0] == again[1]


def test_a_decision_kept_before_a_field_was_there_is_read() -> None:
    kept = to_json(CALM)
    del kept["better"], kept["real_cutoff"]
    assert from_json(json.loads(json.dumps(kept))) == CALM


def test_scores_that_promise_worse_count_beside_the_same_labels() -> None:
    """Each new cut-off's own scores are news; so is drift where nothing else tells."""
    same = {"real_cutoff": START, "trusted": True}
    lost = {**WORSE, **same, "expected": interval(0.65)}
    assert decide(turns(lost, lost), RULE, FREE, smaller=False).violations == 2
    blind = {"real": None, "real_cutoff": START, "trusted": False, "concept": True, "drift": 0.6}
    assert decide(turns(blind, blind), RULE, FREE, smaller=False).violations == 2
    only = {**blind, "drift": 0.0}
    assert decide(turns(only, only), RULE, FREE, smaller=False).violations == 1


def test_a_mistyped_day_hides_no_decision() -> None:
    """A day that is asked for a few hours before it begins, where it has begun, is none."""
    made = {
        "backfill": (START - 30 * DAY, START + 2 * DAY),
        "mistyped": (START + 365 * DAY, START),
        "before": (START, START),
        "again": (START, START + timedelta(hours=1)),
        "tomorrow": (START + DAY, START + timedelta(hours=20)),
    }
    assert sorted(made, key=lambda name: order(*made[name])) == [
        "mistyped",
        "backfill",
        "before",
        "again",
        "tomorrow",
    ]
