"""What the tables hold that somebody has explored: columns alone, together, with the label."""

from __future__ import annotations

import json
from collections.abc import Sequence

from driftline.report import words
from driftline.report.blocks import Block, Cell, Chart, Fold, Grid, Note, Section, Table
from driftline.report.facts import Facts, Row, newest, rows
from driftline.report.histograms import steps

_TWO = ("spearman", "cramers_v", "correlation_ratio")
_SHOWN = 15


def section(facts: Facts) -> Section:
    """The section *Tables*."""
    made = Section(
        id="explored",
        title="What the tables hold",
        how="Columns by themselves over all rows, and with each other on a sample. How well a "
        "column alone tells the label is a ROC AUC, or a correlation of ranks.",
        missing="No table has been explored: `driftline explore --table silver.…` does it.",
    )
    found = rows(facts.explored)
    if not found:
        return made
    last = newest(found, "table")
    blocks: list[Block] = []
    suspects = 0
    for one in last:
        mine = [row for row in found if row["table"] == one["table"]]
        mine = [row for row in mine if row["run_id"] == one["run_id"]]
        suspicious = [row for row in mine if row["statistic"] == "suspicious"]
        suspects += len(suspicious)
        name = f"{one['table']}, version {one['version']}"
        blocks += [Note(f"{one['table']}: {row['column']}, {row['detail']}") for row in suspicious]
        blocks.append(_columns(mine, name))
        charts = [_histogram(row) for row in mine if row["statistic"] == "histogram"]
        if charts := [chart for chart in charts if chart]:
            blocks.append(Fold(f"Histograms of {one['table']}", [Grid(charts, small=True)]))
        if pairs := _pairs(mine, name):
            blocks.append(pairs)
    finding = f"{words.plural(len(last), 'table')} explored"
    finding += f"; {words.plural(suspects, 'column')} suspicious." if suspects else "."
    return Section(made.id, made.title, made.how, finding, blocks)


def _columns(mine: Sequence[Row], name: str) -> Table:
    facts: dict[str, dict[str, Row]] = {}
    for row in mine:
        if row["statistic"] not in _TWO and row["statistic"] != "pearson":
            facts.setdefault(str(row["column"]), {})[str(row["statistic"])] = row
    lines: list[Sequence[Cell | str]] = []
    for column, known in facts.items():

        def value(statistic: str, known: dict[str, Row] = known) -> float | None:
            return known[statistic]["value"] if statistic in known else None

        number = value("rows") or 0.0
        missing = (value("nulls") or 0.0) / number if number else 0.0
        lines.append(
            [
                Cell(column, code=True),
                str(known["rows"]["detail"]) if "rows" in known else "",
                Cell(words.share(missing), bar=missing),
                _said(value("distinct")),
                *(_said(value(each)) for each in ("min", "q50", "mean", "max")),
                "" if value("outliers") is None else words.share(value("outliers") or 0.0),
                _said(value("tells")),
            ]
        )
    heads = ["column", "type", "#missing", "#distinct", "#min", "#median", "#mean", "#max"]
    return Table(name, [*heads, "#far out", "#tells the label"], lines)


def _said(value: float | None) -> str:
    return "" if value is None else words.decimal(value)


def _histogram(row: Row) -> Chart | None:
    drawn = json.loads(str(row["detail"]))
    edges, shares = drawn["edges"], drawn["shares"]
    if len(edges) != len(shares) + 1:
        return None
    bins = list(zip(edges[:-1], edges[1:], shares, strict=True))
    figure = steps(bins, x="", percent_x=False)
    return Chart(figure, str(row["column"]), f"Histogram of {row['column']}", height=170)


def _pairs(mine: Sequence[Row], name: str) -> Table | None:
    pairs = [row for row in mine if row["statistic"] in _TWO and row["value"] is not None]
    pairs.sort(key=lambda row: -abs(row["value"]))
    lines: list[Sequence[Cell | str]] = [
        [
            Cell(str(row["column"]), code=True),
            Cell(str(row["other"]), code=True),
            str(row["statistic"]).replace("_", " "),
            Cell(words.decimal(row["value"]), bar=min(1.0, abs(row["value"]))),
        ]
        for row in pairs[:_SHOWN]
    ]
    caption = f"The strongest relations in {name}"
    return Table(caption, ["column", "other", "measure", "#value"], lines) if lines else None
