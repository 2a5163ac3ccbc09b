"""The schema of every table, in flow order: columns, types, and what each means.

Types are Spark SQL's names. What is not here comes from the problem file. Columns that start with
``_`` are driftline's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from driftline.operations import definition
from driftline.problem import Problem
from driftline.sections import Source


@dataclass(frozen=True)
class Column:
    """One column: ``type`` in Spark SQL's words."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One Delta table: ``<layer>.<name>``."""

    layer: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    statistics: tuple[str, ...] = ()  # columns whose range is kept a file; none: all, at a price
    partition: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """``layer.name``, as it is written everywhere."""
        return f"{self.layer}.{self.name}"

    @property
    def suite_file(self) -> str:
        """The file of its expectation suite, in the problem's folder."""
        return f"{self.layer}_{self.name}.json"

    @property
    def column_names(self) -> list[str]:
        """Names in order."""
        return [column.name for column in self.columns]

    @property
    def ddl(self) -> str:
        """The columns as Spark SQL reads them, without comments."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)


def _columns(*lines: str) -> tuple[Column, ...]:
    """Each line is ``name type — comment``."""
    columns = []
    for line in lines:
        head, _, comment = line.partition(" — ")
        name, _, type_ = head.partition(" ")
        columns.append(Column(name, type_, comment))
    return tuple(columns)


_WHICH_RUN = "run_id string — The run that wrote this row, see ops.runs"
_AT = "at timestamp — When the row was written, UTC"

DELIVERIES = Table(
    "ops",
    "deliveries",
    "What was delivered and what became of it; a delivery is known by its content",
    _columns(
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
        _WHICH_RUN,
        _AT,
    ),
)

LANDING = _columns(
    "_rescued string — Fields the problem file does not know, as JSON",
    "_delivery string — SHA-256 of the delivery the record came from",
    "_offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
    "_batch string — See ops.deliveries",
    "_arrived_at timestamp — When the record was first read, UTC",
)

REJECTS = Table(
    "ops",
    "rejects",
    "Records that could not be read, each with its reason and its bytes",
    _columns(
        "source string — Source in the problem file",
        "delivery string — SHA-256 of the delivery the record came from",
        "offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
        "length bigint — Bytes the record has there; raw may hold only the first of them",
        "reason string — One of the words in driftline.sources.REASONS",
        "column string — The column whose value could not be read, if it was one",
        "raw binary — The record as it was delivered, or its beginning if it is too long",
        "batch string — See ops.deliveries",
        _WHICH_RUN,
    ),
)

QUARANTINE = Table(
    "ops",
    "quarantine",
    "Rows that broke a rule of the table's suite, each with the rules it broke",
    _columns(
        "table string — The table the row was kept out of",
        "delivery string — SHA-256 of the delivery the row came from",
        "offset bigint — Byte at which the record starts there, decompressed; row of Parquet",
        "rules array<string> — Names of the rules the row broke",
        "row string — The row as JSON",
        "batch string — See ops.deliveries",
        _WHICH_RUN,
    ),
)

QUALITY = Table(
    "ops",
    "quality",
    "The verdict of every expectation on every batch that was judged",
    _columns(
        "table string — The table that was guarded",
        "suite string — Digest of the suite file",
        "rule string — Name of the expectation",
        "type string — Great Expectations' name of its kind",
        "column string — The column it speaks of, if one",
        "severity string — error refuses, warn is only said",
        "why string — Why the expectation is there",
        "success boolean — Great Expectations' verdict",
        "element_count bigint — Rows judged",
        "unexpected_count bigint — Rows that broke it",
        "observed string — What was seen, for expectations about the whole table",
        _WHICH_RUN,
        _AT,
    ),
)

PREDICTIONS = Table(
    "gold",
    "predictions",
    "One prediction an entity, as-of and model version",
    _columns(
        "entity string — The entity, as text",
        "as_of timestamp — The prediction uses nothing after this, UTC",
        "score double — Probability of label 1 (classification) or predicted value (regression)",
        "prediction double — 1 when the score is at least 0.5; the score itself for regression",
        "reasons array<string> — The features that spoke most for it, the strongest first",
        "model_version int — Version in the model registry",
        "features_version bigint — Version of gold.features that was scored",
        "problem string — Digest of the problem file",
        _WHICH_RUN,
    ),
)

SHADOW = Table(
    "gold",
    "shadow",
    "Predictions of challengers, beside the champion's in gold.predictions",
    PREDICTIONS.columns,
)

TRIALS = Table(
    "ops",
    "trials",
    "Every candidate of every search with its cross-validated metric",
    _columns(
        "family string — Model family",
        "parameters string — The grid point as JSON",
        "metric string — What was measured",
        "mean double — Over the folds",
        "std double — Over the folds",
        "folds array<double> — One value a fold",
        "seconds double — Time to fit and measure all folds",
        "chosen boolean — Refitted on all training rows and registered",
        _WHICH_RUN,
        _AT,
    ),
)

EVALUATIONS = Table(
    "ops",
    "evaluations",
    "Metrics on rows the model never saw, beside the baselines on the same rows",
    _columns(
        "model_version int — Version in the model registry",
        "part string — test or validation; portable_test and portable_simulated: see model",
        "model string — model, constant, best_feature; portable: the ONNX file against Spark",
        "metric string — Name of the metric",
        "value double — Point estimate",
        "low double — Lower end of the 95 % bootstrap interval",
        "high double — Upper end of the 95 % bootstrap interval",
        "rows bigint — Rows measured on",
        "detail string — Which feature, which direction, what was compared",
        _WHICH_RUN,
        _AT,
    ),
)

SLICES = Table(
    "ops",
    "slices",
    "The metric of a model on the test rows with one value of one feature, the worst first",
    _columns(
        "model_version int — Version in the model registry",
        "column string — Feature",
        "value string — Its value; of a number, between which quartiles",
        "rows bigint — Test rows that have it",
        "metric string — What was measured",
        "score double — Point estimate",
        "low double — Lower end of the 95 % bootstrap interval",
        "high double — Upper end of the 95 % bootstrap interval",
        "worse boolean — Whether the interval is on the bad side of the metric of all rows",
        _WHICH_RUN,
        _AT,
    ),
)

CURVES = Table(
    "ops",
    "curves",
    "Pictures of an evaluation as points",
    _columns(
        "model_version int — Version in the model registry",
        "curve string — roc, pr, gain, calibration, confusion, importance, score",
        "name string — Feature of an importance, cell of a confusion matrix, else null",
        "x double — Horizontal place",
        "y double — Vertical place",
        "rows bigint — Rows behind the point, where that means something",
        _WHICH_RUN,
    ),
)

PROFILES = Table(
    "ops",
    "profiles",
    "What each data file of any table holds, column by column, as mergeable sketches",
    _columns(
        "table string — The table for which the file was profiled",
        "file string — Path of the data file",
        "bytes bigint — Its size",
        "deleted string — Deletion vector with which it was read, as Delta calls it; or empty",
        "segments string — Columns that cut the file into cells, by comma",
        "largest_id int — Highest number a column had then, where columns are mapped",
        "cell map<string,string> — Which rows of the file: value a segment",
        "column string — Column as the file names it; * counts the rows",
        "part string — Empty for the values; or length, hour, weekday",
        "type string — Spark SQL's name of its type",
        "kind string — numeric, categorical or skipped",
        "rows bigint — Rows in the cell",
        "nulls bigint — Nulls among them, NaN included",
        "min double — Smallest value of a numeric column; seconds since 1970 for times",
        "max double — Largest value",
        "mean double — Mean value, null if one is infinite",
        "spread double — Sum of squared deviations from the mean",
        "sketch binary — KLL sketch of doubles (Apache DataSketches), numeric columns",
        "values map<string,bigint> — Rows a value, the most frequent ones, as text",
        "unlisted bigint — Rows that a value not listed may have; 0 if all are listed",
        "excess bigint — Rows by which a listed count may be too high",
        "distinct binary — HyperLogLog sketch of the different values",
        _WHICH_RUN,
    ),
    ("table", "file"),
)

DRIFT = Table(
    "ops",
    "drift",
    "Statistics between two versions of a table, column by column",
    _columns(
        "table string — Table compared",
        "from_version bigint — Reference version",
        "to_version bigint — Current version",
        "slice string — Which rows of the two versions were compared",
        "column string — Column, perhaps with :length, :hour or :weekday; or * for the table",
        "statistic string — psi, ks, js, wasserstein, total_variation, cramers_v, null_rate, …",
        "value double — The statistic",
        "bound double — How far it may be from that of the data: what sketches leave open",
        "threshold double — From here on it is drift; null where none is set",
        "p double — How likely such a value is when nothing changed; null if it was not asked",
        "drifted boolean — The verdict: beyond the threshold, and not by chance",
        "detail string — In words",
        _WHICH_RUN,
        _AT,
    ),
)

HISTOGRAMS = Table(
    "ops",
    "histograms",
    "What the columns of compared versions look like: bins and categories, to draw",
    _columns(
        "table string — Table compared",
        "version bigint — Its version",
        "slice string — Which rows of it",
        "column string — Column, perhaps with :length, :hour or :weekday",
        "kind string — numeric or categorical",
        "low double — Lower end of a bin",
        "high double — Upper end of a bin",
        "category string — The value, where it is no bin",
        "share double — Share of the rows that have a value",
        "rows bigint — Rows that have a value",
        _WHICH_RUN,
    ),
)

RUNS = Table(
    "ops",
    "runs",
    "The ledger: what every stage of every run read, wrote, took and cost",
    _columns(
        "run_id string — One stage of one run",
        "stage string — ingest, validate, features, train, score, drift, report",
        "status string — done, unchanged (nothing new to do), refused, failed",
        "started_at timestamp — UTC",
        "wall_seconds double — From start to end of the stage",
        "rows_in bigint — Records or rows read",
        "rows_out bigint — Rows written to the stage's table",
        "rows_rejected bigint — Kept out, with a reason, in ops.rejects or ops.quarantine",
        "rows_duplicate bigint — Known duplicates; in = out + rejected + duplicate",
        "tables_read array<struct<table:string,version:bigint>> — Exact versions read",
        "tables_written array<struct<table:string,version:bigint>> — Exact versions written",
        "cpu_seconds double — CPU time of the executors' JVM threads (Python workers not counted)",
        "task_seconds double — Run time of all tasks, Python workers included",
        "bytes_read bigint — By tasks, from storage",
        "bytes_written bigint — By tasks, to storage",
        "shuffle_bytes bigint — Written for shuffles",
        "spill_bytes bigint — Spilled to disk",
        "jobs bigint — Spark jobs started",
        "money double — Cores and memory held for the wall time plus a month of bytes written",
        "currency string — Of money",
        "problem string — Digest of the problem file",
        "code string — Version of driftline",
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
    return Table("silver", source, f"Rows of {source} that passed the gate", columns)


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
    )


def type_of(problem: Problem, source: str, column: str) -> str:
    """A column's type in Spark SQL's words."""
    kind = problem.sources[source].columns[column].type
    return "bigint" if kind == "long" else kind
