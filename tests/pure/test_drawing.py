"""Pictures of two sides: what is drawn of a category is what the side has of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from profiles import words

from driftline.delta_files import Schema
from driftline.jobs import drawing
from driftline.jobs.sides import Side
from driftline.profile import Profile
from driftline.report.histograms import overlay

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
BEFORE, AFTER = (Side("t", n, AT, "whole", (), (), Schema((), None)) for n in (1, 2))


def drawn(before: Profile, after: Profile) -> dict[str, dict[str, float | None]]:
    """Category → share, as each side's bars show it."""
    bins = drawing._bins({BEFORE: before, AFTER: after})
    names = ("low", "high", "category", "share")
    rows = [
        [{**dict(zip(names, each, strict=True)), "kind": "categorical"} for each in bins[side]]
        for side in (BEFORE, AFTER)
    ]
    figure: dict[str, Any] = overlay(*rows, names=("before", "after"))
    return {
        each["name"]: dict(zip(each["hovertext"], each["x"], strict=True))
        for each in figure["data"]
    }


def test_what_is_rare_on_one_side_is_not_drawn_as_gone() -> None:
    """120 words, about equally frequent: which are the fifty most frequent is up to chance."""
    random = np.random.default_rng(0)
    names = [f"c{place:03}" for place in range(120)]
    then = Counter(random.choice(names, 10_000).tolist())
    now = Counter(random.choice(names, 10_000).tolist()) + Counter({"NEW": 4_000})
    shown = drawn(words(then), words(now))
    for side, counts in (("before", then), ("after", now)):
        bars = shown[side]
        assert sum(share for share in bars.values() if share is not None) == pytest.approx(1.0)
        assert len(bars) == 9 and "others" in bars
        for word in set(bars) - {"others"}:
            assert bars[word] == pytest.approx(counts[word] / counts.total())
    assert shown["before"]["NEW"] == 0.0


def test_nothing_is_drawn_of_what_nobody_knows() -> None:
    """A sketch forgets the rare: a category that it does not list may be there all the same."""
    then, now = words({"a": 50, "b": 50}), words({"a": 50, "c": 30})
    assert then.counts is not None
    partial = replace(then, rows=120, counts=replace(then.counts, unlisted=20))
    shown = drawn(partial, now)
    assert shown["before"] == pytest.approx(
        {"a": 50 / 120, "b": 50 / 120, "c": None, "others": 1 / 6}
    )
    assert shown["after"] == pytest.approx({"a": 5 / 8, "b": 0.0, "c": 3 / 8, "others": 0.0})


def test_all_there_are_are_counted() -> None:
    counts = {f"c{place}": 10 for place in range(12)}
    assert "4 others" in drawn(words(counts), words(counts))["before"]
