"""What each feature looks like."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Block, Chart, Fold, Grid, Section
from driftline.report.facts import Facts, Row, rows
from driftline.report.histograms import overlay
from driftline.report.importance import by_feature

TABLE = "gold.features"
_SHOWN = 12


def section(facts: Facts) -> Section:
    """The section *Features*."""
    made = Section(
        id="features",
        title="What the features look like",
        how="How the rows spread over the values of each feature; where two versions of the table "
        "have been profiled, the outline is the earlier one.",
        missing="gold.features has not been profiled yet: the drift stage does.",
    )
    found = [row for row in rows(facts.histograms) if row["table"] == TABLE]
    if not found:
        return made
    # One slice only: the one that the newest version has, whole if there is a choice.
    newest = max(row["version"] for row in found)
    slices = [row["slice"] for row in found if row["version"] == newest]
    chosen = "whole" if "whole" in slices else slices[0]
    found = [row for row in found if row["slice"] == chosen]
    versions = sorted({int(row["version"]) for row in found})
    now, then = versions[-1], versions[-2] if len(versions) > 1 else None
    columns = _ordered(facts, list(dict.fromkeys(row["column"] for row in found)))
    names = ("" if then is None else f"version {then}", f"version {now}")
    charts = [_chart(column, found, then, now, names) for column in columns]
    key = [("now", names[1])] + ([("then", names[0])] if then is not None else [])
    blocks: list[Block] = [Grid(charts[:_SHOWN], small=True, key=key)]
    if rest := charts[_SHOWN:]:
        blocks.append(Fold(f"{len(rest)} more", [Grid(rest, small=True, key=key)]))
    finding = f"{words.plural(len(columns), 'column')} of {TABLE}, version {now}" + (
        f" over version {then}" if then is not None else ""
    )
    ordered = ", the most important to the model first" if by_feature(facts) else ""
    return Section(made.id, made.title, made.how, f"{finding}{ordered}.", blocks)


def _chart(
    column: str, found: list[Row], then: int | None, now: int, names: tuple[str, str]
) -> Chart:
    mine = [row for row in found if row["column"] == column]
    after = [row for row in mine if row["version"] == now]
    before = [row for row in mine if row["version"] == then]
    return Chart(
        overlay(before, after, names=names),
        column,
        f"Histogram of {column}: {shape(after)}",
        height=170,
    )


def shape(records: list[Row]) -> str:
    """Where most rows are, in words."""
    top = max(records, key=lambda row: row["share"] or 0, default=None)
    if top is None:
        return "no rows in this version"
    where = (
        str(top["category"])
        if top["kind"] == "categorical"
        else f"{words.decimal(top['low'])} to {words.decimal(top['high'])}"
    )
    return f"the largest group, {words.share(float(top['share'] or 0))}, is {where}"


def _ordered(facts: Facts, columns: list[str]) -> list[str]:
    """The label first, then by importance, then as they come."""
    places = {name: place for place, name in enumerate(by_feature(facts))}
    return sorted(columns, key=lambda name: (name != "label", places.get(name, len(places))))
