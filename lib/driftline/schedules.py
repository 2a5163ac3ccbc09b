"""Problem files → what a scheduler is told: lines of a crontab, or a DAG of Airflow.

Both call commands of driftline and know nothing else: a turn does only what is new, so that it can
be called again, and says by exit code 75, and no other, that this is worth while.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import ConfError
from driftline.problem import Problem


@dataclass(frozen=True)
class Turn:
    """A problem, the options every command of it gets, and where the project and its logs are."""

    problem: Problem
    options: tuple[str, ...]
    root: Path
    program: Path
    """The command ``driftline``."""
    data: Path
    logs: Path


def crontab(turns: Sequence[Turn], variables: Path | None = None) -> str:
    """Lines for ``crontab``: a turn a day and problem, its promises, and old logs removed.

    ``variables`` is a file of ``NAME=value`` lines that is read before each command: cron has
    hardly any environment. Where it is missing, nothing is run, and cron says so.

    At most one turn of a problem runs at a time (flock; a second one counts as exit code 75). What
    is printed, and mailed by cron, is a line where something went wrong.
    """
    lines = [
        "# Written by `driftline schedule --cron`. Times are UTC: a cron that does not know",
        "# CRON_TZ (Debian's) has to run on a machine whose zone that is.",
        "CRON_TZ=UTC",
        "SHELL=/bin/sh",
    ]
    for turn in turns:
        lines += ["", f"# {_one_line(turn.problem.question)}", *_lines(turn, variables)]
    return "\n".join(lines) + "\n"


def _lines(turn: Turn, variables: Path | None) -> list[str]:
    name, plan = turn.problem.name, turn.problem.schedule
    log = f'{_quoted(turn.logs)}/{name}-"$(date -u +%F)".log'
    read = f"set -a; . {_quoted(variables)}; set +a; " if variables else ""
    bounded = f"timeout -k 60 {plan.timeout:g} {_command(turn, 'cycle')}"
    again = f'[ "$code" -eq 75 ] && [ "$tries" -le {plan.retries} ]'
    cycle = (
        f"{read}cd {_quoted(turn.root)} && mkdir -p {_quoted(turn.logs)} && log={log} && "
        f"tries=0 && while :; do flock -n -E 75 {_quoted(turn.logs / f'{name}.lock')} {bounded} "
        f'>>"$log" 2>&1; code=$?; tries=$((tries + 1)); {again} || break; '
        f'sleep {plan.pause:g}; done; [ "$code" -eq 0 ] || '
        f'echo "driftline: {name} ended with $code after $tries tries, see $log"'
    )
    found = [_at(plan.at, cycle)]
    if deadline := turn.problem.sla.deadline:
        promises = (
            f"{read}cd {_quoted(turn.root)} && mkdir -p {_quoted(turn.logs)} && log={log} && "
            f'timeout -k 60 {plan.timeout:g} {_command(turn, "sla")} >>"$log" 2>&1 || '
            f'echo "driftline: sla of {name} ended with $?, see $log"'
        )
        found.append(_at(deadline, promises))
    rotated = f"find {_quoted(turn.logs)} -name '{name}-*.log' -mtime +{plan.keep} -delete"
    return [*found, _at(plan.at, rotated)]


def _command(turn: Turn, command: str) -> str:
    return shlex.join([str(turn.program), command, *turn.options])


def _at(clock: str, command: str) -> str:
    """A line of a crontab; there ``%`` ends the command unless it is escaped."""
    hours, minutes = clock.split(":")
    return f"{int(minutes)} {int(hours)} * * * " + command.replace("%", "\\%")


def _quoted(path: Path) -> str:
    if "\n" in str(path):
        raise ConfError(
            "a path that no line of a crontab can hold",
            file="schedule",
            found=repr(str(path)),
            allowed="paths without line breaks",
            hint="rename the folder",
        )
    return shlex.quote(str(path))


def _one_line(text: str) -> str:
    return " ".join(text.split())
