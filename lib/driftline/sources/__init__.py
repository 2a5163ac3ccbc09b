"""Kinds of input: bytes → Arrow rows, and rejects with a reason.

``splits`` cuts a file into pieces for as many tasks; ``read`` turns a piece into typed rows and
rejects, block by block. Every record of a file ends in exactly one of them, or the file is at
Fault as a whole. A further kind of input is one module and one line in FORMATS: a ``Lines`` for
text with a record a line, else a ``Source``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from driftline import pseudonyms
from driftline.sources import access_log, csv, ndjson, times, whitespace
from driftline.sources.compression import MIB
from driftline.sources.faults import FAULTS, Fault
from driftline.sources.files import Split, digest, record
from driftline.sources.layout import (
    OFFSET,
    REASONS,
    REJECTS,
    RESCUED,
    Field,
    Layout,
    Parsed,
)
from driftline.sources.lines import Lines
from driftline.sources.parquet import Parquet
from driftline.sources.source import Source

__all__ = [
    "FAULTS",
    "FORMATS",
    "OFFSET",
    "REASONS",
    "REJECTS",
    "RESCUED",
    "Fault",
    "Field",
    "Layout",
    "Parsed",
    "Source",
    "Split",
    "check",
    "digest",
    "parse",
    "read",
    "record",
    "splits",
]

FORMATS: dict[str, Source] = {
    "access_log": Lines(
        access_log.read,
        access_log.check,
        has_header=False,
        blank_is_null=True,
        time_format=times.LOG,
    ),
    "csv": Lines(csv.read, csv.check, has_header=True, blank_is_null=True),
    "ndjson": Lines(ndjson.read, ndjson.check, has_header=False, blank_is_null=False),
    "parquet": Parquet(),
    "whitespace": Lines(whitespace.read, whitespace.check, has_header=True, blank_is_null=True),
}


def check(layout: Layout) -> Source:
    """The kind of input of a layout. Raises ValueError if there is none or it cannot serve it."""
    if layout.format not in FORMATS:
        raise ValueError(f"format {layout.format!r} is not one of {', '.join(sorted(FORMATS))}")
    source = FORMATS[layout.format]
    source.check(layout)
    return source


def splits(path: str, size: int, layout: Layout, *, target: int = 64 * MIB) -> list[Split]:
    """Splits of a file of ``size`` bytes, each about ``target``.

    A compressed file is one, as it can only be read from its beginning. An empty file of lines has
    no split: it is a delivery without records.
    """
    return check(layout).splits(path, size, target)


def read(split: Split, layout: Layout, *, block_size: int = 8 * MIB) -> Iterator[Parsed]:
    """Rows and rejects of a split, about ``block_size`` bytes of content at a time.

    Raises ValueError for a layout that its format cannot serve, and Fault where the file cannot
    be read as a whole, perhaps after some of its records. No record raises anything.
    """
    found = check(layout).read(split, layout, block_size)
    if not layout.pseudonyms:
        return found
    return (_hidden(parsed, layout) for parsed in found)


def _hidden(parsed: Parsed, layout: Layout) -> Parsed:
    return replace(parsed, rows=pseudonyms.replaced(parsed.rows, layout.pseudonyms, layout.key))


def parse(block: bytes, layout: Layout, *, offset: int, header: bytes | None = None) -> Parsed:
    """Rows and rejects of a block of whole records of a format of lines.

    ``offset`` is where the block begins in the decompressed file, in bytes. At 0, a byte order
    mark is passed over, and so is the first line of a file with a header. ``header`` is that line,
    needed for every block of such a file; others do without.

    Raises ValueError for a block of 2 GiB or more and for a layout that its format cannot serve,
    and ``layout.BadHeader`` for a header line that is none. No record raises anything.
    """
    source = check(layout)
    if not isinstance(source, Lines):
        raise ValueError(f"format {layout.format!r} is not one of lines")
    return source.parse(block, layout, offset=offset, header=header)
