"""The figures, as plotly JSON, in the colours of the light page; ``page.js`` knows the dark ones.

Plotly reads a few HTML tags in its labels, so each word that comes from data goes through
:func:`plain` first.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from driftline.report import words

Figure = dict[str, Any]
Points = Sequence[tuple[float, float]]

BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
AMBER = "#e69f00"
PURPLE = "#a6548a"
SKY = "#56b4e9"
GREY = "#8a94a3"
FILL = "rgba(0,114,178,0.16)"
SERIES = (BLUE, AMBER, GREEN, PURPLE, SKY, VERMILION, GREY, "#5b4b8a", "#8c6d31")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""

_MOST_POINTS = 400


def plain(text: Any, most: int = 28) -> str:
    """A word from data that plotly shows as it is, cut to ``most`` characters."""
    string = str(text)
    return html.escape(string if len(string) <= most else string[: most - 1] + "…", quote=False)


def figure(traces: list[Any], **layout: Any) -> Figure:
    """Traces and layout, checked by plotly, without its default look."""
    made: Figure = go.Figure(data=traces, layout=layout).to_plotly_json()
    made["layout"].pop("template", None)
    return made


def curve(
    points: Points, *, x: str, y: str, reference: Points, reference_name: str, hover: str
) -> Figure:
    """A curve in the unit square with a dashed line to compare it with."""
    kept = _thinned(points)
    return figure(
        [
            _line(reference, GREY, reference_name, dash="dash", hoverinfo="skip"),
            _line(kept, BLUE, "model", fill="tozeroy", fillcolor=FILL, hovertemplate=hover),
        ],
        xaxis={"title": {"text": x}, "range": [0, 1], "tickformat": ".0%", "dtick": 0.25},
        yaxis={"title": {"text": y}, "range": [0, 1.01], "tickformat": ".0%", "dtick": 0.25},
        showlegend=False,
        annotations=[_beside_line(reference, reference_name)],
    )


def calibration(points: Sequence[tuple[float, float, int]], *, unit: str, percent: bool) -> Figure:
    """Mean prediction against what came true, a point per group; on the diagonal is right."""
    largest = max((rows for _, _, rows in points), default=0) or 1
    low = min(0.0, *(min(x, y) for x, y, _ in points))
    high = max(max(x, y) for x, y, _ in points) * 1.05 or 1.0
    axis = {"range": [low, high], "tickformat": ".0%" if percent else ""}
    value = ".1%" if percent else ",.3~r"
    return figure(
        [
            _line([(low, low), (high, high)], GREY, "perfect", dash="dash", hoverinfo="skip"),
            go.Scatter(
                x=[x for x, _, _ in points],
                y=[y for _, y, _ in points],
                customdata=[words.count(rows) if rows else words.MISSING for _, _, rows in points],
                mode="lines+markers",
                line={"color": BLUE, "width": 2},
                marker={
                    "color": BLUE,
                    "size": [7 + 11 * math.sqrt(rows / largest) for _, _, rows in points],
                    "opacity": 0.85,
                },
                hovertemplate=f"predicted %{{x:{value}}}<br>observed %{{y:{value}}}"
                "<br>rows %{customdata}<extra></extra>",
            ),
        ],
        xaxis={"title": {"text": f"mean predicted {unit}"}, **axis},
        yaxis={"title": {"text": f"observed {unit}"}, **axis},
        showlegend=False,
    )


def horizontal_bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    texts: Sequence[str],
    colours: Sequence[str] | str = BLUE,
    x: str = "",
    x_format: str = "",
) -> Figure:
    """One bar a name, the first on top, its value in words at the end."""
    places = list(range(len(names)))
    top = max(values, default=0) or 1
    return figure(
        [
            go.Bar(
                y=places,
                x=list(values),
                orientation="h",
                marker={"color": colours, "line": {"width": 0}},
                text=[plain(text, 40) for text in texts],
                textposition="outside",
                cliponaxis=False,
                hovertext=[plain(name, 80) for name in names],
                hovertemplate="%{hovertext}: %{text}<extra></extra>",
            )
        ],
        xaxis={
            "title": {"text": x},
            "tickformat": x_format,
            "range": [0, top * 1.22],
            "nticks": 6,
        },
        yaxis=_names_axis([plain(name) for name in names]),
        bargap=0.32,
        showlegend=False,
    )


def stacked_over_time(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    texts: Mapping[str, Sequence[str]],
    *,
    y: str,
) -> Figure:
    """One bar a label, one piece a series."""
    return figure(
        [
            go.Bar(
                x=list(range(len(labels))),
                y=list(values),
                name=plain(name),
                marker={"color": SERIES[place % len(SERIES)], "line": {"width": 0}},
                customdata=list(texts[name]),
                hovertemplate=f"{plain(name)}: %{{customdata}}<extra></extra>",
            )
            for place, (name, values) in enumerate(series.items())
        ],
        barmode="stack",
        bargap=0.35 if len(labels) > 2 else 0.7,
        xaxis={
            "zeroline": False,
            "tickvals": list(range(len(labels))),
            "ticktext": [plain(label) for label in labels],
            "showgrid": False,
            "range": [-0.7, max(len(labels), 3) - 0.3],
        },
        yaxis={"title": {"text": y}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": -0.22, "x": 0, "traceorder": "normal"},
        hovermode="x unified",
    )


def sankey(
    nodes: Sequence[tuple[str, str, float, float]], links: Sequence[tuple[int, int, int, str]]
) -> Figure:
    """Flows of rows. A node is (label, colour, x, y), a link (from, to, rows, colour)."""
    return figure(
        [
            go.Sankey(
                arrangement="snap",
                node={
                    "label": [plain(label, 40) for label, *_ in nodes],
                    "color": [colour for _, colour, *_ in nodes],
                    "x": [x for _, _, x, _ in nodes],
                    "y": [y for *_, y in nodes],
                    "pad": 22,
                    "thickness": 14,
                    "line": {"width": 0},
                    "hovertemplate": "%{label}<extra></extra>",
                },
                link={
                    "source": [start for start, *_ in links],
                    "target": [end for _, end, *_ in links],
                    "value": [rows for _, _, rows, _ in links],
                    "color": [colour for *_, colour in links],
                    "customdata": [words.count(rows) for _, _, rows, _ in links],
                    "hovertemplate": "%{source.label} → %{target.label}: %{customdata}"
                    "<extra></extra>",
                },
            )
        ],
        margin={"l": 8, "r": 8, "t": 16, "b": 16},
    )


def intervals(
    entries: Sequence[tuple[str, float, float, float, str]],
    *,
    x: str,
    dots: Sequence[Sequence[float]] = (),
) -> Figure:
    """A point with its range for each (name, value, low, high, colour), the first on top."""
    places = list(range(len(entries)))
    traces = []
    if dots:
        traces.append(
            go.Scatter(
                x=[value for values in dots for value in values],
                y=[place for place, values in zip(places, dots, strict=True) for _ in values],
                mode="markers",
                marker={"color": GREY, "size": 6, "symbol": "line-ns-open", "line": {"width": 1.5}},
                hovertemplate="one fold: %{x:.4~r}<extra></extra>",
            )
        )
    traces.append(
        go.Scatter(
            x=[value for _, value, *_ in entries],
            y=places,
            mode="markers",
            marker={"color": [colour for *_, colour in entries], "size": 12},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - value for _, value, _, high, _ in entries],
                "arrayminus": [value - low for _, value, low, _, _ in entries],
                "color": GREY,
                "thickness": 2,
                "width": 5,
            },
            text=[
                f"{plain(name, 60)}<br>{words.interval(value, low, high)}"
                for name, value, low, high, _ in entries
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    return figure(
        traces,
        xaxis={"title": {"text": x}, "nticks": 6},
        yaxis=_names_axis([plain(name) for name, *_ in entries], grid=True),
        showlegend=False,
    )


def _names_axis(names: list[str], *, grid: bool = False) -> dict[str, Any]:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [name + "  " for name in names],
        "range": [len(names) - 0.5, -0.5],
        "showgrid": grid,
        "zeroline": False,
        "ticks": "",
    }


def _line(points: Points, colour: str, name: str, *, dash: str = "solid", **more: Any) -> Any:
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines",
        name=name,
        line={"color": colour, "width": 2.5 if dash == "solid" else 1.5, "dash": dash},
        **more,
    )


def _beside_line(line: Points, text: str) -> dict[str, Any]:
    (x0, y0), (x1, y1) = line[0], line[-1]
    steep = y1 - y0 > 0.5
    x = x0 + 0.62 * (x1 - x0) if steep else 0.02
    return {
        "x": x,
        "y": y0 + (x - x0) / ((x1 - x0) or 1) * (y1 - y0),
        "text": text,
        "showarrow": False,
        "font": {"color": GREY, "size": 11},
        "xanchor": "left",
        "yanchor": "top",
    }


def _thinned(points: Points) -> Points:
    """At most ``_MOST_POINTS``, ends included."""
    if len(points) <= _MOST_POINTS:
        return points
    step = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(place * step)] for place in range(_MOST_POINTS)]
