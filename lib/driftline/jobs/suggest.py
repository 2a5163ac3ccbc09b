"""Any table → a proposed expectation suite, as a file to review."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from pyspark.sql import Row

from driftline import suggest
from driftline.errors import ConfError
from driftline.jobs.gate import judge
from driftline.jobs.line import Line
from driftline.suite_files import Suite


def run(line: Line, *, table: str, out: str) -> str:
    """Look at a table once, try what is proposed on it, write what holds; returns it in words."""
    path = Path(out)
    if path.exists():
        raise ConfError(
            "the file for the suite is there already",
            file="--out",
            found=str(path),
            allowed="a file that is not there yet",
            hint="name another: what somebody reviewed is not written over",
        )
    with line.ledger.run("suggest") as ledger:
        version = line.tables.version(table)
        ledger.read(table, version)
        rows = line.tables.read(table, version=version)
        layer, _, name = table.partition(".")
        source = line.problem.sources.get(name) if layer in ("bronze", "silver") else None
        # What bronze has added of fields that nobody declared is not in silver.
        rows = rows.select(
            *(
                each
                for each in rows.columns
                if (each in source.columns if source else not each.startswith("_"))
            )
        )
        ledger.progress(f"looking at {table}")
        told = suggest.looked_at(rows).first()
        assert isinstance(told, Row)
        found = suggest.proposals(
            rows,
            told,
            time=source.time if source else None,
            key=source.key if source else (),
        )
        ledger.progress(f"trying {len(found)} rules on {table}")
        asked = Suite(
            table, tuple(replace(each.rule, name=str(n)) for n, each in enumerate(found)), ""
        )
        kept, untold = suggest.kept(found, judge(rows, asked, meta={}).verdicts)
        called = f"{line.problem.name}.{path.stem}"
        suite = {"name": called, "expectations": [each.entry for each in kept]}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
        ledger.message = (
            f"{len(kept)} expectations about {told.rows:,} rows of {table} proposed in {path}: "
            "read and mend them; the gate reads expectations/<problem>/silver_<source>.json"
            + "".join(f"; not proposed: {each}" for each in untold)
        )
        return ledger.message
