"""``ops.validations`` → Great Expectations' Data Docs, a folder of pages."""

from __future__ import annotations

from pathlib import Path

from driftline import schemas, suites
from driftline.errors import ConfError
from driftline.jobs.line import Line

_PAGES = 200
"""Results that get a page, the newest ones."""


def run(line: Line, *, out: str) -> str:
    """Build the pages in a new folder; returns where they are."""
    folder = Path(out)
    if folder.exists():
        raise ConfError(
            "the folder for the pages is there already",
            file="--out",
            found=str(folder),
            allowed="a folder that is not there yet",
            hint="name another, or remove it",
        )
    with line.ledger.run("docs") as ledger:
        name = schemas.VALIDATIONS.full_name
        version = line.tables.version(name)
        ledger.read(name, version)
        rows = line.tables.read(name, version=version).orderBy("at", ascending=False).limit(_PAGES)
        results = [row.result for row in rows.select("result").collect()]
        page = suites.data_docs(results, folder)
        ledger.message = f"{len(results)} results of suites in {page}"
        return ledger.message
