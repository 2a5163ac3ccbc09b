"""The model card: what a version is, came from, can and cannot do, in words and tables of facts.

After Mitchell et al. 2019, Model Cards for Model Reporting; nothing in it is written by hand. The
same sections are Markdown and HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from driftline import __version__, models
from driftline.evaluation import Interval, Slice
from driftline.metrics import SMALLER_IS_BETTER
from driftline.problem import Problem
from driftline.trials import Trial

_SLICES = 5


@dataclass(frozen=True)
class Section:
    """A heading, sentences, and a table (its first row are the heads) that may be empty."""

    title: str
    sentences: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Known:
    """The facts of a version."""

    model: str
    tables: Mapping[str, int]
    rows: Mapping[str, int]
    trials: Sequence[Trial]
    measured: Mapping[tuple[str, str], Mapping[str, Interval]]
    slices: Sequence[Slice]
    probable: bool
    """Whether scores are meant as probabilities, see :func:`driftline.scoring.probable`."""
    checks: Sequence[Mapping[str, object]]
    details: Mapping[str, str]
    seconds: float
    """From the training's beginning until the card was written, and what that cost by the price
    book."""
    money: float
    stopped: str = ""
    """How far the search came when its budget ended; empty where it went through."""
    raced: Sequence[Trial] = ()
    """What the rounds of a race measured, but for those that ``trials`` are."""


def sections(problem: Problem, known: Known) -> list[Section]:
    """The card, section by section."""
    train = problem.train
    better = "smaller" if train.metric in SMALLER_IS_BETTER else "larger"
    parts = ", ".join(f"{count:,} {part}" for part, count in sorted(known.rows.items()))
    return [
        Section(
            problem.name,
            (
                problem.question,
                f"{known.model}, a {problem.task} about each {problem.entity}, made by driftline "
                f"{__version__} with seed {train.seed} from the problem {problem.digest[:16]}.",
            ),
        ),
        Section(
            "Data",
            (f"Rows: {parts}.",),
            [("table", "version"), *((name, str(at)) for name, at in sorted(known.tables.items()))],
        ),
        Section(
            "Is there a leak?",
            (),
            [
                ("check", "holds", "detail"),
                *(
                    (str(each["check"]), "yes" if each["holds"] else "no", str(each["detail"]))
                    for each in known.checks
                ),
            ],
        ),
        Section(
            "Measured on the test rows",
            (
                f"Chosen by {train.metric}, {better} is better. In brackets 95 % by bootstrap; it "
                f"draws each {problem.entity} with all its rows.",
            ),
            _measured(known),
        ),
        Section("Weakest", _weakest(problem, known), _slices(known.slices)),
        Section("The search", _searched(problem, known), _trials(known.trials)),
        Section("Limits", _limits(problem, known)),
    ]


def _said(found: Interval) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _measured(known: Known) -> list[Sequence[str]]:
    who = [name for part, name in known.measured if part == "test"]
    metrics = known.measured["test", "model"]
    heads = [f"{name} ({known.details[name]})" if name in known.details else name for name in who]
    rows: list[Sequence[str]] = [("metric", *heads)]
    for metric in metrics:
        found = [known.measured["test", name].get(metric) for name in who]
        rows.append((metric, *(_said(each) if each else "" for each in found)))
    return rows


def _weakest(problem: Problem, known: Known) -> Sequence[str]:
    if not known.slices:
        return (
            "No attribute has a value with enough test rows (of 50 entities, of both classes) to "
            "be measured.",
        )
    worse = sum(each.worse for each in known.slices)
    return (f"{worse} of {len(known.slices)} slices are worse than all rows, interval and all.",)


def _slices(slices: Sequence[Slice]) -> list[Sequence[str]]:
    if not slices:
        return []
    rows: list[Sequence[str]] = [("column", "value", "rows", "metric")]
    rows += [(each.column, each.value, f"{each.rows:,}", _said(each.metric)) for each in slices]
    return rows[: _SLICES + 1]


def _searched(problem: Problem, known: Known) -> Sequence[str]:
    seconds = sum(trial.seconds for trial in (*known.raced, *known.trials))
    declared = len(models.candidates(problem.train.candidates))
    failed = sum(bool(each.error) for each in known.trials)
    measured = f"{len(known.trials) - failed} of {declared} candidates were measured"
    if failed:
        measured += f", {failed} failed"
    measured += f", in {seconds:.0f} s of fitting"
    if known.stopped:
        measured += f"; the budget ended after {known.stopped}"
    elif problem.train.search == "racing" and len(known.trials) < declared:
        measured += f"; a race on parts of the {problem.entity}s left out others"
    return (
        f"{measured}.",
        f"Until this was written the training took {known.seconds:.0f} s and cost "
        f"{known.money:.2g} {problem.prices.currency} by the price book, without what it wrote.",
    )


def _trials(trials: Sequence[Trial]) -> list[Sequence[str]]:
    if not trials:
        return []
    rows: list[Sequence[str]] = [("candidate", "mean", "std", "seconds")]
    for each in trials:
        spread = f"{each.std:.4f}" if len(each.folds) > 1 else ""
        measured = (each.error, "") if each.error else (f"{each.mean:.4f}", spread)
        rows.append((str(each.candidate), *measured, f"{each.seconds:.1f}"))
    return rows


def _limits(problem: Problem, known: Known) -> list[str]:
    said = [
        f"It knows what the {len(problem.sources)} sources of the problem say and nothing else; "
        f"a label is what happened in {problem.label.horizon} days.",
        "Intervals speak of rows like the test rows: of later ones `driftline drift` does.",
    ]
    if problem.task == "classification" and not known.probable:
        said.append("Its scores rank and decide; they are no probabilities.")
    return said


def markdown(found: Sequence[Section]) -> str:
    """The card as Markdown."""
    lines: list[str] = []
    for place, section in enumerate(found):
        lines += [f"{'#' if place == 0 else '##'} {_plain(section.title)}", ""]
        for sentence in section.sentences:
            lines += [_plain(sentence), ""]
        for number, row in enumerate(section.table):
            lines.append("| " + " | ".join(_plain(cell) for cell in row) + " |")
            if number == 0:
                lines.append("|" + "---|" * len(row))
        if section.table:
            lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that Markdown takes as text: no markup, no end of a cell."""
    flat = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\`|*_~[]<>#" else each for each in flat)


_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>TITLE</title><style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse }
td, th { border-bottom: 1px solid #ccc; padding: .2rem .8rem .2rem 0; text-align: left }
</style>"""


def html(found: Sequence[Section]) -> str:
    """The card as one HTML page without scripts or links."""
    parts = [_HEAD.replace("TITLE", escape(found[0].title))]
    for place, section in enumerate(found):
        level = 1 if place == 0 else 2
        parts.append(f"<h{level}>{escape(section.title)}</h{level}>")
        parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
        if section.table:
            rows = []
            for number, row in enumerate(section.table):
                cell = "th" if number == 0 else "td"
                rows.append("".join(f"<{cell}>{escape(each)}</{cell}>" for each in row))
            parts.append("<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>")
    return "\n".join(parts) + "</html>\n"
