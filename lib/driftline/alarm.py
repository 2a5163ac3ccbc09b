"""What a comparison found, in the one line that somebody is woken by: how much, of what, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline.drift import Statistic
from driftline.profile import column_of

_IN_WORDS = 3
"""So many columns with statistic and value; of the others the names."""

_NAMED = 10
"""No more columns, nor segments of one, are named."""

_LONG = 64
"""Characters of what is said of a column in words: a value may be a user agent."""

_END = 24
"""So many of them are the last: they have the shares."""

_OF_ROWS = frozenset({"null_rate", "volume", "freshness", "schema"})
"""Statistics whose words tell of rows and columns, and no value that a column has."""

_NAMING = ("new", "lost")
"""Statistics whose words name the categories that came or went."""

TABLE = "*"
"""In place of a column: what is said of the table as a whole."""


def verdict(
    found: Sequence[Statistic],
    importance: Mapping[str, float] | None = None,
    *,
    values: bool = True,
) -> str:
    """What drifted, the worst first: by its ``importance`` to the model, where it has any, then by
    how far it is beyond its threshold.

    Without ``values``, none that a column has is told, nor of a segment: what is kept of a run
    outlives the rows that it was about.
    """
    said = []
    columns = {column_of(each.column) for each in found} - {TABLE}
    drifted = _by_column(found, importance or {})
    if table := drifted.pop(TABLE, None):
        where, words = _said(table, values)
        said.append(f"the table changed{where} ({words})")
    if drifted:
        of = f"{len(columns)} column{'s' if len(columns) > 1 else ''}"
        named = [
            _column(name, mine, (importance or {}).get(column_of(name)), values)
            for name, mine in list(drifted.items())[:_IN_WORDS]
        ]
        names = _listed([*named, *list(drifted)[_IN_WORDS:]])
        said.append(f"{len({column_of(name) for name in drifted})} of {of} drifted: {names}")
    left = [f"; of {each.column} {each.detail}" for each in found if each.statistic == "segments"]
    return (", and ".join(said) or "calm") + "".join(left)


def _by_column(
    found: Sequence[Statistic], importance: Mapping[str, float]
) -> dict[str, list[Statistic]]:
    """What drifted of each column, that of all rows before that of segments, then the worst."""
    columns: dict[str, list[Statistic]] = {}
    for each in sorted(found, key=lambda each: (bool(each.segment), -_severity(each))):
        if each.drifted:
            columns.setdefault(each.column, []).append(each)
    worst = {name: max(map(_severity, mine)) for name, mine in columns.items()}
    order = sorted(columns, key=lambda name: (-importance.get(column_of(name), 0.0), -worst[name]))
    return {name: columns[name] for name in order}


def _severity(each: Statistic) -> float:
    """The value in units of its threshold."""
    return each.value / (each.threshold or 1.0)


def _column(name: str, mine: Sequence[Statistic], importance: float | None, values: bool) -> str:
    where, words = _said(mine, values)
    weight = "" if importance is None else f", {importance:.0%} of importance"
    return f"{name}{where} ({words}{weight})"


def _said(mine: Sequence[Statistic], values: bool) -> tuple[str, str]:
    """In which segment the first of what drifted is, and what; which other segments did."""
    first = mine[0]
    segments = list(dict.fromkeys(each.segment for each in mine if each.segment))
    others = [each for each in segments if each != first.segment]
    where = f" in {first.segment if values else 'a segment'}" if first.segment else ""
    words = first.statistic if first.statistic == "schema" else _measured(first)
    if first.detail and (values or first.statistic in _OF_ROWS):
        words += f": {_short(first.detail)}"
    named = [each.detail for each in mine if each.statistic in _NAMING]
    if values and named and first.statistic not in _NAMING:
        words += f", {_short(named[0])}"  # says more than a distance between distributions
    if others:
        many = f"{len(others)} segment{'s' if len(others) > 1 else ''}"
        words += f", also in {_listed(others) if values else many}"
    return where, words


def _measured(each: Statistic) -> str:
    """``psi 0.46``; of a small one the digits that there are, too."""
    return f"{each.statistic} {each.value:{',.2f' if each.value >= 0.1 else '.2g'}}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(words: str) -> str:
    if len(words) <= _LONG:
        return words
    return f"{words[: _LONG - _END - 1].rstrip()}…{words[-_END:].lstrip()}"
