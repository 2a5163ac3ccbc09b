"""Run one benchmark: print a table, optionally write its rows as JSON.

A benchmark is a module here with ``rows(quick) -> list[Row]``. It runs ours and the peer in turn
on the same data, checks that both are right, and raises if not: fast and wrong is an error.
"""

import importlib
import json
from dataclasses import asdict
from pathlib import Path

import click
from measure import Row
from rich.console import Console
from rich.table import Table

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("run", "measure", "fitted", "deequ")
)


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="Smaller data or fewer runs, about a minute.")
@click.option("--json", "file", type=click.Path(dir_okay=False), help="Write the rows there.")
def main(name: str, quick: bool, file: str | None) -> None:
    """Measure NAME; the figures are medians of runs taken in turn."""
    rows: list[Row] = importlib.import_module(name).rows(quick)
    table = Table("name", "unit", "ours", "peer", "peer is", "ratio", "goal", "met")
    for row in rows:
        table.add_row(
            row.name,
            row.unit,
            *(f"{each:,.{2 if each >= 10 else 3}f}" for each in (row.ours, row.peer)),
            row.peer_name,
            f"{row.ratio:.3f}",
            row.goal,
            "" if not row.goal else "yes" if row.met else "NO",
        )
    Console(width=130).print(table)
    if file:
        records = [{**asdict(row), "ratio": row.ratio} for row in rows]
        Path(file).write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
