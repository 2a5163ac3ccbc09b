"""The process that serves: REST on one port, gRPC on another, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from driftline.errors import Missing
from driftline.serving.limits import Limits
from driftline.serving.lookup import Lookup
from driftline.serving.request_log import RequestLog
from driftline.serving.rest import Rest
from driftline.serving.service import Service

LOGGER = logging.getLogger("driftline.serving")

_GRACE = 10
"""Seconds that requests have to finish once the server was told to stop."""


@dataclass(frozen=True)
class Settings:
    """Where to listen, how often to look for a new champion, what to keep."""

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    refresh: float = 2.0
    features: str | None = None
    log: Path | None = None


def serve(service: Service, settings: Settings, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT; requests that are in get their answers."""
    facts = service.loaded.facts
    lookup = Lookup(settings.features, facts.entity) if settings.features else None
    log = RequestLog(settings.log) if settings.log else None
    app = Rest(service, limits, lookup=lookup, log=log).app()
    listening = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        loop="none",  # this function brings it
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=30,
    )
    signal.signal(signal.SIGTERM, _stopped)
    service.watch(settings.refresh)
    port = listening.getsockname()[1]
    said = f"{facts.name} version {service.loaded.version} on http://{settings.host}:{port}"
    print(f"serving {said}", flush=True)
    try:
        _run(uvicorn.Server(config), listening, service, settings, limits)
    finally:
        service.close()
        if log is not None:
            log.close()


def _run(
    server: uvicorn.Server,
    listening: socket.socket,
    service: Service,
    settings: Settings,
    limits: Limits,
) -> None:
    async def both() -> None:
        await server.serve(sockets=[listening])

    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(both())
    else:
        uvloop.run(both())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Missing(
            f"cannot listen: {error.strerror}",
            where=f"{host}:{port}",
            hint="choose another --host or --port; port 0 takes a free one",
        ) from None


def _stopped(number: int, frame: FrameType | None) -> None:
    """The signal again, after the server has wound down: the process ends well."""
    raise SystemExit(0)
