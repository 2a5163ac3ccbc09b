"""The ends of every type, through a whole comparison and onto the page."""

from __future__ import annotations

import html
import math
import re
from itertools import pairwise

import pytest
from pyspark.sql import DataFrame

from driftline import schemas
from driftline.jobs import drift, profile, report
from driftline.jobs.sides import Asked
from driftline.problem import load_problem

pytestmark = pytest.mark.slow

EXTREME = {
    "at": "IF({odd}, TIMESTAMP'0001-01-01 00:00:00', TIMESTAMP'9999-12-31 23:59:59.999999')",
    "civil": "IF({odd}, TIMESTAMP_NTZ'0001-01-01 00:00:00', TIMESTAMP_NTZ'9999-12-31 12:00:00')",
    "spread_at": "timestamp_seconds(-62135596800L + id * 315000)",
    "day": "IF({odd}, DATE'9999-12-31', DATE'0001-01-01')",
    "ancient": "date_add(DATE'0000-01-01', CAST(id % 300 AS int))",
    "days": "date_add(DATE'0001-01-01', CAST(id * 3 AS int))",
    "infinite": "double(element_at(array('Infinity', '-Infinity', 'NaN', '1'), int(id % 4 + 1)))",
    "finite": "IF({odd}, 1.7976931348623157E308D, -1.7976931348623157E308D)",
    "undefined": "double('NaN')",
    "tiny": "IF({odd}, 4.9E-324D, -0D)",
    "single": "IF({odd}, float('infinity'), float(1))",
    "whole": "IF({odd}, 9223372036854775807L, -9223372036854775808L)",
    "decimal": "IF({odd}, CAST('99999999999999999999999999999999999999' AS decimal(38, 0)), 0BD)",
    "word": "concat('w', id)",
    "long": "repeat(concat('ä', id % 3), IF(id < 1000, 10000, 1))",
    "empty": "''",
    "flag": "{odd}",
    "constant": "7",
    "nothing": "CAST(NULL AS string)",
    "bytes": "X'00FF'",
    "nested": "named_struct('a', id, 'b', array(id))",
    "pairs": "map('k', id)",
    "list": "array(id)",
}
"""What a column holds in row ``id``."""

CALM = {
    **dict.fromkeys(("at", "civil"), "TIMESTAMP'2024-03-01 12:30:00'"),
    "spread_at": "TIMESTAMP'2024-03-01 12:30:00' + make_interval(0, 0, 0, 0, 0, 0, id)",
    **dict.fromkeys(("day", "ancient"), "DATE'2024-03-01'"),
    "days": "date_add(DATE'2024-03-01', CAST(id % 100 AS int))",
    **dict.fromkeys(
        ("infinite", "finite", "undefined", "tiny", "single", "whole", "decimal"), "id % 100"
    ),
    "word": "concat('w', id % 5)",
    "long": "'short'",
    "empty": "IF({odd}, NULL, '')",
}
"""The same, where it is as others are."""

WORDS = 1_000_000


def test_the_ends_of_every_type(spark, open_line, repository, tmp_path) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")
    folder = str(tmp_path / "extremes")

    def of(rows: int, columns: dict[str, str]) -> DataFrame:
        said = (f"{each.format(odd='id % 2 = 1')} AS {name}" for name, each in columns.items())
        return spark.range(0, rows, 1, 1).selectExpr(*said)

    def write(rows: int, columns: dict[str, str]) -> None:
        made = of(rows, columns)
        made = made.selectExpr(*(f"CAST({name} AS {type_}) AS {name}" for name, type_ in types))
        made.write.format("delta").mode("overwrite").save(folder)

    types = of(0, EXTREME).dtypes
    calm = EXTREME | CALM
    write(WORDS, EXTREME)
    write(1000, calm)
    write(1, EXTREME)
    write(0, calm)
    write(1000, calm)
    write(20_000, EXTREME)
    said = profile.run(line, table=folder, history=True)
    assert said == f"{folder}: 5 of 5 files have a profile"  # none of no rows
    for pair in [(0, 5), *pairwise(range(6))]:  # the last one is on the page
        drift.run(line, table=folder, asked=Asked(*map(str, pair)))

    rows = line.tables.read(schemas.DRIFT.full_name).collect()
    told: dict[tuple[int, int], dict[tuple[str, str], str]] = {}
    for row in rows:
        assert math.isfinite(row.value), row
        assert math.isfinite(row.bound), row
        assert row.p is None or 0 <= row.p <= 1, row
        assert not re.search(r"(?i)\b(nan|inf)\b", row.detail), row
        pair = row.from_version, row.to_version
        told.setdefault(pair, {})[row.column, row.statistic] = row.detail
    assert len(told) == 6
    for found in told.values():
        assert {column.partition(":")[0] for column, _ in found} == {"*", *EXTREME}
    for nested in ("nested", "pairs", "list", "bytes"):
        assert told[0, 1][nested, "skipped"].endswith(" is not profiled")
    assert told[0, 1]["word", "skipped"].startswith("most values are too rare")
    first, back = told[0, 1], told[4, 5]
    ends = "0001-01-01 … 9999-12-31"
    assert first["at", "range"] == f"{ends} 23:59 → 2024-03-01 12:30 … 2024-03-01 12:30"
    assert first["civil", "range"] == f"{ends} 12:00 → 2024-03-01 12:30 … 2024-03-01 12:30"
    assert first["day", "range"] == f"{ends} → 2024-03-01 … 2024-03-01"
    assert first["ancient", "range"] == "0001-01-01 … 0001-01-01 → 2024-03-01 … 2024-03-01"
    assert back["day", "new"] == "new 0001-01-01, 9999-12-31; lost 2024-03-01"
    assert back["day", "freshness"].endswith(" days after the version")
    assert first["infinite", "range"] == "-∞ … ∞ → 0 … 99"
    assert told[0, 5]["at", "ks"] == "mean 5000-07-02 12:00 → 5000-07-02 12:00"

    bars = line.tables.read(schemas.HISTOGRAMS.full_name).collect()
    kinds = {(bar.column, bar.kind) for bar in bars}
    assert {name for name, kind in kinds if kind == "time"} == {
        *("at", "civil", "spread_at", "day", "ancient", "days")
    }
    for bar in bars:
        ends = [each for each in (bar.low, bar.high, bar.share) if each is not None]
        assert all(map(math.isfinite, ends)), bar

    report.run(line)
    page = (tmp_path / "warehouse" / problem.name / "report.html").read_text("utf-8")
    [section] = re.findall(r'<section[^>]* id="drift".*?</section>', page, re.S)
    assert "0001-01-01, 9999-12-31" in section  # what a cell says when it is pointed at
    section = re.sub(r"<script.*?</script>", " ", section, flags=re.S)
    seen = html.unescape(re.sub(r"<[^>]*>", " ", section))
    assert not re.search(r"(?i)\b(nan|inf)\b|\de\+1[01]\b", seen)  # seconds are e+10 and e+11
    assert {name for name in EXTREME if not re.search(rf"\b{name}\b", seen)} == set()
    assert "100.0% before 2024-01-31 12:30 or after" in seen
