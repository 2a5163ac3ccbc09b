"""Bounds of a service: how many at once and a second, how long, how large, and by which key."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace

import anyio.to_thread
import pytest
from tests.serving.conftest import FACTS, ask, asked, onnx, rows

from driftline.serving.limits import Limits, Rate, opens
from driftline.serving.model import Portable
from driftline.serving.rest import Rest
from driftline.serving.service import INLINE, Loaded


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


def test_who_was_given_up_keeps_the_place_until_the_work_is_done(service) -> None:
    app = Rest(service, Limits(rows=100, concurrency=2, seconds=0.2)).app()
    go, predict, lock = threading.Event(), service.predict, threading.Lock()
    working = most = 0

    def slow(*given):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        go.wait(30)
        with lock:
            working -= 1
        return predict(*given)

    service.predict = slow
    body = json.dumps(rows(*[{}] * (INLINE + 1))).encode()  # so many that a thread scores them

    async def at_once(many: int) -> list[int]:
        answers = [asked(app, "POST", "/predict", body, {}) for _ in range(many)]
        return [each.status for each in await asyncio.gather(*answers)]

    async def scenario() -> list[list[int]]:
        found = [await at_once(2), await at_once(3)]
        go.set()
        until = time.monotonic() + 30
        while working and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # and the loop has heard of it
        app._limits = replace(app._limits, seconds=30.0)
        return [*found, await at_once(2)]

    assert asyncio.run(scenario()) == [[408, 408], [429, 429, 429], [200, 200]]
    assert most == 2


def test_nobody_scores_on_for_who_was_given_up(service, monkeypatch, caplog) -> None:
    """Rows that no one waits for: those of a thread at work, and of one that has not begun."""
    app = Rest(service, Limits(rows=10_000, concurrency=64, seconds=0.5)).app()
    blocks, go = [], threading.Event()
    session = service.loaded.model._session

    class Slow:
        def run(self, *given):
            blocks.append(1)
            go.wait(30)
            return session.run(*given)

    monkeypatch.setattr(service.loaded.model, "_session", Slow())
    body = json.dumps(rows(*[{}] * 1_100)).encode()  # three blocks

    async def scenario() -> list[int]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2
        answers = [asked(app, "POST", "/predict", body, {}) for _ in range(4)]
        found = [each.status for each in await asyncio.gather(*answers)]
        go.set()
        until = time.monotonic() + 30
        while app._admission._inside and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return [*found, app._admission._inside]

    assert asyncio.run(scenario()) == [408, 408, 408, 408, 0]
    assert len(blocks) == 2
    assert not caplog.text


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


def test_as_many_rows_as_are_allowed_fit_into_a_body(service) -> None:
    app = Rest(service, Limits(rows=40_000)).app()
    body = json.dumps(rows(*[{}] * 40_000)).encode()
    assert len(body) > 3_000_000
    answer = ask(app, "POST", "/predict", body)
    assert (answer.status, len(answer.json["predictions"])) == (200, 40_000)
    more = ask(app, "POST", "/predict", b" " * (40_000 * service.loaded.row_bytes + 1))
    assert (more.status, more.json["error"]) == (413, "body: longer than 14,640,000 bytes")


def test_a_row_has_room_for_the_longest_numbers_and_indents(service) -> None:
    numbers = {"spend_30d": -2.2250738585072014e-308, "age": -(2**63), "member": False}
    body = rows(*[numbers | {"channel": "a shop in a town", "customer_id": "c" * 36}] * 1000)
    given = json.dumps(body, indent=4).encode()
    assert len(given) <= Limits(body=0).max_body(service.loaded.row_bytes)


def test_the_body_may_have_what_the_champion_of_the_moment_needs(service) -> None:
    app = Rest(service, Limits()).app()
    body = b" " * 3_000_000
    assert ask(app, "POST", "/predict", body).status == 413
    columns = tuple(replace(FACTS.columns[0], name=f"spend_{days}d") for days in range(200))
    service.loaded = Loaded(2, Portable(onnx(facts=replace(FACTS, columns=columns))))
    assert ask(app, "POST", "/predict", body).status == 400  # no JSON, but read
    answer = ask(app, "POST", "/predict", body, {"content-length": "0"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"X-API-Key": "secret"}, 200),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "Bearer of.a.user", "X-API-Key": "secret"}, 200),
        ({"Authorization": "Bearer secret", "X-API-Key": "another's"}, 200),
        ({"Authorization": "Bearer of.a.user", "X-API-Key": "wrong"}, 401),
        ({"Authorization": "Bearer ", "X-API-Key": ""}, 401),
    ],
)
def test_the_key_opens(service, headers, status) -> None:
    app = Rest(service, Limits(key="secret")).app()
    answer = ask(app, "POST", "/predict", rows({}), headers)
    assert answer.status == status
    assert b"secret" not in answer.body
    assert ask(app, "GET", "/metrics", b"", headers).status == status
    assert ask(app, "GET", "/healthz").status == 200


def test_both_keys_are_compared_in_constant_time(monkeypatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def noted(given: bytes, key: bytes) -> bool:
        compared.append((given, key))
        return given == key

    monkeypatch.setattr("driftline.serving.limits.hmac.compare_digest", noted)
    for authorization, api_key in ((b"Bearer secret", b"a"), (b"Bearer a", b"secret")):
        assert opens(b"secret", authorization, api_key)
    assert compared == [(each, b"secret") for each in (b"secret", b"a", b"a", b"secret")]


def test_a_bug_says_nothing_of_itself(service, caplog) -> None:
    app = Rest(service, Limits()).app()

    def broken(*_) -> None:
        raise RuntimeError("internal 4711")

    service.predict = broken
    answer = ask(app, "POST", "/predict", rows({}))
    assert answer.status == 500
    assert b"4711" not in answer.body
    assert answer.json["error"].startswith("this is a bug in driftline")
