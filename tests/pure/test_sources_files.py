"""Files → splits → blocks: every byte of a file is in one block, every record in one split."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import random
import tracemalloc
from pathlib import Path

import pytest

from driftline.sources import (
    CorruptFile,
    Field,
    Layout,
    Parsed,
    Split,
    blocks,
    digest,
    header,
    parse,
    splits,
)

NAMED = Layout("csv", (Field("a", "long"), Field("b", "string")), max_line=60)


def write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def read_all(path: str, layout: Layout, target: int, block_size: int) -> list[Parsed]:
    first = header(path, layout)
    return [
        parse(block, layout, offset=offset, header=first)
        for split in splits(path, Path(path).stat().st_size, target=target)
        for offset, block in blocks(
            split, block_size=block_size, max_line=layout.max_line, encoding=layout.encoding
        )
    ]


def together(parsed: list[Parsed]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    rows = [row for each in parsed for row in each.rows.to_pylist()]
    rejects = [row for each in parsed for row in each.rejects.to_pylist()]
    return rows, rejects


def sample(draw: random.Random, encoding: str, end: str) -> tuple[bytes, int]:
    """A file's bytes and its number of records, some of them too long, malformed or blank."""
    lines, records = ["a,b"], 0
    for _ in range(draw.randrange(30)):
        line = draw.choice(("1,x", "22,yy", "x,y", "3", "", " ", '4,"', "5," + "é" * 9, "6,Ċ਀Ā਀Ċ"))
        if draw.random() < 0.2:
            line = "7," + "z" * draw.choice((40, 58, 59, 60, 61, 200, 900))
            line += draw.choice(("", "\r", "\rzzz"))
        records += bool(line.strip())
        lines.append(line)
    text = end.join(lines) + draw.choice(("", end))
    return text.encode(encoding, "replace"), records


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_how_a_file_is_cut_does_not_matter(tmp_path: Path, encoding: str, end: str) -> None:
    draw = random.Random(f"{encoding}{end}")
    layout = Layout(NAMED.format, NAMED.fields, encoding=encoding, max_line=60 * 4)
    if encoding in ("utf-8", "latin-1"):
        layout = Layout(NAMED.format, NAMED.fields, encoding=encoding, max_line=60)
    for number in range(5):
        content, records = sample(draw, encoding, end)
        path = write(tmp_path, f"{number}.csv", content)
        whole = together(read_all(path, layout, 1 << 20, 1 << 20))
        assert len(whole[0]) + len(whole[1]) == records
        packed = write(tmp_path, f"{number}.gz", gzip.compress(content))
        for target, block_size in ((1, 1), (3, 16), (16, 3), (64, 7), (1 << 20, 40)):
            for each in (path, packed):
                parsed = read_all(each, layout, target, block_size)
                assert together(parsed) == whole
                assert sum(part.records for part in parsed) == records


def test_blocks_hold_whole_records_and_know_where_they_are(tmp_path: Path) -> None:
    content = b"one\ntwo\r\n\nthree"
    path = write(tmp_path, "x", content)
    assert list(blocks(Split(path, 0, len(content)))) == [(0, content)]
    assert list(blocks(Split(path, 0, 4))) == [(0, b"one\n")]
    assert list(blocks(Split(path, 1, 4))) == [(4, b"two\r\n")]
    assert list(blocks(Split(path, 5, 4))) == []
    assert list(blocks(Split(path, 10, 5))) == [(10, b"three")]


def test_splits_cover_a_file_once(tmp_path: Path) -> None:
    path = write(tmp_path, "x", b"x" * 100)
    found = splits(path, 100, target=30)
    assert found == [
        Split(path, 0, 32),
        Split(path, 32, 32),
        Split(path, 64, 32),
        Split(path, 96, 4),
    ]
    packed = write(tmp_path, "x.gz", gzip.compress(b"x" * 100))
    assert splits(packed, 25, target=3) == [Split(packed, 0, 25)]
    assert splits(write(tmp_path, "empty", b""), 0) == []


def test_a_split_survives_being_sent(tmp_path: Path) -> None:
    split = Split("x", 1, 2)
    assert pickle.loads(pickle.dumps(split)) == split
    assert pickle.loads(pickle.dumps(NAMED)) == NAMED


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16-le"):
        layout = Layout("csv", NAMED.fields, encoding=encoding)
        path = write(tmp_path, "x", "\ufeffa,b\n1,x\n".encode(encoding))
        (parsed,) = read_all(path, layout, 1 << 20, 1 << 20)
        assert parsed.rows.to_pylist()[0]["a"] == 1
    lines = Layout("whitespace", (Field("n", "long"),), header=False)
    (parsed,) = read_all(write(tmp_path, "y", b"\xef\xbb\xbf7\n8\n"), lines, 1 << 20, 1 << 20)
    assert parsed.rows["n"].to_pylist() == [7, 8]
    assert parsed.rows["_offset"].to_pylist() == [3, 5]


