"""Compressed files: the whole content or a Fault, never a part of it as if it were all."""

from __future__ import annotations

import bz2
import gzip
import pickle
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.sources import Fault, Field, Layout, Split, read, splits
from driftline.sources.compression import FREE

LAYOUT = Layout("csv", (Field("a", "long"), Field("b", "string")), header=False)


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}
KINDS = pytest.mark.parametrize("kind", PACK)


def values(path: Path, content: bytes, block_size: int = 1 << 20) -> list[int]:
    path.write_bytes(content)
    found: list[int] = []
    for split in splits(str(path), len(content), LAYOUT):
        for parsed in read(split, LAYOUT, block_size=block_size):
            assert parsed.rejects.num_rows == 0
            found += parsed.rows["a"].to_pylist()
    return found


def content(count: int) -> bytes:
    draw = random.Random(5)
    return b"".join(b"%d,%d\n" % (n, draw.randrange(10**9)) for n in range(count))


@KINDS
def test_a_compressed_file_is_one_split_with_the_content_of_the_plain_one(
    tmp_path: Path, kind: str
) -> None:
    packed = PACK[kind](content(50_000))
    for block_size in (1_000, 1 << 20):
        assert values(tmp_path / "x", packed, block_size) == list(range(50_000))
    assert splits(str(tmp_path / "x"), len(packed), LAYOUT, target=10) == [
        Split(str(tmp_path / "x"), 0, len(packed))
    ]


@KINDS
def test_several_members_are_one_content(tmp_path: Path, kind: str) -> None:
    pack = PACK[kind]
    members = pack(b"1,x\n2,") + pack(b"") + pack(b"y\n3,z")
    assert values(tmp_path / "x", members) == [1, 2, 3]
    assert values(tmp_path / "x", members, 1) == [1, 2, 3]
    assert values(tmp_path / "x", pack(b"") + pack(b"")) == []


@pytest.mark.parametrize("kind", ["gzip", "bzip2"])
def test_zeros_behind_the_last_member_are_padding(tmp_path: Path, kind: str) -> None:
    for size in (1, 512, 1 << 21):
        assert values(tmp_path / "x", PACK[kind](b"1,x\n") + bytes(size)) == [1]


def test_zstd_frames_to_be_skipped_are_skipped(tmp_path: Path) -> None:
    skip = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    assert values(tmp_path / "x", skip + zstd(b"1,x\n2,") + skip + zstd(b"y\n") + skip) == [1, 2]


@KINDS
def test_a_damaged_file_is_a_fault_wherever_it_is_cut_or_damaged(tmp_path: Path, kind: str) -> None:
    packed = PACK[kind](content(2_000))
    least = {"gzip": 3, "bzip2": 10, "zstd": 4}[kind]
    cut = [packed[:size] for size in (*range(least, 60), *range(60, len(packed), 97))]
    cut += [packed[:-1], packed[:-4], packed[:-8], packed + packed[:-1], packed + packed[:3]]
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    # Of damage within, zstd's own checksum tells, which Arrow does not write; see below.
    within = [bytes(flipped)] if kind != "zstd" else []
    for damaged in (*cut, packed + b"garbage", packed + b"\0garbage", *within):
        with pytest.raises(Fault) as caught:
            values(tmp_path / "x", damaged)
        assert (caught.value.path, caught.value.reason) == (str(tmp_path / "x"), "corrupt")
        assert "damaged or cut off after" in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.path, again.reason) == (caught.value.path, "corrupt")
        assert str(again) == str(caught.value)


@KINDS
def test_what_came_before_the_damage_are_whole_records(tmp_path: Path, kind: str) -> None:
    packed = PACK[kind](content(400_000))
    path = tmp_path / "x"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found: list[int] = []
    with pytest.raises(Fault):
        for parsed in read(Split(str(path), 0, 1), LAYOUT, block_size=1 << 16):
            assert parsed.rejects.num_rows == 0
            found += parsed.rows["a"].to_pylist()
    assert found == list(range(len(found))) and len(found) > 100_000


@pytest.mark.parametrize(
    "text", [b"BZh", b"BZh9", b"BZh9,x", b"BZhang,y", b"\x1f\x8b", b"(\xb5", b"P*M"]
)
def test_a_text_that_begins_a_little_like_a_compressed_file_is_text(
    tmp_path: Path, text: bytes
) -> None:
    layout = Layout("csv", (Field("a", "string"), Field("b", "string")), header=False)
    path = tmp_path / "x.gz"
    path.write_bytes(text)
    (parsed,) = read(Split(str(path), 0, len(text)), layout)
    assert parsed.records == 1


def test_the_checksum_of_a_zstd_frame_is_looked_at(tmp_path: Path) -> None:
    frame = bytes.fromhex("28b52ffd0458410000312c780a322c790ab3916331")
    assert values(tmp_path / "x", frame) == [1, 2]
    for at in range(9, len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 1
        with pytest.raises(Fault):
            values(tmp_path / "x", bytes(damaged))


@KINDS
def test_a_bomb_is_a_fault_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    """A file of some kB that would become 80 MiB, all of it one line."""
    path = tmp_path / "x"
    path.write_bytes(PACK[kind](b"0" * (10 << 20)) * 8)
    tracemalloc.start()
    with pytest.raises(Fault) as caught:
        for _ in read(Split(str(path), 0, 1), LAYOUT, block_size=1 << 20):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (caught.value.reason, peak < 12_000_000) == ("expansion", True)
    generous = Layout("csv", LAYOUT.fields, header=False, max_expansion=1_000_000)
    (parsed,) = read(Split(str(path), 0, 1), generous)
    assert parsed.rejects["length"].to_pylist() == [80 << 20]


def test_a_small_file_may_expand_as_it_likes(tmp_path: Path) -> None:
    line = b"1," + b"x" * 1_000 + b"\n"
    packed = gzip.compress(line * (FREE // len(line)))
    assert FREE / len(packed) > 200
    assert len(values(tmp_path / "x", packed)) == FREE // len(line)
