"""Requests as deliveries: NDJSON files that ``ingest`` reads, so that what was asked can be learnt.

A file is written under a hidden name, which ingest passes over, and gets its own when it is full or
old enough; what a server that dies had not yet named is named by the next one in the same folder.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO


class RequestLog:
    """Writes each scored row as a line: time, request, version, entity, features, score."""

    def __init__(self, folder: Path, *, lines: int = 10_000, seconds: float = 60.0) -> None:
        self._folder, self._lines, self._seconds = folder, lines, seconds
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            if not _runs(left):
                os.replace(left, _finished(left))
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._written, self._since = 0, 0.0

    def add(
        self,
        request_id: str,
        version: int,
        rows: Sequence[dict[str, Any]],
        scores: Sequence[float],
        decisions: Sequence[float],
    ) -> None:
        """Write a request's rows, each with its score and what was decided."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        head = {"time": now, "request_id": request_id, "model_version": version}
        lines = [
            json.dumps({**head, **row, "score": score, "prediction": decision}) + "\n"
            for row, score, decision in zip(rows, scores, decisions, strict=True)
        ]
        with self._lock:
            file = self._open()
            file.writelines(lines)
            file.flush()
            self._written += len(lines)
            if self._written >= self._lines or time.monotonic() - self._since >= self._seconds:
                self._finish()

    def close(self) -> None:
        """Name what is written."""
        with self._lock:
            self._finish()

    def _open(self) -> TextIO:
        if self._file is None:
            now = datetime.now(timezone.utc)
            name = f".requests-{now:%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}.ndjson.part"
            self._file = (self._folder / name).open("w", encoding="utf-8")
            self._written, self._since = 0, time.monotonic()
        return self._file

    def _finish(self) -> None:
        if self._file is not None:
            self._file.close()
            path = Path(self._file.name)
            os.replace(path, _finished(path))
            self._file = None


def _finished(part: Path) -> Path:
    return part.with_name(part.name.removeprefix(".").removesuffix(".part"))


def _runs(part: Path) -> bool:
    """Whether the process that writes it is still there; our own number is an earlier server's."""
    process = part.name.split("-")[2]
    if process == str(os.getpid()):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True
