"""Any table → ``ops.exploration``: two scans, however many columns there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType

from driftline import explore, profile, scan
from driftline.errors import Missing, Refused, did_you_mean
from driftline.explore import Fact
from driftline.jobs.line import Line
from driftline.profile import Profile

_LONG = 200
"""Characters of a word that are compared."""

_SAID = 8
"""So many of the strongest relations are said."""


def run(line: Line, *, table: str, label: str | None = None) -> str:
    """Look at the newest version of a table; ``label`` is ``label`` where there is such a column.

    Looking again at the same version does nothing.
    """
    with line.ledger.run("explore") as ledger:
        version = line.tables.version(table)
        ledger.read(table, version)
        rows = line.tables.read(table, version=version)
        rows = rows.drop(*(name for name in rows.columns if name.startswith("_")))
        if label is not None and label not in rows.columns:
            raise Missing(
                f"{table} has no column {label}",
                where=", ".join(rows.columns),
                hint=did_you_mean(label, rows.columns, otherwise="name one of its columns"),
            )
        label = label or ("label" if "label" in rows.columns else None)
        if label is not None:
            rows = _numbered(rows, label, table)
        key = f"explore:{table}:{version}:{label}"
        if line.tables.exists(explore.TABLE.full_name) and key in line.tables.committed(
            explore.TABLE.full_name
        ):
            ledger.message = f"{table} version {version} is explored already"
            return ledger.message
        ledger.progress(f"scanning {len(rows.columns)} columns of {table}")
        profiles = _profiles(rows)
        number = profiles[0].rows if profiles else 0
        if not number:
            raise Refused(
                f"{table} has no rows to explore",
                where=line.tables.path(table),
                hint="run the stage that writes it; see ops.quarantine",
            )
        facts = [fact for each in profiles for fact in explore.alone(each)]
        facts += explore.ids(profiles)
        ledger.progress("comparing columns on a sample")
        kinds = {each.column: each.kind for each in profiles}
        sample = _sampled(rows, profiles, number)
        facts += explore.together(sample, kinds)
        if label:
            entity = line.problem.entity if line.problem.entity in sample.columns else None
            facts += explore.with_label(sample, kinds, label, entity)
        now = datetime.now(timezone.utc)
        values = [
            (
                table,
                version,
                each.column,
                each.other,
                each.statistic,
                None if each.value is None else float(each.value),
                each.detail,
                ledger.run_id,
                now,
            )
            for each in facts
        ]
        with line.tables.lock(explore.TABLE.full_name, wait=120.0):
            ledger.wrote(line.tables.append_values(values, explore.TABLE, key=key))
        ledger.message = _said(table, version, number, profiles, facts)
        return ledger.message


def _numbered(rows: DataFrame, label: str, table: str) -> DataFrame:
    """The label as a number, which a yes or no becomes."""
    numbers = [each.name for each in rows.schema if isinstance(each.dataType, NumericType)]
    if isinstance(rows.schema[label].dataType, BooleanType):
        return rows.withColumn(label, F.col(f"`{label}`").cast("int"))
    if label not in numbers:
        raise Refused(
            f"{label} is {rows.schema[label].dataType.simpleString()}: a label is a number",
            where=table,
            hint=f"choose one of {', '.join(numbers) or 'another table'}, or a boolean",
        )
    return rows


def _profiles(rows: DataFrame) -> list[Profile]:
    found = scan.scan(rows, {name: name for name in rows.columns}, path=F.lit("")).collect()
    made = {(row["column"], row["part"]): profile.from_row(row) for row in found}
    return [made[name, ""] for name in rows.columns if (name, "") in made]


def _sampled(rows: DataFrame, profiles: Sequence[Profile], number: int) -> pd.DataFrame:
    """Some rows as pandas has them: numbers as doubles, times as seconds, words as they are."""
    share = min(1.0, 1.1 * explore.SAMPLE / number)
    some = rows if share == 1.0 else rows.sample(fraction=share, seed=7)
    columns = []
    for each in profiles:
        if each.kind == "numeric":
            columns.append(scan.as_double(each.column, each.type).alias(each.column))
        elif each.kind == "categorical":
            text = F.col(f"`{each.column}`").cast("string")
            columns.append(F.left(text, F.lit(_LONG)).alias(each.column))
    return some.select(*columns).limit(explore.SAMPLE).toPandas()


def _said(
    table: str, version: int, number: int, profiles: Sequence[Profile], facts: Sequence[Fact]
) -> str:
    lines = [f"{table} version {version}: {number:,} rows, {len(profiles)} columns"]
    strong = [each for each in facts if each.statistic in _RELATIONS and each.value is not None]
    strong.sort(key=lambda each: -abs(each.value or 0))
    for each in strong[:_SAID]:
        if abs(each.value or 0) >= 0.3:
            lines.append(f"  {each.column} and {each.other}: {each.statistic} {each.value:.2f}")
    tells = sorted(
        (each for each in facts if each.statistic == "tells"), key=lambda each: -(each.value or 0)
    )
    lines += [f"  {each.column} alone tells {each.other}: {each.value:.3f}" for each in tells[:3]]
    lines += [
        f"  suspicious: {each.column}, {each.detail} ({each.value:.3f})"
        for each in facts
        if each.statistic == "suspicious"
    ]
    return "\n".join(lines)


_RELATIONS = ("spearman", "cramers_v", "correlation_ratio")
