"""Bytes that are no text, and lines that end oddly."""

from __future__ import annotations

import gzip

from driftline.sources import Field
from hostile.case import Case, csv, ndjson

NAMED = "\ufeffid,s\n1,x\n"


def long_line() -> bytes:
    return b"id,s\n1," + b"x" * 64_000_000 + b"\n2,b\n"


BYTES = [
    csv("invalid UTF-8", b"id,s\n1,\xff\xfe\n2,ok\n", accepted=1, reasons={"encoding": 1}),
    csv("overlong UTF-8", b"id,s\n1,\xc0\xaf\n", reasons={"encoding": 1}),
    csv("character cut off", b"id,s\n1,\xe2\x82\n2,b\n", accepted=1, reasons={"encoding": 1}),
    csv("surrogate in UTF-8", b"id,s\n1,\xed\xa0\x80\n", reasons={"encoding": 1}),
    csv("CESU-8 pair", b"id,s\n1,\xed\xa0\xbd\xed\xb8\x80\n", reasons={"encoding": 1}),
    csv("UTF-16-LE as UTF-8", NAMED.encode("utf-16-le"), fault="header"),
    csv("UTF-16-BE as UTF-8", NAMED.encode("utf-16-be"), fault="header"),
    csv(
        "UTF-16-LE as such",
        NAMED.encode("utf-16-le"),
        options={"encoding": "utf-16-le"},
        accepted=1,
        values=((1, "x"),),
    ),
    csv(
        "UTF-16-BE as such",
        NAMED.encode("utf-16-be"),
        options={"encoding": "utf-16-be"},
        accepted=1,
        values=((1, "x"),),
    ),
    ndjson(
        # FF FE is no UTF-8; each line end leaves its second byte, a NUL, to what follows.
        "UTF-16-LE JSON as UTF-8",
        '\ufeff{"id":1}\n{"id":2}\n'.encode("utf-16-le"),
        reasons={"encoding": 1, "malformed": 2},
    ),
    csv("BOM", NAMED.encode(), accepted=1, values=((1, "x"),)),
    ndjson("BOM before JSON", b'\xef\xbb\xbf{"id":1}\n', accepted=1, values=((1, None),)),
    ndjson("BOM twice", b'\xef\xbb\xbf\xef\xbb\xbf{"id":1}\n', reasons={"malformed": 1}),
    csv(
        "BOM in the middle",
        "id,s\n1,a\n\ufeff2,b\n".encode(),
        accepted=1,
        reasons={"bad_value": 1},
    ),
    csv("NUL in a text", b"id,s\n1,a\0b\n", accepted=1, values=((1, "a\0b"),)),
    csv("NUL in a number", b"id,s\n1\0,a\n", reasons={"bad_value": 1}),
    csv("nothing but NULs", bytes(1_000), fault="header"),
    ndjson("NULs as JSON", bytes(1_000), reasons={"malformed": 1}),
    csv("Latin-1 as UTF-8", b"id,s\n1,caf\xe9\n", reasons={"encoding": 1}),
    csv(
        "Windows-1252 as such",
        b"id,s\n1,caf\xe9 \x80\n2,\x81\n",
        options={"encoding": "cp1252"},
        accepted=1,
        reasons={"encoding": 1},
        values=((1, "café €"),),
    ),
    csv(
        "GBK with ids as decimals",
        "id,s\n266079.0,你好\n266080.5,吗\n".encode("gbk"),
        options={"encoding": "gbk"},
        accepted=1,
        reasons={"bad_value": 1},
        values=((266_079, "你好"),),
    ),
    csv("GBK as UTF-8", "id,s\n1,你好\n2,b\n".encode("gbk"), accepted=1, reasons={"encoding": 1}),
]

LINES = [
    csv("CR only", b"id,s\r1,a\r2,b\r", fault="header"),
    csv(
        "CR only, no header",
        b"1,a\r2,b\r",
        options={"header": False},
        reasons={"field_count": 1},
    ),
    Case(
        "CR only, white space",
        {"x": b"id s\r1 a\r2 b\r"},
        "whitespace",
        fields=(Field("id", "long"), Field("s", "string")),
        fault="header",
    ),
    ndjson("CR only, JSON", b'{"id":1}\r{"id":2}\r', reasons={"malformed": 1}),
    csv("CRLF", b"id,s\r\n1,a\r\n2,b\r\n", accepted=2, values=((1, "a"), (2, "b"))),
    csv("CRLF and LF", b"id,s\n1,a\r\n2,b\n3,c\r\n", accepted=3),
    csv("CR CR LF", b"id,s\n1,a\r\r\n", accepted=1, values=((1, "a\r"),)),
    csv("U+2028", "id,s\n1,a\u2028b\n".encode(), accepted=1, values=((1, "a\u2028b"),)),
    ndjson("U+2028 in JSON", '{"s":"a\u2028b"}\n'.encode(), accepted=1),
    csv("NEL", "id,s\n1,a\x85b\n".encode(), accepted=1, values=((1, "a\x85b"),)),
    csv("VT and FF", b"id,s\n1,a\x0bb\x0cc\n", accepted=1, values=((1, "a\x0bb\x0cc"),)),
    csv("no final line end", b"id,s\n1,a\n2,b", accepted=2, values=((1, "a"), (2, "b"))),
    csv("line of 64 MB", long_line, accepted=1, reasons={"too_long": 1}, values=((2, "b"),)),
    csv(
        "line of 64 MB in gzip",
        lambda: gzip.compress(long_line(), 1),
        accepted=1,
        reasons={"too_long": 1},
        values=((2, "b"),),
    ),
    csv(
        "line of 64 MB without an end",
        lambda: long_line()[:-5],
        reasons={"too_long": 1},
    ),
    csv("header of 64 MB", lambda: long_line()[5:], fault="header"),
    csv(
        "2 MB of spaces, then a word",
        b"id,s\n" + b" " * 2_000_000 + b"x\n1,a\n",
        accepted=1,
        reasons={"too_long": 1},
    ),
    csv("empty lines", b"id,s\n\n1,a\n\n\n \t\r\n2,b\n\n", accepted=2),
    csv("nothing but empty lines", b"\n\n\r\n \n"),
    csv("header only", b"id,s\n"),
    csv("header without an end", b"id,s"),
    csv(
        "line end in quotes",
        b'id,s\n1,"a\nb"\n2,c\n',
        accepted=1,
        reasons={"malformed": 2},
    ),
    csv("quote left open", b'id,s\n1,a\n2,"b\n', accepted=1, reasons={"malformed": 1}),
    csv("quote within", b'id,s\n1,5" disk\n2,"5"" disk"\n', accepted=1, reasons={"malformed": 1}),
    csv("NDJSON as CSV", b'{"id":1,"s":"a"}\n{"id":2,"s":"b"}\n', fault="header"),
    ndjson("CSV as NDJSON", b"id,s\n1,a\n", reasons={"malformed": 2}),
    Case(
        "white space of all kinds",
        {"x": b" id \t s\n\t1  a \n2\tb\t\n3 c d\n4\n"},
        "whitespace",
        (Field("id", "long"), Field("s", "string")),
        accepted=2,
        reasons={"field_count": 2},
        values=((1, "a"), (2, "b")),
    ),
]
