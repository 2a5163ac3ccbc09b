"""What parse gives for damaged input is what a plain program, one character at a time, gives.

The program below knows nothing of the one under test: no Arrow, no arrays, no shared rules.
"""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest

from driftline.sources import Field, Layout, parse

UNIX = datetime(1970, 1, 1, tzinfo=timezone.utc)
BAD = object()


# ---- the plain program: values ---------------------------------------------------------------


def plain_number(text: str) -> bool:
    at = 0
    if text[:1] in ("+", "-") and text:
        at = 1
    digits = 0
    while at < len(text) and text[at] in "0123456789":
        at, digits = at + 1, digits + 1
    if at < len(text) and text[at] == ".":
        at += 1
        while at < len(text) and text[at] in "0123456789":
            at, digits = at + 1, digits + 1
    if not digits:
        return False
    if at < len(text) and text[at] in "eE":
        at += 1
        if at < len(text) and text[at] in "+-":
            at += 1
        if at == len(text):
            return False
        while at < len(text) and text[at] in "0123456789":
            at += 1
    return at == len(text)


def plain_time(text: str, format: str | None) -> Any:
    if format in ("epoch_s", "epoch_ms", "epoch_us"):
        if not plain_number(text):
            return BAD
        exponent = re.split("[eE]", text)[1] if re.search("[eE]", text) else "0"
        if abs(int(exponent)) > 400:
            return BAD if Fraction(re.split("[eE]", text)[0]) and int(exponent) > 0 else 0
        scale = {"epoch_s": 10**6, "epoch_ms": 10**3, "epoch_us": 1}[format]
        micros = Fraction(text) * scale // 1
    elif format is None:
        shape = "".join("9" if c in "0123456789" else c for c in text)
        shape = shape[:10] + shape[10:11].replace(" ", "T") + shape[11:]
        shape = shape.replace("99 +", "99+").replace("99 -", "99-").replace("99 Z", "99Z")
        day, _, rest = shape.partition("T")
        clock = re.sub("(Z|[+-]99|[+-]9999|[+-]99:99)$", "", rest)
        fraction = clock[9:] if clock[8:9] == "." else ""
        if day != "9999-99-99" or clock[: 8 if fraction else None] not in (
            *(("", "99:99", "99:99:99") if "T" in shape else ("",)),
        ):
            return BAD
        if clock == "" and shape != "9999-99-99":
            return BAD
        if fraction.strip("9") or len(fraction) > 9 or (clock[8:9] == "." and not fraction):
            return BAD
        numbers = [int(x) for x in (text[:4], text[5:7], text[8:10])]
        numbers += [int(x) for x in (text[11:13], text[14:16], text[17:19]) if x.isdigit()][
            : len(clock[:8].replace(":", "")) // 2
        ]
        try:
            moment = datetime(*numbers, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
        except ValueError:
            return BAD
        micros = (moment - UNIX) // timedelta(microseconds=1)
        if fraction:
            micros += int(text[20 : 20 + len(fraction)].ljust(9, "0")) // 1000
        zone = text[11 + len(clock) :].strip() if clock else ""
        if zone not in ("", "Z"):
            hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or 0)
            if hours > 23 or minutes > 59:
                return BAD
            micros -= (hours * 60 + minutes) * 60 * 10**6 * (-1 if zone[0] == "-" else 1)
    else:
        try:
            moment = datetime.strptime(text.encode("ascii").decode(), format)
        except ValueError:
            return BAD
        away = moment.utcoffset() or timedelta(0)
        micros = (moment.replace(tzinfo=timezone.utc) - UNIX - away) // timedelta(microseconds=1)
    if not -62135596800 * 10**6 <= micros < 253402300800 * 10**6:
        return BAD
    return int(micros)


def plain_value(text: str | None, field: Field, blank_is_null: bool, log: bool) -> Any:
    if text is None or field.type == "string":
        return text
    text = text.strip(" \t")
    if not text:
        return None if blank_is_null else BAD
    if field.type == "boolean":
        for value, words in ((True, "true t yes y 1"), (False, "false f no n 0")):
            if text.isascii() and text.lower() in words.split():
                return value
        return BAD
    if field.type in ("long", "double"):
        if not plain_number(text):
            return BAD
        if field.type == "long" and text.strip("+-0123456789") == "":
            whole = Fraction(text).numerator if len(text) < 4000 else 2**64
            return whole if -(2**63) <= whole < 2**63 else BAD
        number = float(text)
        if field.type == "double":
            return BAD if number in (float("inf"), -float("inf")) else number or 0.0
        return int(number) if abs(number) < 2**53 and number == int(number) else BAD
    format = field.format or ("%d/%b/%Y:%H:%M:%S %z" if log else None)
    if format is None and field.type == "date" and len(text) != 10:
        return BAD
    micros = plain_time(text, format)
    if micros is not BAD and field.type == "date":
        return micros // (86400 * 10**6)
    return micros


