"""The model card: every fact is in it, and no text becomes markup."""

from __future__ import annotations

import html.parser
import math
from dataclasses import replace

import pytest

from driftline import card
from driftline.evaluation import Interval, Slice
from driftline.models import Candidate
from driftline.problem import load_problem
from driftline.trials import Trial

EVIL = "<script>|*x*\n# no `c` _e_"


@pytest.fixture
def known() -> card.Known:
    trials = [
        Trial(Candidate("decision_tree", (("maxDepth", 3),)), "roc_auc", (0.7, 0.8), 12.0),
        Trial(Candidate("naive_bayes", ()), "roc_auc", (), 3.0, "PythonException"),
    ]
    measured = {
        ("test", "model"): {"roc_auc": Interval(0.71, 0.65, 0.77), "f1": Interval(0.5, 0.4, 0.6)},
        ("test", "constant"): {"roc_auc": Interval(0.5, 0.5, 0.5), "f1": Interval(0, 0, 0)},
        ("test", "decision"): {"f1": Interval(0.55, 0.45, 0.65)},
        ("validation", "model"): {"roc_auc": Interval(0.9999, 0.99, 1.0)},
    }
    return card.Known(
        str(trials[0].candidate),
        {"silver.orders": 0, "gold.features": 3},
        {"train": 4000, "test": 1000},
        trials,
        measured,
        [Slice("country", EVIL, 60, Interval(0.6, 0.5, 0.64), True)],
        True,
        [{"check": "events", "holds": True, "detail": "none after"}],
        {"decision": "score at least 0.3"},
        seconds=61.4,
        money=0.00213,
    )


class Text(html.parser.HTMLParser):
    """The tags and the cells of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_a_card_says_every_fact_in_both_forms(repository, known) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    sections = card.sections(problem, known)
    page, text = Text(card.html(sections)), card.markdown(sections)
    for fact in (
        "silver.orders",
        "0.7100 [0.6500, 0.7700]",
        "0.5500 [0.4500, 0.6500]",
        "4,000 train",
    ):
        assert any(fact in cell for cell in page.cells)
        assert fact.replace("[", "\\[").replace("]", "\\]") in text
    assert "| silver.orders | 0 |" in text  # version 0 is a version
    assert "decision (score at least 0.3)" in page.cells
    assert "PythonException" in page.cells
    assert "0.9999" not in text  # validation rows have chosen: they do not judge
    assert "1 of 1 slices are worse" in text
    assert "took 61 s and cost 0.0021 EUR by the price book" in text
    assert problem.question in text
    assert "script" not in page.tags
    assert {"h1", "h2", "table"} <= set(page.tags)
    assert EVIL in page.cells
    assert "\\<script\\>\\|\\*x\\* \\# no \\`c\\` \\_e\\_" in text
    widths = [line.replace("\\|", "").count("|") for line in text.splitlines() if line[:1] == "|"]
    assert all(width > 2 for width in widths)


def test_a_card_counts_what_was_measured_and_what_was_not(repository, known) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    assert "1 of 4 candidates were measured, 1 failed, in 15 s of fitting." in said(problem, known)
    train = problem.train.model_copy(update={"search": "racing"})
    raced = problem.model_copy(update={"train": train})
    text = said(raced, replace(known, trials=known.trials[:1]))
    assert "1 of 4 candidates were measured, in 12 s of fitting; a race on parts of the " in text
    assert "customer\\_ids left out others." in text
    # Where nobody was left out there was no race, or none that anybody lost.
    assert "race" not in said(raced, replace(known, trials=known.trials * 2))


def test_a_card_of_a_search_that_its_budget_cut_says_so(repository, known) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    one = known.trials[:1]
    text = said(problem, replace(known, trials=one, stopped="1 of 4 candidates"))
    assert "in 12 s of fitting; the budget ended after 1 of 4 candidates." in text
    train = problem.train.model_copy(update={"search": "racing"})
    raced = problem.model_copy(update={"train": train})
    cut = "4 candidates on one in 9 entities"
    part = [replace(one[0], folds=(0.7,))] * 4
    text = said(raced, replace(known, trials=part, stopped=cut, raced=one * 2))
    assert (
        f"4 of 4 candidates were measured, in 72 s of fitting; the budget ended after {cut}."
        in (text)
    )
    assert "left out" not in text
    assert "| 0.7000 |  | 12.0 |" in text  # of one fold there is no spread


def test_scores_of_a_margin_are_no_probabilities_whatever_the_class_is_called(
    repository, known
) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    limit = "Its scores rank and decide; they are no probabilities."
    assert limit not in said(problem, replace(known, model="my_linear_svc_with_probabilities"))
    assert limit in said(problem, replace(known, model="margin", probable=False))


def said(problem, known) -> str:
    return card.markdown(card.sections(problem, known))


def test_a_card_of_little_is_no_error(repository, known) -> None:
    problem = load_problem(repository / "conf" / "cdnow_spend.yaml")
    nothing = {("test", "model"): {"rmse": Interval(math.nan, math.nan, math.nan)}}
    little = replace(known, slices=(), trials=(), checks=(), measured=nothing)
    text = card.markdown(card.sections(problem, little))
    assert "nan \\[nan, nan\\]" in text
    assert "No attribute has a value with enough test rows" in text
