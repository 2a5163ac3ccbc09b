"""The data files of a Delta table, below :mod:`driftline.tables`: which ones a version consists of.

Read from the commits themselves, so that asking for a version starts no Spark job; of any table:
also one that driftline did not write, a clone, or one with deletion vectors, partitions, or
columns that were renamed. Where the log no longer begins at 0, Delta's own snapshot of a checkpoint
is the ground that later commits are laid on.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from driftline import delta_log, delta_paths
from driftline.errors import TryAgain
from driftline.profile import Field

_FAR = 200
"""From so many commits on a snapshot (about a second) costs less than reading them."""

Key = tuple[str, int, str, int]


@dataclass(frozen=True)
class DataFile:
    """One file as a version reads it: with one deletion vector or none."""

    path: str
    """Absolute; without a scheme if it is local."""
    size: int
    deleted: str
    """Its deletion vector: the absolute path of the file it is in, ``@``, and where in there; ``@``
    and the vector where the log itself has it; empty without one."""
    partition: Mapping[str, str | None] = field(compare=False)
    action: Mapping[str, Any] = field(compare=False, repr=False)
    modified: int = 0
    """When it was written, as the log says (ms since 1970)."""

    @property
    def key(self) -> Key:
        """What tells its content from any other's: a folder that was made anew may have files of
        the same names and sizes.
        """
        return self.path, self.size, self.deleted, self.modified

    @property
    def paths(self) -> frozenset[str]:
        """The files it takes to read it: itself, and the one that its deletion vector is in."""
        vector = "" if self.deleted.startswith("@") else self.deleted.rpartition("@")[0]
        return frozenset(filter(None, (self.path, vector)))


@dataclass(frozen=True)
class Schema:
    """The columns of a table at one time."""

    fields: tuple[Field, ...]
    largest_id: int | None
    """The highest number a column ever had up to here, where columns are mapped."""
    partitions: tuple[str, ...] = ()
    """The columns that files are apart by."""

    def keys(self, names: Iterable[str]) -> tuple[str, ...]:
        """What files call these columns, those that there are."""
        known = {each.name: each.key for each in self.fields}
        return tuple(known[name] for name in names if name in known)


@dataclass(frozen=True)
class Commit:
    """What one commit did to the files of a table."""

    number: int
    at: datetime
    operation: str
    added: tuple[DataFile, ...]
    removed: tuple[tuple[str, int, str], ...]
    """Path, size and deletion vector; the size is not known of every removal and is 0."""
    schema: Schema
    """In force after the commit."""
    changes: bool
    """Whether rows changed: compaction only moves them."""
    noted: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What driftline noted of the rows that it wrote."""

    @property
    def writes(self) -> bool:
        """Whether it may have brought rows: what a DELETE writes, it has kept."""
        return self.changes and self.operation != "DELETE"


@dataclass(frozen=True)
class Version:
    """One version of a table: its columns and its files."""

    number: int
    at: datetime
    schema: Schema
    files: tuple[DataFile, ...]


def commits(spark: SparkSession, folder: str, *, since: int, until: int) -> list[Commit]:
    """The commits from one at or before ``since`` up to ``until``, oldest first.

    The first one adds all the files its version has. Raises :class:`LookupError` with the oldest
    version that can still be told when the log no longer goes back to ``since``.
    """
    base = str(delta_log.log_of(spark, folder).dataPath().toString())
    listed = delta_log.listed(spark, folder)
    first = 0
    if 0 not in listed.commits or since > _FAR:
        known = [number for number in listed.checkpoints if number <= since]
        if not known and 0 not in listed.commits:
            raise LookupError(min(listed.checkpoints, default=until))
        first = max(known, default=0)
    found: list[Commit] = []
    state = _State(base)
    made = ascending(listed.commits)
    for number in range(first, until + 1):
        if number not in listed.commits and not (first and number == first):
            raise LookupError(min((n for n in listed.commits if n > number), default=until))
        if first and number == first:
            found.append(_ground(spark, folder, state, number, made.get(number)))
            continue
        text = delta_log.commit_text(spark, folder, number)
        if text is None:
            raise TryAgain(
                f"the log was cleaned up while it was read: version {number} is not there any more",
                where=folder,
                hint="give the same command again: it begins with what the log has then",
            )
        found.append(state.after(number, text, made[number]))
    return found


def oldest(spark: SparkSession, folder: str) -> int:
    """The oldest version that :func:`commits` can begin with."""
    listed = delta_log.listed(spark, folder)
    return 0 if 0 in listed.commits else min(listed.checkpoints, default=0)


def ascending(commits: Mapping[int, int]) -> dict[int, int]:
    """When commits were made, of when their files were written, as Delta has it: one after another,
    though the files of a table that was copied were written in any order.
    """
    found: dict[int, int] = {}
    last: int | None = None
    for number, written in sorted(commits.items()):
        last = written if last is None else max(written, last + 1)
        found[number] = last
    return found


def version_at(
    spark: SparkSession, folder: str, moment: datetime, *, newest: int
) -> tuple[int | None, datetime]:
    """The version that was the newest at a moment, None before the first one that the log still has
    the commit of; and when that one was made. Few commits are read, however many there are.
    """
    made = ascending(delta_log.listed(spark, folder).commits)
    numbers = [number for number in made if number <= newest]

    def at(number: int) -> datetime:
        info = delta_log.commit_info(spark, folder, number)
        return _moment(info.get("inCommitTimestamp") or made[number])

    place = bisect_right(numbers, moment, key=at)
    return (numbers[place - 1] if place else None), at(numbers[0])


