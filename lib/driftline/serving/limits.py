"""What a server takes on: key, rate, concurrency, size, time. A gate in front of every request.

Plain ASGI, because saying no has to be cheap: it happens most when there is least time. Requests
that are too many get 429 with ``Retry-After``, before their body is read.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import math
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio.to_thread

from driftline.errors import Missing
from driftline.serving.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

LOGGER = logging.getLogger("driftline.serving")

_OPEN = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
"""Answered to everybody, always: whoever watches a server has to see it when it is busy."""

_UNCOUNTED = "/metrics"
"""Answered whatever the rate, to whoever has the key."""

LONGEST_ID = 1000
"""Characters of the id that a request of the Open Inference Protocol brings: every line of the
request log has it."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; ``rate`` is requests a second (None: unbounded), the key a secret.

    A body may have ``body`` bytes, or as many as the rows need that are allowed if these are more.
    """

    rows: int = 1000
    body: int = 2_000_000
    concurrency: int = 64
    rate: float | None = None
    seconds: float = 10.0
    key: str | None = None

    def __post_init__(self) -> None:
        """An empty key is one that was lost; it must not open the server to everybody."""
        if self.key == "":
            raise Missing(
                "the API key is empty",
                where="the variable or secret it is read from",
                hint="give it a value, or unset it to serve without a key",
            )

    def max_body(self, row_bytes: int) -> int:
        """Bytes that a body may have, of rows that may have so many each."""
        return max(self.body, self.rows * row_bytes)


class Rate:
    """A token bucket: ``rate`` requests a second on average, a tenth of a second's at once."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._most = max(1.0, rate / 10)
        self._tokens, self._at = self._most, clock()

    def wait(self) -> float:
        """0 and a token is taken, or the seconds until there will be one."""
        wait = self.ahead()
        if not wait:
            self._tokens -= 1
        return wait

    def ahead(self) -> float:
        """The same, and nothing is taken."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate


class Admission:
    """Who may come in: one rate and one count of those inside, for all ways in."""

    def __init__(self, limits: Limits) -> None:
        self._rate = Rate(limits.rate) if limits.rate else None
        self._most, self._inside = limits.concurrency, 0

    def wait(self) -> int | None:
        """None: come in. Else the whole seconds after which to ask again."""
        return self._whole(self._rate.wait if self._rate else None)

    def ahead(self) -> int | None:
        """The same of somebody who is not at the door yet: takes nothing of the rate."""
        return self._whole(self._rate.ahead if self._rate else None)

    def _whole(self, seconds: Callable[[], float] | None) -> int | None:
        if self._inside >= self._most:
            return 1
        wait = seconds() if seconds else 0.0
        return max(1, math.ceil(wait)) if wait else None

    def __enter__(self) -> None:
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1

    async def in_thread(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """What ``work`` returns, called in a thread by a request that is inside.

        A thread cannot be ended from outside: where the request ends before it, its place is the
        thread's until that is done. ``work`` is given what tells it whether the request has ended.
        """
        left = threading.Event()
        working = asyncio.ensure_future(anyio.to_thread.run_sync(work, left.is_set))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            left.set()
            if not working.done():
                self.__enter__()
                working.add_done_callback(self._over)
            raise

    def _over(self, working: asyncio.Future[Any]) -> None:
        self.__exit__()
        if not working.cancelled():
            working.exception()  # nobody is there to hear it, and it is not to be complained of


class TooLarge(Exception):
    """More body than allowed was sent."""

    def __init__(self, most: int) -> None:
        super().__init__(f"body: longer than {most:,} bytes")


class Gate:
    """The ASGI application in front of ``app``; ``max_body`` tells how many bytes a body may have,
    each time, since another champion may have other columns.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        admission: Admission,
        metrics: Metrics,
        max_body: Callable[[], int],
    ) -> None:
        self._app, self._limits, self._max_body = app, limits, max_body
        self._admission = admission
        self._key = limits.key.encode() if limits.key else None
        # Kept, since to find one costs as much as to count.
        self._counts = functools.cache(metrics.requests.labels)
        self._seconds = functools.cache(metrics.seconds.labels)

    def turned_away(
        self, path: str, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[Headers, bytes] | None:
        """Headers and body of 429 where there is no room for a request; None where it may come in,
        or is to hear something else.

        For a server to ask before it makes a task of a request. Where five times as many come as
        it can answer, most hear no, and each no keeps waiting those that were let in.
        """
        started = time.perf_counter()
        wait = self._admission.ahead()
        if wait is None or path in _OPEN or path == _UNCOUNTED:
            return None
        given = dict(headers)
        if not self._knows(given):
            return None
        way, id_ = _way(path), _id(given)
        told, body = _too_many(wait, id_)
        self._noted(way, "429", started)
        return [*told, (b"x-request-id", id_.encode())], body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        id_ = scope.setdefault("state", {})["request_id"] = _id(headers)
        path = route(scope)
        way = _way(path)
        code = 500

        async def answer(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", id_.encode())]
            await send(message)

        try:
            if path in _OPEN:
                await self._app(scope, receive, answer)
            else:
                await self._guarded(scope, headers, receive, answer)
        finally:
            self._noted(way, str(code), started)

    async def _guarded(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        id_ = scope["state"]["request_id"]
        if not self._knows(headers):
            await _say(send, id_, 401, "the API key is missing or wrong (header X-API-Key)")
            return
        wait = None if route(scope) == _UNCOUNTED else self._admission.wait()
        if wait is not None:
            await _send(send, 429, *_too_many(wait, id_))
            return
        length, most = headers.get(b"content-length", b"0"), self._max_body()
        if length.isdigit() and int(length) > most:
            close = [(b"connection", b"close")]
            await _say(send, id_, 413, str(TooLarge(most)), close)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            with self._admission:
                inside = self._app(scope, _bounded(receive, most), sending)
                await asyncio.wait_for(inside, self._limits.seconds)
        except asyncio.TimeoutError:
            if not begun:
                said = f"not finished within {self._limits.seconds:g} seconds"
                await _say(send, id_, 408, said)
        except Exception:
            LOGGER.exception("request %s failed", id_)
            if not begun:
                await _say(send, id_, 500, "this is a bug in driftline, please report it")

    def _noted(self, way: str, code: str, started: float) -> None:
        self._counts(way, code).inc()
        self._seconds(way).observe(time.perf_counter() - started)

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether who asks has the key, where there is one."""
        if self._key is None:
            return True
        return opens(self._key, headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))


def _id(headers: dict[bytes, bytes]) -> str:
    """The id that came with a request, if it may be said again, or one of its own."""
    given = headers.get(b"x-request-id", b"")
    if given and _ID.fullmatch(given):
        return given.decode()
    return f"{random.getrandbits(128):032x}"  # no secret, and no system call


def route(scope: Scope) -> str:
    """The path within the application: under a mount, as in another web application, ``path`` has
    the mount's prefix, too. By the rule of the router behind the gate: both have to mean the same.
    """
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    if path == prefix or path.startswith(f"{prefix}/"):
        return path[len(prefix) :]
    return path


def _way(path: str) -> str:
    """The kind of request, for metrics: few words whatever paths are asked for."""
    if path.startswith("/v2"):
        return "v2"
    return path if path in ("/predict", "/metrics", "/healthz", "/readyz") else "other"


def opens(key: bytes, authorization: bytes, api_key: bytes) -> bool:
    """Whether the key is in one of the headers ``Authorization: Bearer`` and ``X-API-Key``.

    Whatever is in the other one: a gateway in front passes its users' own tokens on. Both are
    compared, always, so that the time taken tells nothing.
    """
    bearer = authorization[7:] if authorization[:7].lower() == b"bearer " else b""
    return hmac.compare_digest(bearer, key) | hmac.compare_digest(api_key, key)


def _bounded(receive: Receive, most: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise TooLarge(most)
        return message

    return bounded


def _too_many(wait: int, id_: str) -> tuple[Headers, bytes]:
    return _answer(id_, "too many requests", [(b"retry-after", str(wait).encode())])


def _answer(id_: str, said: str, headers: Headers | None = None) -> tuple[Headers, bytes]:
    body = json.dumps({"error": said, "request_id": id_}).encode()
    given = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return given + (headers or []), body


async def _say(
    send: Send, id_: str, status: int, said: str, headers: Headers | None = None
) -> None:
    await _send(send, status, *_answer(id_, said, headers))


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
