"""Predictions one at a time: `driftline serve` on one core beside `mlflow models serve`.

The client has the other core. Requests of a rate are due at fixed times, whatever became of those
before, and their latency counts from when they were due (no coordinated omission).
"""

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fitted
from measure import Row

from driftline.problem import load_problem

_BIN = Path(sys.executable).parent
_RATE = 300


class Client:
    """Keep-alive connections that post one body again and again."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._port = port
        self.seconds: list[tuple[int, float]] = []
        self.versions: set[object] = set()

    def paced(self, rate: float, seconds: float, connections: int = 8) -> None:
        """``rate`` requests a second, spread over the connections."""
        start = time.perf_counter() + 0.1
        count = int(rate * seconds)

        def run(first: int) -> None:
            with self._connected() as ask:
                for number in range(first, count, connections):
                    due = start + number / rate
                    if (wait := due - time.perf_counter()) > 0:
                        time.sleep(wait)
                    status = ask()
                    self.seconds.append((status, time.perf_counter() - due))

        self._together(run, connections)

    def flat_out(self, count: int, connections: int = 4) -> float:
        """``count`` requests, each as soon as the one before is answered; requests a second."""
        started = time.perf_counter()

        def run(first: int) -> None:
            with self._connected() as ask:
                for _ in range(first, count, connections):
                    began = time.perf_counter()
                    status = ask()
                    self.seconds.append((status, time.perf_counter() - began))

        self._together(run, connections)
        return count / (time.perf_counter() - started)

    def flooded(self, rate: float, seconds: float, connections: int = 32) -> None:
        """As :meth:`paced`, in one thread: so many a second that threads would be the bottleneck.

        Where no connection is free, a request waits for one, and its latency counts that too.
        """
        count, asked, free = int(rate * seconds), 0, []
        waiting: dict[socket.socket, tuple[float, bytes]] = {}
        with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
            for _ in range(connections):
                free.append(opened.enter_context(self._opened()))
                selector.register(free[-1], selectors.EVENT_READ)
            start = time.perf_counter()
            while asked < count or waiting:
                while free and asked < count and start + asked / rate <= time.perf_counter():
                    connection = free.pop()
                    connection.sendall(self._request)
                    waiting[connection] = (start + asked / rate, b"")
                    asked += 1
                ready = selector.select(0)
                for key, _ in ready:
                    connection = key.fileobj
                    due, answer = waiting.pop(connection)
                    answer += connection.recv(65536)
                    if (status := _status(answer)) is None:
                        waiting[connection] = (due, answer)
                        continue
                    self.seconds.append((status, time.perf_counter() - due))
                    free.append(connection)
                if not ready:
                    time.sleep(0.00005)

    def statuses(self) -> Counter:
        """How often each status was answered."""
        return Counter(status for status, _ in self.seconds)

    def quantile(self, share: float, status: int = 200) -> float:
        """Milliseconds within which that share of the requests of a status was answered."""
        times = sorted(seconds for code, seconds in self.seconds if code == status)
        return 1000 * times[min(int(share * len(times)), len(times) - 1)]

    def _together(self, run, connections: int) -> None:
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(run, range(connections)))

    def _opened(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @contextlib.contextmanager
    def _connected(self) -> Iterator:
        with self._opened() as connection:

            def ask() -> int:
                connection.sendall(self._request)
                answer = b""
                while (status := _status(answer)) is None:
                    got = connection.recv(65536)
                    if not got:
                        return 0
                    answer += got
                if b'"version":' in answer:
                    self.versions.add(answer.split(b'"version":')[1].split(b",")[0])
                return status

            yield ask


def _status(answer: bytes) -> int | None:
    """The status of an answer; None until it is all there."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
        return None
    return int(head[9:12])


def _ready(port: int, process: subprocess.Popen, ask) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            ask(port)
            return
        time.sleep(0.005)
    raise RuntimeError(f"no server came up: {process.args}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _server(command: list[str], port: int, ask, **more) -> Iterator[tuple[subprocess.Popen, float]]:
    """A server on one core; gives it and the seconds to its first answer."""
    started = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **more,
    )
    try:
        _ready(port, process, ask)
        yield process, time.monotonic() - started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _ours(store: str, port: int, *options: str) -> list[str]:
    warehouse = str(Path(store.removeprefix("sqlite:///")).parent)
    command = [str(_BIN / "driftline"), "serve", "--problem", str(fitted.CONF)]
    return [*command, "--warehouse", warehouse, "--port", str(port), "--refresh", "0.2", *options]


def _memory(process: subprocess.Popen) -> float:
    """Resident MiB of a process and what it started."""
    pids = [process.pid]
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids += [int(child) for child in children]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _champion(store: str, version: int) -> None:
    with contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as found:
        found.execute("UPDATE registered_model_aliases SET version = ?", (version,))
        found.commit()


