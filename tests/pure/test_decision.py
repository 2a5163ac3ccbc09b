"""A decision is a pure function of numbers: what it comes to, case by case."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from driftline.certificate import Evidence
from driftline.decision import (
    CAUSES,
    Decision,
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
from driftline.errors import Missing
from driftline.evaluation import Interval
from driftline.jobs import acting, cycle, deciding, measuring, monitor, paying
from driftline.jobs.measuring import Measured
from driftline.monitor_section import Monitor
from driftline.problem import load_problem
from driftline.registry import Version
from driftline.sections import Costs

START = datetime(2024, 6, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
CHURN = load_problem(Path(__file__).parents[2] / "conf" / "churn.yaml")
RULE = Monitor(at_least=2, of=5, cooldown=1)
FREE = Economics(None, None)


def interval(value: float, half: float = 0.005) -> Interval:
    return Interval(value, value - half, value + half)


CALM = Turn(
    as_of=START,
    cutoff=START,
    version=1,
    reference=interval(0.75),
    drift=0.0,
    expected=interval(0.75),
    trusted=True,
    real=interval(0.75),
    concept=False,
)


def turns(*changes: dict[str, Any]) -> list[Turn]:
    """One turn a month, calm but for the changes."""
    months = (START + timedelta(days=30 * number) for number in range(len(changes)))
    return [
        replace(CALM, as_of=month, cutoff=month, **each)
        for month, each in zip(months, changes, strict=True)
    ]


WORSE = {"real": interval(0.65)}
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
        (None, 3.0, "retrain", "newest among them"),
        (5.0, None, "retrain", "may gain 5, cost unknown"),
        (5.0, 3.0, "retrain", "training again may gain 5 and costs 3"),
        (2.0, 3.0, "watch", "training again gains at most 2 and costs 3"),
        (3.0, 3.0, "watch", "gains at most"),
    ],
)
def test_it_has_to_pay(gain: float | None, cost: float | None, action: str, words: str) -> None:
    made = decide(turns(WORSE, WORSE), RULE, Economics(gain, cost), smaller=False)
    assert made.action == action
    assert words in made.why


def test_a_period_has_trained_once_a_training_came_to_an_end() -> None:
    """Of three decisions to train: one refused in the end, one skipped by a backfill, one open."""
    months = turns(WORSE, WORSE, WORSE, WORSE)
    past: Any = {
        str(place): SimpleNamespace(turn=json.dumps(to_json(each)), metric="roc_auc")
        for place, each in enumerate(months[:3])
    }
    trained: Any = {
        "0": SimpleNamespace(verdict="refused"),
        "1": SimpleNamespace(verdict="skipped"),
    }
    found = deciding.history(past, trained, months[3], "roc_auc")
    assert [each.trained for each in found] == [True, False, False, False]
    again = deciding.history(past, trained, replace(months[0], drift=0.5), "roc_auc")
    assert (again[-1].drift, again[-1].trained) == (0.5, True)


def test_turns_judged_by_another_metric_are_for_the_cooldown_alone() -> None:
    """0.65 is bad for a ROC AUC, and may be good for what is under precision and recall."""
    months = turns(WORSE, WORSE, WORSE)
    past: Any = {
        str(place): SimpleNamespace(turn=json.dumps(to_json(each)), metric="roc_auc")
        for place, each in enumerate(months[:2])
    }

    def made(metric: str, **trained: Any) -> Decision:
        found = deciding.history(past, trained, months[2], metric)
        return decide(found, RULE, FREE, smaller=False)

    assert (made("roc_auc").action, made("roc_auc").violations) == ("retrain", 3)
    assert (made("pr_auc").action, made("pr_auc").violations) == ("watch", 1)
    rule = RULE.model_copy(update={"at_least": 1})
    tried: Any = {"1": SimpleNamespace(verdict="refused")}
    found = decide(deciding.history(past, tried, months[2], "pr_auc"), rule, FREE, smaller=False)
    assert found.action == "watch" and "turns since training was decided" in found.why


def test_what_training_may_gain() -> None:
    """10 % false alarms at 1 and 5 % misses at 4 instead of 5 % and 2 %: 0.17 a row more."""
    rule = Monitor(value=Costs(false_alarm=1, miss=4), payback=3)
    assert worth((0.10, 0.05), (0.05, 0.02), rule, rows=1_000) == pytest.approx(510.0)
    assert worth((0.05, 0.02), (0.10, 0.05), rule, rows=1_000) == 0.0
    assert worth(None, (0.1, 0.1), rule, rows=1_000) is None
    assert worth((0.1, 0.1), (0.1, 0.1), Monitor(), rows=1_000) is None


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


def test_a_version_is_judged_by_labels_that_came_after_its_training() -> None:
    version = Version(1, "", "", {"watermark": START.isoformat()})
    cutoffs = [START - 31 * DAY, START - 30 * DAY, START - 29 * DAY, START]
    found = [acting.judged_by(version, each, horizon=30) for each in cutoffs]
    assert found == [False, False, True, True]
    assert acting.judged_by(Version(1, "", "", {}), START, horizon=30)


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
        found = deciding.history(past, {}, turn, "roc_auc")
        made.append(decide(found, RULE, FREE, smaller=False))
        past[str(day)] = SimpleNamespace(turn=json.dumps(to_json(turn)), metric="roc_auc")
    assert max(each.violations for each in made) == len(bad)
    assert [each.action for each in made].count("retrain") == (every if len(bad) == 2 else 0)
    assert made[every - 1].causes == ("worse", "concept")


def test_scores_that_promise_worse_count_beside_the_same_labels() -> None:
    """Each new cut-off's own scores are news; so is drift where nothing else tells."""
    same = {"real_cutoff": START, "trusted": True}
    lost = {**WORSE, **same, "expected": interval(0.65)}
    assert decide(turns(lost, lost), RULE, FREE, smaller=False).violations == 2
    blind = {"real": None, "real_cutoff": START, "trusted": False, "concept": True, "drift": 0.6}
    assert decide(turns(blind, blind), RULE, FREE, smaller=False).violations == 2
    only = {**blind, "drift": 0.0}
    assert decide(turns(only, only), RULE, FREE, smaller=False).violations == 1


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


