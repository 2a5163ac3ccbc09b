"""Where every record went: counts that the flow is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from driftline.report.facts import Facts, Row, rows, total
from driftline.report.ledger import runs_of


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


def waiting(facts: Facts) -> int:
    """Deliveries that were planned and have not landed."""
    records = rows(facts.deliveries)
    landed = {(row["source"], row["delivery"]) for row in records if row["status"] == "landed"}
    planned = {(row["source"], row["delivery"]) for row in records if row["status"] == "planned"}
    return len(planned - landed)


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
