"""REST: right answers in the order asked, and for every wrong request the field that is wrong."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from tests.serving.conftest import FACTS, ROW, ask, asked, onnx

from driftline.errors import DriftlineError
from driftline.portable.saved import Linear
from driftline.serving.champion import Champion
from driftline.serving.limits import Limits, Rate
from driftline.serving.metrics import _buckets
from driftline.serving.request_log import RequestLog
from driftline.serving.rest import Rest


def rows(*changes: dict) -> dict:
    return {"rows": [{**ROW, **change} for change in changes]}


def test_answers_are_keyed_and_in_the_order_asked(app) -> None:
    spends = [20.0, 80.0, 50.0, None, 50.000000000000014]
    asked_ = rows(*({"spend_30d": s, "customer_id": f"c{n}"} for n, s in enumerate(spends)))
    answer = ask(app, "POST", "/predict", asked_, {"X-Request-Id": "mine-1"})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "mine-1"
    found = answer.json
    assert (found["model"], found["version"], found["request_id"]) == ("churn", 1, "mine-1")
    assert found["predictions"] == [
        {"customer_id": f"c{n}", "score": score, "prediction": float(score >= 0.5)}
        for n, score in enumerate([0.9, 0.2, 0.9, 0.9, 0.2])
    ]


def test_what_is_not_known_is_null_and_the_entity_may_be_left_out(app) -> None:
    row = {"spend_30d": None, "age": None, "member": None, "channel": None}
    (found,) = ask(app, "POST", "/predict", {"rows": [row]}).json["predictions"]
    assert found == {"customer_id": None, "score": 0.9, "prediction": 1.0}


def test_a_whole_number_may_be_written_with_a_point(app) -> None:
    assert ask(app, "POST", "/predict", rows({"age": 30.0})).status == 200
    age = tensor("age", "INT64", [30.0, 31])
    assert ask(app, "POST", INFER, tensors(age=age)).status == 200


def without(name: str) -> dict:
    return {key: value for key, value in ROW.items() if key != name}


BAD = [
    (b"", 400, "body"),
    (b"{", 400, "body"),
    (b"nonsense", 400, "body"),
    (b"\xff\xfe", 400, "body"),
    (b"[]", 422, "body"),
    (b"null", 422, "body"),
    (b'"rows"', 422, "body"),
    (b"17", 422, "body"),
    (b"{}", 422, "rows"),
    (b'{"rows": [' + b"[" * 5000, 400, "body"),
    (b'{"rows": null}', 422, "rows"),
    (b'{"rows": {}}', 422, "rows"),
    (b'{"rows": []}', 422, "rows"),
    (b'{"rows": [null]}', 422, "rows.0"),
    (b'{"rows": [[]]}', 422, "rows.0"),
    (b'{"rows": ["c1"]}', 422, "rows.0"),
    (rows(*[{}] * 6), 422, "rows"),
    ({"row": [ROW]}, 422, "row"),
    ({"entities": ["c1"]}, 422, "entities"),  # no look-up is offered here
    ({"rows": [ROW], "more": 1}, 422, "more"),
    *(({"rows": [without(name)]}, 422, f"rows.0.{name}") for name in list(ROW)[1:]),
    (rows({}, {"spend": 1.0}), 422, "rows.1.spend"),
    (rows({"as_of": "2024-01-01"}), 422, "rows.0.as_of"),
    (rows({"label": 1}), 422, "rows.0.label"),
    (rows({"spend_30d": "20"}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": ""}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": True}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": [20.0]}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": {"value": 20.0}}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": float("nan")}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": float("inf")}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": -float("inf")}), 422, "rows.0.spend_30d"),
    (b'{"rows": [{"spend_30d": 1e999}]}', 422, "rows.0.spend_30d"),
    (b'{"rows": [{"spend_30d": 1' + b"0" * 400 + b"}]}", 422, "rows.0.spend_30d"),
    (rows({"age": 30.5}), 422, "rows.0.age"),
    (rows({"age": "30"}), 422, "rows.0.age"),
    (rows({"age": True}), 422, "rows.0.age"),
    (rows({"age": 2**63}), 422, "rows.0.age"),
    (rows({"age": -(2**63) - 1}), 422, "rows.0.age"),
    (rows({"member": 1}), 422, "rows.0.member"),
    (rows({"member": "true"}), 422, "rows.0.member"),
    (rows({"channel": 7}), 422, "rows.0.channel"),
    (rows({"channel": ["web"]}), 422, "rows.0.channel"),
    (rows({"channel": "a" * 10_001}), 422, "rows.0.channel"),
    (rows({"customer_id": 7}), 422, "rows.0.customer_id"),
    (rows({"customer_id": None}), 422, "rows.0.customer_id"),
    (b'{"rows": [{"channel": "\\ud800"}]}', 400, "body"),
    (json.dumps(rows({})).encode() + b" more", 400, "body"),
    (json.dumps(rows({})).encode("utf-16"), 400, "body"),
    (b" " * 20_001, 413, "body"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD, ids=range(len(BAD)))
def test_a_bad_request_is_told_which_field_is_wrong(app, body, status, field) -> None:
    answer = ask(app, "POST", "/predict", body)
    assert answer.status == status, answer.body
    found = answer.json
    assert field in found["error"]
    if status != 413:
        assert field in [each["field"] for each in found["details"]]
    assert "Traceback" not in found["error"]
    assert found["request_id"] == answer.headers["x-request-id"]
    assert len(answer.body) < 5000


def test_there_are_enough_bad_requests() -> None:
    assert len(BAD) >= 40


def test_a_slip_is_met_with_the_right_name(app) -> None:
    answer = ask(app, "POST", "/predict", {"rows": [{**without("age"), "aeg": 3}]})
    assert "did you mean 'age'?" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/predict", 405),
        ("POST", "/predict/more", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/churn/versions/2", 404),
        ("GET", "/v2/models/churn/versions/latest/ready", 404),
        ("POST", "/v2/models/churn/versions/9/infer", 404),
        ("GET", "/../../etc/passwd", 404),
    ],
)
def test_what_is_not_there_is_said(app, method, path, status) -> None:
    answer = ask(app, method, path)
    assert answer.status == status
    assert answer.json["request_id"]


def test_a_score_that_is_no_number_names_its_row(registry) -> None:
    steep = Linear(np.array([1e308, 1e308, 0.0, 0.0, 0.0]), 0.0, logistic=False)
    registry.put(onnx(steep, replace(FACTS, task="regression")))
    app = Rest(registry.service(), Limits()).app()
    answer = ask(
        app,
        "POST",
        "/predict",
        rows({"spend_30d": 50.0, "age": 40}, {"spend_30d": 1e9, "age": 10**9}),
    )
    assert answer.status == 422
    assert [each["field"] for each in answer.json["details"]] == ["rows.1"]


def test_an_odd_request_id_is_not_taken_over(app) -> None:
    for odd in ("a b", "x" * 65, "<script>", "a\r\nb"):
        answer = ask(app, "POST", "/predict", rows({}), {"X-Request-Id": odd})
        assert len(answer.headers["x-request-id"]) == 32


# --- the Open Inference Protocol


def tensor(name: str, datatype: str, data: list, shape: list[int] | None = None) -> dict:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def tensors(**changes: dict | None) -> dict:
    given = {
        "spend_30d": tensor("spend_30d", "FP64", [20.0, 80.0]),
        "age": tensor("age", "INT64", [30, None]),
        "member": tensor("member", "BOOL", [True, False]),
        "channel": tensor("channel", "BYTES", ["web", ""]),
    }
    given |= changes
    return {"inputs": [each for each in given.values() if each is not None]}


INFER = "/v2/models/churn/infer"


def test_tensors_are_scored(app) -> None:
    given = tensors(who=tensor("customer_id", "BYTES", ["a", "b"])) | {"id": "q7"}
    assert ask(app, "POST", INFER, given).json == {
        "model_name": "churn",
        "model_version": "1",
        "id": "q7",
        "outputs": [
            tensor("score", "FP64", [0.9, 0.2]),
            tensor("prediction", "FP64", [1.0, 0.0]),
            tensor("customer_id", "BYTES", ["a", "b"]),
        ],
    }
    columns = tensors(spend_30d=tensor("spend_30d", "FP32", [[20.0], [80.0]], [2, 1]))
    answer = ask(app, "POST", INFER, columns | {"outputs": [{"name": "prediction"}]})
    assert answer.json["outputs"] == [tensor("prediction", "FP64", [1.0, 0.0])]


def test_a_model_tells_its_inputs(app) -> None:
    found = ask(app, "GET", "/v2/models/churn/versions/1").json
    assert [(each["name"], each["datatype"]) for each in found["inputs"]] == [
        ("spend_30d", "FP64"),
        ("age", "INT64"),
        ("member", "BOOL"),
        ("channel", "BYTES"),
    ]
    assert ask(app, "GET", "/v2/models/churn/ready").json == {"name": "churn", "ready": True}
    assert ask(app, "GET", "/v2/health/live").json == {"live": True}
    assert ask(app, "GET", "/v2/health/ready").json == {"ready": True}


BAD_TENSORS = [
    ({}, "inputs"),
    ({"inputs": []}, "inputs"),
    ({"inputs": [{"name": "age"}]}, "inputs.0.shape"),
    (tensors(age=None), "inputs.age"),
    (tensors(more=tensor("more", "FP64", [1.0, 2.0])), "inputs.more"),
    (tensors(twice=tensor("age", "INT64", [1, 2])), "inputs.age"),
    (tensors(age=tensor("age", "FP64", [1.0, 2.0])), "inputs.age.datatype"),
    (tensors(age=tensor("age", "NUMBER", [1, 2])), "inputs.age.datatype"),
    (tensors(age=tensor("age", "INT64", [1.5, 2])), "inputs.age.data.0"),
    (tensors(age=tensor("age", "INT64", [1, True])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [-(2**63), 2**63])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [1.0, -1e300])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [1])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [1, 2, 3], [2])), "inputs.age.data"),
    (tensors(age=tensor("age", "INT64", [1, 2], [1, 2])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [1, 2], [-2])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [[1, 2]], [2])), "inputs.age.data"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", ["1", 2.0])), "inputs.spend_30d.data.0"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", [10**400, 2.0])), "inputs.spend_30d.data"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", [float("inf"), 2.0])), "inputs.spend_30d.data"),
    (tensors(member=tensor("member", "BOOL", [1, 0])), "inputs.member.data.0"),
    (tensors(channel=tensor("channel", "BYTES", [1, "web"])), "inputs.channel.data.0"),
    (tensors(channel=tensor("channel", "BYTES", ["a" * 10_001, ""])), "inputs.channel.data.0"),
    (tensors(who=tensor("customer_id", "BYTES", [1, 2])), "inputs.customer_id.data.0"),
    (tensors() | {"outputs": [{"name": "logits"}]}, "outputs.logits"),
    (tensors() | {"id": 7}, "id"),
    ({"inputs": [tensor(n, "FP64", [1.0] * 6) for n in ("spend_30d", "age")]}, "inputs.member"),
]


@pytest.mark.parametrize(("body", "field"), BAD_TENSORS, ids=range(len(BAD_TENSORS)))
def test_bad_tensors_are_told_which(app, body, field) -> None:
    answer = ask(app, "POST", INFER, body)
    assert answer.status == 422, answer.body
    assert field in [each["field"] for each in answer.json["details"]], answer.json


# --- limits


def test_more_than_the_rate_is_told_when_to_come_again(service) -> None:
    app = Rest(service, Limits(rate=10)).app()
    answers = [ask(app, "POST", "/predict", rows({})) for _ in range(5)]
    assert answers[0].status == 200
    refused = [each for each in answers if each.status == 429]
    assert refused
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    assert ask(app, "GET", "/healthz").status == 200
    assert ask(app, "GET", "/metrics").status == 200


def test_the_rate_is_kept_over_time() -> None:
    now = [0.0]
    rate = Rate(100, clock=lambda: now[0])
    taken = 0
    for tick in range(10_000):
        now[0] = tick / 1000
        taken += rate.wait() == 0
    assert 1000 <= taken <= 1010
    assert 0 < rate.wait() <= 0.01


def test_more_at_once_than_allowed_are_refused(service) -> None:
    app = Rest(service, Limits(concurrency=2)).app()
    inner = app._app

    async def scenario() -> list[int]:
        go = asyncio.Event()

        async def slow(scope, receive, send) -> None:
            await go.wait()
            await inner(scope, receive, send)

        app._app = slow
        body = json.dumps(rows({})).encode()
        waiting = [asyncio.ensure_future(asked(app, "POST", "/predict", body, {})) for _ in "ab"]
        await asyncio.sleep(0)
        third = await asked(app, "POST", "/predict", body, {})
        go.set()
        return [third.status, *(each.status for each in await asyncio.gather(*waiting))]

    assert asyncio.run(scenario()) == [429, 200, 200]
    assert ask(app, "POST", "/predict", rows({})).status == 200


def test_a_body_that_does_not_come_is_not_waited_for(service) -> None:
    app = Rest(service, Limits(seconds=0.05)).app()

    async def scenario() -> tuple[int, bytes]:
        sent: list = []

        async def never() -> None:
            await asyncio.Event().wait()

        async def send(message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
        await app(scope, never, send)
        return sent[0]["status"], sent[1]["body"]

    status, body = asyncio.run(scenario())
    assert status == 408
    assert b"0.05 seconds" in body


def test_a_body_without_a_length_is_bounded_too(app) -> None:
    assert ask(app, "POST", "/predict", b" " * 20_001, {"content-length": "0"}).status == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"X-API-Key": "secret"}, 200),
        ({"Authorization": "Bearer secret"}, 200),
    ],
)
def test_the_key_opens(service, headers, status) -> None:
    app = Rest(service, Limits(key="secret")).app()
    answer = ask(app, "POST", "/predict", rows({}), headers)
    assert answer.status == status
    assert b"secret" not in answer.body
    assert ask(app, "GET", "/metrics", b"", headers).status == status
    assert ask(app, "GET", "/healthz").status == 200


def test_a_bug_says_nothing_of_itself(service, caplog) -> None:
    app = Rest(service, Limits()).app()

    def broken(*_) -> None:
        raise RuntimeError("internal 4711")

    service.predict = broken
    answer = ask(app, "POST", "/predict", rows({}))
    assert answer.status == 500
    assert b"4711" not in answer.body
    assert answer.json["error"].startswith("this is a bug in driftline")


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
        asked | {"spend_30d": 80.0, "age": None, "member": False, "channel": None},
    ]
    assert [type(each["age"]) for each in kept] == [int, type(None)] * 2
    assert [line["request_id"] for line in lines[2:]] == ["q7", "q7"]
    assert [line["score"] for line in lines] == [0.9, 0.9, 0.9, 0.2]


def test_what_a_dead_server_had_begun_gets_its_name(tmp_path) -> None:
    left = tmp_path / ".requests-20240101T000000-abcdef01.ndjson.part"
    left.write_text("{}\n")
    RequestLog(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [left.name[1:].removesuffix(".part")]


# --- the champion changes


def test_a_new_champion_takes_over(registry, service) -> None:
    app = Rest(service, Limits()).app()
    assert ask(app, "POST", "/predict", rows({})).json["version"] == 1
    assert not service.refresh()
    other = replace(FACTS, columns=FACTS.columns)
    registry.put(onnx(Linear(np.zeros(5), 0.0, logistic=True), other))
    assert service.refresh()
    found = ask(app, "POST", "/predict", rows({})).json
    assert (found["version"], found["predictions"][0]["score"]) == (2, 0.5)
    registry.champion = 1  # back again
    assert service.refresh()
    assert ask(app, "POST", "/predict", rows({})).json["version"] == 1


@pytest.mark.parametrize("what", ["gone", "broken", "error"])
def test_a_champion_that_cannot_be_had_leaves_the_old_one(registry, service, what) -> None:
    if what == "gone":
        registry.champion = None
    elif what == "broken":
        registry.put(b"no ONNX at all")
    else:
        registry.error = DriftlineError("the registry is away")
    assert not service.refresh()
    assert service.loaded.version == 1
    assert b'driftline_reloads_total{outcome="failed"} 1.0' in service.metrics.text()


def test_a_registry_that_answers_nonsense_is_asked_again(registry, service) -> None:
    """As a proxy's page in HTML would be answered, once."""
    find = service._find
    answers = iter([ValueError("Expecting value: line 1 column 1 (char 0)")])

    def once() -> Champion | None:
        if error := next(answers, None):
            raise error
        return find()

    service._find = once
    registry.put(onnx())
    service.watch(0.01)
    until = time.monotonic() + 30
    while service.loaded.version == 1 and time.monotonic() < until:
        time.sleep(0.01)
    service.close()
    assert service.loaded.version == 2
    assert b'driftline_reloads_total{outcome="failed"} 1.0' in service.metrics.text()


