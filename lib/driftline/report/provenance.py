"""What the model can be rebuilt from, and where the page's numbers come from."""

from __future__ import annotations

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
    finding = (
        f"{words.plural(len(past), 'run')} by driftline {words.listed(code) or '–'}, "
        f"with {words.plural(len(digests), 'state')} of the problem file."
    )
    return Section(made.id, made.title, made.how, finding, blocks)


def _champion(facts: Facts, champion: dict[str, object]) -> Table:
    as_of, tables, parameters = (champion.get(key) for key in ("as_of", "tables", "parameters"))
    lines: list[tuple[str, str]] = [
        ("version", str(champion["version"])),
        ("family", words.name(str(champion["family"]))),
        ("parameters", words.parameters(dict(parameters) if isinstance(parameters, dict) else {})),
        ("test as-ofs", words.listed([words.day(each) for each in _sequence(as_of)]) or "–"),
        ("trained from", versions(_sequence(tables))),
        ("problem", facts.problem.digest[:12]),
    ]
    return Table(
        "The champion",
        ["", "value"],
        [
            [name, Cell(said, code=name in ("parameters", "trained from", "problem"))]
            for name, said in lines
        ],
    )


def versions(tables: list[Row]) -> str:
    """``gold.features@3, silver.orders@2``"""
    return ", ".join(f"{each['table']}@{each['version']}" for each in tables) or "–"


def _sequence(value: object) -> list[object]:
    return [] if value is None else list(value)  # type: ignore[call-overload,no-any-return]


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
