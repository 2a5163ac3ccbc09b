"""Verdicts of the expectation suites, and what they kept out."""

from __future__ import annotations

from driftline.report import words
from driftline.report.blocks import Block, Cell, Chart, Chip, Grid, Section, Table, Tone
from driftline.report.charts import AMBER, horizontal_bars
from driftline.report.facts import Facts, Row, newest, rows, total, whole

_MARKS: dict[Tone, str] = {"good": "holds", "watch": "warns", "bad": "refuses"}
_BARS = 12


def verdicts(facts: Facts) -> list[Row]:
    """The newest verdict of each rule that its table's suite had when it last judged: what was said
    of a rule that is gone, or has another name by now, is history.
    """
    every = newest(rows(facts.quality), "table", "rule")
    last = {row["table"]: row["at"] for row in newest(every, "table")}
    return [row for row in every if row["at"] == last[row["table"]]]


def tone(verdict: Row) -> Tone:
    """A rule that does not hold refuses or warns, by its severity."""
    if verdict["success"] is None:
        return "bad"
    if verdict["success"]:
        return "good"
    return "bad" if verdict["severity"] == "error" else "watch"


def chip(facts: Facts) -> Chip:
    """How many rules hold."""
    found = verdicts(facts)
    if not found:
        return Chip("quality", "Quality", "not judged", "", "No suite has run yet.", "calm")
    tones = [tone(row) for row in found]
    held = tones.count("good")
    worst: Tone = "bad" if "bad" in tones else "watch" if "watch" in tones else "good"
    said = {
        "bad": f"{words.plural(tones.count('bad'), 'rule')} refused the data.",
        "watch": f"{words.plural(tones.count('watch'), 'rule')} gave a warning; none refused.",
        "good": "No rule refused, none warned.",
    }[worst]
    unit = "rule holds" if len(found) == 1 else "rules hold"
    return Chip("quality", "Quality", f"{held} of {len(found)}", unit, said, worst)


def section(facts: Facts) -> Section:
    """The section *Quality*."""
    made = Section(
        id="quality",
        title="Quality of the data",
        how="A rule is judged on every batch before its rows are let through; single bad rows "
        "go to quarantine, and a rule that fails as a whole refuses the batch or warns.",
        missing="No expectation suite has judged a batch yet.",
    )
    found = verdicts(facts)
    if not found:
        return made
    blocks: list[Block] = [*_worst(facts)]
    blocks += [_table(table, found) for table in dict.fromkeys(row["table"] for row in found)]
    return Section(made.id, made.title, made.how, _finding(facts, found), blocks)


def _finding(facts: Facts, found: list[Row]) -> str:
    tables = len({row["table"] for row in found})
    sentences = []
    for wanted, verb in (("bad", "refused"), ("watch", "warned")):
        named = [f"{row['rule']} on {row['table']}" for row in found if tone(row) == wanted]
        if named:
            more = [f"{len(named) - 3} more"] if len(named) > 3 else []
            sentences.append(
                f"{len(named)} of {words.plural(len(found), 'rule')} {verb}: "
                f"{words.listed(named[:3] + more)}."
            )
    if not sentences:
        sentences.append(
            f"All {words.count(len(found))} rules on {words.plural(tables, 'table')} hold."
            if len(found) > 1
            else "The one rule holds."
        )
    broken = sorted(rows(facts.quarantine), key=lambda row: -whole(row["rows"]))
    if broken:
        first = broken[0]
        sentences.append(
            f"The rule broken most often is {first['rule']} on {first['table']} "
            f"({words.plural(whole(first['rows']), 'row')})."
        )
    return " ".join(sentences)


def _worst(facts: Facts) -> list[Block]:
    found = sorted(rows(facts.quarantine), key=lambda row: -whole(row["rows"]))
    if not found:
        return []
    shown = found[:_BARS]
    more = f" The {_BARS} most frequent of {len(found)}." if len(found) > _BARS else ""
    names = [f"{row['rule']} · {str(row['table']).partition('.')[2]}" for row in shown]
    counts = [whole(row["rows"]) for row in shown]
    chart = Chart(
        horizontal_bars(
            names,
            counts,
            texts=[words.count(each) for each in counts],
            colours=AMBER,
            x="rows in quarantine",
        ),
        "What keeps rows out of the tables",
        "Rows in quarantine by rule: "
        + "; ".join(f"{n} {words.count(c)}" for n, c in zip(names, counts, strict=True)),
        f"A row that breaks two rules counts in both; rows in all: "
        f"{words.count(total(found, 'rows'))}.{more}",
        height=110 + 30 * len(shown),
    )
    return [Grid([chart])]


def _table(table: str, found: list[Row]) -> Table:
    order = {"bad": 0, "watch": 1, "good": 2}
    mine = sorted(
        (row for row in found if row["table"] == table),
        key=lambda row: (order[tone(row)], -whole(row["unexpected_count"])),
    )
    failed = sum(tone(row) != "good" for row in mine)
    said = f"{failed} {'does' if failed == 1 else 'do'} not hold" if failed else "all hold"
    return Table(
        f"{table}: {words.plural(len(mine), 'rule')}, {said}",
        ["verdict", "rule", "column", "#broken by", "#of rows", "why"],
        [
            [
                Cell(_MARKS[tone(row)], tone=tone(row)),
                Cell(str(row["rule"]), code=True, title=str(row["type"] or "")),
                Cell(str(row["column"] or words.MISSING), code=bool(row["column"])),
                words.count(whole(row["unexpected_count"]))
                if row["unexpected_count"] is not None
                else Cell(str(row["observed"] or words.MISSING), title="observed"),
                words.count(whole(row["element_count"])),
                str(row["why"] or ""),
            ]
            for row in mine
        ],
        fold=not failed,
    )
