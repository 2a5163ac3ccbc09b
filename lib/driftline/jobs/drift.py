"""Two versions of a table → ``ops.drift``: what changed, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from driftline import drift, profile, schemas, verdicts
from driftline.attribution import Cause
from driftline.delta_files import Key
from driftline.digests import digest
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs import profiling, sides
from driftline.jobs.causes import called, causes, mainly
from driftline.jobs.line import Line
from driftline.jobs.sides import Asked, Pair, Side
from driftline.ledger import Run
from driftline.profile import Cell, FileProfile, Profile
from driftline.registry import Registry

_SEGMENTS = 100
"""More values of a segment than these are not compared each for itself; the most frequent are."""


def run(line: Line, *, table: str | None = None, asked: Asked | None = None) -> str:
    """Compare versions of the watched tables, or of ``table``.

    Without versions: those the champion was trained on against the newest. Where nobody asked for
    a table, and what the champion saw of it cannot be told, that is said, and the others are
    compared: a turn of the cycle has to come to what would train again.
    """
    tables = (line.tables.called(table),) if table else line.problem.drift.tables
    books = (schemas.PROFILES, schemas.DRIFT, schemas.CAUSES, schemas.HISTOGRAMS)
    locks = [each.full_name for each in books]
    with line.ledger.run("drift") as ledger, line.tables.lock(*locks):
        said = []
        for each in tables:
            try:
                said.append(_table(line, ledger, each, asked or Asked()))
            except (sides.Forgotten, sides.Untrained) as gone:
                if table:
                    raise
                said.append(f"{each}: nothing to compare, {gone.what}")
        ledger.message = "; ".join(said)
        return ledger.message


def _table(line: Line, ledger: Run, table: str, asked: Asked) -> str:
    pair = sides.pair(line, table, asked)
    old, new = pair.reference, pair.current
    ledger.read(table, new.version)
    segments = _segments(line, pair, asked)
    cut = new.schema.keys(segments)
    if pair.same:
        known = profiling.profiles(line, ledger, new.wanted, segments=cut)
        _draw(line, ledger, {new: _profile(line, new, known)})
        return f"{table}: nothing to compare, version {new.version} is the reference itself"
    rule = line.problem.drift.model_dump(exclude={"tables"}, mode="json")
    spans = [(each.version, each.slice) for each in (old, new)]
    table_id, champion = line.tables.identity(table), pair.champion and pair.champion.number
    # Its name, too: a folder that was copied has the identity of the first one.
    question = [table, table_id, spans, segments, rule, asked.learn, champion, sorted(new.keys)]
    key = f"drift:{digest(question)[:16]}"
    if key in line.tables.committed(schemas.DRIFT.full_name):
        return f"{table}: {old.version} → {new.version} compared before"
    past = sides.steps(line, table, old.version, asked.learn)
    if asked.learn and not past:
        raise Missing(
            f"{table} has no step of versions up to {old.version} to learn thresholds from",
            where=line.tables.path(table),
            hint="name a later version by --from, or leave --learn out",
        )
    wanted = [
        each
        for one in (*past, pair)
        for side in (one.reference, one.current)
        for each in side.wanted
    ]
    known = profiling.profiles(line, ledger, wanted, segments=cut)
    calm = [_calm(line, _as_now(each, new), known, segments, like=pair) for each in past]
    statistics, found = compared(line, pair, known, segments, calm=calm)
    parted = [each for each in statistics if each.statistic != "freshness"]  # no part makes it
    newest = _newest(line, old, known), _newest(line, new, known)
    moved = causes(line, pair, known, parted, found[old], newest)
    _write_causes(line, ledger, pair, moved, key)
    _draw(line, ledger, found)
    if pair.champion:
        named = {
            f"{asked.called}/{table}/{each.path}": each.value
            for each in statistics
            if each.threshold and not each.segment
        }
        registry = Registry(line.environment.mlflow, line.problem.name)
        registry.record_drift(pair.champion, named, step=new.version)
    _write(line, ledger, pair, statistics, key)  # last: it says that the comparison was made
    rows = sum(_rows(each) for each in found.values())
    ledger.count(in_=rows, out=rows)
    drifted = sorted({_said(each) for each in statistics if each.drifted})
    verdict = f"{len(drifted)} drifted: {', '.join(drifted)}" if drifted else "calm"
    if main := mainly(pair, moved):
        verdict += f"; {main}"
    how = f"{new.slice}{_stood_in(asked, pair)}{_taught(asked, past)}"
    return f"{table} {old.version} → {new.version} ({how}): {verdict}"


def _stood_in(asked: Asked, pair: Pair) -> str:
    """That the reference is the first version with rows, where nobody chose it."""
    chosen = pair.champion or asked.first is not None or asked.window is not None
    return "" if chosen else "; no champion was trained on it"


def _taught(asked: Asked, past: Sequence[Pair]) -> str:
    if not asked.learn:
        return ""
    said = f"; thresholds of {len(past)} step{'s' if len(past) > 1 else ''}"
    return said + (f", not of {asked.learn}" if len(past) < asked.learn else "")


def _calm(
    line: Line,
    step: Pair,
    known: Mapping[Key, FileProfile],
    segments: Sequence[str],
    *,
    like: Pair,
) -> list[Statistic]:
    """What a calm step teaches; its rows only if they are counted as those of the pair are."""
    found, _ = compared(line, step, known, segments)
    return [each for each in found if each.statistic != "volume" or step.alike == like.alike]


def compared(
    line: Line,
    pair: Pair,
    known: Mapping[Key, FileProfile],
    segments: Sequence[str] = (),
    *,
    calm: Sequence[Sequence[Statistic]] = (),
) -> tuple[list[Statistic], dict[Side, dict[str, Profile]]]:
    """All statistics, judged together, and the profiles they are of. Reads no data.

    Columns are what the files call them, and go by the names of the current side.
    """
    old, new = pair.reference, pair.current
    for side in (old, new):
        profiling.require(side.files, known, table=side.table, by=segments)
    same = (replace(old, fields=profile.renamed(old.fields, new.fields)), new)
    before, after = (_profile(line, side, known) for side in same)
    rule, at = line.problem.drift, (old.at, new.at)
    volume = rule.volume if pair.alike else None
    found = [
        drift.schema(old.fields, new.fields),
        drift.volume(_rows(before), _rows(after), volume),
        *drift.compare(before, after, rule, keys=new.keys),
        *(
            told
            for name, then in before.items()
            if name in after and (told := drift.freshness(then, after[name], at, rule.freshness))
        ),
    ]
    for name, segment_key in zip(segments, new.schema.keys(segments), strict=True):
        if name == "as_of" and new.slice == sides.NEWEST:
            continue  # cut by it to find the newest one
        for value in _values(known, pair, segment_key):
            where: Cell = {segment_key: value}
            then, now = (_profile(line, side, known, where) for side in same)
            segment = called(name, value)
            counted = drift.volume(_rows(then), _rows(now), volume)
            found.append(replace(counted, segment=segment))
            # A segment that is new or gone is drift of the column it is a value of.
            if _rows(then) and _rows(now):
                found += drift.compare(then, now, rule, keys=new.keys, segment=segment)
    learnt = verdicts.learnt(calm, found, steps=pair.steps)
    return verdicts.judged(learnt), {old: before, new: after}


def _as_now(step: Pair, now: Side) -> Pair:
    """A step of the past by the names of now, by which thresholds are looked up."""
    fields = profile.renamed(step.current.fields, now.fields)
    return replace(step, current=replace(step.current, fields=fields, schema=now.schema))


def _values(known: Mapping[Key, FileProfile], pair: Pair, segment: str) -> list[str | None]:
    """The most frequent values of a segment, by its key, on either side."""
    rows: dict[str | None, int] = {}
    for file in {each.key for side in (pair.reference, pair.current) for each in side.files}:
        for cell, parts in known[file].cells:
            if segment in cell:
                rows[cell[segment]] = rows.get(cell[segment], 0) + parts["*", ""].rows
    return sorted(rows, key=lambda value: (-rows[value], str(value)))[:_SEGMENTS]


def _segments(line: Line, pair: Pair, asked: Asked) -> tuple[str, ...]:
    table = pair.current.table
    names = {each.name for each in pair.current.schema.fields}
    # A declared one that the table has lost, or not yet, is said as a change of the schema.
    wanted = {*line.problem.drift.segments.get(table, ())} & names
    wanted |= {asked.by} if asked.by else set()
    if asked.by and asked.by not in names:
        raise Missing(
            f"{table} has no column {asked.by} to compare by",
            where=line.tables.path(table),
            hint=f"it has {', '.join(sorted(names))}",
        )
    if pair.current.slice != sides.NEWEST:
        return tuple(sorted(wanted))
    if "as_of" in wanted:
        raise Missing(
            f"{table} is compared at its newest as-of: there are no others to compare by",
            where=line.tables.path(table),
            hint="leave as_of out of --by, or of drift.segments in the problem file",
        )
    return tuple(sorted(wanted | {"as_of"}))


def _profile(
    line: Line,
    side: Side,
    known: Mapping[Key, FileProfile],
    where: Cell | None = None,
) -> dict[str, Profile]:
    where = {**_newest(line, side, known), **(where or {})}
    return profiling.of(side.files, side.fields, known, table=side.table, where=where)


def _newest(line: Line, side: Side, known: Mapping[Key, FileProfile]) -> Cell:
    """The newest as-of, where that is what is compared."""
    if side.slice == sides.NEWEST:
        (as_of,) = side.schema.keys(["as_of"])
        made = [
            cell[as_of]
            for each in side.files
            if each.key in known
            for cell, _ in known[each.key].cells
            if cell.get(as_of)
        ]
        if not made:
            raise Missing(
                f"{side.table} version {side.version} has no rows",
                where=line.tables.path(side.table),
                hint="choose another version with --from or --to",
            )
        return {as_of: max(filter(None, made))}
    return {}


def _rows(found: Mapping[str, Profile]) -> int:
    return max((each.rows for each in found.values()), default=0)


def _said(each: Statistic) -> str:
    return f"{each.column} ({each.segment})" if each.segment else each.column


def _write(line: Line, ledger: Run, pair: Pair, statistics: list[Statistic], key: str) -> None:
    now = datetime.now(timezone.utc)
    old, new = pair.reference, pair.current
    values = [
        (
            new.table,
            old.version,
            new.version,
            old.slice,
            f"{new.slice}, {each.segment}" if each.segment else new.slice,
            *each.cells,
            ledger.run_id,
            now,
        )
        for each in statistics
    ]
    ledger.wrote(line.tables.append_values(values, schemas.DRIFT, key=key))


def _write_causes(line: Line, ledger: Run, pair: Pair, moved: list[Cause], key: str) -> None:
    now = datetime.now(timezone.utc)
    new = pair.current
    head = (new.table, pair.reference.version, new.version)
    values = [
        (
            *head,
            f"{new.slice}, {each.segment}" if each.segment else new.slice,
            each.column,
            each.statistic,
            each.kind,
            each.name,
            each.share,
            each.without,
            each.rows,
            ledger.run_id,
            now,
        )
        for each in moved
    ]
    if values:
        ledger.wrote(line.tables.append_values(values, schemas.CAUSES, key=f"causes-{key}"))


def _draw(line: Line, ledger: Run, found: Mapping[Side, Mapping[str, Profile]]) -> None:
    """Bins of the columns whose values are compared, the same ones for both sides."""
    names = dict.fromkeys(
        name
        for side, profiles in found.items()
        for name, each in profiles.items()
        if each.column not in side.keys
    )
    values = []
    for name in names:
        present = {side: profiles[name] for side, profiles in found.items() if name in profiles}
        for side, bins in _bins(present).items():
            filled = present[side].filled
            kind = "time" if present[side].is_time else present[side].kind
            head = (side.table, side.version, side.slice, name, kind)
            values += [(*head, *each, filled, ledger.run_id) for each in bins]
    table = [[side.table, side.version, side.slice] for side in found]
    key = f"histograms:{digest(table)[:16]}"
    if values:
        ledger.wrote(line.tables.append_values(values, schemas.HISTOGRAMS, key=key))


def _bins(present: Mapping[Side, Profile]) -> dict[Side, list[tuple[Any, ...]]]:
    """(low, high, category, share) a bin or category of each side."""
    full = {side: each for side, each in present.items() if not each.is_empty}
    if {each.kind for each in full.values()} == {"numeric"}:
        edges = profile.even_edges(list(full.values()))
        shares = {
            side: each.distribution.between(edges[1:-1]) if len(edges) > 2 else [1.0]
            for side, each in full.items()
        }
        return {
            side: [
                (low, high, None, share)
                for low, high, share in zip(edges, edges[1:], each, strict=False)
            ]
            for side, each in shares.items()
        }
    return {
        side: [
            (None, None, name, count / each.filled)
            for name, count in sorted(each.counts.values.items(), key=lambda pair: -pair[1])[:50]
        ]
        for side, each in full.items()
        if each.kind == "categorical" and each.counts is not None
    }
