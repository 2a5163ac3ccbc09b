"""Writing: whole files or none, the same bytes every time, and a count of all that was written."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Written:
    """What was written; lines as they stand in the files, broken, late and repeated ones included.

    files       number of files, the truth's included
    log_lines   lines in access/
    orders      lines in orders/, files sent again left out
    customers   rows of the last profile snapshot
    bytes       size of all files
    dirt        planted dirt by kind: malformed (lines), late and duplicate (order lines),
                resent_file (files)
    """

    files: int = 0
    log_lines: int = 0
    orders: int = 0
    customers: int = 0
    bytes: int = 0
    dirt: dict[str, int] = field(default_factory=dict)

    def and_then(self, later: Written) -> Written:
        """Both together, `later` being of later months."""
        return Written(
            files=self.files + later.files,
            log_lines=self.log_lines + later.log_lines,
            orders=self.orders + later.orders,
            customers=later.customers,
            bytes=self.bytes + later.bytes,
            dirt={kind: self.dirt.get(kind, 0) + count for kind, count in later.dirt.items()},
        )


def write_atomically(path: Path, content: Any) -> int:
    """Write the bytes-like `content`: `path` is either whole or untouched. Its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps an unfinished file out of every reader's glob.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path.stat().st_size


def gzipped(content: Any) -> bytes:
    """`content` as one gzip member without name or time: equal content gives equal bytes."""
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(content) + packer.flush()


def parquet(table: pa.Table) -> pa.Buffer:
    """`table` as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue()
