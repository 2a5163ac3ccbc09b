"""Which rows of a table are compared with which: two versions, or what was written in two spans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from driftline import delta_files, scan
from driftline.delta_files import Commit, DataFile, Schema, Version
from driftline.errors import Missing
from driftline.jobs import profiling, references
from driftline.jobs.line import Line
from driftline.jobs.references import Against
from driftline.profile import Field
from driftline.registry import Version as Champion

NEWEST = scan.NEWEST
"""The slice of a table with as-ofs: the rows of its newest one."""

_SCORED = ("as_of", "entity", "problem", "run_id", "features_version", "model_version")

_APART = {
    "gold.features": ("as_of", "label"),
    "gold.predictions": _SCORED,
    "gold.shadow": _SCORED,
}
"""Columns that say by whom, when or of what rows were made: they differ by design, nulls too."""

AS_OFS = frozenset(_APART)
"""The tables with as-ofs; in any other one a column of that name is a column like others."""

_MADE = frozenset(table for table, columns in _APART.items() if columns is _SCORED)
"""Those of predictions: of the newest as-of there are as many as model versions scored it."""

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Asked:
    """What a comparison was asked for; versions are numbers, times, ``latest``, or left open."""

    first: str | None = None
    last: str | None = None
    window: timedelta | None = None
    against: Against = "previous"
    by: str | None = None
    """A column whose values are compared each for itself, too."""
    learn: int = 0
    """So many steps from version to version, up to the reference, are calm: thresholds are what
    they showed."""

    @property
    def called(self) -> str:
        """Tells apart, of comparisons up to one version, those that find other values.

        That is of spans, and volumes are held against those of calm steps.
        """
        if self.window is not None:
            return f"drift {self.window / timedelta(hours=1):g}h"
        return f"drift learn {self.learn}" if self.learn else "drift"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: some files of one version of a table, perhaps some rows of each."""

    table: str
    version: int
    at: datetime
    slice: str
    files: tuple[DataFile, ...]
    fields: tuple[Field, ...]
    schema: Schema = field(compare=False, repr=False)
    wanted: tuple[profiling.Wanted, ...] = field(default=(), compare=False, repr=False)
    """The files by the versions whose columns they have."""
    keys: frozenset[str] = frozenset()
    """Columns of values that are others in any rows: only nulls are compared, and freshness."""
    model: int | None = None
    """The model version whose predictions are compared; without one, which scored last is what
    they say themselves."""

    @property
    def models(self) -> tuple[str, ...]:
        """The key of the column that tells rows apart by the model version that made them, if only
        those of one are compared.
        """
        made = self.slice == NEWEST and self.table in _MADE
        return self.schema.keys([references.BY] if made else [])

    def cut(self, names: Iterable[str]) -> tuple[str, ...]:
        """What its files are to be cut by: the columns of these names, and what finds the slice."""
        wanted = self.schema.keys(names)
        return cut(self.table, self.schema, wanted) if self.slice == NEWEST else wanted


@dataclass(frozen=True)
class Pair:
    """The two sides, and the commits that lie between."""

    reference: Side
    current: Side
    commits: tuple[Commit, ...] = field(repr=False)
    champion: Champion | None = None
    """The model whose training the reference is, if it is one's."""

    @property
    def same(self) -> bool:
        """Whether there is nothing to compare."""
        one, other = self.reference, self.current
        return (one.version, one.slice) == (other.version, other.slice)

    @property
    def alike(self) -> bool:
        """Whether there should be as many rows on both sides: not of what was added to a whole."""
        one, other = (each.slice.partition(" ")[0] for each in (self.reference, self.current))
        return one == other

    @property
    def steps(self) -> int:
        """In how many commits the current rows were added to the reference; 1 if they were not."""
        if self.alike:
            return 1
        old, new = self.reference.version, self.current.version
        known: set[str] = set()
        count = 0
        for each in self.commits:
            paths = {file.path for file in each.added}
            # Of files that were there before, rows are hidden by a deletion vector, or come back.
            count += old < each.number <= new and each.writes and not paths <= known
            known |= paths
        return count


def cut(table: str, schema: Schema, keys: Iterable[str]) -> tuple[str, ...]:
    """What files of a table are cut by: columns by their keys, and what finds the newest rows."""
    newest = (NEWEST,) if table in AS_OFS else ()
    models = schema.keys([references.BY] if table in _MADE else [])
    return tuple(dict.fromkeys((*keys, *newest, *models)))


def pair(line: Line, table: str, asked: Asked) -> Pair:
    """The sides of a comparison; raises :class:`Missing` for a version there is not."""
    current = version_of(line, table, asked.last or "latest")
    if asked.window is not None:
        return _spans(line, table, current, asked.window, asked.against)
    champion: Champion | None = None
    if asked.first is not None:
        reference = version_of(line, table, asked.first)
        champion = references.trained_on(line, table, reference)
    else:
        reference, champion = references.reference(line, table, current, asked.against)
        if table in _MADE:
            reference = references.first_made(line, table, reference, current)
    ends = sorted((reference, current))
    commits = line.tables.commits(table, since=ends[0], until=ends[1])
    return replace(_versions(line, table, commits, reference, current), champion=champion)


