"""What changed between two versions of a table, column by column, the most severe first."""

from __future__ import annotations

from driftline.profile import column_of
from driftline.report import moved, words
from driftline.report.blocks import (
    Block,
    Cell,
    Chart,
    Chip,
    Grid,
    Note,
    Section,
    Strip,
    Strips,
    Table,
    Tone,
)
from driftline.report.facts import Facts, Row, rows
from driftline.report.histograms import overlay
from driftline.report.importance import by_feature
from driftline.report.shifts import FEATURES, WHOLE_TABLE, Comparison, Shift, comparisons

_WHOLE = ("", "whole", "newest as-of")
"""Slices that are what a version is taken to be."""

_OVERLAID = 6
_OPEN = 10
_ORDER = (
    *("psi", "ks", "js", "wasserstein", "total_variation", "cramers_v", "null_rate"),
    *("new", "lost", "range", "cardinality", "schema", "volume", "freshness", "strays", "rows"),
)


def chip(facts: Facts) -> Chip:
    """How many columns drifted, of how many; drift is worth a look, not an alarm."""
    found = comparisons(facts)
    if not found:
        return Chip(
            "drift", "Drift", "not compared", "", "No two versions were compared yet.", "calm"
        )
    drifted, columns = len(_drifted(found)), _compared(found)
    where = list(dict.fromkeys(each.table for each in found if each.drifted))
    changed = list(dict.fromkeys(each.table for each in found if each.changed))
    said = f"Beyond a threshold in {words.listed(where)}." if where else "No column drifted."
    if changed:
        said += f" As a whole: {words.listed(changed)}."
    elif not where:
        tables = words.plural(len({each.table for each in found}), "table")
        said = f"No column of {tables} is beyond its threshold."
    value = f"{drifted} of {columns}"
    tone: Tone = "watch" if where or changed else "good"
    return Chip("drift", "Drift", value, "columns" if columns != 1 else "column", said, tone)


def section(facts: Facts) -> Section:
    """The section *Drift*."""
    made = Section(
        id="drift",
        title="Drift between versions",
        how="Each tile is a column, darker the nearer it comes to its threshold; a tile with a "
        "dark border is beyond it. Features that drifted come in the order of what they are worth "
        "to the model. Drift says that the data changed, not that the model is wrong.",
        missing="No two versions of a table have been compared yet.",
    )
    found = comparisons(facts)
    if not found:
        return made
    blocks: list[Block] = [Strips([_strip(each) for each in found])]
    charts = _overlays(facts, found)
    if charts:
        blocks.append(Grid(charts, key=[("then", "before"), ("now", "after")]))
    for each in found:
        head = max(len(each.drifted) + 1, _OPEN) if each.drifted or each.changed else 0
        blocks += [
            _table(facts, each, shifts, caption, fold=fold)
            for shifts, caption, fold in (
                (each.shifts[:head], "every statistic", False),
                (each.shifts[head:], "the other columns" if head else "every statistic", True),
            )
            if shifts
        ]
        blocks += _left_out(each)
        moved_by = moved.causes(facts, each)
        if moved_by:
            blocks.append(moved_by)
    over_time = (moved.history(facts, table) for table in dict.fromkeys(c.table for c in found))
    blocks += [each for each in over_time if each]
    return Section(made.id, made.title, made.how, _finding(facts, found), blocks)


def _finding(facts: Facts, found: list[Comparison]) -> str:
    columns = _compared(found)
    changed = "".join(
        f" {each.table} changed as a whole ({_said(each.changed.worst)})."
        for each in found
        if each.changed
    )
    drifted = _drifted(found)
    if not drifted:
        near = max(
            (s for each in found for s in each.shifts if not s.drifted),
            key=lambda shift: shift.severity,
            default=found[0].shifts[0],
        )
        sentence = f"None of the {words.plural(columns, 'column')} compared drifted"
        if near.severity and not near.drifted:
            sentence += (
                f"; nearest is {_called(near.column)} at {words.share(near.severity)} "
                "of its threshold"
            )
        return f"{sentence}.{changed}"
    named = [_named(mine) for mine in drifted.values()]
    more = [f"{len(named) - 3} more"] if len(named) > 3 else []
    sentence = (
        f"{len(drifted)} of {words.plural(columns, 'column')} drifted: "
        f"{words.listed(named[:3] + more)}."
    )
    features = [shift for each in found if each.table == FEATURES for shift in each.drifted]
    return sentence + _matters(facts, features) + changed


def _compared(found: list[Comparison]) -> int:
    """How many columns were compared, each once, whatever parts and segments of it were."""
    return len({(each.table, column) for each in found for column in each.columns})


def _drifted(found: list[Comparison]) -> dict[tuple[str, str], list[tuple[Comparison, Shift]]]:
    """What drifted of each column of a table: first of all rows, then the worst; likewise, the
    columns.
    """
    by_column: dict[tuple[str, str], list[tuple[Comparison, Shift]]] = {}
    pairs = [(each, shift) for each in found for shift in each.drifted]
    pairs.sort(key=lambda pair: (bool(pair[0].segment), -pair[1].severity))
    for each, shift in pairs:
        by_column.setdefault((each.table, column_of(shift.column)), []).append((each, shift))
    return by_column


def _named(mine: list[tuple[Comparison, Shift]]) -> str:
    """One column that drifted, the first of what it did, and in how many more segments."""
    each, shift = mine[0]
    where = f"{each.table} where {each.segment}" if each.segment else each.table
    others = {other.segment for other, _ in mine} - {each.segment, ""}
    also = f", also in {words.plural(len(others), 'segment')}" if others else ""
    return f"{shift.column} in {where} ({_said(shift.worst)}{also})"


