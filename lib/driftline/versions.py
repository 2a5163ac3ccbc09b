"""What tables there are, and their versions: the half of :mod:`driftline.tables` that reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from driftline import delta_files, delta_log, delta_paths
from driftline.delta_files import Commit, DataFile
from driftline.errors import Missing


class Versions:
    """The versions of the Delta tables of one problem: ``<root>/<layer>/<name>``."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark = spark
        self.root = root
        self._local = "://" not in root

    def path(self, name: str) -> str:
        """Folder of the table called ``layer.name``; any other table is called by its folder."""
        if "/" in name:
            return name
        return f"{self.root}/{name.replace('.', '/')}"

    def called(self, name: str) -> str:
        """The one name of a table that may be called by its folder in many ways; of the problem's
        own ones it is ``layer.name``.
        """
        if "/" not in name:
            return name
        folder, root = _plain(name), _plain(self.root)
        inside = folder.removeprefix(f"{root}/")
        own = inside != folder and inside.count("/") == 1 and "." not in inside
        return inside.replace("/", ".") if own else folder

    def exists(self, name: str) -> bool:
        """Whether there is such a Delta table."""
        path = self.path(name)
        if not delta_paths.has_scheme(path) and not any(Path(path, "_delta_log").glob("*.json")):
            return False
        return bool(DeltaTable.isDeltaTable(self.spark, path))

    def names(self) -> list[str]:
        """All tables there are, ``layer.name`` each."""
        if not self._local:
            return sorted(delta_log.names(self.spark, self.root))
        return sorted(
            ".".join(path.parts[-3:-1]) for path in Path(self.root).glob("*/*/_delta_log")
        )

    def version(self, name: str) -> int:
        """The newest version; :class:`Missing` when there is no such table."""
        return int(self._snapshot(name).version())

    def identity(self, name: str) -> str:
        """What tells a table from another one of the same name, as after its folder was removed."""
        return str(self._snapshot(name).metadata().id())

    def size(self, name: str) -> int | None:
        """The size of the data files of the newest version, where it costs nothing to say."""
        size = self._snapshot(name).sizeInBytesIfKnown()
        return int(size.get()) if size.isDefined() else None

    def read(self, name: str, *, version: int | None = None) -> DataFrame:
        """The rows of a table, as of ``version`` or now."""
        newest = self.version(name)
        if version is None:
            version = newest
        elif not 0 <= version <= newest:
            raise self._no_version(name, version, newest)
        reader = self.spark.read.format("delta").option("versionAsOf", version)
        return reader.load(self.path(name))

    def commits(self, name: str, *, since: int, until: int) -> list[Commit]:
        """The commits up to ``until``, from one at or before ``since``; no data are read."""
        newest = self.version(name)
        for wanted in (since, until):
            if not 0 <= wanted <= newest:
                raise self._no_version(name, wanted, newest)
        try:
            return delta_files.commits(self.spark, self.path(name), since=since, until=until)
        except LookupError as error:
            raise Missing(
                f"{name} no longer knows version {since}: its log was cleaned up",
                where=self.path(name),
                hint=f"the oldest version that can be told is {error.args[0]}",
            ) from None

    def oldest(self, name: str) -> int:
        """The oldest version that can be told: 0, or where the log was cleaned up to."""
        return delta_files.oldest(self.spark, self.path(name))

    def version_at(self, name: str, moment: datetime) -> int:
        """The version that was the newest at a moment; :class:`Missing` where there was none."""
        newest = self.version(name)
        if moment > datetime.now(timezone.utc):
            raise Missing(
                f"{name} has no version of {moment:%Y-%m-%d %H:%M} yet",
                where=self.path(name),
                hint="say a time that has passed, or latest",
            )
        found, first = delta_files.version_at(self.spark, self.path(name), moment, newest=newest)
        if found is None:
            raise Missing(
                f"{name} has no version of {moment:%Y-%m-%d %H:%M}",
                where=self.path(name),
                hint=f"the oldest known one is of {first:%Y-%m-%d %H:%M} UTC",
            )
        return found

    def read_files(self, name: str, files: Sequence[DataFile], *, version: int) -> DataFrame:
        """The rows of some data files, each path once, by the columns of ``version``."""
        return delta_files.read(self.spark, self.path(name), version, files)

    def differing(self, name: str, one: int, other: int) -> list[DataFrame]:
        """The rows of each of two versions that are in files which the other does not have.

        Raises :class:`Missing` where such a file was vacuumed away, or the log no longer tells.
        """
        commits = self.commits(name, since=min(one, other), until=max(one, other))
        sides = [delta_files.version(commits, number) for number in (one, other)]
        alone = [
            [file for file in mine.files if file.key not in {each.key for each in theirs.files}]
            for mine, theirs in (sides, sides[::-1])
        ]
        for side, files in zip(sides, alone, strict=True):
            present = self.present(files)
            gone = [file for file in files if not file.paths <= present]
            if gone:
                raise Missing(
                    f"{len(gone)} data files of {name} version {side.number} are gone",
                    where=self.path(name),
                    hint="VACUUM took them; newer versions can still be read",
                )
        return [
            self.read_files(name, files, version=side.number)
            for side, files in zip(sides, alone, strict=True)
        ]

    def present(self, files: Iterable[DataFile]) -> set[str]:
        """The paths of those files, and of their deletion vectors, that were not vacuumed away."""
        return delta_files.exists(self.spark, files)

    def committed(self, name: str) -> frozenset[str]:
        """The keys of all writes that are in the table."""
        if not self.exists(name):
            return frozenset()
        return delta_log.keys(self.spark, self.path(name), self._snapshot(name))

    def _no_version(self, name: str, version: int, newest: int) -> Missing:
        return Missing(
            f"{name} has no version {version}",
            where=self.path(name),
            hint=f"versions go from 0 to {newest}",
        )

    def _snapshot(self, name: str) -> Any:
        if not self.exists(name):
            raise Missing(
                f"there is no table {name}",
                where=self.path(name),
                hint="run the stage that writes it first; `driftline run` does all of them",
            )
        jvm: Any = self.spark._jvm
        log = delta_log.log_of(self.spark, self.path(name))
        nothing = jvm.scala.Option.empty()
        return log.update(False, nothing, nothing)


def _plain(folder: str) -> str:
    """A folder as it is spelt in one way only."""
    if folder.startswith("file:/"):
        folder = "/" + folder.removeprefix("file:").lstrip("/")
    return folder.rstrip("/") if delta_paths.has_scheme(folder) else os.path.abspath(folder)
