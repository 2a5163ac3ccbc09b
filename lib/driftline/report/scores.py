"""How the predictions spread."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Chart, Grid, Section
from driftline.report.facts import Facts
from driftline.report.histograms import steps
from driftline.report.pictures import Bin, bins


def section(facts: Facts) -> Section:
    """The section *Scores*."""
    classes = facts.problem.task == "classification"
    made = Section(
        id="scores",
        title="How the scores spread",
        how="A score is the probability that the answer is yes; from 0.5 on it counts as yes. "
        "Heaps at the ends mean a model that is sure."
        if classes
        else "How often each size of prediction is given.",
        missing="No model has been evaluated yet.",
    )
    found = bins(facts, "score")
    if not found:
        return made
    finding = _ones(found) if classes else _middle(found)
    figure = steps(found, x="score" if classes else "predicted value", percent_x=False)
    if classes:
        figure["layout"]["xaxis"].update(range=[0, 1], tickformat=".1f", dtick=0.1)
        figure["layout"]["shapes"] = [
            {
                "type": "line",
                "x0": 0.5,
                "x1": 0.5,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "#8a94a3", "dash": "dash", "width": 1.5},
            }
        ]
    chart = Chart(figure, "Share of the rows by score", f"Histogram of the scores. {finding}")
    return Section(made.id, made.title, made.how, finding, [Grid([chart])])


def _ones(found: list[Bin]) -> str:
    everything = sum(share for *_, share in found) or 1.0
    above = sum(share for low, _, share in found if low >= 0.5 - 1e-9)
    unsure = sum(s for low, high, s in found if low >= 0.4 - 1e-9 and high <= 0.6 + 1e-9)
    return (
        f"{words.share(above / everything)} score 0.5 or more; "
        f"{words.share(unsure / everything)} lie between 0.4 and 0.6, where the model is unsure."
    )


def _middle(found: list[Bin]) -> str:
    everything = sum(share for *_, share in found) or 1.0
    passed = 0.0
    for low, high, share in found:
        if share and passed + share >= everything / 2:
            middle = low + (everything / 2 - passed) / share * (high - low)
            return f"Half of the predictions are below {words.decimal(middle)}."
        passed += share
    return "No predictions."
