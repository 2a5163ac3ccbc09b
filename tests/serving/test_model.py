"""The portable model by hand: scores, reasons, the proof, and what cannot be loaded."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from tests.serving.conftest import FACTS, PREPARATION, STUMP, onnx

from driftline.errors import DriftlineError, Missing
from driftline.evaluation import threshold
from driftline.portable import graph, proof, reasons
from driftline.portable.proof import NOTHING, compare
from driftline.portable.saved import Linear, Trees
from driftline.prepare import Categorical, Numeric, Preparation
from driftline.sections import Costs, Decide
from driftline.serving.facts import MISSING, Column, Facts
from driftline.serving.model import Portable, Reasons

NAN, INF = float("nan"), float("inf")


def vector(numbers: list[float], word: str) -> list[float]:
    """The prepared places of one row, in plain Python: spend, age, member, mobile, web."""
    spend, age, member = numbers
    spend = min(max(10.0 if math.isnan(spend) else spend, 0.0), 100.0)
    age = age if math.isfinite(age) else 40.0
    member = min(max(0.0 if math.isnan(member) else member, 0.0), 1.0)
    return [
        (spend - 50) / 25,
        (age - 40) / 10,
        member,
        float(word == "mobile"),
        float(word == "web"),
    ]


ROWS = [
    ([20.0, 30.0, 1.0], "web"),
    ([NAN, NAN, NAN], MISSING),
    ([INF, INF, 0.0], "mobile"),
    ([-INF, -INF, 1.0], "never seen"),
    ([1e308, -1e300, 0.0], ""),
    ([50.0, 40.0, 1.0], "größe\0'\\"),
    ([5e-324, -0.0, 0.0], "web "),
]
NUMBERS = np.array([numbers for numbers, _ in ROWS])
WORDS = np.array([[word] for _, word in ROWS], object)


def test_scores_are_those_of_plain_python() -> None:
    weights = np.array([0.5, -0.25, 2.0, -1.0, 0.125])
    for logistic in (True, False):
        found = Portable(onnx(Linear(weights, 0.75, logistic))).score(NUMBERS, WORDS)
        total = [math.fsum(np.multiply(weights, vector(*row))) + 0.75 for row in ROWS]
        if logistic:
            total = [0.0 if each < -700 else 1 / (1 + math.exp(-each)) for each in total]
        assert found.tolist() == pytest.approx(total, rel=1e-12)


def test_a_decision_is_made_at_the_models_threshold() -> None:
    scores = np.array([0.2, 0.3, 0.5, 0.9])
    for least, expected in ((0.5, [0, 0, 1, 1]), (0.3, [0, 1, 1, 1]), (1.1, [0, 0, 0, 0])):
        facts = dataclasses.replace(FACTS, threshold=least)
        model = Portable(graph.write(PREPARATION, Linear(np.zeros(5), 0.0, True), facts))
        assert model.decide(scores).tolist() == expected


@pytest.mark.parametrize(
    "rule", [Decide(best="f1"), Decide(top=0.5), Decide(cost=Costs(false_alarm=1, miss=1))]
)
def test_a_threshold_calls_the_same_rows_of_spark_and_of_the_portable_model(rule: Decide) -> None:
    """A forest's share of trees is a sum over a count in Spark, and a sum of shares here."""
    trees, random = 20, np.random.default_rng(5)
    shares = np.round(random.random((trees, 2)) * 40) / 40
    first = np.arange(trees) * 3
    cut = random.integers(20, 80, trees)
    forest = Trees(
        feature=np.tile([0, -1, -1], trees),
        threshold=np.column_stack([(cut - 50) / 25, *np.zeros((2, trees))]).ravel(),
        left=np.column_stack([first + 1, *np.full((2, trees), -1)]).ravel(),
        right=np.column_stack([first + 2, *np.full((2, trees), -1)]).ravel(),
        value=np.column_stack([np.zeros(trees), shares / trees]).ravel(),
        roots=first,
        logistic=False,
    )
    spend = np.repeat(np.arange(101.0), 20)
    chosen = np.where(spend[:, None] <= cut, shares[:, 0], shares[:, 1])
    ones, zeros = np.cumsum(chosen, axis=1)[:, -1], np.cumsum(1 - chosen, axis=1)[:, -1]
    spark = ones / (ones + zeros)
    rank = (spark - spark.min()) / (spark.max() - spark.min())
    label = (random.random(len(spend)) < rank) * 1.0
    found = threshold(label, spark, rule)
    model = Portable(graph.write(PREPARATION, forest, dataclasses.replace(FACTS, threshold=found)))
    numbers = np.column_stack([spend, np.full((2, len(spend)), 0.0).T])
    portable = model.score(numbers, np.full((len(spend), 1), "web", object))
    assert 0 < np.abs(portable - spark).max() < 1e-12
    called = spark >= found
    assert 0 < called.sum() < len(spend)
    assert model.decide(portable).tolist() == called.tolist()


