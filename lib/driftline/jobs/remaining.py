"""Where a person still stands once their rows are gone: tables, files, models."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import erasure, pins, schemas
from driftline.errors import DriftlineError, TryAgain
from driftline.jobs.line import Line
from driftline.logs import LOGGER
from driftline.registry import Registry, Training

KNOWS = ", which knows a word that was theirs alone"
"""What is written down of such a model version, or run, behind its number."""


def found(
    line: Line,
    models: Registry,
    names: Sequence[str],
    entities: Sequence[str],
    tries: Sequence[Row],
) -> list[str]:
    """Everything in which a name still stands, and the models that keep rows or know words: as
    the ``tries`` of this request found, for of another's models nothing is said of these persons.
    """
    kept, closed = folders(models)
    known = {what for row in tries for what in row.left if what.endswith(KNOWS)}
    return [
        *_left(line, models, names, entities, [place for _, place in kept]),
        *closed,
        *sorted(known & {each.name + KNOWS for each, _ in kept}),
        *keeping(line, models, names),
    ]


def knowing(models: Registry, words: Collection[str]) -> list[str]:
    """Model versions, and MLflow runs, whose files hold a word. Once a person's rows are gone
    nothing tells their words any more, so this has to be asked, and written down, before: of a
    version's run, too, which keeps the files when the version is deleted.
    """
    if not words:
        return []
    said = re.compile(erasure.pattern(words).encode())
    kept, _ = folders(models)
    return [
        name + KNOWS
        for each, place in kept
        if any(_holds(path, said) for path in _files(place, set()))
        for name in dict.fromkeys((each.name, each.run))
    ]


def _left(
    line: Line,
    models: Registry,
    names: Sequence[str],
    entities: Sequence[str],
    kept: Iterable[Path],
) -> list[str]:
    """Tables and files of any other kind in which a name still stands, and data files that are old
    or hide rows.
    """
    named = erasure.pattern(entities)
    found = []
    for name in names:
        rows = line.tables.read(name)
        told = (F.col(f"`{column}`") for column, type_ in rows.dtypes if type_ != "binary")
        held = F.to_json(F.struct(*told)).rlike(named)
        if name == schemas.REJECTS.full_name:
            held |= erasure.rejected(line.problem, entities)
        if rows.where(held).limit(1).count():
            found.append(name)
        # Of both, nobody has read all the rows.
        unread = pins.past(line.tables, name) | pins.hiding(line.tables, name)
        found += map(str, sorted(unread))
    places = [Path(line.tables.root), *kept]
    if line.environment.mlflow.startswith("sqlite:///"):  # with what was deleted, not overwritten
        store = Path(line.environment.mlflow.removeprefix("sqlite:///"))
        places += [store, store.with_name("mlartifacts")]
    else:
        found += [what for what, words in models.words() if re.search(named, words)]
    said = re.compile(named.encode())
    tables = {Path(line.tables.path(name)) for name in names}
    files = {path for place in places for path in _files(place, tables)}
    return found + [str(path) for path in sorted(files) if _holds(path, said)]


def _files(place: Path, tables: Set[Path]) -> list[Path]:
    """All files but the data of tables, which were read as rows."""
    if place.is_file():
        return [place]

    def is_data(path: Path) -> bool:
        inside = path.suffix == ".parquet" and "_delta_log" not in path.parts
        return inside and not tables.isdisjoint(path.parents)

    return [path for path in place.rglob("*") if path.is_file() and not is_data(path)]


def _holds(path: Path, said: re.Pattern[bytes]) -> bool:
    if path.suffix == ".parquet":  # a checkpoint of a table's log, or what was pulled
        try:
            return bool(said.search(str(pq.read_table(path).to_pylist()).encode()))
        except pa.ArrowInvalid:  # half a file, which may hold them: it is told
            return True
    return bool(said.search(path.read_bytes()))


def not_reproducible(line: Line, models: Registry, names: Sequence[str]) -> list[int]:
    """The model versions that came from a table's version which is not whole any more."""
    return [model.number for model in models.passed() if not _whole(line, model.tables, names)]


def folders(models: Registry) -> tuple[list[tuple[Training, Path]], list[str]]:
    """Trainings that have files, with where these are; and those that cannot be looked into."""
    kept, closed = [], []
    for each in models.trainings():
        try:
            place = each.files()
        except TryAgain:
            raise
        except DriftlineError as error:
            LOGGER.warning("%s: %s", each.name, error)
            closed.append(f"{each.name}, whose files cannot be looked into")
        else:
            if place is not None:
                kept.append((each, place))
    return kept, closed


def keeping(line: Line, models: Registry, names: Sequence[str]) -> list[str]:
    """Trainings whose models keep rows that they were fitted on, theirs perhaps among them."""
    return [
        f"{each.name}, which keeps rows that it was fitted on"
        for each in models.trainings()
        if each.tags.get("keeps_rows") == "True"
        and not _whole(line, json.loads(each.tags["tables"]), names)
    ]


def _whole(line: Line, tables: Mapping[str, int], names: Sequence[str]) -> bool:
    """Whether versions of tables that a model came from can be read as they were."""
    return all(
        pins.whole(line.tables, name, version) for name, version in tables.items() if name in names
    )
