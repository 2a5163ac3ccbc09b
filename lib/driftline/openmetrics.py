"""What monitoring knows, as OpenMetrics text: for node_exporter's textfile collector, or a push.

Gauges only, without timestamps: what the collector takes, and what Prometheus' older text format
reads alike. A number that is not known is absent, so that an alert can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics import exposition

from driftline.decision import CAUSES

ACTIONS = ("keep", "watch", "retrain")


@dataclass(frozen=True)
class State:
    """The newest decision and what it rests on, as far as it is about the champion."""

    at: datetime
    as_of: datetime
    action: str
    causes: tuple[str, ...]
    metric: str
    values: Mapping[str, float | None]
    """The metric by kind: real, expected, reference."""
    drift: float | None
    skew: float | None
    skewed: tuple[str, ...]
    trusted: bool | None
    gain: float | None
    cost: float | None


@dataclass(frozen=True)
class Stage:
    """The newest run of a stage, or one before it that was killed."""

    name: str
    status: str
    ended: datetime
    seconds: float
    money: float
    past: bool = False
    """Whether how it ended is no news, as a turn was begun since that could tell."""


def text(found: CollectorRegistry) -> str:
    """Gauges as OpenMetrics text."""
    untyped: Any = exposition
    return str(untyped.generate_latest(found).decode())


def registry(
    problem: str, state: State | None, stages: Sequence[Stage], *, champion: int | None
) -> CollectorRegistry:
    """The gauges of one problem; times are seconds since 1970, ``champion`` is its version."""
    found = CollectorRegistry()

    def gauge(name: str, said: str, *labels: str) -> Gauge:
        return Gauge(f"driftline_{name}", said, ["problem", *labels], registry=found)

    seconds = gauge("stage_seconds", "Wall time of the newest run of a stage", "stage")
    money = gauge("stage_money", "Its cost by the price book", "stage")
    ended = gauge("stage_ended_timestamp_seconds", "When it ended", "stage")
    failed = gauge(
        "stage_failed",
        "1 if it failed or was refused in the newest turn, or was killed and that turn found it",
        "stage",
        "status",
    )
    for each in stages:
        seconds.labels(problem, each.name).set(each.seconds)
        money.labels(problem, each.name).set(each.money)
        ended.labels(problem, each.name).set(each.ended.timestamp())
        wrong = each.status in ("failed", "refused", "killed") and not each.past
        failed.labels(problem, each.name, each.status).set(float(wrong))
    if champion is not None:
        gauge("champion_version", "The champion's version").labels(problem).set(champion)
    if state is None:
        return found
    values = gauge("performance", "The problem's metric, by kind", "kind", "metric")
    for kind, value in state.values.items():
        if value is not None:
            values.labels(problem, kind, state.metric).set(value)
    action = gauge("decision", "1 for the newest decision's action", "action")
    for name in ACTIONS:
        action.labels(problem, name).set(float(name == state.action))
    cause = gauge("cause", "1 for each of its causes", "cause")
    for name in CAUSES:
        cause.labels(problem, name).set(float(name in state.causes))
    gauge("decided_timestamp_seconds", "When it was made").labels(problem).set(state.at.timestamp())
    known = gauge("as_of_timestamp_seconds", "The day it was made as of")
    known.labels(problem).set(state.as_of.timestamp())
    skewed = gauge("feature_skewed", "1 for each feature that is not as in training", "feature")
    for name in state.skewed:
        skewed.labels(problem, name).set(1.0)
    for name, said, number in (
        ("promise_trusted", "Whether labels bore out what scores promised", state.trusted),
        ("drift_share", "Share of the importance in features that drifted", state.drift),
        ("skew_share", "Share of it in features that are not as in training", state.skew),
        ("retraining_gain", "What training again may gain at most", state.gain),
        ("retraining_cost", "What the last training cost", state.cost),
    ):
        if number is not None:
            gauge(name, said).labels(problem).set(float(number))
    return found
