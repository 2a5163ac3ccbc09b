"""A real MLflow server on loopback, and a door before it that can be shut."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server that keeps everything in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1"]
    command += ["--port", port, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", folder / "artifacts", "--workers", 1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while True:
            try:
                requests.get(f"{address}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < until, (folder / "log").read_text()[-2000:]
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


class Door(ThreadingHTTPServer):
    """Passes requests on, until so many have passed: then it hangs up on all that come."""

    def __init__(self, to: str) -> None:
        super().__init__(("127.0.0.1", 0), _Way)
        self.to = to
        self.left = float("inf")
        self.passed = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def open_for_one(self) -> bool:
        with self._lock:
            if self.left <= 0:
                return False
            self.left -= 1
            self.passed += 1
            return True

    @contextlib.contextmanager
    def there(self) -> Iterator[Door]:
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()


class _Way(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Door

    def _body(self) -> bytes:
        """What was sent; an empty file comes in chunks, of which the last is empty."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _pass(self) -> None:
        body = self._body()
        if not self.server.open_for_one():
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        hop = ("host", "connection", "content-length", "transfer-encoding")
        given = {name: each for name, each in self.headers.items() if name.lower() not in hop}
        url = self.server.to + self.path
        got = requests.request(self.command, url, headers=given, data=body, timeout=60)
        self.send_response(got.status_code)
        for name in ("Content-Type", "Content-Disposition"):
            if name in got.headers:
                self.send_header(name, got.headers[name])
        self.send_header("Content-Length", str(len(got.content)))
        self.end_headers()
        self.wfile.write(got.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

    def log_message(self, *_: object) -> None:
        """Nothing: what is asked is not what a test has to say."""