# ---- the plain program: formats --------------------------------------------------------------


def plain_log(text: str, layout: Layout) -> Any:
    names = [field.source for field in layout.fields]
    found: dict[str, str | None] = {}
    rest = text
    for name in (["vhost"] if "vhost" in names else []) + ["host", "ident", "user"]:
        found[name], space, rest = rest.partition(" ")
        if not found[name] or not space:
            return "malformed"
    if not rest.startswith("["):
        return "malformed"
    before, quote, rest = rest[1:].partition('"')
    if not quote or not before.endswith("] "):
        return "malformed"
    found["time"] = before[:-2]

    def quoted(rest: str) -> tuple[str, str] | None:
        value = ""
        at = 0
        while at < len(rest):
            if rest[at] == '"':
                return value, rest[at + 1 :]
            if rest[at] == "\\":
                if at + 1 == len(rest):
                    return None
                value += rest[at + 1] if rest[at + 1] in '"\\' else rest[at : at + 2]
                at += 2
            else:
                value += rest[at]
                at += 1
        return None

    split = quoted(rest)
    if not split:
        return "malformed"
    raw = rest[: len(rest) - len(split[1]) - 1]
    found["request"], rest = split
    words = raw.split(" ")
    three = len(words) == 3 and all(words)
    for name, word in zip(("method", "path", "protocol"), words, strict=False):
        unescaped = re.sub(r'\\(["\\])', lambda found: found[1], word)
        found[name] = unescaped if three else None
    parts = rest.split(" ", 3)
    if len(parts) < 3 or parts[0]:
        return "malformed"
    found["status"], found["bytes"] = parts[1:3]
    if not re.fullmatch("[0-9][0-9][0-9]|-", parts[1]) or not re.fullmatch("[0-9]+|-", parts[2]):
        return "malformed"
    if len(parts) == 4:
        if not parts[3].startswith('"'):
            return "malformed"
        split = quoted(parts[3][1:])
        if not split or not split[1].startswith(' "'):
            return "malformed"
        found["referrer"] = split[0]
        split = quoted(split[1][2:])
        if not split or split[1]:
            return "malformed"
        found["agent"] = split[0]
    return [None if found.get(name) == "-" else found.get(name) for name in names], None


def plain_csv_fields(text: str, separator: str) -> list[str | None] | None:
    out: list[str | None] = []
    state, value = "start", ""
    for c in [*text, None]:
        if state == "start":
            if c == '"':
                state = "quoted"
            elif c == separator or c is None:
                out.append(None)
            else:
                state, value = "bare", c
        elif state == "bare":
            if c == separator or c is None:
                out.append(value)
                state, value = "start", ""
            elif c == '"':
                return None
            else:
                value += c
        elif state == "quoted":
            if c is None:
                return None
            if c == '"':
                state = "closing"
            else:
                value += c
        elif c == '"':
            state, value = "quoted", value + '"'
        elif c == separator or c is None:
            out.append(value)
            state, value = "start", ""
        else:
            return None
    return out


def plain_columns(
    text: str, layout: Layout, header: bytes | None, split: Callable[[str], Any]
) -> Any:
    names = split(header.decode()) if header else [field.source for field in layout.fields]
    found = split(text)
    if found is None:
        return "malformed"
    while len(found) > len(names) and layout.format == "csv" and found[-1] in ("", None):
        found.pop()
    if len(found) != len(names):
        return "field_count"
    by_name = dict(zip(names, found, strict=True))
    known = [field.source for field in layout.fields]
    others = {k: v for k, v in by_name.items() if k not in known and v is not None}
    rescued = json.dumps(others, ensure_ascii=False, separators=(",", ":")) if others else None
    return [by_name.get(source) for source in known], rescued


class Literal(str):
    pass


