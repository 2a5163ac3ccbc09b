"""Persons → out of every table, every old file and every text about them, with a certificate.

What is done once is found done: given again after a kill, the same command goes on. Bronze comes
last, because only its rows tell which words were a person's alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline import erasure, pins, profile, pseudonyms, rewriting, scan, schemas
from driftline.errors import ConfError, Refused
from driftline.jobs import pulls, remaining, requests, resuming, uncounting
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.pulls import spool
from driftline.registry import Registry


def run(line: Line, *, entities: Sequence[str], request: str) -> str:
    """Erase the ``entities`` (as text) and write what ``request`` came to into ``ops.erasures``.

    Raises :class:`Refused` where a name is still found afterwards, and says where.
    """
    pins.require_disk(line.tables, instead="erase in a copy on a disk, and put that in its place")
    names = line.tables.names()
    kept = _as_kept(line, entities)
    people = sorted({each for ways in kept.values() for each in ways})
    if re.search(erasure.pattern(people), request):
        raise ConfError(
            "the request names a person, and is kept",
            file="--request",
            allowed="what tells one request from another, and nobody from anybody",
            hint="call it by its number",
        )
    with line.ledger.run("erase") as ledger, line.tables.lock(*names, "gold.model", resuming.ALIAS):
        personal = erasure.personal(line.problem, names)
        wanted = _wanted(line, people)
        words = _words(line, personal, wanted, people)
        numbers = uncounting.telling(line, dict(_bronze(personal)), wanted)
        kept_out = _kept_out(line, names, words, people)
        theirs = kept_out | {table: wanted[column] for table, column in personal.items()}
        rows = {table: _count(line, table, matching) for table, matching in theirs.items()}
        models = Registry(line.environment.mlflow, line.problem.name)
        open_ = requests.unfinished(line)
        whom = (ways[1] for ways in kept.values())
        numbers = requests.claim(line, request, whom, numbers, open_)
        spared = uncounting.spared(line, personal, wanted) if numbers else set()
        delivered, pulled = _deliveries(line, personal, wanted, kept_out)
        begun: dict[str, Any] = {
            "request": request,
            "status": "begun",
            "entities": len(kept),
            "absent": _absent(line, personal, wanted, kept),
            "deliveries": delivered,
            "pulled": pulled,
            "tables": [
                requests.Held(name, line.tables.version(name), rows.get(name, 0), 0)
                for name in names
            ],
            "models": [],
            "left": remaining.knowing(models, _learnt(line, words)),
        }
        tries = [*open_.get(request, ()), requests.certify(line, ledger, begun)]
        for table in (each for each in erasure.DESCRIBING if each in names):
            ledger.progress(f"{table}: what it tells of their values")
            _untell(line, ledger, table, words)
        if numbers:
            ledger.progress(f"what tells of numbers and times: {', '.join(numbers)}")
            uncounting.uncount(line, ledger, names, numbers, spared)
        for source in line.problem.sources:
            pulls.keep_watermark(line, source)
        for table, matching in theirs.items():
            if rows[table]:
                ledger.progress(f"{table}: {rows[table]:,} rows of theirs")
                ledger.wrote(line.tables.delete(table, matching=matching))
        # Where somebody let Delta make deletion vectors, a row that is gone, now or long since, is
        # still in a file that VACUUM keeps.
        for table in (each for each in names if pins.hiding(line.tables, each)):
            ledger.progress(f"{table}: rows that are hidden only")
            ledger.wrote(rewriting.purge(line.tables, table))
        # What VACUUM removed before it was killed is told by nothing else.
        past = [
            each._replace(files=len(pins.past(line.tables, each.table))) for each in begun["tables"]
        ]
        tries.append(requests.certify(line, ledger, begun | {"tables": past}))
        said = begun | requests.found_by_all(tries)
        for table in names:
            ledger.progress(f"{table}: files of its past")
            pins.vacuum(line.tables, table, hours=0, pinned=[])
        said["tables"] = _touched(line, said["tables"])
        _unspool(line, ledger)
        Path(line.beside("report.html")).unlink(missing_ok=True)
        gone = remaining.not_reproducible(line, models, names)
        said["models"] = sorted({*said["models"], *gone})
        ledger.progress("looking for their names in all that is left")
        said["left"] = remaining.found(line, models, names, people, tries)
        requests.certify(line, ledger, {**said, "status": "left" if said["left"] else "complete"})
        ledger.status = "done"
        ledger.message = _told(said) + _others(open_, request) + _logged(line)
        if said["left"]:
            raise Refused(
                f"{ledger.message}; but their names are still found in {len(said['left'])} places",
                where=", ".join(said["left"][:5]),
                hint="ops.erasures lists all; a short number may be found where it is no name; a "
                "model that keeps rows, knows a word or cannot be looked into has to be trained "
                "again, its version and its MLflow run deleted, and `mlflow gc` given; what was "
                "pulled and has not landed (_spool) has to be ingested first",
            )
        requests.release(line, request)
        return ledger.message


def _touched(line: Line, held: Sequence[requests.Held]) -> list[requests.Held]:
    """The tables that persons were taken out of, or that lost old files, as they are now. That
    there is another certificate changes nothing.
    """
    found = []
    for each in held:
        now = each._replace(version=line.tables.version(each.table))
        if each.files or (now != each and each.table != schemas.ERASURES.full_name):
            found.append(now)
    return found


def _told(said: Mapping[str, Any]) -> str:
    rows, files = (sum(getattr(each, of) for each in said["tables"]) for of in ("rows", "files"))
    text = (
        f"request {said['request']}, {said['entities']} erased: {rows:,} rows and {files:,} old "
        f"files of {len(said['tables'])} tables"
    )
    if said["absent"]:
        text += f"; {said['absent']} of them in no row: are they written as the tables have them?"
    if said["models"]:
        listed = ", ".join(map(str, said["models"]))
        text += f"; cannot be reproduced any more: model versions {listed}"
    if said["deliveries"]:
        text += f"; {len(said['deliveries'])} delivered files, which are yours, still have them"
    if said["pulled"]:
        text += (
            f"; pulled from {', '.join(said['pulled'])}: delete them there, or what it still has "
            "of them comes again with the next pull"
        )
    return text


def _others(open_: requests.Tries, request: str) -> str:
    """What others have left is no part of this certificate, and is not to be forgotten for it."""
    waiting = sorted(set(open_) - {request})
    return f"; not complete yet: {', '.join(waiting)}" if waiting else ""


def _logged(line: Line) -> str:
    """What Spark logs of its plans has the names in it: they are what is looked for."""
    if line.spark.conf.get("spark.eventLog.enabled", "false") != "true":
        return ""
    return "; the log of Spark's events, which is yours, has their names"


def _as_kept(line: Line, entities: Sequence[str]) -> dict[str, list[str]]:
    """Whom → how tables have them: by the entity's type as text, a number as profiles have it, too,
    as pseudonym, and as given, which what was delivered may have.
    """
    problem, type_ = line.problem, _type(line)
    given = line.spark.createDataFrame([(each,) for each in entities], "given string")
    typed = given.select("given", F.col("given").try_cast(type_).alias("typed"))
    ways = [F.col("typed").cast("string")]
    if profile.kind_of(type_) == "numeric":
        ways.append(scan.as_double("typed", type_).cast("string"))
    rows = typed.select("given", F.array(*ways).alias("ways")).collect()
    wrong = sum(None in row.ways for row in rows)
    if wrong:
        raise ConfError(
            f"{wrong} of {len(entities)} cannot be a {problem.entity}",
            file="--entity",
            allowed=f"values of type {type_}",
            hint="say them as the tables have them",
        )
    kept = {row.given: [row.given, *row.ways] for row in rows}
    if problem.pseudonymous:
        key = pseudonyms.key()
        for whom, spelled in kept.items():
            spelled.append(pseudonyms.pseudonym(whom, key))
    return kept


def _wanted(line: Line, people: Sequence[str]) -> dict[str, DataFrame]:
    """Column → the persons as rows of it, by the column's type."""
    entity = line.problem.entity
    texts = line.spark.createDataFrame([(each,) for each in people], "entity string")
    typed = texts.select(F.col("entity").try_cast(_type(line)).alias(entity))
    return {"entity": texts, entity: typed.dropna().distinct()}


