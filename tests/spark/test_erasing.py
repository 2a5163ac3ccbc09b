"""Whose record a reject was, where nothing but its bytes tells."""

from __future__ import annotations

from driftline import erasure


def test_a_record_is_theirs_in_whatever_encoding_it_came(spark) -> None:
    texts = {
        "ours": ["id;c1;x", '{"id": "j\\u00f6rg"}', "jörg,5"],
        "others": ["id;c12;x", "c", '{"id": "jan"}'],
    }
    rows = [
        (whose, encoding, bytearray(text.encode(encoding)))
        for whose, some in texts.items()
        for text in some
        for encoding in ("utf-8", "utf-16-le", "cp1252")
    ]
    frame = spark.createDataFrame(rows, "whose string, encoding string, raw binary")
    held = erasure.in_bytes(frame["raw"], ["c1", "jörg", "日c"], ["utf-8", "utf-16-le", "cp1252"])
    found = frame.where(held).select("whose", "encoding").collect()
    assert [tuple(row) for row in found if row.whose == "ours"] == [row[:2] for row in rows[:9]]
    # In UTF-16 a longer name is told apart by nothing: its record goes, too.
    assert {tuple(row) for row in found if row.whose == "others"} <= {("others", "utf-16-le")}
