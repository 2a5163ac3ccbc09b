"""Known truth: what happened to New York's taxis month by month, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from profiles import numeric, words

from driftline.drift import Statistic, compare
from driftline.profile import Profile
from driftline.sections import Drift
from driftline.verdicts import judged

CALM = [
    *(f"2018-{month:02}" for month in range(2, 13)),
    *(f"2019-{month:02}" for month in range(5, 13)),
    *("2020-01", "2020-02", "2020-03"),
]


def profiled(file: Path) -> dict[str, Profile]:
    """A month's columns, with the hours and weekdays of its times."""
    rows = pd.read_csv(file)
    found: dict[str, Profile] = {}
    for name, column in rows.items():
        if name.endswith("datetime"):
            times = pd.to_datetime(column)
            seconds = (times - pd.Timestamp(0)).dt.total_seconds().to_numpy()
            found[name] = numeric(seconds, name=name, type="timestamp")
            for part, values in (("hour", times.dt.hour), ("weekday", times.dt.weekday)):
                told = words(Counter(map(str, values)), name=name, type="timestamp")
                found[f"{name}:{part}"] = replace(told, part=part)
        elif column.dtype == object:
            known = column.dropna()
            found[name] = words(Counter(known), nulls=len(column) - len(known), name=name)
        else:
            known = column.dropna().astype(float)
            found[name] = numeric(known.to_numpy(), nulls=len(column) - len(known), name=name)
    return found


@pytest.fixture(scope="module")
def drifted(public_data: Callable[[str], Path]) -> dict[str, dict[str, Statistic]]:
    """What drifted in each month against the month before, as ``column statistic``."""
    folder = public_data("nyc_taxi") / "nyc_taxi"
    months = {file.stem[-7:]: profiled(file) for file in sorted(folder.glob("*.csv"))}
    assert len(months) == 30
    found = {}
    for before, after in zip(months, list(months)[1:], strict=False):
        said = judged(compare(months[before], months[after], Drift(tables=())))
        found[after] = {f"{each.column} {each.statistic}": each for each in said if each.drifted}
    return found


def test_calm_months_are_calm(drifted) -> None:
    assert {month: list(drifted[month]) for month in CALM} == {month: [] for month in CALM}


def test_the_surcharge_begins(drifted) -> None:
    """Its column was empty in 2018; from 2019-01 it fills, and in 2019-02 it is everywhere."""
    assert list(drifted["2019-01"]) == ["congestion_surcharge null_rate"]
    assert drifted["2019-01"]["congestion_surcharge null_rate"].detail == "100.0% → 63.3% null"
    assert drifted["2019-02"]["congestion_surcharge null_rate"].detail == "63.3% → 0.0% null"
    assert "total_amount psi" in drifted["2019-02"]


def test_trips_without_passengers_appear(drifted) -> None:
    new = drifted["2019-02"]["passenger_count new"]
    assert (new.value, new.detail) == (pytest.approx(0.1579, abs=1e-4), "new 0.0")


def test_times_are_of_other_months_and_no_drift(drifted) -> None:
    times = {name for found in drifted.values() for name in found if "_datetime " in name}
    assert not times


def test_the_collapse(drifted) -> None:
    """2020-04: fields are left empty, other places, other hours, other ways to pay."""
    found = drifted["2020-04"]
    assert found["passenger_count null_rate"].detail == "1.3% → 8.0% null"
    columns = {each.column for each in found.values()}
    assert {"pickup_datetime:hour", "payment_type", "pickup_location_id", "tip_amount"} <= columns
    assert len(columns) >= 12


def test_the_readme_says_what_is_found(drifted, repository) -> None:
    """Which months are calm, the columns that are named, and each share of rows."""
    readme = (repository / "README.md").read_text("utf-8")
    table = readme.partition("New York's yellow taxis")[2].split("\n\n")[1]
    months, told = list(drifted), []
    for row in table.splitlines()[2:]:
        head, cell = row.strip("| ").split(" | ")
        first, *_, last = re.findall(r"\d{4}-\d\d", head.split(": ")[0]) * 2
        mine = months[months.index(first) : months.index(last) + 1]
        told += mine
        found = [each for month in mine for each in drifted[month].values()]
        assert (cell == "calm") == (not found)
        assert set(re.findall("`(.*?)`", cell)) <= {each.column for each in found}
        said = {float(share) for each in found for share in re.findall(r"([\d.]+)%", each.detail)}
        for share in re.findall(r"([\d.]+) %", cell):
            digits = len(share.partition(".")[2])
            assert float(share) in {round(each, digits) for each in said}
    assert told == months
