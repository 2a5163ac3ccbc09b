"""What Spark finds of a person: in a reject's bytes, and in what tables tell of columns."""

from __future__ import annotations

from pyspark.sql import functions as F

from driftline import erasure, schemas
from driftline.schema import Table


def rewritten(spark, table: Table, rows: list[dict[str, object]], words) -> list[dict]:
    """As the job rewrites a table; the fields that are said of rows, the others are null."""
    every = [tuple(row.get(name) for name in table.column_names) for row in rows]
    frame = spark.createDataFrame(every, table.ddl)
    here = erasure.describes(table.full_name, words)
    for_rows = {
        field: F.when(here, value).otherwise(F.col(f"`{field}`"))
        for field, value in erasure.changes(table.full_name, words).items()
    }
    changed = frame.withColumns(for_rows)
    if table.full_name in erasure.ALONE:
        changed = changed.where(f"NOT {erasure.ALONE[table.full_name]}")
    return [{name: row[name] for name in rows[0]} for row in changed.collect()]


def test_segments_and_causes_tell_no_words_either(spark) -> None:
    """As `drift --by agent` and `--by customer_id` leave them; `a` is c1's, `ab` another's."""
    words = {"agent": {"a"}, "customer_id": {"c1"}}
    cells = [{"agent": "ab"}, {"half": "a"}, {"customer_id": "c12", "agent": None}, {}]
    theirs = [{"agent": "a"}, {"customer_id": "c1", "half": "a"}]  # of nobody else: they go
    rows = [{"cell": cell, "column": "amount"} for cell in (*cells, *theirs)]
    assert rewritten(spark, schemas.PROFILES, rows, words) == rows[:4]

    head = "added since 1"
    kept = [head, f"{head}, agent=a b", f"{head}, half=a", f"{head}, customer_id=c1.5"]
    slices = [*kept, f"{head}, agent=a", f"{head}, customer_id=c1"]
    rows = [{"slice": each, "column": "amount"} for each in slices]
    found = [row["slice"] for row in rewritten(spark, schemas.DRIFT, rows, words)]
    assert found == [*kept, f"{head}, agent=(erased)", f"{head}, customer_id=(erased)"]

    causes = [("amount", "half", "a"), ("amount", "agent", "ab"), ("amount", "commit", "3")]
    theirs = [("amount", "agent", "a"), ("agent:length", "customer_id", "c1")]
    theirs += [("agent", "agent", "a"), ("agent", "half", "a")]
    names = ("column", "kind", "name")
    rows = [dict(zip(names, each, strict=True)) for each in causes + theirs]
    found = [tuple(row.values()) for row in rewritten(spark, schemas.CAUSES, rows, words)]
    assert found == causes + [(*each[:2], "(erased)") for each in theirs]


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
