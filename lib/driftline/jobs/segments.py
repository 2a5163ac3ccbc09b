"""Which rows of files are compared: those of the newest as-of, and those of each segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline.delta_files import Key
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs import profiling
from driftline.jobs.line import Line
from driftline.jobs.sides import NEWEST, Asked, Pair, Side
from driftline.ledger import Run
from driftline.profile import Cell, FileProfile

MOST = 100
"""More values of a segment than these are not compared each for itself; the most frequent are."""


def names(line: Line, pair: Pair, asked: Asked) -> tuple[str, ...]:
    """The columns whose values are compared each for itself: those declared, and the one asked for.

    Raises :class:`Missing` where that one is not there, or has one value only in the slice.
    """
    table = pair.current.table
    there = {each.name for each in pair.current.schema.fields}
    # A declared one that the table has lost, or not yet, is said as a change of the schema.
    wanted = {*line.problem.drift.segments.get(table, ())} & there
    wanted |= {asked.by} if asked.by else set()
    if asked.by and asked.by not in there:
        raise Missing(
            f"{table} has no column {asked.by} to compare by",
            where=line.tables.path(table),
            hint=f"it has {', '.join(sorted(there))}",
        )
    one = {"as_of", *pair.current.models} if pair.current.slice == NEWEST else set()
    if asked.by in one:
        raise Missing(
            f"{table} is compared at its newest as-of: there are no others to compare by",
            where=line.tables.path(table),
            hint=f"leave {asked.by} out of --by",
        )
    return tuple(sorted(wanted))


def profiles(
    line: Line,
    ledger: Run,
    side: Side,
    wanted: Sequence[profiling.Wanted],
    segments: Sequence[str],
    asked: Asked,
) -> tuple[dict[Key, FileProfile], tuple[str, ...], list[Statistic]]:
    """The profiles of files, cut as ``side`` asks for; the segments that they are cut by; and why
    they are not cut by others.

    Whole, files may have been profiled in time that are gone now, and there is a profile where a
    declared segment has too many values: that is said, and the table is compared without. Raises
    :class:`profiling.TooMany` for the one column that was asked for by name.
    """
    declared = [each for each in segments if each != asked.by]
    try:
        known = profiling.profiles(line, ledger, wanted, segments=side.cut(segments))
        files = {file.key for each in wanted for file in each.files}
        gone = len(files - known.keys())
        if not gone:
            return known, tuple(segments), []
        left = [_uncut(each, gone, len(files)) for each in declared]
    except profiling.TooMany as many:
        if not declared:
            raise
        left = [_too_many(each, many) for each in declared]
    rest = tuple(each for each in segments if each not in declared)
    known = profiling.profiles(line, ledger, wanted, segments=side.cut(rest))
    return known, rest, left


def values(
    line: Line, known: Mapping[Key, FileProfile], pair: Pair, segment: str
) -> dict[str | None, int]:
    """The values that compared rows of either side have in a segment, by its key, with how many;
    the most frequent first.
    """
    found: dict[str | None, int] = {}
    for side in (pair.reference, pair.current):
        where = newest(line, side, known)
        for file in side.files:
            for cell, parts in known[file.key].cells:
                count = parts["*", ""].rows
                if count and segment in cell and where.items() <= cell.items():
                    found[cell[segment]] = found.get(cell[segment], 0) + count
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], str(pair[0]))))


def newest(line: Line, side: Side, known: Mapping[Key, FileProfile]) -> Cell:
    """The newest as-of, where that is what is compared: the newest one of any file. Of predictions
    that of the side's model version, or of the newest one that scored it; also where those of the
    side's are not there any more.
    """
    if side.slice != NEWEST:
        return {}
    made: list[tuple[str, int, Cell]] = []
    for each in side.files:
        for cell, _ in known[each.key].cells if each.key in known else ():
            as_of, found = cell.get(NEWEST), {key: cell.get(key) for key in (NEWEST, *side.models)}
            model = next((int(found[key] or 0) for key in side.models), 0)
            if as_of:
                made.append((as_of, model, found))
    if not made:
        raise Missing(
            f"{side.table} version {side.version} has no rows",
            where=line.tables.path(side.table),
            hint="choose another version with --from or --to",
        )
    mine = [each for each in made if each[1] == side.model]
    return max(mine or made, key=lambda each: each[:2])[2]


def left_out(column: str, rows: Sequence[int]) -> Statistic:
    """That the rarest values of a segment are not compared, for there are too many."""
    left = len(rows) - MOST
    most = rows[MOST] / sum(rows)
    said = f"{left:,} of {len(rows):,} values, each of {most:.1%} of the rows at most, "
    return Statistic(column, "segments", float(left), None, f"{said}are not compared by themselves")


def _uncut(column: str, gone: int, files: int) -> Statistic:
    """That no value of a segment is compared, for it was declared too late."""
    said = f"{gone:,} of {files:,} files were removed before they were profiled by it: "
    detail = f"{said}no value is compared by itself"
    return Statistic(column, "segments", float(gone), None, detail)


def _too_many(column: str, many: profiling.TooMany) -> Statistic:
    """That no value of a segment is compared: all that are declared together have too many."""
    detail = f"{many.counted}: no value is compared by itself"
    return Statistic(column, "segments", float(many.values), None, detail)
