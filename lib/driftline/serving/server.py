"""The process that serves: REST on one port, gRPC on another, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import grpc
import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from driftline.errors import Missing
from driftline.serving.facts import Facts
from driftline.serving.limits import Admission, Gate, Limits
from driftline.serving.lookup import Lookup
from driftline.serving.request_log import TAKEN, RequestLog
from driftline.serving.rest import Rest
from driftline.serving.rpc import Rpc
from driftline.serving.service import Service

_GRACE = 10
"""Seconds that requests have to finish once the server was told to stop."""


IDLE = 30
"""Seconds within which the head of a request has to come, from the end of the one before it."""


@dataclass(frozen=True)
class Settings:
    """Where to listen, how often to look for a new champion, what to keep."""

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    refresh: float = 2.0
    features: str | None = None
    log: Path | None = None


class _Answered:
    """In place of uvicorn's record of a request, of one that was answered as soon as it came."""

    response_complete = True
    message_event = asyncio.Event()


_ANSWERED = cast(RequestResponseCycle, _Answered())


class Connection(HttpToolsProtocol):
    """uvicorn's connection, closed where no head of a request comes within :data:`IDLE` seconds.

    By itself it waits for the first one, and for the rest of any, for ever. Bodies have their own
    time, see :class:`~driftline.serving.limits.Gate`. A request for which the gate has no room is
    told so before it is made a task.
    """

    _due: asyncio.TimerHandle | None = None
    _since: float | None = None
    """Of the loop's time: since when a request is waited for, if one is."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look()

    def on_headers_complete(self) -> None:
        """A request is there."""
        self._since = None
        if not self._turned_away():
            super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nobody: the timer would keep this."""
        if self._due is not None:
            self._due.cancel()
        super().connection_lost(exc)

    def _turned_away(self) -> bool:
        """Whether there was no room for the request, and it was told so.

        Of plain requests only: none behind one that is not answered yet, none that waits to be
        asked for its body, none whose answer has no body, or after which the connection ends.
        """
        plain = (
            (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and self.parser.get_method() != b"HEAD"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and b"%" not in self.url
        )
        gate = cast(Gate, self.config.app)
        path = httptools.parse_url(self.url).path.decode("ascii") if plain else ""
        answer = gate.turned_away(path, self.headers) if plain else None
        if answer is None:
            return False
        headers, body = answer
        lines = [STATUS_LINE[429]]
        for name, value in [*self.server_state.default_headers, *headers]:
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.cycle = _ANSWERED
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        return True

    def _look(self) -> None:
        """Close where nobody came, else look again when that may be: one timer for all requests
        of a connection, since to set one costs as much as to read a head.
        """
        if self.transport.is_closing():
            return
        now = self.loop.time()
        since = now if self._since is None else self._since
        if now - since >= IDLE:
            self.timeout_keep_alive_handler()
        else:
            self._due = self.loop.call_later(since + IDLE - now, self._look)


def configured(app: Gate) -> uvicorn.Config:
    """How uvicorn serves an application."""
    return uvicorn.Config(
        app,
        http=Connection,
        loop="none",  # whoever runs it brings it
        lifespan="off",
        ws="none",  # nothing here speaks it, and no gate would be asked
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=IDLE,
    )


class _Both(uvicorn.Server):
    """The server of REST, which takes that of gRPC with it when it stops.

    Not after it: a signal that told it to stop is raised again at the end of ``serve``.
    """

    def __init__(self, config: uvicorn.Config, rpc: grpc.aio.Server | None) -> None:
        super().__init__(config)
        self._rpc = rpc

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and let those that are in be answered."""
        rpc = [self._rpc.stop(_GRACE)] if self._rpc else []
        await asyncio.gather(super().shutdown(sockets), *rpc)


def serve(service: Service, settings: Settings, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT; requests that are in get their answers."""
    facts = service.loaded.facts
    lookup, stop = None, threading.Event()
    if settings.features:
        lookup = Lookup(settings.features, facts.entity, service)
        lookup.watch(settings.refresh, stop)
    log = service.log = _log(settings.log, facts) if settings.log else None
    admission = Admission(limits)
    app = Rest(service, limits, admission=admission, lookup=lookup).app()
    listening = _listen(settings.host, settings.port)
    config = configured(app)
    signal.signal(signal.SIGTERM, _stopped)
    gc.collect()
    gc.freeze()  # what is loaded stays: no request waits for a walk over it
    service.watch(settings.refresh)
    port = listening.getsockname()[1]
    where = f"http://{_address(settings.host, port)}"
    print(f"serving {facts.name} version {service.loaded.version} on {where}", flush=True)

    async def both() -> None:
        rpc = None
        if settings.grpc_port is not None:
            rpc = Rpc(service, limits, admission).server()
            await _start(rpc, settings.host, settings.grpc_port)
        await _Both(config, rpc).serve(sockets=[listening])

    try:
        _run(both())
    finally:
        service.close()
        stop.set()
        if log is not None:
            log.close()


def _log(folder: Path, facts: Facts) -> RequestLog:
    names = {facts.entity, *(column.name for column in facts.columns)}
    if taken := sorted(names.intersection(TAKEN)):
        raise Missing(
            f"requests cannot be written down: {', '.join(taken)} is a column of the log's own",
            where="--log-requests",
            hint="rename the entity or feature in the problem, or serve without a log",
        )
    return RequestLog(folder)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _start(rpc: grpc.aio.Server, host: str, port: int) -> None:
    where = _address(host, port)
    try:
        bound = rpc.add_insecure_port(where)
    except RuntimeError:
        raise Missing(
            "cannot listen for gRPC",
            where=where,
            hint="choose another --grpc-port; port 0 takes a free one",
        ) from None
    await rpc.start()
    print(f"gRPC on {_address(host, bound)}", flush=True)


def _address(host: str, port: int) -> str:
    """Host and port as in a URL: an address of IPv6 has colons of its own."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Missing(
            f"cannot listen: {error.strerror}",
            where=_address(host, port),
            hint="choose another --host or --port; port 0 takes a free one",
        ) from None


def _stopped(number: int, frame: FrameType | None) -> None:
    """The signal again, after the server has wound down: the process ends well."""
    raise SystemExit(0)
