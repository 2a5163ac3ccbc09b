"""Public data as table versions: what happened is found from profiles, when the data are gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import functions as F
from tests.data_files import remove_data

from driftline.drift import Statistic
from driftline.jobs import drift, profile, profiling, sides
from driftline.jobs.line import Line
from driftline.jobs.sides import Asked
from driftline.problem import load_problem

pytestmark = pytest.mark.slow

TRIPS = """vendor_id int, pickup_datetime timestamp, dropoff_datetime timestamp,
 passenger_count int, trip_distance double, rate_code_id int, store_and_fwd_flag string,
 pickup_location_id int, dropoff_location_id int, payment_type int, fare_amount double,
 extra double, mta_tax double, tip_amount double, tolls_amount double,
 improvement_surcharge double, total_amount double, congestion_surcharge double"""
LINES = """InvoiceNo string, StockCode string, Description string, Quantity int,
 InvoiceDate timestamp, UnitPrice double, CustomerID string, Country string"""


@pytest.fixture(scope="module")
def line(open_line, tmp_path_factory, repository):
    warehouse = tmp_path_factory.mktemp("known")
    problem = load_problem(repository / "conf" / "churn.yaml")
    return open_line(problem, data=warehouse, warehouse=warehouse)


def by_month(line: Line, folder: str, months: Sequence[str]) -> dict[str, list[Statistic]]:
    """Each version against the one before, by the month that it is of."""
    found = {}
    for number in range(1, len(months)):
        pair = sides.pair(line, folder, Asked(str(number - 1), str(number)))
        with line.ledger.run("drift") as ledger:
            wanted = [*pair.reference.wanted, *pair.current.wanted]
            known = profiling.profiles(line, ledger, wanted)
        found[months[number]], _ = drift.compared(line, pair, known)
    return found


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

    found = {
        month: {each.column for each in statistics if each.drifted}
        for month, statistics in by_month(line, folder, months).items()
    }
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
    frame = spark.read.csv([str(day) for day in days], header=True, schema=LINES, escape='"')
    month = F.regexp_extract("_metadata.file_name", r"(\d{4}-\d{2})", 1)
    frame.withColumn("month", month).repartition(4).write.format("delta").partitionBy("month").save(
        folder
    )
    profile.run(line, table=folder)
    remove_data(folder)
    pair = sides.pair(line, folder, Asked("0", "0"))
    with line.ledger.run("drift") as ledger:
        known = profiling.profiles(line, ledger, pair.current.wanted)
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


def test_thirteen_months_of_a_shop(
    spark, line, tmp_path, repository, public_data: Callable[[str], Path]
) -> None:
    """What the table in docs/drift.md says of them, each number counted again from the rows.

    Drift speaks of lines, and those of an invoice have one time and one country. Some invoices of
    hundreds of lines have no customer; they make the hours sway by JS 0.1 to 0.2 every month.
    """
    days = sorted((public_data("online_retail") / "online_retail" / "by_day").glob("*.csv"))
    months = sorted({day.stem[:7] for day in days})
    folder = str(tmp_path / "months")
    for month in months:
        files = [str(day) for day in days if day.stem.startswith(month)]
        rows = spark.read.csv(files, header=True, schema=LINES, escape='"')
        rows.coalesce(1).write.format("delta").mode("overwrite").save(folder)
    said = profile.run(line, table=folder, history=True)
    assert said == f"{folder}: 13 of 13 files have a profile"
    remove_data(folder)

    def drifted(line: Line) -> dict[str, dict[str, str]]:
        """The columns that drifted, and in words by what, month by month."""
        return {
            month: {each.column: each.detail for each in statistics if each.drifted}
            for month, statistics in by_month(line, folder, months).items()
        }

    def judged_by(**rule: Any) -> Line:
        ours = line.problem.drift.model_copy(update={"identifiers": identifiers, **rule})
        return replace(line, problem=line.problem.model_copy(update={"drift": ours}))

    identifiers = {folder: ("InvoiceNo", "CustomerID")}
    strict = drifted(judged_by())
    for column, swaying in (
        ("InvoiceDate:hour", months[1:]),
        # Eight days of December against a November are other weekdays by the calendar alone.
        ("InvoiceDate:weekday", months[5:12]),
        ("Country", [months[place] for place in (1, 2, 4, 5, 7, 8, 10)]),
    ):
        assert [month for month in months[1:] if column in strict[month]] == swaying
    found = drifted(judged_by(js=0.2))

    texts = dict.fromkeys(("InvoiceNo", "StockCode", "CustomerID"), str)
    frame = pd.concat((pd.read_csv(day, dtype=texts) for day in days), ignore_index=True)
    frame["month"] = frame["InvoiceDate"].str[:7]
    times = pd.to_datetime(frame["InvoiceDate"])
    nameless = frame["CustomerID"].isna()
    lines = frame.groupby("InvoiceNo")["StockCode"].transform("size")
    large = nameless & (lines >= 200)

    def share(which: pd.Series) -> pd.Series:
        return which.groupby(frame["month"]).mean()

    facts = {
        "null": share(nameless),
        "large": share(large),
        "16": share(times.dt.hour == 16),
        "15": share(times.dt.hour == 15),
        "3": share(times.dt.weekday == 3),
    }
    before = dict(zip(months[1:], months, strict=False))

    def moved(fact: str, month: str, digits: int = 1, space: str = "") -> str:
        old, new = (100 * facts[fact][each] for each in (before[month], month))
        return f"{old:.{digits}f}{space}% → {new:.{digits}f}{space}%"

    nulls = ("2011-02", "2011-07", "2011-08", "2011-11", "2011-12")
    expected = {month: {} for month in months[1:]}
    for month in nulls:
        expected[month]["CustomerID"] = f"{moved('null', month)} null"
        gone = facts["large"][month] - facts["large"][before[month]]
        change = facts["null"][month] - facts["null"][before[month]]
        assert gone / change > 1  # without them nulls would have moved the other way
    expected["2011-07"]["InvoiceDate:hour"] = f"16: {moved('16', '2011-07')}"
    expected["2011-12"]["InvoiceDate:hour"] = f"15: {moved('15', '2011-12')}"
    expected["2011-12"]["InvoiceDate:weekday"] = f"3: {moved('3', '2011-12')}"
    assert found == expected
    others = share((times.dt.hour == 16)[~large])
    assert abs(others["2011-07"] - others["2011-06"]) < 0.01  # nor did the rest come at 16 h
    december = times[frame["month"] == "2011-12"].dt.normalize().drop_duplicates()
    assert (len(december), (december.dt.weekday == 3).sum()) == (8, 2)

    readme = (repository / "docs" / "drift.md").read_text("utf-8")
    table = readme.partition("13 months of a gift shop")[2].split("\n\n")[1]
    told = {}
    for row in table.splitlines()[2:]:
        head, cell = row.strip("| ").split(" | ")
        first, *_, last = re.findall(r"\d{4}-\d\d", head) * 2
        told |= dict.fromkeys(months[months.index(first) : months.index(last) + 1], cell)
    assert list(told) == months[1:]
    for month, cell in told.items():
        assert set(re.findall("`(.*?)`", cell)) == set(found[month])
        assert (cell == "calm") == (not found[month])
        moves = [moved("null", month, space=" "), moved("large", month, digits=0, space=" ")]
        moves += [moved("16", month, space=" ")] if month == "2011-07" else []
        moves += (
            [moved(each, month, space=" ") for each in ("3", "15")] if month == "2011-12" else []
        )
        moves = moves if month in nulls else []
        assert re.findall(r"[\d.]+ % → [\d.]+ %", cell) == moves