def _matters(facts: Facts, drifted: list[Shift]) -> str:
    """What the model makes of the features that drifted."""
    worth = by_feature(facts)
    if not (drifted and worth):
        return ""
    places = {name: place for place, name in enumerate(worth, 1) if worth[name]}
    features = {column_of(shift.column): shift.importance or 0.0 for shift in drifted}
    first = sorted(features, key=lambda name: -features[name])
    heavy = [f"{name} (no. {places[name]})" for name in first if places.get(name, 99) <= 10]
    if not heavy:
        return " No feature that drifted is among the model's ten top features."
    verb = "is" if len(heavy) == 1 else "are"
    share = words.share(sum(features.values()))
    return (
        f" Of these, {words.listed(heavy)} {verb} among the model's ten top features; "
        f"{share} of the importance is in features that drifted."
    )


def _said(row: Row) -> str:
    limit = "" if row["threshold"] is None else f", threshold {words.short(row['threshold'])}"
    return f"{words.metric(row['statistic'])} {words.decimal(row['value'])}{limit}"


def _called(column: str) -> str:
    return "whole table" if column == WHOLE_TABLE else column


def _strip(each: Comparison) -> Strip:
    count = len({column_of(shift.column) for shift in each.drifted})
    said = f"{count or 'none'} of {words.plural(len(each.columns), 'column')} drifted"
    return Strip(
        each.title,
        said,
        [
            Cell(
                _called(shift.column),
                heat=max(moved.heat(row) for row in shift.statistics.values()),
                title=f"{_called(shift.column)}: {_said(shift.worst)}"
                + (", drifted" if shift.drifted else ""),
            )
            for shift in each.shifts
        ],
    )


def _overlays(facts: Facts, found: list[Comparison]) -> list[Chart]:
    """The drifted columns that have a histogram on both sides: what matters to the model, then what
    is most severe.
    """
    histograms = rows(facts.histograms)
    pairs = sorted(
        ((each, shift) for each in found for shift in each.drifted),
        key=lambda pair: pair[1].rank,
    )
    charts = []
    for each, shift in pairs:
        before, after = (
            [
                row
                for row in histograms
                if (row["table"], row["version"], row["slice"], row["column"])
                == (each.table, version, slice_, shift.column)
            ]
            for version, slice_ in ((each.before, each.reference), (each.after, each.slice))
        )
        if not (before and after):
            continue
        said = _said(shift.worst)
        charts.append(
            Chart(
                overlay(before, after, names=_names(each)),
                shift.column,
                f"{shift.column} before and after: {said}. {shift.worst['detail'] or ''}",
                f"{each.table} · {said}",
                height=240,
            )
        )
    return charts[:_OVERLAID]


def _names(each: Comparison) -> tuple[str, str]:
    """What each side is called: rows that were added or written are not the whole version."""
    before, after = (
        f"version {version}" if slice_ in _WHOLE else slice_
        for version, slice_ in ((each.before, each.reference), (each.after, each.slice))
    )
    return before, after


def _left_out(each: Comparison) -> list[Note]:
    """Values of segments that are not compared by themselves."""
    return [
        Note(f"{each.title}: of {shift.column} {shift.statistics['segments']['detail']}.", "calm")
        for shift in each.shifts
        if "segments" in shift.statistics
    ]


def _table(
    facts: Facts, each: Comparison, shifts: list[Shift], caption: str, *, fold: bool
) -> Table:
    seen = {name for shift in each.shifts for name in shift.statistics} - {"segments"}
    statistics = [name for name in _ORDER if name in seen] + sorted(seen - set(_ORDER))
    limits = {name: _threshold(each, name) for name in statistics}
    weighed = any(shift.importance is not None for shift in each.shifts)
    return Table(
        f"{each.title}: {caption}",
        [
            *("verdict", "column"),
            *(["#importance"] if weighed else []),
            *(f"#{words.metric(n)}{limits[n]}" for n in statistics),
            "in words",
        ],
        [
            [
                Cell("drifted", tone="watch") if shift.drifted else Cell("steady", tone="good"),
                Cell(
                    _called(shift.column),
                    code=shift.column != WHOLE_TABLE,
                    link=moved.anchor(facts, each, shift.column),
                ),
                *([_importance(shift)] if weighed else []),
                *(_cell(shift.statistics.get(name)) for name in statistics),
                str(shift.worst["detail"] or ""),
            ]
            for shift in shifts
        ],
        fold=fold,
    )


def _importance(shift: Shift) -> Cell:
    if shift.importance is None:
        return Cell(words.MISSING)
    return Cell(words.share(shift.importance), bar=shift.importance)


def _threshold(each: Comparison, statistic: str) -> str:
    known = {
        shift.statistics[statistic]["threshold"]
        for shift in each.shifts
        if statistic in shift.statistics
    } - {None}
    return f" (≥ {words.short(known.pop())})" if len(known) == 1 else ""


def _cell(row: Row | None) -> Cell:
    if row is None or row["value"] is None:
        return Cell(words.MISSING)
    return Cell(words.decimal(row["value"]), heat=moved.heat(row), title=_within(row))


def _within(row: Row) -> str:
    """What a cell says when it is pointed at: in words, the bound, the chance."""
    said = [str(row["detail"] or "")]
    if row["bound"]:
        said.append(f"within {words.decimal(row['bound'])} of the data's")
    if row["p"] is not None:
        said.append(f"p {words.decimal(row['p'])}")
    return "; ".join(filter(None, said))
