"""Which round of a race says who leads, wherever its budget ended."""

from __future__ import annotations

import math

import pytest

from driftline.budgets import OverBudget
from driftline.errors import Refused
from driftline.models import Candidate
from driftline.racing import Round, further
from driftline.trials import Trial, best, ranked


def trial(name: str, mean: float, metric: str = "roc_auc") -> Trial:
    error = "it broke" if math.isnan(mean) else None
    return Trial(Candidate(name, ()), metric, (mean,), 1.0, error)


FIRST = Round(9, [trial("weak", 0.6), trial("lead", 0.8), trial("near", 0.7)])


def test_a_round_that_was_cut_before_it_measured_the_leader_says_nothing() -> None:
    assert further(FIRST, Round(3, [trial("near", 0.72)])) is FIRST
    assert further(FIRST, Round(3, [])) is FIRST
    beside = Round(3, [trial("near", 0.72), trial("lead", 0.71)])
    assert further(FIRST, beside) is beside
    failed = Round(1, [trial("lead", math.nan)])
    assert further(FIRST, failed) is FIRST
    alone = Round(1, [trial("lead", 0.6)])
    assert further(FIRST, alone) is alone


def test_the_first_round_is_what_there_is() -> None:
    assert further(None, FIRST) is FIRST
    assert further(None, Round(9, [])) is None
    nobody = Round(9, [trial("weak", math.nan)])
    assert further(nobody, Round(3, [])) is nobody
    one = Round(3, [trial("near", 0.7)])
    assert further(nobody, one) is one


def test_who_leads_depends_on_what_is_measured() -> None:
    """By an error the smallest leads; what has no number is nowhere."""
    errors = [trial("b", 2.0, "rmse"), trial("a", 1.0, "rmse"), trial("broken", math.nan, "rmse")]
    assert [each.candidate.family for each in ranked(errors)] == ["a", "b"]
    assert [each.candidate.family for each in ranked(FIRST.trials)] == ["lead", "near", "weak"]
    early = Round(9, errors)
    assert further(early, Round(3, [errors[0]])) is early
    assert ranked([]) == []


def test_a_search_that_was_cut_says_nothing_of_candidates_it_did_not_reach() -> None:
    """Nor where those it did reach failed; once all were tried, that is a verdict."""
    failed = [trial("broken", math.nan)]
    for found in ([], failed):
        with pytest.raises(OverBudget, match="the budget ended before one candidate"):
            best(found, cut=True)
    with pytest.raises(Refused, match="no candidate has a roc_auc") as caught:
        best(failed, cut=False)
    assert not isinstance(caught.value, OverBudget)
    assert best([*failed, *FIRST.trials], cut=True).candidate.family == "lead"
