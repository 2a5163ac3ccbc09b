"""Files → splits → blocks of whole records, in bounded memory; compression by the first bytes.

A record belongs to the split in which it begins. Of a record longer than ``max_line``, no more
than that many bytes and two blocks are ever held; if it does not fit, what is left of it in its
block is just long enough to be rejected as too long, and the next block begins behind it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from driftline.sources.layout import Layout, newline
from driftline.sources.records import after_break, after_last_break

MIB = 1 << 20


class CorruptFile(Exception):
    """A compressed file is torn or damaged: nothing can be read beyond ``offset`` of its content.

    ``offset`` counts the decompressed bytes that could be had. gzip has its checksum behind the
    content: of a damaged file, what came before this may be wrong already, so none of it is good.
    """

    def __init__(self, path: str, offset: int) -> None:
        super().__init__(path, offset)
        self.path, self.offset = path, offset

    def __str__(self) -> str:
        return f"{self.path}: compressed content is damaged or cut off after {self.offset} bytes"


@dataclass(frozen=True)
class Split:
    """``length`` bytes of the file at ``path`` from ``start`` on; a compressed file is one split.

    ``length`` is in bytes on disk.
    """

    path: str
    start: int
    length: int


class Stream(Protocol):
    """Where content comes from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none only at the end."""


class Gzip:
    """Content of a gzip file of one or more members; zeros behind the last one are padding."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        self._member = zlib.decompressobj(wbits=31)
        self._started = False  # whether the current member has been given any byte
        self._offset = 0
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` decompressed bytes. Raises CorruptFile where there should be more."""
        while True:
            if self._member.eof:
                self._next_member()
            given = self._rest or self._file.read(MIB)
            if not given and not self._started:
                return b""
            self._started = True
            try:
                content = self._member.decompress(given, size)
            except zlib.error:
                raise CorruptFile(self._path, self._offset) from None
            self._rest = self._member.unconsumed_tail
            self._offset += len(content)
            if content:
                return content
            if not given and not self._member.eof:
                raise CorruptFile(self._path, self._offset)

    def _next_member(self) -> None:
        rest = self._member.unused_data.lstrip(b"\0")
        while not rest and (more := self._file.read(MIB)):
            rest = more.lstrip(b"\0")
        self._rest, self._started = rest, False
        self._member = zlib.decompressobj(wbits=31)


COMPRESSIONS: dict[bytes, Callable[[BinaryIO, str], Stream]] = {b"\x1f\x8b": Gzip}
"""First bytes of a compressed file → what reads its content. None of them can begin a text."""


def _compression(file: BinaryIO) -> Callable[[BinaryIO, str], Stream] | None:
    first = file.read(8)
    file.seek(0)
    return next((kind for magic, kind in COMPRESSIONS.items() if first.startswith(magic)), None)


def splits(path: str, size: int, *, target: int = 64 * MIB) -> list[Split]:
    """Splits of a file of ``size`` bytes, each about ``target``; none for an empty file."""
    if target < 1:
        raise ValueError(f"target must be at least 1 byte, found {target}")
    if size == 0:
        return []
    with open(path, "rb") as file:
        if _compression(file):
            return [Split(path, 0, size)]
    step = -(-target // 4) * 4  # never within a character of UTF-16 or UTF-32
    return [Split(path, start, min(step, size - start)) for start in range(0, size, step)]


def blocks(
    split: Split,
    *,
    block_size: int = 8 * MIB,
    max_line: int = 1_000_000,
    encoding: str = "utf-8",
) -> Iterator[tuple[int, bytes]]:
    """Whole records of a split, about ``block_size`` bytes at a time, with where each block begins.

    The offset is in the decompressed file. Every block but the file's last ends with a line end;
    a record that is cut off for being longer than ``max_line`` gets one. ``max_line`` and
    ``encoding`` are those of the layout.

    Raises CorruptFile where a compressed file cannot be read, after the whole records before.
    """
    mark = newline(encoding)
    # Enough to be too long even if the cut leaves a carriage return at the end.
    enough = (max_line // len(mark) + 3) * len(mark)
    with open(split.path, "rb") as file:
        kind = _compression(file)
        stream: Stream = kind(file, split.path) if kind else file
        stop = None if kind else split.start + split.length
        at, data = split.start, b""
        if split.start:
            file.seek(split.start - len(mark))
            at -= len(mark)
            skipped, data = _skip(stream, b"", mark, block_size)
            at += skipped
        while stop is None or at < stop:
            # Beyond the split there is but the rest of one record.
            left = block_size if stop is None else max(stop - at - len(data), MIB // 16)
            more = stream.read(min(block_size, left))
            ended = not more
            data += more
            cut = after_last_break(data, mark)
            if stop is not None and at + len(data) >= stop:
                end = after_break(data, mark, max(0, stop - at - len(mark)))
                if end:
                    yield at, data[:end]
                    return
                if not ended and len(data) - cut <= enough:
                    continue
            if ended:
                if data:
                    yield at, data
                return
            if cut:
                yield at, data[:cut]
                at, data = at + cut, data[cut:]
            elif len(data) > enough:
                kept = data[:enough] + mark
                skipped, rest = _skip(stream, data, mark, block_size)
                yield at, kept
                at, data = at + skipped, rest


def _skip(stream: Stream, data: bytes, mark: bytes, block_size: int) -> tuple[int, bytes]:
    """Pass over the rest of a line: bytes passed, ``data`` included, and what was read beyond."""
    passed = 0
    while not (end := after_break(data, mark)):
        torn = len(data) % len(mark)
        passed += len(data) - torn
        more = stream.read(block_size)
        if not more:
            return passed + torn, b""
        data = data[len(data) - torn :] + more
    return passed + end, data[end:]


def header(path: str, layout: Layout) -> bytes | None:
    """The first line of a file without its line end; None for a layout without a header.

    No more than the layout's ``max_line`` is read of it.
    """
    if not layout.header:
        return None
    mark = newline(layout.encoding)
    data = b""
    with open(path, "rb") as file:
        kind = _compression(file)
        stream: Stream = kind(file, path) if kind else file
        while len(data) <= layout.max_line and after_last_break(data, mark) == 0:
            more = stream.read(64 * 1024)
            if not more:
                break
            data += more
    end = after_break(data, mark)
    return data[: end - len(mark)] if end else data


def digest(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hexadecimal) of a file as it lies on disk."""
    size, sha = 0, hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            size += len(piece)
            sha.update(piece)
    return size, sha.hexdigest()
