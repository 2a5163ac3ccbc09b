"""Compressed files → their content, in bounded memory; never a part of it as if it were all.

A kind of compression is known by the first bytes of a file, never by its name: a plain file named
``x.gz`` is a plain file. Several members, streams or frames one after the other are one content.
Behind the last one, gzip and bzip2 may have zeros (padding); zstd has frames of its own for that.
Anything else there is damage. So is a zstd frame that asks for a window of more than 128 MiB.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

import pyarrow as pa

from driftline.sources.faults import Fault

MIB = 1 << 20

FREE = 64 * MIB
"""Content that any compressed file may have, however small it is."""


class Stream(Protocol):
    """Where content comes from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none only at the end."""


class _Decompressor(Protocol):
    """What one gzip member and one bzip2 stream have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def feed(self, data: bytes, size: int) -> bytes:
        """At most ``size`` bytes of content. Raises OSError or zlib.error for damage."""

    @property
    def waits(self) -> bool:
        """Whether there is no more content to be had without more bytes."""


class _GzipMember:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def waits(self) -> bool:
        return not self._member.unconsumed_tail

    def feed(self, data: bytes, size: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, size)


class _Bzip2Stream:
    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def waits(self) -> bool:
        return self._stream.needs_input

    def feed(self, data: bytes, size: int) -> bytes:
        return self._stream.decompress(data, size)


class _Members:
    """Content of a file of one or more members, each of which says where it ends."""

    def __init__(self, file: BinaryIO, member: Callable[[], _Decompressor]) -> None:
        self._file, self._new = file, member
        self._member = member()
        self._started = False  # whether the current member has been given any byte
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._member.eof:
                self._next()
            given, self._rest = self._rest, b""
            ended = False
            if not given and self._member.waits:
                given = self._file.read(MIB)
                ended = not given
            if ended and not self._started:
                return b""
            self._started = True
            content = self._member.feed(given, size)
            if content:
                return content
            if ended and not self._member.eof:
                raise EOFError

    def _next(self) -> None:
        rest = self._member.unused_data.lstrip(b"\0")
        while not rest and (more := self._file.read(MIB)):
            rest = more.lstrip(b"\0")
        self._rest, self._started = rest, False
        self._member = self._new()


def _gzip(file: BinaryIO) -> Stream:
    return _Members(file, _GzipMember)


def _bzip2(file: BinaryIO) -> Stream:
    return _Members(file, _Bzip2Stream)


def _zstd(file: BinaryIO) -> Stream:
    stream: Stream = pa.CompressedInputStream(pa.PythonFile(file), "zstd")
    return stream


COMPRESSIONS: dict[re.Pattern[bytes], Callable[[BinaryIO], Stream]] = {
    re.compile(rb"\x1f\x8b\x08"): _gzip,
    # The head of a stream, and that of its first block or of its end.
    re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"): _bzip2,
    # A frame, or one to be skipped.
    re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"): _zstd,
}
"""First bytes of a compressed file → what reads its content.

None of them begins a text that anybody would write: the first is a control character in all
encodings of one byte and no UTF-8; ``BZh`` alone could be a word, with the block's ten bytes it is
none; the last have a byte that is no UTF-8, or a control character.
"""


def compression(file: BinaryIO) -> Callable[[BinaryIO], Stream] | None:
    """How a file is compressed, by its first bytes; it is at its beginning before and after."""
    first = file.read(16)
    file.seek(0)
    return next((kind for magic, kind in COMPRESSIONS.items() if magic.match(first)), None)


class Content:
    """What is in a compressed file of ``size`` bytes.

    ``limit`` is how many bytes of content it may have for each of its own, beyond the FREE ones;
    None: any number.
    """

    def __init__(self, stream: Stream, path: str, size: int, limit: float | None) -> None:
        self._stream, self._path = stream, path
        self._most = None if limit is None else max(FREE, limit * size)
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; raises Fault for damage, a cut, and for too much content."""
        try:
            content = self._stream.read(size)
        except (zlib.error, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's affair
            told = f"compressed content is damaged or cut off after {self._offset} bytes"
            raise Fault(self._path, "corrupt", told) from None
        self._offset += len(content)
        if self._most is not None and self._offset > self._most:
            told = f"decompresses to more than {self._most:.0f} bytes"
            raise Fault(self._path, "expansion", told)
        return content
