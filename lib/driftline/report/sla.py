"""What is promised, what was found, and how often it was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driftline import sla
from driftline.report import words
from driftline.report.blocks import Cell, Chip, Section, Table, Tone
from driftline.report.facts import Facts, Row, rows, whole
from driftline.sla import Promise

_TONES: Mapping[str, Tone] = {"kept": "good", "broken": "bad", "unknown": "calm"}
_SHOWN = 24
_MEANT = {
    "freshness": "age of the newest row of {}",
    "duration": "time that {} takes",
    "deadline": "when the day's turn has come to its decision, UTC",
    "quality": "share of rows that pass the gate",
    "model": "{} of the champion, the worse end of its interval",
    "response": "time within which 99 of 100 requests are answered",
    "throughput": "requests answered a second",
}


@dataclass(frozen=True)
class _Judged:
    """A promise of the problem file and how it was judged, the newest last."""

    promise: Promise
    past: Sequence[Row]

    @property
    def newest(self) -> Row | None:
        return self.past[-1] if self.past else None

    @property
    def verdict(self) -> str:
        return str(self.past[-1]["verdict"]) if self.past else "unknown"

    @property
    def meant(self) -> str:
        subject = self.promise.subject
        named = words.metric(subject) if self.promise.kind == "model" else subject
        return _MEANT[self.promise.kind].format(named)


def chip(facts: Facts) -> Chip:
    """How many promises are kept, of those that could be judged."""
    found = _judged(facts)
    known = [each for each in found if each.verdict != "unknown"]
    if not known:
        made = bool(list(_promises(facts)))
        said = "`driftline sla` judges them." if made else "The problem file has no sla."
        value = "not judged" if made else "none"
        return Chip("sla", "Promises", value, "", said, "calm")
    broken = [each for each in known if each.verdict == "broken"]
    value = f"{len(known) - len(broken)} of {len(known)}"
    if not broken:
        return Chip("sla", "Promises", value, "kept", "None that was judged is broken.", "good")
    said = f"Broken: {words.listed([_called(each.promise) for each in broken])}."
    return Chip("sla", "Promises", value, "kept", said, "bad")


def section(facts: Facts) -> Section:
    """The section *Promises*."""
    missing = "Promises have not been judged yet: `driftline sla` does it."
    if not list(_promises(facts)):
        missing = "Nothing is promised: the problem file has no sla."
    how = (
        "As judged last. The bar is the part of the limit that is used up; every small mark is "
        "one judgement, the newest on the right, the tall ones broken, the hollow ones without "
        "evidence. A probe that is only told again is no new one."
    )
    made = Section(id="sla", title="Promises", how=how, missing=missing)
    found = _judged(facts)
    if not any(each.past for each in found):
        return made
    last = max(each.newest["at"] for each in found if each.newest)
    table = Table(
        f"Each promise of the problem file, last judged on {words.when(last)}",
        ["promise", "verdict", "#found", "#limit", "history", "evidence"],
        [_row(each) for each in found],
    )
    return Section(made.id, made.title, made.how, _finding(found), [table])


def _promises(facts: Facts) -> Sequence[Promise]:
    return list(sla.promises(facts.problem.sla, facts.problem.train.metric))


def _judged(facts: Facts) -> list[_Judged]:
    past: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows(facts.sla), key=lambda row: row["at"]):
        past.setdefault((row["kind"], row["subject"]), []).append(row)
    return [_Judged(each, past.get((each.kind, each.subject), [])) for each in _promises(facts)]


def _row(kept: _Judged) -> list[Cell | str]:
    row = kept.newest
    head = Cell(words.capital(kept.meant))
    if row is None:
        verdict = Cell("not judged", tone="calm")
        return [head, verdict, words.MISSING, sla.limit(kept.promise), "", ""]
    judged = _as_judged(kept.promise, row)
    value = row["value"]
    shown = words.MISSING if value is None else sla.said(judged, value)
    return [
        head,
        Cell(kept.verdict, tone=_TONES[kept.verdict]),
        Cell(shown, bar=_used(judged, value)),
        sla.limit(judged),
        Cell("", marks=[_mark(kept.promise, each) for each in _asked(kept.past)[-_SHOWN:]]),
        _evidence(row),
    ]


def _as_judged(promise: Promise, row: Row) -> Promise:
    """The promise as it was when it was judged: limits change."""
    return Promise(promise.kind, promise.subject, row["limit"], row["unit"], row["at_most"])


def _used(promise: Promise, value: float | None) -> float | None:
    """Share of the limit that is used up, 1 where it is reached; None without a number."""
    if value is None:
        return None
    above, below = (value, promise.limit) if promise.at_most else (promise.limit, value)
    if below <= 0:
        return 1.0 if above > below else 0.0
    return min(max(above / below, 0.0), 1.0)


def _asked(past: Sequence[Row]) -> list[Row]:
    """Without those that tell of a probe again, whose evidence is this table."""
    return [row for row in past if row["evidence_table"] != "ops.sla"]


def _mark(promise: Promise, row: Row) -> tuple[Tone, str]:
    value = "" if row["value"] is None else f", {sla.said(promise, row['value'])}"
    return _TONES[row["verdict"]], f"{words.when(row['at'])}: {row['verdict']}{value}"


def _evidence(row: Row) -> str:
    if not row["said"]:
        return "no evidence yet"
    version = whole(row["evidence_version"])
    table = row["evidence_table"] and f"{row['evidence_table']} version {version}"
    run = row["evidence_run"] and f"run {row['evidence_run']}"
    return ", ".join(filter(None, (row["said"], table, run)))


def _called(promise: Promise) -> str:
    return f"{promise.kind} {promise.subject}".strip()


def _finding(found: Sequence[_Judged]) -> str:
    count = {verdict: sum(each.verdict == verdict for each in found) for verdict in _TONES}
    said = f"{count['kept']} of {words.plural(len(found), 'promise')} kept"
    if count["unknown"]:
        said += f", {count['unknown']} without evidence"
    broken = [each for each in found if each.verdict == "broken"]
    return ". ".join([said, *map(_broken, broken)]) + "."


def _broken(kept: _Judged) -> str:
    row = kept.newest
    assert row is not None
    promise = _as_judged(kept.promise, row)
    bound = "at most" if promise.at_most else "at least"
    limit = sla.said(promise, promise.limit)
    value = "no answer" if row["value"] is None else sla.said(promise, row["value"])
    past = _asked(kept.past)
    often = sum(each["verdict"] == "broken" for each in past)
    again = f" (broken in {often} of {words.plural(len(past), 'judgement')})" if often > 1 else ""
    return f"Broken: {kept.meant}, {value}, promised {bound} {limit}{again}"
