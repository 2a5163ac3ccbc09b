"""Persons → out of every table, every old file and every text about them, with a certificate.

What is done once is found done: given again after a kill, the same command goes on. Bronze comes
last, because only its rows tell which words were a person's alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from driftline import erasure, pins, pseudonyms, rewriting, schemas
from driftline.errors import ConfError, Refused
from driftline.jobs import pulls
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.pulls import spool
from driftline.registry import Registry, Version


def run(line: Line, *, entities: Sequence[str], request: str) -> str:
    """Erase the ``entities`` (as text) and write what ``request`` came to into ``ops.erasures``.

    Raises :class:`Refused` where a name is still found afterwards, and says where.
    """
    pins.require_disk(line.tables, instead="erase in a copy on a disk, and put that in its place")
    names = line.tables.names()
    count = len(entities)
    entities = _as_kept(line, entities)
    with line.ledger.run("erase") as ledger, line.tables.lock(*names, "gold.model"):
        personal = erasure.personal(line.problem, names)
        wanted = _wanted(line, entities)
        words = _words(line, personal, wanted, entities)
        theirs = _kept_out(line, names, words, entities)
        theirs |= {table: wanted[column] for table, column in personal.items()}
        rows = {table: _count(line, table, matching) for table, matching in theirs.items()}
        begun: dict[str, Any] = {
            "request": request,
            "status": "begun",
            "entities": count,
            "deliveries": _deliveries(line, personal, wanted),
            "tables": [(name, line.tables.version(name), rows.get(name, 0), 0) for name in names],
        }
        _certify(line, ledger, begun)
        said = begun | _since(line, request)
        for table in (each for each in erasure.DESCRIBING if each in names):
            ledger.progress(f"{table}: what it tells of their values")
            _untell(line, table, words)
        for table, matching in theirs.items():
            if rows[table]:
                ledger.progress(f"{table}: {rows[table]:,} rows of theirs")
                line.tables.delete(table, matching=matching)
        before = {name: version for name, version, _, _ in said["tables"]}
        taken = {name: found for name, _, found, _ in said["tables"]}
        others = set(names) - {schemas.ERASURES.full_name}
        changed = {name for name in others if line.tables.version(name) != before.get(name)}
        files = {}
        for table in names:
            ledger.progress(f"{table}: files of its past")
            files[table] = pins.vacuum(line.tables, table, hours=0, pinned=[])["removed"]
        said["tables"] = [
            (name, line.tables.version(name), taken.get(name, 0), files[name])
            for name in names
            if files[name] or name in changed
        ]
        _unspool(line, ledger)
        models = Registry(line.environment.mlflow, line.problem.name)
        said["models"] = _not_reproducible(line, models, names)
        ledger.progress("looking for their names in all that is left")
        said["left"] = _left(line, models, names, entities) + _keeping(line, models, names)
        _certify(line, ledger, {**said, "status": "left" if said["left"] else "complete"})
        ledger.status = "done"
        ledger.message = _told(said)
        if said["left"]:
            raise Refused(
                f"{ledger.message}; but their names are still found in {len(said['left'])} places",
                where=", ".join(said["left"][:5]),
                hint="ops.erasures lists all; a short number may be found where it is no name; a "
                "model that keeps rows has to be trained again, and its version deleted; what was "
                "pulled and has not landed (_spool) has to be ingested first",
            )
        return ledger.message


def _told(said: Mapping[str, Any]) -> str:
    rows, files = (sum(each[place] for each in said["tables"]) for place in (2, 3))
    text = (
        f"request {said['request']}, {said['entities']} erased: {rows:,} rows and {files:,} old "
        f"files of {len(said['tables'])} tables"
    )
    if said["models"]:
        listed = ", ".join(map(str, said["models"]))
        text += f"; cannot be reproduced any more: model versions {listed}"
    if said["deliveries"]:
        text += f"; {len(said['deliveries'])} delivered files, which are yours, still have them"
    return text


def _as_kept(line: Line, entities: Sequence[str]) -> list[str]:
    """Their names, and their pseudonyms where the tables have those."""
    declared = line.problem.sources[line.problem.population.source].columns[line.problem.entity]
    if not declared.pseudonym:
        return [*entities]
    key = pseudonyms.key()
    return [*entities, *(pseudonyms.pseudonym(each, key) for each in entities)]


def _wanted(line: Line, entities: Sequence[str]) -> dict[str, DataFrame]:
    """Column → the persons as rows of it, by the column's type."""
    problem = line.problem
    type_ = schemas.type_of(problem, problem.population.source, problem.entity)
    texts = line.spark.createDataFrame([(each,) for each in entities], "entity string")
    typed = texts.select(F.col("entity").try_cast(type_).alias(problem.entity))
    wrong = typed.where(F.col(problem.entity).isNull()).count()
    if wrong:
        raise ConfError(
            f"{wrong} of {len(entities)} cannot be a {problem.entity}",
            file="--entity",
            allowed=f"values of type {type_}",
            hint="say them as the tables have them",
        )
    return {"entity": texts, problem.entity: typed}


