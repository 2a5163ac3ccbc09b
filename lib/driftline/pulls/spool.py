"""Where pulled files are kept: each complete or not there at all, each content once."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    """A path to write to, never listed as a delivery, that is gone afterwards unless it was kept.

    One pull at a time writes into a folder; what a killed one left is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "pull.part"
    part.unlink(missing_ok=True)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def keep(part: Path, *, at: datetime, suffix: str) -> Path | None:
    """Give a file that is written its name, at once and for good; None if its bytes are known.

    The name, ``20250131T120000000000Z-0123456789ab.ndjson``, sorts by the time of the pull.
    """
    _, digest = found = sources.digest(str(part))
    for known in part.parent.glob(f"*-{digest[:_DIGITS]}{suffix}"):
        if sources.digest(str(known)) == found:
            return None
    stamp = at.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
    target = part.with_name(f"{stamp}-{digest[:_DIGITS]}{suffix}")
    _sync(part)
    part.rename(target)
    _sync(target.parent)  # the name too must outlive a power cut
    return target


def is_known(path: Path, deliveries: frozenset[str]) -> bool:
    """Whether a kept file is one of the deliveries, which are known by their SHA-256."""
    start = path.stem.rpartition("-")[2]
    return any(each.startswith(start) for each in deliveries)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
