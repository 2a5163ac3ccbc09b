"""``gold.features`` + champion → ``gold.predictions``: every row scored, or refused by name.

What a model version has scored at an as-of it does not score again; predictions of other versions
and of other as-ofs stay. A challenger's go to ``gold.shadow``, beside and never among them.
"""

from __future__ import annotations

import json
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import portable, schemas, scoring
from driftline.errors import DriftlineError, Missing, Refused
from driftline.jobs.gate import guard, suite_of
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.prepare import finite
from driftline.registry import Registry, Version
from driftline.schemas import Table
from driftline.serving.model import Portable
from driftline.session import utc

_NAMED = 20
"""So many rows without a score are named."""


def run(
    line: Line,
    *,
    as_of: datetime | None = None,
    full: bool = False,
    challenger: int | None = None,
    champion: int | None = None,
) -> str:
    """Score the rows of the newest as-of (or of ``as_of``) that are not scored yet.

    ``full`` scores every row up to that as-of, again or for the first time. ``challenger`` is a
    model version that scores instead of the champion, into ``gold.shadow``; ``champion``
    one that scores in place of today's champion, as the champion of then.
    """
    table = schemas.PREDICTIONS if challenger is None else schemas.SHADOW
    with line.ledger.run("score") as ledger, line.tables.lock(table.full_name):
        models = Registry(line.environment.mlflow, line.problem.name)
        by = models.wanted(challenger or champion)
        if challenger is None and champion is None:
            ledger.model_version = by.number
        features = schemas.features(line.problem).full_name
        version = line.tables.version(features)
        ledger.read(features, version)
        rows = line.tables.read(features, version=version)
        day = _newest(rows, as_of, f"{features} version {version}")
        upto = F.col("as_of") <= F.lit(day) if full else F.col("as_of") == F.lit(day)
        asked = rows.where(upto)
        said = f"{'up to' if full else 'as of'} {day:%Y-%m-%d}"
        # In the key, so that what was taken out of the table since can be scored again.
        before = line.tables.version(table.full_name) if line.tables.exists(table.full_name) else -1
        if before >= 0:
            _check_number(line, table.full_name, before, by)
        key = f"score:{by.number}:{version}:{day:%Y-%m-%d}:{full}:{before}"
        old, known = 0, None
        if before >= 0 and not full:
            known = line.tables.read(table.full_name, version=before).where(
                upto & (F.col("model_version") == by.number)
            )
            there = asked.select(F.col(line.problem.entity).cast("string").alias("_there"))
            aged = known.where(F.col("features_version") != version)
            still = F.col("entity").eqNullSafe(F.col("_there"))  # others cannot be scored again
            old = aged.join(there, still, "left_semi").count()
            done = known.select(F.col("entity").alias("_done"))
            same = F.col(line.problem.entity).cast("string").eqNullSafe(F.col("_done"))
            asked = asked.join(done, same, "left_anti")
        _score(line, ledger, models, by, asked, known, table, version, key, full=full, day=day)
        if ledger.rows_out:
            ledger.message = f"{ledger.rows_out:,} {line.problem.entity}s {said}"
            ledger.message += f" by version {by.number}"
        else:
            ledger.message = f"{said} is scored by version {by.number} already"
        if challenger is not None:
            ledger.message += ", into gold.shadow"
        if old:
            ledger.message += (
                f"; {old:,} were scored from older features (--full scores them again)"
            )
        return ledger.message


def _check_number(line: Line, table: str, version: int, by: Version) -> None:
    """What another registry's version of the same number has scored is not taken for its own."""
    log = line.tables.commits(table, since=line.tables.oldest(table), until=version)
    made = [each.noted for each in log if each.noted.get("model_version") == by.number]
    if not made or made[-1].get("model", _digest(by)) == _digest(by):
        return
    theirs = F.col("model_version") == by.number
    if not line.tables.read(table, version=version).where(theirs).isEmpty():
        raise Refused(
            f"{table} has predictions of another model that is version {by.number}, too",
            where=f"{table} version {version}",
            hint="the registry was begun anew, or is another one: train until a version has a "
            f"number of its own, or delete the rows of model_version = {by.number}",
        )


def _digest(by: Version) -> str:
    return str(json.loads(by.tags["files"])[portable.FILE])


