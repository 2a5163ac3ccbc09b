"""Data files of a table → ``ops.profiles``: those of its newest version, or of all it ever had."""

from __future__ import annotations

from driftline import delta_files, schemas
from driftline.jobs import profiling, sides
from driftline.jobs.line import Line
from driftline.ledger import Run


def run(line: Line, *, table: str | None = None, history: bool = False) -> str:
    """Profile the watched tables, or ``table``; with ``history`` every file of every version."""
    tables = (line.tables.called(table),) if table else line.problem.drift.tables
    with line.ledger.run("profile") as ledger, line.tables.lock(schemas.PROFILES.full_name):
        ledger.message = "; ".join(_table(line, ledger, each, history) for each in tables)
        return ledger.message


def _table(line: Line, ledger: Run, table: str, history: bool) -> str:
    newest = line.tables.version(table)
    ledger.read(table, newest)
    oldest = line.tables.oldest(table)
    commits = line.tables.commits(table, since=oldest if history else newest, until=newest)
    if history:
        wanted = [profiling.Wanted(table, c.number, c.schema, c.added) for c in commits]
    else:
        version = delta_files.version(commits, newest)
        wanted = [profiling.wanted(table, version, version.files)]
    declared = {*line.problem.drift.segments.get(table, ())}
    schema = commits[-1].schema
    segments = sides.cut(table, schema, schema.keys(sorted(declared)))
    whole = ""
    try:
        known = profiling.known(line, ledger, wanted, segments=segments)
    except profiling.TooMany as many:  # as drift compares them
        declared, whole = set(), f"; whole, for {many.counted}"
        known = profiling.known(line, ledger, wanted, segments=sides.cut(table, schema, ()))
    files = {file.key for each in wanted for file in each.files}
    gone = len(files) - len(known)
    by = profiling.cut_by(each.name for each in schema.fields if each.name in declared)
    said = f"; {gone:,} were removed before they were profiled{by}" if gone else ""
    if history and oldest:
        said += f"; of those before version {oldest} the log does not tell any more"
    return f"{table}: {len(known):,} of {len(files):,} files have a profile{said}{whole}"