def plain_json(text: str, layout: Layout) -> Any:
    def no(token: str) -> Any:
        raise ValueError

    def number(literal: str) -> str:
        if not set(literal) & set(".eE"):
            return literal if literal != "-0" else "0"
        shortest = repr(float(literal))
        if shortest.endswith("inf"):
            return literal
        exact = Fraction(shortest)
        return str(int(exact)) if exact.denominator == 1 and abs(exact) < 2**53 else shortest

    def dump(value: Any) -> str:
        if isinstance(value, Literal):
            huge = len(value) > 4000 or repr(float(value)).endswith("inf")
            return json.dumps(value) if huge and set(value) & set(".eE") else number(value)
        if isinstance(value, list):
            return "[" + ",".join(map(dump, value)) + "]"
        if isinstance(value, dict):
            return "{" + ",".join(f"{dump(k)}:{dump(v)}" for k, v in value.items()) + "}"
        return json.dumps(value, ensure_ascii=False)

    try:
        value = json.loads(text, parse_int=Literal, parse_float=Literal, parse_constant=no)
        if not isinstance(value, dict):
            return "malformed"
        known = [field.source for field in layout.fields]
        others = {k: value[k] for k in sorted(value) if k not in known and value[k] is not None}
        rescued = dump(others) if others else None
        found = []
        for source in known:
            each = value.get(source)
            if isinstance(each, Literal):
                each = number(each)
            found.append(each if each is None or isinstance(each, str) else dump(each))
        for each in (rescued, *found):
            (each or "").encode()
    except ValueError:
        return "malformed"
    return found, rescued


def plain_parse(block: bytes, layout: Layout, offset: int, header: bytes | None) -> Any:
    rows: list[Any] = []
    rejects: list[Any] = []
    at = offset
    for whole in block.split(b"\n"):
        line = whole[:-1] if whole.endswith(b"\r") else whole
        start, at = at, at + len(whole) + 1
        if not line.strip():
            continue
        if len(line) > layout.max_line:
            kept = line[: min(4096, layout.max_line)]
            rejects.append((start, len(line), "too_long", None, kept))
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError:
            rejects.append((start, len(line), "encoding", None, line))
            continue
        log = layout.format == "access_log"
        if log:
            got = plain_log(text, layout)
        elif layout.format == "ndjson":
            got = plain_json(text, layout)
        elif layout.format == "csv":
            got = plain_columns(
                text, layout, header, lambda text: plain_csv_fields(text, layout.separator)
            )
        else:
            got = plain_columns(
                text, layout, header, lambda text: [w for w in re.split("[ \t]", text) if w]
            )
        if isinstance(got, str):
            rejects.append((start, len(line), got, None, line))
            continue
        blank = layout.format != "ndjson"
        values = [
            plain_value(text, field, blank, log)
            for text, field in zip(got[0], layout.fields, strict=True)
        ]
        if BAD in values:
            column = layout.fields[values.index(BAD)].name
            rejects.append((start, len(line), "bad_value", column, line))
        else:
            rows.append((*values, got[1], start))
    return rows, rejects


# ---- the comparison --------------------------------------------------------------------------


