"""The conserved part of the flow, from deliveries to silver, as streams."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Block, Chart, Grid
from driftline.report.charts import AMBER, BLUE, GREEN, GREY, VERMILION, sankey
from driftline.report.facts import Facts, total
from driftline.report.ledger import runs_of
from driftline.report.records import Delivered, gated


def streams(facts: Facts, sources: list[Delivered]) -> list[Block]:
    """The conserved part of the flow, wide screens only: the stacks say the same on a phone."""
    gate = gated(facts)
    accepted = sum(each.accepted for each in sources)
    # Rows judged twice, after a rebuild, are not a flow.
    adds_up = total(runs_of(facts, "validate", status="done"), "rows_in") <= accepted
    judged = gate if gate and (adds_up or gate.records == accepted) else None
    if not accepted or not (judged or len(sources) > 1):
        return []
    centre = 0.5 if judged else 0.999
    nodes: list[tuple[str, str, float, float]] = [
        (f"{words.name(each.name)[:24]} {words.count(each.records)}", BLUE, 0.001, y)
        for each, y in zip(sources, _middles([each.records for each in sources]), strict=True)
    ]
    links: list[tuple[int, int, int, str]] = []

    def flow(start: int, end: int, amount: int, colour: str) -> None:
        links.append((start, end, amount, colour))

    def node(label: str, amount: int, colour: str, x: float, y: float) -> int:
        nodes.append((f"{label} {words.count(amount)}", colour, x, y))
        return len(nodes) - 1

    middle = node("accepted", accepted, BLUE, centre, 0.35)
    for place, each in enumerate(sources):
        flow(place, middle, each.accepted, "rgba(0,114,178,0.22)")
    for label, colour, pale, y in (
        ("rejected", VERMILION, "rgba(213,94,0,0.35)", 0.82),
        ("already known", GREY, "rgba(138,148,163,0.35)", 0.94),
    ):
        amounts = [e.rejected if label == "rejected" else e.duplicate for e in sources]
        if sum(amounts):
            end = node(label, sum(amounts), colour, centre, y)
            for place, amount in enumerate(amounts):
                if amount:
                    flow(place, end, amount, pale)
    if judged:
        ends = [
            ("silver", judged.accepted, GREEN, "rgba(0,158,115,0.25)", 0.3),
            ("quarantined", judged.rejected, AMBER, "rgba(230,159,0,0.4)", 0.72),
            ("repeated key", judged.duplicate, GREY, "rgba(138,148,163,0.35)", 0.86),
            ("not judged yet", accepted - judged.records, GREY, "rgba(138,148,163,0.2)", 0.96),
        ]
        for label, amount, colour, pale, y in ends:
            if amount > 0:
                flow(middle, node(label, amount, colour, 0.999, y), amount, pale)
    chart = Chart(
        sankey(nodes, links),
        "From deliveries to silver" if judged else "From deliveries to bronze",
        "Flow of rows: " + "; ".join(label for label, *_ in nodes) + ".",
        height=320,
    )
    return [Grid([chart], wide_only=True)]


def _middles(amounts: list[int]) -> list[float]:
    """Heights (0 to 1, from the top) for pieces below each other with even gaps."""
    whole, gap = sum(amounts) or 1, 0.28 / max(1, len(amounts) - 1)
    reached = 0.0
    middles = []
    for amount in amounts:
        height = 0.7 * amount / whole
        middles.append(min(0.98, max(0.02, reached + height / 2)))
        reached += height + gap
    return middles
