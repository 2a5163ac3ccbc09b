"""What the page says of the search, the champion and its errors equals the facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd
from report_pages import Page, full, page, plainly
from report_tables import evaluations, trials

from driftline.report import render
from driftline.report.candidates import ranked


def test_hero_answers_in_plain_words() -> None:
    said = plainly(page("full").says(""))
    assert full().problem.question in said
    assert "Champion: random forest, version 3." in said
    assert "tells them apart 81 times in 100; the best single feature 73 times." in said
    assert "0.812 [0.790, 0.834]" in said
    others = (
        "Recency, frequency, money 0.741, best single feature 0.730, same answer for all 0.500."
    )
    assert others in said
    assert "9 of 10 rules hold" in said


def test_candidates_are_ranked_by_the_metric() -> None:
    said = page("full").says("candidates")
    spread = f"{trials([('x', {}, 0.8012)], 'roc_auc')['std'][0]:.3f}"
    assert f"Random forest won with ROC AUC 0.801 ± {spread} over 3 folds" in said
    assert "gradient boosted trees 0.797 and logistic regression 0.783." in said
    assert "decision stump" not in said  # of an older search
    assert "Gradient boosted trees won with RMSE 71.90" in page("regression").says("candidates")


def test_of_a_race_the_last_round_is_shown() -> None:
    """Earlier ones measured on fewer rows: their numbers stand beside no others."""
    last = full().trials
    before = last.assign(search="s:9", mean=0.99, chosen=False, at=last["at"] - timedelta(hours=1))
    raced = replace(full(), trials=pd.concat([before, last], ignore_index=True))
    assert ranked(raced) == ranked(full())


def test_a_search_that_goes_on_is_one_and_each_candidate_is_as_it_was_last() -> None:
    last = full().trials
    cut = last.assign(error="the budget ended", mean=0.0, run_id="r", chosen=False)
    cut["at"] -= timedelta(hours=1)
    later = last[:1].assign(run_id="later", at=last["at"][0] + timedelta(hours=1))
    found = ranked(replace(full(), trials=pd.concat([cut, last, later], ignore_index=True)))
    assert [row["mean"] for row in found] == [row["mean"] for row in ranked(full())]
    assert {row["run_id"] for row in found} == {"later", "train-2"}


def test_origin_says_what_the_champion_was_fitted_with() -> None:
    said = page("full").says("origin")
    assert "fitted with no native BLAS, Java's own (VectorBLAS)" in said
    assert "numTrees=40" in said or "numTrees 40" in said


def test_model_beats_its_baselines_only_beyond_its_interval() -> None:
    def chip(low: float, value: float) -> str:
        changed = evaluations(
            {
                "roc_auc": {
                    "model": (value, low, 0.9),
                    "best_feature": (0.73,) * 3,
                    "rfm": (0.71,) * 3,
                }
            }
        )
        return Page(render(replace(full(), evaluations=changed))).says("")

    assert "Recency, frequency, money 0.710, best single feature 0.730." in chip(0.74, 0.8)
    assert "lead is within" not in chip(0.74, 0.8) and "gate" not in chip(0.74, 0.8)
    assert "The lead is within the interval." in chip(0.72, 0.8)
    assert "The gate is not passed." in chip(0.7, 0.729)


def test_only_slices_that_are_worse_beyond_doubt_are_named() -> None:
    said = plainly(page("full").says("model"))
    assert "Where it is weakest" in said
    assert "country CH 0.701 [0.650, 0.750] 212" in said
    assert "[18, 27]" not in said


def test_confusion_and_curves_are_those_of_the_facts() -> None:
    said = plainly(page("full").says("model"))
    right = 100 * (2_287 + 895) / 4_067
    assert f"{right:.1f} % of all answers are right" in said
    assert f"of those flagged {100 * 2_287 / 2_780:.1f} % are right (precision)" in said
    assert f"of all yes {100 * 2_287 / 2_679:.1f} % are found (recall)" in said
    assert f"At 20 % false alarms, {100 * 0.2**0.232:.1f} % found." in said
    assert "2,287" in said and "493" in said


def test_importance_is_a_share_of_all() -> None:
    said = plainly(page("full").says("importance"))
    assert "visit_days_30d weighs most: 26.2 % of the importance" in said
    assert "first three together 58.7 %; 1 feature unused." in said


def test_regression_has_no_curves_of_a_classifier() -> None:
    read = page("regression")
    said = read.says("model")
    assert "RMSE 71.40 [63.20, 80.10] on 4,067 test rows." in said
    assert "ROC" not in said and "recall" not in said and "Right and wrong" not in said
    assert "Calibration" in said and "What is left over" in said
    part = 100 * (1 - 71.4 / 88.2)
    assert f"{part:.0f} % less than that of always giving the same answer" in plainly(said)
    assert "Half of the predictions are below" in read.says("scores")