def _deliveries(
    line: Line, personal: Mapping[str, str], wanted: Mapping[str, DataFrame]
) -> list[str]:
    """Paths of the delivered files that their rows came from, but for those that were pulled."""
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return []
    known = line.tables.read(schemas.DELIVERIES.full_name).select("delivery", "path").distinct()
    found: set[str] = set()
    for table, column in _bronze(personal):
        if pulls.folder(line, table.removeprefix("bronze.")) is not None:
            continue
        theirs = line.tables.read(table).join(wanted[column], on=column, how="left_semi")
        paths = known.join(theirs, known["delivery"] == theirs["_delivery"], "left_semi")
        found |= {row.path for row in paths.collect()}
    return sorted(found)


def _unspool(line: Line, ledger: Run) -> None:
    """Remove the pulled files that have landed: bronze has what was in them."""
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return
    rows = line.tables.read(schemas.DELIVERIES.full_name).where(
        "status NOT IN ('planned', 'abandoned')"
    )
    known = {row.delivery for row in rows.select("delivery").distinct().collect()}
    for source in line.problem.sources:
        if (folder := pulls.folder(line, source)) is not None:
            ledger.progress(f"{spool.discard(folder, known)} pulled files of {source} removed")


def _words(
    line: Line,
    personal: Mapping[str, str],
    wanted: Mapping[str, DataFrame],
    entities: Sequence[str],
) -> dict[str, set[str]]:
    """Column → the persons' names, and their values of text that nobody else has."""
    words = {name: set(entities) for name in ("entity", line.problem.entity)}
    for table, column in _bronze(personal):
        named = wanted[column].withColumn("_theirs", F.lit(True))
        rows = line.tables.read(table).join(F.broadcast(named), on=column, how="left")
        texts = [name for name, type_ in rows.dtypes if type_ == "string" and name[0] != "_"]
        texts = [name for name in texts if name != column]
        for name, found in erasure.unique(rows, F.col("_theirs"), texts).items():
            words.setdefault(name, set()).update(row.value for row in found.collect())
    return {name: each - {""} for name, each in words.items() if each - {""}}


def _bronze(personal: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, column) for name, column in personal.items() if name.startswith("bronze.")]


def _untell(line: Line, table: str, words: Mapping[str, set[str]]) -> None:
    """Take their words out of what a table tells of columns, and the rows that told of them alone:
    a profile of one person is theirs, by whatever name.
    """
    rewriting.update(
        line.tables,
        table,
        where=erasure.describes(table, words),
        changes=erasure.changes(table, words),
    )
    if table in erasure.ALONE:
        rewriting.delete(line.tables, table, where=erasure.ALONE[table])


