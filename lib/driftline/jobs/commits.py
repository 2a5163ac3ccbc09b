"""Which commits the rows of files came with, and which took rows away, as far as files tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from scipy.cluster.hierarchy import DisjointSet

from driftline.delta_files import Commit, DataFile
from driftline.jobs.sides import Pair

_NAMED = 3
"""Commits that are named of those that cannot be told apart."""


def brought(commits: Sequence[Commit]) -> dict[str, str]:
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


def taken(pair: Pair) -> tuple[dict[str, tuple[list[DataFile], list[DataFile]]], list[DataFile]]:
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