def test_a_gzip_file_may_have_several_members_and_padding(tmp_path: Path) -> None:
    members = gzip.compress(b"a,b\n1,x\n2,") + gzip.compress(b"") + gzip.compress(b"y\n3,z")
    for padding in (b"", b"\0" * 512, b"\0" * (1 << 21)):
        path = write(tmp_path, "x", members + padding)
        (parsed,) = read_all(path, NAMED, 1 << 20, 1 << 20)[-1:]
        assert [b for _, b in blocks(Split(path, 0, 1))] and parsed.rejects.num_rows == 0
        rows, _ = together(read_all(path, NAMED, 1, 1))
        assert [(row["a"], row["b"], row["_offset"]) for row in rows] == [
            (1, "x", 4),
            (2, "y", 8),
            (3, "z", 12),
        ]


def test_a_damaged_gzip_file_is_told_by_name_after_what_was_whole(tmp_path: Path) -> None:
    draw = random.Random(5)
    lines = [b"%d,%d\n" % (n, draw.randrange(10**9)) for n in range(200_000)]
    packed = gzip.compress(b"".join(lines))
    flipped = bytearray(packed)
    flipped[len(flipped) // 2 : len(flipped) // 2 + 40] = b"\xff" * 40
    wrong_sum = packed[:-8] + bytes(4) + packed[-4:]
    cut = [packed[: len(packed) * 2 // 3], packed[:-1], packed[:-8], packed[:5]]
    for content in (*cut, bytes(flipped), wrong_sum, packed + b"garbage"):
        path = write(tmp_path, "x.gz", content)
        got = b""
        with pytest.raises(CorruptFile) as caught:
            for offset, block in blocks(Split(path, 0, len(content)), block_size=1 << 16):
                assert offset == len(got)
                got += block
        assert not got or got.endswith(b"\n")
        # Of flipped bits, the checksum behind the content is the first to know.
        assert content == bytes(flipped) or b"".join(lines).startswith(got)
        assert caught.value.path == path
        assert len(got) <= caught.value.offset <= sum(map(len, lines))
        assert "damaged or cut off" in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.path, again.offset) == (path, caught.value.offset)


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_end_is_rejected_in_bounded_memory(tmp_path: Path, packed: bool) -> None:
    layout = Layout("ndjson", (Field("a", "long"),), max_line=100_000)
    content = b'{"a":1}\n' + b"x" * 60_000_000 + b'\n{"a":2}\n'
    path = write(tmp_path, "x", gzip.compress(content, 1) if packed else content)
    (split,) = splits(path, Path(path).stat().st_size)
    rows, rejects = [], []
    tracemalloc.start()
    for offset, block in blocks(split, block_size=1 << 20, max_line=layout.max_line):
        parsed = parse(block, layout, offset=offset)
        rows += parsed.rows.to_pylist()
        rejects += parsed.rejects.to_pylist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row["a"], row["_offset"]) for row in rows] == [(1, 0), (2, 60_000_009)]
    assert [(row["offset"], row["reason"], row["raw"]) for row in rejects] == [
        (8, "too_long", b"x" * 4_096)
    ]
    tracemalloc.start()
    first = list(blocks(Split(path, 0, 12), block_size=1 << 20, max_line=layout.max_line))
    peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert packed or b"".join(block for _, block in first) == content[: 8 + 100_003] + b"\n"
    assert peak < 12_000_000


def test_a_header_is_read_once_and_no_further_than_needed(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfa,b\r\n" + b"1,2\n" * 100_000
    path = write(tmp_path, "x", content)
    assert header(path, NAMED) == b"\xef\xbb\xbfa,b\r"
    assert header(write(tmp_path, "y", gzip.compress(content)), NAMED) == b"\xef\xbb\xbfa,b\r"
    assert header(write(tmp_path, "z", b"a,b"), NAMED) == b"a,b"
    assert header(path, Layout("csv", NAMED.fields, header=False)) is None


def test_digest(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    path = write(tmp_path, "x", content)
    assert digest(path) == (3_000_000, hashlib.sha256(content).hexdigest())
