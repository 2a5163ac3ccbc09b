"""A Spark cluster on loopback for the tests that submit to one, and an Airflow, installed apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster_folder(tmp_path_factory) -> Path:
    """Where the cluster's logs are, and under ``work`` what its executors write."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(cluster_folder) -> Iterator[str]:
    """The URL of a master with two workers of one core, each a process of its own."""
    folder = cluster_folder
    find = [sys.executable, "-m", "pyspark.find_spark_home"]
    home = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "SPARK_HOME": home,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_NO_DAEMONIZE": "1",
    }
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    spark_class = Path(home, "bin", "spark-class")
    deploy = "org.apache.spark.deploy"
    master = [f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", 0]
    worker = [f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--cores", 1, "--memory", "2g"]
    worker += ["--webui-port", 0, "--work-dir", folder / "work", url]
    processes = []
    try:
        for name, arguments in (("master", master), ("one", worker), ("two", worker)):
            with (folder / f"{name}.log").open("w") as log:
                processes.append(
                    subprocess.Popen(
                        [str(spark_class), *map(str, arguments)],
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        deadline = time.monotonic() + 120
        while (folder / "master.log").read_text().count("Registering worker") < 2:
            assert time.monotonic() < deadline, (folder / "master.log").read_text()[-2000:]
            assert all(each.poll() is None for each in processes)
            time.sleep(0.2)
        yield url
    finally:
        for each in reversed(processes):
            each.terminate()
        for each in processes:
            each.wait(timeout=60)


@pytest.fixture(scope="session")
def airflow_place(tmp_path_factory, repository) -> Path:
    """An environment with Airflow. ``DRIFTLINE_AIRFLOW`` may name a folder that ``scripts/airflow``
    has filled before.
    """
    given = os.environ.get("DRIFTLINE_AIRFLOW")
    folder = Path(given) if given else tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [repository / "scripts" / "airflow", folder],
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
