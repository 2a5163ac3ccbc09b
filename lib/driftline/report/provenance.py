"""What the model can be rebuilt from, and where the page's numbers come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from driftline.report import words
from driftline.report.blocks import Block, Cell, Section, Table
from driftline.report.facts import Facts, Row
from driftline.report.ledger import runs_of

_SHOWN = 40


def section(facts: Facts) -> Section:
    """The section *Origin*."""
    made = Section(
        id="origin",
        title="Where it comes from",
        how="The exact table versions behind the model and every run behind this page: with them, "
        "code and problem file, the model can be made again.",
        missing="No stage has run yet.",
    )
    past = runs_of(facts)
    blocks: list[Block] = []
    if facts.champion is not None:
        blocks.append(_champion(facts, facts.champion))
    if past:
        blocks.append(_runs(past))
    if not blocks:
        return made
    code = sorted({str(row["code"]) for row in past if row["code"]})
    digests = {str(row["problem"]) for row in past if row["problem"]}
    finding = words.plural(len(past), "run")
    if code:
        finding += f" by driftline {words.listed(code)}"
    if len(digests) > 1:
        finding += f"; the problem file had {len(digests)} states."
    else:
        finding += "; the problem file did not change between them." if len(past) > 1 else "."
    return Section(made.id, made.title, made.how, finding, blocks)


def _champion(facts: Facts, champion: dict[str, Any]) -> Table:
    as_of, tables, parameters = (champion.get(key) for key in ("as_of", "tables", "parameters"))
    lines: list[tuple[str, str]] = [
        ("version", str(champion["version"])),
        ("family", words.name(str(champion["family"]))),
        ("parameters", words.parameters(dict(parameters) if isinstance(parameters, dict) else {})),
        (
            "test as-ofs",
            words.listed([words.day(each) for each in _sequence(as_of)]) or words.MISSING,
        ),
        ("trained from", versions(_sequence(tables))),
        ("fitted with", str(champion.get("linear_algebra") or words.MISSING)),
        ("problem", facts.problem.digest[:12]),
    ]
    return Table(
        "The champion",
        ["what", "value"],
        [
            [name, Cell(said, code=name in ("parameters", "trained from", "problem"))]
            for name, said in lines
        ],
    )


def versions(tables: Iterable[Any]) -> str:
    """``gold.features@3, silver.orders@2``"""
    return ", ".join(f"{each['table']}@{each['version']}" for each in tables) or words.MISSING


def _sequence(value: Any) -> list[Any]:
    return [] if value is None else list(value)


def _runs(past: list[Row]) -> Table:
    shown = past[::-1][:_SHOWN]
    caption = f"The last {_SHOWN} of {len(past)} runs" if len(past) > _SHOWN else "All runs"
    return Table(
        caption,
        ["started", "stage", "status", "read", "wrote", "said", "run"],
        [
            [
                words.when(row["started_at"]),
                str(row["stage"]),
                str(row["status"]),
                Cell(versions(_sequence(row["tables_read"])), code=True),
                Cell(versions(_sequence(row["tables_written"])), code=True),
                str(row["message"] or ""),
                Cell(str(row["run_id"])[:12], code=True, title=str(row["run_id"])),
            ]
            for row in shown
        ],
        fold=True,
    )
