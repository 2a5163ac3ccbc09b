"""The runs, by stage and by round."""

from __future__ import annotations

from driftline.report.facts import Facts, Row, rows

STAGES = (
    "ingest",
    "validate",
    "explore",
    "features",
    "train",
    "score",
    "drift",
    "monitor",
    "report",
)
"""In the order of the flow."""


def runs_of(facts: Facts, stage: str = "", *, status: str = "") -> list[Row]:
    """Runs in the order they started."""
    found = [
        row
        for row in rows(facts.runs)
        if row["started_at"] is not None
        and stage in ("", row["stage"])
        and status in ("", row["status"])
    ]
    return sorted(found, key=lambda row: row["started_at"])


def last_done(facts: Facts, stage: str) -> Row | None:
    """The newest run of the stage that did work; one that did not if none ever did."""
    found = runs_of(facts, stage, status="done") or runs_of(facts, stage)
    return found[-1] if found else None


def stages(facts: Facts) -> list[str]:
    """Stages that have run, in the order of the flow; unknown ones last."""
    seen = {str(row["stage"]) for row in rows(facts.runs)}
    return sorted(seen, key=_place)


def rounds(facts: Facts) -> list[list[Row]]:
    """The history cut where the line starts over: where a stage follows a later one."""
    cut: list[list[Row]] = []
    for row in runs_of(facts):
        if not cut or _place(row["stage"]) < _place(cut[-1][-1]["stage"]):
            cut.append([])
        cut[-1].append(row)
    return cut


def _place(stage: str) -> tuple[int, str]:
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)
