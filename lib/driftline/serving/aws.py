"""AWS Lambda: ``driftline.serving.aws.handler`` behind an API gateway, a load balancer or a URL.

Environment: ``DRIFTLINE_PROBLEM`` and ``DRIFTLINE_ENV`` (files in the bundle; the registry has to
be a tracking server the function reaches, or a SQLite file in the bundle), ``DRIFTLINE_API_KEY`` if
requests must carry one (set but empty, no request is answered), ``DRIFTLINE_BASE_PATH`` if paths
have a prefix, as by the mapping of a domain of one's own. Unless it is set, an HTTP API's paths are
taken to begin with its stage if they do; ``/`` says that they never do.

The champion is looked for at most every minute, by the request that finds it due: between requests
a function is frozen.
"""

from __future__ import annotations

import os
import time
from typing import Any

from mangum import Mangum

from driftline.errors import Missing
from driftline.serving.application import service
from driftline.serving.limits import App, Limits, Receive, Scope, Send
from driftline.serving.rest import Rest
from driftline.serving.service import Service

_SECONDS = 60.0


class Handler:
    """Answers events; the model is loaded by the first one and kept for the next."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._answer: Mangum | None = None
        self._due = 0.0

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """One event of API Gateway (REST or HTTP), a load balancer, or a function URL."""
        now = time.monotonic()
        if self._service is None or self._answer is None:
            limits = Limits(key=os.environ.get("DRIFTLINE_API_KEY"))
            self._service = service(_variable("DRIFTLINE_PROBLEM"), _variable("DRIFTLINE_ENV"))
            app: Any = _mounted(Rest(self._service, limits).app())
            self._answer = Mangum(app, lifespan="off")
            self._due = now + _SECONDS
        elif now >= self._due:
            self._due = now + _SECONDS
            self._service.refresh()
        return dict(self._answer(event, context))


def _mounted(app: App) -> App:
    """The application under the prefix that an event's path has, so that it finds its routes, and
    its own documentation, as under any other mount.
    """
    given = os.environ.get("DRIFTLINE_BASE_PATH")

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        base = _stage(scope["aws.event"]) if given is None else given.strip("/")
        await app({**scope, "root_path": f"/{base}" if base else ""}, receive, send)

    return mounted


def _stage(event: dict[str, Any]) -> str:
    """The stage whose name is before the paths of an event: that of an HTTP API, unless it is the
    nameless one. A REST API takes it away itself; nobody else has one.
    """
    stage = str(event["requestContext"].get("stage", "")) if "version" in event else ""
    return "" if stage == "$default" else stage


def _variable(name: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise Missing(
            f"{name} is not set",
            where="the function's environment",
            hint="DRIFTLINE_PROBLEM=conf/churn.yaml DRIFTLINE_ENV=conf/env/cluster.yaml",
        )
    return found


handler = Handler()
