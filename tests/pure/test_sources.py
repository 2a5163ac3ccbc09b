"""What each kind of input accepts, and why it rejects the rest: literal bytes in, values out."""

from __future__ import annotations

import datetime as dt
import gc
import json
import pickle
from typing import Any

import pyarrow as pa
import pytest

from driftline import sources
from driftline.sources import REASONS, Field, Layout, parse
from driftline.sources.layout import BadHeader

UTC = dt.timezone.utc


def values(layout: Layout, block: bytes, header: bytes | None = None) -> list[tuple[Any, ...]]:
    """Rows without the two added columns; there must be no reject."""
    parsed = parse(block, layout, offset=1, header=header)
    assert parsed.rejects.num_rows == 0, parsed.rejects.to_pylist()
    return [tuple(row.values())[:-2] for row in parsed.rows.to_pylist()]


def rejects(
    layout: Layout, block: bytes, header: bytes | None = None
) -> list[tuple[str, str | None]]:
    """Reason and column of each reject; there must be no row."""
    parsed = parse(block, layout, offset=1, header=header)
    assert parsed.rows.num_rows == 0, parsed.rows.to_pylist()
    return [(row["reason"], row["column"]) for row in parsed.rejects.to_pylist()]


def strings(format: str, *names: str, **options: Any) -> Layout:
    return Layout(format, tuple(Field(name, "string") for name in names), **options)


# ---- what parse gives back -------------------------------------------------------------------

ALL_TYPES = Layout(
    "csv",
    (
        *(Field("s", "string"), Field("l", "long"), Field("d", "double"), Field("b", "boolean")),
        *(Field("t", "timestamp"), Field("day", "date")),
    ),
    header=False,
)


@pytest.mark.parametrize(
    ("format", "block"),
    [("csv", b"a,1\na,x\nb,2\n"), ("whitespace", b"a 1\na x\nb 2\n")]
    + [("ndjson", b'{"s":"a","l":1}\n{"s":"a","l":"x"}\n{"s":"b","l":2}\n')],
)
def test_a_time_that_no_file_has_is_the_same_in_every_row(format: str, block: bytes) -> None:
    """Behind the fields, which keep their places; and where there is no row."""
    moment = dt.datetime(1994, 1, 2, tzinfo=dt.timezone.utc)
    constants = ((Field("t", "timestamp"), moment), (Field("day", "date"), moment))
    fields = (Field("s", "string"), Field("l", "long"))
    layout = Layout(format, fields, constants, header=False)
    parsed = parse(block, layout, offset=0)
    assert parsed.rows.schema == layout.schema
    assert parsed.rows.schema.names == ["s", "l", "t", "day", "_rescued", "_offset"]
    assert [tuple(row.values())[:4] for row in parsed.rows.to_pylist()] == [
        (word, number, moment, moment.date()) for word, number in (("a", 1), ("b", 2))
    ]
    assert parse(b"", layout, offset=0).rows.schema == layout.schema
    with pytest.raises(ValueError, match="names a column twice: s"):
        Layout(format, fields, ((Field("s", "timestamp"), moment),))


def test_rows_have_the_types_of_the_layout_and_two_columns_more() -> None:
    parsed = parse(b"x,1,2.5,yes,2010-12-01 08:26:00,2010-12-01\n", ALL_TYPES, offset=0)
    assert parsed.rows.schema == ALL_TYPES.schema
    assert [str(field.type) for field in parsed.rows.schema] == [
        *("string", "int64", "double", "bool", "timestamp[us, tz=UTC]", "date32[day]"),
        *("string", "int64"),
    ]
    (row,) = parsed.rows.to_pylist()
    assert row == {
        "s": "x",
        "l": 1,
        "d": 2.5,
        "b": True,
        "t": dt.datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        "day": dt.date(2010, 12, 1),
        "_rescued": None,
        "_offset": 0,
    }


def test_rejects_say_where_why_and_what() -> None:
    layout = Layout("csv", (Field("a", "long"), Field("b", "long")), max_line=20)
    block = b"a,b\n1,2\n1,x\r\n1\n" + b'"\n' + b"\xff,1\n" + b"9" * 30 + b"\n\n3,4"
    parsed = parse(block, layout, offset=0)
    assert parsed.records == 7
    assert [row["_offset"] for row in parsed.rows.to_pylist()] == [4, 53]
    assert [tuple(row.values()) for row in parsed.rejects.to_pylist()] == [
        (8, 3, "bad_value", "b", b"1,x"),
        (13, 1, "field_count", None, b"1"),
        (15, 1, "malformed", None, b'"'),
        (17, 3, "encoding", None, b"\xff,1"),
        (21, 30, "too_long", None, b"9" * 20),
    ]
    assert {reason for reason, _ in [*REASONS.items()]} == {
        *("bad_value", "field_count", "malformed", "encoding", "too_long")
    }


