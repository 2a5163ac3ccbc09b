"""The files that were delivered: which there are, whether they are whole, what each is."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from driftline import sources
from driftline.errors import Missing
from driftline.ingest import Delivery
from driftline.jobs import pulls
from driftline.jobs.line import Line
from driftline.logs import LOGGER
from driftline.pulls import spool


def found(line: Line, source: str) -> list[Delivery]:
    """What lies there for a source, each known by its content.

    A file that changes while it is looked at is still being written: it is left for another run.
    """
    kept = pulls.folder(line, source)
    paths = _paths(line, source) if kept is None else spool.files(kept)
    settled = _settled(paths, line.problem.sources[source].settle if kept is None else 0)
    with ThreadPoolExecutor(line.environment.cores) as pool:  # hashing lets other threads run
        digests = list(pool.map(_digest, settled))
    whole = []
    for (path, before), known in zip(settled.items(), digests, strict=True):
        if known is None or before is None:
            LOGGER.warning("%s: %s was there and is gone", source, path.name)
        elif _state(path) == before:
            size, sha256 = known
            whole.append(Delivery(sha256, os.path.relpath(path, line.environment.data), size))
        else:
            LOGGER.warning("%s: %s is still being written, left for another run", source, path.name)
    return whole


def _digest(path: Path) -> tuple[int, str] | None:
    try:
        return sources.digest(str(path))
    except FileNotFoundError:  # moved away since it was listed
        return None


def is_unchanged(line: Line, delivery: Delivery) -> bool:
    """Whether a delivery is still where it was, with the bytes it had."""
    path = location(line, delivery)
    return path.is_file() and sources.digest(str(path)) == (delivery.bytes, delivery.id)


def location(line: Line, delivery: Delivery) -> Path:
    """Where a delivery lies."""
    return Path(line.environment.data, delivery.path)


def _paths(line: Line, source: str) -> list[Path]:
    """The files that match the source's pattern, as a shell would match it; says what it leaves."""
    data = glob.escape(line.environment.data)
    pattern = os.path.join(data, line.problem.sources[source].path)
    names = sorted(glob.glob(pattern, recursive=True))
    folder, name = os.path.split(pattern)
    begins = name.startswith(("*", "?", "["))
    hidden = glob.glob(os.path.join(folder, "." + name), recursive=True) if begins else []
    if hidden:
        LOGGER.warning(
            "%s: %d hidden files were left alone, as a shell leaves them: %s",
            source,
            len(hidden),
            _some(hidden),
        )
    if not names:
        raise Missing(
            f"no deliveries of {source} found",
            where=os.path.join(line.environment.data, line.problem.sources[source].path),
            hint="check sources.*.path and the data folder (--data), or fetch the data first",
        )
    foreign = [path for path in names if not _is_text(path)]
    if foreign:
        LOGGER.warning(
            "%s: %d files have a name that is no UTF-8 and were left alone, rename them: %s",
            source,
            len(foreign),
            _some(map(ascii, foreign)),
        )
    names = [path for path in names if path not in foreign]
    files = [path for path in map(Path, names) if path.is_file()]
    others = [path for path in names if not os.path.isfile(path)]
    if others:
        LOGGER.warning(
            "%s: %d are folders, dangling links or the like and were left alone: %s",
            source,
            len(others),
            _some(others),
        )
    return files


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that Python could not read as the file system's encoding
        return False
    return True


def _some(paths: Iterable[str]) -> str:
    names = sorted(os.path.basename(path) for path in paths)
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


_State = tuple[int, int, int]


def _settled(paths: Iterable[Path], settle: float) -> dict[Path, _State | None]:
    """Each file's state, looked at when it should have been quiet for ``settle`` seconds.

    A clock that stands behind the files' makes none wait longer than that, whatever they say.
    """
    states = {path: _state(path) for path in paths}
    newest = max((state[1] for state in states.values() if state), default=0) / 1e9
    time.sleep(min(settle, max(0.0, newest + settle - time.time())))
    return states


def _state(path: Path) -> _State | None:
    """What changes when a file is written: size, time of change, inode; None once it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
