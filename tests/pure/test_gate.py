"""What the gate refuses, by the numbers it is given, and what it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import Row

from driftline import resampling
from driftline.errors import Refused
from driftline.evaluation import (
    Interval,
    Slice,
    measure,
)
from driftline.jobs import gating, judging
from driftline.metrics import METRICS
from driftline.problem import load_problem
from driftline.sections import Decide, Gate
from driftline.serving.facts import Column, Facts
from driftline.split_section import EntitySplit, RandomSplit, TimeSplit


def test_the_gate_refuses_what_is_not_better_not_a_number_or_weak_in_a_slice(repository) -> None:
    """One rule a case, by the numbers the gate is given."""
    flagship = load_problem(repository / "conf" / "churn.yaml")

    def reasons(
        gate: dict,
        value=0.8,
        low=0.1,
        slices=(),
        metric="roc_auc",
        champion=None,
        unscored="",
        suspicious="",
    ):
        train = flagship.train.model_copy(update={"gate": Gate(**gate), "metric": metric})
        line = SimpleNamespace(problem=flagship.model_copy(update={"train": train}))
        got = {metric: Interval(value, value, value)}
        beaten = {"constant": Interval(0.2, low, 0.3)}
        if champion is not None:
            beaten["champion"] = Interval(*champion)
        return gating.reasons(line, got, beaten, slices, 3, unscored, suspicious)

    def part(low: float, high: float, value: str = "NL", between: bool = False) -> Slice:
        metric = Interval((low + high) / 2, low, high)
        return Slice("country", value, 60, metric, True, between)

    assert reasons({}) == []
    assert reasons({}, value=math.nan) == ["roc_auc is not a number"]
    assert "does not beat constant" in reasons({}, low=0.0)[0]
    assert "does not beat constant" in reasons({}, low=math.nan)[0]
    assert "does not reach the floor 0.9" in reasons({"floor": 0.9})[0]
    asked = {"beat": ("champion",)}
    assert reasons(asked) == []  # there is none
    # A worse one never follows; one that is as good may, unless more is asked for.
    worse = (
        "is worse than champion version 3 on the same rows: better by -0.0210 [-0.0400, -0.0020]"
    )
    assert reasons({}, champion=(-0.021, -0.04, -0.002)) == [worse]
    assert "does not beat champion" in reasons(asked, champion=(-0.021, -0.04, -0.002))[0]
    # A champion without a metric on these rows holds nobody up, unless it has to be beaten.
    assert reasons({}, champion=(math.nan, math.nan, math.nan)) == []
    assert "does not beat champion" in reasons(asked, champion=(math.nan,) * 3)[0]
    assert reasons({}, champion=(-0.01, -0.02, 0.0)) == []
    assert "does not beat champion" in reasons(asked, champion=(-0.01, -0.02, 0.0))[0]
    assert reasons(asked, champion=(0.02, 0.01, 0.03)) == []
    assert reasons({}, unscored="not all of its features are there") == []
    assert reasons(asked, unscored="not all of its features are there") == [
        "cannot be compared with champion version 3: not all of its features are there"
    ]
    # A column that has seen the label is a reason, unless somebody vouches for it.
    leak = "left_at alone has ROC AUC 1.000"
    refused = f"may have seen the label (else gate: {{suspicions: say}}): {leak}"
    assert reasons({}, suspicious=leak) == [refused]
    assert reasons({"suspicions": "say"}, suspicious=leak) == []
    weak = {"beat": (), "slices": 0.1}
    assert reasons(weak, slices=[part(0.5, 0.71)]) == []
    [said] = reasons(weak, slices=[part(0.5, 0.69), part(0.8, 0.9)])
    assert said == (
        "roc_auc is 0.5950 [0.5000, 0.6900] where country is one of its values (60 rows), "
        "more than 0.1 worse than the 0.8000 of all rows"
    )
    [said] = reasons(weak, slices=[part(0.5, 0.69, "[0, 3]", between=True)])
    assert "where country is [0, 3], more than" in said
    for word in ("[NL", "(NL, 3]", ""):  # as a row has it, and no span of numbers
        [said] = reasons(weak, slices=[part(0.5, 0.69, word)])
        assert "where country is one of its values (60 rows), more" in said
    assert len(reasons(weak, slices=[part(0.95, 1.2)], metric="rmse")) == 1
    assert reasons(weak, slices=[part(0.85, 1.2)], metric="rmse") == []


def test_a_champion_is_scored_where_rows_are_what_they_were_for_it(repository) -> None:
    """Of the same task and features, and never seen by it: else it may know the answers."""
    flagship = load_problem(repository / "conf" / "churn.yaml")
    columns = (Column("country", "string"), Column("recency_90d", "double"))
    facts = Facts("churn", "", "classification", "", "customer_id", "string", columns)
    by_time, random = TimeSplit(by="time"), RandomSplit(by="random")

    def why(then=by_time, now=None, seed=7, facts=facts, learnt="2024-06-30", **more) -> str:
        before = flagship.model_copy(update={"split": then})
        train = flagship.train.model_copy(update={"seed": seed})
        after = flagship.model_copy(update={"split": now or then, "train": train, **more})
        made = json.loads(before.model_dump_json(by_alias=True))
        until = learnt and f"{learnt}T00:00:00+00:00"
        line, tested = SimpleNamespace(problem=after), datetime(2024, 6, 30, tzinfo=timezone.utc)
        return gating.unlike(line, facts, made, learnt=until, tested=tested)

    assert why() == why(random) == ""
    assert why(now=TimeSplit(by="time", test=2, recent=6, folds="forward"), seed=8) == ""
    # By time it is no matter what the split was, nor the question, but what it has seen of them:
    # a longer horizon tests on older rows.
    longer = flagship.label.model_copy(update={"horizon": 60})
    assert why(label=longer) == why(random, by_time) == ""
    late = "it learnt from labels up to 2024-07-01, and the test rows begin before"
    assert (
        why(learnt="2024-07-01", label=longer) == why(random, by_time, learnt="2024-07-01") == late
    )
    assert "does not say until when" in why(learnt=None)
    assert why(random, learnt=None) == why(random, learnt="2024-07-01") == ""
    assert "split or seed" in why(by_time, random)
    assert "split or seed" in why(random, seed=8)
    assert "split or seed" in why(random, EntitySplit(by="entity"))
    assert why(facts=replace(facts, task="regression")) == "its task is regression"
    for gone in (Column("region", "string"), Column("country", "double")):
        facts = replace(facts, columns=(*columns, gone))
        assert why(facts=facts) == "not all of its features are there"


@pytest.mark.parametrize(
    ("counts", "train", "missing"),
    [
        ({"train": 9, "validation": 1}, {}, "test"),
        ({"validation": 9, "test": 1}, {}, "train"),
        ({"train": 9, "test": 1}, {}, None),
        ({"train": 9, "test": 1}, {"decide": Decide(best="f1")}, "validation"),
        ({"train": 9, "test": 1}, {"calibrate": "platt"}, "validation"),
        ({"train": 9}, {"calibrate": "platt"}, "test or validation"),
        ({"train": 9, "validation": 1, "test": 1}, {"calibrate": "platt"}, None),
    ],
)
def test_a_part_without_rows_is_refused_by_name(repository, counts, train, missing) -> None:
    flagship = load_problem(repository / "conf" / "churn.yaml")
    plain = flagship.train.model_copy(update={"decide": None, "calibrate": "none", **train})
    problem = flagship.model_copy(update={"train": plain})
    parts = {part: Row(rows=rows, least=0.0, most=1.0) for part, rows in counts.items()}
    if missing is None:
        judging.check_parts(problem, parts)
        return
    with pytest.raises(Refused) as caught:
        judging.check_parts(problem, parts)
    assert caught.value.what == f"no row with a label is in the part {missing}"


def test_nothing_is_chosen_by_validation_rows_of_one_label(repository) -> None:
    """Any threshold would be as good as any other, and nobody or everybody called 1."""
    flagship = load_problem(repository / "conf" / "churn.yaml")
    plain = flagship.train.model_copy(update={"decide": None, "calibrate": "none"})
    both = Row(rows=100, least=0.0, most=1.0)
    parts = {"train": both, "validation": Row(rows=1040, least=0.0, most=0.0), "test": both}
    judging.check_parts(flagship.model_copy(update={"train": plain}), parts)
    for asked in ({"decide": Decide(best="f1")}, {"calibrate": "isotonic"}):
        train = plain.model_copy(update=asked)
        with pytest.raises(Refused, match="1,040 validation rows do not have both labels"):
            judging.check_parts(flagship.model_copy(update={"train": train}), parts)


def test_a_threshold_that_calls_nobody_is_told() -> None:
    score = np.array([0.1, 0.7, 0.7])
    assert judging.nobody(score, 0.7) == ""
    said = judging.nobody(score, 0.71)
    assert said == "; it calls none of 3 validation rows 1, 2 have the highest score"
    alike = np.array([0.1, 0.7, 0.7 - 1e-16])
    assert judging.nobody(alike, 0.71) == said


def test_the_gate_looks_at_a_large_slice_behind_many_small_ones(repository, monkeypatch) -> None:
    """By chance alone some of 200 small slices are worse than the large one that is."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)
    generator = np.random.default_rng(12)
    small = np.repeat([f"s{n}" for n in range(200)], 50)
    town = np.r_[small, np.full(6_000, "large")].astype(object)
    score = generator.random(len(town))
    told = np.where(town == "large", 0.45, 0.65)  # by how much the score tells of the label
    label = (generator.random(len(town)) < 0.5 + told * (score - 0.5)).astype(np.float64)
    flagship = load_problem(repository / "conf" / "churn.yaml")
    gate = Gate(beat=(), slices=0.005)
    train = flagship.train.model_copy(update={"gate": gate, "metric": "roc_auc"})
    written: list = []
    tables = SimpleNamespace(append_values=lambda rows, *_, **__: written.extend(rows))
    line = SimpleNamespace(problem=flagship.model_copy(update={"train": train}), tables=tables)
    test = judging.Judged(
        label, np.arange(len(label)), {"model": score}, {"town": town}, pa.table({})
    )
    found = judging.slices(line, test)
    points = [each.metric.value for each in found]
    assert points == sorted(points) and len(found) == 201
    large = next(place for place, each in enumerate(found) if each.value == "large")
    assert large > 30
    whole = METRICS["classification"]["roc_auc"](label, score)
    got = {"roc_auc": Interval(whole, whole, whole)}
    assert any("(6,000 rows)" in each for each in gating.reasons(line, got, {}, found, None))
    ledger = SimpleNamespace(wrote=lambda _: None, run_id="r")
    judging.write_slices(line, ledger, found, 1)
    assert [row[2] for row in written] == [each.value for each in found[:30]]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_gate_refuses_scores_that_are_no_numbers_and_draws_none(repository, task) -> None:
    flagship = load_problem(repository / "conf" / "churn.yaml")
    metric = "roc_auc" if task == "classification" else "rmse"
    train = flagship.train.model_copy(update={"gate": Gate(beat=("constant",)), "metric": metric})
    asked = flagship.model_copy(update={"train": train, "task": task})
    label = np.repeat([0.0, 1.0], 200)
    score = np.where(label == 1, np.nan, np.linspace(0.0, 1.0, 400))
    scores = {"model": score, "constant": np.full(400, 0.5)}
    test = judging.Judged(label, np.arange(400), scores, {}, pa.table({}))
    written: list = []
    tables = SimpleNamespace(append_values=lambda rows, *_, **__: written.extend(rows))
    line = SimpleNamespace(problem=asked, tables=tables)
    measured = measure(label, score, entity=test.entity, task=task, seed=1)
    refused = gating.reasons(line, measured, judging.beaten(line, test), [], None)
    assert refused[0] == f"{metric} is not a number"
    assert "does not beat constant" in refused[1]
    ledger = SimpleNamespace(wrote=lambda _: None, run_id="r")
    judging.write_curves(line, ledger, test, {"x": 1.0}, {"x": 0.5}, 1)
    assert [row[1] for row in written] == ["importance", "permutation"]
