"""Marks of runs: what a killed process leaves, and what one that goes on or has ended does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from driftline import delta_log, running

HOLDER = """
import sys, time
from driftline import running
with running.marked(None, sys.argv[1], "r1", "what it said"):
    print("marked", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_leaves_its_mark(tmp_path: Path) -> None:
    """SIGKILL; the mark tells until when it lived, to the second or two."""
    root = str(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, root], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "marked\n"
        mark = tmp_path / "_running" / "r1"
        made = mark.stat().st_mtime
        while mark.stat().st_mtime == made:  # it is touched
            time.sleep(0.05)
        assert running.killed(None, root) == []  # it goes on
        assert running.alive(None, root) == [running.Alive("r1", "what it said")]
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    at = datetime.now(timezone.utc)
    assert running.alive(None, root) == []
    [dead] = running.killed(None, root)
    assert (dead.name, dead.said) == ("r1", "what it said")
    assert timedelta(0) <= at - dead.at < timedelta(seconds=5)
    assert running.killed(None, root) == [dead]  # until it is forgotten
    running.forget(None, root, dead)
    running.forget(None, root, dead)
    assert running.killed(None, root) == []
    assert list((tmp_path / "_running").iterdir()) == []


def test_a_run_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    root = str(tmp_path)
    with running.marked(None, root, "r1", "") as mark:
        mark.over = True
    with pytest.raises(ZeroDivisionError), running.marked(None, root, "r2", "") as mark:
        mark.over = True
        raise ZeroDivisionError
    assert list((tmp_path / "_running").iterdir()) == []


def test_a_run_whose_row_could_not_be_written_leaves_its_mark(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), running.marked(None, str(tmp_path), "r1", ""):
        raise KeyboardInterrupt
    [dead] = running.killed(None, str(tmp_path))
    assert dead.name == "r1"


def test_where_nothing_can_be_marked_nothing_is_told(tmp_path: Path) -> None:
    assert running.alive(None, "hdfs://a/b") == running.alive(None, str(tmp_path)) == []


@pytest.mark.parametrize("ahead", [-61, 0, 61])
def test_in_a_store_what_was_not_touched_for_a_minute_is_killed(monkeypatch, ahead: int) -> None:
    """By the store's clock: this machine's may be ahead of it, or behind."""
    objects: dict[str, tuple[int, str]] = {}

    def put(_: None, path: str, content: bytes, *, replace: bool) -> None:
        objects[path] = int(time.monotonic() * 1000), content.decode()

    def now(_: None, path: str) -> int:
        put(None, path, b"", replace=True)
        return objects[path][0]

    def age(seconds: float) -> None:
        for path, (at, content) in objects.items():
            objects[path] = at - int(seconds * 1000), content

    monkeypatch.setattr(time, "time", lambda: time.monotonic() + ahead)
    monkeypatch.setattr(delta_log, "put", put)
    monkeypatch.setattr(delta_log, "now", now)
    monkeypatch.setattr(delta_log, "remove", lambda _, path: objects.pop(path))
    monkeypatch.setattr(delta_log, "content", lambda _, path: objects[path][1])
    monkeypatch.setattr(
        delta_log, "entries", lambda _, folder: [(path, at) for path, (at, _) in objects.items()]
    )
    monkeypatch.setattr(running, "RENEWED", 0.05)
    root, said = "s3a://bucket/churn", json.dumps({"stage": "ingest"})
    clock = f"{root}/_running/.now"
    with running.marked(None, root, "r1", said) as mark:
        age(30)
        assert running.killed(None, root) == []
        assert running.alive(None, root) == [running.Alive("r1", said)]
        age(30)
        until = time.monotonic() + 10
        while running.killed(None, root):  # it is touched before long
            assert time.monotonic() < until
        mark.over = True
    assert list(objects) == [clock]
    with running.marked(None, root, "r2", said):
        pass
    age(59)
    assert running.killed(None, root) == []
    assert [each.name for each in running.alive(None, root)] == ["r2"]
    age(1)
    assert running.alive(None, root) == []
    [dead] = running.killed(None, root)
    assert (dead.name, dead.said) == ("r2", said)
    at = datetime.fromtimestamp(time.monotonic() - 60, timezone.utc)
    assert abs(dead.at - at) < timedelta(seconds=5)
    running.forget(None, root, dead)
    assert list(objects) == [clock]


def test_in_a_store_what_is_touched_while_others_look_is_alive(monkeypatch) -> None:
    """However long the listing takes: what time it is is asked first."""
    asked: list[str] = []
    monkeypatch.setattr(delta_log, "now", lambda _, __: asked.append("now") or 0)
    monkeypatch.setattr(delta_log, "entries", lambda _, __: asked.append("entries") or [])
    assert running.killed(None, "s3a://bucket/churn") == []
    assert asked == ["now", "entries"]
