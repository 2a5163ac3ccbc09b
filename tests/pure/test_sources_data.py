"""Real files: what is in them is known, and nothing of it gets lost or changed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline import sources
from driftline.sources import Field, Layout, Parsed

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def read(name: str, layout: Layout, target: int = 1 << 26) -> Parsed:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the public data set {name} is not beside the repository")
    parsed = [
        block
        for split in sources.splits(str(path), path.stat().st_size, layout, target=target)
        for block in sources.read(split, layout)
    ]
    rows = pa.Table.from_batches([each.rows for each in parsed]).combine_chunks()
    rejects = pa.Table.from_batches([each.rejects for each in parsed]).combine_chunks()
    rows.validate(full=True)
    return Parsed(
        pa.RecordBatch.from_arrays(
            [column.combine_chunks() for column in rows.columns], schema=rows.schema
        ),
        rejects.to_batches()[0] if rejects.num_rows else parsed[0].rejects,
        sum(each.records for each in parsed),
    )


def total(column: pa.Array) -> float:
    return float(pc.sum(column).as_py())


@pytest.mark.parametrize("target", [1 << 26, 100_000], ids=["one split", "24 splits"])
def test_apache_log(target: int) -> None:
    names = ("host", "ident", "user", "method", "path", "protocol", "referrer", "agent")
    layout = Layout(
        "access_log",
        (
            *(Field(name, "string") for name in names),
            *(Field("status", "long"), Field("bytes", "long"), Field("time", "timestamp")),
        ),
    )
    got = read("weblogs/apache_combined.log", layout, target)
    assert (got.records, got.rows.num_rows, got.rejects.num_rows) == (10_000, 9_999, 1)
    # One line of the published file ends within its last quotes.
    (reject,) = got.rejects.to_pylist()
    assert (reject["offset"], reject["reason"]) == (2_111_246, "malformed")
    assert reject["raw"].count(b'"') == 5
    assert str(pc.min(got.rows["time"]).as_py()) == "2015-05-17 10:05:00+00:00"
    assert got.rows["method"].null_count == 0
    assert set(pc.unique(got.rows["method"]).to_pylist()) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert pc.sum(pc.equal(got.rows["status"], 404)).as_py() == 213


def test_online_retail() -> None:
    layout = Layout(
        "csv",
        (
            *(Field(name, "string") for name in ("InvoiceNo", "StockCode", "Description")),
            *(Field("Quantity", "long"), Field("InvoiceDate", "timestamp")),
            *(
                Field("UnitPrice", "double"),
                Field("CustomerID", "long"),
                Field("Country", "string"),
            ),
        ),
    )
    days = sorted((DATA / "online_retail/by_day").glob("*.csv"))
    if not days:
        pytest.skip("the public data set online_retail/by_day is not beside the repository")
    parsed = [read(f"online_retail/by_day/{day.name}", layout) for day in days]
    assert sum(each.rejects.num_rows for each in parsed) == 0
    rows = pa.Table.from_batches([each.rows for each in parsed])
    assert (len(days), rows.num_rows, sum(p.records for p in parsed)) == (305, 541_909, 541_909)
    assert rows["CustomerID"].null_count == 135_080
    assert rows["Description"].null_count == 1_454
    assert len(pc.unique(rows["CustomerID"].drop_null())) == 4_372
    assert len(pc.unique(rows["InvoiceNo"])) == 25_900
    assert pc.sum(pc.starts_with(rows["InvoiceNo"], "C")).as_py() == 9_288
    assert total(rows["Quantity"]) == 5_176_450
    assert total(pc.multiply(rows["Quantity"].cast("double"), rows["UnitPrice"])) == pytest.approx(
        9_747_747.934, abs=1e-3
    )
    assert rows["_rescued"].null_count == rows.num_rows


def test_cdnow() -> None:
    layout = Layout(
        "whitespace",
        (
            *(Field("customer", "long", "customer_id"), Field("day", "date", "date", "%Y%m%d")),
            *(Field("number", "long", "number_of_cds"), Field("value", "double", "dollar_value")),
        ),
    )
    got = read("cdnow/CDNOW_master.txt", layout)
    assert (got.records, got.rows.num_rows) == (69_659, 69_659)
    assert len(pc.unique(got.rows["customer"])) == 23_570
    assert str(pc.min(got.rows["day"])) == "1997-01-01"
    assert str(pc.max(got.rows["day"])) == "1998-06-30"


def test_nasa_log_as_tsv() -> None:
    layout = Layout(
        "csv",
        (
            *(Field("host", "string"), Field("at", "timestamp", "time", "epoch_s")),
            *(Field("url", "string"), Field("response", "long"), Field("bytes", "long")),
        ),
        separator="\t",
    )
    # Each record has two empty fields more than the header.
    got = read("weblogs/nasa_19950701.tsv", layout)
    assert (got.records, got.rows.num_rows) == (9_999, 9_999)
    assert str(got.rows["at"][0].as_py()) == "1995-07-01 04:00:01+00:00"
    assert got.rows["_rescued"][0].as_py() == '{"logname":"-","method":"GET"}'


@pytest.mark.parametrize(
    ("month", "surcharge", "passengers", "none"),
    [("2018-01", 10_000, 0, None), ("2019-01", 6_327, 0, 0), ("2019-02", 0, 0, 1_579),
     ("2020-04", 0, 803, None)],
)  # fmt: skip
def test_taxi_trips(month: str, surcharge: int, passengers: int, none: int | None) -> None:
    layout = Layout(
        "csv",
        (
            *(Field("pickup", "timestamp", "pickup_datetime"), Field("flag", "boolean", FLAG)),
            *(Field("passenger_count", "long"), Field("congestion_surcharge", "double")),
        ),
    )
    got = read(f"nyc_taxi/yellow_tripdata_sample_{month}.csv", layout)
    assert (got.records, got.rows.num_rows) == (10_000, 10_000)
    assert got.rows["congestion_surcharge"].null_count == surcharge
    assert got.rows["passenger_count"].null_count == passengers
    if none is not None:
        assert pc.sum(pc.equal(got.rows["passenger_count"], 0)).as_py() == none


FLAG = "store_and_fwd_flag"