def _type(line: Line) -> str:
    """Of the entity, in Spark SQL's words."""
    return schemas.type_of(line.problem, line.problem.population.source, line.problem.entity)


def _absent(
    line: Line,
    personal: Mapping[str, str],
    wanted: Mapping[str, DataFrame],
    kept: Mapping[str, Sequence[str]],
) -> int:
    """How many of the persons no row names, of the tables or of quarantine."""
    named = [
        line.tables.read(table).select(F.col(column).cast("string").alias("entity"))
        for table, column in personal.items()
    ]
    if line.tables.exists(schemas.QUARANTINE.full_name):
        rows = line.tables.read(schemas.QUARANTINE.full_name)
        named.append(rows.select(_entity(line).alias("entity")))
    every = reduce(DataFrame.union, named, wanted["entity"].limit(0))
    found = every.join(F.broadcast(wanted["entity"]), on="entity", how="left_semi").distinct()
    there = {row.entity for row in found.collect()}
    return sum(there.isdisjoint(ways) for ways in kept.values())


def _entity(line: Line) -> Column:
    """Whose a row of quarantine is, as text."""
    return F.get_json_object("row", f"$['{line.problem.entity}']")


def _deliveries(
    line: Line,
    personal: Mapping[str, str],
    wanted: Mapping[str, DataFrame],
    kept_out: Mapping[str, DataFrame],
) -> tuple[list[str], list[str]]:
    """Paths of the delivered files that rows of theirs came from, or rejects, or what is kept in
    quarantine; and where those were pulled from that nobody delivered.
    """
    if not line.tables.exists(schemas.DELIVERIES.full_name):
        return [], []
    known = line.tables.read(schemas.DELIVERIES.full_name)
    found = [rows.select("delivery") for rows in kept_out.values()]
    for table, column in _bronze(personal):
        rows = line.tables.read(table).join(wanted[column], on=column, how="left_semi")
        found.append(rows.select(F.col("_delivery").alias("delivery")))
    every = reduce(DataFrame.union, found, known.select("delivery").limit(0)).distinct()
    rows = known.join(every, on="delivery", how="left_semi").select("source", "path").distinct()
    places = [(row.source, row.path) for row in rows.collect()]
    pulled = {name for name in line.problem.sources if pulls.folder(line, name) is not None}
    return (
        sorted({path for source, path in places if source not in pulled}),
        sorted({pulls.origin(line, source) for source, _ in places if source in pulled}),
    )


