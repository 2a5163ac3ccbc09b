"""A small model with numbers of every type and a word, served without Spark."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from driftline.portable import graph
from driftline.portable.saved import Linear, Trees
from driftline.prepare import Categorical, Numeric, Preparation
from driftline.serving.champion import Champion
from driftline.serving.facts import Column, Facts
from driftline.serving.limits import App, Limits
from driftline.serving.rest import Rest
from driftline.serving.service import Service

PREPARATION = Preparation(
    (
        Numeric("spend_30d", 10.0, 0.0, 100.0, 50.0, 25.0),
        Numeric("age", 40.0, None, None, 40.0, 10.0),
        Numeric("member", 0.0, 0.0, 1.0, 0.0, 1.0),
    ),
    (Categorical("channel", ("mobile", "web")),),
)
FACTS = Facts(
    "churn",
    "Who will leave?",
    "classification",
    "0" * 64,
    "customer_id",
    "string",
    (
        Column("spend_30d", "double", edges=tuple(10.0 * tenth for tenth in range(11))),
        Column("age", "bigint", edges=(18.0, 40.0, 90.0)),
        Column("member", "boolean", edges=(0.0, 1.0)),
        Column("channel", "string", words=("mobile", "web")),
    ),
)
STUMP = Trees(
    feature=np.array([0, -1, -1]),
    threshold=np.array([0.0, 0.0, 0.0]),
    left=np.array([1, -1, -1]),
    right=np.array([2, -1, -1]),
    value=np.array([0.0, 0.9, 0.2]),
    roots=np.array([0]),
    logistic=False,
)
"""0.9 up to a spend of 50, else 0.2."""

ROW = {"customer_id": "c1", "spend_30d": 20.0, "age": 30, "member": True, "channel": "web"}


INFER = "/v2/models/churn/infer"
"""Where tensors are sent to."""


def rows(*changes: dict) -> dict:
    return {"rows": [{**ROW, **change} for change in changes]}


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


def onnx(model: Linear | Trees = STUMP, facts: Facts = FACTS) -> bytes:
    return graph.write(PREPARATION, model, facts)


@dataclass
class Registry:
    """What a registry would answer, in memory."""

    files: dict[int, bytes] = field(default_factory=dict)
    champion: int | None = None
    error: Exception | None = None

    def put(self, content: bytes) -> int:
        number = len(self.files) + 1
        self.files[number] = content
        self.champion = number
        return number

    def find(self) -> Champion | None:
        if self.error:
            raise self.error
        if self.champion is None:
            return None
        digest = hashlib.sha256(self.files[self.champion]).hexdigest()
        return Champion("churn", self.champion, "memory", digest)

    def fetch(self, found: Champion) -> bytes:
        return self.files[found.number]

    def service(self) -> Service:
        return Service(self.find, self.fetch)


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.put(onnx())
    return found


@pytest.fixture
def service(registry: Registry) -> Service:
    return registry.service()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: App,
    method: str,
    path: str,
    body: bytes | dict[str, Any] = b"",
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request through ASGI, as a server would give it."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    return asyncio.run(asked(app, method, path, content, headers or {}))


async def asked(
    app: App, method: str, path: str, content: bytes, headers: dict[str, str]
) -> Answer:
    given = {"content-length": str(len(content)), **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(key.lower().encode(), value.encode()) for key, value in given.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5000),
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    found = {key.decode(): value.decode() for key, value in start["headers"]}
    return Answer(start["status"], found, b"".join(each.get("body", b"") for each in sent[1:]))


@pytest.fixture
def app(service: Service) -> App:
    return Rest(service, Limits(rows=5, body=20_000)).app()


@pytest.fixture
def listening() -> Iterator[Callable[[App], str]]:
    """Serve an application on a free port of loopback, in a thread; gives the address."""
    import socket

    import uvicorn

    from driftline.serving.server import configured

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: App) -> str:
        place = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(configured(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{place.getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
