r"""Access logs of web servers: common, combined, and either with the virtual host in front.

Fields by name: ``host ident user time method path protocol status bytes referrer agent request``,
and ``vhost``: a layout that names it is one of logs that begin with it. ``-`` is null.

A line has the log format if it is ``host ident user [time] "request" status bytes``, single spaces
between, optionally followed by ``"referrer" "agent"`` and by nothing else; status is three digits
or ``-``, bytes digits or ``-``; the words in front have no spaces. Anything else is malformed:
guessing which word is the user would be wrong silently. Within quotes ``\"`` and ``\\`` mean
``"`` and ``\``; other escapes (``\xe4``) stay as they are.

Of a line in the log format, ``method``, ``path`` and ``protocol`` are the three words of the
request; if it is not three words with single spaces between, they are null and ``request`` is
kept as it is. The request ``-`` is null, too.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from driftline.sources.layout import Layout
from driftline.sources.records import Flags, Positions, Records, texts
from driftline.sources.source import Part, Read, rows_of

NAMES = (
    *("vhost", "host", "ident", "user", "time", "method", "path", "protocol"),
    *("status", "bytes", "referrer", "agent", "request"),
)

_IN_QUOTES = ("method", "path", "protocol", "request", "referrer", "agent")


def _expression(*words: str) -> re.Pattern[str]:
    front = " ".join(f"(?P<{word}>[^ ]+)" for word in words)
    request, referrer, agent = (
        rf'"(?P<{part}>[^"\\]*(?:\\.[^"\\]*)*)"' for part in ("request", "referrer", "agent")
    )
    return re.compile(
        rf'{front} \[(?P<time>[^"]*)\] {request}'
        rf" (?P<status>[0-9]{{3}}|-) (?P<bytes>[0-9]+|-)(?: {referrer} {agent})?",
        re.DOTALL,
    )


_LINE = {False: _expression("host", "ident", "user")}
_LINE[True] = _expression("vhost", "host", "ident", "user")
_ESCAPE = re.compile(r'\\(["\\])')

_TIME = 26  # characters of 17/May/2015:10:05:03 +0000
_BYTES = 15  # digits of a size that are looked at by position


def check(layout: Layout) -> None:
    """Raise ValueError for a field that access logs do not have."""
    for field in layout.fields:
        if field.source not in NAMES:
            raise ValueError(
                f"field {field.name!r}: an access log has no {field.source!r},"
                f" only {', '.join(NAMES)}"
            )


def read(records: Records, layout: Layout, header: bytes | None = None) -> Read:
    """Tell the fields of log lines apart: most by position, the rest by the expression."""
    wanted = [field.source for field in layout.fields]
    vhost = "vhost" in wanted
    fast, parts = _by_position(records, wanted, vhost)
    refused: dict[int, str] = {}
    rows: list[int] = []
    values: list[list[str | None]] = []
    for index in np.flatnonzero(~fast).tolist():
        found = line(records.text(index), vhost)
        if found is None:
            refused[index] = "malformed"
        else:
            rows.append(index)
            values.append([found[name] for name in wanted])
    if rows:
        parts.append(Part(np.array(rows, np.int64), rows_of(values, len(wanted))))
    return Read(parts, refused)


def line(text: str, vhost: bool) -> dict[str, str | None] | None:
    """The fields of one line by name, or None if it does not have the log format."""
    found = _LINE[vhost].fullmatch(text)
    if not found:
        return None
    fields = found.groupdict()
    words = found["request"].split(" ")
    if len(words) != 3 or not all(words):
        words = ["-", "-", "-"]
    fields |= dict(zip(("method", "path", "protocol"), words, strict=True))
    for name, value in fields.items():
        if value == "-":
            fields[name] = None
        elif value and "\\" in value and name in _IN_QUOTES:
            fields[name] = _ESCAPE.sub(r"\1", value)
    return fields


def _by_position(records: Records, wanted: list[str], vhost: bool) -> tuple[Flags, list[Part]]:
    """Lines without escapes, with 2 or 6 quotes: which of all lines are read, and their fields.

    What is checked here, character by character, is enough for the expression to match with the
    same groups; a line that fails any check is left to it.
    """
    data = records.bytes
    quotes, escapes = np.flatnonzero(data == 34), np.flatnonzero(data == 92)
    # Only these two escapes change what is read: \xe4 and its like stay as they are.
    escaped = data[np.minimum(escapes + 1, len(data) - 1)]
    escapes = escapes[(escaped == 34) | (escaped == 92)]
    spaces = np.flatnonzero(data == 32)
    first = np.searchsorted(quotes, records.start)
    count = np.searchsorted(quotes, records.end) - first
    clean = np.searchsorted(escapes, records.start) == np.searchsorted(escapes, records.end)
    taken = np.zeros(len(records), np.bool_)
    parts = []
    for number in (6, 2):
        rows = np.flatnonzero(clean & (count == number))
        if len(rows) and len(spaces):
            before = first[rows]
            quote = [quotes[before + k] for k in range(number)]
            part = _read_clean(records, rows, quote, spaces, wanted, vhost)
            taken[part.rows] = True
            parts.append(part)
    return taken, parts


def _read_clean(
    records: Records,
    rows: Positions,
    quote: list[Positions],
    spaces: Positions,
    wanted: list[str],
    vhost: bool,
) -> Part:
    data, last = records.bytes, len(records.data) - 1
    start, end = records.start[rows], records.end[rows]
    words = 4 if vhost else 3

    def is_at(where: Positions, character: str) -> Flags:
        return np.asarray(data[np.minimum(where, last)] == ord(character), np.bool_)

    def digit_at(where: Positions) -> Flags:
        return np.asarray(data[np.minimum(where, last)] - np.uint8(48) < 10, np.bool_)

    # Spaces in turn: one after each word, one in the time, one after it, then the request's.
    before = np.searchsorted(spaces, start)
    space = [spaces[np.minimum(before + k, len(spaces) - 1)] for k in range(words + 5)]
    opening = space[words - 1] + 1
    good = (opening + _TIME + 3 == quote[0]) & (space[words + 1] == quote[0] - 1)
    good &= is_at(opening, "[") & is_at(quote[0] - 2, "]") & (space[0] > start)
    for k in range(1, words):
        good &= space[k] > space[k - 1] + 1
    status, size = quote[1] + 2, quote[1] + 6
    good &= is_at(status - 1, " ") & is_at(size - 1, " ")
    good &= digit_at(status) & digit_at(status + 1) & digit_at(status + 2)
    size_end = end
    if len(quote) == 6:
        size_end = quote[2] - 1
        good &= is_at(size_end, " ") & (quote[3] + 2 == quote[4]) & is_at(quote[3] + 1, " ")
        good &= quote[5] + 1 == end
    width = size_end - size
    good &= (width >= 1) & (width <= _BYTES)
    good &= digit_at(size) | (is_at(size, "-") & (width == 1))
    longer = np.flatnonzero(good)
    for k in range(1, _BYTES):
        longer = longer[width[longer] > k]
        good[longer] &= digit_at(size[longer] + k)

    ones, twos = space[words + 2], space[words + 3]
    three = (ones > quote[0] + 1) & (twos > ones + 1) & (twos < quote[1] - 1)
    three &= space[words + 4] > quote[1]
    edges = [start - 1, *space[:words]]
    spans = {
        name: (edges[k] + 1, edges[k + 1])
        for k, name in enumerate(NAMES[:words] if vhost else NAMES[1 : words + 1])
    }
    spans |= {
        "time": (opening + 1, quote[0] - 2),
        "request": (quote[0] + 1, quote[1]),
        "method": (quote[0] + 1, np.where(three, ones, quote[0] + 1)),
        "path": (np.where(three, ones, quote[0]) + 1, np.where(three, twos, quote[0] + 1)),
        "protocol": (np.where(three, twos, quote[0]) + 1, np.where(three, quote[1], quote[0] + 1)),
        "status": (status, status + 3),
        "bytes": (size, size_end),
    }
    if len(quote) == 6:
        spans |= {"referrer": (quote[2] + 1, quote[3]), "agent": (quote[4] + 1, quote[5])}
    all_good = bool(good.all())
    columns = []
    for name in wanted:
        if name not in spans:
            columns.append(pa.nulls(int(good.sum()), pa.string()))
            continue
        left, right = spans[name]
        null = right - left == 1
        null[null] = is_at(left[null], "-")
        if name in ("method", "path", "protocol"):
            null |= ~three
        if not all_good:
            left, right, null = left[good], right[good], null[good]
        columns.append(texts(records, left, right, null))
    return Part(rows[good], columns)
