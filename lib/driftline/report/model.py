"""Which model the page speaks of, and its points and metrics."""

from __future__ import annotations

from driftline.report import words
from driftline.report.facts import Facts, Row, latest_run, newest, rows

BASELINES = {
    "constant": "same answer for all",
    "best_feature": "best single feature",
    "rfm": "recency, frequency, money",
}
"""What each baseline of ``ops.evaluations`` does, in words."""


def version(facts: Facts) -> int | None:
    """The champion; without one the newest model that was evaluated."""
    if facts.champion is not None:
        return int(facts.champion["version"])
    known = [row["model_version"] for row in rows(facts.evaluations) + rows(facts.curves)]
    return max((int(each) for each in known if each is not None), default=None)


def title(facts: Facts) -> str:
    """``random forest, version 3``"""
    if facts.champion is None:
        return f"model version {version(facts)}"
    return f"{words.name(facts.champion['family'])}, version {facts.champion['version']}"


def points(facts: Facts, curve: str) -> list[Row]:
    """One curve of that model, as its newest evaluation drew it."""
    wanted = version(facts)
    if wanted is None or facts.curves.empty:
        return []
    mine = rows(facts.curves[facts.curves["model_version"] == wanted])
    last = latest_run([row for row in rows(facts.evaluations) if row["model_version"] == wanted])
    runs = {row["run_id"] for row in last}
    if any(row["run_id"] in runs for row in mine):
        mine = [row for row in mine if row["run_id"] in runs]
    return [row for row in mine if row["curve"] == curve]


def measured(facts: Facts, part: str = "test") -> list[Row]:
    """Newest value of each metric of that model and of the baselines, on one part of the rows."""
    wanted = version(facts)
    found = [
        row
        for row in rows(facts.evaluations)
        if row["model_version"] == wanted and row["part"] == part
    ]
    return newest(found, "model", "metric")


def value(measures: list[Row], model: str, metric: str) -> Row | None:
    """The row of one model and metric, if it was measured."""
    for row in measures:
        if row["model"] == model and row["metric"] == metric and row["value"] is not None:
            return row
    return None
