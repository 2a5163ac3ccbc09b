"""Forecasts replayed over histories whose law is known, budgets by arithmetic."""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import median

import pytest
import yaml

from driftline import budgets, forecast
from driftline.budgets import Budget, Budgets, Taken
from driftline.errors import ConfError
from driftline.problem import load_problem

CHURN = Path(__file__).parents[2] / "conf" / "churn.yaml"

LAWS = {
    "the same whatever there is": lambda rows: 40.0,
    "a start and so much a row": lambda rows: 20 + rows / 2_000,
    "so much a row": lambda rows: rows / 1_000,
}


def history(law, seed: int, runs: int = 60) -> list[forecast.Past]:
    """Rows over a factor of 20, noise of 8 %, and one run in 15 that took twice as long."""
    chance = random.Random(seed)
    found = []
    for _ in range(runs):
        rows = round(math.exp(chance.uniform(math.log(10_000), math.log(200_000))))
        odd = 2 if chance.random() < 1 / 15 else 1
        found.append((odd * law(rows) * math.exp(chance.gauss(0, 0.08)), rows))
    return found


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_replay_is_told_within_a_quarter(law) -> None:
    """Every run from the 8th on, by those before it: of those that were not odd themselves 19 of 20
    are within 25 % of what they took.
    """
    errors = []
    for seed in range(10):
        runs = history(law, seed)
        for place in range(8, len(runs)):
            value, rows = runs[place]
            told = forecast.expected(runs[:place], rows)
            if value < 1.5 * law(rows):
                errors.append(abs(told.value / value - 1))
    assert len(errors) > 450
    assert median(errors) < 0.1
    assert sum(each <= 0.25 for each in errors) / len(errors) >= 0.95


def test_the_median_alone_would_not_do_where_rows_tell() -> None:
    """The same replay without rows: the test above can tell a forecast that ignores them."""
    runs = history(LAWS["so much a row"], 1)
    errors = [
        abs(forecast.expected(runs[:place]).value / value - 1)
        for place, (value, _) in enumerate(runs)
        if place >= 8
    ]
    assert sum(each <= 0.25 for each in errors) / len(errors) < 0.6


def test_rows_are_used_where_they_tell_and_only_there() -> None:
    flat, sloped = (
        history(LAWS[name], 3) for name in ("the same whatever there is", "so much a row")
    )
    assert not forecast.expected(flat, 100_000).by_rows
    told = forecast.expected(sloped, 100_000)
    assert told.by_rows and told.runs == 20
    assert told.value == pytest.approx(100, rel=0.1)
    assert not forecast.expected(sloped).by_rows  # of how many rows is not known


def test_little_history() -> None:
    assert forecast.expected([]) is None
    assert forecast.expected([], 10) is None
    assert forecast.expected([(3.0, None)], 10) == forecast.Forecast(3.0, False, 1)
    assert forecast.expected([(9.0, 1), (1.0, 1), (2.0, 1)], 10).value == 2.0
    newest = [(100.0, None)] * 9 + [(1.0, None)] * 5
    assert forecast.expected(newest) == forecast.Forecast(1.0, False, 5)


def test_records_by_what_landed_before() -> None:
    assert forecast.records(1_000, [(100, 10), (300, 10)]) == 50
    assert forecast.records(1_000, []) is None
    assert forecast.records(1_000, [(0, 0)]) is None


def test_beyond_a_budget() -> None:
    budget = Budget(minutes=10, money=2)
    assert budgets.beyond(budget, Taken(10, 2)) is None
    assert budgets.beyond(budget, Taken(10.5, 0)) == "10.5 of 10 minutes"
    assert budgets.beyond(budget, Taken(0, 2.5)) == "2.5 of 2 money"
    assert budgets.beyond(budget, Taken(8, 0), share=0.8) == "8 of 10 minutes"
    assert budgets.beyond(budget, Taken(7.9, 1.5), share=0.8) is None
    assert budgets.beyond(Budget(), Taken(1e9, 1e9)) is None


def test_what_is_left_of_a_budget() -> None:
    assert budgets.left(Budget(minutes=10), Taken(4, 99)) == Budget(minutes=6)
    assert budgets.left(Budget(minutes=10, money=2), Taken(4, 2)) is None
    assert budgets.left(Budget(), Taken(4, 2)) == Budget()
    tight = budgets.tighter(Budget(minutes=3, money=4), Budget(minutes=5))
    assert tight == Budget(minutes=3, money=4)
    assert Budgets().none
    assert not Budgets(stages={"train": Budget()}).none


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"stages": {"trian": {"minutes": 3}}}, "budgets.stages.trian"),
        ({"stages": {"train": {"hours": 3}}}, "budgets.stages.train.hours"),
        ({"cycle": {"minutes": 0}}, "budgets.cycle.minutes"),
        ({"warn": 80}, "budgets.warn"),
    ],
)
def test_a_wrong_budget_is_refused(tmp_path, section, key) -> None:
    conf = yaml.safe_load(CHURN.read_text("utf-8")) | {"budgets": section}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(conf), "utf-8")
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert caught.value.key == key


def test_a_budget_is_no_other_question(tmp_path) -> None:
    conf = yaml.safe_load(CHURN.read_text("utf-8")) | {"budgets": {"cycle": {"minutes": 7}}}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(conf), "utf-8")
    assert load_problem(path).budgets.cycle.minutes == 7
    assert load_problem(path).digest == load_problem(CHURN).digest
