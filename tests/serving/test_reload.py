"""A new champion takes over without one failed request; one that cannot be had leaves the old."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from tests.serving.conftest import FACTS, ask, onnx, rows

from driftline.errors import DriftlineError, TryAgain
from driftline.portable.saved import Linear
from driftline.serving import service as service_module
from driftline.serving.champion import Champion
from driftline.serving.limits import Limits
from driftline.serving.rest import Rest


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


def test_another_model_of_the_same_number_takes_over(registry, service) -> None:
    """As of a registry that was restored, or begun anew, under a server that runs."""
    registry.files[1] = onnx(Linear(np.zeros(5), 0.0, logistic=True))
    assert service.refresh()
    app = Rest(service, Limits()).app()
    found = ask(app, "POST", "/predict", rows({})).json
    assert (found["version"], found["predictions"][0]["score"]) == (1, 0.5)
    assert not service.refresh()


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


@pytest.mark.parametrize(
    ("error", "fetched"),
    [
        (DriftlineError("it is of another driftline"), [0, 60, 180, 420, 720, 1020, 1320]),
        (TryAgain("the server answers 503"), [0, 2, 6, 14, 30, 62, 126, 254, 510, 810, 1110, 1410]),
    ],
)
def test_a_champion_that_cannot_be_loaded_is_not_fetched_at_every_look(
    registry, service, monkeypatch, error, fetched
) -> None:
    now, fetches = [0.0], []

    def fetch(found: Champion) -> bytes:
        fetches.append(now[0])
        raise error

    monkeypatch.setattr(service_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    fetch_, service._fetch = service._fetch, fetch
    registry.put(onnx())
    for second in range(0, 1500, 2):
        now[0] = float(second)
        assert not service.refresh()
    assert fetches == fetched
    failed = f'driftline_reloads_total{{outcome="failed"}} {len(fetched)}.0'
    assert failed.encode() in service.metrics.text()

    service._fetch = fetch_
    registry.put(onnx())
    assert service.refresh()  # another one is taken at once
    assert service.loaded.version == 3


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
