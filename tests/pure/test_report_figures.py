"""What a figure draws of its rows, and how numbers are written for people."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from report_pages import plainly
from report_tables import frame

from driftline.jobs.report import newest as newest_pictures
from driftline.report import words
from driftline.report.charts import curve, plain
from driftline.report.histograms import overlay


def test_of_pictures_drawn_twice_the_last_run_counts() -> None:
    drawn = frame(
        "histograms",
        [
            {"table": "t", "version": version, "column": column, "slice": "whole", "run_id": run}
            for version, column, run in ((1, "a", "old"), (1, "a", "new"), (1, "b", "old"))
        ],
    )
    ran = frame(
        "runs",
        [
            {"run_id": "new", "started_at": datetime(2024, 2, 2)},
            {"run_id": "old", "started_at": datetime(2024, 2, 1)},
        ],
    )
    kept = newest_pictures(drawn, ran)
    assert list(zip(kept["column"], kept["run_id"], strict=True)) == [("a", "new"), ("b", "old")]
    assert not len(newest_pictures(drawn.iloc[:0], ran.iloc[:0]))


def test_a_chart_shows_words_as_they_are_and_cuts_long_ones() -> None:
    assert plain("a<b> & c") == "a&lt;b&gt; &amp; c"
    assert plain("x" * 40, 10) == "x" * 9 + "…"


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    points = [(place / 9_999, place / 9_999) for place in range(10_000)]
    made = curve(
        points, x="", y="", reference=[(0, 0), (1, 1)], reference_name="guessing", hover=""
    )
    drawn = made["data"][1]["x"]
    assert len(drawn) == 400
    assert (drawn[0], drawn[-1]) == (0, 1)


def bins(*edges: float, share: float = 0.25) -> list[dict[str, Any]]:
    return [
        {"kind": "numeric", "low": low, "high": high, "share": share, "category": None}
        for low, high in pairwise(edges)
    ]


def test_even_bins_are_shares_and_uneven_ones_are_densities() -> None:
    even = overlay([], bins(0, 1, 2, 3, 4), names=("a", "b"))["data"][0]
    assert list(even["y"]) == [0.25] * 4
    uneven = overlay([], bins(0, 1, 2, 4), names=("a", "b"))["data"][0]
    assert list(uneven["y"]) == [0.25, 0.25, 0.125]


def test_a_constant_column_and_open_ends_can_be_drawn() -> None:
    constant = overlay([], bins(7, 7, share=1.0), names=("a", "b"))["data"][0]
    assert list(constant["y"]) == [1.0] and list(constant["width"]) == [1.0]
    opened = overlay([], bins(float("-inf"), 0, 1, float("inf")), names=("a", "b"))["data"][0]
    assert np.isfinite(opened["x"]).all()


def test_times_are_drawn_on_an_axis_of_dates() -> None:
    made = [row | {"kind": "time"} for row in bins(0, 86_400, 2 * 86_400)]
    figure = overlay(made, made, names=("a", "b"))
    assert figure["layout"]["xaxis"]["type"] == "date"
    bars, outline = figure["data"]
    assert (list(bars["x"]), list(bars["width"])) == ([43_200_000, 129_600_000], [86_400_000] * 2)
    assert bars["customdata"][0].startswith("1970-01-01 to 1970-01-02: ")
    assert max(outline["x"]) == 2 * 86_400_000
    # Plotly knows no year 10000, which is what the last microseconds of 9999 are as doubles.
    last = [row | {"kind": "time"} for row in bins(0, 253_402_300_799.999999)]
    bars, outline = overlay(last, last, names=("a", "b"))["data"]
    assert max(outline["x"]) == bars["x"][0] + bars["width"][0] / 2 == 253_402_300_799_000


def test_categories_beyond_the_most_frequent_are_added_up() -> None:
    made = [
        {"kind": "categorical", "category": f"c{n:02}", "share": 0.05, "low": None, "high": None}
        for n in range(20)
    ]
    figure = overlay(made, made, names=("a", "b"))
    assert figure["layout"]["yaxis"]["ticktext"][-1].strip() == "12 others"
    assert sum(figure["data"][0]["x"]) == pytest.approx(1)


# --- numbers for people ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (words.count(12_345), "12,345"),
        (words.plural(1, "delivery", "deliveries"), "1 delivery"),
        (words.decimal(0.8117), "0.812"),
        (words.decimal(45.234), "45.23"),
        (words.decimal(1_234.5), "1,234"),
        (words.decimal(0.00004), "4e-05"),
        (words.decimal(0.0), "0"),
        (words.decimal(None), "—"),
        (words.interval(0.812, 0.79, 0.834), "0.812 [0.790, 0.834]"),
        (words.interval(0.812, None, None), "0.812"),
        (words.spread(71.9, 0.4), "71.90 ± 0.40"),
        (words.share(0.123), "12.3 %"),
        (words.share(0.0002), "under 0.1 %"),
        (words.share(0.99996), "over 99.9 %"),
        (words.share(1), "100 %"),
        (words.share(0), "0 %"),
        (words.duration(0.42), "0.4 s"),
        (words.duration(72), "1 min 12 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(7_500), "2 h 5 min"),
        (words.money(0.00312, "EUR"), "€ 0.0031"),
        (words.money(0.3, "GBP"), "£ 0.30"),
        (words.money(12.3, "USD"), "$ 12.30"),
        (words.money(0, "EUR"), "€ 0.00"),
        (words.money(4_321, "CHF"), "CHF 4,321.00"),
        (words.size(999), "999 B"),
        (words.size(12_340_000), "12.3 MB"),
        (words.size(4.2e15), "4200 TB"),
        (words.when(datetime(2025, 5, 14, 9, 12)), "14 May 2025, 09:12 UTC"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_written_as_people_write_them(made: str, wanted: str) -> None:
    assert plainly(made) == wanted
