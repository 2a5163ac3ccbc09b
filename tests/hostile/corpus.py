"""All hostile cases: data without Spark, for whoever reads deliveries."""

from __future__ import annotations

from hostile.case import Case
from hostile.deliveries import COMPRESSED, NAMES, PARQUET
from hostile.records import CONTENT, JSON, LOGS, SCHEMA, TIMES
from hostile.text import BYTES, LINES

CASES: list[Case] = [
    *(*BYTES, *LINES),
    *(*JSON, *LOGS, *TIMES, *SCHEMA, *CONTENT),
    *(*COMPRESSED, *NAMES, *PARQUET),
]
