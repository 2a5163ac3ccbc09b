"""Numbers and times that only a person's rows had → out of what tables tell of their columns.

A word is taken out of where it stands (driftline.erasure). A number is in the bytes of a sketch, or
is where a bin or a range ends: of a column in which a person had a value of their own, no number is
told any more, but of files that hold nobody who was erased. What the next look at a version needs
of the others it counts again, from the files that were written without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import delta_files, erasure, profile, rewriting, scan, schemas
from driftline.jobs.line import Line
from driftline.ledger import Run

_FILE = "file of the row"


def telling(line: Line, tables: Mapping[str, str], wanted: Mapping[str, DataFrame]) -> list[str]:
    """The columns of numbers and times in which persons have a value that nobody else has.

    ``tables``: name → the column that says whose a row is, which is one of them if it is a number.
    """
    found: list[DataFrame] = []
    whose: set[str] = set()
    for table, column in tables.items():
        rows = line.tables.read(table)
        types = {name: type_ for name, type_ in rows.dtypes if name[0] != "_"}
        numbers = [name for name, type_ in types.items() if profile.kind_of(type_) == "numeric"]
        whose |= {column} & {*numbers}
        named = wanted[column].withColumn("_theirs", F.lit(True))
        joined = rows.join(F.broadcast(named), on=column, how="left")
        others = [name for name in numbers if name != column]
        told = [scan.as_double(name, types[name]).alias(name) for name in others]
        values = joined.select("_theirs", *told)
        found += [
            each.limit(1).select(F.lit(name).alias("name"))
            for name, each in erasure.unique(values, F.col("_theirs"), others).items()
        ]
    if not found:
        return sorted(whose)
    return sorted(whose | {row.name for row in reduce(DataFrame.union, found).collect()})


def spared(line: Line, tables: Mapping[str, str], wanted: Mapping[str, DataFrame]) -> set[str]:
    """Files of the newest versions that have no row of the persons, and so stay as they are."""
    found: set[str] = set()
    for table, column in tables.items():
        version = line.tables.version(table)
        commits = line.tables.commits(table, since=version, until=version)
        files = delta_files.version(commits, version).files
        rows = line.tables.read(table, version=version)
        rows = rows.withColumn(_FILE, delta_files.file_of(rows))
        theirs = rows.join(F.broadcast(wanted[column]), on=column, how="left_semi")
        spelt = delta_files.path_of(F.col(f"`{_FILE}`")).alias("path")
        held = {row.path for row in theirs.select(f"`{_FILE}`").distinct().select(spelt).collect()}
        found |= {each.path for each in files if not each.deleted} - held
    return found


def uncount(
    line: Line,
    ledger: Run,
    names: Collection[str],
    columns: Sequence[str],
    spared: Iterable[str],
) -> None:
    """Tell nothing more of these columns' numbers in tables with persons, but of the files that are
    ``spared``.
    """
    tables = line.tables
    theirs = F.col("table").isin(*erasure.personal(line.problem, names))
    if schemas.PROFILES.full_name in names:
        name, files = schemas.PROFILES.full_name, sorted(spared)
        # Cells of one value each; of an entity they are told by their names.
        others = [each for each in columns if each != line.problem.entity]
        if others:
            profiles = tables.read(name).where(erasure.cut(others) & theirs)
            scans = profiles.where(~F.col("file").isin(files)).select("table", "file", "segments")
            ledger.wrote(tables.delete(name, matching=scans))
        told, changes = erasure.uncounted(columns)
        mine = {
            field: F.when(F.col("file").isin(files), F.col(f"`{field}`")).otherwise(value)
            for field, value in changes.items()
        }
        ledger.wrote(rewriting.update(tables, name, where=told & theirs, changes=mine))
    for name in (each for each in erasure.NUMBERING if each in names):
        where = erasure.described(columns) & theirs
        ledger.wrote(rewriting.delete(tables, name, where=where))
    for name in (each for each in erasure.QUOTING if each in names):
        where, changes = erasure.unquoted(name, columns)
        if "table" in tables.read(name).columns:  # of a model's slices none is said
            where &= theirs
        ledger.wrote(rewriting.update(tables, name, where=where, changes=changes))
    if schemas.VALIDATIONS.full_name in names:
        where, changes = erasure.unobserved(columns)
        name = schemas.VALIDATIONS.full_name
        ledger.wrote(rewriting.update(tables, name, where=where & theirs, changes=changes))