def test_half_of_the_trees_are_half() -> None:
    """For Spark 10 of 20 are 0.5, which calls a row 1 where nothing else is asked for."""
    shares = np.array([1.0] * 7 + [0.5] * 6 + [0.0] * 7)
    sums = [float(np.cumsum(np.roll(shares, by) / 20)[-1]) for by in range(20)]
    assert min(sums) < 0.5 <= max(sums)
    score = np.array([*sums, 0.5 - 1e-9])
    assert Portable(onnx()).decide(score).tolist() == [*([1.0] * 20), 0.0]


def test_a_threshold_beyond_the_highest_tie_calls_nobody_of_it() -> None:
    spark = np.array([0.1, 0.7, 0.7])
    found = threshold(np.ones(3), spark, Decide(top=0.4))
    model = Portable(onnx(facts=dataclasses.replace(FACTS, threshold=found)))
    assert model.decide(spark * (1 + 1e-15)).tolist() == [0, 0, 0]


def test_every_kind_of_place_is_what_the_rule_says() -> None:
    numeric = (
        Numeric("spend_30d", 1.0, 0.0, 5.0, 0.0, 1.0, flag=True),
        Numeric("age", 2.0, None, None, 0.0, 1.0, flag=True),
    )
    words = (
        Categorical("channel", ("a", "b"), other=True),
        Categorical("more", ("a", "b"), values=(0.1, 0.7), default=1 / 3),
        Categorical("rest", (), other=True),
        Categorical("none", ()),
    )
    learnt = Preparation(numeric, words)
    columns = [Column(name, "double") for name in ("spend_30d", "age")]
    columns += [Column(each.column, "string", words=each.categories) for each in words]
    facts = Facts("t", "?", "regression", "d", "who", "string", tuple(columns))
    numbers = np.array([[NAN, INF], [INF, 3.0], [-1.0, NAN]])
    given = [["a"] * 4, [MISSING] * 4, ["new"] * 4]
    places = [
        [1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.1, 1.0],
        [5.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1 / 3, 0.0],
        [0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1 / 3, 1.0],
    ]
    assert len(learnt.names) == 9
    asked = np.array(given, object)
    for place in range(9):
        unit = Linear(np.eye(9)[place], 0.0, logistic=False)
        found = Portable(graph.write(learnt, unit, facts)).score(numbers, asked)
        assert found.tolist() == [row[place] for row in places], learnt.names[place]
    owners = [0, 1, 0, 1, 2, 2, 2, 3, 4]
    for place, owner in enumerate(owners):
        unit = Linear(np.eye(9)[place], 0.0, logistic=False)
        moved = Reasons(reasons.write(learnt, unit, facts)).contributions(numbers, asked)
        assert not np.delete(moved, owner, axis=1).any()


