"""What the page says of promises, time and money equals the facts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pandas as pd
from report_pages import CONF, STAGES, Page, ingest_only, page, plainly
from report_tables import START, frame, nothing, promised, runs

from driftline.problem import load_problem
from driftline.report import render, words


def test_money_and_time_are_those_of_the_newest_round() -> None:
    history = runs(STAGES, rounds=3)
    newest = history[history["run_id"].str.contains("-2-")]
    said = page("full").says("cost")
    time, money = newest["wall_seconds"].sum(), newest["money"].sum()
    pass_ = f"One pass takes {words.duration(time)} and costs {words.money(money, 'EUR')}"
    assert plainly(pass_) in said
    everything = words.money(history["money"].sum(), "EUR")
    assert plainly(f"All 18 runs so far: {everything}.") in said


def test_a_stage_that_stopped_is_named_with_its_message() -> None:
    stopped = frame(
        "runs",
        [
            *runs({"ingest": STAGES["ingest"]}, rounds=1).to_dict("records"),
            {
                "run_id": "x",
                "stage": "validate",
                "status": "refused",
                "started_at": START + timedelta(hours=1),
                "message": "too few rows",
            },
            {
                "run_id": "y",
                "stage": "features",
                "status": "killed",
                "started_at": START + timedelta(hours=2),
                "message": "last alive then",
            },
        ],
    )
    said = Page(render(replace(ingest_only(), runs=stopped))).says("cost")
    assert "The last validate run was refused: too few rows" in said
    assert "The last features run was killed: last alive then" in said


# --- promises ----------------------------------------------------------------------------------


def promises_page(sla: pd.DataFrame, name: str = "churn") -> Page:
    return Page(render(replace(nothing(load_problem(CONF / f"{name}.yaml")), sla=sla)))


def test_promises_are_judged_by_the_newest_and_the_others_are_marks() -> None:
    made = promises_page(promised())
    said = f"{plainly(made.says('sla'))} "
    assert (
        "4 of 10 promises kept, 4 without evidence. Broken: time that features takes, 960.5 s, "
        "promised at most 900.0 s (broken in 2 of 3 judgements). Broken: time within which 99 of "
        "100 requests are answered, no answer, promised at most 50.0 ms."
    ) in said
    assert "gone" not in said
    assert "05:45 ≤ 06:00" in said
    assert "the evidence, as of night 2, run features-2" in said
    assert "0.9910 ≥ 0.9800" in said
    assert "the evidence, as of night 2, silver.orders version 42 " in said
    marks = [attrs for tag, attrs in made.tags if str(attrs.get("class")).startswith("was")]
    by_tone = Counter(str(attrs["class"]).split()[1] for attrs in marks)
    # orders 3, predictions 3, features 3, deadline 3, quality 3, throughput 2, response 1
    assert by_tone == {"good": 9, "bad": 5, "calm": 4}
    assert [attrs["aria-label"] for attrs in marks[:2]] == [
        "3 Nov 2024, 04:00 UTC: kept, 3.2 h",
        "4 Nov 2024, 04:00 UTC: broken, 40.5 h",
    ]
    hero = plainly(made.says(""))
    assert "4 of 6 kept" in hero
    assert "Broken: duration features and response p99." in hero


def test_how_much_of_a_limit_is_used_up_is_a_bar() -> None:
    made = promises_page(promised())
    bars = [str(attrs["style"]) for tag, attrs in made.tags if "--bar" in str(attrs.get("style"))]
    # 12 of 36 h, 960.5 of 900 s, 5.75 of 6 h, 0.98 of 0.991, 100 of 240 a second
    used = [33.3, 100.0, 95.8, 98.9, 41.7]
    assert bars == [f"--bar:{each:.1f}%" for each in used]


def test_without_promises_or_judgements_that_is_said() -> None:
    assert "`driftline sla` does it" in promises_page(pd.DataFrame()).says("sla")
    assert "not judged" in promises_page(pd.DataFrame()).says("")
    assert "the problem file has no sla" in promises_page(promised(), "cdnow").says("sla")
