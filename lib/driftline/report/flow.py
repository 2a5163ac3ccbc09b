"""Rows through each stage: what arrived, what was kept out, what was learnt from."""

from __future__ import annotations

from dataclasses import dataclass

from driftline.report import words
from driftline.report.blocks import (
    Block,
    Cell,
    Chart,
    Chip,
    Grid,
    Note,
    Part,
    Section,
    Stack,
    Stacks,
    Table,
    Tone,
)
from driftline.report.charts import AMBER, BLUE, GREEN, GREY, VERMILION, sankey
from driftline.report.facts import Facts, Row, rows, total, whole
from driftline.report.ledger import last_done, runs_of


@dataclass(frozen=True)
class Delivered:
    """Records of one source, or of all: each is in exactly one of the last three."""

    name: str
    files: int
    repeated: int
    size: int
    records: int
    accepted: int
    rejected: int
    duplicate: int

    @property
    def missing(self) -> int:
        """Records in none of the three places; 0 unless something is broken."""
        return self.records - self.accepted - self.rejected - self.duplicate


def delivered(facts: Facts) -> list[Delivered]:
    """Each source that delivered, in the problem's order."""
    records = [row for row in rows(facts.deliveries) if row["status"] != "planned"]
    known = [*facts.problem.sources, *sorted({row["source"] for row in records})]
    sources = [name for name in dict.fromkeys(known) if any(r["source"] == name for r in records)]
    return [_add_up(name, [row for row in records if row["source"] == name]) for name in sources]


def _add_up(name: str, records: list[Row]) -> Delivered:
    landed = [row for row in records if row["status"] == "landed"]
    again = [row for row in records if row["status"] == "duplicate"]
    return Delivered(
        name=name,
        files=len(landed),
        repeated=len(again),
        size=total(records, "bytes"),
        records=total(records, "records"),
        accepted=total(landed, "accepted"),
        rejected=total(landed, "rejected"),
        duplicate=total(again, "records"),
    )


def chip(facts: Facts) -> Chip:
    """Whether every record is accounted for."""
    sources = delivered(facts)
    if not sources:
        return Chip("flow", "Data", "nothing yet", "", "No delivery has been ingested.", "calm")
    records = sum(each.records for each in sources)
    missing = sum(each.missing for each in sources)
    if missing:
        return Chip(
            "flow",
            "Data",
            words.count(records),
            "records",
            f"{words.count(abs(missing))} of them do not balance.",
            "bad",
        )
    kept = sum(each.accepted for each in sources)
    return Chip(
        "flow",
        "Data",
        words.count(records),
        "record" if records == 1 else "records",
        f"Every one accounted for; {words.share(kept / records) if records else 'none'} accepted.",
        "good",
    )


def section(facts: Facts) -> Section:
    """The section *Rows*."""
    made = Section(
        id="flow",
        title="Rows through the stages",
        how="Each bar is everything that reached a stage, split by what became of it. "
        "Nothing may vanish: what goes in comes out, or is kept with a reason.",
        missing="No delivery has been ingested yet.",
    )
    sources = delivered(facts)
    if not sources:
        return made
    stacks = _stacks(facts, sources)
    blocks: list[Block] = [Stacks(stacks), *_sankey(facts, sources), _sources(sources)]
    planned = [row for row in rows(facts.deliveries) if row["status"] == "planned"]
    if planned:
        blocks.insert(
            0,
            Note(
                f"{words.plural(len(planned), 'delivery', 'deliveries')} planned but not landed: "
                "an ingest is running, or was stopped and will finish them when it starts again.",
            ),
        )
    if len(facts.rejects):
        blocks.append(_rejects(facts))
    return Section(made.id, made.title, made.how, _finding(facts, sources), blocks)


def _finding(facts: Facts, sources: list[Delivered]) -> str:
    records = sum(each.records for each in sources)
    files = sum(each.files + each.repeated for each in sources)
    sentence = (
        f"{words.plural(records, 'record')} in {words.plural(files, 'delivery', 'deliveries')}: "
        f"{words.count(sum(each.accepted for each in sources))} accepted, "
        f"{words.count(sum(each.rejected for each in sources))} rejected, "
        f"{words.count(sum(each.duplicate for each in sources))} already known."
    )
    missing = sum(each.missing for each in sources)
    if missing:
        return f"{sentence} {words.count(abs(missing))} do not balance."
    gate = gated(facts)
    if gate:
        sentence += (
            f" Of {words.count(gate.records)} rows judged, {words.count(gate.accepted)} passed into "
            f"silver and {words.count(gate.rejected)} went to quarantine."
        )
    return sentence


def gated(facts: Facts) -> Delivered | None:
    """What the gate to silver did to the accepted records, over all runs if they add up."""
    done = runs_of(facts, "validate", status="done")
    if not done:
        return None
    if total(done, "rows_in") > sum(each.accepted for each in delivered(facts)):
        done = done[-1:]
    return Delivered(
        name="validate",
        files=0,
        repeated=0,
        size=0,
        records=total(done, "rows_in"),
        accepted=total(done, "rows_out"),
        rejected=total(done, "rows_rejected"),
        duplicate=total(done, "rows_duplicate"),
    )


