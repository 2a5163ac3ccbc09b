"""Where pulled files are kept: each complete or not there at all, each content once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from driftline import sources

_DIGITS = 12
"""Digits of a content's SHA-256 in the name of its file."""


@dataclass(frozen=True)
class Pulled:
    """What a pull came to."""

    path: Path | None
    """The new file; None when there was nothing, or nothing that an earlier file does not have."""
    records: int
    requests: int = 1
    retries: int = 0


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A path for a file or a folder, never listed as a delivery, that is gone afterwards.

    One pull at a time writes into a spool folder; what a killed one left is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "pull.part"
    _remove(part)
    try:
        yield part
    finally:
        _remove(part)


def keep(part: Path, folder: Path, *, at: datetime, suffix: str) -> Path | None:
    """Move a file that is written into the spool folder, at once and for good.

    Returns None if a file there has the same bytes. The name sorts by the time of the pull:
    ``20250131T120000000000Z-0123456789ab.ndjson``.
    """
    _, digest = found = sources.digest(str(part))
    for known in folder.glob(f"*-{digest[:_DIGITS]}{suffix}"):
        if sources.digest(str(known)) == found:
            return None
    stamp = at.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
    target = folder / (f"{stamp}-{digest[:_DIGITS]}{suffix}")
    _sync(part)
    part.rename(target)
    _sync(folder)  # the name too must outlive a power cut
    return target


def write(path: Path, text: str) -> None:
    """A small file for its owner alone: the whole of it is there, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def files(folder: Path) -> list[Path]:
    """The files of a spool folder, the oldest first; what is being written is none."""
    return sorted(folder.glob("*Z-*"))


def is_known(path: Path, deliveries: Collection[str]) -> bool:
    """Whether a kept file is one of the deliveries, which are known by their SHA-256."""
    start = path.stem.rpartition("-")[2]
    return any(each.startswith(start) for each in deliveries)


def discard(folder: Path, deliveries: Collection[str]) -> int:
    """Remove the kept files that are among the deliveries; how many those were."""
    landed = [path for path in files(folder) if is_known(path, deliveries)]
    for path in landed:
        _remove(path)
    return len(landed)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
