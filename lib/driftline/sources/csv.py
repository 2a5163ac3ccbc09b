"""Separated values as RFC 4180 has them, one record a line; tabs for commas make it TSV.

A field that begins with a quote ends with the next single one, ``""`` within it being a quote; a
separator or the line's end must follow. A quote in a field that does not begin with one makes the
line malformed. A quoted line end is not supported: the line that opens the quote is malformed, as
it is never closed there, and the one that closes it, too; lines between count as records.

An empty field is null. A quoted empty one is the empty string in a string column, else null. More
fields than columns are accepted if all those beyond are empty: some writers end every line with
separators. Blanks are null but in a string column, where spaces belong to the value.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.sources.columns import Columns, check, place
from driftline.sources.layout import Layout
from driftline.sources.records import Flags, Positions, Records, texts
from driftline.sources.source import Part, Read, rows_of

__all__ = ["check", "fields", "read"]


def fields(text: str, separator: str) -> list[str | None] | None:
    """The fields of one line, an empty unquoted one being None; None for a malformed line."""
    found: list[str | None] = []
    at = 0
    while True:
        if text.startswith('"', at):
            close = at + 1
            while True:
                close = text.find('"', close)
                if close < 0:
                    return None
                if not text.startswith('"', close + 1):
                    break
                close += 2
            found.append(text[at + 1 : close].replace('""', '"'))
            at = close + 1
            if at < len(text) and text[at] != separator:
                return None
        else:
            end = text.find(separator, at)
            end = len(text) if end < 0 else end
            if '"' in text[at:end]:
                return None
            found.append(text[at:end] or None)
            at = end
        if at == len(text):
            return found
        at += 1


def read(records: Records, layout: Layout, header: bytes | None = None) -> Read:
    """Tell the fields of lines apart: by position where every quote opens or closes a field."""
    columns = place(layout, header, lambda text: fields(text, layout.separator))
    parts = [_by_position(records, layout, columns)]
    left = np.ones(len(records), np.bool_)
    left[parts[0].rows] = False
    refused: dict[int, str] = {}
    rows: list[int] = []
    values: list[list[str | None]] = []
    for index in np.flatnonzero(left).tolist():
        found = fields(records.text(index), layout.separator)
        if found is None:
            refused[index] = "malformed"
        elif len(found) < columns.width or any(found[columns.width :]):
            refused[index] = "field_count"
        else:
            rows.append(index)
            values.append(found[: columns.width])
    if rows:
        every = rows_of(values, columns.width)
        nothing = pa.nulls(len(rows), pa.string())
        placed = [nothing if at is None else every[at] for at in columns.places]
        rescued = columns.rescued([every[at] for at, _ in columns.others])
        parts.append(Part(np.array(rows, np.int64), placed, rescued))
    return Read(parts, refused)


def _by_position(records: Records, layout: Layout, columns: Columns) -> Part:
    data, width = records.bytes, columns.width
    separators = np.flatnonzero(data == ord(layout.separator))
    quotes = np.flatnonzero(data == 34)
    if len(quotes):
        separators = _unquoted(records, separators, quotes)
    first = np.searchsorted(separators, records.start)
    count = np.searchsorted(separators, records.end) - first
    rows = np.flatnonzero(count == width - 1)
    before = first[rows]
    edges = [records.start[rows] - 1]
    edges += [separators[before + k] for k in range(width - 1)]
    edges.append(records.end[rows])
    spans = [(left + 1, right) for left, right in pairwise(edges)]
    doubled = False
    if len(quotes):
        good, doubled = _closed(records, layout, quotes)
        if not good[rows].all():
            spans = [(left[good[rows]], right[good[rows]]) for left, right in spans]
            rows = rows[good[rows]]

    def column(at: int | None) -> pa.Array:
        if at is None:
            return pa.nulls(len(rows), pa.string())
        left, right = spans[at]
        empty = left == right
        if not len(quotes):
            return texts(records, left, right, empty)
        quoted = (data[np.minimum(left, len(data) - 1)] == 34) & ~empty
        found = texts(records, left + quoted, right - quoted, empty)
        return pc.replace_substring(found, '""', '"') if doubled and quoted.any() else found

    placed = [column(at) for at in columns.places]
    return Part(rows, placed, columns.rescued([column(at) for at, _ in columns.others]))


def _unquoted(records: Records, separators: Positions, quotes: Positions) -> Positions:
    """The separators with an even number of quotes between them and the start of their record."""
    before = np.searchsorted(quotes, separators)
    base = np.searchsorted(quotes, records.start)
    if (base & 1).any():
        line = np.searchsorted(records.start, separators, side="right") - 1
        before -= base[np.maximum(line, 0)]
    return np.asarray(separators[before & 1 == 0], np.int64)


def _closed(records: Records, layout: Layout, quotes: Positions) -> tuple[Flags, bool]:
    """Which records have no quotes but such as open or close a field or stand for one within it;
    whether there are any of the last.

    Counted within a record, the first, third, ... quote then opens a field or is the second of a
    pair; the others close a field or are the first of a pair.
    """
    data, last = records.bytes, len(records.data) - 1
    first = np.searchsorted(quotes, records.start)
    count = np.searchsorted(quotes, records.end) - first
    good = count % 2 == 0
    line = np.repeat(np.arange(len(records)), count)
    rank = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    at = quotes[np.repeat(first, count) + rank]
    separator = ord(layout.separator)
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, last)
    opens = (at == records.start[line]) | (data[before] == separator)
    closes = (at + 1 == records.end[line]) | (data[after] == separator)
    even = rank % 2 == 0
    paired = (data[np.where(even, before, after)] == 34) & (rank > 0)
    fits = np.where(even, opens | paired, closes | paired)
    good[line[~fits]] = False
    return good, bool(paired.any())
