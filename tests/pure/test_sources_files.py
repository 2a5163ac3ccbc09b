"""Files → splits → blocks: every byte of a file is in one block, every record in one split."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import pickle
import random
import tracemalloc
from pathlib import Path

import pytest

from driftline import sources
from driftline.sources import (
    Fault,
    Field,
    Layout,
    Parsed,
    Split,
    digest,
    read,
    record,
    splits,
)
from driftline.sources.files import Block, blocks, header

NAMED = Layout("csv", (Field("a", "long"), Field("b", "string")), max_line=60)


def write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def read_all(path: str, layout: Layout, target: int, block_size: int) -> list[Parsed]:
    return [
        parsed
        for split in splits(path, Path(path).stat().st_size, layout, target=target)
        for parsed in read(split, layout, block_size=block_size)
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

    def cut(start: int, length: int) -> list[Block]:
        return list(blocks(Split(path, start, length), NAMED, block_size=1 << 20))

    assert cut(0, len(content)) == [(0, content, None)]
    assert cut(0, 4) == [(0, b"one\n", None)]
    assert cut(1, 4) == [(4, b"two\r\n", None)]
    assert cut(5, 4) == []
    assert cut(10, 5) == [(10, b"three", None)]


def test_splits_cover_a_file_once(tmp_path: Path) -> None:
    path = write(tmp_path, "x", b"x" * 100)
    found = splits(path, 100, NAMED, target=30)
    assert found == [
        Split(path, 0, 32),
        Split(path, 32, 32),
        Split(path, 64, 32),
        Split(path, 96, 4),
    ]
    packed = write(tmp_path, "x.gz", gzip.compress(b"x" * 100))
    assert splits(packed, 25, NAMED, target=3) == [Split(packed, 0, 25)]
    assert splits(write(tmp_path, "empty", b""), 0, NAMED) == []


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
        assert parsed.rejects.num_rows == 0
        rows, _ = together(read_all(path, NAMED, 1, 1))
        assert [(row["a"], row["b"], row["_offset"]) for row in rows] == [
            (1, "x", 4),
            (2, "y", 8),
            (3, "z", 12),
        ]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_end_is_rejected_in_bounded_memory(tmp_path: Path, packed: bool) -> None:
    layout = Layout("ndjson", (Field("a", "long"),), max_line=100_000)
    content = b'{"a":1}\n' + b"x" * 60_000_000 + b'\r\n{"a":2}\n'
    path = write(tmp_path, "x", gzip.compress(content, 1) if packed else content)
    (split,) = splits(path, Path(path).stat().st_size, layout)
    rows, rejects = [], []
    tracemalloc.start()
    for parsed in read(split, layout, block_size=1 << 20):
        rows += parsed.rows.to_pylist()
        rejects += parsed.rejects.to_pylist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row["a"], row["_offset"]) for row in rows] == [(1, 0), (2, 60_000_010)]
    assert rejects == [
        {"offset": 8, "length": 60_000_000, "reason": "too_long", "column": None}
        | {"raw": b"x" * 4_096}
    ]
    tracemalloc.start()
    first = list(blocks(Split(path, 0, 12), layout, block_size=1 << 20))
    peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert packed or [tuple(block) for block in first] == [
        (0, content[:8], None),
        (8, b"x" * 100_003, 60_000_000),
    ]
    assert peak < 12_000_000


def test_a_reject_can_be_read_again_in_full(tmp_path: Path) -> None:
    lines = [b"1,x", b"2," + b"y" * 500 + b"\r", b"x,z", b"3," + b"w" * 900]
    content = b"a,b\n" + b"\n".join(lines)
    for each in (content, gzip.compress(content), bz2.compress(content)):
        path = write(tmp_path, "x", each)
        for block_size in (16, 1 << 20):
            _, rejects = together(read_all(path, NAMED, 1 << 20, block_size))
            again = [record(path, reject["offset"], reject["length"]) for reject in rejects]
            assert again == [lines[1][:-1], lines[2], lines[3]]
            assert [len(reject["raw"]) for reject in rejects] == [60, 3, 60]
        with pytest.raises(ValueError, match="ends before the record at 8"):
            record(path, 8, len(content))
        with pytest.raises(ValueError, match="ends before"):
            record(path, 10_000, 1)


def test_a_line_that_begins_with_much_white_space_is_a_record(tmp_path: Path) -> None:
    blank, line = b" " * 5_000 + b"\n", b" " * 5_000 + b"x\n"
    path = write(tmp_path, "x", b"a,b\n" + blank + line + blank[:-1])
    for block_size in (16, 1 << 20):
        rows, rejects = together(read_all(path, NAMED, 1 << 20, block_size))
        assert (rows, [(r["offset"], r["length"]) for r in rejects]) == ([], [(5_005, 5_001)])


def test_a_header_that_is_none_keeps_the_file_out(tmp_path: Path) -> None:
    for content in (b"x,y\n1,2\n", b"x,y\n", b"\xff,b\n1,2\n", b"a" * 100 + b",b\n1,2\n"):
        path = write(tmp_path, "x", content)
        for block_size in (16, 1 << 20):
            with pytest.raises(Fault, match="the header line") as caught:
                read_all(path, NAMED, 1 << 20, block_size)
            assert (caught.value.path, caught.value.reason) == (path, "header")
    assert together(read_all(write(tmp_path, "x", b"\n \n"), NAMED, 1, 1)) == ([], [])


def test_formats_of_lines_alone_can_parse_a_block() -> None:
    layout = Layout("parquet", (Field("a", "long"),))
    with pytest.raises(ValueError, match="not one of lines"):
        sources.parse(b"", layout, offset=0)


def test_a_header_is_read_once_and_no_further_than_needed(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfa,b\r\n" + b"1,2\n" * 100_000
    path = write(tmp_path, "x", content)
    assert header(path, NAMED) == b"\xef\xbb\xbfa,b\r"
    assert header(write(tmp_path, "y", gzip.compress(content)), NAMED) == b"\xef\xbb\xbfa,b\r"
    assert header(write(tmp_path, "z", b"a,b"), NAMED) == b"a,b"


def test_digest(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    path = write(tmp_path, "x", content)
    assert digest(path) == (3_000_000, hashlib.sha256(content).hexdigest())
