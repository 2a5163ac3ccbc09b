"""Rows of quarantine, judged again after a fix of the suite or of the rows themselves.

A row is asked for again if one of the demands it broke is no longer made, or if its JSON is not
what was judged. It is known by its delivery and offset: rows that are in silver are not added
again, and what is in silver leaves quarantine, whatever the suite is by then: a replay that was
killed between its writes may have let it in by another. Killed anywhere, the same command goes on.
A batch that silver has not got yet, after a kill of ``validate``, is left to it: it judges all its
rows.

A demand that is no longer made may have become another one. So rows of a batch that was given up
come back if the whole batch keeps the suite as it is, and rows whose demand may have become one
that Great Expectations runs, if it finds none that breaks it. Rows of a batch that has one on whose
value a rule fails are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from driftline import quarantine, schemas, untold
from driftline.digests import digest
from driftline.jobs.gate import as_declared, judge, unsaid
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.logs import visible
from driftline.schemas import Table
from driftline.suite_files import Rule, Suite

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
    before = line.tables.version(table.full_name)
    silver = as_declared(line.tables.read(table.full_name, version=before), table)
    record = [F.col(name).alias(name.removeprefix("_")) for name in _RECORD]
    passed = silver.select(*record, F.lit(True).alias("_passed"))
    known = kept.join(passed, [name.removeprefix("_") for name in _RECORD], "left")
    known = known.withColumn("_passed", F.col("_passed").isNotNull())
    affected = known.where(quarantine.is_affected(suite) | F.col("_passed"))
    affected = affected.withColumn("_standing", quarantine.standing(suite))
    affected = affected.withColumn("_lost", quarantine.lost(suite))
    columns = [each for each in table.columns if each.name not in schemas.RECORD]
    ddl = ", ".join(f"`{each.name}` {each.type}" for each in columns)
    rows = quarantine.restored(affected, ddl, "_passed", "_standing", "_lost")
    with unsaid(suite):
        judged_alone, freed, left = _judged_alone(rows, rules)
    try:
        refused = _refused(judged_alone, freed, silver, table, suite)
        doubted = _doubted(judged_alone, table, suite)
        more = F.concat("_rules", _by_batch(refused), _by_doubt(doubted))
        rows = judged_alone.withColumn("_rules", more)
        judged = F.col("_readable") & F.col("_told")
        passed_again = judged & (F.size("_rules") == 0)
        cured = F.col("_passed") | passed_again
        with unsaid(suite):
            counts = rows.agg(
                F.count(F.lit(1)).alias("all"),
                F.count_if(cured).alias("cured"),
                F.count_if(~cured & ~F.col("_readable")).alias("unreadable"),
                F.count_if(~cured & ~F.col("_told")).alias("untold"),
            ).first()
        assert isinstance(counts, Row)
        if not counts.all:
            return f"{source}: nothing in quarantine that could be cured"
        ledger.progress(f"judging {counts.all:,} rows of {source} again")
        fresh = rows.where(passed_again & ~F.col("_passed"))
        marked = quarantine.mark_repeats(fresh, silver, key=declared.key, time=declared.time)
        key = "replay:" + digest([suite.digest, version, before])[:16]
        written = line.tables.append(marked.where(~F.col("_repeat")), table, key=key)
        ledger.wrote(written)
        told = rows.where(cured | judged).select(
            F.lit(table.full_name).alias("table"),
            F.col("_delivery").alias("delivery"),
            F.col("_offset").alias("offset"),
            F.when(cured, F.array().cast(quarantine.BROKEN))
            .otherwise(F.col("_rules"))
            .alias("rules"),
            F.col("_row_hash").alias("row_hash"),
            F.lit(ledger.run_id).alias("run_id"),
        )
        on = ("table", "delivery", "offset")
        ledger.wrote(line.tables.merge(told, schemas.QUARANTINE, on=on, gone="size(new.rules) = 0"))
    finally:
        judged_alone.unpersist()
    good = written.rows or 0
    repeats, bad = counts.cured - good, counts.all - counts.cured
    ledger.count(in_=counts.all, out=good, rejected=bad, duplicate=repeats)
    broken = f", {counts.unreadable:,} of them not JSON of its columns" if counts.unreadable else ""
    others = quarantine.run_on_batches(suite) if good else []
    aside = f"; not asked of single rows: {_names(others)}" if others else ""
    return (
        f"{source}: {counts.all:,} rows judged again: {good:,} cured, {repeats:,} known "
        f"duplicates, {bad:,} stay in quarantine{broken}{_left(counts.untold, left)}"
        f"{_said(refused, doubted)}{aside}"
    )


_JUDGED = "_readable AND _told AND NOT _passed"
"""The rows that the suite decides on."""


def _judged_alone(
    rows: DataFrame, rules: Sequence[Rule]
) -> tuple[DataFrame, list[str], dict[str, str]]:
    """The rows, kept, with ``_rules``, which each breaks, and ``_told``, whether that could be told
    of its batch; the batches of :func:`_freed`; and the rules that could not be told of the others,
    each with Spark's condition.
    """
    judged = _with_rules(rows, rules, untold_of=())
    try:
        return judged, _freed(judged), {}  # all that the rules tell is kept from here on
    except PySparkException as error:
        judged.unpersist()
        if untold.condition_of(error) is None:
            raise
    batches = [row["_batch"] for row in rows.select("_batch").distinct().collect()]

    def tell(batches: Sequence[str], places: Sequence[int]) -> None:
        broken = quarantine.broken([rules[place] for place in places])
        rows.where(F.col("_batch").isin(*batches)).agg(F.max(F.size(broken))).collect()

    every = range(len(rules))
    _, of = untold.as_far_as_told(lambda batches: tell(batches, every), batches)
    _, failing = untold.as_far_as_told(lambda places: tell(list(of), places), every)
    judged = _with_rules(rows, rules, untold_of=list(of))
    return judged, _freed(judged), {rules[each].name: why for each, why in failing.items()}


def _with_rules(rows: DataFrame, rules: Sequence[Rule], *, untold_of: Sequence[str]) -> DataFrame:
    told = ~F.col("_batch").isin(*untold_of)
    broken = F.when(told, quarantine.broken(rules)).otherwise(F.array().cast(quarantine.BROKEN))
    reasons = F.concat(broken, "_standing")
    return rows.withColumn("_told", told).withColumn("_rules", reasons).persist()


def _freed(rows: DataFrame) -> list[str]:
    """The batches that were given up for rules of which none is left."""
    gone = F.size(quarantine.of_batch("_lost")) > 0
    freed = rows.where(_JUDGED).where(gone & (F.size("_standing") == 0))
    return sorted(row["_batch"] for row in freed.select("_batch").distinct().collect())


def _refused(
    rows: DataFrame, freed: Sequence[str], silver: DataFrame, table: Table, suite: Suite
) -> dict[str, list[Rule]]:
    """The batches of ``freed`` that the suite refuses as it is now, each with the rules that do. A
    batch is judged whole, as far as its rows are here or in silver.
    """
    refused = {}
    for batch in freed:
        of_it = F.col("_batch") == batch
        kept = as_declared(rows.where(_JUDGED).where(of_it), table)
        # No verdict of a validation: what was promised of those is about what is new.
        judged = judge(kept.unionByName(silver.where(of_it)), suite, meta={})
        refused[batch] = [each.rule for each in judged.verdicts if each.refusal]
    return {batch: rules for batch, rules in refused.items() if rules}


def _by_batch(refused: Mapping[str, Sequence[Rule]]) -> Column:
    """What keeps the rows of refused batches."""
    told = [
        F.when(F.col("_batch") == batch, quarantine.whole(rules))
        for batch, rules in refused.items()
    ]
    return F.coalesce(*told, F.array().cast(quarantine.BROKEN))


def _doubted(rows: DataFrame, table: Table, suite: Suite) -> list[Rule]:
    """The rules that Great Expectations runs and that one of the rows breaks whose demand may have
    become such a rule.
    """
    rules = quarantine.run_on_rows(suite)
    if not rules:
        return []
    asked = rows.where(_JUDGED).where(F.size(quarantine.of_same_columns(rules, "_lost")) > 0)
    with unsaid(suite):
        if asked.isEmpty():
            return []
    judged = judge(as_declared(asked, table), replace(suite, rules=tuple(rules)), meta={})
    return [each.rule for each in judged.verdicts if each.unexpected_count or not each.success]


def _by_doubt(rules: Sequence[Rule]) -> Column:
    """What keeps rows that may break a rule which does not say which rows do: what kept them."""
    none = F.array().cast(quarantine.BROKEN)
    return quarantine.of_same_columns(rules, "_lost") if rules else none


def _said(refused: Mapping[str, Sequence[Rule]], doubted: Sequence[Rule]) -> str:
    """What keeps rows that break no rule about single rows which says so."""
    said = [
        f"; batch {visible(batch, kept='')} is refused as a whole: {_names(rules)}"
        for batch, rules in refused.items()
    ]
    if doubted:
        said.append(
            f"; some may break {_names(doubted)}: run by Great Expectations, which does not say "
            "which rows do"
        )
    return "".join(said)


def _left(rows: int, rules: Mapping[str, str]) -> str:
    """The rows that are left as they are, and the rules that could not be told of their batches."""
    said = ", ".join(f"{name} {untold.said(why)}" for name, why in rules.items())
    return f", {rows:,} of them left as they are: of their batches {said}" if rules else ""


def _names(rules: Iterable[Rule]) -> str:
    return ", ".join(rule.name for rule in rules)
