"""The schemas of what the gate keeps: rows kept out, verdicts, results, measures of batches."""

from __future__ import annotations

from driftline.schema import AT, WHICH_RUN, Table, columns

QUARANTINE = Table(
    "ops",
    "quarantine",
    "Rows that broke a rule of the table's suite, each with the rules it broke",
    columns(
        "table string — The table the row was kept out of",
        "delivery string — SHA-256 of the delivery the row came from",
        "offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
        "rules array<struct<name:string,fingerprint:string,columns:array<string>>> "
        "— The rules the row broke; a fingerprint is of what a rule demands, after batch: of what "
        "its batch broke as a whole (validate --quarantine)",
        "row string — The row as JSON; who mends it here has it judged again by validate --replay",
        "row_hash bigint — xxhash64 of row when it was judged: another one means it was mended",
        "batch string — See ops.deliveries",
        WHICH_RUN,
    ),
    ("table", "batch"),
)

QUALITY = Table(
    "ops",
    "quality",
    "The verdict of every expectation on every batch that was judged",
    columns(
        "table string — The table that was guarded",
        "batch string — See ops.deliveries; empty for a table that is made as a whole",
        "suite string — Digest of the suite file",
        "rule string — Name of the expectation",
        "fingerprint string — Of what the rule demands, whatever its name and severity",
        "type string — Great Expectations' name of its kind",
        "column string — The column it speaks of, if one",
        "severity string — error refuses, warn is only said",
        "why string — Why the expectation is there",
        "engine string — plan: judged in the one pass; great_expectations: it ran the rule itself",
        "success boolean — Great Expectations' verdict",
        "element_count bigint — Rows judged",
        "unexpected_count bigint — Rows that broke it",
        "missing_count bigint — Rows without a value in the column",
        "observed string — What was seen, for expectations about the whole table; of a rule "
        "that fails on a value, Spark's condition: then nothing is counted",
        WHICH_RUN,
        AT,
    ),
    ("table", "batch", "at"),
)

VALIDATIONS = Table(
    "ops",
    "validations",
    "Results of suites as Great Expectations writes them, for its Data Docs; but for min and max "
    "no values of rows",
    columns(
        "table string — The table that was guarded",
        "batch string — See ops.deliveries; empty for a table that is made as a whole",
        "suite string — Digest of the suite file",
        "result string — An ExpectationSuiteValidationResult as JSON",
        WHICH_RUN,
        AT,
    ),
)

METRICS = Table(
    "ops",
    "metrics",
    "What is measured of every batch that went through, whatever its suite says",
    columns(
        "table string — The table that was guarded",
        "batch string — See ops.deliveries",
        "metric string — rows, null_rate (of the column), lag_hours (newest event to arrival)",
        "column string — The column it is about, if one",
        "value double — Of the batch",
        WHICH_RUN,
        AT,
    ),
)
