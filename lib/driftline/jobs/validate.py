"""``bronze.<source>`` → ``silver.<source>``: good rows once, bad ones to quarantine."""

from __future__ import annotations

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import quality, schemas
from driftline.errors import Refused
from driftline.jobs.gate import guard, suite_of
from driftline.jobs.line import Line
from driftline.ledger import Run


def run(line: Line) -> str:
    """Judge every batch that landed since the last time; returns what happened in words."""
    for source in line.problem.sources:  # a suite that is wrong is refused before any work
        suite_of(line, schemas.silver(line.problem, source))
    names = [f"silver.{source}" for source in line.problem.sources]
    with (
        line.ledger.run("validate") as ledger,
        line.tables.lock(*names, schemas.QUARANTINE.full_name),
    ):
        batches = _landed(line)
        refused: list[Refused] = []
        said = [
            _source(line, ledger, source, batches[source], refused)
            for source in line.problem.sources
        ]
        ledger.message = "; ".join(said)
        if refused:
            raise Refused(
                f"{len(refused)} batches were refused; what else was new went through",
                where="; ".join(each.where for each in refused),
                hint=refused[0].hint,
            )
        return ledger.message


def _landed(line: Line) -> dict[str, list[str]]:
    """The batches of each source that are in bronze, in the order in which they were planned."""
    rows = line.tables.read(schemas.DELIVERIES.full_name).where(F.col("status") == "landed")
    ordered = rows.groupBy("source", "batch").agg(F.min("at").alias("at")).orderBy("at", "batch")
    found: dict[str, list[str]] = {source: [] for source in line.problem.sources}
    for row in ordered.collect():
        found.setdefault(row.source, []).append(row.batch)
    return found


def _source(line: Line, ledger: Run, source: str, landed: list[str], refused: list[Refused]) -> str:
    """Judge the new batches of one source; one that is refused does not hold up the others."""
    bronze = f"bronze.{source}"
    version = line.tables.version(bronze)
    ledger.read(bronze, version)
    done = line.tables.committed(f"silver.{source}")
    totals = []
    for batch in landed:
        if f"validate:{batch}" not in done:
            try:
                totals.append(_batch(line, ledger, source, version, batch))
            except Refused as refusal:
                refused.append(refusal)
    if not totals:
        return f"{source}: nothing new"
    good, bad, repeats = (sum(each[place] for each in totals) for place in range(3))
    return f"{source}: {good:,} good, {bad:,} quarantined, {repeats:,} known duplicates"


def _batch(line: Line, ledger: Run, source: str, version: int, batch: str) -> tuple[int, int, int]:
    """Judge one batch. Quarantine first, silver last: silver's commit marks the batch as done."""
    table = schemas.silver(line.problem, source)
    declared = line.problem.sources[source]
    rows = line.tables.read(f"bronze.{source}", version=version).where(F.col("_batch") == batch)
    rows = rows.persist()
    try:
        guard(line, ledger, rows, table)
        ledger.progress(f"splitting {source}")
        seen = line.tables.read(table.full_name) if line.tables.exists(table.full_name) else None
        judged = quality.mark_repeats(
            quality.judge(rows, suite_of(line, table)), seen, key=declared.key, time=declared.time
        ).persist()
        try:
            counts = judged.select(
                F.count("*").alias("all"),
                F.count_if(F.size("_rules") > 0).alias("bad"),
                F.count_if("_repeat").alias("repeats"),
            ).first()
            assert isinstance(counts, Row)
            key = f"validate:{batch}"
            bad = 0
            if counts.bad:
                columns = list(declared.columns)
                rejected = quality.quarantined(
                    judged, columns, table=table.full_name, run_id=ledger.run_id
                )
                written = line.tables.append(rejected, schemas.QUARANTINE, key=key)
                ledger.wrote(written)
                bad = counts.bad if written.rows is None else written.rows
            passed = judged.where((F.size("_rules") == 0) & ~F.col("_repeat"))
            written = line.tables.append(passed, table, key=key)
            ledger.wrote(written)
        finally:
            judged.unpersist()
    finally:
        rows.unpersist()
    # What Delta says it wrote against what was read: the two are counted apart.
    good = written.rows or 0
    ledger.count(in_=counts["all"], out=good, rejected=bad, duplicate=counts.repeats)
    return good, bad, counts.repeats
