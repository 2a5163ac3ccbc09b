"""Which features the model leans on."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Chart, Grid, Section
from driftline.report.charts import horizontal_bars
from driftline.report.facts import Facts
from driftline.report.model import points

_SHOWN = 15


def ranked(facts: Facts) -> list[tuple[str, float]]:
    """Places of the model's vector with their share of the importance of all, largest first.

    A category of a feature has a place of its own; of features as a whole see :func:`by_feature`.
    """
    found = [(str(row["name"]), float(row["y"] or 0)) for row in points(facts, "importance")]
    whole = sum(value for _, value in found) or 1.0
    return sorted(((name, value / whole) for name, value in found), key=lambda each: -each[1])


def by_feature(facts: Facts) -> dict[str, float]:
    """What each column of the features is worth on the test rows, as a share of all they are
    worth, largest first; of any model, also one that says nothing of itself.

    What a model loses when the values of a column are dealt anew; none gains by it but by chance.
    """
    lost = {
        str(row["name"]): max(float(row["y"] or 0), 0.0) for row in points(facts, "permutation")
    }
    whole = sum(lost.values())
    if not whole:
        return {}
    order = sorted(lost, key=lambda name: -lost[name])
    return {name: lost[name] / whole for name in order}


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
