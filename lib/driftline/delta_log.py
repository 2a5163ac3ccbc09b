"""Delta's transaction log, below :mod:`driftline.tables`: commits that need no Spark job.

Rows that the driver holds become one Parquet file, and the file one commit: a Spark job for each
row of the books would cost more than many a stage. Files that workers wrote become a commit the
same way. Delta itself makes it, with all its checks; only small files are written here, and log
files read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from driftline import new_files

APPLICATION = "driftline:"
"""What Delta's ids of our transactions begin with; the key of a write follows."""

_CHECKED = ("delta.invariants", "delta.generationExpression", "delta.identity.", "CURRENT_DEFAULT")
"""What Delta writes into a schema with columns that Spark checks or fills."""

_REFUSALS = ("RemoteFileChangedException", "FileAlreadyExistsException", "FileNotFoundException")
"""What Hadoop makes of a conditional write that an S3 store did not do."""


def log_of(spark: SparkSession, folder: str) -> Any:
    """Delta's log of the table in ``folder``."""
    jvm: Any = spark._jvm
    return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, folder)


def append(
    spark: SparkSession,
    folder: str,
    rows: Sequence[Iterable[Any]],
    ddl: str,
    *,
    key: str | None,
    check: bool,
) -> tuple[int, int] | None:
    """Add rows (tuples in the order of ``ddl``) in one commit, see :func:`commit`; returns its
    version and the bytes written.
    """
    content, file = new_files.encoded(rows, arrow_schema(ddl))
    put(spark, f"{folder}/{file.name}", content)
    version = commit(spark, folder, [file.action()], key=key, check=check)
    return None if version is None else (version, file.size)


def commit(
    spark: SparkSession,
    folder: str,
    actions: Sequence[Mapping[str, Any]],
    *,
    key: str | None,
    check: bool,
) -> int | None:
    """Append by some ``add`` actions, in one commit; returns its version.

    With a ``key`` Delta keeps it in the same commit. ``check`` lets Delta look whether the key is
    there already, which replays the log, and see another writer of the same key: None if it is.
    """
    jvm: Any = spark._jvm
    transaction = log_of(spark, folder).startTransaction()
    parsed = jvm.java.util.ArrayList()
    if key is not None:
        if check and transaction.txnVersion(APPLICATION + key) >= 0:
            return None
        now = int(time.time() * 1000)
        id_ = {"appId": APPLICATION + key, "version": 1, "lastUpdated": now}
        actions = [{"txn": id_}, *actions]
    for action in actions:
        parsed.add(jvm.org.apache.spark.sql.delta.actions.Action.fromJson(json.dumps(action)))
    none = jvm.scala.Option.empty()
    append_ = jvm.org.apache.spark.sql.SaveMode.Append
    write = jvm.org.apache.spark.sql.delta.DeltaOperations.Write(append_, *[none] * 8)
    sequence = jvm.scala.jdk.javaapi.CollectionConverters.asScala(parsed).toSeq()
    return int(transaction.commit(sequence, write))


def arrow_schema(ddl: str) -> pa.Schema:
    """The Arrow schema of a table's columns, times in UTC."""
    return to_arrow_schema(cast(StructType, StructType.fromDDL(ddl)), timezone="UTC")


def types(ddl: str) -> list[tuple[str, str]]:
    """Names and types of a table's columns, as Spark spells those of a DataFrame."""
    fields = cast(StructType, StructType.fromDDL(ddl)).fields
    return [(field.name, field.dataType.simpleString()) for field in fields]


def is_plain(snapshot: Any) -> bool:
    """Whether a data file with the table's columns can be added, and read, as it is: no partitions,
    no renamed columns, no rows that are there and hidden, nothing that Spark would check or
    generate while it writes.
    """
    metadata = snapshot.metadata()
    features = snapshot.protocol().readerFeatureNames()
    settings = metadata.configuration().keys().mkString(" ")
    schema = metadata.schemaString()
    return bool(
        metadata.partitionColumns().isEmpty()
        and metadata.columnMappingMode().name() == "none"
        and not features.contains("deletionVectors")
        and "delta.constraints." not in settings
        and not any(word in schema for word in _CHECKED)
    )


def commit_info(spark: SparkSession, folder: str, version: int) -> dict[str, Any]:
    """What a commit says of itself, empty when the log no longer has it.

    Read from the commit's own file: asking for the history starts a Spark job each time.
    """
    text = content(spark, f"{folder}/_delta_log/{version:020d}.json") or ""
    for line in text.split("\n"):  # str.splitlines would cut at what JSON leaves raw, too
        action = json.loads(line) if line.strip() else {}
        if "commitInfo" in action:
            return dict(action["commitInfo"])
    return {}


def facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """What driftline said of a commit of its own; empty of another writer's."""
    try:
        found = json.loads(info.get("userMetadata") or "null")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Listed:
    """What a log holds: commits with the time (ms since 1970) of their files, and checkpoints."""

    commits: Mapping[int, int]
    checkpoints: frozenset[int]


def listed(spark: SparkSession, folder: str) -> Listed:
    """The versions of which the log has the commit, or a checkpoint."""
    commits, checkpoints = {}, set()
    for path, modified in entries(spark, f"{folder}/_delta_log"):
        number, _, kind = path.rpartition("/")[2].partition(".")
        if not number.isdigit():
            continue
        if kind == "json":
            commits[int(number)] = modified
        elif kind.startswith("checkpoint"):
            checkpoints.add(int(number))
    return Listed(commits, frozenset(checkpoints))