@pytest.mark.parametrize("block", [b"", b"\n", b" \r\n\t\n\x0b\x0c\n", b"a,b\n", b"a,b"])
def test_a_block_without_records_gives_none(block: bytes) -> None:
    parsed = parse(block, strings("csv", "a", "b"), offset=0)
    assert (parsed.rows.num_rows, parsed.rejects.num_rows, parsed.records) == (0, 0, 0)
    assert parsed.rows.schema == strings("csv", "a", "b").schema


def test_a_block_of_a_million_tiny_records_is_parsed_in_batches() -> None:
    layout = Layout("whitespace", (Field("n", "long"),), header=False)
    block = b"".join(b"%d\n" % (n % 10) if n % 7 else b"x\n" for n in range(250_000))
    parsed = parse(block, layout, offset=10)
    assert parsed.records == 250_000
    offsets = parsed.rows["_offset"].to_pylist()
    assert len(offsets) == 250_000 - 35_715
    assert all(at % 2 == 0 and (at - 10) // 2 % 7 for at in offsets)
    assert parsed.rejects["offset"].to_pylist() == list(range(10, 500_010, 14))


def test_layouts_and_results_can_be_sent_to_other_processes() -> None:
    parsed = parse(b"1,2\n", strings("csv", "a", "b", header=False), offset=0)
    again = pickle.loads(pickle.dumps(parsed))
    assert again.rows.equals(parsed.rows) and again.records == 1


def test_results_do_not_depend_on_the_block_staying_alive() -> None:
    block = b"x" * 100 + b",yyy\n"
    parsed = parse(block, strings("csv", "a", "b", header=False), offset=0)
    del block
    gc.collect()
    assert parsed.rows["a"].to_pylist() == ["x" * 100]


# ---- layouts that cannot be ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Field("", "long"), "empty or reserved"),
        (lambda: Field("_offset", "long"), "empty or reserved"),
        (lambda: Field("a", "int"), "not one of string, long"),  # type: ignore[arg-type]
        (lambda: Field("a", "long", format="%Y"), "only timestamp and date"),
        (lambda: Field("a", "timestamp", format="epoch"), "strptime pattern nor one of epoch_s"),
        (lambda: Field("a", "timestamp", format="%Y-%Q"), "strptime pattern"),
        (lambda: Layout("csv", ()), "at least one field"),
        (lambda: strings("csv", "a", "a"), "twice: a"),
        (lambda: strings("csv", "a", separator=";;"), "one ASCII character"),
        (lambda: strings("csv", "a", separator='"'), "one ASCII character"),
        (lambda: strings("csv", "a", max_line=0), "at least 1"),
        (lambda: strings("ndjson", "a", max_depth=501), "max_depth must be 1 to 500, found 501"),
        (lambda: strings("ndjson", "a", max_expansion=0.5), "max_expansion must be at least 1"),
        (lambda: strings("csv", "a", encoding="utf-9"), "not one that Python decodes"),
        (lambda: strings("csv", "a", encoding="hex"), "not one that Python decodes"),
        (lambda: strings("csv", "a", encoding="utf-16"), "utf-16-le or utf-16-be"),
        (lambda: strings("csv", "a", encoding="cp037"), "not that of ASCII"),
        (lambda: sources.check(strings("xml", "a")), "not one of access_log, csv"),
        (lambda: sources.check(strings("access_log", "ip")), "has no 'ip', only vhost, host"),
    ],
)
def test_an_impossible_layout_is_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---- values ----------------------------------------------------------------------------------


