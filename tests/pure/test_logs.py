"""What data say cannot become a line of the log, nor move a terminal's cursor."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from driftline.logs import JsonLines, Plain, visible

HOSTILE = [
    "a\n2026-01-01 ERROR forged",
    "a\r\nforged",
    "a\rforged over it",
    '", "level": "error", "message": "forged',
    "a\x1b[2J\x1b[1;1Hforged",
    "a\x1b]0;title\x07",
    "a\x08\x08\x08forged",
    "a\x00b",
    "a\u2028forged",
    "a\u202egnp.exe",
    "a\x9b31mforged",
    "a\x85forged",
]


@pytest.mark.parametrize("said", HOSTILE)
def test_no_line_is_forged(said: str) -> None:
    record = logging.LogRecord("driftline", logging.INFO, "", 0, "%s landed", (said,), None)
    line = JsonLines().format(record)
    assert line.splitlines() == [line] and line.isascii()
    told = json.loads(line)
    assert (told["level"], told["message"]) == ("info", f"{said} landed")
    first, *further = Plain().format(record).split("\n")
    assert all(each.startswith("    ") for each in further)
    assert all(c.isprintable() for each in (first, *further) for c in each)


def test_an_exception_is_told_by_its_place_and_kind_without_its_text() -> None:
    try:
        int("4711 Main Street")
    except ValueError:
        caught = sys.exc_info()
    record = logging.LogRecord("driftline", logging.ERROR, "", 0, "failed", (), caught)
    told = json.loads(JsonLines().format(record))
    assert told["message"] == "failed"
    for text in (told["trace"], Plain().format(record)):
        assert "test_logs.py" in text
        assert text.endswith("ValueError")
        assert "invalid literal" not in text


def test_there_are_a_dozen() -> None:
    assert len(set(HOSTILE)) == 12


def test_spaces_are_no_control_characters() -> None:
    """Units are kept on the line of their number by such."""
    assert visible("1.5\xa0GB, 7\u202f%") == "1.5\xa0GB, 7\u202f%"
    assert visible("a\tb\nc", kept="") == "a\\tb\\nc"
