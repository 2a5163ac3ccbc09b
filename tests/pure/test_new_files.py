"""New data files: what Delta is told of a file is what is in it, and a failure leaves no file."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline import new_files
from driftline.new_files import Target, Writer, encoded

SCHEMA = pa.schema(
    [
        ("at", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("name", pa.string()),
        ("batch", pa.string()),
    ]
)


def rows(*values: tuple) -> pa.RecordBatch:
    columns = zip(*values, strict=True) if values else [(), (), ()]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=False)],
        schema=pa.schema(list(SCHEMA)[:3]),
    )


def moment(micro: int) -> datetime:
    return datetime(2024, 2, 29, 23, 59, 59, micro, tzinfo=timezone.utc)


@pytest.fixture
def target(tmp_path) -> Target:
    return Target(str(tmp_path), SCHEMA, ("at", "day", "name", "batch"), {"batch": "b1"})


def test_what_delta_is_told_of_a_file(target, tmp_path) -> None:
    with Writer(target) as writer:
        writer.write(
            rows(
                (
                    moment(1_500),
                    date(2024, 2, 1),
                    "é",
                ),
                (None, None, "z"),
            )
        )
        writer.write(rows())
        writer.write(rows((moment(250), date(1969, 12, 31), None)), batch="b0")
        file = writer.finish()
    assert file.rows == 3
    assert file.size == (tmp_path / file.name).stat().st_size
    # Milliseconds are all that Delta keeps of a time: the range must be wide enough.
    assert file.statistics == {
        "numRecords": 3,
        "minValues": {
            "at": "2024-02-29T23:59:59.000Z",
            "day": "1969-12-31",
            "name": "z",
            "batch": "b0",
        },
        "maxValues": {
            "at": "2024-02-29T23:59:59.002Z",
            "day": "2024-02-01",
            "name": "é",
            "batch": "b1",
        },
        "nullCount": {"at": 1, "day": 1, "name": 1, "batch": 0},
    }
    table = pq.read_table(tmp_path / file.name)
    assert table.column("batch").to_pylist() == ["b1", "b1", "b0"]
    assert table.schema.field("at").type == SCHEMA.field("at").type


def test_a_range_that_is_too_long_or_not_there_is_left_out(target) -> None:
    with Writer(target) as writer:
        writer.write(rows((None, None, "n" * 33)))
        file = writer.finish()
    assert file.statistics["minValues"] == {"batch": "b1"} == file.statistics["maxValues"]


def test_no_rows_no_file(target, tmp_path) -> None:
    with Writer(target) as writer:
        writer.write(rows())
        assert writer.finish() is None
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(target, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(new_files, "_ROW_GROUP", 1)
    with pytest.raises(ZeroDivisionError), Writer(target) as writer:
        writer.write(rows((moment(0), date(2024, 2, 1), "a")))
        assert list(tmp_path.iterdir())
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_rows_are_held_up_to_a_row_group_only(target, tmp_path, monkeypatch) -> None:
    some = rows(*[(moment(0), date(2024, 2, 1), f"n{n}") for n in range(1_000)])
    monkeypatch.setattr(new_files, "_ROW_GROUP", 150_000)
    with Writer(target) as writer:
        for _ in range(20):
            writer.write(some)
            assert sum(each.nbytes for each in writer._held) < 150_000
        file = writer.finish()
    groups = pq.read_metadata(tmp_path / file.name)
    sizes = [groups.row_group(n).num_rows for n in range(groups.num_row_groups)]
    assert sum(sizes) == 20_000 and len(sizes) > 3


def test_rows_that_the_driver_holds(tmp_path) -> None:
    schema = pa.schema([("n", pa.int64()), ("m", pa.map_(pa.string(), pa.int64()))])
    content, file = encoded([(1, [("k", 2)]), (None, None)], schema)
    assert (file.rows, file.size) == (2, len(content))
    (tmp_path / file.name).write_bytes(content)
    assert pq.read_table(tmp_path / file.name).to_pylist() == [
        {"n": 1, "m": [("k", 2)]},
        {"n": None, "m": None},
    ]
