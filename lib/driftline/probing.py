"""A bounded test of a running server: how fast it answers at a rate, and how many a second.

Requests of the rate are due at fixed times, whatever became of those before, and their latency
counts from when they were due (no coordinated omission). After that as many as it takes, up to
four times the rate. Requests are rows of made-up features, without an entity, and say so
(:data:`MARK`): a server leaves them out of what it tells of its customers.
"""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import HttpUrl, TypeAdapter, ValidationError

from driftline.errors import ConfError, Missing

MARK = "X-Driftline-Probe"
"""Header of requests with made-up features."""

_VALUES = {"FP64": 1.0, "INT64": 1, "BOOL": True, "BYTES": "probe"}
"""A value of each datatype of the Open Inference Protocol that a model may ask for."""

_CONNECTIONS = (4, 32)
"""At least and at most; between them so many that answers may take a tenth of a second each."""
_PATIENCE = 5.0
"""Seconds after which a request has failed."""
_LATEST = 2.0
"""Times the planned seconds after which nothing more is asked, answered or not."""


@dataclass(frozen=True)
class Probe:
    """What a test found. ``p99`` in milliseconds; None where more than 1 in 100 failed."""

    url: str
    version: str
    rate: float
    asked: int
    failed: int
    p99: float | None
    throughput: float
    error: str = ""
    """Why nothing was asked: the server gave no answer at all."""


