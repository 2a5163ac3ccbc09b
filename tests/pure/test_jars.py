"""Jars are what was expected, byte by byte, or they are not kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from driftline import jars
from driftline.errors import DriftlineError, Missing

CONTENT = b"PK what Ivy found"
DIGESTS = {"delta.jar": hashlib.sha256(CONTENT).hexdigest()}


def fetched(monkeypatch, tmp_path: Path, arrives: dict[str, bytes]) -> list[str]:
    """Fetch with an Ivy that puts files where it is told; the names that are kept."""

    def run(command: list[str], **_: Any) -> CompletedProcess[str]:
        given = [each for each in command if each.startswith("spark.jars.ivy=")]
        for name, content in arrives.items() if given else ():
            place = Path(given[0].partition("=")[2], "jars")
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return CompletedProcess(command, 0, stdout="/spark", stderr="unresolved dependency")

    monkeypatch.setattr(jars, "folder", lambda: tmp_path / "kept")
    monkeypatch.setattr(jars.subprocess, "run", run)
    try:
        jars._fetch("io.delta:delta:1", DIGESTS)
    finally:
        kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    return kept


def test_a_jar_is_kept_once_its_digest_is_the_one_that_is_known(monkeypatch, tmp_path) -> None:
    assert fetched(monkeypatch, tmp_path, {"delta.jar": CONTENT, "more.jar": b""}) == ["delta.jar"]
    assert (tmp_path / "kept" / "delta.jar").read_bytes() == CONTENT


def test_another_file_of_its_name_is_not_kept(monkeypatch, tmp_path) -> None:
    with pytest.raises(DriftlineError, match=r"delta\.jar is not the file that was expected"):
        fetched(monkeypatch, tmp_path, {"delta.jar": CONTENT + b"!"})
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_cannot_be_had_is_said_with_what_ivy_says(monkeypatch, tmp_path) -> None:
    with pytest.raises(Missing, match=r"could not fetch delta\.jar") as caught:
        fetched(monkeypatch, tmp_path, {})
    assert caught.value.where == "unresolved dependency"
