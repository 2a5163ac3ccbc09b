"""Rows that break a rule, each with its reasons, and back again once they are cured; repeats.

Quarantine keeps a row as JSON beside the rules it broke. What a rule is called may change: its
fingerprint tells whether the demand a row was kept out for still stands. Of a refused batch that is
given up all rows are kept, with what the batch broke as a whole among their reasons.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

from driftline import quality
from driftline.suite_files import Rule, Suite


def splitting(suite: Suite) -> list[Rule]:
    """The rules that send single rows to quarantine."""
    return [rule for rule in suite.rules if rule.severity == "error" and quality.by_row(rule)]


def is_bad(rules: Sequence[Rule]) -> Column:
    """True where a row breaks any of the rules."""
    return functools.reduce(operator.or_, map(quality.breaks, rules), F.lit(False))


def quarantined(
    rows: DataFrame,
    rules: Sequence[Rule],
    columns: Sequence[str],
    *,
    table: str,
    run_id: str,
    refused_by: Sequence[Rule] = (),
) -> DataFrame:
    """The rows that break any of the rules, as rows of ``ops.quarantine``, with which they are.

    ``columns`` are those that the row is kept with, as JSON that :func:`restored` reads again. If
    the batch is ``refused_by`` rules, all rows are kept.
    """
    kept = _row(columns)
    bad = rows if refused_by else rows.where(is_bad(rules))
    return bad.select(
        F.lit(table).alias("table"),
        F.col("_delivery").alias("delivery"),
        F.col("_offset").alias("offset"),
        F.concat(broken(rules), _whole(refused_by)).alias("rules"),
        kept.alias("row"),
        F.xxhash64(kept).alias("row_hash"),
        F.col("_batch").alias("batch"),
        F.lit(run_id).alias("run_id"),
    )


def is_affected(suite: Suite) -> Column:
    """True for rows of ``ops.quarantine`` that the suite may judge otherwise than they were.

    One of the demands such a row broke is not made any more, or somebody mended the row.
    """
    demanded = [rule.fingerprint for rule in splitting(suite)] + _of_batches(suite)
    dropped = F.exists("rules", lambda rule: ~rule["fingerprint"].isin(demanded))
    return dropped | (F.col("row_hash") != F.xxhash64("row"))


def standing(suite: Suite) -> Column:
    """Of the rules in a row of ``ops.quarantine`` those that its batch broke as a whole and that
    the suite still has: no row by itself can keep them.
    """
    demanded = _of_batches(suite)
    return F.filter("rules", lambda rule: rule["fingerprint"].isin(demanded))


_BATCH = "batch:"
"""Before the fingerprint of a rule that a row's batch broke as a whole."""


def _of_batches(suite: Suite) -> list[str]:
    return [_BATCH + rule.fingerprint for rule in suite.rules if rule.severity == "error"]


def _whole(rules: Sequence[Rule]) -> Column:
    """The rules that a batch was refused by, as reasons of each of its rows."""
    told = [_reason(f"{each.name} (its batch)", _BATCH + each.fingerprint, each) for each in rules]
    return F.array(*told).cast(BROKEN)


BROKEN = "array<struct<name:string,fingerprint:string,columns:array<string>>>"


def broken(rules: Sequence[Rule]) -> Column:
    """The rules that a row breaks: name, fingerprint, columns of each."""
    told = [
        F.when(quality.breaks(rule), _reason(rule.name, rule.fingerprint, rule)) for rule in rules
    ]
    return F.array_compact(F.array(*told)).cast(BROKEN)


def _reason(name: str, fingerprint: str, rule: Rule) -> Column:
    return F.struct(
        F.lit(name).alias("name"),
        F.lit(fingerprint).alias("fingerprint"),
        F.array(*map(F.lit, rule.columns)).cast("array<string>").alias("columns"),
    )


_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def _row(columns: Sequence[str]) -> Column:
    return F.to_json(F.struct(*(F.col(f"`{name}`") for name in columns)), _JSON)


def restored(kept: DataFrame, ddl: str, *also: str) -> DataFrame:
    """Rows of ``ops.quarantine`` as the rows they were, or have been mended to.

    ``ddl`` are the columns of :func:`quarantined`. Beside them stand ``_delivery``, ``_offset``,
    ``_batch``, ``_row_hash``, and ``_readable``: false where the JSON is not of these columns, or
    was mended and has others, as a misspelt one. ``also``: columns of ``kept`` that stay.
    """
    strict = {**_JSON, "columnNameOfCorruptRecord": "_corrupt", "mode": "PERMISSIVE"}
    parsed = F.from_json("row", f"{ddl}, _corrupt string", strict)
    fields = DataType.fromDDL(ddl)
    assert isinstance(fields, StructType)
    as_kept = F.col("row_hash") == F.xxhash64("row")  # with columns that were dropped since, too
    strange = F.array_except(F.json_object_keys("row"), F.lit(fields.names))
    return (
        kept.withColumn("_parsed", parsed)
        .select(
            "_parsed.*",
            F.col("delivery").alias("_delivery"),
            F.col("offset").alias("_offset"),
            F.col("batch").alias("_batch"),
            F.xxhash64("row").alias("_row_hash"),
            F.coalesce(
                F.col("_parsed").isNotNull()
                & F.col("_parsed._corrupt").isNull()
                & (as_kept | (F.size(strange) == 0)),
                F.lit(False),
            ).alias("_readable"),
            *also,
        )
        .drop("_corrupt")
    )


def mark_repeats(
    good: DataFrame, seen: DataFrame | None, *, key: Sequence[str], time: str
) -> DataFrame:
    """Add ``_repeat``: true where a row's key stands in ``seen`` or in an earlier row.

    Earlier means by event time, then delivery, then place in it. A null in the key never repeats.
    """
    if not key:
        return good.withColumn("_repeat", F.lit(False))
    complete = functools.reduce(operator.and_, (F.col(name).isNotNull() for name in key))
    order = Window.partitionBy(*key).orderBy(time, "_delivery", "_offset")
    repeats = F.row_number().over(order) > 1
    if seen is not None:
        before = seen.select(*key).distinct().withColumn("_seen", F.lit(True))
        good = good.join(before, on=list(key), how="left")
        repeats = repeats | F.col("_seen").isNotNull()
    return good.withColumn("_repeat", complete & repeats).drop("_seen")
