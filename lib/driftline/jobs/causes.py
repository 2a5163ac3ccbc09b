"""What moved the columns that drifted: commits, deliveries, partitions, segments, files.

Also commits that took rows of the reference away: those are undone, instead of left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from pyspark.sql import functions as F
from scipy.cluster.hierarchy import DisjointSet

from driftline import attribution, profile, schemas
from driftline.attribution import Cause
from driftline.delta_files import Commit, DataFile, Key
from driftline.drift import Statistic
from driftline.jobs import profiling
from driftline.jobs.line import Line
from driftline.jobs.sides import Pair
from driftline.profile import Cell, Field, FileProfile, Profile

_KEPT = 5
"""Causes of a kind that are kept a column."""

_NAMED = 3
"""Commits that are named of those that cannot be told apart."""


def causes(
    line: Line,
    pair: Pair,
    known: Mapping[Key, FileProfile],
    statistics: Sequence[Statistic],
    before: Mapping[str, Profile],
    where: Cell,
) -> list[Cause]:
    """The causes of every column that drifted, by the statistic that is furthest beyond."""
    fields = {each.name: each for each in pair.current.fields}
    groups = _groups(pair, known, where, _paths(line, pair, known))
    taken, rest = _taken(pair)
    found: list[Cause] = []
    for worst in _worst(statistics):
        if worst.column not in before:
            continue
        field = fields[before[worst.column].column]
        for kind, members in groups:
            parts = {
                name: _part(files, known, field, {**where, **cell})[worst.column]
                for name, (files, cell) in members.items()
            }
            parts = {name: each for name, each in parts.items() if each.rows}
            found += attribution.causes(
                before[worst.column],
                parts,
                statistic=worst.statistic,
                kind=kind,
                rule=line.problem.drift,
            )[:_KEPT]
        if taken:
            found += attribution.undone(
                before[worst.column],
                _part(rest, known, field, where)[worst.column],
                {
                    name: (
                        _part(now, known, field, where)[worst.column],
                        _part(then, known, field, where)[worst.column],
                    )
                    for name, (now, then) in taken.items()
                },
                statistic=worst.statistic,
                kind="commit",
                rule=line.problem.drift,
            )[:_KEPT]
    return found


def _worst(statistics: Sequence[Statistic]) -> list[Statistic]:
    """The drifted columns, each with the statistic that is furthest beyond its threshold."""
    found: dict[str, Statistic] = {}
    for each in statistics:
        if not each.drifted or each.segment or each.column == "*" or not each.threshold:
            continue
        last = found.get(each.column)
        if last is None or each.value / each.threshold > last.value / (last.threshold or 1):
            found[each.column] = each
    return list(found.values())


def _part(
    files: Sequence[DataFile], known: Mapping[Key, FileProfile], field: Field, where: Cell
) -> dict[str, Profile]:
    return profile.together([known[each.key] for each in files], [field], where=where)


Members = dict[str | None, tuple[list[DataFile], Cell]]
"""The files that have rows of a part, by its name, and where in them those are."""


def _paths(line: Line, pair: Pair, known: Mapping[Key, FileProfile]) -> dict[str, str]:
    """Where each delivery of the current rows was found, as far as it was driftline's to land."""
    ids = {
        cell[profiling.DELIVERY]
        for file in pair.current.files
        for cell, _ in known[file.key].cells
        if cell.get(profiling.DELIVERY)
    }
    if not ids or not line.tables.exists(schemas.DELIVERIES.full_name):
        return {}
    rows = line.tables.read(schemas.DELIVERIES.full_name).where(F.col("delivery").isin(ids))
    found = rows.groupBy("delivery").agg(F.min("path").alias("path")).collect()
    alike = Counter(row.path for row in found)  # a file that was delivered again with other bytes
    return {
        row.delivery: row.path if alike[row.path] == 1 else f"{row.path} ({row.delivery[:8]})"
        for row in found
    }


def _groups(
    pair: Pair, known: Mapping[Key, FileProfile], where: Cell, paths: Mapping[str, str]
) -> list[tuple[str, Members]]:
    """The ways to take the current rows apart, few enough parts each."""
    files = pair.current.files
    commits = _brought(pair.commits)
    cells = {
        file.key: [
            cell
            for cell, parts in known[file.key].cells
            if parts["*", ""].rows and where.items() <= cell.items()
        ]
        for file in files
    }
    # A file that was not cut by a column may have rows of any part.
    keys = [set(cell) for each in cells.values() for cell in each]
    segments: dict[str, Members] = {
        key: {} for key in sorted(set.intersection(*keys).difference(where) if keys else ())
    }
    names = _files([file.path for file in files])
    by_commit: Members = {}
    by_file: Members = {}

    def put(members: Members, name: str | None, file: DataFile, cell: Cell) -> None:
        members.setdefault(name, ([], cell))[0].append(file)

    for file in files:
        put(by_commit, commits[file.path], file, {})
        put(by_file, names[file.path], file, {})
        for key, members in segments.items():
            for value in dict.fromkeys(cell[key] for cell in cells[file.key]):
                if key != profiling.DELIVERY:
                    put(members, value, file, {key: value})
                elif value is None:
                    put(members, "in files of many", file, {key: value})
                else:
                    put(members, paths.get(value, value), file, {key: value})
    groups = [("commit", by_commit)]
    if len(by_file) > len(by_commit):  # else it says nothing more
        groups.append(("file", by_file))
    columns = {each.key: each.name for each in pair.current.schema.fields}
    return groups + [(_kind(key, columns), members) for key, members in segments.items()]


