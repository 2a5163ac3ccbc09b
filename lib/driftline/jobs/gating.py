"""The gate: whether a model that was judged may become champion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from driftline import portable
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.evaluation import Interval, Slice
from driftline.jobs.judging import feature_columns
from driftline.jobs.line import Line
from driftline.metrics import SMALLER_IS_BETTER
from driftline.registry import Registry, Version
from driftline.serving.facts import Facts
from driftline.serving.model import Portable

LEARNT_UNTIL = "learnt_until"
"""The tag of a version that says when the last label it learnt from was over, in ISO 8601."""


def files(models: Registry, version: Version) -> tuple[Path | None, str]:
    """Where a version's files are; or why they are not those that were recorded."""
    try:
        return models.folder(version), ""
    except (Missing, TryAgain):  # a full disk, a server that is away
        raise
    except DriftlineError as error:
        return None, error.what


def before(
    line: Line, models: Registry, champion: Version | None, *, tested: datetime
) -> tuple[Portable | None, str]:
    """The champion, to be scored on rows from ``tested`` on; or why it cannot be. Neither where
    there is none.
    """
    if champion is None:
        return None, ""
    folder, lost = files(models, champion)
    if folder is None:
        return None, lost
    there = Portable((folder / portable.FILE).read_bytes())
    problem = json.loads((folder / "problem.json").read_text("utf-8"))
    learnt = champion.tags.get(LEARNT_UNTIL)
    unscored = unlike(line, there.facts, problem, learnt=learnt, tested=tested)
    return (None, unscored) if unscored else (there, "")


def unlike(
    line: Line, champion: Facts, problem: Mapping[str, Any], *, learnt: str | None, tested: datetime
) -> str:
    """Why a champion of ``problem``, as JSON, is not scored on today's test rows; or nothing.

    By time, whatever the problem was then, its last label has to be over when the first test row is
    made; else the same entities have to be drawn for the test.
    """
    if champion.task != line.problem.task:
        return f"its task is {champion.task}"
    if line.problem.split.by == "time":
        if learnt is None:
            return (
                "it does not say until when it learnt, as an older driftline made it "
                "(train once without beat: champion)"
            )
        if (until := datetime.fromisoformat(learnt)) > tested:
            return f"it learnt from labels up to {until:%Y-%m-%d}, and the test rows begin before"
    elif _testing(problem) != _testing(line.problem.model_dump(mode="json", by_alias=True)):
        return "split or seed were others then, it may have learnt from the test rows"
    there = {(name, type_ == "string") for name, type_ in feature_columns(line)}
    if {(each.name, each.is_word) for each in champion.columns} <= there:
        return ""
    return "not all of its features are there"


def _testing(problem: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """What decides which entities test."""
    rule = {name: each for name, each in problem["split"].items() if name != "recent"}
    return rule, problem["train"]["seed"]


def reasons(
    line: Line,
    metrics: Mapping[str, Interval],
    beaten: Mapping[str, Interval],
    slices: Sequence[Slice],
    champion: int | None,
    unscored: str = "",
    suspicious: str = "",
) -> list[str]:
    """Why the gate says no; empty when it says yes.

    ``champion``: its version, if there is one; ``unscored``: why it could not be scored;
    ``suspicious``: which columns tell the label too well.
    """
    train = line.problem.train
    got, floor = metrics[train.metric].value, train.gate.floor
    reasons = []
    if not math.isfinite(got):
        reasons.append(f"{train.metric} is not a number")
    if floor is not None:
        smaller = train.metric in SMALLER_IS_BETTER
        if got > floor if smaller else got < floor:
            reasons.append(f"{train.metric} {got:.4f} does not reach the floor {floor}")
    reasons += [
        f"does not beat {name}: {_better(beaten[name])}"
        for name in train.gate.beat
        if name in beaten and not beaten[name].low > 0
    ]
    if "champion" in train.gate.beat:
        if unscored:  # by default it is only said: it would else be champion for ever
            reasons.append(f"cannot be compared with champion version {champion}: {unscored}")
    elif "champion" in beaten and beaten["champion"].high < 0:  # NaN: it has no metric here
        reasons.append(
            f"is worse than champion version {champion} on the same rows: "
            + _better(beaten["champion"])
        )
    if suspicious and train.gate.suspicions == "refuse":
        reasons.append(f"may have seen the label (else gate: {{suspicions: say}}): {suspicious}")
    if train.gate.slices is not None:
        reasons += [
            f"{train.metric} is {each.metric.value:.4f} [{each.metric.low:.4f}, "
            f"{each.metric.high:.4f}] where {each.column} is {_said(each)}, more than "
            f"{train.gate.slices} worse than the {got:.4f} of all rows"
            for each in slices
            if _worse(each, got, train.metric) > train.gate.slices
        ]
    return reasons


def _better(found: Interval) -> str:
    return f"better by {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _said(found: Slice) -> str:
    """A quartile, or nothing: a word may be a row's value, and ``ops.slices`` has it."""
    return found.value if found.between else f"one of its values ({found.rows:,} rows)"


def _worse(found: Slice, whole: float, metric: str) -> float:
    """By how much the better end of a slice's interval is worse than the metric of all rows."""
    if metric in SMALLER_IS_BETTER:
        return found.metric.low - whole
    return whole - found.metric.high
