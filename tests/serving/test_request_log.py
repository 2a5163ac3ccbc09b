"""What was asked is kept as deliveries, whole files only, as the model saw it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.serving.conftest import INFER, ROW, ask, rows, tensors

from driftline.serving.limits import Limits
from driftline.serving.request_log import RequestLog
from driftline.serving.rest import Rest


def test_an_answer_does_not_wait_for_a_full_disk(service, tmp_path) -> None:
    folder = tmp_path / "log"
    log = service.log = RequestLog(folder, lines=2)
    app = Rest(service, Limits()).app()
    for _ in range(5):
        assert ask(app, "POST", "/predict", rows({})).status == 200
    named = sorted(each.name for each in folder.iterdir())
    assert [name.startswith(".") for name in named] == [True, False, False]  # the fifth is open
    log.close()
    folder.rename(tmp_path / "elsewhere")
    assert ask(app, "POST", "/predict", rows({})).status == 200
    assert b"driftline_requests_unlogged_total 1.0" in service.metrics.text()
    (tmp_path / "elsewhere").rename(folder)
    assert ask(app, "POST", "/predict", rows({})).status == 200
    log.close()
    assert len(logged(folder)) == 6


def test_a_request_that_there_is_no_room_for_is_left_out_whole(tmp_path) -> None:
    log = RequestLog(tmp_path)
    log.add("q1", 1, [ROW], [0.9], [1.0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # as a disk that is full
    try:
        with pytest.raises(OSError, match="too large"):
            log.add("q2", 1, [ROW] * 1000, [0.9] * 1000, [1.0] * 1000)
        log.add("q3", 1, [ROW], [0.9], [1.0])  # there is room for one
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.add("q4", 1, [ROW], [0.9], [1.0])
    log.close()
    assert [line["request_id"] for line in logged(tmp_path)] == ["q1", "q3", "q4"]


def logged(folder: Path) -> list[dict]:
    """The lines of the deliveries, hidden ones left out as ingest leaves them out."""
    files = [each for each in sorted(folder.iterdir()) if not each.name.startswith(".")]
    return [json.loads(line) for each in files for line in each.read_text("utf-8").splitlines()]


def test_a_file_that_could_not_be_named_is_named_later(service, tmp_path, monkeypatch) -> None:
    service.log = RequestLog(tmp_path, lines=1)
    app = Rest(service, Limits()).app()
    replace_, errors = os.replace, iter([OSError(errno.EIO, "I/O error")])

    def once(old: Path, new: Path) -> None:
        if error := next(errors, None):
            raise error
        replace_(old, new)

    monkeypatch.setattr(os, "replace", once)
    assert ask(app, "POST", "/predict", rows({"age": 1})).status == 200
    assert logged(tmp_path) == []
    assert ask(app, "POST", "/predict", rows({"age": 2})).status == 200
    assert [line["age"] for line in logged(tmp_path)] == [2]
    service.log.close()  # or within a minute
    assert sorted(line["age"] for line in logged(tmp_path)) == [1, 2]
    assert b"driftline_requests_unlogged_total 0.0" in service.metrics.text()


def test_servers_share_a_folder(tmp_path) -> None:
    """What one still writes is not named by another, wherever that one runs."""
    logs = [RequestLog(tmp_path) for _ in "ab"]
    for number in range(4):
        logs[number % 2].add(f"q{number}", 1, [ROW], [0.9], [1.0])
        RequestLog(tmp_path).close()
        assert logged(tmp_path) == []
    logs[0].close()
    assert [line["request_id"] for line in logged(tmp_path)] == ["q0", "q2"]
    logs[1].close()
    assert sorted(line["request_id"] for line in logged(tmp_path)) == ["q0", "q1", "q2", "q3"]


def test_a_file_that_was_named_before_it_was_locked_is_not_written(tmp_path, monkeypatch) -> None:
    log = RequestLog(tmp_path)
    flock = fcntl.flock

    def late(file: Any, how: int) -> None:
        monkeypatch.undo()
        RequestLog(tmp_path).close()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    log.add("q", 1, [ROW], [0.9], [1.0])
    assert logged(tmp_path) == []
    log.close()
    assert [line["request_id"] for line in logged(tmp_path)] == ["q"]


def test_what_was_asked_is_named_though_nobody_asks_more(tmp_path) -> None:
    log = RequestLog(tmp_path, seconds=0.01)
    log.add("q", 1, [ROW], [0.9], [1.0])
    until = time.monotonic() + 30
    while not logged(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(logged(tmp_path)) == 1
    log.close()


def test_every_way_in_is_written_down_as_the_model_saw_it(service, tmp_path) -> None:
    service.log = RequestLog(tmp_path)
    app = Rest(service, Limits()).app()
    lost = {"spend_30d": None, "age": None, "member": None, "channel": None}
    assert ask(app, "POST", "/predict", rows({}, lost)).status == 200
    assert ask(app, "POST", INFER, tensors() | {"id": "q7"}).status == 200
    service.log.close()
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    kept = [{name: line.get(name) for name in ROW} for line in lines]
    asked = {"customer_id": None, "spend_30d": 20.0, "age": 30, "member": True, "channel": "web"}
    assert kept == [
        ROW,
        ROW | lost,
        asked,
        asked | {"spend_30d": 80.0, "age": None, "member": False, "channel": ""},
    ]
    assert [type(each["age"]) for each in kept] == [int, type(None)] * 2
    assert [line["request_id"] for line in lines[2:]] == ["q7", "q7"]
    assert len({line["row_id"] for line in lines}) == len(lines)  # what ingest knows a line by
    assert [line["score"] for line in lines] == [0.9, 0.9, 0.9, 0.2]


def test_no_request_waits_for_names_to_be_given(tmp_path, monkeypatch) -> None:
    log = RequestLog(tmp_path, lines=1, seconds=0.01)
    left = ".requests-20240101T000000-abcdef01.ndjson.part"
    replace_, begun, go = os.replace, threading.Event(), threading.Event()

    def slow(old: Path, new: Path) -> None:
        if old.name == left:
            begun.set()
            go.wait(30)
        replace_(old, new)

    monkeypatch.setattr(os, "replace", slow)
    (tmp_path / left).write_text("{}\n")
    assert begun.wait(30)
    threading.Timer(5, go.set).start()
    log.add("q", 1, [ROW], [0.9], [1.0])
    assert not go.is_set()
    assert [line["request_id"] for line in logged(tmp_path)] == ["q"]  # its own is
    go.set()
    log.close()
    assert len(logged(tmp_path)) == 2


def test_what_others_have_begun_is_theirs(tmp_path) -> None:
    upload = tmp_path / ".customers.csv.part"
    upload.write_text("customer_id,a")
    RequestLog(tmp_path).close()
    assert [each.name for each in tmp_path.iterdir()] == [upload.name]


def test_what_a_dead_server_had_begun_gets_its_name(tmp_path) -> None:
    left = tmp_path / ".requests-20240101T000000-abcdef01.ndjson.part"
    left.write_text("{}\n")
    RequestLog(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [left.name[1:].removesuffix(".part")]
