"""Files → splits → blocks of whole records, in bounded memory.

A record belongs to the split in which it begins. Of a record longer than ``max_line``, no more
than that many bytes and two blocks are ever held; if it does not fit, its block is its beginning,
and the next block begins behind it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from driftline.sources.compression import MIB, Content, Stream, compression
from driftline.sources.layout import Layout, newline
from driftline.sources.records import after_break, after_last_break, bounds


@dataclass(frozen=True)
class Split:
    """``length`` bytes of the file at ``path`` from ``start`` on; a compressed file is one split.

    ``length`` is in bytes on disk.
    """

    path: str
    start: int
    length: int


class Block(NamedTuple):
    """Whole records: ``data`` begins at byte ``offset`` of the decompressed file.

    Every one but the file's last ends with a line end. With ``length`` it is the beginning of a
    single record that has this many bytes, its line end left out.
    """

    offset: int
    data: bytes
    length: int | None = None


def ranges(path: str, size: int, target: int) -> list[Split]:
    """Splits of a plain file of ``size`` bytes, each about ``target``; none for an empty file."""
    if target < 1:
        raise ValueError(f"target must be at least 1 byte, found {target}")
    step = -(-target // 4) * 4  # never within a character of UTF-16 or UTF-32
    return [Split(path, start, min(step, size - start)) for start in range(0, size, step)]


def is_compressed(path: str) -> bool:
    """Whether a file is compressed, by its first bytes."""
    with open(path, "rb") as file:
        return compression(file) is not None


def _content(file: BinaryIO, path: str, limit: float | None) -> tuple[Stream, bool]:
    """What a file contains, and whether it is compressed."""
    kind = compression(file)
    if not kind:
        return file, False
    return Content(kind(file), path, os.fstat(file.fileno()).st_size, limit), True


def blocks(split: Split, layout: Layout, *, block_size: int) -> Iterator[Block]:
    """Whole records of a split, about ``block_size`` bytes at a time.

    Raises Fault where a compressed file cannot be read, perhaps after records before.
    """
    encoding, mark = layout.encoding, newline(layout.encoding)
    # Enough to be too long even if what follows is a carriage return and the line end.
    enough = (layout.max_line // len(mark) + 3) * len(mark)
    with open(split.path, "rb") as file:
        stream, compressed = _content(file, split.path, layout.max_expansion)
        stop = None if compressed else split.start + split.length
        at, data = split.start, b""
        if split.start:
            file.seek(split.start - len(mark))
            line, data = _skip(stream, b"", encoding, block_size)
            at += line.size - len(mark)
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
                    yield Block(at, data[:end])
                    return
                if not ended and len(data) - cut <= enough:
                    continue
            if ended:
                if data:
                    yield Block(at, data)
                return
            if cut:
                yield Block(at, data[:cut])
                at, data = at + cut, data[cut:]
            elif len(data) > enough:
                kept = data[:enough]
                line, rest = _skip(stream, data, encoding, block_size)
                if not line.blank:
                    yield Block(at, kept, line.length)
                at, data = at + line.size, rest


class _Line(NamedTuple):
    size: int  # in bytes, with its line end
    length: int  # without it
    blank: bool  # nothing but white space


def _skip(stream: Stream, data: bytes, encoding: str, block_size: int) -> tuple[_Line, bytes]:
    """Pass over a line that begins with ``data``; what it was, and what was read beyond it."""
    mark = newline(encoding)
    width, carriage = len(mark), mark.replace(b"\n", b"\r")
    passed, blank, last = 0, True, b""

    def passing(piece: bytes) -> None:
        nonlocal passed, blank, last
        passed += len(piece)
        blank = blank and not len(bounds(piece, encoding)[0])
        last = piece[-width:] or last

    while not (end := after_break(data, mark)):
        torn = len(data) % width
        passing(data[: len(data) - torn])
        more = stream.read(block_size)
        if not more:
            size = passed + torn
            ending = width if last == carriage and not torn else 0
            return _Line(size, size - ending, blank and not torn), b""
        data = data[len(data) - torn :] + more
    passing(data[: end - width])
    length = passed - (width if last == carriage else 0)
    return _Line(passed + width, length, blank), data[end:]


def header(path: str, layout: Layout) -> bytes:
    """The first line of a file without its line end; no more than ``max_line`` is read of it.

    Raises Fault where a compressed file cannot be read.
    """
    mark = newline(layout.encoding)
    data = b""
    with open(path, "rb") as file:
        stream, _ = _content(file, path, layout.max_expansion)
        while len(data) <= layout.max_line and after_last_break(data, mark) == 0:
            more = stream.read(64 * 1024)
            if not more:
                break
            data += more
    end = after_break(data, mark)
    return data[: end - len(mark)] if end else data


def record(path: str, offset: int, length: int) -> bytes:
    """The bytes of one record of a file of lines, as ``REJECTS`` tells where it is.

    To try a reject again of which only the beginning was kept. A compressed file is read up to
    there, in bounded memory.

    Raises Fault where it cannot be read, and ValueError if it ends before the record does.
    """
    with open(path, "rb") as file:
        stream, compressed = _content(file, path, None)
        left = offset
        if not compressed:
            file.seek(offset)
            left = 0
        while left and (passed := stream.read(min(left, MIB))):
            left -= len(passed)
        pieces = []
        while length and (piece := stream.read(min(length, MIB))):
            pieces.append(piece)
            length -= len(piece)
    if left or length:
        raise ValueError(f"{path}: ends before the record at {offset} does")
    return b"".join(pieces)


def digest(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hexadecimal) of a file as it lies on disk."""
    size, sha = 0, hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            size += len(piece)
            sha.update(piece)
    return size, sha.hexdigest()
