"""The only module that touches Delta: where tables are, what was committed, one idempotent write.

Every write carries a key derived from its content. Delta records the key in the same commit as the
rows, so a write that is tried again, after a kill or by a second process, is seen and skipped.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from driftline import delta_log, locks
from driftline.errors import Missing
from driftline.new_files import NewFile, Target
from driftline.schemas import Table
from driftline.versions import Versions


@dataclass(frozen=True)
class Written:
    """What a write came to: the table's version, and whether the rows had been there already."""

    table: str
    version: int
    skipped: bool = False
    rows: int | None = None
    """Rows counted into the commit by Delta, or in the files that were added; where asked for."""
    bytes: int = 0
    """Bytes of files that Spark did not write, so that its counters do not have them."""


_REMEMBERED = "interval 520 weeks"
"""How long the log of a table tells its versions. Models came from some, are compared with them and
built from them again for as long as they serve, and Delta forgets after 30 days. Not the books':
several commits a turn, each checkpoint with every file, and nothing is made from them."""


class Tables(Versions):
    """The Delta tables of one problem: ``<root>/<layer>/<name>``."""

    def __init__(self, spark: SparkSession, root: str, *, catalog: str | None = None) -> None:
        super().__init__(spark, root)
        self._catalog = catalog
        self._ready: set[tuple[Table, bool]] = set()
        self._making = threading.Lock()

    def ensure(self, table: Table, *, as_it_is: bool = True) -> None:
        """Create an empty table with its comments; give one that is there its new columns. Looked
        at once a process: a stage writes to a table many times.

        ``as_it_is``: the rows in it stay, so that its columns must have the types they had.
        """
        with self._making:  # not by two threads at once
            if (table, as_it_is) not in self._ready:
                self._make_ready(table)
                if as_it_is:
                    self._check_types(table)
                self._ready.add((table, as_it_is))

    def append(
        self,
        rows: DataFrame,
        table: Table,
        *,
        key: str | None,
        noted: Mapping[str, Any] | None = None,
    ) -> Written:
        """Add rows once: a second write with the same key changes nothing and says so.

        ``key=None`` is for rows that carry the id of their run: no second run can write them. What
        is ``noted`` of the rows, their commit says: :attr:`delta_files.Commit.noted`.
        """
        return self._write(rows, table, key=key, noted=noted)

    def replace(
        self,
        rows: DataFrame,
        table: Table,
        *,
        where: str,
        key: str,
        made_from: Mapping[str, int] | None = None,
        noted: Mapping[str, Any] | None = None,
    ) -> Written:
        """Put ``rows`` in the place of those that match ``where``, once.

        With ``made_from`` the table then is what ``key`` stands for as a whole, see
        :meth:`overwrite`; what is ``noted`` is so as of :meth:`append`.
        """
        return self._write(rows, table, key=key, where=where, made_from=made_from, noted=noted)

    def overwrite(
        self,
        rows: DataFrame,
        table: Table,
        *,
        key: str,
        made_from: Mapping[str, int],
        noted: Mapping[str, Any] | None = None,
    ) -> Written:
        """Replace all rows by what ``key`` stands for, unless that is what the table holds.

        The key is in the commit itself, not among the keys of appends: content that was there
        before, and was replaced since, must be written again. ``made_from`` (table → version) is
        kept beside it, as :meth:`made_from`, and what was ``noted``. Columns follow ``table``.
        """
        name = table.full_name
        self.ensure(table, as_it_is=False)
        if self.content(name) == key:
            return Written(name, self.version(name), skipped=True)
        commented = [
            F.col(column.name).alias(column.name, metadata={"comment": column.comment})
            for column in table.columns
        ]
        writer = rows.select(*commented).write.format("delta").mode("overwrite")
        writer = writer.option("overwriteSchema", "true").partitionBy(*table.partition)
        writer.option("userMetadata", _facts(key, made_from, noted)).save(self.path(name))
        version = self.version(name)
        return Written(name, version, rows=self._rows_written(name, version))

    def content(self, name: str) -> str | None:
        """The key of the overwrite that the newest version is, if it is one."""
        if not self.exists(name):
            return None
        facts = self._commit_facts(name, self.version(name))
        return str(facts["key"]) if facts else None

    def made_from(self, name: str, version: int) -> dict[str, int]:
        """The versions of other tables that an overwritten version was made from."""
        facts = self._commit_facts(name, version)
        if facts is None:
            raise Missing(
                f"{name} version {version} does not say what it was made from",
                where=self.path(name),
                hint="it was not written by driftline; run the stage that writes it",
            )
        return dict(facts["made_from"])

    def noted(self, name: str, version: int) -> dict[str, Any]:
        """What was noted when an overwritten version was made; empty if nothing was."""
        facts = self._commit_facts(name, version)
        return dict((facts or {}).get("noted") or {})

    def append_values(
        self, values: Sequence[Iterable[Any]], table: Table, *, key: str | None
    ) -> Written:
        """Append a few rows that the driver holds, as tuples in the table's column order."""
        name = table.full_name
        self.ensure(table)
        if key is not None and key in self.committed(name):
            return Written(name, self.version(name), skipped=True)
        # Locally a lock keeps others away; elsewhere Delta has to see another writer of the key.
        added = delta_log.append(
            self.spark, self.path(name), values, table.ddl, key=key, check=not self._local
        )
        if added is None:
            return Written(name, self.version(name), skipped=True)
        version, size = added
        return Written(name, version, rows=len(values), bytes=size)

    def takes_files(self, table: Table) -> bool:
        """Whether workers may write a table's data files: not where the folder is not one of a
        file system, or the table has something that Spark checks (constraints) or arranges
        (partitions).
        """
        self.ensure(table)
        return self._local and delta_log.is_plain(self._snapshot(table.full_name))

    def target(self, table: Table, constants: Mapping[str, Any], *, unless: str) -> Target | None:
        """Where workers write a table's data files, for :meth:`append_files`; None if the table
        has the key already.
        """
        if unless in self.committed(table.full_name):
            return None
        schema = delta_log.arrow_schema(table.ddl)
        return Target(self.path(table.full_name), schema, table.statistics, constants)

    def append_files(self, files: Sequence[NewFile], table: Table, *, key: str) -> Written:
        """Add data files that workers wrote, in one commit, once."""
        name = table.full_name
        if key in self.committed(name):
            return Written(name, self.version(name), skipped=True)
        actions = [file.action() for file in files]
        version = delta_log.commit(
            self.spark, self.path(name), actions, key=key, check=not self._local
        )
        if version is None:
            return Written(name, self.version(name), skipped=True)
        rows = sum(file.rows for file in files)
        return Written(name, version, rows=rows, bytes=sum(file.size for file in files))

    def delete(self, name: str, *, matching: DataFrame) -> Written:
        """Take away the rows that have the same values as ``matching`` in all of its columns."""
        same = " AND ".join(f"old.`{each}` <=> gone.`{each}`" for each in matching.columns)
        before = self.version(name)
        (
            DeltaTable.forPath(self.spark, self.path(name))
            .alias("old")
            .merge(matching.distinct().alias("gone"), same)
            .whenMatchedDelete()
            .execute()
        )
        return self.written_since(name, before)

    def written_since(self, name: str, before: int) -> Written:
        """What a change came to that makes no version where no row is met."""
        now = self.version(name)
        return Written(name, now, skipped=now == before)

    def merge(self, changes: DataFrame, table: Table, *, on: Sequence[str], gone: str) -> Written:
        """Give rows new values, or take them away where ``gone`` (SQL over ``new``) holds.

        A row is met by the values of ``on``; what has none in the table is left out.
        """
        name = table.full_name
        same = " AND ".join(f"old.`{each}` <=> new.`{each}`" for each in on)
        (
            DeltaTable.forPath(self.spark, self.path(name))
            .alias("old")
            .merge(changes.alias("new"), same)
            .whenMatchedDelete(gone)
            .whenMatchedUpdate(
                set={f"`{each}`": f"new.`{each}`" for each in changes.columns if each not in on}
            )
            .execute()
        )
        return Written(name, self.version(name))

    def update(self, table: Table, values: Mapping[str, Column], *, where: Column) -> Written:
        """Give the rows for which ``where`` holds new values; unlike a merge it joins nothing."""
        path = self.path(table.full_name)
        DeltaTable.forPath(self.spark, path).update(where, dict(values))
        return Written(table.full_name, self.version(table.full_name))

    @contextlib.contextmanager
    def lock(self, *names: str, wait: float = 0.0) -> Iterator[None]:
        """Hold the named tables for this process alone, after waiting so many seconds at most.

        On a disk and in S3, where Delta's commits are not safe between processes, see
        :mod:`driftline.locks`. The loser gets :class:`TryAgain`.
        """
        with contextlib.ExitStack() as held:
            for name in sorted(set(names)):
                if self._local:
                    path = Path(self.root, "_locks", name)
                    held.enter_context(locks.on_disk(path, name, wait))
                elif self.root.startswith("s3a://"):
                    lease = f"{self.root}/_locks/{name}"
                    held.enter_context(locks.in_store(self.spark, lease, name, wait))
            yield

    def _write(
        self,
        rows: DataFrame,
        table: Table,
        *,
        key: str | None,
        where: str | None = None,
        made_from: Mapping[str, int] | None = None,
        noted: Mapping[str, Any] | None = None,
    ) -> Written:
        name = table.full_name
        self.ensure(table)
        mode = "append" if where is None else "overwrite"
        writer = rows.select(*table.column_names).write.format("delta").mode(mode)
        if where is not None:
            writer = writer.option("replaceWhere", where)
        if made_from is not None and key is not None:
            writer = writer.option("userMetadata", _facts(key, made_from, noted))
        elif noted is not None:
            writer = writer.option("userMetadata", json.dumps({"noted": dict(noted)}))
        if key is not None:
            if key in self.committed(name):
                return Written(name, self.version(name), skipped=True)
            writer = writer.option("txnAppId", delta_log.APPLICATION + key).option("txnVersion", 1)
        writer.save(self.path(name))
        version = self.version(name)
        counted = self._rows_written(name, version) if key is not None else None
        return Written(name, version, rows=counted)

    def _commit_facts(self, name: str, version: int) -> dict[str, Any] | None:
        facts = delta_log.facts(delta_log.commit_info(self.spark, self.path(name), version))
        return facts if "key" in facts else None

    def _rows_written(self, name: str, version: int) -> int:
        """How many rows Delta counted into a commit, whatever we believe we gave it."""
        info = delta_log.commit_info(self.spark, self.path(name), version)
        return int(info.get("operationMetrics", {}).get("numOutputRows", 0))

    def _check_types(self, table: Table) -> None:
        there = dict(self.spark.read.format("delta").load(self.path(table.full_name)).dtypes)
        for name, type_ in delta_log.types(table.ddl):
            if there[name] != type_:
                raise Missing(
                    f"column {name} of {table.full_name} is to be {type_} now, "
                    f"and the rows there have {there[name]}",
                    where=self.path(table.full_name),
                    hint="go back to the type it had, or give the changed column or source a "
                    "new name",
                )

    def _make_ready(self, table: Table) -> None:
        if self.exists(table.full_name):
            path = self.path(table.full_name)
            there = set(self.spark.read.format("delta").load(path).columns)
            for column in table.columns:
                if column.name not in there:
                    comment = column.comment.replace("\\", "\\\\").replace("'", "\\'")
                    self.spark.sql(
                        f"ALTER TABLE delta.`{path}` "
                        f"ADD COLUMNS (`{column.name}` {column.type} COMMENT '{comment}')"
                    )
            return
        log = Path(self.path(table.full_name), "_delta_log")
        if self._local and log.is_dir() and not any(log.glob("*.json")):
            # Killed between making the folder and the first commit: Delta would refuse for ever.
            shutil.rmtree(log)
        builder = DeltaTable.createIfNotExists(self.spark).location(self.path(table.full_name))
        for column in table.columns:
            builder = builder.addColumn(column.name, column.type, comment=column.comment)
        if table.statistics:
            names = ",".join(f"`{name}`" for name in table.statistics)
            builder = builder.property("delta.dataSkippingStatsColumns", names)
        if table.layer != "ops":
            builder = builder.property("delta.logRetentionDuration", _REMEMBERED)
        if table.partition:
            builder = builder.partitionedBy(*table.partition)
        builder.comment(table.comment).execute()
        if self._catalog:
            database = f"{self._catalog}_{table.layer}"
            self.spark.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
            self.spark.sql(
                f"CREATE TABLE IF NOT EXISTS `{database}`.`{table.name}` USING DELTA "
                f"LOCATION '{self.path(table.full_name)}'"
            )


def _facts(key: str, made_from: Mapping[str, int], noted: Mapping[str, Any] | None = None) -> str:
    """What a commit says of itself: what it stands for, and the versions it was made from."""
    return json.dumps({"key": key, "made_from": dict(made_from), "noted": dict(noted or {})})
