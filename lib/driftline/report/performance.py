"""How good the model is on rows it never saw, beside the baselines on the same rows."""

from __future__ import annotations

from driftline.problem import Problem
from driftline.report import words
from driftline.report.blocks import Block, Cell, Chart, Chip, Fold, Grid, Section, Table, Tone
from driftline.report.charts import BLUE, GREY, intervals
from driftline.report.facts import Facts, Row, rows, whole
from driftline.report.model import BASELINES, measured, title, value, version
from driftline.report.pictures import pictures


def verdict(facts: Facts) -> Tone:
    """Good beyond doubt of the interval, a watch where it is only probable, bad below the gate."""
    metric, gate = facts.problem.train.metric, facts.problem.train.gate
    measures = measured(facts)
    mine = value(measures, "model", metric)
    if mine is None:
        return "calm"
    bars = [row["value"] for row in (value(measures, name, metric) for name in gate.beat) if row]
    bars += [gate.floor] if gate.floor is not None else []
    if not all(words.better(metric, mine["value"], bar) or mine["value"] == bar for bar in bars):
        return "bad"
    cautious = mine["high" if words.smaller_is_better(metric) else "low"]
    if cautious is None:
        return "good"
    return "good" if all(words.better(metric, cautious, bar) for bar in bars) else "watch"


def chip(facts: Facts) -> Chip:
    """The metric with its interval, and what it beats."""
    metric = facts.problem.train.metric
    measures = measured(facts)
    mine = value(measures, "model", metric)
    if mine is None:
        return Chip("model", "Model", "none yet", "", "No model has been evaluated.", "calm")
    tone = verdict(facts)
    others = [
        f"{BASELINES[name]} {words.decimal(row['value'])}"
        for name, row in ((name, value(measures, name, metric)) for name in reversed(BASELINES))
        if row
    ]
    said = words.capital(", ".join(others)) + "." if others else "No baseline was measured."
    if tone == "bad":
        said += " The gate is not passed."
    elif tone == "watch":
        said += " The lead is within the interval."
    return Chip(
        "model",
        words.metric(metric),
        words.decimal(mine["value"]),
        words.brackets(mine["low"], mine["high"]),
        said,
        tone,
    )


def section(facts: Facts) -> Section:
    """The section *Model*."""
    made = Section(
        id="model",
        title="How good the model is",
        how="Measured on test rows that are later than, or apart from, all it learnt from. The "
        "brackets hold the value in 95 of 100 draws of those they are of.",
        missing="No model has been evaluated yet.",
    )
    if version(facts) is None:
        return made
    measures = measured(facts)
    blocks: list[Block] = []
    mine = value(measures, "model", facts.problem.train.metric)
    if mine is not None:
        blocks.append(_against(facts.problem, measures, mine))
    blocks += pictures(facts)
    if measures:
        blocks.append(_table(measures, "On the test rows"))
    blocks += _weakest(facts)
    if validation := measured(facts, "validation"):
        blocks.append(_table(validation, "On the validation rows", fold=True))
    blocks += _earlier(facts)
    return Section(made.id, made.title, made.how, _finding(facts, measures), blocks)


def explained(problem: Problem, measures: list[Row]) -> str:
    """What the metric means for somebody who has never met it; empty if it was not measured."""
    metric = "roc_auc" if problem.task == "classification" else problem.train.metric
    mine, single = value(measures, "model", metric), value(measures, "best_feature", metric)
    if mine is None:
        return ""
    if metric == "roc_auc":
        noun = words.name(problem.entity.removesuffix("_id"))
        sentence = (
            f"Shown one {noun} of each kind, the model tells them apart "
            f"{words.count(100 * mine['value'])} times in 100"
        )
        if single:
            sentence += f"; the best single feature {words.count(100 * single['value'])} times"
        return sentence + "."
    constant = value(measures, "constant", metric)
    sentence = f"Its error ({words.metric(metric)}) is {words.decimal(mine['value'])}"
    if constant and constant["value"]:
        part = 1 - mine["value"] / constant["value"]
        less = f"{words.share(abs(part))} {'less' if part >= 0 else 'more'}"
        sentence += f", {less} than that of always giving the same answer"
    return sentence + "."


def _finding(facts: Facts, measures: list[Row]) -> str:
    sentences = [f"{words.capital(title(facts))}."]
    if facts.champion is None:
        sentences = [f"No champion: version {version(facts)} is the newest that was evaluated."]
    mine = value(measures, "model", facts.problem.train.metric)
    if mine is not None:
        sentences.append(
            f"{words.metric(mine['metric'])} "
            f"{words.interval(mine['value'], mine['low'], mine['high'])} on "
            f"{words.plural(whole(mine['rows']), 'test row')}."
        )
    sentences.append(explained(facts.problem, measures))
    return " ".join(filter(None, sentences))


def _against(problem: Problem, measures: list[Row], mine: Row) -> Grid:
    metric = problem.train.metric
    entries = [_entry("the model", mine, BLUE)]
    for name, said in BASELINES.items():
        row = value(measures, name, metric)
        if row:
            entries.append(_entry(said, row, GREY))
    floor = problem.train.gate.floor
    if floor is not None:
        entries.append(("the gate's floor", floor, floor, floor, GREY))
    entries.sort(key=lambda entry: -entry[1])
    if words.smaller_is_better(metric):
        entries.reverse()
    better = "smaller" if words.smaller_is_better(metric) else "larger"
    return Grid(
        [
            Chart(
                intervals(entries, x=f"{words.metric(metric)} ({better} is better)"),
                "The model and what it has to beat",
                "; ".join(f"{name} {words.interval(v, lo, hi)}" for name, v, lo, hi, _ in entries),
                height=110 + 36 * len(entries),
            )
        ]
    )


def _entry(name: str, row: Row, colour: str) -> tuple[str, float, float, float, str]:
    point = float(row["value"])
    low = point if row["low"] is None else float(row["low"])
    high = point if row["high"] is None else float(row["high"])
    return name, point, low, high, colour


def _table(measures: list[Row], caption: str, *, fold: bool = False) -> Table:
    models = [name for name in ("model", *BASELINES) if any(r["model"] == name for r in measures)]
    models += sorted({row["model"] for row in measures} - set(models))
    count = max(whole(row["rows"]) for row in measures)
    found: list[list[Cell | str]] = []
    said: list[str] = []
    for metric in dict.fromkeys(row["metric"] for row in measures):
        cells: list[Cell | str] = [words.metric(metric)]
        for name in models:
            row = value(measures, name, metric)
            cells.append(
                words.interval(row["value"], row["low"], row["high"]) if row else words.MISSING
            )
        details = [str(row["detail"] or "") for row in measures if row["metric"] == metric]
        found.append(cells)
        said.append("; ".join(filter(None, dict.fromkeys(details))))
    columns = ["metric", *("#" + words.name(name) for name in models)]
    if any(said):
        columns.append("detail")
        found = [[*cells, detail] for cells, detail in zip(found, said, strict=True)]
    return Table(
        f"{caption} ({words.plural(count, 'row')})",
        columns,
        found,
        fold=fold,
    )


def _weakest(facts: Facts) -> list[Block]:
    """Where the model is worse than on all rows, beyond the doubt of the interval."""
    found = [
        row for row in rows(facts.slices) if row["model_version"] == version(facts) and row["worse"]
    ]
    if not found:
        return []
    table = Table(
        "Where it is weakest: test rows with one value of one attribute",
        ["feature", "value", "#" + words.metric(found[0]["metric"]), "#rows"],
        [
            [
                words.name(row["column"]),
                row["value"],
                words.interval(row["score"], row["low"], row["high"]),
                words.count(whole(row["rows"])),
            ]
            for row in found[:10]
        ],
    )
    return [table]


def _earlier(facts: Facts) -> list[Block]:
    """The main metric of every version, if there is more than one."""
    metric, shown = facts.problem.train.metric, version(facts)
    found = [
        row
        for row in rows(facts.evaluations)
        if row["part"] == "test" and row["model"] == "model" and row["metric"] == metric
    ]
    if len({row["model_version"] for row in found}) < 2:
        return []
    table = Table(
        f"{words.metric(metric)} of every version, each on the test rows of its time",
        ["#version", "evaluated", "#" + words.metric(metric), "#rows", ""],
        [
            [
                str(int(row["model_version"])),
                words.when(row["at"]),
                words.interval(row["value"], row["low"], row["high"]),
                words.count(whole(row["rows"])),
                Cell("this one", tone="good") if row["model_version"] == shown else "",
            ]
            for row in sorted(found, key=lambda row: -row["model_version"])
        ],
    )
    return [Fold("Earlier versions", [table])]
