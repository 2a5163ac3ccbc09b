"""What runs now, told beside the tables, so that a run that is killed leaves word of itself.

A run has its row in the ledger when it ends. Until then it has a mark, a file ``_running/<run id>``
that is touched again and again: the newest touch of one whose process is gone is about when that
was killed. On a disk a mark is locked, and a lock ends with its process; in an S3 store one that
was not touched for :data:`~driftline.locks.LEASE` seconds, by the store's clock, counts as killed.
On other file systems there are no marks: a file there can be half-written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pyspark.sql import SparkSession

from driftline import delta_log
from driftline.locks import CLOCK, LEASE, RENEWED
from driftline.logs import LOGGER

FOLDER = "_running"

_TOUCHED = 1.0
"""Seconds between two touches on a disk."""


@dataclass
class Mark:
    """The mark of a run that goes on; once it is ``over``, the mark goes at the block's end."""

    over: bool = False


@dataclass(frozen=True)
class Killed:
    """What the mark of a run that was killed said, and when that run was last alive."""

    name: str
    said: str
    at: datetime


@dataclass(frozen=True)
class Alive:
    """What the mark of a run that goes on says."""

    name: str
    said: str


@contextlib.contextmanager
def marked(spark: SparkSession, root: str, name: str, said: str) -> Iterator[Mark]:
    """Keep a mark while the block runs. One that is not over by then stays, and is of a run that
    was killed.
    """
    mark = Mark()
    if "://" not in root:
        with _on_disk(Path(root, FOLDER), name, said, mark):
            yield mark
    elif root.startswith("s3a://"):
        with _in_store(spark, f"{root}/{FOLDER}", name, said, mark):
            yield mark
    else:
        yield mark


def killed(spark: SparkSession, root: str) -> list[Killed]:
    """The marks of runs that were killed; :func:`forget` takes them away."""
    if "://" not in root:
        return list(_dead_on_disk(Path(root, FOLDER)))
    return list(_dead_in_store(spark, f"{root}/{FOLDER}")) if root.startswith("s3a://") else []


def alive(spark: SparkSession, root: str) -> list[Alive]:
    """The marks of runs that go on."""
    if "://" not in root:
        return list(_alive_on_disk(Path(root, FOLDER)))
    return list(_alive_in_store(spark, f"{root}/{FOLDER}")) if root.startswith("s3a://") else []


def forget(spark: SparkSession, root: str, dead: Killed) -> None:
    """Take away a mark; somebody else may have done so."""
    if "://" not in root:
        Path(root, FOLDER, dead.name).unlink(missing_ok=True)
    else:
        delta_log.remove(spark, f"{root}/{FOLDER}/{dead.name}")


@contextlib.contextmanager
def _on_disk(folder: Path, name: str, said: str, mark: Mark) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}"
    with part.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(said)
        file.flush()
        os.fsync(file.fileno())  # a machine that goes down leaves it whole, or not at all
        path = part.rename(folder / name)  # locked before anybody can find it
        try:
            with _again(_TOUCHED, lambda: os.utime(file.fileno())):
                yield
        finally:
            if mark.over:
                path.unlink()


@contextlib.contextmanager
def _in_store(spark: SparkSession, folder: str, name: str, said: str, mark: Mark) -> Iterator[None]:
    path = f"{folder}/{name}"

    def touch() -> None:
        delta_log.put(spark, path, said.encode(), replace=True)

    touch()
    try:
        with _again(RENEWED, touch):
            yield
    finally:
        if mark.over:
            delta_log.remove(spark, path)


@contextlib.contextmanager
def _again(seconds: float, touch: Callable[[], None]) -> Iterator[None]:
    """Touch a mark every so many seconds, in a thread, until the block ends."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(seconds):
            try:
                touch()
            except Exception as error:  # the store may answer the next time
                LOGGER.warning("the mark of a run was not touched: %s", type(error).__name__)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _dead_on_disk(folder: Path) -> Iterator[Killed]:
    for path in sorted(folder.glob("[!.]*")):
        ended_or_alive = (FileNotFoundError, BlockingIOError)
        with contextlib.suppress(*ended_or_alive), path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            touched = os.fstat(file.fileno()).st_mtime
            yield Killed(path.name, file.read(), _utc(touched))


def _dead_in_store(spark: SparkSession, folder: str) -> Iterator[Killed]:
    for path, modified, dead in _marks_in_store(spark, folder):
        said = delta_log.content(spark, path) if dead else None
        if said is not None:  # else another one has just taken it away
            yield Killed(path.rpartition("/")[2], said, _utc(modified / 1000))


def _marks_in_store(spark: SparkSession, folder: str) -> Iterator[tuple[str, int, bool]]:
    """The path of each mark, when it was touched, and whether that was so long ago that its run is
    dead.
    """
    now = delta_log.now(spark, f"{folder}/{CLOCK}")  # first: what is touched after it is alive
    for path, modified in sorted(delta_log.entries(spark, folder)):
        if path.rpartition("/")[2] != CLOCK:
            yield path, modified, now - modified >= LEASE * 1000


def _alive_on_disk(folder: Path) -> Iterator[Alive]:
    for path in sorted(folder.glob("[!.]*")):
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield Alive(path.name, file.read())


def _alive_in_store(spark: SparkSession, folder: str) -> Iterator[Alive]:
    for path, _, dead in _marks_in_store(spark, folder):
        said = None if dead else delta_log.content(spark, path)
        if said is not None:  # else it has just ended
            yield Alive(path.rpartition("/")[2], said)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
