"""What a kind of input looks like, and what parsing a piece of it gives back."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import pyarrow as pa

from driftline.sources import times

FieldType = Literal["string", "long", "double", "boolean", "timestamp", "date"]

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}

EPOCHS: dict[str, int] = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Epoch formats of a time field, and how many microseconds one unit of each has."""

REASONS: dict[str, str] = {
    "encoding": "The record's bytes are not valid text in the encoding of the layout.",
    "malformed": "The record does not have the form of its format at all.",
    "field_count": "The record has fewer or more fields than the layout or header names.",
    "bad_value": "A field's content is not a value of the field's type.",
    "too_long": "The record has more bytes than the layout's max_line; only the first are kept.",
}
"""Closed vocabulary of reasons for a reject, a sentence each."""

REJECTS = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("raw", pa.binary(), nullable=False),
    ]
)

DEEPEST = 500
"""Levels of JSON that Python's own reader can always do."""

RESCUED, OFFSET = "_rescued", "_offset"
"""Columns that every source adds behind the layout's own."""


@dataclass(frozen=True)
class Field:
    """One column of the bronze table.

    ``source`` names the value in the input: CSV or whitespace header, JSON key, access-log field.
    Left out, it is ``name``. In a file without header it is a 0-based position ("0", "1", ...) if
    every field of the layout says so; otherwise the fields stand in the order of the file.

    ``format`` is for times only: a strptime pattern, ``epoch_s``, ``epoch_ms`` or ``epoch_us``.
    None means ISO-8601 (for access logs: the log's own ``17/May/2015:10:05:03 +0000``). A time
    without a zone is UTC.
    """

    name: str
    type: FieldType
    source: str = ""
    format: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name in (RESCUED, OFFSET):
            raise ValueError(f"field name {self.name!r} is empty or reserved")
        if self.type not in ARROW_TYPES:
            raise ValueError(
                f"field {self.name!r}: type {self.type!r} is not one of {', '.join(ARROW_TYPES)}"
            )
        if self.format is not None and self.type not in ("timestamp", "date"):
            raise ValueError(f"field {self.name!r}: only timestamp and date have a format")
        if self.format is not None and self.format not in EPOCHS and not _pattern(self.format):
            raise ValueError(
                f"field {self.name!r}: format {self.format!r} is neither a strptime pattern"
                f" nor one of {', '.join(EPOCHS)}"
            )
        if not self.source:
            object.__setattr__(self, "source", self.name)


@dataclass(frozen=True)
class Layout:
    """A kind of input: its format, the fields wanted from it, and those no file has.

    ``constants`` are times, the same in every row; they come behind the fields.

    ``separator`` is for csv ("\\t" for TSV), ``header`` for csv and whitespace: whether the first
    line of a file names the fields. ``encoding`` and what follows it are for all but Parquet.

    Limits: ``max_line`` bytes of a record in the decompressed file, without its line end;
    ``max_depth`` levels of objects and arrays in a line of ndjson, its own object being the first;
    ``max_expansion`` bytes of content for each byte of a compressed file, judged beyond the first
    64 MiB of content.
    """

    format: str
    fields: tuple[Field, ...]
    constants: tuple[tuple[Field, datetime], ...] = ()
    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    max_line: int = 1_000_000
    max_depth: int = 200
    max_expansion: float = 200.0
    pseudonyms: tuple[str, ...] = ()
    """Columns of text whose values nobody may read, see :mod:`driftline.pseudonyms`."""
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("a layout needs at least one field")
        names = [field.name for field in (*self.fields, *(field for field, _ in self.constants))]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"a layout names a column twice: {', '.join(repeated)}")
        if not re.fullmatch(r"[\x01-\x7f]", self.separator) or self.separator in '"\r\n':
            raise ValueError("separator must be one ASCII character, not a quote or a line end")
        if self.max_line < 1:
            raise ValueError(f"max_line must be at least 1 byte, found {self.max_line}")
        if not 1 <= self.max_depth <= DEEPEST:
            raise ValueError(f"max_depth must be 1 to {DEEPEST}, found {self.max_depth}")
        if not self.max_expansion >= 1:
            raise ValueError(f"max_expansion must be at least 1, found {self.max_expansion}")
        newline(self.encoding)

    @property
    def schema(self) -> pa.Schema:
        """Schema of ``Parsed.rows``: the layout's columns, ``_rescued``, ``_offset``."""
        every = (*self.fields, *(field for field, _ in self.constants))
        columns = [pa.field(field.name, ARROW_TYPES[field.type]) for field in every]
        columns.append(pa.field(RESCUED, pa.string()))
        columns.append(pa.field(OFFSET, pa.int64(), nullable=False))
        return pa.schema(columns)


@dataclass(frozen=True)
class Parsed:
    """A block of a file, parsed: ``records == rows.num_rows + rejects.num_rows``.

    ``rows``: the layout's columns in its order, then ``_rescued`` (string: JSON object of the
    fields that the layout does not know, null if there are none) and ``_offset`` (int64: where
    the record starts in the decompressed file, in bytes). ``rejects``: ``offset`` and ``length``
    (int64: the record in the decompressed file without its line end), ``reason`` (a key of
    REASONS), ``column`` (the column of a bad_value, else null) and ``raw`` (the record's bytes; of
    a too_long one the first 4,096, or max_line if that is less). Both are in the order of the
    file. ``records`` is counted from the bytes, before anything is parsed.

    Of Parquet, ``offset`` is the number of the row in its file, from 0; ``raw`` is the row as a
    JSON object, ``length`` that of ``raw``.
    """

    rows: pa.RecordBatch
    rejects: pa.RecordBatch
    records: int


def _pattern(format: str) -> bool:
    return "%" in format and times.known(format)


class BadHeader(ValueError):
    """The header line of a block's file is none; ``read`` makes it a Fault, knowing the file."""


def newline(encoding: str) -> bytes:
    r"""The bytes of ``\n`` in an encoding: 1 byte, or 2 or 4 in UTF-16 and UTF-32.

    Raises ValueError for an encoding that is unknown or in which lines cannot be told apart
    without decoding the file from its beginning.
    """
    try:
        name = codecs.lookup(encoding).name
        mark = "\n".encode(encoding)
    except (LookupError, UnicodeError, TypeError):
        raise ValueError(f"encoding {encoding!r} is not one that Python decodes") from None
    if name in ("utf-16", "utf-32"):
        # The byte order stands only at the beginning of the file; a split in its middle has none.
        raise ValueError(f"encoding {encoding!r}: say {name}-le or {name}-be")
    if name == "utf-8-sig":
        return b"\n"
    if len(mark) == 1 and mark != b"\n":
        raise ValueError(f"encoding {encoding!r}: its line end is not that of ASCII")
    return mark