def one(type_: Any, text: str, format: str | None = None) -> Any:
    """The value of a text in a column of a type; the reject's reason where it is none."""
    layout = Layout("csv", (Field("v", type_, format=format), Field("x", "string")), header=False)
    parsed = parse(f"{text},x\n".encode(), layout, offset=0)
    if parsed.rows.num_rows:
        return parsed.rows.to_pylist()[0]["v"]
    return parsed.rejects.to_pylist()[0]["reason"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5", 5), ("-5", -5), ("+5", 5), ("007", 7), (" 5\t", 5), ("-0", 0), ("", None)),
        *(("17850.0", 17850), ("17850.", 17850), ("1e3", 1000), ("12.5", "bad_value")),
        *(("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))),
        *(("9223372036854775808", "bad_value"), ("9007199254740992.0", "bad_value")),
        *(("9007199254740991.0", 2**53 - 1), ("1e400", "bad_value"), ("0e999", 0)),
        *(("0x1F", "bad_value"), ("1_0", "bad_value"), ("٣", "bad_value"), ("1 2", "bad_value")),
        *(("NaN", "bad_value"), ("--5", "bad_value"), ("-", "bad_value"), (".", "bad_value")),
    ],
)
def test_long(text: str, value: object) -> None:
    assert one("long", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5", 5.0), ("+.5", 0.5), ("-5.", -5.0), ("1e-400", 0.0), (" 0.1 ", 0.1), ("", None)),
        *(("1e400", "bad_value"), ("inf", "bad_value"), ("nan", "bad_value"), ("NA", "bad_value")),
        *(("1,5"[:1] + "_5", "bad_value"), ("0x10", "bad_value"), ("1e", "bad_value")),
        *(("0.1000000000000000055511151231257827", 0.1), ("9" * 400, "bad_value")),
    ],
)
def test_double(text: str, value: object) -> None:
    assert one("double", text) == value


def test_zero_has_no_sign() -> None:
    assert str(one("double", "-0.0")) == str(one("double", "-0e5")) == "0.0"
    layout = Layout("ndjson", (Field("v", "double"),))
    assert (
        str(values(layout, b'{"v":-0.0}\n')) == str(values(layout, b'{"v":"-0"}\n')) == "[(0.0,)]"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("true", True), ("T", True), ("Yes", True), ("y", True), ("1", True), ("", None)),
        *(("FALSE", False), ("f", False), ("no", False), ("N", False), ("0", False)),
        *(("2", "bad_value"), ("on", "bad_value"), ("1.0", "bad_value")),
    ],
)
def test_boolean(text: str, value: object) -> None:
    assert one("boolean", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2010-12-01 08:26:00", "2010-12-01 08:26:00"),
        ("2010-12-01T08:26:00Z", "2010-12-01 08:26:00"),
        ("2010-12-01T08:26", "2010-12-01 08:26:00"),
        ("2010-12-01", "2010-12-01 00:00:00"),
        ("2010-12-01T08:26:00+02:00", "2010-12-01 06:26:00"),
        ("2010-12-01T08:26:00-0230", "2010-12-01 10:56:00"),
        ("2010-12-01T08:26:00.5", "2010-12-01 08:26:00.500000"),
        ("2010-12-01T08:26:00.1234567899+02", "bad_value"),
        ("2010-12-01T08:26:00.123456789+02", "2010-12-01 06:26:00.123456"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31 23:59:59.999999"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00"),
        ("0001-01-01T00:00:00+01:00", "bad_value"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
        ("9999-12-31T23:59:59-00:01", "bad_value"),
        ("2016-02-29", "2016-02-29 00:00:00"),
        ("2015-02-29", "bad_value"),
        ("1900-02-29", "bad_value"),
        ("2015-13-01", "bad_value"),
        ("2015-01-01T24:00:00", "bad_value"),
        ("2015-06-30T23:59:60Z", "bad_value"),
        ("2015-06-30T23:59:59+24:00", "bad_value"),
        ("0000-01-01", "bad_value"),
        ("0000-12-31T23:00:00-02:00", "bad_value"),
        ("15-01-01", "bad_value"),
        ("yesterday", "bad_value"),
    ],
)
def test_iso_timestamp(text: str, value: str) -> None:
    got = one("timestamp", text)
    assert (got if isinstance(got, str) else str(got).removesuffix("+00:00")) == value


