"""The schema of every table, in flow order: columns, types, and what each means.

Types are Spark SQL's names. What is not here comes from the problem file. Columns that start with
``_`` are driftline's.
"""

from __future__ import annotations

from collections.abc import Iterable

from driftline.drift_schemas import CAUSES as CAUSES
from driftline.drift_schemas import DRIFT as DRIFT
from driftline.drift_schemas import HISTOGRAMS as HISTOGRAMS
from driftline.drift_schemas import PROFILES as PROFILES
from driftline.monitor_schemas import DECISIONS as DECISIONS
from driftline.monitor_schemas import OUTCOMES as OUTCOMES
from driftline.monitor_schemas import PERFORMANCE as PERFORMANCE
from driftline.monitor_schemas import SKEW as SKEW
from driftline.monitor_schemas import SLA as SLA
from driftline.operations import definition
from driftline.problem import Problem
from driftline.quality_schemas import METRICS as METRICS
from driftline.quality_schemas import QUALITY as QUALITY
from driftline.quality_schemas import QUARANTINE as QUARANTINE
from driftline.quality_schemas import VALIDATIONS as VALIDATIONS
from driftline.schema import AT, WHICH_RUN, columns
from driftline.schema import Column as Column
from driftline.schema import Table as Table
from driftline.source_section import Source

DELIVERIES = Table(
    "ops",
    "deliveries",
    "What was delivered and what became of it; a delivery is known by its content",
    columns(
        "source string — Source in the problem file",
        "delivery string — SHA-256 of the delivered bytes",
        "path string — Where it was found, from the data folder",
        "bytes bigint — Size as delivered",
        "status string — planned; then landed, refused or abandoned; or duplicate",
        "reason string — Why it was refused, one of the words in driftline.sources.FAULTS",
        "batch string — The deliveries that were planned together; one commit to bronze",
        "records bigint — Records read, counted before they were parsed",
        "accepted bigint — Records now in bronze",
        "rejected bigint — Records put into ops.rejects; below 0 for those a retry took out again",
        WHICH_RUN,
        AT,
    ),
)

LANDING = columns(
    "_rescued string — Fields the problem file does not know, as JSON",
    "_delivery string — SHA-256 of the delivery the record came from",
    "_offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
    "_batch string — See ops.deliveries",
    "_arrived_at timestamp — When the record was first read, UTC",
)

RECORD = ("_delivery", "_offset", "_batch")
"""Where a row came from: the columns of ops.quarantine beside the row itself."""

REJECTS = Table(
    "ops",
    "rejects",
    "Records that could not be read, each with its reason and its bytes",
    columns(
        "source string — Source in the problem file",
        "delivery string — SHA-256 of the delivery the record came from",
        "offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
        "length bigint — Bytes the record has there; raw may hold only the first of them",
        "reason string — One of the words in driftline.sources.REASONS",
        "column string — The column whose value could not be read, if it was one",
        "raw binary — The record as it was delivered, or its beginning if it is too long",
        "batch string — See ops.deliveries",
        WHICH_RUN,
    ),
    ("source", "batch"),
)

PREDICTIONS = Table(
    "gold",
    "predictions",
    "One prediction an entity, as-of and model version",
    columns(
        "entity string — The entity, as text",
        "as_of timestamp — The prediction uses nothing after this, UTC",
        "score double — Probability of label 1 (classification) or predicted value (regression)",
        "prediction double — 1 from the model's threshold on (or 0.5); the score for regression",
        "reasons array<string> — The features that spoke most for it, the strongest first",
        "model_version int — Version in the model registry",
        "features_version bigint — Version of gold.features that was scored",
        "problem string — Digest of the problem file",
        WHICH_RUN,
    ),
    ("as_of", "model_version"),
)

SHADOW = Table(
    "gold",
    "shadow",
    "Predictions of challengers, beside the champion's in gold.predictions",
    PREDICTIONS.columns,
    PREDICTIONS.statistics,
)

TRIALS = Table(
    "ops",
    "trials",
    "Every candidate of every search with its cross-validated metric",
    columns(
        "family string — Model family",
        "parameters string — The grid point as JSON",
        "metric string — What was measured",
        "mean double — Over the folds; null for one that failed",
        "std double — Over the folds",
        "folds array<double> — One value a fold",
        "seconds double — Time to fit and measure all folds",
        "chosen boolean — Refitted on all training rows and registered",
        WHICH_RUN,
        AT,
        "search string — Which search: one that was killed goes on with what it has not measured; "
        "of a race with the part of the entities, :9 or :3",
        "error string — The kind of error a candidate failed with",
    ),
)

EVALUATIONS = Table(
    "ops",
    "evaluations",
    "Metrics on rows the model never saw, beside the baselines on the same rows",
    columns(
        "model_version int — Version in the model registry",
        "part string — test or validation; portable_test and portable_simulated: see model",
        "model string — model, uncalibrated (train.calibrate), decision (train.decide), constant, "
        "best_feature, rfm (recency, frequency, money), champion, portable",
        "metric string — Name of the metric",
        "value double — Point estimate",
        "low double — Lower end of the 95 % bootstrap interval",
        "high double — Upper end of the 95 % bootstrap interval",
        "rows bigint — Rows measured on",
        "detail string — Which feature, which direction, what was compared",
        WHICH_RUN,
        AT,
    ),
)

