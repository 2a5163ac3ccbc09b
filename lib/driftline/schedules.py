"""Problem files → what a scheduler is told: lines of a crontab, or a DAG of Airflow.

Both call commands of driftline and know nothing else: a turn does only what is new, so that it can
be called again, and says by exit code 75, and no other, that this is worth while.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driftline import sla
from driftline.errors import ConfError, Missing
from driftline.problem import Problem
from driftline.schedule_section import Schedule

_LONGEST = 998
"""Bytes of a command in a crontab: Vixie's cron (MAX_COMMAND 1000) cuts off what is beyond, and
Debian's refuses it: "command too long"."""


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
    packages: tuple[str, ...] = ()
    """What a spark-submit is given as packages: what Spark needs besides Delta."""


def script(name: str) -> Path:
    """A script of the repository; raises :class:`Missing` where driftline is installed alone."""
    found = Path(__file__).parents[2] / "scripts" / name
    if not found.is_file():
        raise Missing(
            f"there is no scripts/{name}",
            where=str(found),
            hint="schedules are of a repository of driftline: give the command there",
        )
    return found


def start(turn: Turn, command: str, master: str | None) -> list[str]:
    """How a command of driftline begins, up to its options: the program, or, where it shall run on
    a ``master``, spark-submit.
    """
    if master is None:
        return [str(turn.program), command]
    packages = ["--packages", ",".join(turn.packages)] if turn.packages else []
    return [str(script("submit")), command, "--master", master, *packages, "--"]


def crontab(
    turns: Sequence[Turn], variables: Path | None = None, *, master: str | None = None
) -> str:
    """Lines for ``crontab``: a turn a day and problem, and its promises at their deadline; without
    one when its first try has ended, or been stopped.

    A turn is as of its day, as an Airflow DAG's is: as of the data's end, which a turn takes by
    itself, a source that has fallen silent is never late.

    ``variables`` is a file of ``NAME=value`` lines, literal ones, that is read before each command:
    cron has hardly any environment. Where it is missing, nothing is run, and cron says so. With a
    ``master`` commands are spark-submits to it.

    What a line does around its command (one at a time, time-out, retries, logs) is in
    ``scripts/scheduled``. Raises :class:`ConfError` where no line of a crontab can hold a command.
    """
    lines = [
        "# Written by `driftline schedule --cron`. Times are UTC: a cron that does not know",
        "# CRON_TZ (Debian's) has to run on a machine whose zone that is.",
        "CRON_TZ=UTC",
        "SHELL=/bin/sh",
    ]
    for turn in turns:
        lines += ["", f"# {_one_line(turn.problem.question)}"]
        at = turn.problem.schedule.at
        lines.append(_line(turn, at, "cycle", variables, master, ' --as-of "$(date -u +%F)"'))
        if any(sla.promises(turn.problem.sla, turn.problem.train.metric)):
            judged = turn.problem.sla.deadline or _over(turn.problem.schedule)
            lines.append(_line(turn, judged, "sla", variables, master))
    return "\n".join(lines) + "\n"


def _over(plan: Schedule) -> str:
    """The time of day at which the first try of a turn is over."""
    hours, minutes = map(int, plan.at.split(":"))
    over = 60 * hours + minutes + math.ceil(plan.timeout / 60)
    return f"{over // 60 % 24:02}:{over % 60:02}"


def _line(
    turn: Turn, clock: str, stage: str, variables: Path | None, master: str | None, more: str = ""
) -> str:
    """A line; ``more`` is for the shell as it is."""
    plan, root = turn.problem.schedule, turn.root
    program, *command = start(turn, stage, master)
    given = [_from(root, script("scheduled"))]
    given += ["--environment-file", str(variables)] if variables else []
    given += ["--log", _from(root, turn.logs / turn.problem.name), "--keep", str(plan.keep)]
    given += ["--timeout", f"{plan.timeout:g}", "--retries", str(plan.retries)]
    given += ["--pause", f"{plan.pause:g}", "--", _from(root, Path(program)), *command]
    called = shlex.join([*given, *turn.options])
    return _at(clock, f"cd {shlex.quote(str(root))} && {called}{more}")


def _from(root: Path, path: Path) -> str:
    """A path as it is called in ``root``, shorter where it lies there; PATH is not asked."""
    return f"./{path.relative_to(root)}" if path.is_relative_to(root) else str(path)


def _at(clock: str, command: str) -> str:
    """A line of a crontab; there ``%`` ends the command unless it is escaped."""
    hours, minutes = clock.split(":")
    escaped = command.replace("%", "\\%")
    size = len(escaped.encode())
    if "\n" in command or size > _LONGEST:
        raise ConfError(
            "a command that no line of a crontab can hold",
            file="schedule",
            found=f"{size} bytes: {command!r}",
            allowed=f"at most {_LONGEST} bytes, which is what cron takes, without line breaks",
            hint="rename the folders, or link to them from a shorter path",
        )
    return f"{int(minutes)} {int(hours)} * * * {escaped}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
