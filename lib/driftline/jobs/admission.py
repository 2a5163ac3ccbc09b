"""The good rows of a batch, from bronze's files or rows to silver."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from driftline import (
    arrow_files,
    arrow_rules,
    arrow_split,
    delta_log,
    delta_paths,
    quarantine,
    schemas,
)
from driftline.arrow_files import Files
from driftline.jobs.gate import as_declared
from driftline.jobs.line import Line
from driftline.logs import LOGGER
from driftline.schemas import Table
from driftline.suite_files import Rule
from driftline.tables import Written


def files_of(line: Line, rows: DataFrame, table: Table, batch: str) -> Files | None:
    """Where the rows of a batch are; None where workers cannot read bronze's files as they are."""
    if not line.tables.takes_files(schemas.bronze(line.problem, table.name)):
        return None
    paths = sorted(map(delta_paths.canonical, rows.inputFiles()))
    try:
        return arrow_files.found(paths, delta_log.arrow_schema(table.ddl), ("_batch", batch))
    except arrow_files.OtherColumns as error:
        LOGGER.info("%s: Spark reads the files of batch %s", error, batch)
        return None


def let_in(
    line: Line,
    rows: DataFrame,
    files: Files | None,
    rules: Sequence[Rule],
    table: Table,
    batch: str,
    *,
    count: int,
) -> tuple[Written, int]:
    """Write the rows that break none of the rules and repeat no key to silver; also returns how
    many did repeat one.

    ``rows`` are those of the batch, ``files`` where they are, if that is known. ``count`` is how
    many of them break no rule.
    """
    declared = line.problem.sources[table.name]
    good = rows.where(~quarantine.is_bad(rules)) if rules else rows
    seen = None
    if declared.key and line.tables.exists(table.full_name):
        seen = as_declared(line.tables.read(table.full_name), table)
    marked = quarantine.mark_repeats(good, seen, key=declared.key, time=declared.time)
    told = files is not None and all(arrow_rules.tells(rule, files.schema) for rule in rules)
    if files and told and line.tables.takes_files(table):
        found = marked.where("_repeat").select("_delivery", "_offset").limit(_FEW + 1)
        repeats = list(map(tuple, found.collect())) if declared.key and count else []
        if len(repeats) <= _FEW:
            left = count - len(repeats)
            return _by_workers(line, files, rules, repeats, table, batch, left), len(repeats)
    return _by_spark(line, marked, table, batch, counted=bool(declared.key and count))


_FEW = 100_000
"""Rows that workers are told by name to leave out."""


def _by_workers(
    line: Line,
    files: Files,
    rules: Sequence[Rule],
    repeats: Sequence[tuple[str, int]],
    table: Table,
    batch: str,
    count: int,
) -> Written:
    """They read bronze's files and write silver's: nothing goes through Spark row by row."""
    target = line.tables.target(table, {}, unless=_key(batch))
    new = arrow_split.write(line.spark, files, rules, repeats, target) if target else []
    kept = sum(each.rows for each in new)
    if target and kept != count:
        raise RuntimeError(f"{kept:,} rows would go to {table.full_name}, not {count:,}")
    return line.tables.append_files(new, table, key=_key(batch))


def _by_spark(
    line: Line, marked: DataFrame, table: Table, batch: str, *, counted: bool
) -> tuple[Written, int]:
    """Delta counts what it writes, Spark what repeats; of no row it tells nothing."""
    observed = Observation()
    if counted:
        marked = marked.observe(observed, F.count_if("_repeat").alias("repeats"))
    written = line.tables.append(marked.where(~F.col("_repeat")), table, key=_key(batch))
    return written, observed.get["repeats"] if counted else 0


def _key(batch: str) -> str:
    """Silver's commit marks the batch as done."""
    return f"validate:{batch}"