def test_a_few_labels_of_a_class_say_of_no_model_that_it_is_worse(monkeypatch) -> None:
    """One label in two hundred is 1, at rank 80: 0.40, by a bootstrap that only draws it again."""
    expected = {"roc_auc": interval(0.75), "share_of_1": interval(0.004)}
    real = {"roc_auc": interval(0.40, 0.06), "share_of_1": interval(0.005)}
    few = Measured(START, 1, 200, 200, real, expected, True)
    found = told(monkeypatch, few)
    assert (found.real, found.real_cutoff, found.trusted) == (None, START, True)
    assert decide([found], RULE, FREE, smaller=False).action == "keep"
    many = told(monkeypatch, replace(few, rows=9_000, labelled=9_000))
    assert causes(many, RULE, smaller=False) == ("worse",)

    made = SimpleNamespace(
        action="keep", metric="roc_auc", rule=RULE.model_dump_json(), turn=json.dumps(to_json(CALM))
    )
    concluded = []
    monkeypatch.setattr(deciding, "decisions", lambda *_: {"d": made})
    monkeypatch.setattr(deciding, "outcomes", lambda *_: {})
    monkeypatch.setattr(deciding, "conclude", lambda *said, **_: concluded.append(said[4]))
    line: Any = SimpleNamespace(problem=CHURN)
    assert deciding.judge(line, line, [few], as_of=START) == 0  # nor that a decision was wrong
    assert deciding.judge(line, line, [replace(few, labelled=9_000)], as_of=START) == 1
    assert concluded == ["missed"]


@pytest.mark.parametrize(
    ("task", "metric", "aside"),
    [("classification", "roc_auc", "share_of_1"), ("regression", "rmse", "bias")],
)
def test_what_was_measured_is_judged_by_the_rule_of_now(monkeypatch, task, metric, aside) -> None:
    """Labels are 0.05 off (of an error: of its size), as they were when they were measured."""
    scale = 2.0 if task == "regression" else 1.0
    values = {
        "expected": {metric: interval(scale), aside: interval(0.5)},
        "real": {metric: interval(scale), aside: interval(0.5 + 0.05 * scale)},
    }
    rows: Any = [
        SimpleNamespace(
            cutoff=START, model_version=1, run_id="r", kind=kind, metric=name, rows=900,
            labelled=900, assumption=None, value=each.value, low=each.low, high=each.high,
        )
        for kind, found in values.items()
        for name, each in found.items()
    ]  # fmt: skip
    monkeypatch.setattr(measuring, "_rows_of", lambda *_: rows)

    def holds(drop: float, *kinds: str) -> bool | None:
        asked = SimpleNamespace(
            task=task, train=SimpleNamespace(metric=metric), monitor=Monitor(drop=drop)
        )
        rows[:] = [row for row in rows if not kinds or row.kind in kinds]
        line: Any = SimpleNamespace(problem=asked)
        (found,) = measuring.read(line, START)
        return found.assumption

    assert (holds(0.03), holds(0.1)) == (False, True)
    assert holds(0.1, "expected") is None


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
