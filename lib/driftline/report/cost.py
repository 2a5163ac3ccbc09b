"""What each stage took and cost, this time and before."""

from __future__ import annotations

from driftline import spending
from driftline.report import words
from driftline.report.blocks import Block, Cell, Chart, Chip, Grid, Note, Section, Table, Tone
from driftline.report.charts import GREEN, horizontal_bars, stacked_over_time
from driftline.report.facts import Facts, Row, whole
from driftline.report.ledger import last_done, rounds, runs_of, stages

_ROUNDS = 12
_TONES: dict[str, Tone] = {"done": "good", "unchanged": "calm", "refused": "watch"}


def one_pass(facts: Facts) -> list[Row]:
    """The newest run of each stage that did work: what a whole pass takes and costs."""
    return [row for row in (last_done(facts, stage) for stage in stages(facts)) if row]


def currency(facts: Facts) -> str:
    """That of the newest run, else the problem's."""
    found = [row["currency"] for row in runs_of(facts) if row["currency"]]
    return str(found[-1]) if found else facts.problem.prices.currency


def chip(facts: Facts) -> Chip:
    """Money and time of one pass, and where most of it goes."""
    found = one_pass(facts)
    if not found:
        return Chip("cost", "Cost", "nothing yet", "", "No stage has run.", "calm")
    spent, seconds = _sum(found, "money"), _sum(found, "wall_seconds")
    said = f"One pass takes {words.duration(seconds)}"
    heavy = max(found, key=lambda row: row["money"] or 0)
    if len(found) > 1 and spent:
        said += f", most of the money {heavy['stage']} ({words.share(heavy['money'] / spent)})"
    return Chip("cost", "Cost", words.money(spent, currency(facts)), "a pass", said + ".", "good")


def section(facts: Facts) -> Section:
    """The section *Cost*."""
    made = Section(
        id="cost",
        title="Time and money",
        how="The newest working run of each stage. Money is cores and memory held while the stage "
        "ran, plus a month of the bytes it wrote, by the prices in the problem file.",
        missing="No stage has run yet.",
    )
    found = one_pass(facts)
    if not found:
        return made
    blocks: list[Block] = [*_stopped(facts), Grid(_bars(facts, found))]
    past = rounds(facts)[-_ROUNDS:]
    if len(past) > 1:
        blocks.append(Grid(_history(facts, past)))
    blocks.append(_table(facts, found))
    return Section(made.id, made.title, made.how, _finding(facts, found), blocks)


def _sum(found: list[Row], column: str) -> float:
    return float(sum(row[column] or 0 for row in found))


def _finding(facts: Facts, found: list[Row]) -> str:
    sign = currency(facts)
    everything = runs_of(facts)
    sentence = (
        f"One pass takes {words.duration(_sum(found, 'wall_seconds'))} and costs "
        f"{words.money(_sum(found, 'money'), sign)}"
    )
    price = spending.a_thousand_predictions(everything).get(sign)
    if price:
        sentence += f"; scoring alone {words.money(price, sign)} per 1,000 predictions"
    if len(everything) > len(found):
        spent = words.money(_sum(everything, "money"), sign)
        sentence += f". All {words.plural(len(everything), 'run')} so far: {spent}"
    return sentence + "."


_BAD_ENDS = {"refused": "was refused", "failed": "failed", "killed": "was killed"}


def _stopped(facts: Facts) -> list[Block]:
    """Stages whose very last run did not end well."""
    notes: list[Block] = []
    for stage in stages(facts):
        past = runs_of(facts, stage)
        verb = _BAD_ENDS.get(past[-1]["status"]) if past else None
        if verb:
            said = f": {past[-1]['message']}" if past[-1]["message"] else "."
            tone: Tone = "watch" if past[-1]["status"] == "refused" else "bad"
            notes.append(Note(f"The last {stage} run {verb}{said}", tone))
    return notes


def _bars(facts: Facts, found: list[Row]) -> list[Chart]:
    names = [str(row["stage"]) for row in found]
    height = 90 + 28 * len(found)
    seconds = [float(row["wall_seconds"] or 0) for row in found]
    spent = [float(row["money"] or 0) for row in found]
    times = [words.duration(each) for each in seconds]
    prices = [words.money(each, currency(facts)) for each in spent]
    return [
        Chart(
            horizontal_bars(names, seconds, texts=times, x="seconds"),
            "Time by stage",
            "Time: " + "; ".join(f"{n} {t}" for n, t in zip(names, times, strict=True)),
            height=height,
        ),
        Chart(
            horizontal_bars(names, spent, texts=prices, colours=GREEN, x=currency(facts)),
            "Money by stage",
            "Money: " + "; ".join(f"{n} {p}" for n, p in zip(names, prices, strict=True)),
            height=height,
        ),
    ]


def _history(facts: Facts, past: list[list[Row]]) -> list[Chart]:
    labels = [f"{r[0]['started_at'].day} {r[0]['started_at']:%b}" for r in past]
    if len(set(labels)) < len(labels):
        labels = [f"{r[0]['started_at'].day} {r[0]['started_at']:%b %H:%M}" for r in past]
    sign = currency(facts)
    charts = []
    for column, title, y, said in (
        ("wall_seconds", "Time over the rounds", "seconds", words.duration),
        ("money", "Money over the rounds", sign, lambda amount: words.money(amount, sign)),
    ):
        series = {
            stage: [_sum([row for row in each if row["stage"] == stage], column) for each in past]
            for stage in stages(facts)
        }
        texts = {stage: [said(each) for each in values] for stage, values in series.items()}
        totals = [said(_sum(each, column)) for each in past]
        charts.append(
            Chart(
                stacked_over_time(labels, series, texts, y=y),
                title,
                f"{title}: "
                + "; ".join(f"{name} {each}" for name, each in zip(labels, totals, strict=True)),
                height=340,
            )
        )
    return charts


def _table(facts: Facts, found: list[Row]) -> Table:
    most = max(float(row["money"] or 0) for row in found) or 1.0
    return Table(
        "The ledger: newest working run of each stage",
        [
            "stage",
            "last status",
            "started",
            "#rows in",
            "#rows out",
            "#time",
            "#CPU",
            "#read",
            "#written",
            "#shuffled",
            "#money",
        ],
        [
            [
                Cell(str(row["stage"]), title=str(row["message"] or "")),
                _status(facts, row),
                words.when(row["started_at"]),
                words.count(whole(row["rows_in"])),
                words.count(whole(row["rows_out"])),
                words.duration(row["wall_seconds"] or 0),
                words.duration(row["cpu_seconds"] or 0),
                words.size(whole(row["bytes_read"])),
                words.size(whole(row["bytes_written"])),
                words.size(whole(row["shuffle_bytes"])),
                Cell(
                    words.money(float(row["money"] or 0), currency(facts)),
                    bar=float(row["money"] or 0) / most,
                ),
            ]
            for row in found
        ],
    )


def _status(facts: Facts, row: Row) -> Cell:
    status = str(runs_of(facts, row["stage"])[-1]["status"])
    return Cell(status, tone=_TONES.get(status, "bad"))