def rows(quick: bool) -> list[Row]:
    """Latency, cold start, overload, reload, memory."""
    os.sched_setaffinity(0, {1})
    gc.disable()  # the client's own halts would be told as the server's
    seconds = 5 if quick else 20
    problem = load_problem(fitted.CONF)
    record = json.loads(fitted.made_up(problem, 1, 3).to_json(orient="records"))[0]
    body = json.dumps({"rows": [record]}).encode()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        store = f"sqlite:///{scratch}/mlflow.db"
        os.sched_setaffinity(0, {0, 1})
        fitted.record(store, versions=3)
        os.sched_setaffinity(0, {1})

        def ask(port: int) -> None:
            Client(port, "/predict", body).flat_out(1, 1)

        port = _free_port()
        starts = []
        for _ in range(1 if quick else 3):
            with _server(_ours(store, port), port, ask) as (_, took):
                starts.append(took)
        with _server(_ours(store, port), port, ask) as (process, _):
            Client(port, "/predict", body).paced(_RATE, 2)  # warms up
            calm = Client(port, "/predict", body)
            calm.paced(_RATE, seconds)
            if calm.statuses() != {200: int(_RATE * seconds)}:
                raise RuntimeError(f"not all answered: {calm.statuses()}")
            alone = Client(port, "/predict", body)
            capacity = alone.flat_out(2_000, 1)
            most = max(capacity, Client(port, "/predict", body).flat_out(5_000, 8))
            rolling = Client(port, "/predict", body)
            moving = threading.Thread(target=rolling.paced, args=(_RATE, seconds))
            moving.start()
            for turn in range(int(seconds)):
                _champion(store, 1 + turn % 3)
                time.sleep(0.9)
            moving.join()
            if len(rolling.versions) != 3:
                raise RuntimeError(f"served by {rolling.versions}")
            failed = sum(n for status, n in rolling.statuses().items() if status != 200)
            lost = int(_RATE * seconds) - len(rolling.seconds)
            total = 20_000 if quick else 200_000
            steady = Client(port, "/predict", body)
            steady.flat_out(total // 10)
            before = _memory(process)
            steady.flat_out(total - total // 10)
            after = _memory(process)
        with _server(_ours(store, port, "--rate", str(_RATE)), port, ask):
            Client(port, "/predict", body).paced(_RATE / 2, 2)
            hard = Client(port, "/predict", body)
            hard.flooded(5 * most, seconds)
        if set(hard.statuses()) != {200, 429}:
            raise RuntimeError(f"overload: {hard.statuses()}")
        theirs_body = json.dumps({"dataframe_records": [record]}).encode()

        def ask_theirs(port: int) -> None:
            client = Client(port, "/invocations", theirs_body)
            client.flat_out(1, 1)
            if client.statuses() != {200: 1}:
                raise RuntimeError(f"mlflow answers {client.statuses()}")

        model = next(Path(scratch).rglob("MLmodel")).parent
        command = [str(_BIN / "mlflow"), "models", "serve", "-m", str(model)]
        port = _free_port()
        command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
        environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}
        with _server(command, port, ask_theirs, env=environment, cwd=scratch) as (_, their_start):
            Client(port, "/invocations", theirs_body).flat_out(30, 1)
            theirs = Client(port, "/invocations", theirs_body)
            theirs.flat_out(50 if quick else 200, 1)
    p50, p99 = calm.quantile(0.5), calm.quantile(0.99)
    single, their_p50 = alone.quantile(0.5), theirs.quantile(0.5)
    start = statistics.median(starts)
    peer = "mlflow models serve, same Spark model"
    calm_name = f"at {_RATE} requests/s"
    accepted = hard.quantile(0.99)
    shed = hard.statuses()[429] / len(hard.seconds)
    found.append(Row(f"p50 {calm_name}", "ms", p50, 2.0, "the goal", "<= 1", p50 <= 2))
    found.append(Row(f"p99 {calm_name}", "ms", p99, 10.0, "the goal", "<= 1", p99 <= 10))
    met = their_p50 / single >= 50
    found.append(Row("p50, one after the other", "ms", single, their_p50, peer, "<= 0.02", met))
    found.append(Row("cold start", "s", start, their_start, peer, "<= 2 s", start <= 2))
    found.append(Row("capacity, one connection", "1/s", capacity, _RATE, "the rate", ">= 1", True))
    offered = f"{5 * most:,.0f}/s offered (5 x the {most:,.0f}/s it can do)"
    name = f"p99 of accepted, {offered}, {_RATE}/s let in ({shed:.0%} shed)"
    found.append(
        Row(name, "ms", accepted, p99, "p99 of the same rate", "<= 3", accepted <= 3 * p99)
    )
    name = f"failed or lost of {len(rolling.seconds):,} over {int(seconds)} reloads"
    found.append(Row(name, "1", failed + lost, 1, "one", "0", failed + lost == 0))
    name = f"memory after {total:,} requests"
    growth = after / before <= 1.05
    found.append(Row(name, "MiB", after, before, f"after {total // 10:,}", "<= 1.05", growth))
    return found