@pytest.mark.parametrize(
    ("text", "format", "value"),
    [
        ("804571201", "epoch_s", "1995-07-01 04:00:01"),
        ("804571201.25", "epoch_s", "1995-07-01 04:00:01.250000"),
        ("-0.0000001", "epoch_s", "1969-12-31 23:59:59.999999"),
        ("1431857103123", "epoch_ms", "2015-05-17 10:05:03.123000"),
        ("1431857103123456", "epoch_us", "2015-05-17 10:05:03.123456"),
        ("253402300800", "epoch_s", "bad_value"),
        ("-62135596801", "epoch_s", "bad_value"),
        ("1e999999999999999999999", "epoch_s", "bad_value"),
        ("0e999999999", "epoch_s", "1970-01-01 00:00:00"),
        ("01.12.2010 08:26", "%d.%m.%Y %H:%M", "2010-12-01 08:26:00"),
        ("1.12.2010 8:26", "%d.%m.%Y %H:%M", "2010-12-01 08:26:00"),
        ("31.02.2010 08:26", "%d.%m.%Y %H:%M", "bad_value"),
        ("2010-12-01T08:26+0200", "%Y-%m-%dT%H:%M%z", "2010-12-01 06:26:00"),
        ("12/01/10 02:05 PM", "%m/%d/%y %I:%M %p", "2010-12-01 14:05:00"),
    ],
)
def test_timestamp_in_another_format(text: str, format: str, value: str) -> None:
    got = one("timestamp", text, format)
    assert (got if isinstance(got, str) else str(got).removesuffix("+00:00")) == value


def test_date() -> None:
    assert one("date", "1969-12-31") == dt.date(1969, 12, 31)
    assert one("date", "2010-12-01 08:26:00") == "bad_value"
    assert one("date", "19970101", "%Y%m%d") == dt.date(1997, 1, 1)
    assert one("date", "-1", "epoch_s") == dt.date(1969, 12, 31)
    assert one("date", "2010-12-01T23:00-0200", "%Y-%m-%dT%H:%M%z") == dt.date(2010, 12, 2)


def test_the_first_column_that_does_not_cast_is_named() -> None:
    layout = Layout("csv", (Field("b", "long", "1"), Field("a", "long", "0")), header=False)
    assert rejects(layout, b"x,y\n1,z\nz,1\n") == [
        ("bad_value", "b"),
        ("bad_value", "b"),
        ("bad_value", "a"),
    ]


# ---- access logs -----------------------------------------------------------------------------

LOG = strings("access_log", *(name for name in sources.access_log.NAMES if name != "vhost"))
REST = ("200", "5")


def test_a_combined_line_has_all_fields() -> None:
    layout = Layout(
        "access_log",
        (
            *(Field("ip", "string", "host"), Field("at", "timestamp", "time")),
            *(Field("size", "long", "bytes"), Field("agent", "string")),
        ),
    )
    line = b'1.2.3.4 - - [17/May/2015:12:05:03 +0200] "GET / HTTP/1.1" 200 5 "-" "say \\"hi\\""\n'
    at = dt.datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)
    assert values(layout, line) == [("1.2.3.4", at, 5, 'say "hi"')]
    assert values(layout, line.replace(b'\\"', b"")) == [("1.2.3.4", at, 5, "say hi")]
    assert values(layout, line.split(b' "-"')[0]) == [("1.2.3.4", at, 5, None)]
    assert rejects(layout, line.replace(b"17/May", b"31/Jun")) == [("bad_value", "at")]
    assert rejects(layout, line.replace(b"+0200", b"")) == [("bad_value", "at")]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("GET /a HTTP/1.1", ("GET", "/a", "HTTP/1.1", "GET /a HTTP/1.1")),
        ("-", (None, None, None, None)),
        ("", (None, None, None, "")),
        ("GET /", (None, None, None, "GET /")),
        ("GET /a b HTTP/1.1", (None, None, None, "GET /a b HTTP/1.1")),
        ("GET  HTTP/1.1", (None, None, None, "GET  HTTP/1.1")),
        (r"\x16\x03\x01", (None, None, None, r"\x16\x03\x01")),
        (r"GET /\"\\ HTTP/1.1", ("GET", r"/" + '"\\', "HTTP/1.1", 'GET /"\\ HTTP/1.1')),
    ],
)
def test_a_request_is_three_words_or_kept_as_it_is(
    request_: str, expected: tuple[str | None, ...]
) -> None:
    layout = strings("access_log", "method", "path", "protocol", "request", "status")
    line = f'h - - [t] "{request_}" 400 0'.encode()
    assert values(layout, line) == [(*expected, "400")]
    line = line.replace(b"[t]", b"[17/May/2015:12:05:03 +0200]")
    assert values(layout, line) == [(*expected, "400")]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"h - - [t]",
        b'h - - [t] "GET / HTTP/1.1 200 5',
        b'h - - [t] "GET / HTTP/1.1" 200',
        b'h - - [t] "GET / HTTP/1.1" 20 5',
        b'h - - [t] "GET / HTTP/1.1" 200 5k',
        b'h - - [t] "GET / HTTP/1.1" 200 5 ',
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-"',
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "a" 0.01',
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "a"b"',
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "a\\"',
        b'h - john doe [t] "GET / HTTP/1.1" 200 5',
        b'shop:80 h - - [t] "GET / HTTP/1.1" 200 5',
        b'h  - - [t] "GET / HTTP/1.1" 200 5',
        b' - - [t] "GET / HTTP/1.1" 200 5',
    ],
)
def test_a_line_in_another_form_is_malformed(line: bytes) -> None:
    expected = [("malformed", None)] if line else []
    assert rejects(LOG, line) == expected
    assert rejects(LOG, line.replace(b"[t]", b"[17/May/2015:12:05:03 +0200]")) == expected


