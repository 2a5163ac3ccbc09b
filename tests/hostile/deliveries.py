"""Files that are not what they seem: compressed badly, named oddly, no Parquet."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from driftline.sources import Field
from hostile.case import ID_AND_TEXT, Case, Content, csv

MIB = 1 << 20
ROWS = b"id,s\n" + b"".join(b"%d,text %d\n" % (n, n * n) for n in range(1_000))


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def packed(name: str, file: str, content: Content, **rest: Any) -> Case:
    return Case(name, {file: content}, "csv", ID_AND_TEXT, **rest)


def bomb(pack: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """80 MiB of records in a few kB."""
    line = b"1," + b"x" * 1_021 + b"\n"
    return lambda: pack(b"id,s\n") + pack(line * 1_024) * 80


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.csv", ROWS)
    return file.getvalue()


GZIP = gzip.compress(ROWS, mtime=0)
BZIP2 = bz2.compress(ROWS)
ZSTD = zstd(ROWS)
TWO = ((1, "a"), (2, "b"))

COMPRESSED = [
    csv("no bytes", b""),
    packed("no bytes in gzip's name", "x.csv.gz", b""),
    packed("no content in gzip", "x.csv.gz", gzip.compress(b"")),
    packed("gzip", "x.csv.gz", GZIP, accepted=1_000),
    packed("gzip cut off", "x.csv.gz", GZIP[: len(GZIP) // 2], fault="corrupt"),
    packed("gzip without its last byte", "x.csv.gz", GZIP[:-1], fault="corrupt"),
    packed("gzip without its checksum", "x.csv.gz", GZIP[:-8], fault="corrupt"),
    packed("gzip cut off in its head", "x.csv.gz", GZIP[:5], fault="corrupt"),
    packed("gzip of another checksum", "x.csv.gz", GZIP[:-8] + bytes(8), fault="corrupt"),
    packed(
        "gzip damaged",
        "x.csv.gz",
        GZIP[:500] + bytes(each ^ 0xFF for each in GZIP[500:520]) + GZIP[520:],
        fault="corrupt",
    ),
    packed(
        "gzip of two members",
        "x.csv.gz",
        gzip.compress(b"id,s\n1,a") + gzip.compress(b"\n2,b\n"),
        accepted=2,
        values=TWO,
    ),
    packed("gzip, second member cut off", "x.csv.gz", GZIP + GZIP[:-1], fault="corrupt"),
    packed("gzip with zeros behind", "x.csv.gz", GZIP + bytes(512), accepted=1_000),
    packed("gzip with garbage behind", "x.csv.gz", GZIP + b"garbage", fault="corrupt"),
    packed("text in gzip's name", "x.csv.gz", b"id,s\n1,a\n2,b\n", accepted=2, values=TWO),
    packed("gzip in a text's name", "x.csv", GZIP, accepted=1_000),
    packed("gzip in gzip", "x.csv.gz", gzip.compress(GZIP), fault="header"),
    packed("zip", "x.csv.zip", zipped, fault="header"),
    packed("gzip bomb", "x.csv.gz", bomb(gzip.compress), fault="expansion"),
    packed("bzip2 bomb", "x.csv.bz2", bomb(bz2.compress), fault="expansion"),
    packed("zstd bomb", "x.csv.zst", bomb(zstd), fault="expansion"),
    packed(
        "a layout that allows more",
        "x.csv.gz",
        bomb(gzip.compress),
        options={"max_expansion": 1_000.0},
        accepted=80 * 1_024,
    ),
    packed("bzip2", "x.csv.bz2", BZIP2, accepted=1_000),
    packed("bzip2 of two streams", "x.csv.bz2",
           bz2.compress(b"id,s\n1,a\n2") + bz2.compress(b",b\n"), accepted=2, values=TWO),
    packed("bzip2 cut off", "x.csv.bz2", BZIP2[: len(BZIP2) // 2], fault="corrupt"),
    packed("bzip2 without its last byte", "x.csv.bz2", BZIP2[:-1], fault="corrupt"),
    packed("bzip2 with garbage behind", "x.csv.bz2", BZIP2 + b"garbage", fault="corrupt"),
    packed("text that begins like bzip2", "x.csv", b"BZh9,s,id\nx,a,1\n", accepted=1,
           values=((1, "a"),)),
    packed("zstd", "x.csv.zst", ZSTD, accepted=1_000),
    packed("zstd of two frames", "x.csv.zst", zstd(b"id,s\n1,a\n2") + zstd(b",b\n"), accepted=2,
           values=TWO),
    packed("zstd cut off", "x.csv.zst", ZSTD[: len(ZSTD) // 2], fault="corrupt"),
    packed("zstd without its last byte", "x.csv.zst", ZSTD[:-1], fault="corrupt"),
    packed("zstd with garbage behind", "x.csv.zst", ZSTD + b"garbage", fault="corrupt"),
]  # fmt: skip

NAMES = [
    Case(f"file named {name!r}"[:60], {name: b"id,s\n1,a\n2,b\n"}, "csv", ID_AND_TEXT, accepted=2,
         values=TWO)
    for name in (
        *("a b.csv", " .csv", "100%.csv", "%2e%2e%2fx.csv", "a:b.csv", "a[1].csv", "[!a].csv"),
        *("a\nb.csv", "a\tb.csv", "day=2024-05-17.csv", "a#b.csv", "a?b*.csv", "a,b;c.csv"),
        *("ünï😀.csv", "_x.csv", ".x.csv", "-rf.csv", "a'b\"c.csv", "a\\b.csv", "$HOME.csv"),
        *("~.csv", "s3:x.csv", "x.parquet", "x.json", "{a,b}.csv", "x" * 251 + ".csv"),
    )
]  # fmt: skip


def parquet(name: str, make: Callable[[], bytes], **rest: Any) -> Case:
    rest.setdefault("fields", ID_AND_TEXT)
    return Case(name, {"x.parquet": make}, "parquet", **rest)


def table(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def rows(count: int = 2) -> bytes:
    return table({"id": list(range(1, count + 1)), "s": ["a", "b"] * (count // 2)})


PARQUET = [
    parquet("Parquet", rows, accepted=2, values=TWO),
    parquet("Parquet of many groups",
            lambda: table({"id": list(range(5_000))}, row_group_size=100), accepted=5_000),
    parquet("Parquet of no bytes", lambda: b"", fault="corrupt"),
    parquet("Parquet without rows", lambda: rows(0)),
    parquet("Parquet without rows or columns", lambda: table({}), fault="header"),
    parquet("Parquet cut off", lambda: rows()[:-20], fault="corrupt"),
    parquet("Parquet of its first half", lambda: rows()[: len(rows()) // 2], fault="corrupt"),
    parquet("Parquet of another magic", lambda: b"PAR2" + rows()[4:-4] + b"PAR2", fault="corrupt"),
    parquet("Parquet with bytes behind", lambda: rows() + b"\n", fault="corrupt"),
    # The last footer tells what is in a file, and it tells of the first copy.
    parquet("Parquet twice", lambda: rows() + rows(), accepted=2, values=TWO),
    parquet("Parquet in gzip", lambda: gzip.compress(rows()), fault="corrupt"),
    parquet("CSV for Parquet", lambda: b"id,s\n1,a\n", fault="corrupt"),
    parquet("Parquet of other columns", lambda: table({"x": [1]}), fault="header"),
    parquet("Parquet with a new column", lambda: table({"id": [1], "z": [[1, 2]]}), accepted=1,
            values=((1, None),)),
    parquet("Parquet of other types",
            lambda: table({"id": [1.0, 2.5, float("nan")], "s": [Decimal("1.50"), None, None]}),
            accepted=1, reasons={"bad_value": 2}, values=((1, "1.50"),)),
    parquet("Parquet of texts", lambda: table({"id": ["1", "x", None], "s": [True, None, False]}),
            accepted=2, reasons={"bad_value": 1}, values=((1, "true"), (None, "false"))),
    parquet("Parquet with unsigned ids", lambda: table({"id": pa.array([1, 2**63], pa.uint64())}),
            accepted=1, reasons={"bad_value": 1}),
    parquet("Parquet with bytes that are no text",
            lambda: table({"id": [1, 2], "s": [b"a", b"\xff"]}),
            accepted=1, reasons={"bad_value": 1}),
    parquet("Parquet with times of all kinds",
            lambda: table({"s": pa.array([0], pa.timestamp("ns")),
                           "id": pa.array([0], pa.date32())}),
            fields=(Field("s", "date"), Field("id", "timestamp")), accepted=1),
    parquet("Parquet with a time out of range",
            lambda: table({"id": pa.array([10**18, 0], pa.timestamp("ms"))}),
            fields=(Field("id", "timestamp"),), accepted=1, reasons={"bad_value": 1}),
    parquet("Parquet bomb", lambda: table({"s": ["x" * MIB] * 80}, compression="zstd",
            use_dictionary=False), fault="expansion"),
]  # fmt: skip


def text_that_is_none() -> bytes:
    """A column that says it is text and holds other bytes."""
    column = pa.array([b"a", b"\xff"], pa.binary())
    text = pa.StringArray.from_buffers(2, column.buffers()[1], column.buffers()[2])
    return table({"id": [1, 2], "s": text})


PARQUET.append(
    parquet("Parquet with text that is none", text_that_is_none, accepted=1,
            reasons={"bad_value": 1}, values=((1, "a"),))
)  # fmt: skip
