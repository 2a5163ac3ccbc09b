"""Requests as deliveries: NDJSON files that ``ingest`` reads, so that what was asked can be learnt.

A file is written under a hidden name, which ingest passes over, and gets its own when it is full or
a minute old. Its writer holds its lock. One that nobody holds is finished: left by a server that
died, or by a rename that failed. Every server of the folder looks for those, and names them.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from io import FileIO
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger("driftline.serving")

_PREFIX, _SUFFIX = ".requests-", ".ndjson.part"

TAKEN = ("row_id", "time", "request_id", "model_version", "score", "prediction")
"""What a line has beside the entity and the features."""


class RequestLog:
    """Writes each scored row as a line: id, time, request, version, entity, features, score.

    A file has at most about so many ``lines``, and is open for at most so many ``seconds``.
    """

    def __init__(self, folder: Path, *, lines: int = 10_000, seconds: float = 60.0) -> None:
        self._folder, self._lines, self._seconds = folder, lines, seconds
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._written = 0
        self._finish()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="request log", daemon=True)
        self._thread.start()

    def add(
        self,
        request_id: str,
        version: int,
        rows: Sequence[dict[str, Any]],
        scores: Sequence[float],
        decisions: Sequence[float],
    ) -> None:
        """Write a request's rows, each with its score and what was decided.

        Of a request that raises ``OSError`` nothing is kept, unless the file cannot be cut either.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        head = {"time": now, "request_id": request_id, "model_version": version}
        # Another name than the caller's, which may come again and has many rows.
        once = uuid.uuid4().hex
        lines = [
            json.dumps(
                {"row_id": f"{once}-{place}", **head, **row, "score": score, "prediction": called}
            )
            + "\n"
            for place, (row, score, called) in enumerate(zip(rows, scores, decisions, strict=True))
        ]
        with self._lock:
            self._put("".join(lines).encode())
            self._written += len(lines)
            full = self._finished() if self._written >= self._lines else None
        if full is not None:
            _name(full)

    def close(self) -> None:
        """Name what is written."""
        self._stop.set()
        self._thread.join()  # it may be about to name one
        self._finish()

    def _watch(self) -> None:
        """Nobody need ask anything for what was asked to be named."""
        while not self._stop.wait(self._seconds):
            try:
                self._finish()
            except OSError as error:
                LOGGER.error("requests were not written down: %s", error.strerror)

    def _put(self, content: bytes) -> None:
        """Write all of it or, where there is no room, nothing: half a line would spoil the next."""
        file = self._open()
        whole = file.tell()
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            try:
                file.truncate(whole)
                file.seek(whole)
            except OSError:
                self._file = None
                file.close()
            raise

    def _open(self) -> FileIO:
        while self._file is None:
            now = datetime.now(timezone.utc)
            part = self._folder / f"{_PREFIX}{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex}{_SUFFIX}"
            file = FileIO(part, "x")  # no buffer, which would write later what was given up
            fcntl.flock(file, fcntl.LOCK_EX)
            if part.exists():
                self._file, self._written = file, 0
            else:  # another server has named it before it was locked
                file.close()
        return self._file

    def _finish(self) -> None:
        """Write the file no more, and name every one that nobody writes any more.

        The names are given without the lock, on which requests wait: the folder may be long.
        """
        with self._lock:
            self._finished()
        for part in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            _name(part)

    def _finished(self) -> Path | None:
        """The file that was written, which is not written any more."""
        if self._file is None:
            return None
        file, self._file = self._file, None
        file.close()  # and gives up the lock
        return Path(str(file.name))


def _name(part: Path) -> None:
    """Give a file its name, unless somebody writes it."""
    try:
        with part.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(part, part.with_name(part.name[1:].removesuffix(".part")))
    except (BlockingIOError, FileNotFoundError):
        pass  # it is being written, or another server was faster
    except OSError as error:
        LOGGER.error("%s is not named yet: %s", part, error.strerror)
