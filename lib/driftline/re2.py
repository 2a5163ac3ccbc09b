"""Java's regular expressions, as Spark has them, in the spelling of RE2, which Arrow has.

For whether a text has a match, not for which one it is. RE2 takes its time by the length of the
text alone and needs no copy of it, but has other ideas of where a line ends, and fewer of what can
be said. What is not spelt alike here, in small and certain pieces, is left to Spark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENDS = r"\n\r\x{85}\x{2028}\x{2029}"
"""What ends a line for Java; for RE2 it is ``\\n`` alone."""
_SPACES = r"\t\n\x0B\f\r "
_IN_CLASS = {"s": _SPACES, "d": r"\d", "w": r"\w", "t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f"}
_ALONE = {
    **{letter: f"[{each}]" for letter, each in _IN_CLASS.items()},
    "S": f"[^{_SPACES}]",
    "D": r"\D",
    "W": r"\W",
}

_TOKEN = re.compile(
    r"""
    (?P<begin>\^)
    | (?P<end>\$)
    | (?P<any>\.)
    | (?P<escaped>\\(?:(?P<letter>[A-Za-z])|(?P<sign>[^A-Za-z0-9\s])))
    | (?P<open>\((?:\?:)?) (?!\?)
    | (?P<close>\))
    | (?P<either>\|)
    | (?P<repeat>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??) (?![*+?{])
    | (?P<class>\[(?P<inverse>\^?)(?P<members>(?:[^][\\&^\s]|[ ]|\\[^\n])+)\])
    | (?P<literal>[^][\\^$.|?*+(){}])
    """,
    re.X,
)
_MEMBER = re.compile(
    r"\\(?P<letter>[A-Za-z])|(?P<first>\\[^A-Za-z0-9]|[^\\])(?:-(?P<last>\\[^A-Za-z0-9]|[^\\]))?"
)


@dataclass(frozen=True)
class Spelt:
    """A regular expression of Java in RE2's words."""

    pattern: str
    crlf: str
    """Of a text that ends with ``\\r\\n``: Java's ``$`` holds before the two, never between."""


def spelt(regex: str) -> Spelt | None:
    """The same in RE2's words; None if that is not certain."""
    if _END in regex:
        return None
    parts: list[str] = []
    place, depth, after_atom = 0, 0, False
    while place < len(regex):
        token = _TOKEN.match(regex, place)
        if token is None:
            return None
        place = token.end()
        text = token[0]
        if token["begin"]:
            part, after_atom = "^", False
        elif token["end"]:
            if depth or regex[place : place + 1] not in ("", "|"):
                return None
            part, after_atom = _END, False
        elif token["open"]:
            depth += 1
            part, after_atom = "(?:", False
        elif token["close"]:
            depth -= 1
            if depth < 0:
                return None
            part, after_atom = ")", True
        elif token["either"]:
            part, after_atom = "|", False
        elif token["repeat"]:
            if not after_atom:
                return None
            part, after_atom = text, False
        else:
            found = _atom(token)
            if found is None:
                return None
            part, after_atom = found, True
        parts.append(part)
    if depth:
        return None
    whole = "".join(parts)
    return Spelt(whole.replace(_END, rf"(?:[{_ENDS}]?\z)"), whole.replace(_END, r"(?:(?:\r\n)?\z)"))


_END = "\0"
"""Stands for ``$`` until the pattern is whole."""


def _atom(token: re.Match[str]) -> str | None:
    """What stands for one character."""
    if token["any"]:
        return f"[^{_ENDS}]"
    if token["letter"]:
        return _ALONE.get(token["letter"])
    if token["members"] is not None:
        return _class(token["inverse"], token["members"])
    return _literal(token["sign"] or token[0])


def _class(inverse: str, members: str) -> str | None:
    parts: list[str] = []
    place = 0
    while place < len(members):
        found = _MEMBER.match(members, place)
        # A bare hyphen that is neither of a range nor the first or the last means this or that.
        if found is None or (found[0][0] == "-" and 0 < place < len(members) - 1):
            return None
        if found["letter"]:
            known = _IN_CLASS.get(found["letter"])
            if known is None:
                return None
            parts.append(known)
        else:
            first, last = (each and each[-1] for each in (found["first"], found["last"]))
            if last is not None and first > last:
                return None
            ends = [_literal(each) for each in (first, last) if each is not None]
            parts.append("-".join(ends))
        place = found.end()
    return f"[{inverse}{''.join(parts)}]"


def _literal(character: str) -> str:
    return re.escape(character) if character.isascii() else character
