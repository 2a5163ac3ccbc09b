"""Which features the model leans on."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Chart, Grid, Section
from driftline.report.charts import horizontal_bars
from driftline.report.facts import Facts
from driftline.report.model import points

_SHOWN = 15


def ranked(facts: Facts) -> list[tuple[str, float]]:
    """Features with their share of the importance of all, largest first."""
    found = [(str(row["name"]), float(row["y"] or 0)) for row in points(facts, "importance")]
    whole = sum(value for _, value in found) or 1.0
    return sorted(((name, value / whole) for name, value in found), key=lambda each: -each[1])


def section(facts: Facts) -> Section:
    """The section *Top features*."""
    made = Section(
        id="importance",
        title="What the model looks at",
        how="How much of the model's decisions rests on each feature, as a share of all. It says "
        "what the model uses, not what causes the outcome.",
        missing="No model has been evaluated yet.",
    )
    features = ranked(facts)
    if not features:
        return made
    shown = features[:_SHOWN]
    first, weight = features[0]
    finding = f"{first} weighs most: {words.share(weight)} of the importance"
    if len(features) > 3:
        finding += f"; the first three together {words.share(sum(v for _, v in features[:3]))}"
    unused = sum(value == 0 for _, value in features)
    finding += f"; {words.plural(unused, 'feature')} unused." if unused else "."
    chart = Chart(
        horizontal_bars(
            [name for name, _ in shown],
            [value for _, value in shown],
            texts=[words.share(value) for _, value in shown],
            x_format="~%",
        ),
        f"The first {len(shown)} of {len(features)} features"
        if len(features) > len(shown)
        else f"All {len(features)} features",
        "Importance: " + "; ".join(f"{name} {words.share(value)}" for name, value in shown),
        height=60 + 26 * len(shown),
    )
    return Section(made.id, made.title, made.how, finding, [Grid([chart])])
