"""How a model did since it was judged: what scores promised, what labels said, and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from driftline import skew
from driftline.decision import order
from driftline.profile import column_of
from driftline.report import words
from driftline.report.blocks import (
    Block,
    Cell,
    Chart,
    Chip,
    Grid,
    Section,
    Table,
    Tone,
)
from driftline.report.charts import GREY, SERIES, VERMILION, Figure, figure, plain
from driftline.report.facts import Facts, Row, rows, whole

_TONES: Mapping[str, Tone] = {"keep": "good", "watch": "watch", "retrain": "bad"}
_SHOWN = 30


def chip(facts: Facts) -> Chip:
    """The newest decision."""
    made = _decisions(facts)
    if not made:
        return Chip("since", "Decision", "none yet", "", "The command monitor makes one.", "calm")
    last = made[-1]
    said = words.capital(str(last["why"])) + "."
    action = str(last["action"])
    return Chip("since", "Decision", action, words.day(last["as_of"]), said, _TONES[action])


def section(facts: Facts) -> Section:
    """The section *Since then*."""
    made = Section(
        id="since",
        title="How it did since then",
        how="Promised: what the scores themselves let expect before labels come (CBPE; of a "
        "regression, the test rows' errors by score). Came true: by labels. Bars hold the value in "
        "95 of 100 cases; the dashed line is the test metric when the version was judged. A line "
        "across: one was trained, grey if it did not come into use; below: where drift was first "
        "seen.",
        missing="Predictions have not been held against labels yet: `driftline monitor` does it.",
    )
    measured, decided = _measured(facts), _decisions(facts)
    if not (measured or decided):
        return made
    blocks: list[Block] = []
    if measured:
        metric = words.metric(facts.problem.train.metric)
        chart = Chart(
            _over_time(facts, measured, decided, metric),
            f"{metric}, cut-off by cut-off",
            "; ".join(_point(row) for row in measured[-_SHOWN:]),
            height=380,
        )
        blocks.append(Grid([chart]))
    if decided:
        blocks.append(_table(facts, decided))
    compared = _compared(facts)
    blocks += [_skew(each) for each in compared if any(row["skewed"] for row in each)]
    return Section(
        made.id, made.title, made.how, _finding(facts, measured, decided, compared), blocks
    )


def _measured(facts: Facts) -> list[Row]:
    """The newest measurement of each cut-off and version, oldest cut-off first."""
    metric = facts.problem.train.metric
    mine = [row for row in rows(facts.performance) if row["metric"] == metric and not row["slice"]]
    groups = _newest(mine, "cutoff", "model_version")
    found = [row for each in groups for row in each if row["value"] is not None]
    return sorted(found, key=lambda row: (row["cutoff"], row["model_version"], row["kind"]))


def _newest(found: Sequence[Row], *keys: str) -> list[list[Row]]:
    """Of each distinct ``keys`` what was found last: as of the newest day, not when it was made.

    A day that is made up for comes late, and knows less than those after it did.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        groups.setdefault(tuple(row[name] for name in keys), []).append(row)
    made = []
    for each in groups.values():
        last = max(order(row["as_of"], row["at"]) for row in each)
        made.append([row for row in each if order(row["as_of"], row["at"]) == last])
    return made


def _decisions(facts: Facts) -> list[Row]:
    return sorted(rows(facts.decisions), key=lambda row: order(row["as_of"], row["at"]))


def _point(row: Row) -> str:
    said = "promised" if row["kind"] == "expected" else "came true"
    value = words.interval(row["value"], row["low"], row["high"])
    return f"{words.day(row['cutoff'])} version {row['model_version']} {said} {value}"