def forest(logistic: bool = False) -> Trees:
    """Two trees with splits, one of them at a number no decimal is, and a lone leaf."""
    edge = (0.1 + 0.2 - 50) / 25
    return Trees(
        feature=np.array([0, -1, 4, -1, -1, 1, -1, -1, -1]),
        threshold=np.array([edge, 0, 0.5, 0, 0, 0.0, 0, 0, 0]),
        left=np.array([1, -1, 3, -1, -1, 6, -1, -1, -1]),
        right=np.array([2, -1, 4, -1, -1, 7, -1, -1, -1]),
        value=np.array([0.3, 0.1, 0.5, 1 / 3, 0.7, 0.0, -1.0, 1.0, 0.25]),
        roots=np.array([0, 5, 8]),
        logistic=logistic,
    )


def by_hand(model: Trees, x: list[float]) -> float:
    total = 0.0
    for root in model.roots:
        node = root
        while model.left[node] >= 0:
            down = x[model.feature[node]] <= model.threshold[node]
            node = model.left[node] if down else model.right[node]
        total += model.value[node]
    return total


def test_trees_are_followed_to_the_last_bit() -> None:
    numbers = np.array([[0.3 + step * 1e-15, 40.0, 0.0] for step in range(-20, 20)])
    words = np.array([["web"]] * 40, object)
    found = Portable(onnx(forest())).score(numbers, words)
    assert found.tolist() == [by_hand(forest(), vector(list(row), "web")) for row in numbers]
    assert len(set(found)) == 2


def test_trees_without_a_split_are_a_constant() -> None:
    lone = Trees(*(np.array([each]) for each in (-1, 0.0, -1, -1, 0.4, 0)), logistic=False)
    facts = (PREPARATION, lone, FACTS)
    assert Portable(graph.write(*facts)).score(NUMBERS, WORDS).tolist() == [0.4] * len(ROWS)
    assert not Reasons(reasons.write(*facts)).contributions(NUMBERS, WORDS).any()


def test_reasons_add_up_and_speak_for_the_decision() -> None:
    model = forest()
    why = Reasons(reasons.write(PREPARATION, model, FACTS))
    score = Portable(onnx(model)).score(NUMBERS, WORDS)
    moved = why.contributions(NUMBERS, WORDS)
    assert moved.sum(axis=1) + model.value[model.roots].sum() == pytest.approx(score, abs=1e-6)
    spend, age, member, channel = moved[0]
    assert (spend, age, member) == pytest.approx((0.2, -1.0, 0.0))
    assert channel == pytest.approx(0.2)
    top = why.top(NUMBERS[:1], WORDS[:1], np.array([1.0])).to_pylist()
    assert top == [["spend_30d", "channel"]]
    assert why.top(NUMBERS[:1], WORDS[:1], np.array([0.0])).to_pylist() == [["age"]]
    assert why.top(NUMBERS[:1], WORDS[:1], np.array([1.0]), most=1).to_pylist() == [["spend_30d"]]


def test_arrow_rows_become_inputs() -> None:
    model = Portable(onnx())
    rows = pa.table(
        {
            "channel": ["web", None, ""],
            "more": [1, 2, 3],
            "member": [True, None, False],
            "age": pa.array([2**53 + 1, None, -5], pa.int64()),
            "spend_30d": [1.5, None, NAN],
        }
    )
    numbers, words = model.inputs(rows)
    assert numbers[0].tolist() == [1.5, float(2**53), 1.0]
    assert np.isnan(numbers[1]).all()
    assert np.isnan(numbers[2, 0])
    assert words[:, 0].tolist() == ["web", MISSING, ""]
    with pytest.raises(Missing, match="the rows lack age, channel"):
        model.inputs(rows.drop_columns(["age", "channel"]))


def test_facts_come_back_from_the_file() -> None:
    assert Portable(onnx()).facts == FACTS
    assert Facts.from_json(FACTS.to_json()) == FACTS


def test_a_file_that_does_not_say_what_requests_have_to_be_is_not_served() -> None:
    """Such as of before pseudonyms: anybody could be asked for by name, and would be logged."""
    told = json.loads(FACTS.to_json())
    del told["pseudonymous"]
    with pytest.raises(Missing, match="another driftline"):
        Facts.from_json(json.dumps(told))