def _learnt(line: Line, words: Mapping[str, set[str]]) -> set[str]:
    """Words of theirs that models may have learnt: of columns that are features as they are."""
    known = line.problem.profile.attributes if line.problem.profile else ()
    return {word for name in known for word in words.get(name, ())}


def _unspool(line: Line, ledger: Run) -> None:
    """Remove the pulled files that were dealt with, those that were refused, too: who has them can
    be asked again. Of their rejects only what is in ops.rejects is left.
    """
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


def _untell(line: Line, ledger: Run, table: str, words: Mapping[str, set[str]]) -> None:
    """Take their words out of what a table tells of columns, and the rows that told of them alone:
    a profile of one person is theirs, by whatever name.
    """
    where, changes = erasure.describes(table, words), erasure.changes(table, words)
    ledger.wrote(rewriting.update(line.tables, table, where=where, changes=changes))
    if table in erasure.ALONE:
        ledger.wrote(rewriting.delete(line.tables, table, where=erasure.ALONE[table]))


def _kept_out(
    line: Line, names: Sequence[str], words: Mapping[str, set[str]], entities: Sequence[str]
) -> dict[str, DataFrame]:
    """Which rows are theirs of rejects, which have them as bytes, and quarantine, as JSON."""
    every = {word for said in words.values() for word in said}
    entity = _entity(line).isin(*entities)
    guarded = [f"silver.{name}" for name in erasure.sources(line.problem)]
    chosen: dict[str, Column] = {
        schemas.REJECTS.full_name: erasure.rejected(line.problem, every),
        schemas.QUARANTINE.full_name: F.col("table").isin(*guarded) & entity,
    }
    return {
        table: line.tables.read(table).where(theirs).select("delivery", "offset")
        for table, theirs in chosen.items()
        if table in names
    }


def _count(line: Line, table: str, matching: DataFrame) -> int:
    """How many rows of a table have the same values."""
    rows = line.tables.read(table)
    return rows.join(F.broadcast(matching), on=matching.columns, how="left_semi").count()