def _over_time(
    facts: Facts, measured: Sequence[Row], decided: Sequence[Row], metric: str
) -> Figure:
    """A colour a version; a line across where one was trained, a word where drift began."""
    traces = []
    versions = sorted({int(row["model_version"]) for row in measured})
    judged = {
        int(row["model_version"]): row["value"]
        for row in rows(facts.evaluations)
        if (row["part"], row["model"], row["metric"])
        == ("test", "model", facts.problem.train.metric)
    }
    for place, version in enumerate(versions):
        colour = SERIES[place % len(SERIES)]
        mine = [row for row in measured if row["model_version"] == version]
        for kind, said, dash, symbol in (
            ("expected", "promised", "dot", "circle-open"),
            ("real", "came true", "solid", "circle"),
        ):
            if found := [row for row in mine if row["kind"] == kind]:
                traces.append(_line(found, f"version {version}, {said}", colour, dash, symbol))
        if version in judged:
            ends = [_date(mine[0]["cutoff"]), _date(mine[-1]["cutoff"])]
            traces.append(
                go.Scatter(
                    x=ends,
                    y=[judged[version]] * 2,
                    mode="lines",
                    name=f"version {version}, when judged",
                    line={"color": colour, "width": 1, "dash": "dash"},
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
    trained = _trained(facts, decided)
    return figure(
        traces,
        xaxis={"type": "date", "title": {"text": "cut-off of the predictions"}},
        yaxis={"title": {"text": metric}},
        legend={"orientation": "h", "y": -0.25, "x": 0},
        shapes=[
            {
                "type": "line",
                **{"x0": day, "x1": day, "y0": 0, "y1": 1, "yref": "paper"},
                "line": {"color": VERMILION if used else GREY, "width": 1.5, "dash": "dashdot"},
            }
            for day, used in trained
        ],
        annotations=[
            *(_word(day, 1, "trained" if used else "trained, not used") for day, used in trained),
            *(_word(day, 0, said) for day, said in _first_seen(decided)),
        ],
    )


def _word(day: str, height: float, text: str) -> dict[str, Any]:
    return {
        **{"x": day, "y": height, "yref": "paper", "text": text, "showarrow": False},
        "font": {"color": GREY, "size": 11},
        "xanchor": "left",
        "yanchor": "top" if height else "bottom",
    }


def _trained(facts: Facts, decided: Sequence[Row]) -> list[tuple[str, bool]]:
    """The day of each training that a decision led to, and whether its version came into use; a
    cut-off once, however often its day was asked for.
    """
    ended = {row["decision"]: row for row in rows(facts.outcomes) if row["kind"] == "training"}
    found: dict[Any, tuple[str, bool]] = {}
    for row in decided:
        verdict = ended[row["decision"]]["verdict"] if row["decision"] in ended else "skipped"
        cutoff = row["cutoff"] or row["as_of"]
        if verdict != "skipped" and not found.get(cutoff, ("", False))[1]:
            found[cutoff] = _date(row["as_of"]), verdict == "promoted"
    return list(found.values())


_SEEN = {"drift": "drift", "concept": "concept drift"}


def _first_seen(decided: Sequence[Row]) -> list[tuple[str, str]]:
    """The cut-offs at which a decision named drift that the one before had not."""
    newest = {row["cutoff"]: row for row in decided if row["cutoff"]}
    found, before = [], set[str]()
    for cutoff in sorted(newest):
        causes = newest[cutoff]["causes"]
        now = set() if causes is None else set(causes) & set(_SEEN)
        found += [(_date(cutoff), _SEEN[each]) for each in sorted(now - before)]
        before = now
    return found


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _line(found: Sequence[Row], name: str, colour: str, dash: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=[_date(row["cutoff"]) for row in found],
        y=[row["value"] for row in found],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"color": colour, "size": 9, "symbol": symbol},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(row["high"] or row["value"]) - row["value"] for row in found],
            "arrayminus": [row["value"] - (row["low"] or row["value"]) for row in found],
            "color": colour,
            "thickness": 1,
            "width": 3,
        },
        text=[plain(_point(row), 80) for row in found],
        hovertemplate="%{text}<extra></extra>",
    )


def _table(facts: Facts, decided: Sequence[Row]) -> Table:
    metric = words.metric(facts.problem.train.metric)
    became: dict[str, list[str]] = {}
    for row in rows(facts.outcomes):
        became.setdefault(row["decision"], []).append(f"{row['kind']}: {row['verdict']}")
    return Table(
        f"Decisions, the newest first; numbers are {metric}, drift a share of importance",
        ["as of", "action", "why", "outcome", "#promised", "#came true", "#when judged", "#drift"],
        [
            [
                words.day(row["as_of"]),
                Cell(str(row["action"]), tone=_TONES[row["action"]]),
                str(row["why"]),
                "; ".join(became.get(row["decision"], [])),
                *(
                    words.MISSING if row[name] is None else words.decimal(row[name])
                    for name in ("expected", "real", "reference")
                ),
                words.MISSING if row["drift"] is None else words.share(row["drift"]),
            ]
            for row in reversed(decided[-_SHOWN:])
        ],
    )


def _compared(facts: Facts) -> list[list[Row]]:
    """The statistics of what was asked about last against training rows, a list a table."""
    return _newest(rows(facts.skew), "table")


def _asked(compared: Sequence[Row]) -> str:
    """Which rows they are."""
    first = compared[0]
    what = "scored rows" if first["table"] == "gold.features" else f"rows of {first['table']}"
    return f"{words.count(whole(first['rows']))} {what} up to {words.day(first['cutoff'])}"


def _skew(compared: Sequence[Row]) -> Table:
    """The features that are not as in training, each by its gravest statistic."""
    worst: dict[str, Row] = {}
    apart = [row for row in compared if row["skewed"]]
    for row in sorted(
        apart, key=lambda row: skew.severity(row["statistic"], row["value"], row["threshold"])
    ):
        worst.setdefault(str(row["column"]), row)
    first = compared[0]
    return Table(
        f"Train-serve skew: {_asked(compared)} against the {words.count(whole(first['trained']))} "
        f"rows that version {first['model_version']} learnt from",
        ["feature", "statistic", "#value", "#threshold", "in words"],
        [
            [
                Cell(column, code=True),
                words.metric(str(row["statistic"])),
                words.decimal(row["value"]),
                words.short(row["threshold"]),
                str(row["detail"] or ""),
            ]
            for column, row in worst.items()
        ],
    )


def _finding(
    facts: Facts,
    measured: Sequence[Row],
    decided: Sequence[Row],
    compared: Sequence[Sequence[Row]],
) -> str:
    sentences = []
    real = [row for row in measured if row["kind"] == "real"]
    if real:
        last = real[-1]
        sentences.append(
            f"By the newest labels (predictions of {words.day(last['cutoff'])}), version "
            f"{last['model_version']} has {words.metric(last['metric'])} "
            f"{words.interval(last['value'], last['low'], last['high'])}."
        )
    elif measured:
        sentences.append("No labels have come yet.")
    if decided:
        trained = sum(row["action"] == "retrain" for row in decided)
        sentences.append(
            f"{words.capital(words.plural(len(decided), 'decision'))}, {trained} of them to train "
            f"again; the newest: {decided[-1]['action']}, {decided[-1]['why']}."
        )
    for each in compared:
        names = {column_of(row["column"]) for row in each}
        apart = {column_of(row["column"]) for row in each if row["skewed"]}
        sentences.append(
            f"Of {words.plural(len(names), 'feature')}, {len(apart) or 'none'} "
            f"{'are' if len(apart) > 1 else 'is'} other in {_asked(each)} than in training."
        )
    return " ".join(sentences)
