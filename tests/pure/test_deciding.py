"""From what was measured to the numbers of a decision, and to what may be gained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from decisions import CALM, CHURN, DAY, FREE, RULE, START, WORSE, interval, turns

from driftline.decision import (
    Decision,
    Turn,
    causes,
    decide,
    to_json,
)
from driftline.evaluation import Interval
from driftline.jobs import deciding, measuring, paying
from driftline.jobs.measuring import Measured
from driftline.monitor_section import Monitor
from driftline.registry import Version
from driftline.sections import Costs

STORED = RULE.model_dump_json()


def test_a_period_has_trained_once_a_training_came_to_an_end() -> None:
    """Of three decisions to train: one refused in the end, one skipped by a backfill, one open."""
    months = turns(WORSE, WORSE, WORSE, WORSE)
    past: Any = {
        str(place): SimpleNamespace(turn=json.dumps(to_json(each)), metric="roc_auc", rule=STORED)
        for place, each in enumerate(months[:3])
    }
    trained: Any = {
        "0": SimpleNamespace(verdict="refused"),
        "1": SimpleNamespace(verdict="skipped"),
    }
    found = deciding.history(past, trained, months[3], "roc_auc", RULE.drop)
    assert [each.trained for each in found] == [True, False, False, False]
    again = deciding.history(past, trained, replace(months[0], drift=0.5), "roc_auc", RULE.drop)
    assert (again[-1].drift, again[-1].trained) == (0.5, True)


def test_turns_judged_by_another_rule_are_for_the_cooldown_alone() -> None:
    """0.65 is bad for a ROC AUC, and may be good for what is under precision and recall."""
    months = turns(WORSE, WORSE, WORSE)
    past: Any = {
        str(place): SimpleNamespace(turn=json.dumps(to_json(each)), metric="roc_auc", rule=STORED)
        for place, each in enumerate(months[:2])
    }

    def made(metric: str, drop: float = RULE.drop) -> Decision:
        found = deciding.history(past, {}, months[2], metric, drop)
        return decide(found, RULE, FREE, smaller=False)

    assert (made("roc_auc").action, made("roc_auc").violations) == ("retrain", 3)
    assert (made("pr_auc").action, made("pr_auc").violations) == ("watch", 1)
    assert (made("roc_auc", 0.05).action, made("roc_auc", 0.05).violations) == ("watch", 1)
    rule = RULE.model_copy(update={"at_least": 1})
    tried: Any = {"1": SimpleNamespace(verdict="refused")}
    found = decide(
        deciding.history(past, tried, months[2], "pr_auc", RULE.drop), rule, FREE, smaller=False
    )
    assert found.action == "watch" and "turns since training was decided" in found.why


@pytest.mark.parametrize(
    ("decided", "shares"),
    [
        ({}, (0.1, 0.04)),
        ({"accuracy": 0.8, "recall": 0.9}, (0.19, 0.01)),
        ({"accuracy": 0.7, "recall": 0.0}, (0.2, 0.1)),  # every alarm was a false one
        ({"accuracy": 0.9, "recall": 0.0}, (0.0, 0.1)),  # there was none
    ],
)
def test_what_errors_there_were_on_the_test_rows(monkeypatch, decided, shares) -> None:
    """By the confusion matrix, or of answers by a threshold by what was measured of these."""
    counts = {"tp": 60, "fn": 40, "fp": 100, "tn": 800}
    curves = SimpleNamespace(
        where=lambda _: curves,
        collect=lambda: [SimpleNamespace(name=name, y=float(y)) for name, y in counts.items()],
    )
    found = {("decision", name): SimpleNamespace(value=each) for name, each in decided.items()}
    monkeypatch.setattr(paying, "evaluations", lambda *_: found)
    monkeypatch.setattr(paying, "F", SimpleNamespace(col=lambda name: name))
    rule = Monitor(value=Costs(false_alarm=1, miss=4))
    line: Any = SimpleNamespace(
        problem=CHURN.model_copy(update={"monitor": rule}),
        tables=SimpleNamespace(read=lambda _: curves),
    )
    assert paying._shares_then(line, Version(1, "", "", {})) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("runs", "money"),
    [
        ([], None),
        ([("killed", 55.0, None)], None),  # it never came to an end
        ([("done", 5.0, 3)], 5.0),
        ([("killed", 55.0, None), ("failed", 2.0, 3), ("done", 5.0, 3)], 62.0),
        ([("killed", 55.0, None), ("done", 5.0, 3), ("done", 7.0, 3)], 7.0),  # that of another
        ([("done", 5.0, 3), ("killed", 55.0, None)], 5.0),
        ([("done", 5.0, 3), ("killed", 9.0, None), ("done", 7.0, 8)], 5.0),  # not known by then
    ],
)
def test_a_training_costs_what_its_tries_did(runs, money) -> None:
    assert paying.cost(runs, {3, 5}) == money


def test_what_scores_promise_of_the_newest_period_may_be_gained_before_its_labels() -> None:
    """Of four months two have labels: the last of those was calm, the newest promises to be bad."""
    rule = Monitor(value=Costs(false_alarm=1, miss=4), payback=1)

    def month(alarms: float, misses: float) -> dict[str, Interval]:
        return {"false_alarms": interval(alarms), "misses": interval(misses)}

    calm, bad = month(0.05, 0.02), month(0.10, 0.05)

    def gain(*months: tuple[dict, dict], trusted: bool = True) -> float | None:
        mine = [Measured(START, 1, 1_000, 0, *each, None) for each in months]
        return paying.gain(mine, (0.05, 0.02), rule, trusted=trusted)

    waiting = ({}, bad)
    assert gain((bad, bad), (calm, calm), waiting, waiting) == pytest.approx(170.0)
    assert gain((calm, calm), waiting, trusted=False) == 0.0
    assert gain((bad, calm), ({}, calm)) == pytest.approx(170.0)  # what labels show is not undone
    assert gain((bad, calm), (calm, bad)) == 0.0  # nor what scores promised believed after labels
    assert gain(waiting) == pytest.approx(170.0)
    assert gain(waiting, trusted=False) is None
    assert gain() is None


def test_a_decision_is_judged_by_the_metric_and_the_rule_it_was_made_by(monkeypatch) -> None:
    """The problem file has another metric by now, and a floor that this one did not reach."""
    kept = SimpleNamespace(
        action="keep",
        metric="roc_auc",
        rule=RULE.model_dump_json(),
        turn=json.dumps(to_json(CALM)),
    )
    concluded = []
    monkeypatch.setattr(deciding, "decisions", lambda *_: {"d": kept})
    monkeypatch.setattr(deciding, "outcomes", lambda *_: {})
    monkeypatch.setattr(deciding, "conclude", lambda *said, **_: concluded.append(said[3:]))
    train = CHURN.train.model_copy(update={"metric": "pr_auc"})
    rule = RULE.model_copy(update={"floor": 0.8})
    line: Any = SimpleNamespace(problem=CHURN.model_copy(update={"train": train, "monitor": rule}))
    real = {"roc_auc": interval(0.74), "pr_auc": interval(0.4)}
    measured = [Measured(START, 1, 1_000, 1_000, real, {}, True)]
    assert deciding.judge(line, line, measured, as_of=START) == 1
    assert concluded == [("judged", "right", "the model then reached 0.7400")]


@pytest.mark.parametrize(
    ("metric", "promised", "came", "found"),
    [
        ("roc_auc", 0.78, 0.84, True),
        ("roc_auc", 0.78, 0.80, False),  # within the drop
        ("roc_auc", 0.84, 0.78, False),
        ("rmse", 50.0, 40.0, True),
        ("rmse", 50.0, 49.0, False),
        ("rmse", 40.0, 50.0, False),
    ],
)
def test_better_than_promised(metric: str, promised: float, came: float, found: bool) -> None:
    bias = {"bias": interval(0.1)}
    each = Measured(
        START,
        1,
        9,
        9,
        {metric: interval(came)} | bias,
        {metric: interval(promised)} | bias,
        not found,
    )
    assert deciding.better(each, metric, 0.03) is found
    assert not deciding.better(replace(each, expected={}), metric, 0.03)
    wide = replace(each, expected={metric: interval(promised, 20.0)} | bias)
    assert not deciding.better(wide, metric, 0.03)  # chance explains it


PROMISED = {"roc_auc": 0.81, "share_of_1": 0.05}


@pytest.mark.parametrize(
    ("metric", "promised", "came", "found"),
    [
        # A fifth more churn, at random: hardly any order is left in the scores.
        ("pr_auc", PROMISED, {"roc_auc": 0.58, "share_of_1": 0.24}, False),
        # As many more, ranked as before; ranked better than before; the ranks alone are better.
        ("pr_auc", PROMISED, {"roc_auc": 0.81, "share_of_1": 0.24}, False),
        ("pr_auc", PROMISED, {"roc_auc": 0.90, "share_of_1": 0.24}, True),
        ("pr_auc", PROMISED, PROMISED, True),
        ("pr_auc", PROMISED, {"roc_auc": 0.70, "share_of_1": 0.05}, False),
        ("pr_auc", PROMISED, {"share_of_1": 1.0}, False),
        # Nobody spends any more, and all are still expected to.
        ("rmse", {"bias": 0.3}, {"bias": 22.8}, False),
        ("mae", {"bias": 0.3}, {"bias": -22.8}, False),
        ("rmse", {"bias": 22.8}, {"bias": 0.3}, True),
    ],
)
def test_better_by_the_metric_and_worse_by_what_it_does_not_see(
    metric: str, promised: dict[str, float], came: dict[str, float], found: bool
) -> None:
    better, worse = (0.5, 0.2) if metric == "pr_auc" else (25.0, 38.0)
    real, expected = (
        {name: interval(value) for name, value in {**each, metric: its}.items()}
        for each, its in ((came, better), (promised, worse))
    )
    each = Measured(START, 1, 5_000, 5_000, real, expected, False)
    assert deciding.better(each, metric, 0.03) is found


@pytest.mark.parametrize(
    ("every", "horizon", "bad"), [(7, 30, range(1)), (30, 7, range(1)), (7, 30, range(2))]
)
def test_the_same_labels_count_once(every: int, horizon: int, bad: range) -> None:
    """A turn a day, of which cut-offs and labels have no common rhythm; so many cut-offs' labels
    are bad, and all others good.
    """
    past: dict[str, Any] = {}
    made = []
    for day in range(horizon, horizon + 3 * every + 5):
        cutoff, labels = (START + each // every * every * DAY for each in (day, day - horizon))
        lost = labels < START + len(bad) * every * DAY
        turn = replace(
            CALM,
            as_of=START + day * DAY,
            cutoff=cutoff,
            real_cutoff=labels,
            trusted=not lost,
            concept=lost,
            **(WORSE if lost else {}),
        )
        found = deciding.history(past, {}, turn, "roc_auc", RULE.drop)
        made.append(decide(found, RULE, FREE, smaller=False))
        past[str(day)] = SimpleNamespace(
            turn=json.dumps(to_json(turn)), metric="roc_auc", rule=STORED
        )
    assert max(each.violations for each in made) == len(bad)
    assert [each.action for each in made].count("retrain") == (every if len(bad) == 2 else 0)
    assert made[every - 1].causes == ("worse", "concept")


def told(monkeypatch, *mine: Measured, **train: str) -> Turn:
    """The turn of a champion by what was measured of its predictions, oldest first."""
    monkeypatch.setattr(deciding.comparisons, "drifted", lambda *_: [])
    monkeypatch.setattr(deciding, "_reference", lambda *_: interval(0.75))
    asked = CHURN.model_copy(update={"train": CHURN.train.model_copy(update=train)})
    line: Any = SimpleNamespace(problem=asked)
    champion = Version(1, "", "", {})
    cutoff = mine[-1].cutoff
    return deciding._turn(line, champion, mine, (), cutoff + 2 * DAY, cutoff, 1)[0]


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
def test_labels_of_one_class_are_the_newest_labels(monkeypatch, metric: str) -> None:
    """Everybody has gone, where half of them should have: there is no metric, and no doubt."""
    expected = {metric: interval(0.75), "share_of_1": interval(0.5)}
    may = Measured(START, 1, 800, 800, expected, expected, True)
    june = Measured(START + 30 * DAY, 1, 800, 800, {"share_of_1": interval(1.0)}, expected, False)
    found = told(monkeypatch, may, june, metric=metric)
    assert (found.real, found.real_cutoff) == (None, june.cutoff)
    assert (found.concept, found.better, found.trusted) == (True, False, False)
    assert causes(found, RULE, smaller=False) == ("concept",)
    promised = replace(june, assumption=True)  # as of a rare label, of few rows
    calm = told(monkeypatch, may, promised, metric=metric)
    assert decide([calm], RULE, FREE, smaller=False).action == "keep"
    low = {**expected, metric: interval(0.65)}  # what no label tells, scores do
    lost = told(monkeypatch, may, replace(promised, expected=low), metric=metric)
    assert causes(lost, RULE, smaller=False) == ("expected",)


@pytest.mark.parametrize(
    ("metric", "share", "holds", "cause"),
    [
        # One label in two hundred is 1, at rank 80: 0.40, by a bootstrap that only draws it again.
        (interval(0.40, 0.06), 1 / 200, True, ()),
        (interval(1.0, 0.0), 1 / 200, True, ()),  # at the very top: nor are scores doubted
        (interval(0.40, 0.06), 9 / 200, False, ("concept",)),  # nine times as many, but those tell
    ],
)
def test_a_few_labels_of_a_class_say_nothing_of_the_ranks(
    monkeypatch, metric: Interval, share: float, holds: bool, cause: tuple[str, ...]
) -> None:
    came = {"roc_auc": metric, "share_of_1": interval(share), "misses": interval(0.0)}
    promised = {"roc_auc": interval(0.75), "share_of_1": interval(0.005), "misses": interval(0.01)}
    (few,) = read(monkeypatch, {"expected": promised, "real": came}, labelled=200)
    assert (set(few.real), few.assumption) == ({"share_of_1"}, holds)
    found = told(monkeypatch, few)
    assert (found.real, found.better) == (None, False)
    assert found.real_cutoff == (None if holds else START)
    assert causes(found, RULE, smaller=False) == cause
    # What training may gain is by what is promised, which decides.
    rule = RULE.model_copy(update={"value": Costs(false_alarm=1, miss=5)})
    weighed = {**few.expected, "false_alarms": interval(0.1)}
    mine = [replace(few, expected=weighed)]
    assert paying.gain(mine, (0.0, 0.0), rule, trusted=True) == pytest.approx(0.15 * 200 * 3)

    made = SimpleNamespace(
        action="keep", metric="roc_auc", rule=STORED, turn=json.dumps(to_json(CALM))
    )
    concluded: list[str] = []
    monkeypatch.setattr(deciding, "decisions", lambda *_: {"d": made})
    monkeypatch.setattr(deciding, "outcomes", lambda *_: {})
    monkeypatch.setattr(deciding, "conclude", lambda *said, **_: concluded.append(said[4]))
    line: Any = SimpleNamespace(problem=CHURN)
    assert deciding.judge(line, line, [few], as_of=START) == 0
    (many,) = read(monkeypatch, {"expected": promised, "real": came}, labelled=9_000)
    assert deciding.judge(line, line, [many], as_of=START) == 1
    assert concluded == ["right" if metric.value > 0.75 else "missed"]


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
def test_few_labels_give_no_trust_back_that_many_took(monkeypatch, metric: str) -> None:
    """Thousands of labels tell of concept drift; then come nine that are 1, of two hundred."""
    promised = {metric: interval(0.8), "share_of_1": interval(0.05)}
    lost = Measured(START, 1, 2_000, 2_000, promised | {metric: interval(0.55)}, promised, False)
    few = Measured(START + 30 * DAY, 1, 200, 200, {"share_of_1": interval(0.045)}, promised, True)
    found = told(monkeypatch, lost, few, metric=metric)
    assert (found.concept, found.trusted, found.real_cutoff) == (True, False, START)
    assert "concept" in causes(found, RULE, smaller=False)
    # What they break themselves counts.
    gone = replace(few, real={"share_of_1": interval(0.9)}, assumption=False)
    found = told(monkeypatch, replace(lost, assumption=True), gone, metric=metric)
    assert (found.concept, found.real, found.real_cutoff) == (True, None, few.cutoff)


def test_labels_of_scores_that_promised_nothing_give_no_trust_back(monkeypatch) -> None:
    """Concept drift; then scores beyond all that are known, of which no error is expected."""
    promised = {"rmse": interval(0.75), "bias": interval(0.0)}
    lost = Measured(
        START, 1, 900, 900, {"rmse": interval(0.76), "bias": interval(0.4)}, promised, False
    )
    worse = {"rmse": interval(0.77), "bias": interval(0.45)}
    beyond = Measured(START + 30 * DAY, 1, 900, 900, worse, {}, None)
    newest = Measured(START + 60 * DAY, 1, 900, 0, {}, promised, None)
    found = told(monkeypatch, lost, beyond, newest, metric="rmse")
    assert (found.concept, found.trusted) == (True, False)
    assert (found.real, found.real_cutoff) == (worse["rmse"], beyond.cutoff)
    assert "concept" in causes(found, RULE, smaller=True)
    assert (found.concept_cutoff, found.real_cutoff) == (START, beyond.cutoff)
    # The same labels count once, however many come after them that nothing was promised for.
    fine = replace(beyond, real={"rmse": interval(0.74), "bias": interval(0.01)})
    later = replace(fine, cutoff=START + 60 * DAY)
    turns = [told(monkeypatch, *mine, metric="rmse") for mine in ([lost], [lost, fine])]
    turns.append(told(monkeypatch, lost, fine, later, metric="rmse"))
    made = [decide(turns[: n + 1], RULE, FREE, smaller=True) for n in range(3)]
    assert [(each.action, each.violations) for each in made] == [("watch", 1)] * 3
    # What bears out a promise gives it back.
    borne = replace(beyond, expected=worse, assumption=True)
    found = told(monkeypatch, lost, borne, newest, metric="rmse")
    assert (found.concept, found.trusted) == (False, True)


def read(
    monkeypatch,
    kinds: Mapping[str, Mapping[str, Interval]],
    *,
    labelled: int = 900,
    task: str = "classification",
    metric: str = "roc_auc",
    drop: float = 0.03,
) -> list[Measured]:
    """What is read of one measurement that was written down."""
    rows = [
        SimpleNamespace(
            cutoff=START, model_version=1, run_id="r", kind=kind, metric=name, rows=labelled,
            labelled=labelled, assumption=None, value=each.value, low=each.low, high=each.high,
        )
        for kind, found in kinds.items()
        for name, each in found.items()
    ]  # fmt: skip
    monkeypatch.setattr(measuring, "_rows_of", lambda *_: rows)
    asked = SimpleNamespace(
        task=task, train=SimpleNamespace(metric=metric), monitor=Monitor(drop=drop)
    )
    line: Any = SimpleNamespace(problem=asked)
    return measuring.read(line, START)


@pytest.mark.parametrize(
    ("task", "metric", "aside"),
    [("classification", "roc_auc", "share_of_1"), ("regression", "rmse", "bias")],
)
def test_what_was_measured_is_judged_by_the_rule_of_now(monkeypatch, task, metric, aside) -> None:
    """Labels are 0.05 off (of an error: of its size), as they were when they were measured."""
    scale = 2.0 if task == "regression" else 1.0
    kinds = {
        "expected": {metric: interval(scale), aside: interval(0.5)},
        "real": {metric: interval(scale), aside: interval(0.5 + 0.05 * scale)},
    }

    def holds(drop: float, kinds: Mapping[str, Mapping[str, Interval]]) -> bool | None:
        (found,) = read(monkeypatch, kinds, task=task, metric=metric, drop=drop)
        return found.assumption

    assert (holds(0.03, kinds), holds(0.1, kinds)) == (False, True)
    assert holds(0.1, {"expected": kinds["expected"]}) is None
    # One whose spread nobody knew, as an older version wrote it down, is not there.
    unknown = SimpleNamespace(value=0.58, low=None, high=None)
    some: Any = {**kinds, "expected": {metric: unknown, aside: interval(0.5)}}
    assert holds(0.03, some) is (None if task == "regression" else False)
