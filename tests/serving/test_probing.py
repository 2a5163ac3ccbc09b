"""The probe of a running server: bounded, and honest about what was not answered."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest
import requests
from tests.serving.conftest import ROW

from driftline import probing
from driftline.errors import ConfError, Missing
from driftline.probing import probe
from driftline.serving.limits import Limits
from driftline.serving.request_log import RequestLog
from driftline.serving.rest import Rest


def test_a_server_is_asked_as_often_as_planned_and_all_is_answered(service, listening) -> None:
    url = listening(Rest(service, Limits()).app())
    found = probe(url, "churn", rate=10, seconds=4)  # four seconds more to be late in
    assert (found.failed, found.version, found.error) == (0, "1", "")
    # The rate, then at most four times as many; a busy machine comes to fewer.
    assert 0 < found.asked <= 40 + 160
    assert found.p99 is not None and found.p99 > 0
    assert found.throughput > 0

    def answered() -> float:
        told = service.metrics.text().decode()
        asked = [line for line in told.splitlines() if "requests_total" in line and '"200"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in asked if "predict" in line)

    deadline = time.monotonic() + 30
    while answered() < found.asked + 1 and time.monotonic() < deadline:
        time.sleep(0.05)  # an answer is counted after it is given
    assert answered() == found.asked + 1  # one before, to load what is loaded at first use


def test_what_is_made_up_is_not_what_customers_are_like(service, listening, tmp_path) -> None:
    """It would be compared with the rows that trained, and be skew in every feature."""
    service.log = RequestLog(tmp_path)
    url = listening(Rest(service, Limits()).app())
    assert probe(url, "churn", rate=5, seconds=1).failed == 0
    assert list(tmp_path.iterdir()) == []
    assert "driftline_feature_values_total{" not in service.metrics.text().decode()
    assert requests.post(f"{url}/predict", json={"rows": [ROW]}, timeout=10).ok
    assert len(list(tmp_path.iterdir())) == 1
    assert "driftline_feature_values_total{" in service.metrics.text().decode()


def test_requests_that_are_turned_away_are_no_answers(service, listening) -> None:
    url = listening(Rest(service, Limits(rate=5)).app())
    found = probe(url, "churn", rate=60, seconds=1)
    assert found.p99 is None
    assert found.failed > 30
    assert found.throughput < 60


def test_a_server_with_a_key(service, listening) -> None:
    url = listening(Rest(service, Limits(key="secret")).app())
    assert probe(url, "churn", rate=5, seconds=1, key="secret").failed == 0
    with pytest.raises(Missing, match="status 401") as caught:
        probe(url, "churn", rate=5, seconds=1)
    assert "--api-key-env" in caught.value.hint


def test_nobody_there_is_a_finding_and_another_model_is_not(service, listening) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = probe(gone, "churn", rate=5, seconds=1)
    assert (found.asked, found.p99, found.throughput) == (0, None, 0.0)
    assert found.error == "ConnectionRefusedError"
    with pytest.raises(Missing, match="status 404"):
        probe(listening(Rest(service, Limits()).app()), "sales", rate=5, seconds=1)
    bare = ("127.0.0.1:8080", "file:///etc/passwd", "http://")
    for wrong in (*bare, "http://127.0.0.1:80800", "http://h:x", "http://[::1"):
        with pytest.raises(ConfError):
            probe(wrong, "churn", rate=5, seconds=1)
    for wrong in (
        *("http://user:secret@127.0.0.1:8080", "htp:/user:secret@127.0.0.1"),
        *("http://127.0.0.1:8080/serve?key=secret@", "http://127.0.0.1:8080/#secret@"),
    ):
        with pytest.raises(ConfError, match="a secret in an address") as caught:
            probe(wrong, "churn", rate=5, seconds=1)
        assert "secret@" not in str(caught.value) and "user" not in caught.value.found


def test_a_server_of_other_models_is_told_apart() -> None:
    """Of another maker: its inputs are of types that driftline's never are."""
    told = {"inputs": [{"name": "a", "datatype": "FP32"}]}
    with pytest.raises(Missing, match="FP32") as caught:
        probing._request(SimpleNamespace(get=lambda _: (200, told)), "churn")
    assert "driftline serve" in caught.value.hint


@pytest.mark.parametrize(
    "told",
    [
        {"inputs": ["a"]},
        {"inputs": "a"},
        {"inputs": {"a": "FP64"}},
        {"inputs": [{"datatype": "FP64"}]},
        {"inputs": [{"name": ["a"], "datatype": "FP64"}]},
        {"inputs": [{"name": "a", "datatype": ["FP64"]}]},
        {"inputs": [None]},
        ["inputs"],
        "inputs",
    ],
)
def test_a_server_that_says_anything_is_told_apart_too(told) -> None:
    with pytest.raises(Missing) as caught:
        probing._request(SimpleNamespace(get=lambda _: (200, told)), "churn")
    assert caught.value.hint == "is it driftline serve?"


def test_versions_may_be_numbers_or_none() -> None:
    for versions, said in (([1, 2], "1,2"), (None, ""), (3, "")):
        told = {"inputs": [{"name": "a", "datatype": "FP64"}], "versions": versions}
        version, body = probing._request(SimpleNamespace(get=lambda _, it=told: (200, it)), "churn")
        assert version == said and body == b'{"rows": [{"a": 1.0}]}'


def test_a_server_that_hangs_up_does_not_hold_the_probe(service, listening) -> None:
    """It answers what it is, and then hangs up on every prediction."""
    door = socket.create_server(("127.0.0.1", 0))
    body = b'{"inputs": [{"name": "a", "datatype": "FP64"}], "versions": ["1"]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)

    def serve() -> None:
        for _ in range(2):
            made, _ = door.accept()
            with made:
                asked = made.recv(65536)
                if asked.startswith(b"GET"):
                    made.sendall(head + body)
        door.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found = probe(f"http://127.0.0.1:{door.getsockname()[1]}", "churn", rate=5, seconds=1)
    thread.join(10)
    assert found.error == "HTTPException"