def test_no_request_fails_while_champions_change(registry, service, listening) -> None:
    address = listening(Rest(service, Limits()).app())
    done, statuses, versions = threading.Event(), [], set()

    def client() -> None:
        with requests.Session() as session:
            while not done.is_set():
                answer = session.post(f"{address}/predict", json=rows({}), timeout=10)
                statuses.append(answer.status_code)
                if answer.ok:
                    versions.add(answer.json()["version"])

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    for _ in range(20):
        version = registry.put(onnx())
        assert service.refresh()
        while version not in versions and time.monotonic() < until:
            time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert versions >= set(range(2, 22))


# --- metrics


def test_metrics_tell_what_was_asked(app) -> None:
    ask(
        app,
        "POST",
        "/predict",
        rows({"spend_30d": 15.0}, {"spend_30d": None}, {"spend_30d": 999.0}),
    )
    ask(app, "POST", "/predict", rows({"age": 17, "channel": "fax"}, {"channel": None}))
    ask(app, "POST", "/predict", b"{")
    text = ask(app, "GET", "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    feature = {
        key: float(value) for key, value in values.items() if key.startswith("driftline_feature")
    }

    def count(name: str, bucket: str) -> float:
        return feature[f'driftline_feature_values_total{{bucket="{bucket}",feature="{name}"}}']

    assert count("spend_30d", "decile:1") == 3  # 15, and twice 20
    assert (count("spend_30d", "missing"), count("spend_30d", "above")) == (1, 1)
    assert (count("age", "below"), count("age", "decile:0")) == (1, 4)
    assert (count("channel", "word:web"), count("channel", "other")) == (3, 1)
    assert count("channel", "missing") == 1
    assert values["driftline_rows_total"] == "5.0"
    assert values['driftline_requests_total{code="200",way="/predict"}'] == "2.0"
    assert values['driftline_requests_total{code="400",way="/predict"}'] == "1.0"
    assert values['driftline_scores_total{bucket="0.9"}'] == "4.0"
    assert values['driftline_scores_total{bucket="0.2"}'] == "1.0"
    assert 'driftline_model_version{model="churn",problem="000000000000"}' in values


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((0.0, 10.0, 20.0), {"below": 1, "decile:0": 3, "decile:1": 2, "above": 1, "missing": 1}),
        ((5.0,), {"below": 2, "decile:0": 1, "above": 4, "missing": 1}),
        ((), {"above": 7, "missing": 1}),
    ],
)
def test_a_value_falls_into_one_bucket(edges, expected) -> None:
    values = np.array([float("nan"), -1.0, 0.0, 5.0, 10.0, 10.5, 20.0, 21.0])
    assert _buckets(values, edges) == expected


def test_paths_do_not_become_labels(app) -> None:
    for path in ("/a", "/b", "/c/d"):
        ask(app, "GET", path)
    text = ask(app, "GET", "/metrics").body.decode()
    assert 'driftline_requests_total{code="404",way="other"} 3.0' in text


def test_the_document_names_the_fields_of_the_model(app) -> None:
    found = ask(app, "GET", "/openapi.json").json
    row = found["components"]["schemas"]["Row"]
    assert set(row["properties"]) == set(ROW)
    assert set(row["required"]) == set(ROW) - {"customer_id"}
    assert "$defs" not in json.dumps(found["paths"]["/predict"])


def test_the_page_of_docs_needs_nobody_else(app) -> None:
    page = ask(app, "GET", "/docs")
    assert page.status == 200
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(asked) >= 3
    for path in asked:
        assert path.startswith("/"), path
        assert ask(app, "GET", path).status == 200, path
    assert b"://" not in page.body.replace(b"window.location.origin", b"")
