"""``bronze.<source>`` → ``silver.<source>``: good rows once, bad ones to quarantine."""

from __future__ import annotations

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import quality, schemas
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
        said = [_source(line, ledger, source) for source in line.problem.sources]
        ledger.message = "; ".join(said)
        return ledger.message


def _source(line: Line, ledger: Run, source: str) -> str:
    bronze = f"bronze.{source}"
    version = line.tables.version(bronze)
    ledger.read(bronze, version)
    done = line.tables.committed(f"silver.{source}")
    landed = [
        key.removeprefix("ingest:")
        for key in sorted(line.tables.committed(bronze))
        if key.startswith("ingest:")
    ]
    new = [batch for batch in landed if f"validate:{batch}" not in done]
    totals = [_batch(line, ledger, source, version, batch) for batch in new]
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
            if counts.bad:
                columns = list(declared.columns)
                bad = quality.quarantined(
                    judged, columns, table=table.full_name, run_id=ledger.run_id
                )
                ledger.wrote(line.tables.append(bad, schemas.QUARANTINE, key=key))
            good = judged.where((F.size("_rules") == 0) & ~F.col("_repeat"))
            ledger.wrote(line.tables.append(good, table, key=key))
        finally:
            judged.unpersist()
    finally:
        rows.unpersist()
    passed = counts["all"] - counts.bad - counts.repeats
    ledger.count(in_=counts["all"], out=passed, rejected=counts.bad, duplicate=counts.repeats)
    return passed, counts.bad, counts.repeats
