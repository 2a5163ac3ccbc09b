"""The page: every section is there, it loads nothing, and data cannot break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from report_pages import ALL, EVIL, Page, full, page
from report_tables import deliveries

from driftline.report import render
from driftline.report.facts import COLUMNS
from driftline.report.page import _NAMES


@pytest.mark.parametrize("which", ALL)
def test_every_section_is_there_once_and_in_the_navigation(which: str) -> None:
    ids = [attrs["id"] for tag, attrs in page(which).tags if tag == "section"]
    links = [str(attrs["href"]) for tag, attrs in page(which).tags if tag == "a"]
    assert ids == list(_NAMES)
    assert {f"#{name}" for name in ids} <= set(links)


@pytest.mark.parametrize("which", ALL)
def test_nothing_is_loaded_from_anywhere(which: str) -> None:
    for tag, attrs in page(which).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "video", "audio")
        assert not {"src", "srcset", "data", "action", "poster", "background"} & set(attrs), tag
        assert str(attrs.get("href", "#")).startswith("#")
        assert not any(name.startswith("on") for name in attrs), tag
        assert "url(" not in str(attrs.get("style", ""))
    assert "@import" not in page(which).style
    assert "url(" not in page(which).style


@pytest.mark.parametrize("which", ALL)
def test_only_the_two_scripts_that_the_policy_names_can_run(which: str) -> None:
    policy = next(
        str(attrs["content"])
        for tag, attrs in page(which).tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    digests = re.findall(r"'sha256-([^']+)'", policy)
    made = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in page(which).scripts
    ]
    assert digests == made and len(made) == 2
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy and "http" not in policy


@pytest.mark.parametrize("which", ALL)
def test_every_chart_is_told_in_words_and_has_room_kept(which: str) -> None:
    plots = [attrs for tag, attrs in page(which).tags if attrs.get("class") == "plot"]
    assert len(plots) == len(page(which).figures)
    for attrs in plots:
        assert attrs["role"] == "img" and len(str(attrs["aria-label"])) > 10
        assert re.fullmatch(r"height:\d+px", str(attrs["style"]))


def test_verdicts_have_a_mark_with_words_and_a_colour() -> None:
    marks = {attrs.get("class") for _, attrs in page("full").tags if attrs.get("aria-label")}
    assert {"mark good", "mark watch"} <= marks
    for tone in ("good", "watch", "bad"):
        assert f".mark.{tone}" in page("full").style


def test_wide_tables_scroll_inside_their_own_box() -> None:
    order = [(tag, attrs.get("class")) for tag, attrs in page("full").tags]
    tables = [place for place, (tag, _) in enumerate(order) if tag == "table"]
    assert len(tables) > 10
    assert all(order[place - 1] == ("div", "scroll") for place in tables)


def test_an_empty_frame_may_have_no_columns_but_a_full_one_needs_them() -> None:
    with pytest.raises(ValueError, match="deliveries lacks the columns delivery, path"):
        replace(full(), deliveries=deliveries().drop(columns=["delivery", "path"]))


def test_what_has_not_run_is_said() -> None:
    read = page("ingest only")
    assert "There is no model yet; ingest is the last stage that ran." in read.says("")
    assert "No model has been evaluated yet." in read.says("model")
    assert "128 deliveries" in read.says("flow")
    assert "Nothing has run yet." in page("nothing").says("")
    assert page("nothing").figures == []


# --- data cannot break out ---------------------------------------------------------------------


def test_data_stay_text() -> None:
    """Every word of every table, as somebody hostile would write it."""
    changed: dict[str, Any] = {}
    keep = {"status", "stage", "kind", "slice", "curve", "statistic", "part", "model", "metric"}
    keep |= {"parameters", "currency", "severity", "run_id"}
    for name in COLUMNS:
        hostile = getattr(full(), name).copy()
        for column in hostile.columns:
            texts = hostile[column].map(lambda value: isinstance(value, str))
            if column not in keep and texts.any():
                hostile[column] = hostile[column].where(~texts, EVIL + hostile[column].astype(str))
        changed[name] = hostile
    confusion = full().curves["curve"] == "confusion"
    changed["curves"].loc[confusion, "name"] = full().curves.loc[confusion, "name"]
    champion = {**(full().champion or {}), "family": EVIL, "parameters": {EVIL: EVIL}}
    read = Page(render(replace(full(), champion=champion, **changed)))
    assert len(read.scripts) == 2
    assert not any("hacked" in script for script in read.scripts)
    assert "img" not in {tag for tag, _ in read.tags}
    assert all(EVIL in read.sections[name] for name in ("flow", "quality", "drift", "origin"))
    # In a chart, plotly would read tags: there they are spelt out.
    drawn = json.dumps(read.figures)
    assert "&lt;/script&gt;" in drawn
    assert "<script" not in drawn and "<img" not in drawn