def _kept_out(
    line: Line, names: Sequence[str], words: Mapping[str, set[str]], entities: Sequence[str]
) -> dict[str, DataFrame]:
    """Which rows are theirs of rejects, which have them as bytes, and quarantine, as JSON."""
    every = {word for said in words.values() for word in said}
    entity = F.get_json_object("row", f"$['{line.problem.entity}']").isin(*entities)
    guarded = [f"silver.{name}" for name in erasure.sources(line.problem)]
    chosen: dict[str, Column] = {
        schemas.REJECTS.full_name: _raw(line, every),
        schemas.QUARANTINE.full_name: F.col("table").isin(*guarded) & entity,
    }
    return {
        table: line.tables.read(table).where(theirs).select("delivery", "offset")
        for table, theirs in chosen.items()
        if table in names
    }


def _raw(line: Line, words: Collection[str]) -> Column:
    """Whether a rejected record holds a word, in an encoding that deliveries have."""
    encodings = {source.encoding for source in line.problem.sources.values()}
    return erasure.in_bytes(F.col("raw"), words, encodings)


def _count(line: Line, table: str, matching: DataFrame) -> int:
    """How many rows of a table have the same values."""
    rows = line.tables.read(table)
    return rows.join(F.broadcast(matching), on=matching.columns, how="left_semi").count()


def _left(line: Line, models: Registry, names: Sequence[str], entities: Sequence[str]) -> list[str]:
    """Tables, old data files, and files of any other kind in which a name still stands."""
    named = erasure.pattern(entities)
    found = []
    for name in names:
        rows = line.tables.read(name)
        told = (F.col(f"`{column}`") for column, type_ in rows.dtypes if type_ != "binary")
        held = F.to_json(F.struct(*told)).rlike(named)
        if name == schemas.REJECTS.full_name:
            held |= _raw(line, entities)
        if rows.where(held).limit(1).count():
            found.append(name)
        found += map(str, sorted(pins.past(line.tables, name)))
    places = [Path(line.tables.root), *(models.folder(each) for each in models.versions())]
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


def _not_reproducible(line: Line, models: Registry, names: Sequence[str]) -> list[int]:
    """The model versions that came from a table's version which is not whole any more."""
    return [model.number for model in models.passed() if not _whole(line, model, names)]


def _keeping(line: Line, models: Registry, names: Sequence[str]) -> list[str]:
    """Model versions in which rows that they were fitted on stand, theirs perhaps among them."""
    return [
        f"model version {model.number}, which keeps rows that it was fitted on"
        for model in models.versions()
        if model.tags.get("keeps_rows") == "True" and not _whole(line, model, names)
    ]


def _whole(line: Line, model: Version, names: Sequence[str]) -> bool:
    return all(
        pins.whole(line.tables, name, version)
        for name, version in model.tables.items()
        if name in names
    )


def _since(line: Line, request: str) -> dict[str, Any]:
    """What a request had found when it began: at its first try, if that and others were killed."""
    read = line.tables.read(schemas.ERASURES.full_name).where(F.col("request") == request)
    tries: list[Row] = []
    for row in sorted(read.collect(), key=lambda row: row.at):
        tries = [*tries, row] if row.status == "begun" else []
    versions: dict[str, int] = {}
    rows: dict[str, int] = {}
    for each in (table for row in tries for table in row.tables):
        versions.setdefault(each.table, each.version)
        rows[each.table] = max(rows.get(each.table, 0), each.rows)
    return {
        "deliveries": sorted({path for row in tries for path in row.deliveries}),
        "tables": [(name, version, rows[name], 0) for name, version in versions.items()],
    }


def _certify(line: Line, ledger: Run, said: Mapping[str, Any]) -> None:
    empty: dict[str, Any] = {"tables": [], "models": [], "left": []}
    known = {**empty, **said, "run_id": ledger.run_id, "at": datetime.now(timezone.utc)}
    row = tuple(known[name] for name in schemas.ERASURES.column_names)
    ledger.wrote(line.tables.append_values([row], schemas.ERASURES, key=None))
