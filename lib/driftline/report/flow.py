"""Rows through each stage: what arrived, what was kept out, what was learnt from."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import (
    Block,
    Cell,
    Chip,
    Note,
    Part,
    Section,
    Stack,
    Stacks,
    Table,
    Tone,
)
from driftline.report.facts import Facts, rows, whole
from driftline.report.ledger import last_done
from driftline.report.records import Delivered, delivered, gated, waiting
from driftline.report.streams import streams


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
    blocks: list[Block] = [Stacks(stacks), *streams(facts, sources), _sources(sources)]
    planned = waiting(facts)
    if planned:
        blocks.insert(
            0,
            Note(
                f"{words.plural(planned, 'delivery', 'deliveries')} planned but not landed: "
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
            f" Of {words.count(gate.records)} rows judged, {words.count(gate.accepted)} passed "
            f"into silver and {words.count(gate.rejected)} went to quarantine."
        )
    return sentence


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
                Cell(str(row["column"] or words.MISSING), code=bool(row["column"])),
                Cell(words.count(whole(row["rows"])), bar=whole(row["rows"]) / most),
            ]
            for row in found
        ],
    )
