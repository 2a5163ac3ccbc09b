"""The schemas of what monitoring keeps: performance, decisions, outcomes, promises."""

from __future__ import annotations

from driftline.schema import AT, WHICH_RUN, Table, columns

PERFORMANCE = Table(
    "ops",
    "performance",
    "How good predictions were, by labels, and how good their scores let expect them to be",
    columns(
        "cutoff timestamp — The predictions' as-of, UTC",
        "model_version int — Version that made them",
        "slice string — Empty for all of them; else column=value of a feature",
        "kind string — real: by the labels that are known; expected: by scores alone (CBPE, DLE)",
        "metric string — Name of the metric; false_alarms and misses are shares of all rows; bias "
        "is the mean of score − label",
        "value double — Point estimate; null where nothing can be said",
        "low double — Lower end of the 95 % interval",
        "high double — Upper end of the 95 % interval",
        "rows bigint — Predictions",
        "labelled bigint — Those whose label is known",
        "unmatched bigint — Those that have no row in gold.features, so never a label",
        "restated bigint — Labels that differ from those of the row before; null if not compared",
        "assumption boolean — Whether labels bore out what scores promised; null before labels",
        "detail string — In words",
        "as_of timestamp — Nothing after this was known, UTC",
        "features_version bigint — Version of gold.features that the labels are of",
        "content string — Digest of predictions and labels, and the metric of slices: a row is "
        "written when it changes",
        WHICH_RUN,
        AT,
    ),
)

SKEW = Table(
    "ops",
    "skew",
    "Train-serve skew: what a model is asked about, against the rows it learnt from",
    columns(
        "cutoff timestamp — As-of of the rows that were scored; up to when requests were made",
        "model_version int — Version whose training rows are the reference",
        "table string — gold.features: its rows that were scored; else the table of the requests",
        "column string — Feature, perhaps with :length",
        "statistic string — As in ops.drift; missing: no value at all; type: not comparable",
        "value double — The statistic",
        "bound double — How far it may be from that of the data: what sketches leave open",
        "threshold double — From here on it is skew; null where none is set",
        "p double — How likely such a value is when nothing differs; null if it was not asked",
        "skewed boolean — The verdict: beyond the threshold, and not by chance",
        "detail string — In words",
        "trained bigint — Training rows",
        "rows bigint — Rows that were scored, or asked about",
        "as_of timestamp — Nothing after this was known, UTC",
        "content string — Digest of which rows were compared, and how",
        WHICH_RUN,
        AT,
    ),
    ("cutoff", "model_version"),
)

DECISIONS = Table(
    "ops",
    "decisions",
    "Keep, watch or retrain: one decision an as-of and state of the data, with its inputs",
    columns(
        "decision string — Which decision",
        "as_of timestamp — Nothing after this was known, UTC",
        "cutoff timestamp — The newest predictions' as-of; null if there are none",
        "model_version int — The champion then; null if there was none",
        "action string — keep, watch or retrain",
        "causes array<string> — What spoke for it, the gravest first: see driftline.decision",
        "violations int — Violating turns among the newest ones that count",
        "why string — In words",
        "metric string — What real, expected and reference are values of",
        "reference double — On the test rows when the version was judged",
        "drift double — Share of the model's importance in features that drifted",
        "drifted array<string> — Those features",
        "skew double — Share of the importance in features that are not as in its training rows",
        "skewed array<string> — Those features",
        "expected double — What the newest predictions' scores promise",
        "trusted boolean — Whether labels bore out such promises until then",
        "real double — By the newest labels",
        "real_cutoff timestamp — As-of of the predictions which those labels are of",
        "gain double — What training again may gain at most; null without monitor.value",
        "cost double — What the last training cost, by the ledger",
        "currency string — Of gain and cost",
        "turn string — All numbers it was made of, as JSON",
        "rule string — The rule it was made by, as JSON",
        "features_version bigint — Version of gold.features it rests on",
        "problem string — Digest of the problem file",
        WHICH_RUN,
        AT,
    ),
)

OUTCOMES = Table(
    "ops",
    "outcomes",
    "What became of decisions: the training that followed, and what labels said later",
    columns(
        "decision string — Which decision, see ops.decisions",
        "kind string — training, or judged",
        "verdict string — promoted, not_promoted, refused, skipped; right, missed, needless, …",
        "detail string — In words",
        "model_version int — The version that was trained, if one was",
        "as_of timestamp — Nothing after this was known, UTC",
        WHICH_RUN,
        AT,
    ),
)

SLA = Table(
    "ops",
    "sla",
    "Whether promises were kept: one verdict a promise, each time somebody asked",
    columns(
        "kind string — freshness, duration, deadline, quality, model, response or throughput",
        "subject string — The table, stage or metric it is about; empty if there is one only",
        "verdict string — kept, broken, or unknown where there is no evidence yet",
        "value double — The number found; null if none was, or what was asked did not answer",
        "limit double — What is promised",
        "at_most boolean — Whether the limit is an upper one",
        "unit string — Of value and limit: h, s, ms, /s; empty for shares and metrics",
        "said string — What the number is, in words",
        "evidence_run string — The run it comes from, see ops.runs",
        "evidence_table string — The table it comes from",
        "evidence_version bigint — That table's version",
        WHICH_RUN,
        AT,
    ),
)
