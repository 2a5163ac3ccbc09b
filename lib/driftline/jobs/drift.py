"""Two versions of a table → ``ops.drift``: what changed, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from driftline import alarm, drift, profile, schemas, times, verdicts
from driftline.attribution import Cause
from driftline.delta_files import Key
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs import comparisons, profiling, segments, sides
from driftline.jobs.causes import called, causes, mainly
from driftline.jobs.drawing import draw
from driftline.jobs.importance import importance
from driftline.jobs.line import Line
from driftline.jobs.sides import Asked, Pair, Side
from driftline.ledger import Run
from driftline.profile import Cell, FileProfile, Profile
from driftline.registry import Registry, Version
from driftline.threads import at_once

Said = tuple[str, str]
"""What a comparison found, as it is told; and as it is kept, without values of columns: a run is
remembered for longer than a person whose word one may be.
"""


def run(line: Line, *, table: str | None = None, asked: Asked | None = None) -> str:
    """Compare versions of the watched tables, or of ``table``.

    Without versions: those the champion was trained on against the newest. Where nobody asked for
    a table, and of one there is nothing to compare (nobody was scored yet, nothing was written
    within the window, the log does not tell what the champion saw), that is said, and the others
    are compared: a turn of the cycle has to come to what would train again.
    """
    tables = (line.tables.called(table),) if table else line.problem.drift.tables
    books = (schemas.PROFILES, schemas.DRIFT, schemas.CAUSES, schemas.HISTOGRAMS)
    locks = [each.full_name for each in books]
    with line.ledger.run("drift") as ledger, line.tables.lock(*locks):
        asked = asked or Asked()
        if table:
            said = [_table(line, ledger, tables[0], asked)]
        else:
            said = _all(line, ledger, tables, asked)
        ledger.message = "; ".join(kept for _, kept in said)
        return "; ".join(told for told, _ in said)


def _all(line: Line, ledger: Run, tables: Sequence[str], asked: Asked) -> list[Said]:
    """The watched tables, as many at once as there are cores."""
    watched = partial(_watched, line, ledger, asked)
    return at_once(line.spark, watched, tables, threads=line.environment.cores)


def _watched(line: Line, ledger: Run, asked: Asked, table: str) -> Said:
    try:
        return _table(line, ledger, table, asked)
    except Missing as gone:
        return (f"{table}: nothing to compare, {gone.what}",) * 2


def _table(line: Line, ledger: Run, table: str, asked: Asked) -> Said:
    pair = sides.pair(line, table, asked)
    old, new = pair.reference, pair.current
    ledger.read(table, new.version)
    names = segments.names(line, pair, asked)
    if pair.same:
        known, _, _ = segments.profiles(line, ledger, new, new.wanted, names, asked)
        draw(line, ledger, {new: _profile(line, new, known)})
        return (f"{table}: nothing to compare, version {new.version} is the reference itself",) * 2
    rule = line.problem.drift.model_dump(exclude={"tables"}, mode="json")
    spans = [(each.version, each.slice, each.model) for each in (old, new)]
    table_id, champion = line.tables.identity(table), pair.champion and pair.champion.number
    keys = sorted(old.keys | new.keys)
    # Its name, too: a folder that was copied has the identity of the first one.
    question = [table, table_id, spans, names, rule, asked.learn, champion, keys]
    key = comparisons.name(asked, question)
    past = sides.steps(line, table, old.version, asked.learn)
    how = f"{new.slice}{_models(pair)}{_stood_in(asked, pair)}{_taught(asked, past)}"
    if key in line.tables.committed(schemas.DRIFT.full_name):
        statistics, moved = comparisons.kept(line, key)
        how += "; compared before"
        if not statistics:  # somebody took them away: that is not calm
            gone = f"{schemas.DRIFT.full_name} has no rows of it any more"
            return (f"{table} {old.version} → {new.version} ({how}): {gone}",) * 2
    else:
        statistics, moved = _compare(line, ledger, pair, asked, names, past=past, key=key)
    main = mainly(pair, moved)
    source = f"; {main}" if main else ""
    weight = _importance(line, pair) if any(each.drifted for each in statistics) else {}
    told, kept = (
        f"{table} {old.version} → {new.version} ({how}): "
        f"{alarm.verdict(statistics, weight, values=values)}{source}"
        for values in (True, False)
    )
    return told, kept


def _compare(
    line: Line,
    ledger: Run,
    pair: Pair,
    asked: Asked,
    names: Sequence[str],
    *,
    past: Sequence[Pair],
    key: str,
) -> tuple[list[Statistic], list[Cause]]:
    """Compare, draw, and write it all down; the statistics last."""
    old, new = pair.reference, pair.current
    table = new.table
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
    known, names, left = segments.profiles(line, ledger, new, wanted, names, asked)
    calm = [_calm(line, _as_now(each, new), known, names, like=pair) for each in past]
    statistics, found = compared(line, pair, known, names, calm=calm)
    statistics += left
    newest = segments.newest(line, old, known), segments.newest(line, new, known)
    moved = causes(line, pair, known, statistics, found[old], newest)
    comparisons.write_causes(line, ledger, pair, moved, key)
    draw(line, ledger, found)
    if pair.champion:
        _log(line, pair, pair.champion, asked, statistics)
    comparisons.write(line, ledger, pair, statistics, key)
    rows = sum(_rows(each) for each in found.values())
    ledger.count(in_=rows, out=rows)
    return statistics, moved


def _log(
    line: Line, pair: Pair, champion: Version, asked: Asked, statistics: Sequence[Statistic]
) -> None:
    """Beside the training of the champion: the statistics that are judged, of all rows that are
    compared, and how many columns drifted.
    """
    whole = [each for each in statistics if not each.segment]
    name = f"{asked.called}/{pair.current.table}"
    named = {f"{name}/{each.path}": each.value for each in whole if each.threshold}
    drifted = {profile.column_of(each.column) for each in whole if each.drifted} - {alarm.TABLE}
    named[f"{name}/drifted"] = float(len(drifted))
    registry = Registry(line.environment.mlflow, line.problem.name)
    registry.record_drift(champion, named, step=pair.current.version)


def _importance(line: Line, pair: Pair) -> dict[str, float]:
    """What the features are worth to the champion; columns of other tables are no features."""
    if pair.current.table != schemas.features(line.problem).full_name:
        return {}
    models = Registry(line.environment.mlflow, line.problem.name)
    champion = pair.champion or models.champion()
    return importance(line, champion) if champion else {}


def _models(pair: Pair) -> str:
    """That predictions of two model versions are compared, where one has none on one side."""
    then, now = pair.reference.model, pair.current.model
    return "" if then == now else f"; of model version {now} against those of {then or 'others'}"


def _stood_in(asked: Asked, pair: Pair) -> str:
    """That the reference is the first version with rows, or with any that the model version made
    which made the last ones, where nobody chose it.
    """
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
    names: Sequence[str],
    *,
    like: Pair,
) -> list[Statistic]:
    """What a calm step teaches; its rows only if they are counted as those of the pair are."""
    found, _ = compared(line, step, known, names)
    return [each for each in found if each.statistic != "volume" or step.alike == like.alike]


def compared(
    line: Line,
    pair: Pair,
    known: Mapping[Key, FileProfile],
    names: Sequence[str] = (),
    *,
    calm: Sequence[Sequence[Statistic]] = (),
) -> tuple[list[Statistic], dict[Side, dict[str, Profile]]]:
    """All statistics, judged together, also those of each value of the columns of these names, and
    the profiles they are of. Reads no data.

    Columns are what the files call them, and go by the names of the current side.
    """
    old, new = pair.reference, pair.current
    for side in (old, new):
        profiling.require(side.files, known, table=side.table, by=names)
    same = (replace(old, fields=profile.renamed(old.fields, new.fields)), new)
    before, after = (_profile(line, side, known) for side in same)
    rule, at = line.problem.drift, (old.at, new.at)
    dated = new.keys.difference(rule.identifiers.get(new.table, ()))
    volume = rule.volume if pair.alike else None
    found = [
        drift.schema(old.fields, new.fields),
        _volume(pair, _rows(before), _rows(after), volume),
        *drift.compare(before, after, rule, keys=new.keys),
        *(
            told
            for name, then in before.items()
            if name in after
            for told in (
                times.freshness(then, after[name], at, rule.freshness, keys=dated),
                times.strays(then, after[name], at, rule.categories),
            )
            if told
        ),
    ]
    for name, segment_key in zip(names, new.schema.keys(names), strict=True):
        values = segments.values(line, known, pair, segment_key)
        if len(values) > segments.MOST:
            found.append(segments.left_out(name, list(values.values())))
        for value in list(values)[: segments.MOST]:
            where: Cell = {segment_key: value}
            then, now = (_profile(line, side, known, where) for side in same)
            segment = called(name, value)
            counted = _volume(pair, _rows(then), _rows(now), volume)
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


def _volume(pair: Pair, before: int, after: int, threshold: float | None) -> Statistic:
    """The rows of both sides; those that were added to a table are no table that shrank to them."""
    counted = drift.volume(before, after, threshold)
    if pair.alike:
        return counted
    how, _, _ = pair.current.slice.partition(" ")
    than = "to" if how == "added" else "against"
    return replace(counted, detail=f"{after:,} rows {how} {than} {before:,}")


def _profile(
    line: Line,
    side: Side,
    known: Mapping[Key, FileProfile],
    where: Cell | None = None,
) -> dict[str, Profile]:
    where = {**segments.newest(line, side, known), **(where or {})}
    return profiling.of(side.files, side.fields, known, table=side.table, where=where)


def _rows(found: Mapping[str, Profile]) -> int:
    return max((each.rows for each in found.values()), default=0)
