"""What the page says of drift, and of how the model has done since, equals the facts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from report_pages import CONF, Page, full, page, plainly
from report_pictures import causes, drift
from report_tables import START, frame, nothing

from driftline.problem import load_problem
from driftline.report import render
from driftline.report.charts import GREY, VERMILION
from driftline.report.drift import chip
from driftline.report.shifts import comparisons


def test_drift_is_that_of_the_newest_comparison_most_severe_first() -> None:
    read = page("full")
    said = read.says("drift")
    assert "4 of 20 columns drifted: spend_90d in gold.features (PSI 0.463, threshold 0.2)" in said
    assert "country (no. 1), spend_90d (no. 6) and visits_14d (no. 7) are among the model's" in said
    assert "ten top features; 44.9 % of the importance is in features that drifted." in plainly(
        said
    )
    assert "9.0" not in said  # the older comparison, which said that everything drifted
    tiles = [str(a["title"]) for tag, a in read.tags if tag == "li" and "title" in a]
    # Those that drifted by what they are worth to the model, the others by how far they are.
    assert [tile.split(":")[0] for tile in tiles][:4] == [
        *("country", "spend_90d", "visits_14d"),
        "order_value_90d",
    ]
    _, drawn = render(full()).split('id="drift"')
    charts = list(re.findall(r"<figcaption>(\w+)", drawn))
    assert charts.index("country") < charts.index("spend_90d") < charts.index("visits_14d")


def test_what_moved_a_column_is_one_click_away() -> None:
    page = render(full())
    [(link, anchor)] = re.findall(
        r'<a href="#(moved-[^"]*)"><code>spend_90d</code>.*?id="(moved-[^"]*)"', page, re.S
    )
    assert link == anchor
    said = plainly(Page(page).says("drift"))
    assert "spend_90d commit 4 83 % PSI 0.120 2,100" in said
    assert "country DE 17 % PSI 0.410 700" in said
    assert "columns by version" in said


def test_causes_are_those_of_the_newest_comparison() -> None:
    """Compared again, with other thresholds: what the first run named is no longer said."""
    before = causes().assign(run_id="old", at=START - timedelta(days=1), name="FR")
    both = pd.concat([before, causes().assign(run_id="new")])
    said = plainly(Page(render(replace(full(), causes=both))).says("drift"))
    assert "commit 4 83 %" in said and "commit FR" not in said


def test_a_column_that_did_not_drift_has_no_causes() -> None:
    """Compared again with higher thresholds: what once was found to move it is no longer said."""
    told = drift()
    mine = told["column"].isin(["spend_90d", "visits_14d"]) & (told["to_version"] == 4)
    again = told[mine].assign(at=START + timedelta(days=1))
    again["drifted"] = again["column"] == "visits_14d"
    both = causes().assign(run_id="old")
    both = pd.concat([both, both.assign(column="visits_14d", name="FR")])
    facts = replace(full(), drift=pd.concat([told, again]), causes=both)
    page = render(facts)
    assert "spend_90d commit" not in plainly(Page(page).says("drift"))
    assert "visits_14d commit FR" in plainly(Page(page).says("drift"))
    assert len(re.findall(r'href="#moved-', page)) == 1


def test_a_part_that_has_all_values_is_said_to_leave_none() -> None:
    alone = causes().assign(without=None)
    assert "83 % no value is left 2,100" in plainly(
        Page(render(replace(full(), causes=alone))).says("drift")
    )


def test_of_what_moved_a_column_the_first_of_each_kind_is_told() -> None:
    """A click leads to the commit, though values and deliveries have larger shares; of shares alike
    it comes first.
    """
    parts = [
        *(("country", "DE", 0.9), ("country", "AT", 0.8), ("channel", "web", 0.7)),
        *(("delivery", "b.csv", 0.6), ("delivery", "a.csv", 0.5)),
        *(("commit", "4", 0.4), ("commit", "5", 0.3), ("file", "part-1", 0.4)),
    ]
    [mine] = causes().iloc[:1].to_dict("records")

    def told(*found: tuple[str, str, float]) -> list[str]:
        named = [mine | dict(zip(("kind", "name", "share"), each, strict=True)) for each in found]
        page = Page(render(replace(full(), causes=pd.DataFrame(named))))
        said = plainly(page.says("drift")).split("where it comes from", 1)[1]
        return re.findall(r"(?:country|channel|delivery|commit|file) \S+(?= \d+ %)", said)

    assert told(*parts) == [
        "country DE",
        "channel web",
        "delivery b.csv",
        "commit 4",
        "file part-1",
    ]
    assert told(*parts[:2], *parts[5:7]) == ["country DE", "commit 4", "country AT"]


def test_a_column_that_drifted_in_a_segment_alone_is_one_click_from_the_commit() -> None:
    slices = ("whole", "added since 1, country=DE")
    rows = compared((1, 2), ("whole", "added since 1"), ("amount", "psi", 0.1, 0.2, False))
    rows += compared((1, 2), slices, ("amount", "psi", 0.4, 0.2, True))
    [mine] = causes().iloc[:1].to_dict("records")
    mine |= {"table": "silver.orders", "from_version": 1, "to_version": 2, "column": "amount"}
    mine |= {"slice": slices[1], "name": "2", "share": 1.0, "without": None}
    facts = replace(full(), drift=frame("drift", rows), causes=frame("causes", [mine]))
    page = render(facts)
    [(link, anchor)] = re.findall(
        r'<a href="#(moved-[^"]*)"><code>amount</code>.*?id="(moved-[^"]*)"', page, re.S
    )
    assert link == anchor
    said = plainly(Page(page).says("drift"))
    assert "(added since 1, country=DE), version 1 → 2: where it comes from" in said
    assert "amount commit 2 100 % no value is left" in said


def test_no_drift_is_said_with_the_nearest_column() -> None:
    calm = drift()
    calm = calm[(calm["to_version"] == 4) & ~calm["column"].isin(["spend_90d", "visits_14d"])]
    calm = calm[~calm["column"].isin(["country", "category"])]
    read = Page(render(replace(full(), drift=calm)))
    said = plainly(read.says("drift"))
    assert "None of the 16 columns compared drifted; nearest is score at 81.5 %" in said
    assert "No column of 3 tables is beyond its threshold." in read.says("")


def test_a_feature_that_says_nothing_to_the_model_is_no_alarm() -> None:
    """Its importance is that of the column: the places of its categories in the vector are many."""
    told = drift()
    told["drifted"] &= told["column"].isin(["gender", "*"]) | (told["to_version"] == 3)
    mine = (told["column"] == "gender") & (told["statistic"] == "js")
    told.loc[mine & (told["to_version"] == 4), ["value", "drifted"]] = [0.4, True]
    said = plainly(Page(render(replace(full(), drift=told))).says("drift"))
    assert "No feature that drifted is among the model's ten top features." in said
    assert re.search(r"drifted gender 0 % ", said)  # in the table, beside the verdict
    curves = full().curves
    unknown = replace(full(), drift=told, curves=curves[curves["curve"] != "permutation"])
    said = Page(render(unknown)).says("drift")
    assert "top features" not in said and "importance" not in said


def test_features_that_drifted_are_weighed_as_columns_whatever_their_table() -> None:
    """A column of another table that is called as a feature is none."""
    rows = compared((3, 4), ("whole", "whole"), ("country", "js", 0.3, 0.1, True))
    said = Page(render(replace(full(), drift=frame("drift", rows)))).says("drift")
    assert "1 of 1 column drifted: country in silver.orders" in said
    assert "top features" not in said and "importance" not in said


def test_values_of_a_segment_that_were_left_out_are_said() -> None:
    rows = compared((1, 2), ("whole", "whole"), ("channel", "psi", 0.01, 0.2, False))
    left = compared((1, 2), ("whole", "whole"), ("channel", "segments", 50.0, None, False))
    left[0]["detail"] = "50 of 150 values are not compared by themselves"
    said = Page(render(replace(full(), drift=frame("drift", rows + left)))).says("drift")
    assert "of channel 50 of 150 values are not compared by themselves." in said


def compared(
    versions: tuple[int, int],
    slices: tuple[str, str],
    *columns: tuple[str, str, float, float | None, bool],
    table: str = "silver.orders",
    at: datetime = START,
) -> list[dict[str, Any]]:
    """Rows of a comparison: column, statistic, value, threshold and verdict."""
    said = {"table": table, "from_version": versions[0], "to_version": versions[1], "at": at}
    said |= {"from_slice": slices[0], "slice": slices[1], "detail": ""}
    names = ("column", "statistic", "value", "threshold", "drifted")
    return [{**said, **dict(zip(names, each, strict=True))} for each in columns]


def test_a_table_that_changed_as_a_whole_is_not_a_column() -> None:
    rows = compared(
        (1, 2),
        ("whole", "whole"),
        ("*", "schema", 1.0, None, True),
        ("amount", "psi", 0.01, 0.2, False),
    )
    read = Page(render(replace(full(), drift=frame("drift", rows))))
    assert "0 of 1 column" in read.says("")
    assert "silver.orders changed as a whole (schema 1.000)." in read.says("drift")


@pytest.mark.parametrize(
    "slices",
    [
        ("whole", "added since 3"),
        ("written 2026-01-01 00:00 to 2026-01-08 00:00", "written 2026-01-08 00:00 to …"),
    ],
)
def test_rows_that_were_added_or_written_are_drawn_over_their_reference(
    slices: tuple[str, str],
) -> None:
    rows = compared((3, 30), slices, ("amount", "psi", 0.4, 0.2, True))
    drawn = []
    for version, slice_, share in (
        (3, slices[0], 0.25),
        (30, slices[1], 0.75),
        (3, "written in another span", 0.111),  # of the same versions, for another comparison
        (30, "whole", 0.222),
    ):
        side = {"table": "silver.orders", "version": version, "slice": slice_, "column": "amount"}
        for low, each in ((0.0, share), (1.0, 1 - share)):
            drawn.append({**side, "kind": "numeric", "low": low, "high": low + 1, "share": each})
    facts = nothing(load_problem(CONF / "churn.yaml"))
    facts = replace(facts, drift=frame("drift", rows), histograms=frame("histograms", drawn))
    [overlaid] = Page(render(facts)).figures
    bars, outline = overlaid["data"]
    # What was added is not the version.
    assert (bars["name"], bars["y"]) == (slices[1], [0.75, 0.25])
    name = "version 3" if slices[0] == "whole" else slices[0]
    assert (outline["name"], outline["y"]) == (name, [0.0, 0.25, 0.25, 0.75, 0.75, 0.0])


def test_only_the_newest_comparison_of_a_table_is_on_the_page() -> None:
    """Nineteen weeks, the first of which drifted, and one that is calm: that is what counts."""
    rows = []
    for week in range(20):
        at = START + timedelta(days=7 * week)
        slices = (f"written {at - timedelta(days=7):%F} to {at:%F}", f"written {at:%F} to …")
        drifted = ("amount", "psi", 0.4 if week == 1 else 0.02, 0.2, week == 1)
        rows += compared(
            (week, week + 1), slices, ("*", "volume", 0.1, None, False), drifted, at=at
        )
        if week == 19:
            segment = (slices[0], f"{slices[1]}, half=odd")
            rows += compared((week, week + 1), segment, ("amount", "psi", 0.03, 0.2, False), at=at)
    calm = compared((1, 2), ("whole", "whole"), ("age", "psi", 0.1, 0.2, False), table="silver.p")
    facts = replace(full(), drift=frame("drift", rows + calm))
    assert [(each.table, each.after) for each in comparisons(facts)] == [
        ("silver.orders", 20),
        ("silver.orders", 20),
        ("silver.p", 2),
    ]
    assert chip(facts).tone == "good"
    said = plainly(Page(render(facts)).says("drift"))
    assert "None of the 2 columns compared drifted; nearest is age at 50 %" in said
    # The week that drifted is in the history.
    assert "silver.orders: columns by version" in said and "amount 0.1 2.0 0.1" in said


def test_a_column_is_counted_once_whatever_of_it_drifted() -> None:
    """Its length and its segments are no columns of their own; the whole is named before them."""
    rows = []
    for segment, psi in (("", 0.4), (", channel=web", 0.9), (", channel is empty", 0.5)):
        names = ("agent", "agent:length", "amount")
        told = [(name, "psi", psi if name != "amount" else 0.1, 0.2) for name in names]
        slices = ("whole", f"whole{segment}")
        rows += compared((1, 2), slices, *((*each, each[0] != "amount") for each in told))
    facts = replace(full(), drift=frame("drift", rows))
    assert chip(facts).value == "1 of 2"
    said = plainly(Page(render(facts)).says("drift"))
    named = "agent in silver.orders (PSI 0.400"
    assert f"1 of 2 columns drifted: {named}" in said and "also in 2 segments" in said


# --- how it did since then ---------------------------------------------------------------------


def since() -> dict[str, pd.DataFrame]:
    """Eleven months: version 1 is good, promises too much from month 8, version 2 takes over."""
    performance, decisions, outcomes = [], [], []
    for month in range(1, 12):
        cutoff = datetime(2024, month, 1)
        version = 1 if month < 10 else 2
        fell = 0.12 if 7 < month < 10 else 0.0
        for kind, value in (("expected", 0.77), ("real", 0.77 - fell)):
            if kind == "real" and month == 11:
                continue
            row = {"cutoff": cutoff, "model_version": version, "slice": "", "kind": kind}
            row |= {"metric": "roc_auc", "value": value + 0.002 * (month % 3)}
            row |= {"low": value - 0.02, "high": value + 0.02, "rows": 2000, "labelled": 2000}
            performance.append({**row, "as_of": cutoff, "run_id": "m", "at": cutoff})
        # Measured before, with fewer labels: the newer one counts.
        before = {**performance[-1], "value": 0.5, "as_of": cutoff - timedelta(days=3)}
        performance.append({**before, "at": cutoff - timedelta(days=3)})
        # As of a day that was made up for at the end, when nothing new was to be known.
        performance.append({**before, "kind": "expected", "at": datetime(2024, 12, 20)})
        action = {8: "watch", 9: "retrain"}.get(month, "keep")
        why = {"keep": "nothing speaks against it", "watch": "labels show it worse"}
        decisions.append(
            {
                "decision": f"d{month}",
                "as_of": cutoff + timedelta(days=45),
                "cutoff": cutoff,
                "model_version": version,
                "action": action,
                "why": why.get(action, "labels show it worse, 2 of the last 3 turns"),
                "causes": {7: ["drift"], 8: ["worse", "drift"], 9: ["concept"]}.get(month),
                "metric": "roc_auc",
                "reference": 0.775,
                "expected": 0.77,
                "real": None if month == 1 else 0.77 - fell,
                "drift": 0.1 if month > 7 else None,
                "at": cutoff + timedelta(days=45),
            }
        )
    # Of a day of the future, by a typing error: it hides none of the others.
    wrong = {"decision": "wrong", "action": "watch", "as_of": datetime(2124, 6, 1)}
    decisions.insert(3, {**decisions[4], **wrong, "why": "there is no new cut-off to judge it by"})
    # The day of d9 was asked for again; d6 led to a version that was no better, d4 to none.
    decisions.append({**decisions[-3], "decision": "again", "at": datetime(2024, 12, 1)})
    assert decisions[-1]["cutoff"] == datetime(2024, 9, 1)
    for decision, verdict in (("d9", "promoted"), ("again", "skipped"), ("d6", "not_promoted")):
        outcomes.append({"decision": decision, "kind": "training", "verdict": verdict})
    outcomes.append({"decision": "d4", "kind": "training", "verdict": "skipped"})
    outcomes.append({"decision": "d3", "kind": "cause", "verdict": "right"})
    skew = []
    for table, day, at, value in (
        ("gold.features", 2, 2, 0.9),  # the newest one counts
        ("gold.features", 4, 4, 0.02),
        ("gold.features", 1, 9, 0.9),  # of a day that was made up for
        ("silver.requests", 4, 4, 0.4),
    ):
        row = {"cutoff": datetime(2024, 11, day), "model_version": 2, "table": table}
        row |= {"as_of": datetime(2024, 11, day), "at": datetime(2024, 11, at)}
        row |= {"trained": 9000, "rows": 1234, "bound": 0.0}
        for column, each in (("age", value), ("gender", 0.01)):
            verdict = {"value": each, "threshold": 0.2, "skewed": each > 0.2}
            skew.append({**row, "column": column, "statistic": "psi", **verdict})
            skew.append({**row, "column": column, "statistic": "range", "value": each})
    return {
        "skew": frame("skew", skew),
        "performance": frame("performance", performance),
        "decisions": frame("decisions", decisions),
        "outcomes": frame("outcomes", outcomes),
    }


def test_what_became_of_predictions_and_of_decisions_is_shown() -> None:
    problem = load_problem(CONF / "churn.yaml")
    judged = [
        {"model_version": 1, "part": "test", "model": "model", "metric": "roc_auc", "value": 0.775}
    ]
    facts = replace(nothing(problem), evaluations=frame("evaluations", judged), **since())
    page = render(facts)
    text = page[page.index('id="since"') :]
    text = text[: text.index("</section>")]
    assert "version 2 has ROC AUC 0.772 [0.750, 0.790]" in text
    last = "the newest: keep, nothing speaks against it"
    assert f"13 decisions, 2 of them to train again; {last}" in text
    assert "training: promoted" in text
    where = "1,234 scored rows up to 4 Nov 2024 than in training"
    assert f"Of 2 features, none is other in {where}" in text
    where = "1,234 rows of silver.requests up to 4 Nov 2024 than in training"
    assert f"Of 2 features, 1 is other in {where}" in text
    assert "Train-serve skew: 1,234 scored rows" not in text
    head = (
        "Train-serve skew: 1,234 rows of silver.requests up to 4 Nov 2024 against the 9,000 rows "
    )
    assert f"{head}that version 2 learnt from" in text
    assert "1 Aug 2024 version 1 came true 0.654 [0.630, 0.670]" in text
    assert "1 Aug 2024 version 1 promised 0.774 [0.750, 0.790]" in text and "0.500" not in text
    figures = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text)[1])
    layout = figures["layout"]
    across = [(each["x0"], each["line"]["color"]) for each in layout["shapes"]]
    assert across == [("2024-07-16", GREY), ("2024-10-16", VERMILION)]
    words = [(each["x"], each["y"], each["text"]) for each in layout["annotations"]]
    assert words == [
        ("2024-07-16", 1, "trained, not used"),
        ("2024-10-16", 1, "trained"),
        ("2024-07-01", 0, "drift"),
        ("2024-09-01", 0, "concept drift"),
    ]
    assert figures["data"][0]["x"][:2] == ["2024-01-01", "2024-02-01"]
    chip = page[page.index("chip-title") : page.index("</header>")]
    assert "Decision" in chip and "keep" in chip
    assert "have not been held against labels" in render(nothing(problem))