def test_a_time_in_another_form_does_not_move_the_fields_behind_it() -> None:
    layout = strings("access_log", "time", "method", "path", "protocol")
    for time in ("17/May/2015 10:05:03 +0200", "17/May/2015:10:05:03-+0200", "a]b", ""):
        line = f'h - - [{time}] "GET /a HTTP/1.1" 200 5'.encode()
        assert values(layout, line) == [(time, "GET", "/a", "HTTP/1.1")]


def test_a_layout_with_vhost_is_of_lines_that_begin_with_it() -> None:
    layout = strings("access_log", "vhost", "host", "user")
    line = b'shop:80 h - ann [17/May/2015:12:05:03 +0200] "GET / HTTP/1.1" 200 5 "-" "a"'
    assert values(layout, line) == [("shop:80", "h", "ann")]
    assert rejects(layout, line.removeprefix(b"shop:80 ")) == [("malformed", None)]


# ---- separated values ------------------------------------------------------------------------


def test_csv_quotes() -> None:
    layout = strings("csv", "a", "b", header=False)
    assert values(layout, b'"x,y","say ""hi"""\n"",\n"""",","\n a , b\n') == [
        ("x,y", 'say "hi"'),
        ("", None),
        ('"', ","),
        (" a ", " b"),
    ]
    # The first two lines are one record whose quotes hold a line end.
    for line in (b'"x\ny",1\n', b'"x"y,1\n', b'"x,1\n', b'"""\n', b'x"y,1\n', b'1, "y"\n'):
        assert rejects(layout, line) == [("malformed", None)] * line.count(b"\n")


def test_csv_quotes_left_open_do_not_reach_the_next_line() -> None:
    parsed = parse(
        b'"x\n"a,b",c\n\xff"\n"d,e",f\n', strings("csv", "a", "b", header=False), offset=0
    )
    assert parsed.rows["a"].to_pylist() == ["a,b", "d,e"]
    assert parsed.rejects["reason"].to_pylist() == ["malformed", "encoding"]


def test_csv_empty_values_are_null_where_they_are_not_text() -> None:
    layout = Layout("csv", (Field("s", "string"), Field("n", "long")), header=False)
    assert values(layout, b',\n"",""\n , \n') == [(None, None), ("", None), (" ", None)]


def test_csv_fields_beyond_the_last_must_be_empty() -> None:
    layout = strings("csv", "a", "b", header=False)
    assert values(layout, b'1,2,,\n1,2,""\n') == [("1", "2"), ("1", "2")]
    assert rejects(layout, b"1,2,3\n1\n1,2,,3\n") == [("field_count", None)] * 3


def test_csv_columns_are_found_by_the_header() -> None:
    layout = Layout("csv", (Field("b", "long"), Field("gone", "long"), Field("a", "string")))
    parsed = parse(b'x,1,q,\n,2,"","z"""\n', layout, offset=9, header=b'a, b ,"more, ""c""",d\r\n')
    assert [tuple(row.values()) for row in parsed.rows.to_pylist()] == [
        (1, None, "x", '{"more, \\"c\\"":"q"}', 9),
        (2, None, None, '{"more, \\"c\\"":"","d":"z\\""}', 16),
    ]


def test_csv_a_name_that_stands_twice_counts_the_second_time_as_another() -> None:
    layout = strings("csv", "a", "a_2")
    assert values(layout, b"1,2\n", b"a,a") == [("1", "2")]