def _stacks(facts: Facts, sources: list[Delivered]) -> list[Stack]:
    files = sum(each.files + each.repeated for each in sources)
    stacks = [
        _stack(
            "Ingest",
            f"records in {words.plural(files, 'delivery', 'deliveries')}",
            sum(each.records for each in sources),
            [
                ("accepted", sum(each.accepted for each in sources), "good"),
                ("rejected", sum(each.rejected for each in sources), "bad"),
                ("already known", sum(each.duplicate for each in sources), "calm"),
            ],
        )
    ]
    gate = gated(facts)
    if gate:
        stacks.append(
            _stack(
                "Validate",
                "rows judged by the expectation suites",
                gate.records,
                [
                    ("to silver", gate.accepted, "good"),
                    ("quarantined", gate.rejected, "watch"),
                    ("repeated key", gate.duplicate, "calm"),
                ],
            )
        )
    entity = words.name(facts.problem.entity.removesuffix("_id"))
    for stage, name, what, kept, lost in (
        ("features", "Features", f"rows, one per {entity} and as-of", "written", "quarantined"),
        ("score", "Score", f"rows to score, one per {entity} and as-of", "scored", "refused"),
    ):
        run = last_done(facts, stage)
        if run:
            out, refused = whole(run["rows_out"]), whole(run["rows_rejected"])
            read = f", from {words.count(whole(run['rows_in']))} events"
            stacks.append(
                _stack(
                    name,
                    what + (read if stage == "features" and whole(run["rows_in"]) else ""),
                    out + refused,
                    [(kept, out, "good"), (lost, refused, "watch")],
                )
            )
    return stacks


def _stack(name: str, what: str, reached: int, parts: list[tuple[str, int, Tone]]) -> Stack:
    whole_bar = sum(count for _, count, _ in parts) or 1
    return Stack(
        name,
        f"{words.count(reached)} {what}",
        [
            Part(
                part,
                count,
                100 * count / whole_bar,
                f"{words.count(count)} {part} ({words.share(count / whole_bar)})",
                tone,
            )
            for part, count, tone in parts
            if count or tone == "good"
        ],
    )


def _sankey(facts: Facts, sources: list[Delivered]) -> list[Block]:
    """The conserved part of the flow, wide screens only: the stacks say the same on a phone."""
    gate = gated(facts)
    accepted = sum(each.accepted for each in sources)
    # Rows judged twice, after a rebuild, are not a flow.
    adds_up = total(runs_of(facts, "validate", status="done"), "rows_in") <= accepted
    if not accepted:
        return []
    count = len(sources)
    nodes: list[tuple[str, str, float, float]] = [
        (f"{words.name(each.name)} {words.count(each.records)}", BLUE, 0.001, (place + 0.5) / count)
        for place, each in enumerate(sources)
    ]
    links: list[tuple[int, int, int, str]] = []

    def flow(start: int, end: int, amount: int, colour: str) -> None:
        links.append((start, end, amount, colour))

    def node(label: str, amount: int, colour: str, x: float, y: float) -> int:
        nodes.append((f"{label} {words.count(amount)}", colour, x, y))
        return len(nodes) - 1

    middle = node("accepted", accepted, BLUE, 0.5, 0.35)
    for place, each in enumerate(sources):
        flow(place, middle, each.accepted, "rgba(0,114,178,0.22)")
    for label, colour, pale, y in (
        ("rejected", VERMILION, "rgba(213,94,0,0.35)", 0.82),
        ("already known", GREY, "rgba(138,148,163,0.35)", 0.94),
    ):
        amounts = [e.rejected if label == "rejected" else e.duplicate for e in sources]
        if sum(amounts):
            end = node(label, sum(amounts), colour, 0.5, y)
            for place, amount in enumerate(amounts):
                if amount:
                    flow(place, end, amount, pale)
    if gate and (adds_up or gate.records == accepted):
        ends = [
            ("silver", gate.accepted, GREEN, "rgba(0,158,115,0.25)", 0.3),
            ("quarantined", gate.rejected, AMBER, "rgba(230,159,0,0.4)", 0.72),
            ("repeated key", gate.duplicate, GREY, "rgba(138,148,163,0.35)", 0.86),
            ("not judged yet", accepted - gate.records, GREY, "rgba(138,148,163,0.2)", 0.96),
        ]
        for label, amount, colour, pale, y in ends:
            if amount > 0:
                flow(middle, node(label, amount, colour, 0.999, y), amount, pale)
    chart = Chart(
        sankey(nodes, links),
        "From deliveries to silver",
        "Flow of rows: " + "; ".join(label for label, *_ in nodes) + ".",
        height=340,
    )
    return [Grid([chart], wide_only=True)]


def _sources(sources: list[Delivered]) -> Table:
    return Table(
        "By source",
        [
            "source",
            "#deliveries",
            "#repeated",
            "#records",
            "#accepted",
            "#rejected",
            "#known",
            "#size",
        ],
        [
            [
                Cell(each.name, code=True),
                words.count(each.files + each.repeated),
                words.count(each.repeated),
                words.count(each.records),
                words.count(each.accepted),
                words.count(each.rejected),
                words.count(each.duplicate),
                words.size(each.size),
            ]
            for each in sources
        ],
    )


def _rejects(facts: Facts) -> Table:
    found = sorted(rows(facts.rejects), key=lambda row: -whole(row["rows"]))
    most = max(whole(row["rows"]) for row in found) or 1
    return Table(
        "Why records were rejected",
        ["source", "reason", "column", "#records"],
        [
            [
                Cell(str(row["source"]), code=True),
                words.name(str(row["reason"])),
                Cell(str(row["column"] or "–"), code=bool(row["column"])),
                Cell(words.count(whole(row["rows"])), bar=whole(row["rows"]) / most),
            ]
            for row in found
        ],
    )
