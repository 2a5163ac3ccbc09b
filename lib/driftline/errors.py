"""What can go wrong, as one tree.

    DriftlineError            1   a bug, or a promise that did not hold
    ├── ConfError             2   the problem, the environment or the command line is wrong
    ├── Refused               3   a gate looked at the data and said no
    ├── Missing               4   something this run needs is not there
    └── TryAgain             75   nothing is wrong; another run holds the table (EX_TEMPFAIL)

The number is the exit code. A scheduler retries 75 and nothing else. A message says what was
found, what is allowed or expected, where, and one hint; it never shows a row's value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DriftlineError(Exception):
    """The root of the tree: a bug in driftline, or a promise that did not hold."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where:   {self.where}")
        if self.hint:
            lines.append(f"  hint:    {self.hint}")
        return "\n".join(lines)


class ConfError(DriftlineError):
    """A conf file or an option says something that is not allowed."""

    exit_code = 2

    def __init__(
        self, what: str, *, file: str, key: str = "", found: str = "", allowed: str = "", hint: str
    ) -> None:
        super().__init__(what, where=file, hint=hint)
        self.file = file
        self.key = key
        self.found = found
        self.allowed = allowed

    def __str__(self) -> str:
        lines = [self.what, f"  file:    {self.file}"]
        lines += [f"  key:     {self.key}"] if self.key else []
        lines += [f"  found:   {self.found}"] if self.found else []
        lines += [f"  allowed: {self.allowed}"] if self.allowed else []
        return "\n".join([*lines, f"  hint:    {self.hint}"])


class Refused(DriftlineError):
    """A gate looked at the data and said no; nothing it guards was written."""

    exit_code = 3


class Missing(DriftlineError):
    """A table, a version, a file, a program or a library this run needs is not there."""

    exit_code = 4


class TryAgain(DriftlineError):
    """What this needs is held by another process, or away; the same command may succeed later."""

    exit_code = 75


def did_you_mean(found: str, allowed: Iterable[str], *, otherwise: str) -> str:
    """``did you mean 'x'?`` for the nearest allowed word, or the only one that ``found`` begins."""
    words = list(allowed)
    near = difflib.get_close_matches(found, words, n=1, cutoff=0.6)
    begun = [word for word in words if found and word.startswith(found)]
    near = near or (begun if len(begun) == 1 else [])
    return f"did you mean '{near[0]}'?" if near else otherwise
