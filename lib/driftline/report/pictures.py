"""The curves of an evaluation: ROC, precision and recall, confusion, calibration, residuals."""

from __future__ import annotations

from itertools import pairwise

from driftline.report import words
from driftline.report.blocks import Block, Chart, Confusion, Grid, Side
from driftline.report.charts import calibration, curve
from driftline.report.facts import Facts, whole
from driftline.report.histograms import steps
from driftline.report.model import measured, points, value

Bin = tuple[float, float, float]


def pictures(facts: Facts) -> list[Block]:
    """Whatever was drawn, in pairs."""
    first = [chart for chart in (_roc(facts), _pr(facts)) if chart]
    second: list[Block] = [
        block for block in (_confusion(facts), _calibration(facts), _residuals(facts)) if block
    ]
    blocks: list[Block] = [Grid(first)] if first else []
    return [*blocks, Side(second)] if second else blocks


def bins(facts: Facts, name: str) -> list[Bin]:
    """``score`` or ``residual`` as (left, right, share), the last bin as wide as the first."""
    found = sorted(
        (float(row["x"]), float(row["y"] or 0))
        for row in points(facts, name)
        if row["x"] is not None
    )
    if not found:
        return []
    edges = [x for x, _ in found]
    edges.append(edges[-1] + (edges[1] - edges[0] if len(edges) > 1 else 1.0))
    return [(x, edges[place + 1], y) for place, (x, y) in enumerate(found)]


def cells(facts: Facts) -> dict[str, int]:
    """The confusion matrix by ``tp``, ``fp``, ``fn``, ``tn``; empty if it was not drawn."""
    return {str(row["name"]): whole(row["y"]) for row in points(facts, "confusion")}


def _xy(facts: Facts, name: str) -> list[tuple[float, float]]:
    found = points(facts, name)
    return sorted(
        (float(row["x"]), float(row["y"]))
        for row in found
        if row["x"] is not None and row["y"] is not None
    )


def _roc(facts: Facts) -> Chart | None:
    line = _xy(facts, "roc")
    if not line:
        return None
    auc = value(measured(facts), "model", "roc_auc")
    area = f", area {words.decimal(auc['value'])}" if auc else ""
    return Chart(
        curve(
            line,
            x="false alarms (false positive rate)",
            y="found (true positive rate)",
            reference=[(0, 0), (1, 1)],
            reference_name="guessing",
            hover="false alarms %{x:.1%}<br>found %{y:.1%}<extra></extra>",
        ),
        f"ROC{area}",
        f"ROC curve of the model{area}. {_at(line, 0.2, 'found', 'false alarms')}",
        f"Towards the top left is better. {_at(line, 0.2, 'found', 'false alarms')}",
    )


def _pr(facts: Facts) -> Chart | None:
    # Equal recalls keep the order they were drawn in, from no recall to all of it.
    found = [row for row in points(facts, "pr") if row["x"] is not None and row["y"] is not None]
    if found and found[0]["x"] > found[-1]["x"]:
        found.reverse()
    line = [(float(r["x"]), float(r["y"])) for r in sorted(found, key=lambda r: float(r["x"]))]
    if not line:
        return None
    area = value(measured(facts), "model", "pr_auc")
    said = f", area {words.decimal(area['value'])}" if area else ""
    matrix = cells(facts)
    judged = sum(matrix.values())
    base = (matrix.get("tp", 0) + matrix.get("fn", 0)) / judged if judged else line[-1][1]
    return Chart(
        curve(
            line,
            x="recall: share of all yes found",
            y="precision: flags that are right",
            reference=[(0, base), (1, base)],
            reference_name=f"guessing, {words.share(base)}",
            hover="recall %{x:.1%}<br>precision %{y:.1%}<extra></extra>",
        ),
        f"Precision and recall{said}",
        f"Precision-recall curve of the model{said}; {words.share(base)} of the rows are a yes.",
        f"Towards the top right is better; {words.share(base)} of the rows are a yes.",
    )


def _at(line: list[tuple[float, float]], x: float, up: str, along: str) -> str:
    """The curve at one place, between its points."""
    for (x0, y0), (x1, y1) in pairwise(line):
        if x0 <= x <= x1 and x1 > x0:
            y = y0 + (x - x0) / (x1 - x0) * (y1 - y0)
            return f"At {words.share(x)} {along}, {words.share(y)} {up}."
    return ""


def _confusion(facts: Facts) -> Confusion | None:
    matrix = cells(facts)
    judged = sum(matrix.values())
    if not judged:
        return None
    matrix = {name: matrix.get(name, 0) for name in ("tp", "fp", "fn", "tn")}
    flagged, ones = matrix["tp"] + matrix["fp"], matrix["tp"] + matrix["fn"]
    said = [f"{words.share((matrix['tp'] + matrix['tn']) / judged)} of all answers are right"]
    if flagged:
        said.append(f"of those flagged {words.share(matrix['tp'] / flagged)} are right (precision)")
    if ones:
        said.append(f"of all yes {words.share(matrix['tp'] / ones)} are found (recall)")
    return Confusion(
        {name: words.count(each) for name, each in matrix.items()},
        {name: words.share(each / judged) for name, each in matrix.items()},
        {name: each / judged for name, each in matrix.items()},
        words.capital("; ".join(said)) + ".",
    )


def _calibration(facts: Facts) -> Grid | None:
    found = sorted(
        (float(row["x"]), float(row["y"]), whole(row["rows"]))
        for row in points(facts, "calibration")
        if row["x"] is not None and row["y"] is not None
    )
    if not found:
        return None
    classes = facts.problem.task == "classification"
    weights = [each[2] or 1 for each in found]
    gap = sum(w * abs(x - y) for (x, y, _), w in zip(found, weights, strict=True)) / sum(weights)
    said = f"{100 * gap:.1f} percentage points" if classes else words.decimal(gap)
    note = f"Prediction and outcome of a group differ by {said} on average."
    return Grid(
        [
            Chart(
                calibration(found, unit="probability" if classes else "value", percent=classes),
                "Calibration",
                f"Calibration of {words.plural(len(found), 'group')} of rows. {note}",
                f"On the dashed line a prediction can be taken at its word. {note}",
            )
        ]
    )


def _residuals(facts: Facts) -> Grid | None:
    found = bins(facts, "residual")
    if not found:
        return None
    return Grid(
        [
            Chart(
                steps(found, x="actual minus predicted", percent_x=False),
                "What is left over",
                f"Histogram of the residuals, from {words.decimal(found[0][0])} to "
                f"{words.decimal(found[-1][1])}",
                "A good model leaves a narrow heap around 0, as high on the left as on the right.",
            )
        ]
    )