SLICES = Table(
    "ops",
    "slices",
    "The metric of a model on the test rows with one value of one attribute, the worst first",
    columns(
        "model_version int — Version in the model registry",
        "column string — Attribute of the profile",
        "value string — Its value; of a number, between which quartiles",
        "rows bigint — Test rows that have it",
        "metric string — What was measured",
        "score double — Point estimate",
        "low double — Lower end of the 95 % bootstrap interval",
        "high double — Upper end of the 95 % bootstrap interval",
        "worse boolean — Whether the interval is on the bad side of the metric of all rows",
        WHICH_RUN,
        AT,
    ),
    ("model_version",),
)

ERASURES = Table(
    "ops",
    "erasures",
    "Certificates: from which tables and versions a person was erased, rows and files, never who",
    columns(
        "request string — What the request was called; the only name of it that is kept",
        "status string — begun, complete, or left: something still holds the person",
        "entities int — How many persons",
        "absent int — How many of them no row named, as they were written",
        "deliveries array<string> — Delivered files that held them: they are not driftline's",
        "tables array<struct<table:string,version:bigint,rows:bigint,files:bigint>> "
        "— Version that holds them no more, rows taken out, old files removed, by all tries "
        "of the request; when begun: the version that holds them, rows to take out and, once those "
        "are, old files to remove",
        "models array<int> — Model versions that cannot be reproduced any more",
        "left array<string> — Where their names were still found, and models that know their words "
        "or rows",
        WHICH_RUN,
        AT,
        "pulled array<string> — Connections, with tables or paths there, that held them: what they "
        "still have comes again with the next pull",
    ),
    ("at",),
)

CURVES = Table(
    "ops",
    "curves",
    "Pictures of an evaluation as points",
    columns(
        "model_version int — Version in the model registry",
        "curve string — roc, pr, gain, calibration, confusion, importance, permutation, score, …",
        "name string — Feature, cell of a confusion matrix, moment of a loss (driftline.losses)",
        "x double — Horizontal place",
        "y double — Vertical place",
        "rows bigint — Rows behind the point, where that means something",
        WHICH_RUN,
    ),
)

RUNS = Table(
    "ops",
    "runs",
    "The ledger: what every stage of every run read, wrote, took and cost",
    columns(
        "run_id string — One stage of one run",
        "stage string — ingest, validate, features, train, rollback, score, drift, monitor, …",
        "status string — done, unchanged (nothing new to do), refused, failed; or killed",
        "started_at timestamp — UTC",
        "as_of timestamp — The day it was asked for (--as-of), UTC; null without",
        "wall_seconds double — From start to end of the stage; killed: until it was last alive",
        "rows_in bigint — Records or rows read",
        "rows_out bigint — Rows written to the stage's table",
        "rows_rejected bigint — Kept out, with a reason, in ops.rejects or ops.quarantine",
        "rows_duplicate bigint — Known duplicates; in = out + rejected + duplicate",
        "tables_read array<struct<table:string,version:bigint>> — Exact versions read",
        "tables_written array<struct<table:string,version:bigint>> — Exact versions written",
        "cpu_seconds double — CPU time of the executors' JVM threads (Python workers not counted)",
        "task_seconds double — For how long tasks held cores: start, run, Python workers, result",
        "bytes_read bigint — By tasks, from storage",
        "bytes_written bigint — By tasks, to storage",
        "shuffle_bytes bigint — Written for shuffles",
        "spill_bytes bigint — Spilled to disk",
        "jobs bigint — Spark jobs started",
        "money double — Cores and memory held for the wall time plus a month of bytes written",
        "currency string — Of money",
        "problem string — Digest of the problem file",
        "code string — Version of driftline",
        "model_version int — score: of the champion that scored; train, rollback: that became one",
        "message string — What the stage said at the end",
    ),
)


def _source_columns(source: Source) -> tuple[Column, ...]:
    return tuple(
        Column(name, "bigint" if column.type == "long" else column.type, column.comment or name)
        for name, column in source.columns.items()
    )


def bronze(problem: Problem, source: str, added: Iterable[str] = ()) -> Table:
    """``bronze.<source>``: every readable record as delivered, typed; ``added``: unknown fields."""
    new = (Column(name, "string", "Not in the problem file; added as delivered") for name in added)
    columns = (*_source_columns(problem.sources[source]), *LANDING, *new)
    said = f"Deliveries of {source} as they came"
    return Table("bronze", source, said, columns, (problem.sources[source].time, "_batch"))


def silver(problem: Problem, source: str) -> Table:
    """``silver.<source>``: the rows of bronze that keep every rule, each key once."""
    columns = (*_source_columns(problem.sources[source]), *LANDING)
    said = f"Rows of {source} that passed the gate"
    ranged = (problem.sources[source].time, "_batch", "_arrived_at")
    return Table("silver", source, said, columns, ranged)


def features(problem: Problem) -> Table:
    """``gold.features``: entity × as-of → features and, once mature, the label."""
    entity_type = type_of(problem, problem.population.source, problem.entity)
    windowed = tuple(
        Column(name, "double", definition(feature.operation, feature, days))
        for feature in problem.features
        for name, days in zip(feature.columns, feature.windows, strict=True)
    )
    profile = problem.profile
    attributes = tuple(
        Column(name, type_of(problem, profile.source, name), "Latest up to the as-of")
        for name in (profile.attributes if profile else ())
        if profile
    )
    return Table(
        "gold",
        "features",
        problem.question,
        (
            Column(problem.entity, entity_type, "The entity"),
            Column("as_of", "timestamp", "Features use nothing after this, UTC"),
            *windowed,
            *attributes,
            Column("label", "double", "What happened after the as-of; null until it is known"),
        ),
        ("as_of",),
    )


def type_of(problem: Problem, source: str, column: str) -> str:
    """A column's type in Spark SQL's words."""
    kind = problem.sources[source].columns[column].type
    return "bigint" if kind == "long" else kind
