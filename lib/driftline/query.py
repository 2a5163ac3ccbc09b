"""Questions to the tables as SQL: ready ones under ``queries/``, or anybody's own.

A query calls tables by their names (``ops.runs``), in the SQL that Spark and DuckDB share.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from driftline.errors import ConfError, did_you_mean

_READY = Path(__file__).with_name("queries")

# What stands in quotes or in a comment is not a table's name.
_TOKENS = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
    r"|(?<![\w.`])(?P<name>(?:bronze|silver|gold|ops)\.\w+)(?!\w|\.\w)",
    re.DOTALL,
)


def ready() -> dict[str, str]:
    """Name → question of each ready query."""
    return {
        path.stem: path.read_text("utf-8").split("\n", 1)[0].removeprefix("-- ")
        for path in sorted(_READY.glob("*.sql"))
    }


def text(asked: str) -> str:
    """The SQL of a ready query, or of a file that ends in ``.sql``; :class:`ConfError` if none."""
    path = Path(asked) if asked.endswith(".sql") else _READY / f"{asked}.sql"
    if not asked.endswith(".sql") and asked not in ready():
        raise ConfError(
            f"there is no query '{asked}'",
            file="NAME",
            found=asked,
            allowed=", ".join(ready()),
            hint=did_you_mean(asked, ready(), otherwise="or give a file that ends in .sql"),
        )
    try:
        return path.read_text("utf-8").strip().removesuffix(";")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(
            "the query cannot be read",
            file=asked,
            found=type(error).__name__,
            allowed="a text file in UTF-8 with one SELECT",
            hint="driftline query --list shows the ready ones",
        ) from None


def check_new(out: str) -> None:
    """Raise :class:`ConfError` unless a file of that name can be made."""
    path = Path(out)
    for wrong, found, hint in (
        (path.exists(), "it is there already", "choose another name, or remove it"),
        (not path.parent.is_dir(), "its folder is not there", f"mkdir -p {path.parent}"),
    ):
        if wrong:
            raise ConfError(
                "the rows cannot be written there",
                file=f"--out {out}",
                found=found,
                allowed="a new file in a folder that is there",
                hint=hint,
            )


def tables(sql: str) -> list[str]:
    """The tables that a query names, each once, in order."""
    return list(dict.fromkeys(each["name"] for each in _TOKENS.finditer(sql) if each["name"]))


def renamed(sql: str, name: Callable[[str], str]) -> str:
    """The query with every table called what ``name`` makes of its name."""
    return _TOKENS.sub(lambda each: name(each["name"]) if each["name"] else each[0], sql)


_FORMULA = re.compile(
    r"^(?=[\t\r\n])"  # which some take away before they look
    # Where ; or a tab ends a cell, as in much of Europe, a quote inside a line means nothing.
    r'|(^|[;\t\r\n]"*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])'
)


def neutral(cell: str) -> str:
    """A text in which no spreadsheet finds a formula (CWE-1236), whatever it takes for the end of a
    cell: an apostrophe before each place where one could begin.
    """
    return _FORMULA.sub(lambda found: f"{found[1] or ''}'", cell)
