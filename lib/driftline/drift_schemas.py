"""The schemas of what drift keeps: profiles of files, statistics, causes, pictures."""

from __future__ import annotations

from driftline.schema import AT, WHICH_RUN, Table, columns

PROFILES = Table(
    "ops",
    "profiles",
    "What each data file of any table holds, column by column, as mergeable sketches",
    columns(
        "table string — The table for which the file was profiled",
        "file string — Path of the data file",
        "bytes bigint — Its size",
        "deleted string — Deletion vector with which it was read: file@where in there; or empty",
        "segments string — Columns that cut the file into cells, as files name them; and newest "
        "as-of, by which those are one cell and all others, null there, another; JSON",
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
        WHICH_RUN,
        "modified bigint — When the file was written, as the log says (ms since 1970)",
        "version bigint — Version of the table by whose columns it was read",
    ),
    ("table", "file"),
)

DRIFT = Table(
    "ops",
    "drift",
    "Statistics between two versions of a table, column by column",
    columns(
        "table string — Table compared",
        "from_version bigint — Reference version",
        "to_version bigint — Current version",
        "from_slice string — Which rows of the reference version were compared",
        "slice string — Which rows of the current one; after a comma the segment, column=value or "
        "column is null (or empty), of both",
        "column string — Column, perhaps with :length, :hour or :weekday; or * for the table",
        "statistic string — psi, ks, js, wasserstein, total_variation, cramers_v, null_rate, …",
        "value double — The statistic",
        "bound double — How far it may be from that of the data: what sketches leave open",
        "threshold double — From here on it is drift; null where none is set",
        "p double — How likely such a value is when nothing changed; null if it was not asked",
        "drifted boolean — The verdict: beyond the threshold, and not by chance",
        "detail string — In words",
        WHICH_RUN,
        AT,
        "comparison string — Which one found it: a digest of what was compared, and by which "
        "thresholds",
    ),
    ("table", "to_version", "at"),
)

CAUSES = Table(
    "ops",
    "causes",
    "What moved a column that drifted: parts of the current rows, by leaving each out, and commits "
    "that took rows of the reference away, by undoing each",
    columns(
        "table string — Table compared",
        "from_version bigint — Reference version",
        "to_version bigint — Current version",
        "slice string — Which rows of the two versions were compared; after a comma the segment: "
        "that in which a column did most that drifted in segments alone",
        "column string — Column that drifted",
        "statistic string — The one furthest beyond its threshold",
        "kind string — commit, delivery, file, or a column whose value all rows of the part have; "
        "one of those names is said as column file",
        "name string — Which commits, file or value; of a delivery its path; or the other n; with "
        "(removed files) or (replaced files) commits that took rows of the reference away",
        "share double — Share of the drift that goes without this part; of all that goes, if more",
        "without double — The statistic without this part; null where it cannot be told, for "
        "nothing is left, or too little",
        "rows bigint — Rows of the part; of removed or replaced files, of the reference",
        WHICH_RUN,
        AT,
        "comparison string — Which one found it: a digest of what was compared, and by which "
        "thresholds",
    ),
    ("table", "to_version", "at"),
)

HISTOGRAMS = Table(
    "ops",
    "histograms",
    "What the columns of compared versions look like: bins and categories, to draw",
    columns(
        "table string — Table compared",
        "version bigint — Its version",
        "slice string — Which rows of it",
        "column string — Column, perhaps with :length, :hour or :weekday",
        "kind string — numeric, time or categorical",
        "low double — Lower end of a bin; seconds since 1970 of times",
        "high double — Upper end of a bin",
        "category string — The value, where it is no bin",
        "share double — Share of the rows that have a value",
        "rows bigint — Rows that have a value",
        WHICH_RUN,
    ),
    ("table", "version"),
)
