"""The whole page: hero, verdicts, sections, and the one script that draws the charts."""

from __future__ import annotations

import base64
import hashlib
import math
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from driftline import __version__
from driftline.report import (
    candidates,
    cost,
    drift,
    explored,
    features,
    flow,
    importance,
    performance,
    provenance,
    quality,
    scores,
    since,
    sla,
    words,
)
from driftline.report.facts import Facts
from driftline.report.ledger import runs_of
from driftline.report.model import measured, title, version

_NAMES = {
    "flow": "Rows",
    "quality": "Quality",
    "explored": "Tables",
    "features": "Features",
    "candidates": "Candidates",
    "model": "Model",
    "importance": "Top features",
    "scores": "Scores",
    "since": "Since then",
    "drift": "Drift",
    "cost": "Cost",
    "sla": "Promises",
    "origin": "Origin",
}
"""What the navigation calls each section."""


def render(facts: Facts) -> str:
    """The page as one HTML document that loads nothing from anywhere.

    The scripts are named by their digest in the page's content security policy, so that no other
    script runs, whatever the data say. Line ends must stay as they are: write it with
    ``newline="\\n"`` or as bytes.
    """
    scripts = [get_plotlyjs(), _packaged("page.js")]
    sections = [
        each.section(facts)
        for each in (
            flow,
            quality,
            explored,
            features,
            candidates,
            performance,
            importance,
            scores,
            since,
            drift,
            cost,
            sla,
            provenance,
        )
    ]
    chips = [each.chip(facts) for each in (performance, since, flow, quality, drift, cost, sla)]
    return (
        _templates()
        .get_template("page.html")
        .render(
            problem=facts.problem,
            lead=lead(facts),
            generated=words.when(facts.generated_at),
            chips=chips,
            sections=sections,
            names=_NAMES,
            driftline=__version__,
            style=Markup(_packaged("style.css")),
            scripts=[Markup(script) for script in scripts],
            digests=[_digest(script) for script in scripts],
        )
    )


def lead(facts: Facts) -> str:
    """The answer in one or two sentences, for somebody who reads no further."""
    if version(facts) is None:
        past = runs_of(facts)
        if not past:
            return "Nothing has run yet."
        return f"There is no model yet; {past[-1]['stage']} is the last stage that ran."
    said = performance.explained(facts.problem, measured(facts))
    if facts.champion is None:
        return f"No champion yet: the newest model has not been promoted. {said}".strip()
    return f"Champion: {title(facts)}. {said}".strip()


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("driftline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["finite"] = _finite
    return environment


def _packaged(name: str) -> str:
    return (resources.files("driftline.report") / "templates" / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _finite(value: Any) -> Any:
    """The figure with numbers of Python's own types; JSON has no NaN, so that becomes null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
