"""The only module that touches Delta: where tables are, what was committed, one idempotent write.

Every write carries a key derived from its content. Delta records the key in the same commit as the
rows, so a write that is tried again, after a kill or by a second process, is seen and skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from driftline.errors import Missing, TryAgain
from driftline.schemas import Table

_APPLICATION = "driftline:"


@dataclass(frozen=True)
class Written:
    """What a write came to: the table's version, and whether the rows had been there already."""

    table: str
    version: int
    skipped: bool = False


class Tables:
    """The Delta tables of one problem: ``<root>/<layer>/<name>``."""

    def __init__(self, spark: SparkSession, root: str, *, catalog: str | None = None) -> None:
        self.spark = spark
        self.root = root
        self._catalog = catalog
        self._local = "://" not in root

    def path(self, name: str) -> str:
        """Folder of the table called ``layer.name``."""
        return f"{self.root}/{name.replace('.', '/')}"

    def exists(self, name: str) -> bool:
        """Whether there is such a Delta table."""
        if self._local and not Path(self.path(name), "_delta_log").is_dir():
            return False
        return bool(DeltaTable.isDeltaTable(self.spark, self.path(name)))

    def version(self, name: str) -> int:
        """The newest version; :class:`Missing` when there is no such table."""
        return int(self._snapshot(name).version())

    def read(self, name: str, *, version: int | None = None) -> DataFrame:
        """The rows of a table, as of ``version`` or now."""
        newest = self.version(name)
        if version is None:
            version = newest
        elif not 0 <= version <= newest:
            raise Missing(
                f"{name} has no version {version}",
                where=self.path(name),
                hint=f"versions go from 0 to {newest}",
            )
        reader = self.spark.read.format("delta").option("versionAsOf", version)
        return reader.load(self.path(name))

    def files(self, name: str, *, version: int) -> frozenset[str]:
        """The data files a version consists of, as URIs."""
        return frozenset(self.read(name, version=version).inputFiles())

    def added(self, name: str, *, since: int, until: int) -> DataFrame:
        """The rows of ``until`` that are in files which ``since`` did not have."""
        new = self.files(name, version=until) - self.files(name, version=since)
        path = F.col("_metadata.file_path")
        return self.read(name, version=until).where(path.isin(sorted(new)))

    def committed(self, name: str) -> frozenset[str]:
        """The keys of all writes that are in the table."""
        if not self.exists(name):
            return frozenset()
        keys = self._snapshot(name).transactions().keys().mkString("\n").split("\n")
        return frozenset(
            key.removeprefix(_APPLICATION) for key in keys if key.startswith(_APPLICATION)
        )

    def append(self, rows: DataFrame, table: Table, *, key: str | None) -> Written:
        """Add rows once: a second write with the same key changes nothing and says so.

        ``key=None`` is for rows that carry the id of their run: no second run can write them.
        """
        name = table.full_name
        self._ensure(table)
        writer = rows.select(*table.column_names).write.format("delta").mode("append")
        if key is not None:
            if key in self.committed(name):
                return Written(name, self.version(name), skipped=True)
            writer = writer.option("txnAppId", _APPLICATION + key).option("txnVersion", 1)
        writer.save(self.path(name))
        return Written(name, self.version(name))

    def overwrite(self, rows: DataFrame, table: Table, *, key: str) -> Written:
        """Replace all rows by what ``key`` stands for, unless that is what the table holds.

        The key is in the commit's user metadata, not among the keys of appends: content that was
        there before, and was replaced since, must be written again.
        """
        name = table.full_name
        self._ensure(table)
        if self.content(name) == key:
            return Written(name, self.version(name), skipped=True)
        writer = rows.select(*table.column_names).write.format("delta").mode("overwrite")
        writer.option("userMetadata", key).save(self.path(name))
        return Written(name, self.version(name))

    def content(self, name: str) -> str | None:
        """The key of the overwrite that the newest version is, if it is one."""
        if not self.exists(name):
            return None
        newest = DeltaTable.forPath(self.spark, self.path(name)).history(1)
        row = newest.select("userMetadata").first()
        return row[0] if row else None

    def append_values(
        self, values: Sequence[Iterable[Any]], table: Table, *, key: str | None
    ) -> Written:
        """Append a few rows that the driver holds, as tuples in the table's column order."""
        rows = self.spark.createDataFrame([tuple(row) for row in values], table.ddl)
        return self.append(rows.coalesce(1), table, key=key)

    @contextlib.contextmanager
    def lock(self, *names: str) -> Iterator[None]:
        """Hold the named tables for this process alone.

        Delta's commit on a local disk is not safe between processes (a rename there replaces an
        existing file), so local warehouses take a lock a table; object stores and HDFS commit
        safely by themselves. The loser gets :class:`TryAgain`.
        """
        with contextlib.ExitStack() as held:
            for name in sorted(set(names)) if self._local else ():
                held.enter_context(_locked(Path(self.root, "_locks", name), name))
            yield

    def _ensure(self, table: Table) -> None:
        """Create an empty table with its comments, unless it is there."""
        if self.exists(table.full_name):
            return
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table.full_name))
        for column in table.columns:
            builder = builder.addColumn(column.name, column.type, comment=column.comment)
        builder.comment(table.comment).execute()
        if self._catalog:
            database = f"{self._catalog}_{table.layer}"
            self.spark.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
            self.spark.sql(
                f"CREATE TABLE IF NOT EXISTS `{database}`.`{table.name}` USING DELTA "
                f"LOCATION '{self.path(table.full_name)}'"
            )

    def _snapshot(self, name: str) -> Any:
        if not self.exists(name):
            raise Missing(
                f"there is no table {name}",
                where=self.path(name),
                hint="run the stage that writes it first; `driftline run` does all of them",
            )
        jvm: Any = self.spark._jvm
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(
            self.spark._jsparkSession, self.path(name)
        )
        nothing = jvm.scala.Option.empty()
        return log.update(False, nothing, nothing)


@contextlib.contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TryAgain(
                f"{name} is being written by another process ({file.read().strip() or 'unknown'})",
                where=str(path),
                hint="wait until it is done and give the same command again",
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield
