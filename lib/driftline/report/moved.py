"""Drift over time and where it came from: columns × versions, and the parts that moved each."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Cell, Table
from driftline.report.facts import Facts, Row, latest_run, newest, rows
from driftline.report.shifts import WHOLE_TABLE, Comparison, severity

_VERSIONS = 30
_COLUMNS = 30
_CAUSES = 3
"""Of a column, if there are not more kinds."""


def heat(row: Row) -> int:
    """0 far from the threshold … 2 near it, 3 drifted, 4 twice the threshold."""
    if row["drifted"]:
        return 4 if severity(row) >= 2 else 3
    return 2 if severity(row) >= 0.75 else 1 if severity(row) >= 0.35 else 0


def anchor(facts: Facts, each: Comparison, column: str) -> str:
    """Where on the page it is said what moved a column; empty where it is not."""
    moved = _causes(facts, each)
    return f"moved-{each.place}-{list(moved).index(column)}" if column in moved else ""


def causes(facts: Facts, each: Comparison) -> Table | None:
    """What moved each column that drifted, most first."""
    moved = _causes(facts, each)
    lines: list[list[Cell | str]] = []
    for column, found in moved.items():
        for place, row in enumerate(found):
            named = Cell(column if not place else "", code=True)
            if not place:
                named = Cell(column, code=True, anchor=anchor(facts, each, column))
            lines.append(
                [
                    named,
                    f"{row['kind']} {row['name']}",
                    Cell(words.share(row["share"]), bar=float(row["share"])),
                    _without(row),
                    words.count(row["rows"]),
                ]
            )
    if not lines:
        return None
    said = ["column", "moved by", "#share of the drift", "without it", "#rows"]
    return Table(f"{each.title}: where it comes from", said, lines)


def _without(row: Row) -> str:
    if row["without"] is None:
        return "no value is left"  # where the others cannot be told, a part has no share
    return f"{words.metric(row['statistic'])} {words.decimal(row['without'])}"


def _causes(facts: Facts, each: Comparison) -> dict[str, list[Row]]:
    key = (each.table, each.slice, each.before, each.after)
    mine = [
        row
        for row in rows(facts.causes)
        if (row["table"], row["slice"], row["from_version"], row["to_version"]) == key
        and row["share"]
    ]
    # A later comparison, by other thresholds, writes no causes where it is calm. The run does not
    # tell: one that was killed after its causes leaves the statistics to the next.
    drifted = {shift.column for shift in each.drifted}
    mine = [row for row in latest_run(mine) if row["column"] in drifted]
    found: dict[str, list[Row]] = {}
    for row in sorted(mine, key=lambda row: (-row["share"], row["kind"] != "commit")):
        found.setdefault(str(row["column"]), []).append(row)
    return {column: _kept(ranked) for column, ranked in found.items()}


def _kept(ranked: list[Row]) -> list[Row]:
    """The first of each kind, so that a commit is never left out; then of the others."""
    best: dict[str, Row] = {}
    for row in ranked:
        best.setdefault(str(row["kind"]), row)
    others = [row for row in ranked if row is not best[str(row["kind"])]]
    return [*best.values(), *others][: max(_CAUSES, len(best))]


def history(facts: Facts, table: str) -> Table | None:
    """How severe the worst statistic of a column was, version by version; None for one alone."""
    mine = [row for row in rows(facts.drift) if row["table"] == table and row["threshold"]]
    # A segment's slice names it after a comma; here the table as a whole is shown.
    mine = [row for row in mine if ", " not in str(row["slice"] or "")]
    versions = sorted({int(row["to_version"]) for row in mine})[-_VERSIONS:]
    if len(versions) < 2:
        return None
    worst: dict[tuple[str, int], Row] = {}
    for row in newest(mine, "column", "statistic", "to_version"):
        key = str(row["column"]), int(row["to_version"])
        last = worst.get(key)
        rank = (bool(row["drifted"]), severity(row))
        if last is None or rank > (bool(last["drifted"]), severity(last)):
            worst[key] = row
    columns = sorted(
        {column for column, _ in worst if column != WHOLE_TABLE},
        key=lambda column: (
            -max(severity(row) for (name, _), row in worst.items() if name == column)
        ),
    )[:_COLUMNS]
    return Table(
        f"{table}: columns by version, the worst statistic in units of its threshold",
        ["column", *(f"#{version}" for version in versions)],
        [
            [
                Cell(column, code=True),
                *(_cell(worst.get((column, version))) for version in versions),
            ]
            for column in columns
        ],
        fold=True,
    )


def _cell(row: Row | None) -> Cell:
    if row is None:
        return Cell(words.MISSING)
    said = f"{words.metric(row['statistic'])} {words.decimal(row['value'])}"
    return Cell(f"{severity(row):.1f}", heat=heat(row), title=said)