def commit_text(spark: SparkSession, folder: str, version: int) -> str | None:
    """The lines of a commit, an action each; None if the log no longer has it."""
    return content(spark, f"{folder}/_delta_log/{version:020d}.json")


def listed_files(spark: SparkSession, folder: str) -> list[str]:
    """The paths of the files in a folder, none if there is no such folder."""
    return [path for path, _ in entries(spark, folder)]


def put_if(spark: SparkSession, file: str, content: bytes, *, mark: str | None = None) -> bool:
    """Write an object of an S3 store if there is none, or if it still has the ``mark``.

    False if the store refused: there was one, it has another mark or is gone, or somebody else was
    writing it. A write whose answer was lost and that was sent again is refused, too.
    """
    path, system = _system(spark, file)
    builder = system.createFile(path).overwrite(mark is not None)
    if mark is None:
        builder = builder.must("fs.option.create.conditional.overwrite", "true")
    else:
        builder = builder.must("fs.option.create.conditional.overwrite.etag", mark)
    try:
        stream = builder.build()
        stream.write(bytearray(content))
        stream.close()
    except Py4JJavaError as error:
        if _refused(error):
            return False
        raise
    return True


def _refused(error: Py4JJavaError) -> bool:
    """Whether a conditional write was: HTTP 412, or 404 and 409, where others write it as well."""
    if _kind(error) in _REFUSALS:
        return True
    return _kind(error) == "AWSBadRequestException" and error.java_exception.statusCode() == 409


def mark(spark: SparkSession, file: str) -> tuple[str, int] | None:
    """The mark of an object of an S3 store and when it was written (ms since 1970, by the clock of
    the store).
    """
    path, system = _system(spark, file)
    try:
        found = system.getFileStatus(path)
    except Py4JJavaError as error:
        if _kind(error) == "FileNotFoundException":
            return None
        raise
    return str(found.getEtag()), int(found.getModificationTime())


def now(spark: SparkSession, file: str) -> int:
    """What time it is where the files are (ms since 1970), which a file tells that is written."""
    put(spark, file, b"", replace=True)
    path, system = _system(spark, file)
    return int(system.getFileStatus(path).getModificationTime())


def remove(spark: SparkSession, file: str) -> None:
    """Remove a file if it is there."""
    path, system = _system(spark, file)
    system.delete(path, False)


def is_file(spark: SparkSession, file: str) -> bool:
    """Whether there is such a file, wherever it is."""
    path, system = _system(spark, file)
    return bool(system.exists(path))


def names(spark: SparkSession, root: str) -> list[str]:
    """The tables below a folder, wherever it is: ``layer.name`` each."""
    return [
        f"{layer.rpartition('/')[2]}.{table.rpartition('/')[2]}"
        for layer in listed_files(spark, root)
        for table in listed_files(spark, layer)
        if _system(spark, table)[1].exists(_system(spark, f"{table}/_delta_log")[0])
    ]


def entries(spark: SparkSession, folder: str) -> list[tuple[str, int]]:
    """What is in a folder, each path with when it was written (ms since 1970); none if there is no
    such folder.
    """
    path, system = _system(spark, folder)
    if not system.exists(path):
        return []
    return [
        (str(each.getPath().toString()), int(each.getModificationTime()))
        for each in system.listStatus(path)
    ]


def keys(spark: SparkSession, folder: str, snapshot: Any) -> frozenset[str]:
    """The keys of all writes that a snapshot holds.

    Delta keeps them beside each commit, in its checksum file; where that is not there, or is not
    of this very commit, the log is replayed, which takes three Spark jobs.
    """
    version = int(snapshot.version())
    found = _checksum(spark, folder, version)
    if found and found.get("txnId") == commit_info(spark, folder, version).get("txnId"):
        ids = [each["appId"] for each in found.get("setTransactions") or []]
    else:
        ids = snapshot.transactions().keys().mkString("\n").split("\n")
    return frozenset(id_.removeprefix(APPLICATION) for id_ in ids if id_.startswith(APPLICATION))


def _checksum(spark: SparkSession, folder: str, version: int) -> dict[str, Any] | None:
    text = content(spark, f"{folder}/_delta_log/{version:020d}.crc")
    try:
        found = json.loads(text or "null")
    except ValueError:  # torn, or being written
        return None
    return found if found and found.get("txnId") and "setTransactions" in found else None


def _system(spark: SparkSession, file: str) -> tuple[Any, Any]:
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(file)
    return path, path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())


def _kind(error: Py4JJavaError) -> str:
    return str(error.java_exception.getClass().getSimpleName())


def content(spark: SparkSession, file: str) -> str | None:
    """The text of a file; None if there is none."""
    path, system = _system(spark, file)
    jvm: Any = spark._jvm
    try:
        stream = system.open(path)
        try:
            return str(jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()
    except Py4JJavaError as error:
        if _kind(error) == "FileNotFoundException":
            return None
        raise


def put(spark: SparkSession, file: str, content: bytes, *, replace: bool = False) -> None:
    """Write a file; one that is there already is an error, unless it is to be replaced."""
    path, system = _system(spark, file)
    stream = system.create(path, replace)
    try:
        stream.write(bytearray(content))
    finally:
        stream.close()
