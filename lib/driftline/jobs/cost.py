"""``ops.runs``, the Delta logs → what was spent, and what the tables hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import functions as F
from rich.table import Column
from rich.table import Table as Grid

from driftline import delta_files, schemas, spending
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.prices import GIB
from driftline.report.words import MISSING, duration, money, plain, size
from driftline.session import utc
from driftline.spending import Spent

_MONTH = timedelta(days=30)


def run(line: Line, *, by: str = "stage", since: datetime | None = None) -> str:
    """Add the ledger up ``by`` stage, day, month, status, run, or by trial or suite, which share
    what the runs of train or validate took that measured or judged by them, beside the others; or
    tell what tables hold, what writing them and a month of storing them costs, and how they grow.
    """
    with line.ledger.run("cost") as ledger:
        if by == "table":
            text, ledger.message = _tables(line, since)
        else:
            text, ledger.message = _runs(line, by, since)
        return f"{ledger.message}\n{text}"


def _runs(line: Line, by: str, since: datetime | None) -> tuple[str, str]:
    if not line.tables.exists(schemas.RUNS.full_name):
        raise Missing(
            "the ledger is empty",
            where=line.tables.path(schemas.RUNS.full_name),
            hint="run a stage first: each one leaves a row",
        )
    runs = _after(since, _ran(line))
    if by in _PARTS:
        mine = [run for run in runs if run["stage"] == _PARTS[by].stage]
        parts = _parts(line, _PARTS[by])
        # The whole is what the stage took: also what a run took that measured, or judged, nothing.
        shares = {run["run_id"]: parts.get(run["run_id"], {f"no {by}": 1.0}) for run in mine}
        runs = spending.parted(mine, shares)
    grid = _grid("what", "runs", "time", "tasks", "read", "written", "money")
    for (what, currency), spent in spending.added_up(runs, by).items():
        grid.add_row(what, *_cells(spent, currency))
    for currency, spent in spending.total(runs).items():
        grid.add_row("all", *_cells(spent, currency))
    said = f"{len({row['run_id'] for row in runs}):,} runs" + (
        f" since {since:%Y-%m-%d}" if since else ""
    )
    for currency, spent in spending.total(runs).items():
        said += f", {money(spent.money, currency)}"
    for currency, price in spending.a_thousand_predictions(runs).items():
        said += f"; a thousand predictions: {money(price, currency)}"
    return plain(grid), said


def _ran(line: Line) -> list[spending.Run]:
    return [row.asDict() for row in line.tables.read(schemas.RUNS.full_name).collect()]


def _after(since: datetime | None, runs: list[spending.Run]) -> list[spending.Run]:
    return [run for run in runs if since is None or utc(run["started_at"]) >= since]


@dataclass(frozen=True)
class _Parts:
    """What shares the runs of a stage: where its parts are, what they are called, and by what they
    share. The gate of features judges too, which is hardly a part of what that stage takes.
    """

    stage: str
    table: schemas.Table
    name: str
    weight: str


_PARTS = {
    "trial": _Parts("train", schemas.TRIALS, "concat(family, ' ', parameters)", "seconds"),
    "suite": _Parts("validate", schemas.QUALITY, "`table`", "element_count"),
}


def _parts(line: Line, parts: _Parts) -> dict[str, dict[str, float]]:
    if not line.tables.exists(parts.table.full_name):
        return {}
    table = line.tables.read(parts.table.full_name)
    rows = table.groupBy("run_id", F.expr(parts.name).alias("part"))
    found: dict[str, dict[str, float]] = {}
    for row in rows.agg(F.sum(parts.weight).alias("weight")).collect():
        found.setdefault(row.run_id, {})[row.part] = float(row.weight or 0)
    return found


def _cells(spent: Spent, currency: str) -> list[str]:
    return [
        f"{spent.runs:,}",
        duration(spent.wall_seconds),
        duration(spent.task_seconds),
        size(spent.bytes_read),
        size(spent.bytes_written),
        money(spent.money, currency),
    ]


def _tables(line: Line, since: datetime | None) -> tuple[str, str]:
    """Of every table: bytes of its newest version, and of the one 30 days before that by its own
    commits; bytes of all files its log names that VACUUM has not taken, and what storing those
    costs a month; and what the runs that wrote it cost, each shared by its tables as it added bytes
    to them.
    """
    names, prices = line.tables.names(), line.problem.prices

    def monthly(bytes_: int) -> str:
        return money(bytes_ / GIB * prices.gib_month, prices.currency)

    everything = 0
    cells: dict[str, tuple[str, ...]] = {}
    added: dict[str, dict[int, int]] = {}
    for name in names:
        newest, oldest = line.tables.version(name), line.tables.oldest(name)
        commits = line.tables.commits(name, since=oldest, until=newest)
        before = [each.number for each in commits if each.at <= commits[-1].at - _MONTH]
        if before:
            then = size(_bytes(delta_files.version(commits, before[-1])))
        else:  # there was no table yet; or its log was cleaned up, and nobody knows
            then = MISSING if oldest else size(0)
        held = size(_bytes(delta_files.version(commits, newest)))
        files = {file.path: file for each in commits for file in each.added}
        there = line.tables.present(files.values())
        bytes_ = sum(file.size for path, file in files.items() if path in there)
        everything += bytes_
        cells[name] = (f"{newest + 1:,}", held, then, size(bytes_), monthly(bytes_))
        # A log that begins later begins with all the files there were.
        new = commits[1:] if oldest else commits
        added[name] = {each.number: sum(file.size for file in each.added) for each in new}
    runs = _ran(line) if schemas.RUNS.full_name in names else []
    shared = spending.parted(_after(since, runs), spending.written(runs, added))
    spent: dict[str, list[str]] = {}
    for (name, currency), each in spending.added_up(shared, "table").items():
        spent.setdefault(name, []).append(money(each.money, currency))
    figures = ("versions", "newest holds", "30 days before", "stored", "a month")
    grid = _grid("table", *figures, "spent on writing")
    for name in names:
        grid.add_row(name, *cells[name], ", ".join(spent.get(name, [MISSING])))
    said = f"{len(names)} tables, {size(everything)} of data files"
    said += f": {monthly(everything)} a month"
    return plain(grid), said + (f"; spent since {since:%Y-%m-%d}" if since else "")


def _grid(what: str, *figures: str) -> Grid:
    columns = (Column(each, justify="right") for each in figures)
    return Grid(what, *columns, box=None, pad_edge=False)


def _bytes(version: delta_files.Version) -> int:
    return sum(file.size for file in version.files)