def steps(line: Line, table: str, last: int, count: int) -> list[Pair]:
    """The comparisons of each of the ``count`` versions up to ``last`` with the one before; none of
    predictions where another model took over.
    """
    if not count:
        return []
    first = max(line.tables.oldest(table), last - count)
    commits = line.tables.commits(table, since=first, until=last)
    # Version 0 is the empty table where driftline wrote it.
    known = [
        number for number in range(first, last + 1) if delta_files.version(commits, number).files
    ]
    pairs = [_versions(line, table, commits, a, b) for a, b in pairwise(known)]
    return [
        each
        for each in pairs
        if each.current.files
        and each.reference.files
        and each.current.model == each.reference.model
    ]


def version_of(line: Line, table: str, said: str) -> int:
    """``latest``, a number, or a time: the version that was the newest then."""
    if said == "latest":
        return line.tables.version(table)
    if said.isdigit():
        return int(said)
    moment = datetime.fromisoformat(said)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return line.tables.version_at(table, moment)


def _versions(
    line: Line, table: str, commits: Sequence[Commit], reference: int, current: int
) -> Pair:
    """By a fixed rule: a table with as-ofs is compared at the newest as-of of each version, of
    predictions those of one model version, if both have it; one that only grew in between, what was
    there with what was added; else both as a whole.
    """
    old, new = (delta_files.version(commits, number) for number in (reference, current))
    files, slice_ = new.files, "whole"
    if table in AS_OFS:
        slice_ = NEWEST
    elif {each.key for each in old.files} < {each.key for each in new.files}:
        known = {each.key for each in old.files}
        files = tuple(each for each in new.files if each.key not in known)
        slice_ = f"added since {old.number}"
    before = NEWEST if slice_ == NEWEST else "whole"
    model = then = None
    if table in _MADE:  # what its commits note, also before those that are compared
        last = max(reference, current)
        log = line.tables.commits(table, since=line.tables.oldest(table), until=last)
        model = references.model(log, current)
        then = None if model is None else references.model(log, reference, model)
    return Pair(
        replace(_side(line, table, old, before, old.files), model=then),
        replace(_side(line, table, new, slice_, files), model=model),
        tuple(commits),
    )


def _spans(line: Line, table: str, current: int, window: timedelta, against: Against) -> Pair:
    """What was written in a span up to a version, against another span, or what was trained on."""
    champion, number = None, current
    if against == "training":
        number, champion = references.reference(line, table, current, against)
    since = min(line.tables.oldest(table), number)
    all_ = line.tables.commits(table, since=since, until=max(current, number))
    commits = [each for each in all_ if each.number <= current]
    end = commits[-1].at
    now = _written(line, table, commits, end - window, end)
    if against == "training":
        version = delta_files.version(all_, number)
        before = _side(line, table, version, "whole", version.files)
    else:
        back = _WEEK * math.ceil(window / _WEEK) if against == "same-weekday" else window
        before = _written(line, table, commits, end - back - window, end - back)
    return Pair(before, now, tuple(commits), champion)


def _written(
    line: Line, table: str, commits: Sequence[Commit], after: datetime, until: datetime
) -> Side:
    """The files that commits of a span wrote, though they be compacted since.

    One that was there before, and lost rows or was restored, was not; nor what a DELETE kept. An
    UPDATE or a MERGE writes all rows of the files that it rewrites.
    """
    first = commits[0]
    if first.number and after < first.at:
        raise Missing(
            f"the log of {table} does not tell any more what was written before {_said(first.at)}",
            where=line.tables.path(table),
            hint="choose a shorter --window, or versions with --from and --to",
        )
    before = {file.path for each in commits if each.at <= after for file in each.added}
    found = [each for each in commits if after < each.at <= until and each.writes]
    files = {file.path: file for each in found for file in each.added if file.path not in before}
    if not files:
        raise Missing(
            f"nothing was written to {table} from {_said(after)} to {_said(until)}",
            where=line.tables.path(table),
            hint="choose a longer --window, or versions with --from and --to",
        )
    version = Version(found[-1].number, found[-1].at, found[-1].schema, tuple(files.values()))
    side = _side(line, table, version, f"written {_said(after)} to {_said(until)}", version.files)
    wanted = (
        profiling.Wanted(
            table,
            each.number,
            each.schema,
            tuple(file for file in each.added if files.get(file.path) is file),
        )
        for each in found
    )
    return replace(side, wanted=tuple(wanted))


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _side(
    line: Line, table: str, version: Version, slice_: str, files: tuple[DataFile, ...]
) -> Side:
    apart = _APART.get(table, ())
    every = profiling.profiled(version.schema)
    fields = [each for each in every if each.name not in apart]
    wanted = profiling.wanted(table, version, files)
    at = (table, version.number, version.at)
    keys = _keys(line, table)
    return Side(*at, slice_, files, tuple(fields), version.schema, (wanted,), keys)


def _keys(line: Line, table: str) -> frozenset[str]:
    """What the problem says of tables: what tells rows apart, and of its own ones whom rows are of,
    and when they happened and arrived.
    """
    told = frozenset(line.problem.drift.identifiers.get(table, ()))
    if "/" in table:
        return told
    layer, _, name = table.partition(".")
    source = line.problem.sources.get(name) if layer in ("bronze", "silver") else None
    known = (*source.key, source.time, source.arrival) if source else ()
    return told | frozenset(filter(None, (line.problem.entity, *known)))
