"""Pieces of a JSON text, as they were written.

A record that went through Python's numbers would come out changed: ``1e400``, twenty digits,
``1.10``, a key that stands twice. So the text is parsed to know that it is JSON, and records are
cut out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Numbers as they were written; NaN and the infinities are for the record's own parser to judge.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_BLANK = re.compile(r"[ \t\n\r]*")
_STRING_OR_BLANK = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\n\r]+')


class Absent(LookupError):
    """There is nothing at a key path; ``keys`` are those of the object where it ends."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__(keys)
        self.keys = keys


def parse(text: str) -> Any:
    """The value of a whole JSON text, its numbers as texts; ValueError if it is none."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def at(value: Any, path: str | None) -> Any:
    """What is at a key path, the value itself for None; :class:`Absent` if it leads nowhere."""
    for key in path.split(".") if path else ():
        if not isinstance(value, dict) or key not in value:
            raise Absent(list(value) if isinstance(value, dict) else [])
        value = value[key]
    return value


def items(text: str, path: str | None) -> Iterator[str]:
    """The texts of the members of a list, each on one line, from a text that ``parse`` took.

    ``path`` leads to the list, see :func:`at`.
    """
    place = _skip(text, 0)
    for key in path.split(".") if path else ():
        place = _member(text, place, key)
    place = _skip(text, place + 1)
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        yield _on_one_line(text[place:end])
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)


def replaced(record: str, texts: Mapping[str, str | None]) -> str:
    """An object with these texts in the place of its members' values, null for None; all else as it
    was written. ``record`` is one that ``items`` gave.
    """
    parts: list[str] = []
    kept, place = 0, _skip(record, 1)
    while record[place] != "}":
        key, end = _DECODER.raw_decode(record, place)
        value = _skip(record, _skip(record, end) + 1)
        _, end = _DECODER.raw_decode(record, value)
        if key in texts:
            parts += [record[kept:value], json.dumps(texts[key])]
            kept = end
        place = _skip(record, end)
        if record[place] == ",":
            place = _skip(record, place + 1)
    return "".join([*parts, record[kept:]])


def _member(text: str, place: int, wanted: str) -> int:
    """Where the value of the object's last member of that name begins."""
    found = -1
    place = _skip(text, place + 1)
    while text[place] != "}":
        key, end = _DECODER.raw_decode(text, place)
        value = _skip(text, _skip(text, end) + 1)
        if key == wanted:
            found = value
        _, end = _DECODER.raw_decode(text, value)
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return found


def _skip(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None
    return found.end()


def _on_one_line(text: str) -> str:
    # A line end in JSON is always between tokens: inside a string it would have to be escaped.
    if "\n" in text or "\r" in text:
        return _STRING_OR_BLANK.sub(r"\1", text)
    return text