@pytest.mark.parametrize("header", [b"x,y", b'"a', b"\xff", b"", b"a" * 2_000_000])
def test_csv_a_header_that_is_none_is_an_error(header: bytes) -> None:
    with pytest.raises(BadHeader):
        parse(b"1,2\n", strings("csv", "a"), offset=5, header=header)


def test_csv_a_block_from_the_middle_needs_the_header() -> None:
    with pytest.raises(ValueError, match="needs the header line"):
        parse(b"1,2\n", strings("csv", "a"), offset=5)


def test_csv_without_header_by_position() -> None:
    layout = Layout("csv", (Field("c", "long", "2"), Field("a", "long", "0")), header=False)
    parsed = parse(b"1,x,3\n", layout, offset=0)
    assert parsed.rows.to_pylist() == [{"c": 3, "a": 1, "_rescued": '{"1":"x"}', "_offset": 0}]


def test_csv_other_encodings() -> None:
    for encoding in ("latin-1", "cp1252", "utf-16-le", "utf-32-be", "gb18030"):
        layout = strings("csv", "a", "b", header=False, encoding=encoding)
        assert values(layout, "é,x\r\n,ü\n".encode(encoding)) == [("é", "x"), (None, "ü")]
    layout = strings("csv", "a", "b", header=False, encoding="cp1252")
    parsed = parse(b"\xe9,1\n\x81,2\n\x80,3\n", layout, offset=0)
    assert parsed.rows["a"].to_pylist() == ["é", "€"]
    assert parsed.rows["_offset"].to_pylist() == [0, 8]
    assert parsed.rejects.to_pylist() == [
        {"offset": 4, "length": 3, "reason": "encoding", "column": None, "raw": b"\x81,2"}
    ]
    layout = strings("csv", "a", "b", header=False, encoding="utf-7")
    assert rejects(layout, b"+AAo-,x\n") == [("encoding", None)]
    layout = strings("csv", "a", "b", header=False, encoding="utf-16-le")
    torn = "a,b\n".encode("utf-16-le") + "c,d".encode("utf-16-le")[:-1]
    assert [r["reason"] for r in parse(torn, layout, offset=0).rejects.to_pylist()] == ["encoding"]


# ---- white space -----------------------------------------------------------------------------


def test_whitespace() -> None:
    layout = Layout("whitespace", (Field("n", "long"), Field("s", "string")))
    block = b' 00001 "a\t\n\t2   b\r\n3 c d\n4'
    parsed = parse(block, layout, offset=3, header=b"  n \t s")
    assert [(row["n"], row["s"]) for row in parsed.rows.to_pylist()] == [(1, '"a'), (2, "b")]
    assert [row["reason"] for row in parsed.rejects.to_pylist()] == ["field_count"] * 2
    parsed = parse(b"1 x y\n", layout, offset=3, header=b"n a s")
    assert parsed.rows["_rescued"].to_pylist() == ['{"a":"x"}']


# ---- JSON lines ------------------------------------------------------------------------------

EVENT = Layout("ndjson", (Field("s", "string"), Field("n", "long"), Field("t", "timestamp")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(('"x"', "x"), ("5", "5"), ("-0", "0"), ("12.5", "12.5"), ("12.50", "12.5")),
        *(("17850.0", "17850"), ("1e2", "100"), ("1e30", "1e+30"), ("1e999", "1e999")),
        *(("true", "true"), ("null", None), ("[1, 2.0]", "[1,2]"), ('{"a": "é"}', '{"a":"é"}')),
        *(('"\\ud83d\\ude00"', "😀"), ('"\\u0000"', "\0"), ("1" * 5000, "1" * 5000)),
    ],
)
def test_json_in_a_string_column(value: str, text: str | None) -> None:
    assert values(EVENT, f'{{"s":{value}}}\n'.encode()) == [(text, None, None)]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("5", 5), ('"5"', 5), ("17850.0", 17850), ('" 17850.0 "', 17850), ("null", None)),
        *(
            ("5.5", None),
            ('""', None),
            ('"x"', None),
            ("true", None),
            ("[]", None),
            ("1e400", None),
        ),
    ],
)
def test_json_in_a_long_column(value: str, number: int | None) -> None:
    line = f'{{"n":{value}}}\n'.encode()
    if number is None and value != "null":
        assert rejects(EVENT, line) == [("bad_value", "n")]
    else:
        assert values(EVENT, line) == [(None, number, None)]


