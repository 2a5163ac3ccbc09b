"""Files whose fields stand in columns: where in a record each field of a layout stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from driftline.sources.layout import BadHeader, Layout
from driftline.sources.source import json_objects


@dataclass(frozen=True)
class Columns:
    """``width`` fields a record; ``places`` of the layout's fields among them, None for one that
    the file does not have; ``others``: place and name of what the layout does not know.
    """

    width: int
    places: tuple[int | None, ...]
    others: tuple[tuple[int, str], ...]

    def rescued(self, columns: Sequence[pa.Array]) -> pa.Array | None:
        """The fields in ``others`` as JSON objects, from their columns in that order."""
        return json_objects([name for _, name in self.others], columns) if columns else None


def check(layout: Layout) -> None:
    """Nothing to ask of a layout beyond what it asks of itself."""


def place(
    layout: Layout, header: bytes | None, split: Callable[[str], Sequence[str | None] | None]
) -> Columns:
    """Find the layout's fields in the header line of a file, or without one by the layout.

    A field that the header does not name is null throughout: files may be older than a column. A
    name that stands there twice counts the second time as ``name_2``.

    Raises BadHeader if the line cannot be read, and if none of the layout's fields is in it.
    """
    if not layout.header:
        return _without_header(layout)
    if header is None:
        raise ValueError("a layout with a header needs the header line of the file")
    try:
        text = header.decode(layout.encoding).removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeError:
        raise BadHeader("the header line is not valid in the layout's encoding") from None
    # Of a file whose lines end with carriage returns alone, all would be the header.
    found = None if "\r" in text else split(text)
    if found is None or len(text) > layout.max_line:
        raise BadHeader("the header line is not a record of its format")
    names = unique([(name or "").strip(" \t") for name in found])
    wanted = [field.source for field in layout.fields]
    places = tuple(names.index(name) if name in names else None for name in wanted)
    if all(place is None for place in places):
        raise BadHeader("the header line names none of the layout's fields")
    others = tuple((at, name) for at, name in enumerate(names) if name not in wanted)
    return Columns(len(names), places, others)


def unique(names: Sequence[str]) -> list[str]:
    """Names of columns, of which one that stands there twice is the second time ``name_2``."""
    found: list[str] = []
    for name in names:
        again, each = 1, name
        while each in found:
            again += 1
            each = f"{name}_{again}"
        found.append(each)
    return found


def _without_header(layout: Layout) -> Columns:
    sources = [field.source for field in layout.fields]
    if not all(source.isascii() and source.isdigit() for source in sources):
        return Columns(len(sources), tuple(range(len(sources))), ())
    places = tuple(map(int, sources))
    width = max(places) + 1
    others = tuple((at, str(at)) for at in range(width) if at not in places)
    return Columns(width, places, others)
