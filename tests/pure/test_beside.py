"""Files beside the tables: whoever reads one finds all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline import beside


def test_of_two_that_write_at_once_neither_publishes_half(tmp_path, monkeypatch) -> None:
    """The other one begins and ends while the first one is in the middle of its file."""
    file = tmp_path / "report.html"
    write = Path.write_text
    seen = []

    def halting(path: Path, text: str, **options) -> int:
        monkeypatch.setattr(Path, "write_text", write)
        with path.open("w", **options) as half:
            half.write(text[:3])
            half.flush()
            beside.write(None, str(file), "the other")
            half.write(text[3:])
        seen.append(file.read_text("utf-8"))
        return len(text)

    monkeypatch.setattr(Path, "write_text", halting)
    beside.write(None, str(file), "the first one")
    assert seen == ["the other"]
    assert file.read_text("utf-8") == "the first one"
    assert list(tmp_path.iterdir()) == [file]


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    file = tmp_path / "metrics.prom"
    beside.write(None, str(file), "old")

    def full(path: Path, text: str, **options) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        beside.write(None, str(file), "new")
    assert file.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]