@pytest.mark.parametrize(
    "line",
    [
        *(b"x", b"[]", b"5", b'"x"', b"{", b'{"n":1}}', b'{"n":1} {"n":2}', b'{"n":1,}'),
        *(b'{"n":NaN}', b'{"z":NaN}', b'{"n":-Infinity}', b'{"s":"\\ud800"}', b'{"z":"\\udc00"}'),
        *(b'{"n":01}', b'{"s":"a\tb"}', b"{'n':1}", b'{"z":' + b"[" * 300 + b"]" * 300 + b"}"),
        *(b'{"z":' + b"[" * 400_000, b'{"s":"\\x"}'),
    ],
)
def test_json_malformed(line: bytes) -> None:
    assert rejects(EVENT, line) == [("malformed", None)]
    good = b'{"s":"x","n":1,"t":"2015-05-17T10:05:03Z"}\n'
    parsed = parse(good + line + b"\n" + good, EVENT, offset=0)
    assert (parsed.rows.num_rows, parsed.rejects["reason"].to_pylist()) == (2, ["malformed"])


def test_json_unknown_keys_are_rescued() -> None:
    lines = (
        b'{"z":1,"n":1,"a":"x\\ny"}\n{"n":2}\n{"b":null,"n":3}\n{"n":4,"z":[1.0,{"y":-0.5}]}\n'
        b'{"n":5,"z":1.50,"e":1e999}\n{"n":6,"n":7,"z":1,"z":true}\n'
    )
    parsed = parse(lines, EVENT, offset=0)
    assert list(zip(*map(pa.Array.to_pylist, parsed.rows.columns[1:4:2]), strict=True)) == [
        (1, '{"a":"x\\ny","z":1}'),
        (2, None),
        (3, None),
        (4, '{"z":[1,{"y":-0.5}]}'),
        (5, '{"e":"1e999","z":1.5}'),
        (7, '{"z":true}'),
    ]


def test_json_two_columns_of_one_key() -> None:
    layout = Layout(
        "ndjson",
        (Field("at", "timestamp", "t", "epoch_ms"), Field("day", "date", "t", "epoch_ms")),
    )
    assert values(layout, b'{"t":1431857103000}\n') == [
        (dt.datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC), dt.date(2015, 5, 17))
    ]


def test_json_is_the_same_read_at_once_and_line_by_line() -> None:
    layout = Layout(
        "ndjson",
        (Field("s", "string"), Field("n", "long"), Field("d", "double"), Field("b", "boolean")),
    )
    for kinds in (("x", 5, 1.5, True), (5, 5.0, 1, 1), (1.5, "5", "1.5", "t"), (True, 1, 2.0, "n")):
        lines = [
            json.dumps(dict(zip("sndb", kinds, strict=True)) | {"more": number / 4}).encode()
            for number in range(300)
        ]
        at_once = parse(b"\n".join(lines), layout, offset=0)
        single = [parse(line, layout, offset=0) for line in lines]
        slow = [parse(line + b" ", layout, offset=0) for line in lines]
        for each in (single, slow):
            rows = [row for one in each for row in one.rows.drop_columns("_offset").to_pylist()]
            assert at_once.rows.drop_columns("_offset").to_pylist() == rows


# ---- what it may cost ------------------------------------------------------------------------


def test_clean_lines_are_not_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[str] = []

    def count(module: Any, name: str) -> None:
        rule = getattr(module, name)

        def counted(text: str, *rest: Any) -> Any:
            slow.append(text)
            return rule(text, *rest)

        monkeypatch.setattr(module, name, counted)

    count(sources.access_log, "line")
    count(sources.csv, "fields")
    count(sources.ndjson, "line")
    log = b'h - - [17/May/2015:12:05:03 +0200] "GET / HTTP/1.1" 200 5 "-" "\\x22agent"\n'
    parse(log * 1_000, LOG, offset=0)
    parse(
        b'1,"say ""hi""",\n2,x,"a,b"\n' * 500, strings("csv", "a", "b", "c", header=False), offset=0
    )
    event = b'{"n":5,"s":"x","more":1.5,"t":"2015-05-17T10:05:03Z"}\n'
    parse(event * 1_000, EVENT, offset=0)
    assert slow == []
    # One value of another kind, in the sample, costs the thousand lines around it.
    odd = event.replace(b"5,", b'"5",', 1)
    parsed = parse(odd + event * 9_999, EVENT, offset=0)
    assert parsed.rows.num_rows == 10_000
    assert len(slow) == 1_000