def version(commits: Sequence[Commit], number: int) -> Version:
    """What the table was after commit ``number``."""
    active: dict[tuple[str, str], DataFile] = {}
    last = commits[0]
    for last in commits:
        if last.number > number:
            break
        for path, _, deleted in last.removed:
            active.pop((path, deleted), None)
        for each in last.added:
            active[each.path, each.deleted] = each
    told = next(each for each in commits if each.number == number)
    files = tuple(sorted(active.values(), key=lambda each: each.key))
    return Version(number, told.at, told.schema, files)


def read(spark: SparkSession, folder: str, number: int, files: Iterable[DataFile]) -> DataFrame:
    """The rows of some files, each path at most once, by the columns of version ``number``."""
    jvm: Any = spark._jvm
    actions = jvm.java.util.ArrayList()
    for each in files:
        text = json.dumps({"add": dict(each.action)})
        actions.add(jvm.org.apache.spark.sql.delta.actions.Action.fromJson(text))
    sequence = jvm.scala.jdk.javaapi.CollectionConverters.asScala(actions).toSeq()
    none = jvm.scala.Option.empty()
    snapshot = _snapshot(spark, folder, number)
    frame = delta_log.log_of(spark, folder).createDataFrame(snapshot, sequence, False, none)
    return DataFrame(frame, spark)


def file_of(rows: DataFrame) -> Column:
    """The path of the file that each row was read from, as Spark spells it."""
    return rows.metadataColumn("_metadata")["file_path"]


def path_of(spelt: Column) -> Column:
    """The path of a file as :class:`DataFile` spells it, of how Spark does (:func:`file_of`).

    For after rows were grouped by file: for each row it would cost as much as all sketches do. It
    is never null to Spark either, which else has each row asked whether it is, before a join.
    """
    spelt = F.replace(spelt, F.lit("+"), F.lit("%2B"))
    return F.coalesce(F.regexp_replace(F.url_decode(spelt), "^file:/+", "/"), F.lit(""))


def exists(spark: SparkSession, files: Iterable[DataFile]) -> set[str]:
    """Those of the files' :attr:`~DataFile.paths` that are still there; their folders are listed,
    each once.
    """
    asked = {path for each in files for path in each.paths}
    return asked & {
        delta_paths.canonical(path)
        for folder in {path.rpartition("/")[0] for path in asked}
        for path in delta_log.listed_files(spark, folder)
    }


class _State:
    """What later actions in a log need to know of earlier ones."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.schema = Schema((), None)

    def after(self, number: int, text: str, modified: int) -> Commit:
        added, removed = [], []
        info: dict[str, Any] = {}
        changes = False
        for line in text.split("\n"):  # str.splitlines would cut at what JSON leaves raw, too
            action = json.loads(line) if line.strip() else {}
            if "metaData" in action:
                self.schema = _schema(action["metaData"])
            elif "commitInfo" in action:
                info = action["commitInfo"]
            elif "add" in action:
                added.append(_file(self.base, action["add"]))
                changes |= bool(action["add"].get("dataChange"))
            elif "remove" in action:
                gone = action["remove"]
                path = delta_paths.absolute(self.base, gone["path"])
                removed.append((path, 0, delta_paths.vector(self.base, gone)))
                changes |= bool(gone.get("dataChange"))
        stamp = info.get("inCommitTimestamp") or modified
        return Commit(
            number,
            _moment(stamp),
            str(info.get("operation", "")),
            tuple(added),
            tuple(removed),
            self.schema,
            changes,
            delta_log.facts(info).get("noted") or {},
        )


def _ground(
    spark: SparkSession, folder: str, state: _State, number: int, made: int | None
) -> Commit:
    snapshot = _snapshot(spark, folder, number)
    metadata = json.loads(snapshot.metadata().json())
    state.schema = _schema(metadata.get("metaData", metadata))
    rows = DataFrame(snapshot.allFiles().toDF(), spark).select(
        "path", "partitionValues", "size", "modificationTime", "deletionVector"
    )
    files = tuple(_file(state.base, row.asDict(recursive=True)) for row in rows.collect())
    told = metadata.get("metaData", metadata).get("configuration") or {}
    in_commit = told.get("delta.enableInCommitTimestamps") == "true"
    at = _moment(int(snapshot.timestamp()) if in_commit or made is None else made)
    # It has these files; which of them it wrote is not known.
    return Commit(number, at, "", files, (), state.schema, changes=False)


def _snapshot(spark: SparkSession, folder: str, number: int) -> Any:
    log = delta_log.log_of(spark, folder)
    defaults = [getattr(log, f"getSnapshotAt$default${place}")() for place in (2, 3, 4)]
    return log.getSnapshotAt(number, *defaults)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _file(base: str, action: Mapping[str, Any]) -> DataFile:
    told = {k: v for k, v in (action.get("deletionVector") or {}).items() if v is not None}
    again = {
        **{name: action[name] for name in ("path", "partitionValues", "size", "modificationTime")},
        **({"deletionVector": told} if told else {}),
        "dataChange": True,
    }
    path = delta_paths.absolute(base, action["path"])
    partition = dict(action["partitionValues"])
    modified = action["modificationTime"]
    vector = delta_paths.vector(base, action)
    return DataFile(path, action["size"], vector, partition, again, modified)


def _schema(metadata: Mapping[str, Any]) -> Schema:
    found = StructType.fromJson(json.loads(metadata["schemaString"]))
    told = metadata.get("configuration") or {}
    mapped = told.get("delta.columnMapping.mode", "none") != "none"
    fields = tuple(
        Field(
            each.name,
            each.dataType.simpleString(),
            each.metadata.get("delta.columnMapping.physicalName", each.name),
            each.metadata.get("delta.columnMapping.id") if mapped else None,
        )
        for each in found.fields
    )
    largest = int(told["delta.columnMapping.maxColumnId"]) if mapped else None
    return Schema(fields, largest, tuple(metadata.get("partitionColumns") or ()))