def _newest(rows: DataFrame, as_of: datetime | None, where: str) -> datetime:
    known = rows if as_of is None else rows.where(F.col("as_of") <= F.lit(as_of))
    newest = known.agg(F.max("as_of")).first()
    if newest is None or newest[0] is None:
        raise Missing(
            "there is no cut-off to score",
            where=f"{where}, as-of {as_of or 'any'}",
            hint="as-ofs are the cut-offs of the problem; see `driftline explain`",
        )
    found: datetime = utc(newest[0])
    return found


def _score(
    line: Line,
    ledger: Run,
    models: Registry,
    by: Version,
    asked: DataFrame,
    known: DataFrame | None,
    table: Table,
    features_version: int,
    key: str,
    *,
    full: bool,
    day: datetime,
) -> None:
    """Score ``asked``, let the gate judge what comes out with what is ``known``, write it."""
    given = asked.count()
    if not given:
        return
    folder = models.folder(by)
    content, reasons = ((folder / name).read_bytes() for name in (portable.FILE, portable.REASONS))
    ledger.progress(f"scoring {given:,} rows by version {by.number}")
    entity = line.problem.entity
    facts = Portable(content).facts
    found = scoring.predicted(asked, content, reasons, facts, keep=(entity, "as_of"))
    found = found.select(
        F.col(entity).cast("string").alias("entity"),
        "as_of",
        "score",
        "prediction",
        "reasons",
        F.lit(by.number).cast("int").alias("model_version"),
        F.lit(features_version).cast("bigint").alias("features_version"),
        F.lit(line.problem.digest).alias("problem"),
        F.lit(ledger.run_id).alias("run_id"),
    ).persist()
    try:
        odd = F.when(finite("score").isNull(), True)
        scored, unknown = found.agg(F.count(F.lit(1)), F.count(odd)).collect()[0]
        if given != scored:
            raise DriftlineError(
                f"{given} rows were given to the model and {scored} came back",
                where=f"gold.features version {features_version}",
                hint="this is a bug in driftline, please report it",
            )
        if unknown:
            kind = asked.schema[entity].dataType
            named = F.xxhash64(F.col("entity").cast(kind), "as_of").alias("row")
            few = found.where(odd).select(named).sort("row").limit(_NAMED).collect()
            raise Refused(
                f"{table.full_name} was not written: the model has no finite score for {unknown:,} "
                f"of {given:,} rows",
                where=f"gold.features version {features_version}, xxhash64({entity}, as_of) in "
                + ", ".join(str(each.row) for each in few),
                hint="is a value of theirs beyond all others? Clip the column (prepare: clip:), or "
                "mend the data; then run again",
            )
        # A few late rows say little alone: they are judged with those they join.
        judged = found if known is None else known.select(*found.columns).unionByName(found)
        # One suite guards both tables; what it says is said of the one that is written.
        suite = suite_of(line, schemas.PREDICTIONS)
        guard(line, ledger, judged, table, suite=suite)
        noted = {"model_version": by.number, "model": _digest(by)}
        if full:
            until = f"as_of <= TIMESTAMP '{day:%Y-%m-%d %H:%M:%S}'"
            where = f"{until} AND model_version = {by.number}"
            rows = _with_the_rest(line, found, table, where)
            ledger.wrote(line.tables.replace(rows, table, where=where, key=key, noted=noted))
        else:
            ledger.wrote(line.tables.append(found, table, key=key, noted=noted))
    finally:
        found.unpersist()
    ledger.count(in_=given, out=scored)


def _with_the_rest(line: Line, found: DataFrame, table: Table, where: str) -> DataFrame:
    """What was scored, and what the table has beside it: of who has no features any more, what was
    predicted stays.
    """
    name = table.full_name
    if not line.tables.exists(name):
        return found
    there = line.tables.read(name, version=line.tables.version(name)).where(where)
    again = found.select(F.col("entity").alias("_entity"), F.col("as_of").alias("_as_of"))
    same = F.col("entity").eqNullSafe(F.col("_entity")) & (F.col("as_of") == F.col("_as_of"))
    rest = there.join(again, same, "left_anti")
    return found.unionByName(rest.select(*found.columns))
