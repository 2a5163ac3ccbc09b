"""The candidates of the newest search, compared."""

from __future__ import annotations

import json
from typing import Any

from driftline.report import words
from driftline.report.blocks import Block, Cell, Chart, Grid, Section, Table
from driftline.report.charts import BLUE, GREY, intervals
from driftline.report.facts import Facts, Row, newest, rows

_SHOWN = 14


def ranked(facts: Facts) -> list[Row]:
    """Candidates of the newest search, best first; those without a value last.

    Of a race, those of its last round: others were measured on other rows. Of a candidate that was
    tried again, the last time.
    """
    known = rows(facts.trials)
    last = newest(known)
    found = newest(
        (row for row in known if row["search"] == last[0]["search"]), "family", "parameters"
    )
    sign = 1 if words.smaller_is_better(facts.problem.train.metric) else -1
    return sorted(found, key=lambda row: (row["mean"] is None, sign * (row["mean"] or 0)))


def section(facts: Facts) -> Section:
    """The section *Candidates*."""
    made = Section(
        id="candidates",
        title="Candidates compared",
        how="Each candidate learnt from some of the training rows and was measured on the others, "
        "once a fold. The dot is the mean, the bar one standard deviation, the ticks single folds.",
        missing="No model has been trained yet.",
    )
    trials = ranked(facts)
    if not trials:
        return made
    blocks: list[Block] = []
    shown = [row for row in trials if row["mean"] is not None][:_SHOWN]
    if shown:
        blocks.append(Grid([_chart(shown, len(trials))]))
    blocks.append(_table(trials))
    return Section(made.id, made.title, made.how, _finding(trials), blocks)


def _finding(trials: list[Row]) -> str:
    chosen = next((row for row in trials if row["chosen"]), None)
    if chosen is None:
        return f"{words.plural(len(trials), 'candidate')} measured, none chosen."
    family = chosen["family"]
    folds = len(_folds(chosen))
    sentence = (
        f"{words.capital(words.name(family))} won with {words.metric(chosen['metric'])} "
        f"{_spread(chosen)}" + (f" over {words.plural(folds, 'fold')}" if folds else "")
    )
    others: list[Row] = []
    for row in trials:
        if row["family"] != family and row["mean"] is not None:
            family_seen = [each for each in others if each["family"] == row["family"]]
            if not family_seen:
                others.append(row)
    if others:
        named = [f"{words.name(row['family'])} {words.decimal(row['mean'])}" for row in others]
        sentence += f"; {words.listed(named)}"
        near = others[0]
        if abs(near["mean"] - chosen["mean"]) <= max(chosen["std"] or 0, near["std"] or 0):
            sentence += ". The lead is smaller than the spread between folds"
    return sentence + "."


def _chart(shown: list[Row], count: int) -> Chart:
    metric = words.metric(shown[0]["metric"])
    better = "smaller" if words.smaller_is_better(shown[0]["metric"]) else "larger"
    entries = [
        (
            f"{place}. {words.name(row['family'])}",
            float(row["mean"]),
            float(row["mean"]) - float(row["std"] or 0),
            float(row["mean"]) + float(row["std"] or 0),
            BLUE if row["chosen"] else GREY,
        )
        for place, row in enumerate(shown, 1)
    ]
    return Chart(
        intervals(entries, x=f"{metric} ({better} is better)", dots=[_folds(row) for row in shown]),
        f"{metric} by cross-validation",
        "Candidates from best to worst: "
        + "; ".join(f"{name} {words.decimal(value)}" for name, value, *_ in entries),
        f"The chosen one is blue; numbers refer to the table. The best {len(shown)} of {count}."
        if count > len(shown)
        else "The chosen one is blue; numbers refer to the table.",
        height=110 + 34 * len(shown),
    )


def _table(trials: list[Row]) -> Table:
    slowest = max((row["seconds"] or 0 for row in trials), default=0) or 1
    return Table(
        f"All {words.plural(len(trials), 'candidate')}" if len(trials) > 1 else "The candidate",
        ["#no.", "family", "parameters", "#mean ± std", "#time", "chosen"],
        [
            [
                str(place),
                words.name(row["family"]),
                Cell(words.parameters(_parameters(row)), code=True),
                _spread(row),
                Cell(words.duration(row["seconds"] or 0), bar=(row["seconds"] or 0) / slowest),
                Cell("chosen", tone="good") if row["chosen"] else row.get("error") or "",
            ]
            for place, row in enumerate(trials, 1)
        ],
        fold=len(trials) > _SHOWN,
    )


def _spread(row: Row) -> str:
    return words.spread(row["mean"], row["std"])


def _folds(row: Row) -> list[float]:
    return [] if row["folds"] is None else [float(each) for each in row["folds"]]


def _parameters(row: Row) -> dict[str, Any]:
    found = json.loads(row["parameters"] or "{}")
    return found if isinstance(found, dict) else {}
