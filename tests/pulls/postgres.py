"""A PostgreSQL server of the tests' own, from Debian's package, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "s3cr3t'p%ss word"


def programs() -> Path | None:
    """The folder of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Postgres:
    bin: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/shop"

    def run(self, sql: str, database: str = "shop") -> str:
        """Run statements as they stand; returns what they select, unaligned."""
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder]
        return subprocess.run(
            [self.bin / "psql", *options, "-p", str(self.port), "-U", "shop", "-d", database],
            input=sql,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def control(self, *what: str) -> None:
        _as_postgres(
            [self.bin / "pg_ctl", "-D", self.folder / "data", "-s", "-w", "-t", "60", *what]
        )

    def start(self) -> None:
        settings = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off"
        settings += f" -c unix_socket_directories={self.folder} -c timezone=Asia/Kolkata"
        self.control("-l", str(self.folder / "log"), "-o", settings, "start")

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")


@contextmanager
def serving() -> Iterator[Postgres]:
    """A started server with an empty database ``shop`` of a user ``shop``."""
    bin = programs()
    assert bin is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not below pytest's folder: that one is closed to the user postgres.
    folder = Path(tempfile.mkdtemp(prefix="driftline-postgres-"))
    server = Postgres(bin, folder, port)
    try:
        (folder / "password").write_text(PASSWORD + "\n")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (folder, folder / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        _as_postgres(
            [
                *(bin / "initdb", "-D", folder / "data", "-U", "shop", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync", f"--pwfile={folder / 'password'}"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
            ]
        )
        server.start()
        try:
            server.run("CREATE DATABASE shop", "postgres")
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder)


def _as_postgres(command: list[object]) -> None:
    """The server refuses to be run by root."""
    user = "postgres" if os.geteuid() == 0 else None
    # pg_ctl's child keeps what it inherits open: a pipe would never end.
    subprocess.run([*map(str, command)], check=True, user=user, stdout=subprocess.DEVNULL, cwd="/")