def exactly(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else value


def check_same(block: bytes, layout: Layout, header: bytes | None, offset: int = 7) -> int:
    parsed = parse(block, layout, offset=offset, header=header)
    parsed.rows.validate(full=True)
    parsed.rejects.validate(full=True)
    rows, rejects = plain_parse(block, layout, offset, header)
    columns = []
    for column in parsed.rows.columns:
        kind = str(column.type)
        if kind.startswith("timestamp"):
            column = column.cast("int64")
        elif kind.startswith("date"):
            column = column.cast("int32")
        columns.append(column.to_pylist())
    got = [tuple(map(exactly, row)) for row in zip(*columns, strict=True)]
    assert got == [tuple(map(exactly, row)) for row in rows]
    assert [tuple(row.values()) for row in parsed.rejects.to_pylist()] == rejects
    assert parsed.records == len(rows) + len(rejects)
    return parsed.records


PIECES = [
    *(b'"', b'""', b"\\", b'\\"', b"\\\\", b" ", b"  ", b"\t", b",", b"-", b"[", b"]", b"{", b"}"),
    *(b"\r", b"\x00", b"\xff", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\x0b", b"'"),
    *(b"0", b"1", b"9", b".", b".0", b"+", b"e5", b"1e400", b"1e-400", b"0x1F", b"1_0", b"00"),
    *(b"NaN", b"Infinity", b"inf", b"null", b"true", b"True", b"T", b"Z", b"+0200", b"-23:59"),
    *(b"9223372036854775807", b"9223372036854775808", b"9007199254740993", b"9007199254740993.0"),
    *(b"2015-02-29", b"2016-02-29", b"31/Feb/2015:10:05:03 +0000", b"24:00:00", b"23:59:60"),
    *(b":", b"/", b"{}", b"[1,2]", b'"a":', b'"zz":', b"\\u00e9", b"\\ud800", b"\\udc00", b"-0"),
    *(b"\xd9\xa3", b"\xc2\xa0", b"0001-01-01", b"9999-12-31", b"0000", b"253402300800", b"\x85"),
    *(b"1" * 25, b"0" * 25, b"1.5", b"17850.0", b".5", b"5.", b"1e2", b"-0.0", b'" "', b"\x7f"),
]


def damaged(line: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(line) + 1)
        to = min(len(line), at + draw.choice((0, 0, 1, 1, 2, 5, 20)))
        piece = draw.choice(PIECES)
        if draw.random() < 0.5 and line:
            # Whole fields more often than single characters: those reach the casts.
            edges = [m.start() for m in re.finditer(rb'[ ,\t":\[\]]', line)] or [0]
            at = draw.choice(edges) + 1
            to = next((edge for edge in edges if edge >= at), len(line))
            if draw.random() < 0.3:
                piece = b""
        line = line[:at] + piece + line[to:]
    return line


def damaged_blocks(
    make: Callable[[random.Random], bytes], seed: int, at_least: int
) -> Iterator[bytes]:
    draw = random.Random(seed)
    done = 0
    while done < at_least:
        lines = []
        for _ in range(draw.choice((1, 2, 5, 60, 300, 1_000))):
            line = make(draw)
            if draw.random() < 0.7:
                line, done = damaged(line, draw), done + 1
            lines.append(line + draw.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\n \n")))
        block = b"".join(lines)
        yield block if draw.random() < 0.7 else block.rstrip(b"\r\n")


LOG = tuple(
    Field(name, type)  # type: ignore[arg-type]
    for name, type in (
        *(("host", "string"), ("ident", "string"), ("user", "string"), ("time", "timestamp")),
        *(("method", "string"), ("path", "string"), ("protocol", "string"), ("status", "long")),
        *(("bytes", "long"), ("referrer", "string"), ("agent", "string"), ("request", "string")),
    )
)


def log_line(draw: random.Random) -> bytes:
    request = draw.choice(
        ("GET / HTTP/1.1", "POST /a?b=c HTTP/1.0", "-", "GET /a b HTTP/1.1", r"\x16\x03", "GET /")
    )
    time = f"{draw.randrange(1, 31):02}/{draw.choice(('Jan', 'May', 'Dec'))}/2015:10:05:03"
    line = f'10.0.0.{draw.randrange(9)} - {draw.choice(("-", "ann"))} [{time} +0200] "{request}"'
    line += f" {draw.choice((200, 404))} {draw.choice(('-', '0', '5123', '1234567890123456'))}"
    if draw.random() < 0.8:
        agent = draw.choice(("-", "Mozilla/5.0 (X11)", r"say \"hi\" \\", ""))
        line += f' "{draw.choice(("-", "http://x.example/"))}" "{agent}"'
    return line.encode()


@pytest.mark.parametrize("vhost", [False, True])
def test_access_log(vhost: bool) -> None:
    fields = (Field("vhost", "string"), *LOG) if vhost else LOG
    layout = Layout("access_log", fields, max_line=300)

    def make(draw: random.Random) -> bytes:
        return (b"shop.example:80 " if vhost else b"") + log_line(draw)

    for block in damaged_blocks(make, seed=1, at_least=12_000):
        check_same(block, layout, None)


TYPED = (
    Field("s", "string"),
    Field("l", "long"),
    Field("d", "double"),
    Field("b", "boolean"),
    Field("t", "timestamp"),
    Field("u", "timestamp", format="%d.%m.%Y %H:%M:%S"),
    Field("e", "timestamp", format="epoch_ms"),
    Field("day", "date"),
    Field("ymd", "date", format="%Y%m%d"),
)


def typed_values(draw: random.Random) -> dict[str, str]:
    values = good_values(draw)
    if draw.random() < 0.1:  # a good value, but of another column
        values[draw.choice(list(values))] = draw.choice(list(values.values()))
    return values


def good_values(draw: random.Random) -> dict[str, str]:
    return {
        "s": draw.choice(("ann", "", "a b", "é", "x" * 30, " lead")),
        "l": draw.choice(("5", "-17", "17850.0", "007", "", "123456789012345678")),
        "d": draw.choice(("1.5", "-2", "0.1", "1e3", "", "3.14159")),
        "b": draw.choice(("true", "N", "0", "")),
        "t": draw.choice(
            (
                *("2010-12-01 08:26:00", "2010-12-01T08:26:00Z", "2010-12-01T08:26:00.123+02:00"),
                *("2010-12-01", "2010-12-01T08:26", "2010-12-01T08:26:00.123456789Z", ""),
                *("2010-12-01 08:26:00.1", "2010-12-01 08:26:00 +0200", "1969-12-31T23:59:59.9Z"),
            )
        ),
        "u": draw.choice(("01.12.2010 08:26:00", "1.2.2010 8:26:00", "")),
        "e": draw.choice(("1431857103000", "-1", "1431857103000.5", "")),
        "day": draw.choice(("2010-12-01", "1969-12-31", "")),
        "ymd": draw.choice(("19970101", "20000229", "")),
    }


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("named", [True, False], ids=["header", "no header"])
def test_csv(separator: str, named: bool) -> None:
    fields = tuple(field for field in TYPED if field.name not in ("b", "day") or not named)
    layout = Layout("csv", fields, separator=separator, header=named, max_line=300)
    header = (
        separator.join((*(field.name for field in TYPED), '"a""b"')).encode() if named else None
    )

    def make(draw: random.Random) -> bytes:
        values = typed_values(draw)
        kept = [values[field.name] for field in TYPED] + (["more"] if named else [])
        quotes = draw.random() < 0.3
        text = separator.join(f'"{value}"' if quotes and value else value for value in kept)
        return (text + separator * draw.choice((0, 0, 0, 2))).encode()

    for block in damaged_blocks(make, seed=2, at_least=7_500):
        check_same(block, layout, header)


@pytest.mark.parametrize("named", [True, False], ids=["header", "no header"])
def test_whitespace(named: bool) -> None:
    fields = tuple(field for field in TYPED if field.name not in ("u", "b"))
    layout = Layout("whitespace", fields, header=named, max_line=200)
    names = [field.name for field in fields]
    header = ("  ".join(names) + " more\tx").encode() if named else None

    def make(draw: random.Random) -> bytes:
        values = typed_values(draw)
        words = [values[name].replace(" ", "T") or "0" for name in names]
        words += ["x", 'y"z'] if named else []
        return "".join(draw.choice((" ", "\t", "   ")) + word for word in words).encode()

    for block in damaged_blocks(make, seed=3, at_least=8_000):
        check_same(block, layout, header)


@pytest.mark.parametrize("seed", range(4))
def test_ndjson(seed: int) -> None:
    known = tuple(field for field in TYPED if field.name not in ("u", "b") or seed % 2)
    layout = Layout("ndjson", known, max_line=400)

    def make(draw: random.Random) -> bytes:
        values: dict[str, Any] = dict(typed_values(draw))
        values["l"] = draw.choice((5, -17, 0, 2**53 + 1, 1.0, "7") if seed == 3 else (5, -17))
        values["d"] = draw.choice((1.5, 2, 1e300) if seed != 2 else ("1.5", ""))
        values["b"] = draw.choice((True, False, None, 1) if seed == 3 else (True, False))
        values["e"] = draw.choice((1431857103000, 0, None))
        for key in ("t", "day", "ymd", "u"):
            values[key] = values[key] or None
        kinds = ((1, 2), (1.5, -2.25, 1e22), (3, 2.5, 4.0), (1.5, [1, {"a": -0.0, "b": 1e99}]))
        values["n"] = draw.choice(kinds[seed])
        values["w"] = draw.choice(("x", 'say "hi"', "é", None))
        if draw.random() < 0.2:
            del values[draw.choice(list(values))]
        return json.dumps(values, ensure_ascii=draw.random() < 0.5).encode()

    for block in damaged_blocks(make, seed=seed, at_least=7_500):
        check_same(block, layout, None)
