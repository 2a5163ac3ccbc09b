"""Rows that break a rule, each with its reasons, and back again once they are cured; repeats.

Quarantine keeps a row as JSON beside the rules it broke. What a rule is called may change: its
fingerprint tells whether the demand a row was kept out for still stands. Of a refused batch that is
given up all rows are kept, with what the batch broke as a whole among their reasons.
"""

from __future__ import annotations

import functools
import operator
import re
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
        F.concat(broken(rules), whole(refused_by)).alias("rules"),
        kept.alias("row"),
        F.xxhash64(kept).alias("row_hash"),
        F.col("_batch").alias("batch"),
        F.lit(run_id).alias("run_id"),
    )


def is_affected(suite: Suite) -> Column:
    """True for rows of ``ops.quarantine`` that the suite may judge otherwise than they were.

    One of the demands such a row broke is not made any more, or somebody mended the row.
    """
    return (F.size(lost(suite)) > 0) | (F.col("row_hash") != F.xxhash64("row"))


def lost(suite: Suite) -> Column:
    """Of the rules in a row of ``ops.quarantine`` those that the suite does not ask of the row, or
    of its batch, any more: it has none of them, or has made another of it.
    """
    demanded = [rule.fingerprint for rule in splitting(suite)] + _of_batches(suite)
    return F.filter("rules", lambda rule: ~rule["fingerprint"].isin(demanded))


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


def of_batch(reasons: str) -> Column:
    """Of ``reasons`` those that a row's batch broke as a whole."""
    return F.filter(reasons, _is_of_batch)


def _is_of_batch(reason: Column) -> Column:
    return reason["fingerprint"].startswith(_BATCH)


_OF_ALL_ROWS = (
    "expect_column_kl_divergence_to_be_less_than",
    "expect_column_median_to_be_between",
    "expect_column_most_common_value_to_be_in_set",
    "expect_column_quantile_values_to_be_between",
    "expect_column_type_to_be",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_be_decreasing",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_not_be_outliers",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
)
_GROUPED = re.compile(r"\b(group\s+by|having)\b", re.I)


def run_on_rows(suite: Suite) -> list[Rule]:
    """The refusing rules about single rows that Great Expectations runs: it does not say which rows
    break them.

    One that nobody knows is held to be such a rule: nothing is let in that it was not asked of.
    """
    run = [each for each in suite.rules if each.severity == "error" and not quality.compiled(each)]
    return [rule for rule in run if not _is_of_all_rows(rule)]


def run_on_batches(suite: Suite) -> list[Rule]:
    """The refusing rules that only all rows of a batch together keep or break."""
    rows = [*splitting(suite), *run_on_rows(suite)]
    refusing = [rule for rule in suite.rules if rule.severity == "error" and rule not in rows]
    return [rule for rule in refusing if rule.type not in quality.SCHEMA]


def _is_of_all_rows(rule: Rule) -> bool:
    known = {*_OF_ALL_ROWS, *quality.AGGREGATES, *quality.GROUPS, *quality.SCHEMA}
    query = str(rule.arguments.get("unexpected_rows_query", ""))
    return rule.type in known or _GROUPED.search(query) is not None


def of_same_columns(rules: Sequence[Rule], reasons: str) -> Column:
    """Of a row's own ``reasons`` those that may have become one of ``rules``: they have a column in
    common, or one of them, being SQL, names none.
    """
    names = F.array(*(F.lit(name) for rule in rules for name in rule.columns))
    everywhere = F.lit(any(not rule.columns for rule in rules))
    return F.filter(
        reasons,
        lambda reason: (
            ~_is_of_batch(reason)
            & (
                everywhere
                | (F.size(reason["columns"]) == 0)
                | F.arrays_overlap(reason["columns"], names.cast("array<string>"))
            )
        ),
    )


def whole(rules: Sequence[Rule]) -> Column:
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


_ARRIVED = "_arrived_at"
_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def _row(columns: Sequence[str]) -> Column:
    return F.to_json(F.struct(*(F.col(f"`{name}`") for name in columns)), _JSON)


def restored(kept: DataFrame, ddl: str, *also: str) -> DataFrame:
    """Rows of ``ops.quarantine`` as the rows they were, or have been mended to.

    ``ddl`` are the columns of :func:`quarantined`. Beside them stand ``_delivery``, ``_offset``,
    ``_batch``, ``_row_hash``, and ``_readable``: false where the JSON is not of these columns, or
    was mended and has others, as a misspelt one, or does not say any more when the row arrived: no
    feature would see it. ``also``: columns of ``kept`` that stay.
    """
    strict = {**_JSON, "columnNameOfCorruptRecord": "_corrupt", "mode": "PERMISSIVE"}
    parsed = F.from_json("row", f"{ddl}, _corrupt string", strict)
    fields = DataType.fromDDL(ddl)
    assert isinstance(fields, StructType)
    as_kept = F.col("row_hash") == F.xxhash64("row")  # with columns that were dropped since, too
    strange = F.array_except(F.json_object_keys("row"), F.lit(fields.names))
    arrived = [F.col(f"_parsed.{_ARRIVED}").isNotNull()] if _ARRIVED in fields.names else []
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
                & (as_kept | quality.every([F.size(strange) == 0, *arrived])),
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
