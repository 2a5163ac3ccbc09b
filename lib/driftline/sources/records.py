"""Blocks of bytes → records: where each begins and ends, which are too long or undecodable."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline.sources.layout import newline

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Records:
    """Records as UTF-8 text: record i is ``data[start[i]:end[i]]``, its line end left out.

    ``start`` and ``end`` ascend and do not overlap. Bytes of ``data`` outside of them belong to no
    record and need not be UTF-8.
    """

    data: bytes
    start: Positions
    end: Positions

    def __len__(self) -> int:
        return len(self.start)

    @property
    def bytes(self) -> npt.NDArray[np.uint8]:
        """The data as an array, without a copy."""
        return np.frombuffer(self.data, np.uint8)

    def text(self, index: int) -> str:
        """One record."""
        return self.data[self.start[index] : self.end[index]].decode()

    def take(self, chosen: Flags | Positions) -> Records:
        """Some of the records, over the same data."""
        return Records(self.data, self.start[chosen], self.end[chosen])


def bounds(block: bytes, encoding: str) -> tuple[Positions, Positions]:
    r"""Start and end of each record in a block, in bytes, ``\n`` or ``\r\n`` left out.

    A line of nothing but ASCII white space is no record.
    """
    width = len(newline(encoding))
    if width == 1:
        units: npt.NDArray[Any] = np.frombuffer(block, np.uint8)
    else:
        order = ">" if newline(encoding)[0] == 0 else "<"
        units = np.frombuffer(block[: len(block) // width * width], f"{order}u{width}")
    breaks = np.flatnonzero(units == 10)
    start = np.empty(len(breaks) + 1, np.int64)
    start[0], start[1:] = 0, breaks + 1
    end = np.append(breaks, len(units)).astype(np.int64)
    if start[-1] == end[-1] and len(block) == len(units) * width:
        start, end = start[:-1], end[:-1]
    before = np.maximum(end - 1, 0)
    if len(units):
        end -= (end > start) & (units[before] == 13)
        blank = _blank(units, start, end)
    else:
        blank = np.zeros(len(start), np.bool_)
    start, end = start * width, end * width
    if len(block) != len(units) * width:
        # A torn last character of a wide encoding belongs to the last record, which it spoils.
        end[-1] = len(block)
        blank[-1] = False
    return start[~blank], end[~blank]


def after_break(data: bytes, mark: bytes, at: int = 0) -> int:
    """Where a line begins behind the first line end at or after ``at``; 0 if there is none.

    ``mark`` is the line end (see ``layout.newline``); in a wide encoding only one that stands at a
    multiple of its width is one.
    """
    found = data.find(mark, at)
    while found >= 0 and found % len(mark):
        found = data.find(mark, found + 1)
    return 0 if found < 0 else found + len(mark)


def after_last_break(data: bytes, mark: bytes) -> int:
    """Where a line begins behind the last line end; 0 if there is none."""
    found = data.rfind(mark)
    while found >= 0 and found % len(mark):
        found = data.rfind(mark, 0, found + len(mark) - 1)
    return 0 if found < 0 else found + len(mark)


def _blank(units: npt.NDArray[Any], start: Positions, end: Positions) -> Flags:
    last = len(units) - 1
    white_first = _white(units[np.minimum(start, last)])
    white_last = _white(units[np.maximum(end - 1, 0)])
    blank = start == end
    # Only a line that begins and ends white can be white throughout: few are looked at.
    for index in np.flatnonzero(~blank & white_first & white_last):
        blank[index] = bool(_white(units[start[index] : end[index]]).all())
    return np.asarray(blank, np.bool_)


def _white(units: npt.NDArray[Any]) -> Flags:
    return np.asarray((units == 32) | ((units >= 9) & (units <= 13)), np.bool_)


def decode(block: bytes, start: Positions, end: Positions, encoding: str) -> tuple[Records, Flags]:
    """Records of a block as UTF-8, and which of those given are valid text in the encoding.

    Only the valid ones are in the Records, in order.
    """
    name = codecs.lookup(encoding).name
    if name in ("utf-8", "utf-8-sig", "ascii"):
        good = _valid(block, start, end, name)
        return Records(block, start, end).take(good), good
    # Line by line: a bad one must not take its neighbours along, and none may carry state over.
    lines: list[bytes] = []
    good = np.ones(len(start), np.bool_)
    for index, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        try:
            line = block[a:b].decode(encoding).encode()
        except UnicodeError:
            line = b"\n"
        if b"\n" in line:
            good[index] = False
        else:
            lines.append(line)
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    after = np.cumsum(lengths + 1)
    return Records(b"\n".join(lines) + b"\n", after - lengths - 1, after - 1), good


def _valid(block: bytes, start: Positions, end: Positions, name: str) -> Flags:
    good = np.ones(len(start), np.bool_)
    if block.isascii():
        return good
    try:
        block.decode(name)
    except UnicodeDecodeError:
        for index, (a, b) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
            try:
                block[a:b].decode(name)
            except UnicodeDecodeError:
                good[index] = False
    return good


def texts(
    records: Records, start: Positions, end: Positions, null: Flags | None = None
) -> pa.StringArray:
    """``records.data[start[i]:end[i]]`` as an array of strings, null where ``null`` is set.

    ``start`` and ``end`` must ascend and not overlap: then field, gap, field, gap, ... is an array
    of strings over the block as it lies, and taking every second one is the only copy.
    """
    count = len(start)
    if count == 0:
        return pa.array([], pa.string())
    offsets = np.empty(2 * count, np.int32)
    offsets[0::2], offsets[1::2] = start, end
    pieces = pa.StringArray.from_buffers(
        2 * count - 1, pa.py_buffer(offsets), pa.py_buffer(records.data)
    )
    return pieces.take(pa.array(np.arange(0, 2 * count, 2, dtype=np.int32), mask=null))
