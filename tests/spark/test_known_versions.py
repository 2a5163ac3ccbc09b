"""Public data as table versions: what happened is found from profiles, when the data are gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline.jobs import drift, profile, profiling, sides
from driftline.jobs.sides import Asked
from driftline.problem import load_problem

pytestmark = pytest.mark.slow

TRIPS = """vendor_id int, pickup_datetime timestamp, dropoff_datetime timestamp,
 passenger_count int, trip_distance double, rate_code_id int, store_and_fwd_flag string,
 pickup_location_id int, dropoff_location_id int, payment_type int, fare_amount double,
 extra double, mta_tax double, tip_amount double, tolls_amount double,
 improvement_surcharge double, total_amount double, congestion_surcharge double"""
TIMES = {"pickup_datetime", "dropoff_datetime"}


@pytest.fixture(scope="module")
def line(open_line, tmp_path_factory, repository):
    warehouse = tmp_path_factory.mktemp("known")
    problem = load_problem(repository / "conf" / "churn.yaml")
    return open_line(problem, data=warehouse, warehouse=warehouse)


def remove_data(folder: str) -> None:
    for file in Path(folder).glob("*.parquet"):
        file.unlink()


def test_thirty_months_of_taxis(spark, line, tmp_path, public_data: Callable[[str], Path]) -> None:
    files = sorted((public_data("nyc_taxi") / "nyc_taxi").glob("*.csv"))
    months = [file.stem[-7:] for file in files]
    folder = str(tmp_path / "trips")
    for file in files:
        rows = spark.read.csv(str(file), header=True, schema=TRIPS)
        rows.coalesce(1).write.format("delta").mode("overwrite").save(folder)
    said = profile.run(line, table=folder, history=True)
    assert said == f"{folder}: 30 of 30 files have a profile"
    remove_data(folder)

    found: dict[str, set[str]] = {}
    for number in range(1, 30):
        pair = sides.pair(line, folder, Asked(str(number - 1), str(number)))
        with line.ledger.run("drift") as ledger:
            wanted = [pair.reference.wanted, pair.current.wanted]
            known = profiling.profiles(line, ledger, wanted)
        statistics, _ = drift.compared(line, pair, known)
        found[months[number]] = {each.column for each in statistics if each.drifted} - TIMES
    calm = {month for month, columns in found.items() if not columns}
    assert calm == {
        *(f"2018-{month:02}" for month in range(2, 13)),
        *(f"2019-{month:02}" for month in range(5, 13)),
        *("2020-01", "2020-02", "2020-03"),
    }
    assert found["2019-01"] == {"congestion_surcharge"}
    assert found["2019-02"] == found["2019-01"] | {
        *("passenger_count", "extra", "total_amount", "tip_amount")
    }
    assert found["2019-03"] == {"passenger_count"}
    assert found["2019-04"] == {"tolls_amount"}
    unfilled = {"vendor_id", "passenger_count", "rate_code_id", "store_and_fwd_flag"}
    unfilled |= {"payment_type"}  # all five null on the same trips
    assert found["2020-05"] == unfilled
    assert found["2020-06"] == unfilled | {"pickup_datetime:weekday", "dropoff_datetime:weekday"}
    places = {f"{what}_location_id" for what in ("pickup", "dropoff")}
    hours = {f"{what}_datetime:hour" for what in ("pickup", "dropoff")}
    amounts = {"congestion_surcharge", "extra", "tip_amount", "total_amount"}
    assert found["2020-04"] == unfilled | places | hours | amounts
    said = drift.run(line, table=folder, asked=Asked("12", "13"))
    assert f"{folder} 12 → 13 (whole): " in said


def test_a_year_of_a_shop(spark, line, tmp_path, public_data: Callable[[str], Path]) -> None:
    """The merge of 13 monthly commits says what is known of all 541,909 lines."""
    days = sorted((public_data("online_retail") / "online_retail" / "by_day").glob("*.csv"))
    folder = str(tmp_path / "lines")
    ddl = """InvoiceNo string, StockCode string, Description string, Quantity int,
     InvoiceDate string, UnitPrice double, CustomerID string, Country string"""
    frame = spark.read.csv([str(day) for day in days], header=True, schema=ddl, escape='"')
    month = F.regexp_extract("_metadata.file_name", r"(\d{4}-\d{2})", 1)
    frame.withColumn("month", month).repartition(4).write.format("delta").partitionBy("month").save(
        folder
    )
    profile.run(line, table=folder)
    remove_data(folder)
    pair = sides.pair(line, folder, Asked("0", "0"))
    with line.ledger.run("drift") as ledger:
        known = profiling.profiles(line, ledger, [pair.current.wanted])
    found = profiling.of(pair.current.files, pair.current.fields, known, table=folder)
    assert found["Quantity"].rows == 541_909
    assert found["CustomerID"].nulls == 135_080
    assert found["Description"].nulls == 1_454
    assert found["Quantity"].mean * 541_909 == pytest.approx(5_176_450, abs=0.5)
    assert found["CustomerID"].distinct == pytest.approx(4_372, rel=0.05)
    assert found["InvoiceNo"].distinct == pytest.approx(25_900, rel=0.05)
    assert len(found["month"].counts.values) == 13
    negative = found["Quantity"].distribution.below(0)
    assert negative == pytest.approx(10_624 / 541_909, abs=found["Quantity"].distribution.error)