def _files(paths: Iterable[str]) -> dict[str, str]:
    """What files are called, by their paths: as little of the end as no other one ends with.

    Spark writes files of one name into the folders of many partitions; converted to Delta, they
    keep them.
    """
    found: dict[str, str] = {}
    left, depth = set(paths), 0
    while left:
        depth += 1
        ends = {path: "/".join(path.split("/")[-depth:]) for path in left}
        alike = Counter(ends.values())
        found |= {path: end for path, end in ends.items() if alike[end] == 1}
        left -= found.keys()
    return found


def _kind(key: str, names: Mapping[str, str]) -> str:
    if key == profiling.DELIVERY:
        return "delivery"
    name = names.get(key, key)
    return f"column {name}" if name in ("commit", "delivery", "file") else name


def _brought(commits: Sequence[Commit]) -> dict[str, str]:
    """The commits that the rows of each file came with, as they are called, by its path.

    It is the one that wrote the file first: a deletion vector only hides rows of it, and RESTORE
    brings it again. What a DELETE or compaction wrote has rows of the files that it removed.
    """
    found: dict[str, set[int]] = {}
    for each in commits:
        gone = set().union(*(found.get(path, ()) for path, *_ in each.removed))
        came = {each.number} if each.writes or not gone else gone
        for file in each.added:
            found.setdefault(file.path, came)
    first = commits[0].number
    # Where the log begins there, what it has came with it, or before.
    words = {first: f"{first} or before"} if first else {}
    sets = {path: tuple(sorted(numbers)) for path, numbers in found.items()}
    names = _called(sets.values(), words)
    return {path: names[numbers] for path, numbers in sets.items()}


_Numbers = tuple[int, ...]
"""Of commits that cannot be told apart, in order."""


def _called(sets: Iterable[_Numbers], words: Mapping[int, str] = {}) -> dict[_Numbers, str]:
    """What commits are called together: the first ones, and how many more there are.

    Of those that would have one name, also as many of the others as tell them apart.
    """
    alike: dict[tuple[_Numbers, int], list[_Numbers]] = {}
    for each in dict.fromkeys(sets):
        alike.setdefault((each[:_NAMED], len(each)), []).append(each)
    found: dict[_Numbers, str] = {}
    for mine in alike.values():
        common = set(mine[0]).intersection(*mine)
        apart = {each: [n for n in each[_NAMED:] if n not in common] for each in mine}
        more = next(n for n in count() if len({tuple(a[:n]) for a in apart.values()}) == len(mine))
        for each, others in apart.items():
            named = [words.get(n, str(n)) for n in (*each[:_NAMED], *others[:more])]
            rest = len(each) - len(named)
            found[each] = ", ".join(named) + (f" and {rest} more" if rest else "")
    return found


def _taken(pair: Pair) -> tuple[dict[str, tuple[list[DataFile], list[DataFile]]], list[DataFile]]:
    """What took files of the reference away, where a later version is compared as a whole: by what
    it is called, the current files that came in their place, and those; and all other current ones.

    It is a commit; or several, where one took what another wrote, for what each did cannot be told
    from the files of both ends: they are called by those of them that changed rows. Compaction by
    itself changed none, and has no part.
    """
    old, new = pair.reference, pair.current
    if new.slice != "whole" or old.version > new.version:
        return {}, list(new.files)
    chains, changed = _chains([each for each in pair.commits if each.number > old.version])
    there = {file.key for file in old.files}
    still = {file.key for file in new.files}
    now: dict[_Node, list[DataFile]] = {}
    for file in new.files:
        if file.key not in there:
            now.setdefault(chains[file.path, file.deleted], []).append(file)
    then: dict[_Node, list[DataFile]] = {}
    for file in old.files:
        if file.key not in still:
            then.setdefault(chains[file.path, file.deleted], []).append(file)
    found: dict[tuple[_Numbers, str], tuple[list[DataFile], list[DataFile]]] = {}
    for first, files in then.items():
        numbers = tuple(sorted(set().union(*(changed.get(n, ()) for n in chains.subset(first)))))
        if not numbers:
            continue
        what = "replaced" if first in now else "removed"
        came, went = found.setdefault((numbers, what), ([], []))
        came += now.get(first, [])
        went += files
    parts = {file.key for files, _ in found.values() for file in files}
    names = _called(numbers for numbers, _ in found)
    named = {f"{names[numbers]} ({what} files)": each for (numbers, what), each in found.items()}
    return named, [file for file in new.files if file.key not in parts]


_Node = tuple[str, str]
"""Path and deletion vector of a file."""


def _chains(commits: Sequence[Commit]) -> tuple[DisjointSet, dict[_Node, set[int]]]:
    """The files that commits removed or added, those together that may have rows of each other;
    and of each file which commits did so, and changed rows by it.

    Where a file only got another deletion vector, its rows are in no other file. Of files that are
    new, nobody can tell whose rows they have of all that the commit removed.
    """
    chains = DisjointSet()
    changed: dict[_Node, set[int]] = {}
    for each in commits:
        gone = [(path, deleted) for path, _, deleted in each.removed]
        came = [(file.path, file.deleted) for file in each.added]
        apart = {path for path, _ in came} <= {path for path, _ in gone}
        first: dict[str, _Node] = {}
        for node in (*gone, *came):
            chains.add(node)
            if gone:
                chains.merge(first.setdefault(node[0] if apart else "", node), node)
            if each.changes:
                changed.setdefault(node, set()).add(each.number)
    return chains, changed
