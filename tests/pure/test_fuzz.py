"""Lines broken at random: nothing crashes, and every record ends as a row or a reject, once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.sources import REASONS, Field, Layout, parse

LINES = 1_000
"""Lines of a block."""

FIELDS = (
    *(Field("id", "long"), Field("price", "double"), Field("s", "string"), Field("ok", "boolean")),
    *(Field("at", "timestamp"), Field("day", "date"), Field("e", "timestamp", format="epoch_ms")),
)
NAMES = [field.name for field in FIELDS]


def values(draw: random.Random) -> list[str]:
    return [
        str(draw.randrange(-9, 10**9)),
        f"{draw.random() * 100:.2f}",
        draw.choice(("ann", "é", "a b", "😀")),
        draw.choice(("true", "N")),
        f"2024-0{draw.randrange(1, 10)}-17T10:05:03{draw.choice(('', 'Z', '.5+02:00'))}",
        f"2024-0{draw.randrange(1, 10)}-17",
        str(draw.randrange(10**12)),
    ]


def csv_line(draw: random.Random) -> str:
    return ",".join(f'"{each}"' if draw.random() < 0.2 else each for each in values(draw))


def tsv_line(draw: random.Random) -> str:
    return "\t".join(values(draw))


def white_line(draw: random.Random) -> str:
    return draw.choice((" ", "  ", "\t")).join(each.replace(" ", "_") for each in values(draw))


def json_line(draw: random.Random) -> str:
    number, price, s, _, at, day, e = values(draw)
    return (
        f'{{"id":{number},"price":{price},"s":"{s}","ok":true,"at":"{at}","day":"{day}","e":{e}'
        f',"more":{{"x":[1,{price}]}}}}'
    )


def log_line(draw: random.Random) -> str:
    agent = draw.choice(("Mozilla/5.0 (X11)", "-", r"say \"hi\" \\", r"\x22"))
    return (
        f"10.0.0.{draw.randrange(256)} - - [17/May/2015:10:05:{draw.randrange(10, 60)} +0000]"
        f' "GET /p/{draw.randrange(99)} HTTP/1.1" 200 {draw.randrange(10**6)} "-" "{agent}"'
    )


LOG = Layout(
    "access_log",
    (
        *(Field("host", "string"), Field("time", "timestamp"), Field("method", "string")),
        *(Field("path", "string"), Field("protocol", "string"), Field("status", "long")),
        *(Field("bytes", "long"), Field("referrer", "string"), Field("agent", "string")),
    ),
    max_line=200,
)
NAMED = " ".join(NAMES).encode()
KINDS: dict[str, tuple[Layout, bytes | None, Callable[[random.Random], str]]] = {
    "access_log": (LOG, None, log_line),
    "csv": (Layout("csv", FIELDS, max_line=200), ",".join(NAMES).encode(), csv_line),
    "tsv": (Layout("csv", FIELDS, separator="\t", header=False, max_line=200), None, tsv_line),
    "whitespace": (
        Layout("whitespace", FIELDS, max_line=200),
        " ".join(NAMES).encode(),
        white_line,
    ),
    "ndjson": (Layout("ndjson", FIELDS, max_line=200, max_depth=3), None, json_line),
}


def broken(line: bytes, other: bytes, draw: random.Random) -> bytes:
    """A line with some of its bytes changed, put in, taken out, or from another line."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(line) + 1)
        kind = draw.randrange(5)
        if kind == 0 and at < len(line):
            line = line[:at] + bytes([line[at] ^ 1 << draw.randrange(8)]) + line[at + 1 :]
        elif kind == 1:
            line = line[:at] + draw.randbytes(draw.choice((1, 1, 3))) + line[at:]
        elif kind == 2:
            line = line[:at] + line[at + draw.choice((1, 1, 2, 9, 40)) :]
        elif kind == 3:
            line = line[:at] + other[draw.randrange(len(other)) :]
        else:
            line = line[:at] + draw.choice((b'"', b"\\", b"[", b"{", b" ", b",", b"\r")) + line[at:]
    return line


def blocks(make: Callable[[random.Random], str], seed: int, count: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    for _ in range(count // LINES):
        lines = [make(draw).encode() for _ in range(LINES)]
        others = draw.sample(lines, LINES)
        yield b"\n".join(broken(*pair, draw) for pair in zip(lines, others, strict=True))


def where(block: bytes, offset: int) -> list[int]:
    """Where each record of a block begins, told by nothing but the line ends."""
    found = []
    for line in block.split(b"\n"):
        if line.strip(b" \t\n\r\x0b\x0c"):
            found.append(offset)
        offset += len(line) + 1
    return found


def check(layout: Layout, header: bytes | None, block: bytes) -> tuple[int, int]:
    """Rows and rejects of a block, none of its records missing and none twice."""
    parsed = parse(block, layout, offset=7, header=header)
    parsed.rows.validate(full=True)
    parsed.rejects.validate(full=True)
    rows, rejects = parsed.rows["_offset"].to_pylist(), parsed.rejects["offset"].to_pylist()
    assert sorted(rows + rejects) == where(block, 7)
    assert (rows, rejects) == (sorted(rows), sorted(rejects))
    assert parsed.records == len(rows) + len(rejects)
    assert set(parsed.rejects["reason"].to_pylist()) <= set(REASONS)
    kept = zip(rejects, parsed.rejects["length"].to_pylist(), parsed.rejects["raw"], strict=True)
    for at, length, raw in kept:
        whole = block[at - 7 : at - 7 + length]
        assert raw.as_py() == whole[: layout.max_line]
    return len(rows), len(rejects)


def fuzz(kind: str, seed: int, count: int) -> None:
    layout, header, make = KINDS[kind]
    accepted = rejected = 0
    for block in blocks(make, seed, count):
        rows, rejects = check(layout, header, block)
        accepted, rejected = accepted + rows, rejected + rejects
    assert accepted + rejected > count * 0.9  # some are joined, some are cut in two
    assert min(accepted, rejected) > count * 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_broken_lines(kind: str) -> None:
    fuzz(kind, seed=1, count=10_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_broken_lines(kind: str) -> None:
    fuzz(kind, seed=2, count=1_000_000)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(block=st.binary(max_size=400))
def test_bytes_of_any_kind(kind: str, block: bytes) -> None:
    layout, header, _ = KINDS[kind]
    check(layout, header, block)


@pytest.mark.parametrize("encoding", ["utf-16-le", "gb18030", "shift_jis", "utf-32-be"])
@settings(max_examples=100, deadline=None)
@given(block=st.binary(max_size=200))
def test_bytes_of_any_kind_in_other_encodings(encoding: str, block: bytes) -> None:
    layout = Layout("csv", FIELDS, header=False, encoding=encoding, max_line=40)
    parsed = parse(block, layout, offset=0)
    parsed.rows.validate(full=True)
    assert parsed.records == parsed.rows.num_rows + parsed.rejects.num_rows
