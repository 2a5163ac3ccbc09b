"""Text with one record a line: what its formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from driftline.sources import results
from driftline.sources.faults import Fault
from driftline.sources.files import Split, blocks, header, is_compressed, ranges
from driftline.sources.layout import BadHeader, Layout, Parsed, newline
from driftline.sources.records import Positions, Records, after_break, bounds, decode
from driftline.sources.source import Read

KEPT = 4_096
"""Bytes kept of a record that is too long, or as many as it may have if that is less."""

BATCH = 100_000
"""Records parsed at a time: a block of millions of tiny ones must not become as many objects."""

_NONE = Records(b"", np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Lines:
    """One format of lines, a ``source.Source``.

    ``fields(records, layout, header)`` tells the fields of records apart; every record must end
    in one part or be refused. ``serves(layout)`` raises ValueError for a layout that the format
    cannot serve. ``has_header``: whether the first line of a file may be one. ``blank_is_null``:
    whether a blank text stands for null where something other than a string is expected.
    ``time_format`` is that of times whose field has none, instead of ISO-8601.
    """

    fields: Callable[[Records, Layout, bytes | None], Read]
    serves: Callable[[Layout], None]
    has_header: bool
    blank_is_null: bool
    time_format: str | None = None

    def check(self, layout: Layout) -> None:
        """See ``source.Source``."""
        self.serves(layout)

    def splits(self, path: str, size: int, target: int) -> list[Split]:
        """Byte ranges of a plain file; a compressed one is one split, an empty one has none."""
        if size and is_compressed(path):
            return [Split(path, 0, size)]
        return ranges(path, size, target)

    def read(self, split: Split, layout: Layout, block_size: int) -> Iterator[Parsed]:
        """See ``source.Source``."""
        first = None
        try:
            if self.has_header and layout.header:
                first = header(split.path, layout)
                if first.strip():  # a file of blank lines has no records to place
                    self.fields(_NONE, layout, first)
            for block in blocks(split, layout, block_size=block_size):
                yield self.parse(
                    block.data, layout, offset=block.offset, header=first, length=block.length
                )
        except BadHeader as error:
            raise Fault(split.path, "header", str(error)) from None

    def parse(
        self,
        block: bytes,
        layout: Layout,
        *,
        offset: int,
        header: bytes | None = None,
        length: int | None = None,
    ) -> Parsed:
        """Rows and rejects of a block of whole records, or of the beginning of a single one.

        ``length`` is that of the single one. For the rest see ``sources.parse``.
        """
        if len(block) >= 2**31:
            raise ValueError("a block must have less than 2 GiB")
        if offset == 0:
            skipped, first = _preamble(block, layout, self.has_header and layout.header)
            block, offset = block[skipped:], skipped
            header = first if header is None else header
            length = None if length is None or not block else length - skipped

        start, end = bounds(block, layout.encoding)
        if length is not None:
            start, end = np.zeros(1, np.int64), np.array([len(block)])
        pieces = []
        for at in range(0, len(start), BATCH) or [0]:
            some = slice(at, at + BATCH)
            left, right = (start[at], end[some][-1]) if len(start) > BATCH else (0, len(block))
            piece = block[left:right]
            lengths = end[some] - start[some] if length is None else np.array([length])
            within = start[some] - left, end[some] - left
            pieces.append(self._parse(piece, *within, lengths, offset + left, layout, header))
        rows = results.together([piece[0] for piece in pieces])
        rejects = results.together([piece[1] for piece in pieces])
        if rows.num_rows + rejects.num_rows != len(start):  # a bug of the format's module
            raise RuntimeError(f"{layout.format}: {len(start)} records, but not as many results")
        return Parsed(rows, rejects, len(start))

    def _parse(
        self,
        block: bytes,
        start: Positions,
        end: Positions,
        lengths: Positions,
        offset: int,
        layout: Layout,
        header: bytes | None,
    ) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        reasons = np.full(len(start), "", object)
        columns = np.full(len(start), None, object)
        long = lengths > layout.max_line
        reasons[long] = "too_long"
        index = np.flatnonzero(~long)
        records, valid = decode(block, start[index], end[index], layout.encoding)
        reasons[index[~valid]] = "encoding"
        index = index[valid]

        read = self.fields(records, layout, header) if len(index) else Read()
        for row, reason in read.refused.items():
            reasons[index[row]] = reason
        kept = []
        for part in read.parts:
            good, wrong = results.typed(
                part, layout, blank_is_null=self.blank_is_null, time_format=self.time_format
            )
            for name, bad in wrong.items():
                reasons[index[bad]], columns[index[bad]] = "bad_value", name
            kept.append(replace(good, rows=index[good.rows]))

        refused = np.flatnonzero(reasons != "")
        end = np.where(long, start + min(layout.max_line, KEPT), end)
        raw = [block[start[row] : end[row]] for row in refused.tolist()]
        return results.rows(kept, layout, start + offset), results.rejects(
            start[refused] + offset, lengths[refused], reasons[refused], columns[refused], raw
        )


def _preamble(block: bytes, layout: Layout, with_header: bool) -> tuple[int, bytes | None]:
    """Bytes at the beginning of a file that are no records, and its header line."""
    try:
        mark = "\ufeff".encode(layout.encoding)
    except UnicodeError:
        mark = b""
    at = len(mark) if mark and block.startswith(mark) else 0
    if not with_header:
        return at, None
    end = after_break(block, newline(layout.encoding), at) or len(block)
    return end, block[at:end]