def probe(
    url: str, model: str, *, rate: float, seconds: float = 5.0, key: str | None = None
) -> Probe:
    """Ask a server of ``driftline serve`` for predictions of a model, ``rate`` a second.

    Ends by itself after about twice ``seconds``, or four times if the server hangs. A server that
    cannot be reached is a finding (``error``); one that serves another model, or wants a key, is
    :class:`Missing`.
    """
    if marks := {"@", "?", "#"} & {*url}:  # it would be in ops.sla, and on the screen
        raise ConfError(
            "a secret in an address, or what may be one",
            file="--probe",
            found=f"…{min(marks)}…",
            allowed="http://HOST:PORT or https://HOST, without user, password and query",
            hint="--api-key-env names the variable with a server's key",
        )
    try:
        TypeAdapter(HttpUrl).validate_python(url)
    except ValidationError as error:
        raise ConfError(
            "not the address of a server",
            file="--probe",
            found=url,
            allowed="http://HOST:PORT or https://HOST",
            hint="--probe http://127.0.0.1:8080",
        ) from error
    headers = {"Content-Type": "application/json", MARK: "1"}
    headers |= {"X-API-Key": key} if key else {}
    server = _Server(url, headers)
    try:
        version, body = _request(server, model)
        server.ask(body)  # what is loaded at first use
    except (OSError, http.client.HTTPException) as error:
        return Probe(url, "", rate, 0, 0, None, 0.0, type(error).__name__)
    calm = _paced(server, body, rate, seconds)
    failed = [each for status, each in calm if status != 200]
    times = sorted(each for status, each in calm if status == 200)
    place_ = max(-(-99 * len(calm) // 100) - 1, 0)
    p99 = 1000 * times[place_] if place_ < len(times) else None
    most = int(4 * rate * seconds)
    answered, lost, took = _flat_out(server, body, rate, seconds, most)
    asked = len(calm) + answered + lost
    return Probe(url, version, rate, asked, len(failed) + lost, p99, answered / took)


class _Server:
    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._place = urlsplit(url)
        self._headers = headers

    @contextmanager
    def connected(self) -> Iterator[Callable[[bytes], int]]:
        """A connection that is kept: gives the status of each body that is posted, 0 for none."""
        made = self._connection()

        def ask(body: bytes) -> int:
            try:
                made.request("POST", self._path("/predict"), body, dict(self._headers))
                answer = made.getresponse()
                answer.read()
                return answer.status
            except (OSError, http.client.HTTPException):
                made.close()  # the next request opens it again
                return 0

        with closing(made):
            yield ask

    def get(self, path: str) -> tuple[int, Any]:
        with closing(self._connection()) as made:
            made.request("GET", self._path(path), headers=dict(self._headers))
            answer = made.getresponse()
            content = answer.read()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, None

    def ask(self, body: bytes) -> None:
        with self.connected() as ask:
            status = ask(body)
        if status == 0:
            raise http.client.HTTPException("no answer")
        if 400 <= status < 500 and status != 429:
            raise Missing(
                f"the server does not take what it asked for: status {status}",
                where="/predict",
                hint="is it driftline serve, of this version?",
            )

    def _path(self, path: str) -> str:
        return self._place.path.rstrip("/") + path

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._place.scheme == "https" else None
        host, port = self._place.hostname or "", self._place.port
        return (kind or http.client.HTTPConnection)(host, port, timeout=_PATIENCE)


def _request(server: _Server, model: str) -> tuple[str, bytes]:
    """The version that serves, and a valid request, made of what it says it needs."""
    status, told = server.get(f"/v2/models/{model}")
    if status >= 500:
        raise http.client.HTTPException(f"status {status}")
    told = told if isinstance(told, dict) else {}
    inputs = told.get("inputs")
    if status != 200 or not isinstance(inputs, list):
        raise Missing(
            f"the server does not tell what {model} needs: status {status}",
            where=f"/v2/models/{model}",
            hint="give its key by --api-key-env" if status == 401 else "is it driftline serve?",
        )
    strange = {_kind(each) for each in inputs if not _known(each)}
    if strange:
        raise Missing(
            f"the server asks for what {model} does not have: {', '.join(sorted(strange))}",
            where=f"/v2/models/{model}",
            hint="is it driftline serve?",
        )
    row = {each["name"]: _VALUES[each["datatype"]] for each in inputs}
    versions = told.get("versions")
    named = map(str, versions if isinstance(versions, list) else ())
    return ",".join(named), json.dumps({"rows": [row]}).encode()


def _known(told: Any) -> bool:
    """Whether an input is one that a model of driftline may have."""
    named = isinstance(told, dict) and isinstance(told.get("name"), str)
    return named and str(told.get("datatype")) in _VALUES


def _kind(told: Any) -> str:
    """What the server says that an input is; it may be any server, and say anything."""
    return str(told.get("datatype") if isinstance(told, dict) else told)[:50]


def _paced(server: _Server, body: bytes, rate: float, seconds: float) -> list[tuple[int, float]]:
    """(status, seconds since it was due) of each request; what is not asked in time has failed."""
    start, count = time.perf_counter() + 0.05, max(int(rate * seconds), 1)
    last, connections = start + _LATEST * seconds, _connections(rate)

    def run(first: int) -> list[tuple[int, float]]:
        found = []
        with server.connected() as ask:
            for number in range(first, count, connections):
                due = start + number / rate
                if (wait := due - time.perf_counter()) > 0:
                    time.sleep(wait)
                status = ask(body) if time.perf_counter() < last else 0
                found.append((status, time.perf_counter() - due))
        return found

    with ThreadPoolExecutor(connections) as pool:
        return [each for part in pool.map(run, range(connections)) for each in part]


def _connections(rate: float) -> int:
    least, most = _CONNECTIONS
    return min(max(math.ceil(rate / 10), least), most)


def _flat_out(
    server: _Server, body: bytes, rate: float, seconds: float, most: int
) -> tuple[int, int, float]:
    """Requests answered, failed, and the seconds that took: each as soon as the one before it."""
    started, connections = time.perf_counter(), _connections(rate)

    def run(first: int) -> tuple[int, int]:
        answered = failed = 0
        with server.connected() as ask:
            for _ in range(first, most, connections):
                if time.perf_counter() - started > seconds:
                    break
                if ask(body) == 200:
                    answered += 1
                else:
                    failed += 1
        return answered, failed

    with ThreadPoolExecutor(connections) as pool:
        parts = list(pool.map(run, range(connections)))
    took = time.perf_counter() - started
    return sum(each for each, _ in parts), sum(each for _, each in parts), took
