"""Rows of quarantine, judged again after a fix of the suite or of the rows themselves.

A row is asked for again if one of the demands it broke is no longer made, or if its JSON is not
what was judged. It is known by its delivery and offset: rows that are in silver are not added
again, and what is in silver leaves quarantine. Killed anywhere, the same command goes on. A batch
that silver has not got yet, after a kill of ``validate``, is left to it: it judges all its rows.
"""

from __future__ import annotations

from pyspark.sql import Row
from pyspark.sql import functions as F

from driftline import quality, quarantine, schemas
from driftline.digests import digest
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.suite_files import Suite

_RECORD = ["_delivery", "_offset"]


def replay(line: Line, ledger: Run, source: str, suite: Suite) -> str:
    """Judge what may be cured of one source; returns what happened in words."""
    table, name = schemas.silver(line.problem, source), schemas.QUARANTINE.full_name
    if not line.tables.exists(name) or not line.tables.exists(table.full_name):
        return f"{source}: nothing in quarantine"
    declared = line.problem.sources[source]
    rules = quarantine.splitting(suite)
    version = line.tables.version(name)
    ledger.read(name, version)
    done = line.tables.committed(table.full_name)
    kept = line.tables.read(name, version=version).where(
        (F.col("table") == table.full_name) & F.concat(F.lit("validate:"), "batch").isin(*done)
    )
    affected = kept.where(quarantine.is_affected(rules))
    columns = [each for each in table.columns if each.name not in schemas.RECORD]
    ddl = ", ".join(f"`{each.name}` {each.type}" for each in columns)
    rows = quarantine.restored(affected, ddl).withColumn("_rules", quarantine.broken(rules))
    rows = rows.persist()
    try:
        cured = F.col("_readable") & (F.size("_rules") == 0)
        counts = rows.agg(
            F.count(F.lit(1)).alias("all"),
            F.count_if(cured).alias("cured"),
            F.count_if(~F.col("_readable")).alias("unreadable"),
        ).first()
        assert isinstance(counts, Row)
        if not counts.all:
            return f"{source}: nothing in quarantine that could be cured"
        ledger.progress(f"judging {counts.all:,} rows of {source} again")
        before = line.tables.version(table.full_name)
        silver = line.tables.read(table.full_name, version=before)
        fresh = rows.where(cured).join(silver.select(*_RECORD), _RECORD, "left_anti")
        marked = quarantine.mark_repeats(fresh, silver, key=declared.key, time=declared.time)
        key = "replay:" + digest([suite.digest, version, before])[:16]
        written = line.tables.append(marked.where(~F.col("_repeat")), table, key=key)
        ledger.wrote(written)
        judged = rows.where("_readable").select(
            F.lit(table.full_name).alias("table"),
            F.col("_delivery").alias("delivery"),
            F.col("_offset").alias("offset"),
            F.col("_rules").alias("rules"),
            F.col("_row_hash").alias("row_hash"),
            F.lit(ledger.run_id).alias("run_id"),
        )
        on = ("table", "delivery", "offset")
        ledger.wrote(
            line.tables.merge(judged, schemas.QUARANTINE, on=on, gone="size(new.rules) = 0")
        )
    finally:
        rows.unpersist()
    good = written.rows or 0
    repeats, bad = counts.cured - good, counts.all - counts.cured
    ledger.count(in_=counts.all, out=good, rejected=bad, duplicate=repeats)
    broken = f", {counts.unreadable:,} of them not JSON of its columns" if counts.unreadable else ""
    return (
        f"{source}: {counts.all:,} rows judged again: {good:,} cured, {repeats:,} known "
        f"duplicates, {bad:,} stay in quarantine{broken}"
    )


def trial(line: Line, ledger: Run, source: str, suite: Suite) -> list[str]:
    """What the suite would keep out of all that ever landed, by rule, delivery and day; in lines.

    Writes nothing.
    """
    bronze = f"bronze.{source}"
    version = line.tables.version(bronze)
    ledger.read(bronze, version)
    rules = [rule for rule in suite.rules if quality.by_row(rule)]
    rows = line.tables.read(bronze, version=version)
    day = F.to_date(line.problem.sources[source].time).alias("day")
    counts = [F.count_if(quality.breaks(rule)).alias(f"r{n}") for n, rule in enumerate(rules)]
    ledger.progress(f"trying {len(rules)} rules on {bronze}")
    grouped = rows.groupBy("_delivery", day).agg(F.count(F.lit(1)).alias("all"), *counts)
    found = grouped.orderBy("day", "_delivery").collect()
    paths = {
        row.delivery: row.path
        for row in line.tables.read(schemas.DELIVERIES.full_name)
        .where(F.col("source") == source)
        .select("delivery", "path")
        .distinct()
        .collect()
    }
    total = sum(row["all"] for row in found)
    said = []
    for place, rule in enumerate(rules):
        hit = [row for row in found if row[f"r{place}"]]
        broken = sum(row[f"r{place}"] for row in hit)
        said.append(f"silver.{source} {rule.name}: {broken:,} of {total:,} rows break it")
        worst = sorted(hit, key=lambda row: -row[f"r{place}"])[:_SHOWN]
        said += [
            f"  {row.day or 'no day'}  {paths.get(row._delivery, row._delivery)}: "
            f"{row[f'r{place}']:,} of {row['all']:,}"
            for row in worst
        ]
        if len(hit) > _SHOWN:
            said.append(f"  and {len(hit) - _SHOWN:,} more deliveries and days")
    return said


_SHOWN = 10
"""Deliveries and days that are shown of a rule, the worst first."""
