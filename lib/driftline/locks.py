"""One writer a table, below :mod:`driftline.tables`: a lock on a disk, a lease in an S3 store.

Delta's commit is a rename on a disk and a plain PUT in S3: both replace what another process has
just written. HDFS and other stores refuse the second of two commits themselves, and need no lock.

A lease is an object that only one process can make (PUT if there is none) and that it writes anew
every few seconds (PUT if it is still as I read it). One that was not renewed for :data:`LEASE`
seconds, by the store's clock, is of a process that was killed; whoever replaces it first, as read,
has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession

from driftline import delta_log
from driftline.errors import TryAgain

LEASE = 60.0
"""Seconds without renewal after which a lease is anybody's."""
RENEWED = 10.0

CLOCK = ".now"
"""An object beside the leases, written to see what time it is in the store."""

_HINT = "wait until it is done and give the same command again"


@contextlib.contextmanager
def on_disk(path: Path, name: str, wait: float) -> Iterator[None]:
    """Hold a file's lock, which ends with this process; the loser gets :class:`TryAgain`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.1)
                    continue
                file.seek(0)
                raise TryAgain(
                    f"{name} is being written by another process "
                    f"({file.read().strip() or 'unknown'})",
                    where=str(path),
                    hint=_HINT,
                ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


@contextlib.contextmanager
def in_store(spark: SparkSession, path: str, name: str, wait: float) -> Iterator[None]:
    """Hold a lease, renewed by a thread; the loser gets :class:`TryAgain`.

    A process that finds its lease taken (it was stopped for a minute, say) ends at once, with the
    exit code of that error: it must not commit any more.
    """
    until, holder = time.monotonic() + wait, _holder()
    while not _taken(spark, path, holder):
        if time.monotonic() >= until:
            raise TryAgain(
                f"{name} is being written by another process, or was by one that was killed",
                where=path,
                hint=f"{_HINT}; the lock of one that was killed ends after {LEASE:.0f} s",
            )
        time.sleep(1.0)
    done = threading.Event()
    keeper = threading.Thread(target=_renew, args=(spark, path, holder, done), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        if _mine(spark, path, holder):
            delta_log.remove(spark, path)


def _taken(spark: SparkSession, path: str, holder: str) -> bool:
    """Whether a lease is ours now: nobody had it, or one who did not renew it for too long."""
    mark = None
    if there := delta_log.mark(spark, path):
        mark, renewed = there
        if delta_log.now(spark, f"{path.rpartition('/')[0]}/{CLOCK}") - renewed < LEASE * 1000:
            return False
    try:
        if delta_log.put_if(spark, path, holder.encode(), mark=mark):
            return True
    except Exception:
        if not _mine(spark, path, holder):
            raise
    return _mine(spark, path, holder) is not None  # it may be that only the answer was lost


def _renew(spark: SparkSession, path: str, holder: str, done: threading.Event) -> None:
    begun = written = time.monotonic()
    times = 0
    while not done.wait(max(begun + RENEWED - time.monotonic(), 0.0)):
        begun, times, lost = time.monotonic(), times + 1, False
        try:
            mark = _mine(spark, path, holder)
            if mark and delta_log.put_if(spark, path, f"{holder}{times}".encode(), mark=mark):
                written = begun
                continue
            lost = _mine(spark, path, holder) is None
            said = "another process has it" if lost else "it was not renewed"
        except Exception as error:  # the store may answer again before the lease is over
            said = type(error).__name__
        if lost or time.monotonic() - written > LEASE - RENEWED:
            with contextlib.suppress(OSError):  # nobody may read any more
                print(f"driftline: the lock {path} was lost ({said}); try again", file=sys.stderr)
            os._exit(TryAgain.exit_code)


def _mine(spark: SparkSession, path: str, holder: str) -> str | None:
    """The mark of a lease if it is this holder's, whichever of its writes the store has."""
    there = delta_log.mark(spark, path)
    said = delta_log.content(spark, path) if there else None
    return there[0] if there and (said or "").startswith(holder) else None


def _holder() -> str:
    """What a lease says first; no two say the same, so that none is taken for another."""
    return f"{socket.gethostname()} pid {os.getpid()} {time.time_ns()} "
