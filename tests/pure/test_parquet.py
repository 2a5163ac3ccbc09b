"""Parquet files: rows by number, types by the layout, every row accepted or rejected once."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.sources import Fault, Field, Layout, Parsed, Split, read, splits

UTC = dt.timezone.utc
ONE = Layout("parquet", (Field("n", "long"),))


def read_all(path: Path, layout: Layout, target: int = 1 << 26, block: int = 1 << 20) -> Parsed:
    found = [
        parsed
        for split in splits(str(path), path.stat().st_size, layout, target=target)
        for parsed in read(split, layout, block_size=block)
    ]
    for each in found:
        each.rows.validate(full=True)
        each.rejects.validate(full=True)
        assert each.records == each.rows.num_rows + each.rejects.num_rows
    rows = pa.Table.from_batches([each.rows for each in found], layout.schema)
    rejects = pa.Table.from_batches([each.rejects for each in found])
    return Parsed(rows, rejects, sum(each.records for each in found))


def written(folder: Path, columns: dict[str, pa.Array], **options: Any) -> Path:
    path = folder / "x.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_rows_are_numbered_through_the_row_groups_however_they_are_cut(tmp_path: Path) -> None:
    numbers = pa.array(random.Random(3).sample(range(10**9), 10_000))
    path = written(tmp_path, {"n": numbers}, row_group_size=700)
    for target in (3_000, 20_000, 1 << 26):
        for block in (100, 900, 1 << 20):
            got = read_all(path, ONE, target, block)
            assert got.rows["n"].to_pylist() == numbers.to_pylist()
            assert got.rows["_offset"].to_pylist() == list(range(10_000))
    assert len(splits(str(path), path.stat().st_size, ONE, target=20_000)) > 2


def test_a_row_with_a_value_that_does_not_fit_is_kept_as_json(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "a": pa.array([1.0, 2.5, None, 4.0]),
            "b": pa.array(["1", "2", "x", "7"]),
            "at": pa.array([0, 1, 2, None], pa.timestamp("ms")),
        },
    )
    layout = Layout("parquet", (Field("b", "double"), Field("a", "long"), Field("gone", "date")))
    got = read_all(path, layout)
    assert got.rows.to_pylist() == [
        {"b": 1.0, "a": 1, "gone": None, "_offset": 0}
        | {"_rescued": '{"at":"1970-01-01 00:00:00.000000"}'},
        {"b": 7.0, "a": 4, "gone": None, "_rescued": None, "_offset": 3},
    ]
    raw = [
        b'{"a":2.5,"b":"2","at":"1970-01-01 00:00:00.001000"}',
        b'{"b":"x","at":"1970-01-01 00:00:00.002000"}',
    ]
    assert got.rejects.to_pylist() == [
        {"offset": 1, "length": len(raw[0]), "reason": "bad_value", "column": "a", "raw": raw[0]},
        {"offset": 2, "length": len(raw[1]), "reason": "bad_value", "column": "b", "raw": raw[1]},
    ]


BAD = "bad_value"
DATES = (pa.date32(), pa.date64())
MIDNIGHT = dt.datetime(2010, 12, 1, tzinfo=UTC)
TEN = dt.datetime(2010, 12, 1, 10, tzinfo=UTC)
NANOS = pa.scalar(1_291_197_600_000_000_999, pa.timestamp("ns"))


@pytest.mark.parametrize(
    ("value", "arrow", "type_", "expected"),
    [
        *(
            (5, pa.int8(), "long", 5),
            (5, pa.int32(), "double", 5.0),
            (5, pa.int16(), "string", "5"),
        ),
        *((1, pa.int32(), "boolean", True), (2, pa.int32(), "boolean", BAD)),
        *((2**63, pa.uint64(), "long", BAD), (2**63, pa.uint64(), "string", str(2**63))),
        *((5.0, pa.float32(), "long", 5), (5.5, pa.float64(), "long", BAD)),
        *((2.0**53, pa.float64(), "long", BAD), (17850.0, pa.float64(), "string", "17850")),
        *((float("nan"), pa.float64(), "double", BAD), (float("inf"), pa.float64(), "long", BAD)),
        *((Decimal("12.50"), pa.decimal128(9, 2), "double", 12.5),),
        *((Decimal("12.00"), pa.decimal128(9, 2), "long", 12),),
        *((Decimal("12.50"), pa.decimal128(9, 2), "long", BAD),),
        *((Decimal("12.50"), pa.decimal128(9, 2), "string", "12.50"),),
        *((True, pa.bool_(), "boolean", True), (True, pa.bool_(), "long", BAD)),
        *(("17850.0", pa.string(), "long", 17850), ("", pa.string(), "long", BAD)),
        *(("T", pa.large_string(), "boolean", True), (b"5", pa.binary(), "long", 5)),
        *((b"\xff", pa.binary(), "string", BAD), (b"ab", pa.binary(2), "string", "ab")),
        *((TEN, pa.timestamp("s"), "timestamp", TEN), (TEN, pa.timestamp("ms"), "date", BAD)),
        (TEN, pa.timestamp("us", tz="Europe/Berlin"), "timestamp", TEN),
        (TEN, pa.timestamp("us"), "string", "2010-12-01 10:00:00.000000"),
        (TEN, pa.timestamp("us"), "long", BAD),
        (MIDNIGHT, pa.timestamp("ns"), "date", dt.date(2010, 12, 1)),
        (dt.date(2010, 12, 1), pa.date32(), "timestamp", MIDNIGHT),
        *((dt.date(2010, 12, 1), each, "date", dt.date(2010, 12, 1)) for each in DATES),
        (dt.date(2010, 12, 1), pa.date64(), "string", "2010-12-01"),
        (2**31 - 1, pa.date32(), "date", BAD),
        (2**31 - 1, pa.date32(), "string", "out of range 2147483647"),
        (10**18, pa.timestamp("ms"), "timestamp", BAD),
        ("2010-12-01T10:00:00Z", pa.string(), "timestamp", TEN),
        (NANOS, pa.timestamp("ns"), "timestamp", TEN),
        ([1, 2], pa.list_(pa.int32()), "string", "[1,2]"),
        ({"x": 1.5, "y": None}, pa.struct({"x": pa.float64(), "y": pa.null()}), "string", None),
        ([1], pa.list_(pa.int32()), "long", BAD),
        (dt.time(1, 2, 3), pa.time64("us"), "string", "01:02:03.000000"),
    ],
)
def test_a_value_is_what_its_text_would_be(
    tmp_path: Path, value: Any, arrow: pa.DataType, type_: Any, expected: Any
) -> None:
    if type_ == "string" and expected is None:
        expected = json.dumps(value, separators=(",", ":"))
    column = pa.array([None, value], arrow)
    path = written(tmp_path, {"n": column}, store_schema=False)
    got = read_all(path, Layout("parquet", (Field("n", type_),)))
    assert got.rows["n"][0].as_py() is None
    assert [*got.rows["n"].to_pylist()[1:], *got.rejects["reason"].to_pylist()] == [expected]


def test_times_by_number_and_in_the_old_form(tmp_path: Path) -> None:
    at = dt.datetime(1200, 5, 17, 10, 5, 3, 123_456)
    path = written(
        tmp_path,
        {"old": pa.array([at], pa.timestamp("us")), "ms": pa.array([1_431_857_103_123])},
        use_deprecated_int96_timestamps=True,
    )
    assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
    layout = Layout(
        "parquet", (Field("old", "timestamp"), Field("ms", "timestamp", format="epoch_ms"))
    )
    (row,) = read_all(path, layout).rows.to_pylist()
    assert row["old"] == at.replace(tzinfo=UTC)
    assert row["ms"] == dt.datetime(2015, 5, 17, 10, 5, 3, 123_000, tzinfo=UTC)


def test_a_column_that_stands_there_twice_counts_the_second_time_as_another(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"]), path)
    (row,) = read_all(path, ONE).rows.to_pylist()
    assert (row["n"], row["_rescued"]) == (1, '{"n_2":2}')


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    path = written(tmp_path, {"n": pa.array([], pa.int64())})
    (split,) = splits(str(path), path.stat().st_size, ONE)
    assert sum(parsed.records for parsed in read(split, ONE)) == 0


def fault(path: Path, layout: Layout = ONE) -> str:
    with pytest.raises(Fault) as caught:
        for split in splits(str(path), path.stat().st_size, layout):
            for _ in read(split, layout):
                pass
    assert caught.value.path == str(path)
    return caught.value.reason


def test_what_is_no_parquet_is_a_fault_and_so_is_a_damaged_file(tmp_path: Path) -> None:
    numbers = pa.array(random.Random(3).sample(range(10**9), 5_000))
    whole = written(tmp_path, {"n": numbers}, write_page_checksum=True).read_bytes()
    path = tmp_path / "y"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    wrong = b"PAR2" + whole[4:-4] + b"PAR2"
    cut = [whole[:size] for size in (0, 1, 8, len(whole) // 2, len(whole) - 1)]
    for content in (*cut, b"n\n1\n", bytes(flipped), wrong):
        path.write_bytes(content)
        assert fault(path) == "corrupt"


def test_a_file_of_other_columns_is_a_fault(tmp_path: Path) -> None:
    assert fault(written(tmp_path, {"m": pa.array([1])})) == "header"


def test_a_file_that_grows_too_much_is_a_fault(tmp_path: Path) -> None:
    texts = pa.array(["x" * (1 << 20)] * 80)
    path = written(tmp_path, {"n": texts}, compression="zstd", use_dictionary=False)
    assert fault(path) == "expansion"


def test_a_missing_file_is_the_disks_affair(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read(Split(str(tmp_path / "gone"), 0, 1), ONE))


def test_damaged_bytes_never_crash(tmp_path: Path) -> None:
    """Any byte of a small file changed: rows, rejects or a Fault."""
    columns = {"n": pa.array([1, 2, None]), "s": pa.array(["a", "b", "c"])}
    whole = written(tmp_path, columns).read_bytes()
    layout = Layout("parquet", (Field("n", "long"), Field("s", "string")))
    path = tmp_path / "y"
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            got = read_all(path, layout)
        except Fault:
            continue
        assert got.records == got.rows.num_rows + got.rejects.num_rows
