"""A real Airflow for the tests that need one, what it runs, and whom it tells."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from deltalake import DeltaTable

from driftline.simulate import Shop, simulate
from small_shop import write_project

PARTS = ["ingest", "validate", "features", "score", "drift", "monitor", "train", "report"]
DAG = "driftline_churn"


class Airflow:
    """Its command line, on a database and a folder of DAGs of a test's own."""

    def __init__(self, place: Path, home: Path) -> None:
        self._program, self.home = place / "bin" / "airflow", home
        (home / "dags").mkdir(parents=True)
        self.settings = {
            **{name: each for name, each in os.environ.items() if name != "PYTHONPATH"},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough for it",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        }
        self("db", "migrate")

    def __call__(
        self, *arguments: str, seconds: float = 120, cwd: Path | None = None, **more: str
    ) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            cwd=cwd,
            env={**self.settings, **more},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, code: str, **more: str) -> str:
        """What its Python prints."""
        return subprocess.run(
            [self._program.with_name("python"), "-c", code],
            env={**self.settings, **more},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    def states(self, run_id: str) -> dict[str, str]:
        told = self("tasks", "states-for-dag-run", DAG, run_id, "-o", "json")
        found = json.loads(told.splitlines()[-1])
        return {each["task_id"]: each["state"] for each in found}

    def runs(self, begin: str = "") -> list[dict]:
        """By their ids: those of a scheduler end with their logical dates."""
        told = self("dags", "list-runs", DAG, "-o", "json")
        found = json.loads(told.splitlines()[-1])  # warnings go before
        made = [each for each in found if each["run_id"].startswith(begin)]
        return sorted(made, key=lambda each: each["run_id"])

    def backfill(self, first: str, last: str) -> None:
        """Of the days from one to another, one after the other; a scheduler makes it."""
        self(
            *("backfill", "create", "--dag-id", DAG, "--max-active-runs", "1"),
            *("--from-date", first, "--to-date", f"{last}T23:00:00"),
        )
        self("dags", "unpause", DAG)

    def write(self, text: str) -> None:
        """The DAG file."""
        (self.home / "dags" / "churn.py").write_text(text, "utf-8")

    def _answers(self, url: str) -> None:
        until = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(url, timeout=30):
                    return
            except OSError:
                assert time.monotonic() < until, (self.home / "api-server.log").read_text("utf-8")
                time.sleep(1)

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """Scheduler, DAG processor and API server, on loopback."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        address = f"http://127.0.0.1:{port}"
        self.settings |= {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/"}
        self.settings |= {"AIRFLOW__API__BASE_URL": address}
        commands = [
            ["api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1"],
            ["dag-processor"],
            ["scheduler", "--skip-serve-logs"],
        ]
        running = []
        try:
            for each in commands:
                with (self.home / f"{each[0]}.log").open("w") as log:
                    running.append(
                        subprocess.Popen(
                            [self._program, *each],
                            env=self.settings,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
                if each[0] == "api-server":  # the first task would be lost on one that is not up
                    self._answers(f"{address}/execution/health")
            yield
        finally:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in running:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)


def alarm(folder: Path) -> tuple[str, Path]:
    """A program for DRIFTLINE_ALERT, and the file in which it writes down what it is told."""
    program, told = folder / "alarm", folder / "told"
    program.write_text(f'#!/bin/sh\nprintf \'%s %s: %s\\n\' "$1" "$3" "$4" >> \'{told}\'\n')
    program.chmod(0o755)
    return str(program), told


def shop(root: Path, repository: Path, **places: dict[str, Any]) -> Path:
    """A small shop and its problem, with promises; all are kept as of a day up to which there are
    data.
    """
    conf = write_project(root, repository, places)
    problem = yaml.safe_load(conf.read_text("utf-8"))
    problem["schedule"] = {"wait_for": ["shop/orders/%Y-%m-%d*.ndjson"]}
    problem["drift"]["tables"] = ["gold.features"]
    problem["sla"] = {"freshness": {"silver.orders": "20h"}, "quality": 0.9}
    conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    simulate(Shop(customers=400), root / "data" / "shop", months=9)
    return conf


def table(root: Path, name: str) -> pd.DataFrame:
    """A table of that shop's."""
    return DeltaTable(str(root / "warehouse" / "churn" / name)).to_pandas()
