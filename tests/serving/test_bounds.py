"""What a hostile request costs: bounded, counted in what is found and told, not in seconds."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pydantic import ValidationError
from tests.serving.conftest import FACTS, ROW, ask

from driftline.serving import rest, rows, rpc, server, tensors
from driftline.serving.limits import Gate, Limits
from driftline.serving.rest import Rest
from driftline.serving.rows import FAULTS, Reader, Wrong

MANY = {f"a{number}": 1 for number in range(30_000)}
FEW = {f"a{number}": 1 for number in range(FAULTS)}
INPUT = {"name": "age", "shape": [1], "datatype": "INT64", "data": [1]}
INFER = "/v2/models/churn/infer"


@pytest.fixture
def found(monkeypatch) -> list[int]:
    """How many faults pydantic found in each body that was not right."""
    counts: list[int] = []
    faults = rows.faults

    def counted(error: ValidationError, known: Any) -> Wrong:
        counts.append(error.error_count())
        return faults(error, known)

    for module in (rows, rest):
        monkeypatch.setattr(module, "faults", counted)
    return counts


@pytest.fixture
def hints(monkeypatch) -> list[str]:
    """The names for which the nearest known one was looked for."""
    names: list[str] = []

    def noted(name: str, *_: Any, **__: Any) -> str:
        names.append(name)
        return "?"

    for module in (rows, tensors):
        monkeypatch.setattr(module, "did_you_mean", noted)
    return names


@pytest.mark.parametrize(
    "body",
    [
        MANY,
        {"rows": [MANY]},
        {"rows": [ROW | FEW] * 1000},
        {"rows": [{}] * 1000},
        {"rows": [[]] * 9000},
        {"rows": [ROW | {"age": ""}] * 1000},
        {"entities": [1] * 1000},
    ],
    ids=range(7),
)
def test_rows_are_read_until_one_is_wrong(found, hints, body) -> None:
    with pytest.raises(Wrong) as caught:
        Reader(FACTS, 1000, look_up=True).read(json.dumps(body).encode())
    assert found[0] <= 2 * FAULTS
    assert len(caught.value.faults) <= FAULTS
    assert len(hints) <= FAULTS


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{}] * 2000},
        {"inputs": [INPUT] * 9000},
        {"inputs": [INPUT], "outputs": [{}] * 2000},
        {"inputs": [INPUT], "outputs": [{"name": "a"}] * 9000},
        {"inputs": [INPUT | {"shape": ["1"] * 1000}]},
        {"inputs": [INPUT | {"name": f"a{number}"} for number in range(2000)]},
    ],
    ids=range(6),
)
def test_tensors_are_looked_at_until_enough_is_wrong(service, found, hints, body) -> None:
    app = Rest(service, Limits(body=100_000_000)).app()
    answer = ask(app, "POST", INFER, body)
    assert answer.status == 422
    assert max(found, default=0) <= FAULTS
    assert len(answer.json["details"]) <= FAULTS
    assert len(hints) <= FAULTS


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [(9000, 0, "inputs: there are 9,000"), (2000, 0, "inputs.a0"), (0, 9000, "outputs: there are")],
)
def test_so_are_they_by_grpc(service, hints, inputs, outputs, said) -> None:
    request = rpc.Messages().ModelInferRequest(model_name="churn")
    for number in range(inputs):
        request.inputs.add(name=f"a{number}", datatype="FP64", shape=[1])
    for number in range(outputs):
        request.outputs.add(name=f"a{number}")

    def read() -> None:
        tensors.wanted(FACTS, [each.name for each in request.outputs])
        tensors.read(FACTS, rpc._tensors(request, 1000), 1000)

    with pytest.raises(Wrong, match=said) as caught:
        read()
    assert len(caught.value.faults) <= FAULTS
    assert len(hints) <= FAULTS


def test_texts_are_unpacked_until_there_are_too_many() -> None:
    with pytest.raises(Wrong, match="more than 1000 elements"):
        rpc._raw("inputs.channel", "BYTES", b"\0" * 4004, 1000)


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"\r\n", HEALTH[:20]], ids=range(3))
@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "next"])
def test_a_connection_on_which_no_request_comes_is_closed(
    service, listening, monkeypatch, before, sent
) -> None:
    monkeypatch.setattr(server, "IDLE", 0.2)
    with connected(listening(Rest(service, Limits()).app())) as connection:
        connection.sendall(before)
        answer = connection.recv(65536) if before else b""
        with contextlib.suppress(ConnectionError):  # closed already
            connection.sendall(sent)
            while got := connection.recv(65536):
                answer += got
    assert answer.count(b"200 OK") == before.count(HEALTH)


def test_a_body_may_take_longer_than_the_next_request(service, listening, monkeypatch) -> None:
    monkeypatch.setattr(server, "IDLE", 0.5)
    body = json.dumps({"rows": [ROW]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    with connected(listening(Rest(service, Limits()).app())) as connection:
        connection.sendall(head.encode())
        time.sleep(1)
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def connected(url: str) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((place.hostname, place.port), timeout=20)


def test_who_has_to_wait_is_told_before_a_task_is_made(service, listening, monkeypatch) -> None:
    tasks = []
    called = Gate.__call__

    async def counted(self, scope, receive, send) -> None:
        tasks.append(scope["path"])
        await called(self, scope, receive, send)

    monkeypatch.setattr(Gate, "__call__", counted)
    limits = Limits(rate=0.001, key="secret")
    body = json.dumps({"rows": [ROW]}).encode()
    with requests.Session() as one:  # one connection all along
        one.headers["X-API-Key"] = "secret"
        url = listening(Rest(service, limits).app())
        assert one.post(f"{url}/predict", body).status_code == 200
        for id_ in ("mine", "with space"):
            busy = one.post(f"{url}/predict?a=b", body, headers={"X-Request-Id": id_})
            assert (busy.status_code, busy.json()["error"]) == (429, "too many requests")
            assert int(busy.headers["retry-after"]) > 100
            assert busy.headers["x-request-id"] == busy.json()["request_id"] != "with space"
            assert (busy.headers["x-request-id"] == "mine") is (id_ == "mine")
        assert tasks == ["/predict"]
        assert one.head(f"{url}/predict").text == ""
        assert one.post(f"{url}/predict", body, headers={"X-API-Key": ""}).status_code == 401
        assert one.get(f"{url}/healthz").status_code == 200
        told = one.get(f"{url}/metrics").text
        assert 'driftline_requests_total{code="429",way="/predict"} 3.0' in told
        assert 'driftline_request_seconds_count{way="/predict"} 5.0' in told


def test_requests_sent_at_once_are_answered_in_turn(service, listening) -> None:
    body = json.dumps({"rows": [ROW]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connected(listening(Rest(service, Limits(rate=0.001)).app())) as connection:
        connection.sendall(head + body[:5])
        time.sleep(0.2)  # it was let in, and the others are behind it
        connection.sendall(body[5:] + head + body + HEALTH)
        assert statuses(connection) == [200, 429, 200]
        for part in (head[:30], head[30:], body[:9], body[9:], HEALTH):  # in pieces, all the same
            connection.sendall(part)
            time.sleep(0.05)
        assert statuses(connection) == [429, 200]
        connection.sendall(HEALTH.replace(b"GET /healthz", b"HEAD /predict"))
        assert connection.recv(65536).endswith(b"\r\n\r\n")  # and no body


def statuses(connection: socket.socket) -> list[int]:
    """Of the answers up to that of :data:`HEALTH`, one right after the other."""
    answer = b""
    while not answer.endswith(b'{"status":"ok"}'):
        answer += connection.recv(65536)
    first, *answers = answer.split(b"HTTP/1.1 ")
    assert first == b""
    return [int(each[:3]) for each in answers]
