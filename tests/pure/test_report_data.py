"""What the page says of deliveries, rules and explored tables equals the facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pandas as pd
from report_pages import CONF, EVIL, Page, full, ingest_only, page
from report_tables import START, deliveries, frame, nothing, quality, runs

from driftline.problem import load_problem
from driftline.report import render
from driftline.report.page import _NAMES


def test_rows_are_those_of_the_deliveries() -> None:
    frame = deliveries()
    landed = frame[frame["status"] == "landed"]
    said = page("full").says("flow")
    assert (
        f"{int(frame['records'].sum()):,} records in {len(frame)} deliveries: "
        f"{int(landed['accepted'].sum()):,} accepted, {int(landed['rejected'].sum()):,} rejected, "
        "2,204 already known."
    ) in said
    assert "Of 2,755,656 rows judged, 2,740,233 passed into silver" in said
    assert "Every one accounted for" in page("full").says("")


def test_records_that_do_not_balance_are_called_out() -> None:
    broken = deliveries()
    broken.loc[0, "accepted"] -= 17
    read = Page(render(replace(full(), deliveries=broken)))
    assert "17 of them do not balance." in read.says("")
    assert "17 do not balance." in read.says("flow")


def test_a_delivery_that_was_planned_and_landed_is_not_waiting() -> None:
    lines = [
        {"source": "orders", "delivery": "a", "status": "planned"},
        {"source": "orders", "delivery": "b", "status": "planned"},
        {"source": "orders", "delivery": "a", "status": "landed", "records": 5, "accepted": 5},
    ]
    read = Page(render(replace(ingest_only(), deliveries=frame("deliveries", lines))))
    assert "1 delivery planned but not landed" in read.says("flow")
    assert "5 records in 1 delivery: 5 accepted, 0 rejected, 0 already known." in read.says("flow")


def test_a_table_judged_again_after_a_rebuild_is_not_counted_twice() -> None:
    again = runs({"validate": (2_755_656, 2_750_000, 5_656, 9.0)}, rounds=2)
    said = Page(render(replace(full(), runs=again))).says("flow")
    assert "Of 2,755,656 rows judged, 2,750,000 passed into silver and 5,656" in said


def test_only_the_newest_verdict_of_a_rule_counts() -> None:
    said = page("full").says("quality")
    assert "1 of 10 rules warned: known_channel on silver.orders." in said
    assert "customer_known on silver.visits (15,205 rows)" in said


def test_a_rule_that_the_suite_no_longer_has_says_nothing() -> None:
    """As one in SQL whose query was mended: another fingerprint, another name."""
    told = quality()
    gone = told[(told["rule"] == "amount_positive") & (told["at"] < START)]
    gone = gone.assign(rule="its old name", success=False)
    read = Page(render(replace(full(), quality=pd.concat([told, gone], ignore_index=True))))
    assert "1 of 10 rules warned: known_channel on silver.orders." in read.says("quality")
    assert "its old name" not in read.says("quality")
    assert "1 rule gave a warning; none refused." in read.says("")


def test_a_refusing_rule_is_bad_and_a_warning_is_not() -> None:
    broken = quality()
    broken["severity"] = "error"
    read = Page(render(replace(full(), quality=broken)))
    assert "1 rule refused the data." in read.says("")
    assert "1 of 10 rules refused: known_channel on silver.orders." in read.says("quality")
    assert "1 rule gave a warning; none refused." in page("full").says("")


# --- tables that were explored -----------------------------------------------------------------


def explored(table: str = "silver.orders", run: str = "r2", missing: float = 25.0) -> list[dict]:
    of = {"table": table, "version": 4, "run_id": run, "at": START}
    histogram = json.dumps({"edges": [0.0, 1.0, 5.0], "shares": [0.25, 0.75]})
    return [
        {**of, "column": "amount", "statistic": "rows", "value": 100.0, "detail": "double"},
        {**of, "column": "amount", "statistic": "nulls", "value": missing},
        {**of, "column": "amount", "statistic": "q50", "value": 3.5},
        {**of, "column": "amount", "statistic": "histogram", "detail": histogram},
        {**of, "column": "amount", "other": "kind", "statistic": "pearson", "value": 0.99},
        {**of, "column": "amount", "other": "kind", "statistic": "correlation_ratio", "value": 0.4},
        {**of, "column": EVIL, "statistic": "rows", "value": 100.0, "detail": "string"},
        {**of, "column": EVIL, "statistic": "suspicious", "value": 1.0, "detail": "an id"},
    ]


def test_what_was_explored_last_is_shown_and_what_is_suspicious_said() -> None:
    problem = load_problem(CONF / "churn.yaml")
    old = [{**each, "at": START - timedelta(days=1)} for each in explored(run="r1", missing=50.0)]
    records = [*old, *explored()]
    page = render(replace(nothing(problem), explored=frame("explored", records)))
    text = page[page.index('id="explored"') :]
    text = text[: text.index("</section>")]
    assert "1 table explored; 1 column suspicious." in text
    assert "25" in text and "50\N{NO-BREAK SPACE}%" not in text
    assert "correlation ratio" in text
    assert "pearson" not in text  # of numbers, the ranks say more
    assert "<script>window.hacked" not in page
    assert "explored" in _NAMES
    assert "No table has been explored" in render(nothing(problem))
