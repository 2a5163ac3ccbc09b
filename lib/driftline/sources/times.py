"""Text → microseconds since 1970 in UTC: many values of one fixed form at once, or one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

DAY = 86_400_000_000
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds of 0001-01-01T00:00:00Z and of the last one of the year 9999."""

LOG = "%d/%b/%Y:%H:%M:%S %z"
"""How web servers write a time."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r" ?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_WIDTHS = {"Y": 4, "b": 3, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "f": 6, "z": 5}
_WIDTHS |= {"3": 3, "9": 9, ":": 6}
_ALSO = {"3": "f", "9": "f", ":": "z"}

Matrix = npt.NDArray[np.uint8]
Micros = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Form:
    """A time of fixed width: where each part stands, and the characters between them."""

    width: int
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    literals: tuple[tuple[int, bytes], ...] = ()


def form(pattern: str) -> Form | None:
    """The fixed-width form of a strptime pattern; None if it has none or no full date.

    ``%f`` stands for six digits, ``%z`` for ``+0200``. Four more are for ISO-8601 and are no
    strptime: ``%T`` (``T`` or a space), ``%:`` (``+02:00``), ``%3``, ``%9`` (digits of a second).
    """
    parts: dict[str, tuple[int, int]] = {}
    literals: list[tuple[int, bytes]] = []
    at = 0
    pieces = re.findall(r"%.|[^%]", pattern, re.DOTALL)
    if sum(map(len, pieces)) != len(pattern) or not pattern.isascii() or pattern != pattern.strip():
        return None
    for piece in pieces:
        code = piece[1:]
        if piece == "%T" or not code:
            literals.append((at, b"T " if code else piece.encode()))
            at += 1
            continue
        part = _ALSO.get(code, code)
        if code not in _WIDTHS or part in parts:
            return None
        parts[part] = (at, _WIDTHS[code])
        at += _WIDTHS[code]
        if code == ":":
            literals.append((at - 3, b":"))
    if not {"Y", "d"} <= parts.keys() or ("m" in parts) == ("b" in parts):
        return None
    return Form(at, parts, tuple(literals))


def _iso_forms() -> tuple[Form, ...]:
    full = [f"%Y-%m-%d%T%H:%M:%S{part}" for part in ("", ".%3", ".%f", ".%9")]
    zoned = [pattern + zone for pattern in full for zone in ("", "Z", "%:")]
    found = [form(pattern) for pattern in ["%Y-%m-%d", "%Y-%m-%d%T%H:%M", *zoned]]
    return tuple(each for each in found if each)


ISO_FORMS = _iso_forms()


def read_form(rows: Matrix, form: Form) -> tuple[Micros, npt.NDArray[np.bool_]]:
    """Times of n texts of the form's width, given as an (n, width) matrix of bytes.

    Returns microseconds (n,) and whether each text is a time of that form (n,); what is not may
    still be one of another form.
    """
    good = np.ones(len(rows), np.bool_)
    for at, allowed in form.literals:
        matches = rows[:, at] == allowed[0]
        for other in allowed[1:]:
            matches |= rows[:, at] == other
        good &= matches

    def number(at: int, width: int) -> npt.NDArray[np.int64]:
        nonlocal good
        value = np.zeros(len(rows), np.int64)
        for column in range(at, at + width):
            digit = rows[:, column] - np.uint8(48)
            good &= digit < 10
            value = value * 10 + digit
        return value

    def part(name: str, otherwise: int = 0) -> Any:
        return number(*form.parts[name]) if name in form.parts else otherwise

    year, day = part("Y"), part("d")
    month = _month_names(rows, form.parts["b"][0]) if "b" in form.parts else part("m")
    hour, minute, second = part("H"), part("M"), part("S")
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (month >= 1) & (month <= 12) & (year >= 1)
    month = np.where(good, month, 1)
    good &= (day >= 1) & (day <= _DAYS[month] + (leap & (month == 2)))
    good &= (hour < 24) & (minute < 60) & (second < 60)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    micros = days * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000
    if "f" in form.parts:
        digits = form.parts["f"][1]
        micros += part("f") * 10 ** max(0, 6 - digits) // 10 ** max(0, digits - 6)
    if "z" in form.parts:
        at, width = form.parts["z"]
        sign = rows[:, at]
        hours, minutes = number(at + 1, 2), number(at + width - 2, 2)
        good &= ((sign == 43) | (sign == 45)) & (hours < 24) & (minutes < 60)
        away = (hours * 60 + minutes) * 60_000_000
        micros = micros + np.where(sign == 45, away, -away)
    good &= (micros >= FIRST) & (micros <= LAST)
    return micros, good


def _month_names(rows: Matrix, at: int) -> Any:
    month = np.zeros(len(rows), np.int64)
    for index in range(12):
        a, b, c = _MONTHS[3 * index : 3 * index + 3]
        found = (rows[:, at] == a) & (rows[:, at + 1] == b) & (rows[:, at + 2] == c)
        month[found] = index + 1
    return month


def read_iso(text: str) -> int | None:
    """Microseconds of one ISO-8601 time, or None if it is none.

    ``2010-12-01``, ``2010-12-01T08:26``, with seconds, with a fraction of 1 to 9 digits (those
    beyond the sixth are cut off); ``T`` or a space; then nothing, ``Z``, ``+02``, ``+0200`` or
    ``+02:00``.
    """
    found = _ISO.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    micros = _micros(moment) + int(((fraction or "") + "000000")[:6])
    if zone and zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
        if hours > 23 or minutes > 59:
            return None
        away = (hours * 60 + minutes) * 60_000_000
        micros += away if zone[0] == "-" else -away
    return micros if FIRST <= micros <= LAST else None


def known(pattern: str) -> bool:
    """Whether strptime takes a pattern: it must at least read what was written by it."""
    moment = datetime(2001, 2, 3, 4, 5, 6, 789, timezone.utc)
    try:
        datetime.strptime(moment.strftime(pattern), pattern)
    except (ValueError, re.error):
        return False
    return True


def read_pattern(text: str, pattern: str) -> int | None:
    """Microseconds of one time written in a strptime pattern, or None if it is none."""
    if not text.isascii():
        return None
    try:
        moment = datetime.strptime(text, pattern)
    except (ValueError, OverflowError):
        return None
    micros = _micros(moment.replace(tzinfo=None))
    zone = moment.utcoffset()
    if zone is not None:
        micros -= zone // timedelta(microseconds=1)
    return micros if FIRST <= micros <= LAST else None


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
