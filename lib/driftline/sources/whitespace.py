"""Fields separated by runs of spaces and tabs, as people line them up; no quotes, no empty fields.

White space at the beginning or end of a line does not count. The names of a header are optional
(``Layout.header``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from driftline.sources.columns import check, place
from driftline.sources.layout import Layout
from driftline.sources.records import Records, texts
from driftline.sources.source import Part, Read

__all__ = ["check", "read"]


def words(text: str) -> list[str]:
    """The fields of one line."""
    return [word for word in text.replace("\t", " ").split(" ") if word]


def read(records: Records, layout: Layout, header: bytes | None = None) -> Read:
    """Tell the fields of lines apart, all of them by position."""
    columns = place(layout, header, words)
    data = records.bytes
    gap = (data == 32) | (data == 9) | (data == 10)
    # A record ends before \r\n, too, while a \r elsewhere is part of a field.
    gap[records.end[records.end < len(data)]] = True
    before = np.concatenate([[True], gap[:-1]])
    begins = np.flatnonzero(before & ~gap)
    ends = np.flatnonzero(gap & ~before)
    if len(data) and not gap[-1]:
        ends = np.append(ends, len(data))
    first = np.searchsorted(begins, records.start)
    count = np.searchsorted(begins, records.end) - first
    fits = count == columns.width
    rows = np.flatnonzero(fits)
    at = first[rows]

    def column(index: int | None) -> pa.Array:
        if index is None:
            return pa.nulls(len(rows), pa.string())
        return texts(records, begins[at + index], ends[at + index])

    found = [column(index) for index in columns.places]
    rescued = columns.rescued([column(index) for index, _ in columns.others])
    refused = dict.fromkeys(np.flatnonzero(~fits).tolist(), "field_count")
    return Read([Part(rows, found, rescued)], refused)
