"""Histograms of columns: one version of a table, or two laid over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from driftline.profile import LAST, moment
from driftline.report.charts import BLUE, VERMILION, Figure, figure, plain
from driftline.report.facts import Row

_MOST_CATEGORIES = 8
_ALL = 1e-3
"""Where listed categories lack less than this of the rows, they are all there are."""

_MILLISECONDS = 1000
"""Plotly counts times in them, profiles in seconds."""


def overlay(before: Sequence[Row], after: Sequence[Row], *, names: tuple[str, str]) -> Figure:
    """Bars for ``after``, an outline for ``before``; either may be empty."""
    if any(row["kind"] == "categorical" for row in [*before, *after]):
        return _categories(before, after, names)
    return _numbers(before, after, names)


def steps(bins: Sequence[tuple[float, float, float]], *, x: str, percent_x: bool) -> Figure:
    """Bars for (low, high, share)."""
    return figure(
        [_bars(bins, "", density=False, times=False)],
        xaxis={"title": {"text": x}, "tickformat": ".0%" if percent_x else "", "showgrid": False},
        yaxis={"title": {"text": "share"}, "tickformat": "~%", "rangemode": "tozero"},
        bargap=0,
        showlegend=False,
    )


def _numbers(before: Sequence[Row], after: Sequence[Row], names: tuple[str, str]) -> Figure:
    times = any(row["kind"] == "time" for row in [*before, *after])
    then, now = (_bins(each, most=LAST if times else math.inf) for each in (before, after))
    density = _uneven([*then, *now])
    traces = []
    if now:
        traces.append(_bars(now, names[1], density=density, times=times))
    if then:
        traces.append(_outline(then, names[0], density=density, times=times))
    return figure(
        traces,
        bargap=0,
        showlegend=False,
        xaxis={
            "type": "date" if times else "linear",
            "tickformat": "",
            "nticks": 5,
            "showgrid": False,
        },
        yaxis={
            "tickformat": "" if density else "~%",
            "showticklabels": not density,
            "nticks": 4,
            "rangemode": "tozero",
        },
    )


def _bins(records: Sequence[Row], *, most: float) -> list[tuple[float, float, float]]:
    """(low, high, share) in order; open ends are closed, a bin without width gets some."""
    bins = []
    for row in records:
        low, high = row["low"], row["high"]
        low = high if low is None or not math.isfinite(low) else low
        high = low if high is None or not math.isfinite(high) else high
        if low is not None and math.isfinite(low):
            bins.append((min(low, most), min(high, most), float(row["share"] or 0)))
    bins.sort()
    span = bins[-1][1] - bins[0][0] if bins else 0
    least = span / 60 or 1.0
    return [(low, high if high > low else low + least, height) for low, high, height in bins]


def _uneven(bins: Sequence[tuple[float, float, float]]) -> bool:
    widths = [high - low for low, high, _ in bins]
    return bool(widths) and max(widths) > 1.05 * min(widths)


def _height(low: float, high: float, height: float, density: bool) -> float:
    return height / (high - low) if density else height


def _bars(
    bins: Sequence[tuple[float, float, float]], name: str, *, density: bool, times: bool
) -> Any:
    scale = _MILLISECONDS if times else 1
    return go.Bar(
        x=[scale * (low / 2 + high / 2) for low, high, _ in bins],
        width=[scale * (high - low) for low, high, _ in bins],
        y=[_height(low, high, height, density) for low, high, height in bins],
        name=name,
        marker={"color": BLUE, "opacity": 0.72, "line": {"width": 0}},
        customdata=[_words(*each, times=times) for each in bins],
        hovertemplate=f"{plain(name)} %{{customdata}}<extra></extra>",
    )


def _outline(
    bins: Sequence[tuple[float, float, float]], name: str, *, density: bool, times: bool
) -> Any:
    """A line along the tops of the bins, down to the ground at both ends and in gaps."""
    x, y, said = [bins[0][0]], [0.0], [""]
    for place, (low, high, height) in enumerate(bins):
        x += [low, high]
        y += [_height(low, high, height, density)] * 2
        said += [_words(low, high, height, times=times)] * 2
        if place + 1 == len(bins) or bins[place + 1][0] > high:
            x.append(high)
            y.append(0.0)
            said.append("")
            if place + 1 < len(bins):
                x.append(bins[place + 1][0])
                y.append(0.0)
                said.append("")
    return go.Scatter(
        x=[_MILLISECONDS * each for each in x] if times else x,
        y=y,
        name=name,
        mode="lines",
        line={"color": VERMILION, "width": 2},
        customdata=said,
        hovertemplate=f"{plain(name)} %{{customdata}}<extra></extra>",
    )


def _words(low: float, high: float, height: float, *, times: bool) -> str:
    ends = f"{moment(low)} to {moment(high)}" if times else f"{low:,.4g} to {high:,.4g}"
    return f"{ends}: {100 * height:.1f} %"


def _categories(before: Sequence[Row], after: Sequence[Row], names: tuple[str, str]) -> Figure:
    then, now = _shares(before), _shares(after)
    most = {word: max(then.get(word, 0), now.get(word, 0)) for word in {*then, *now}}
    order = sorted(most, key=lambda word: (-most[word], word))
    shown = order[:_MOST_CATEGORIES]
    # What is not listed is among the others, too, but nobody knows how many those are.
    hidden = [1 - sum(shares.values()) for shares in (then, now) if shares]
    rest, listed = order[_MOST_CATEGORIES:], max(hidden, default=0) < _ALL
    if rest or not listed:
        other = f"{len(rest)} others" if listed else "others"
        for shares in filter(None, (then, now)):
            shares[other] = max(0.0, 1 - sum(shares.get(word, 0) for word in shown))
        shown.append(other)
    traces = [
        go.Bar(
            y=list(range(len(shown))),
            x=[shares.get(word) for word in shown],  # none where a side does not tell
            orientation="h",
            name=name,
            marker={
                "color": fill,
                "opacity": 0.72 if fill == BLUE else 1,
                "line": {"color": edge, "width": 0 if fill == BLUE else 2},
            },
            hovertext=[plain(word, 60) for word in shown],
            hovertemplate=f"{plain(name)} %{{hovertext}}: %{{x:.1%}}<extra></extra>",
        )
        for shares, name, fill, edge in (
            (now, names[1], BLUE, BLUE),
            (then, names[0], "rgba(0,0,0,0)", VERMILION),
        )
        if shares
    ]
    return figure(
        traces,
        barmode="overlay",
        bargap=0.3,
        showlegend=False,
        xaxis={"tickformat": "~%", "nticks": 4, "rangemode": "tozero"},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": [plain(word, 14) + "  " for word in shown],
            "range": [len(shown) - 0.5, -0.5],
            "showgrid": False,
            "ticks": "",
        },
    )


def _shares(records: Sequence[Row]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for row in records:
        word = "(none)" if row["category"] is None else str(row["category"])
        shares[word] = shares.get(word, 0.0) + float(row["share"] or 0)
    return shares