def test_what_is_no_portable_model_is_not_loaded() -> None:
    with pytest.raises(DriftlineError, match="onnxruntime cannot load"):
        Portable(onnx()[:-50])
    with pytest.raises(DriftlineError, match="is the word that stands for a missing one"):
        graph.write(Preparation((), (Categorical("w", (MISSING,)),)), STUMP, FACTS)


# --- the proof


def test_scores_are_compared_row_by_row() -> None:
    spark = np.array([0.5, NAN, INF, 1000.0, 0.2, NAN, 0.1])
    other = np.array([0.5 + 9e-7, NAN, INF, 1000.0009, 0.2 + 2e-6, 0.0, NAN])
    found = compare(spark, other, list("abcdefg"))
    assert (found.rows, found.beyond, found.named) == (7, 3, ("e", "f", "g"))
    assert found.largest == INF
    assert not found.holds
    assert compare(spark[:4], other[:4], "abcd").holds
    assert not NOTHING.holds  # nothing compared is nothing proven
    both = compare(spark[:4], other[:4], "abcd") + compare(spark[4:5], other[4:5], "e")
    assert (both.rows, both.beyond, both.named) == (5, 1, ("e",))
    with pytest.raises(ValueError, match="1 scores beside 2"):
        compare(spark[:1], other[:2], "ab")


def test_simulated_rows_lie_where_models_part() -> None:
    rule = Preparation(PREPARATION.numeric, PREPARATION.categorical)
    arguments = {"rows": 20_000, "seed": 3}
    rows = proof.simulate(rule, forest(), FACTS.columns, **arguments)
    again = proof.simulate(rule, forest(), FACTS.columns, **arguments)
    assert str(again.to_pydict()) == str(rows.to_pydict())  # a NaN is no NaN's equal
    other = proof.simulate(rule, forest(), FACTS.columns, rows=20_000, seed=4)
    assert str(other.to_pydict()) != str(rows.to_pydict())
    spend = rows["spend_30d"]
    seen = {each for each in spend.to_pylist() if each is not None}
    edge = (0.1 + 0.2 - 50) / 25 * 25 + 50
    assert {edge, np.nextafter(edge, 99), np.nextafter(edge, -99), 0.0, 100.0, INF, -INF} <= seen
    assert any(math.isnan(each) for each in seen)
    assert spend.null_count > 500
    assert {None, "", "web", "mobile", "never seen"} <= set(rows["channel"].to_pylist())
    assert rows["age"].type == pa.int64()
    assert rows["member"].type == pa.bool_()


def test_a_model_that_is_a_little_off_is_found() -> None:
    """The proof can fail: a threshold three units in the last place beside its own is seen."""
    model = forest()
    wrong = forest()
    wrong.threshold[0] += 3 * np.spacing(2.0)
    rows = proof.simulate(PREPARATION, model, FACTS.columns, rows=20_000, seed=1)
    one, other = (Portable(onnx(each)) for each in (model, wrong))
    found = compare(one.score(*one.inputs(rows)), other.score(*other.inputs(rows)), range(20_000))
    assert found.beyond > 0


def test_numbers_without_bounds_are_simulated_too() -> None:
    rule = Preparation((Numeric("age", -1e308, None, None, 0.0, 1e-300),), ())
    rows = proof.simulate(rule, STUMP, FACTS.columns[1:2], rows=1000, seed=1)
    assert rows.num_rows == 1000


def test_a_row_has_one_number_at_most_whose_sum_with_another_is_beyond_all() -> None:
    """Without clipping, else, 1.7e308 + 1.7e308 - 1.7e308 is what the order of addends makes it."""
    columns = [Column(name, "double", edges=(0.0, 1.0)) for name in "abc"]
    rule = Preparation(tuple(Numeric(each.name, 0, None, None, 0, 1) for each in columns), ())
    rows = proof.simulate(rule, STUMP, columns, rows=20_000, seed=1).to_pandas()
    huge = (rows.abs() > 1e300) & np.isfinite(rows)
    assert huge.any().all()
    assert huge.sum(axis="columns").max() == 1
