"""A conf is read before Java starts: a wrong one costs no wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conf_errors import CHURN, PROJECT, written


@pytest.fixture
def fake_java(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment whose only Java writes a file when it is called."""
    called = tmp_path / "called"
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho called >> '{called}'\nexit 1\n")
    java.chmod(0o755)
    path = f"{java.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "JAVA_HOME": str(java.parents[1]), "PATH": path}, called


@pytest.mark.parametrize("command", ["explain", "ingest", "train", "run"])
def test_a_wrong_conf_ends_before_java(
    tmp_path: Path, fake_java: tuple[dict[str, str], Path], command: str
) -> None:
    environment, called = fake_java
    path = written(tmp_path, CHURN.replace("folds: 3", "fold: 3"))
    done = subprocess.run(
        [Path(sys.prefix, "bin", "driftline"), command, "--problem", path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("driftline: unknown key\n")
    assert "did you mean 'folds'?" in done.stderr
    assert not called.exists()


def test_a_right_conf_reaches_java(fake_java: tuple[dict[str, str], Path], tmp_path: Path) -> None:
    """The test above could not fail if the fake Java were never found."""
    environment, called = fake_java
    done = subprocess.run(
        [
            *(Path(sys.prefix, "bin", "driftline"), "ingest"),
            *("--problem", PROJECT / "conf" / "churn.yaml"),
            *("--warehouse", tmp_path / "warehouse"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.exists()
    assert done.returncode == 4, done.stderr


def test_explain_needs_neither_spark_nor_mlflow() -> None:
    script = """
import sys
from driftline.cli import main
main(["explain", "--problem", sys.argv[1]])
heavy = {"pyspark", "mlflow", "py4j", "sklearn", "pandas", "pyarrow", "great_expectations"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, PROJECT / "conf" / "churn.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Which customers of the shop")
    assert done.stdout.endswith("[]\n")
