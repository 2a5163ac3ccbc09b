"""``ops.runs``, tables, a probe → ``ops.sla``: which promises are kept, each with its evidence."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import schemas, sla
from driftline.jobs import acting, measuring
from driftline.jobs.line import Line
from driftline.probing import Probe
from driftline.registry import Registry
from driftline.session import utc
from driftline.sla import Found, Judged, Promise
from driftline.tiles import moment

_ENDED = ("done", "unchanged")


def run(line: Line, *, as_of: datetime | None = None, probed: Probe | None = None) -> list[Judged]:
    """Judge everything that is promised, or by a probe what is promised of servers, and keep it.

    Freshness, the deadline and the model are judged as of ``as_of``, or of now: what a day that is
    made up for owed was due then. All else is of the newest runs.
    """
    now = datetime.now(timezone.utc)
    wanted = sla.promises(line.problem.sla, line.problem.train.metric)
    with line.ledger.run("sla") as ledger, line.tables.lock(schemas.SLA.full_name, wait=120.0):
        judged = [
            sla.judge(promise, _probe(promise, probed) if probed else _found(line, promise, as_of))
            for promise in wanted
            if probed is None or promise.kind in sla.PROBED
        ]
        rows = [_row(each, ledger.run_id, now) for each in judged]
        if rows:
            ledger.wrote(line.tables.append_values(rows, schemas.SLA, key=None))
        ledger.message = sla.counted(judged)
    return judged


def _found(line: Line, promise: Promise, as_of: datetime | None) -> Found | None:
    now = datetime.now(timezone.utc)
    if promise.kind == "freshness":
        return _freshness(line, promise.subject, as_of or now)
    if promise.kind == "duration":
        return _duration(line, promise, now)
    if promise.kind == "deadline":
        assert line.problem.sla.deadline is not None
        # Nobody has missed a deadline that is to come.
        return _deadline(line, line.problem.sla.deadline, min(as_of or now, now))
    if promise.kind == "quality":
        return _quality(line)
    if promise.kind == "model":
        return _model(line, promise, as_of or now)
    return _last_probe(line, promise)


def _freshness(line: Line, table: str, now: datetime) -> Found | None:
    if not line.tables.exists(table):
        return None
    version = line.tables.version(table)
    layer, _, source = table.partition(".")
    column = line.problem.sources[source].time if layer == "silver" else "as_of"
    at = moment(column)
    # A row of the future, by a wrong clock or as a past day saw it, must not make others fresh.
    past = line.tables.read(table, version=version).where(at <= F.lit(now))
    row = past.agg(F.max(at)).first()
    if row is None or row[0] is None:
        return None
    newest = utc(row[0])
    said = f"newest row of {newest:%Y-%m-%d %H:%M}"
    return Found(sla.age(newest, now), said, _writer(line, table), table, version)


def _writer(line: Line, table: str) -> str | None:
    """The run that wrote to a table last."""
    for row in _runs(line, f"exists(tables_written, each -> each.table = '{table}')", 1):
        return str(row.run_id)
    return None


def _duration(line: Line, promise: Promise, now: datetime) -> Found | None:
    # Looked at before the ledger: one that ends in between has its row.
    going_on = line.ledger.going_on(promise.subject)
    rows = _runs(line, f"stage = '{promise.subject}'", 10_000)
    runs = [(utc(row.started_at), row.status, row.wall_seconds, row.run_id) for row in rows]
    ended = {row.run_id for row in rows}
    runs += [
        (begun, "running", (now - begun).total_seconds(), run_id)
        for run_id, begun in going_on
        if run_id not in ended
    ]
    runs.sort(key=lambda run: run[0], reverse=True)
    found = sla.timed(
        ((status, begun, seconds) for begun, status, seconds, _ in runs), promise.limit, now
    )
    if found is None:
        return None
    begun, status, _, run_id = runs[found[0]]
    said = f"{status}, begun {begun:%Y-%m-%d %H:%M}"
    said += ", and not ended since" if status in ("killed", "running") else ""
    return Found(found[1], said, run_id)


def _deadline(line: Line, deadline: str, now: datetime) -> Found | None:
    """A turn comes to its decision where monitor ends; what that asks for takes its time."""
    until = f"started_at <= TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}'"
    rows = _runs(line, f"stage = 'monitor' AND status IN {_ENDED} AND {until}", 1000)
    turns = {}
    for row in rows:
        began = utc(row.started_at)
        end = began + timedelta(seconds=row.wall_seconds)
        turns[sla.Turn(end, sla.day(row.as_of and utc(row.as_of), began))] = row
    found = sla.decided(list(turns), deadline, line.problem.schedule.at, now)
    if found is None:
        return None
    hour, end = found
    ended = [row.run_id for turn, row in turns.items() if turn.end == end]
    if not ended:
        return Found(hour, f"no turn has decided until {end:%Y-%m-%d %H:%M}")
    return Found(hour, f"a turn decided {end:%Y-%m-%d %H:%M}", ended[0])


def _quality(line: Line) -> Found | None:
    """Rows of the newest validation that came to its end and judged any, those of refused batches
    among them.
    """
    name = schemas.QUALITY.full_name
    if not (line.tables.exists(name) and line.tables.exists(schemas.RUNS.full_name)):
        return None
    batches = (
        line.tables.read(name)
        .where("`table` LIKE 'silver.%'")
        .groupBy("run_id", "table", "batch")
        .agg(F.max("element_count").alias("rows"), F.max("at").alias("at"))
    )
    newest = batches.groupBy("run_id").agg(F.sum("rows").alias("rows"), F.max("at").alias("at"))
    # One that was killed or failed has kept verdicts on rows that it had not come to write.
    ended = line.tables.read(schemas.RUNS.full_name).where(F.col("status").isin("done", "refused"))
    runs = ended.select("run_id", "rows_in", "rows_out", "rows_duplicate")
    newest = newest.join(runs, "run_id", "inner")
    for row in newest.orderBy(F.col("at").desc()).limit(5).collect():
        all_ = max(row.rows or 0, row.rows_in or 0)
        out, again = row.rows_out or 0, row.rows_duplicate or 0
        share = sla.passed(judged=all_, out=out, duplicate=again)
        if share is not None:
            return Found(share, f"{out + again:,} of {all_:,} rows passed", row.run_id)
    return None


def _model(line: Line, promise: Promise, as_of: datetime) -> Found | None:
    """By the newest labels of the predictions of whoever was champion as of then; before there are
    any, by the test set.
    """
    champion = acting.acting(Registry(line.environment.mlflow, line.problem.name), as_of)
    if champion is None:
        return None
    end = "high" if promise.at_most else "low"
    real = [
        each
        for each in measuring.read(line, as_of)
        if each.version == champion.number and promise.subject in each.real
    ]
    if real:
        bound = getattr(real[-1].real[promise.subject], end)
        said = f"{end} end by labels of {real[-1].cutoff:%Y-%m-%d}, model version {champion.number}"
        name = schemas.PERFORMANCE.full_name
        return Found(bound, said, _writer(line, name), name, line.tables.version(name))
    name = schemas.EVALUATIONS.full_name
    if not line.tables.exists(name):  # another warehouse than the one it was judged in
        return None
    rows = line.tables.read(name).where(
        (F.col("model_version") == champion.number)
        & (F.col("part") == "test")
        & (F.col("model") == "model")
        & (F.col("metric") == promise.subject)
    )
    for row in rows.collect():
        said = f"{end} end on the test set, model version {champion.number}; no labels to judge by"
        return Found(row[end], said, row.run_id, name, line.tables.version(name))
    return None


def _probe(promise: Promise, probed: Probe) -> Found:
    said = f"{probed.asked:,} requests to {probed.url}, {probed.failed:,} failed"
    if probed.error:
        return Found(None, f"{probed.url} gave no answer: {probed.error}")
    said += f", model version {probed.version}"
    if promise.kind == "response":
        return Found(probed.p99, f"at {probed.rate:g}/s: {said}")
    return Found(probed.throughput, said)


def _last_probe(line: Line, promise: Promise) -> Found | None:
    """What the newest probe found, which this table itself has kept; of a rate that is promised no
    more it tells nothing.
    """
    name = schemas.SLA.full_name
    if not line.tables.exists(name):
        return None
    probes = line.tables.read(name).where(F.col("evidence_table").isNull() & (F.col("said") != ""))
    rows = probes.where(F.col("kind") == promise.kind)
    rate = line.problem.sla.serving.throughput
    if rate is not None:
        asked = probes.where((F.col("kind") == "throughput") & (F.col("limit") == rate))
        rows = rows.join(asked.select("run_id"), "run_id", "left_semi")
    for row in rows.orderBy(F.col("at").desc()).limit(1).collect():
        version = line.tables.version(name)
        said = f"probe of {row.at:%Y-%m-%d %H:%M}: {row.said}"
        return Found(row.value, said, row.run_id, name, version)
    return None


def _runs(line: Line, where: str, most: int) -> list[Row]:
    """The newest runs of the ledger that are meant."""
    name = schemas.RUNS.full_name
    if not line.tables.exists(name):
        return []
    rows = line.tables.read(name).where(where)
    return rows.orderBy(F.col("started_at").desc()).limit(most).collect()


def _row(judged: Judged, run_id: str, at: datetime) -> tuple[object, ...]:
    promise, found = judged.promise, judged.found or Found(None, "")
    return (
        promise.kind,
        promise.subject,
        judged.verdict,
        found.value,
        promise.limit,
        promise.at_most,
        promise.unit,
        found.said,
        found.run_id,
        found.table,
        found.version,
        run_id,
        at,
    )
