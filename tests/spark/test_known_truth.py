"""Real data whose truth is known from elsewhere: what is in the tables is what was delivered."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import functions as F

from driftline import features as build
from driftline import operations, schemas, tiles
from driftline.events import Feature
from driftline.jobs import features, ingest, validate
from driftline.problem import Problem, load_problem

# --- UCI Online Retail -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retail(open_line, repository, public_data, tmp_path_factory):
    """Online Retail, ingested, validated and featured once."""
    data = public_data("online_retail/by_day")
    problem = load_problem(repository / "conf" / "online_retail.yaml")
    line = open_line(problem, data=data, warehouse=tmp_path_factory.mktemp("retail"))
    ingest.run(line)
    validate.run(line)
    features.run(line)
    return line


def test_bronze_has_every_line_and_every_value(retail) -> None:
    lines = retail.tables.read("bronze.lines")
    delivered = list(retail.problem.sources["lines"].columns)
    found = lines.agg(
        F.count("*").alias("rows"),
        F.count_if(F.col("customer_id").isNull()).alias("without customer"),
        F.count_if(F.col("description").isNull()).alias("without description"),
        F.count_distinct("customer_id").alias("customers"),
        F.count_distinct("invoice").alias("invoices"),
        F.count_if(F.col("invoice").startswith("C")).alias("cancellations"),
        F.count_if(F.col("quantity") < 0).alias("returns"),
        F.sum("quantity").alias("pieces"),
        F.count_if(F.col("_rescued").isNotNull()).alias("rescued"),
        F.min("time").alias("first"),
        F.max("time").alias("last"),
    ).first()
    assert found.asDict() == {
        "rows": 541_909,
        "without customer": 135_080,
        "without description": 1_454,
        "customers": 4_372,
        "invoices": 25_900,
        "cancellations": 9_288,
        "returns": 10_624,
        "pieces": 5_176_450,
        "rescued": 0,
        "first": datetime(2010, 12, 1, 8, 26),
        "last": datetime(2011, 12, 9, 12, 50),
    }
    money = lines.agg(F.sum(F.col("quantity") * F.col("unit_price"))).first()[0]
    assert money == pytest.approx(9_747_747.934, abs=1e-3)
    assert lines.count() - lines.select(*delivered).distinct().count() == 5_268


def test_every_delivery_and_every_record_is_accounted_for(retail) -> None:
    deliveries = retail.tables.read("ops.deliveries")
    assert {
        row.status: (row["count"], row.records, row.accepted, row.rejected)
        for row in deliveries.groupBy("status")
        .agg(
            F.count("*").alias("count"),
            F.sum("records").alias("records"),
            F.sum("accepted").alias("accepted"),
            F.sum("rejected").alias("rejected"),
        )
        .collect()
    } == {"planned": (305, None, None, None), "landed": (305, 541_909, 541_909, 0)}
    customers = retail.tables.read("gold.features").count()
    runs = {row.stage: row for row in retail.tables.read("ops.runs").collect()}
    assert {
        stage: (row.rows_in, row.rows_out, row.rows_rejected, row.rows_duplicate)
        for stage, row in runs.items()
    } == {
        "ingest": (541_909, 541_909, 0, 0),
        "validate": (541_909, 406_829, 135_080, 0),
        "features": (None, customers, None, None),
    }
    assert retail.tables.read("ops.rejects").count() == 0


def test_counts_of_each_delivery_are_those_of_its_file(retail) -> None:
    """The tally of every delivery against the lines of its file, counted by Python's csv."""
    landed = retail.tables.read("ops.deliveries").where(F.col("status") == "landed").collect()
    for row in landed[::30]:
        path = Path(retail.environment.data, row.path)
        with path.open(encoding="utf-8", newline="") as file:
            assert row.records == sum(1 for _ in csv.reader(file)) - 1
        assert row.bytes == path.stat().st_size


def test_lines_of_nobody_are_in_quarantine_and_nowhere_else(retail) -> None:
    kept_out = retail.tables.read("ops.quarantine")
    rules = kept_out.groupBy("table", F.col("rules.name").alias("rules")).count().collect()
    nobody = "customer_id: values_to_not_be_null"
    assert {(row.table, *row.rules): row["count"] for row in rules} == {
        ("silver.lines", nobody): 135_078,
        # Two write-offs of bad debt, below zero pounds: they break a second rule as well.
        ("silver.lines", nobody, "unit_price: values_to_be_between"): 2,
    }
    silver = retail.tables.read("silver.lines")
    assert silver.where(F.col("customer_id").isNull()).count() == 0
    place = ["_delivery", "_offset"]
    both = silver.select(*place).unionAll(kept_out.select("delivery", "offset"))
    assert both.count() == both.distinct().count() == 541_909


def test_churn_of_november_2011(retail) -> None:
    rows = retail.tables.read("gold.features").where(
        F.col("as_of") == F.lit(datetime(2011, 11, 9, tzinfo=timezone.utc))
    )
    found = rows.agg(F.count("*"), F.count("label"), F.avg("label")).first()
    assert found[0] == found[1] == 4_067
    assert found[2] == pytest.approx(0.6587, abs=5e-5)


def test_the_newest_cut_off_has_no_label_yet(retail) -> None:
    rows = retail.tables.read("gold.features").groupBy("as_of")
    labels = {row.as_of.date(): row[1] for row in rows.agg(F.count("label")).collect()}
    assert len(labels) == 10
    assert [day for day, known in labels.items() if not known] == [date(2011, 12, 9)]


_REFERENCE = """
with bought as (
  select CustomerID::double::bigint as customer_id, InvoiceNo as invoice,
         Quantity::bigint * UnitPrice::double as money, InvoiceDate::timestamp as t
  from read_csv('{folder}/*.csv', header=true, all_varchar=true)
  where CustomerID is not null and CustomerID <> '' and Quantity::bigint > 0
), as_ofs as (
  select timestamp '2011-03-14' + n * interval 30 day as as_of from range(10) r(n)
), seen as (
  select *, epoch(as_of) - epoch(t) as age, cast(t as date) as day
  from bought, as_ofs where t <= as_of
)
select customer_id, epoch(as_of)::bigint as as_of,
  coalesce(sum(money) filter (where age < 90 * 86400), 0) as spend_90d,
  count(distinct day) filter (where age < 180 * 86400) as purchase_days_180d,
  least(min(age) / 86400, 365) as recency_365d,
  count(distinct invoice) filter (where age < 365 * 86400) as invoices_365d,
  coalesce((count(*) filter (where age < 45 * 86400)
          - count(*) filter (where age >= 45 * 86400 and age < 90 * 86400))
    / nullif(count(*) filter (where age < 90 * 86400), 0)::double, 0) as trend_90d,
  (max(day) filter (where age < 365 * 86400) - min(day) filter (where age < 365 * 86400))
    / nullif(count(distinct day) filter (where age < 365 * 86400) - 1, 0)::double as gap_365d
from seen group by all
"""


def test_features_equal_an_independent_query(retail) -> None:
    """At all ten cut-offs, against DuckDB on the delivered files."""
    folder = Path(retail.environment.data, "online_retail", "by_day")
    names = ["spend_90d", "purchase_days_180d", "recency_365d"]
    names += ["invoices_365d", "trend_90d", "gap_365d"]
    expected = {row[:2]: row[2:] for row in duckdb.sql(_REFERENCE.format(folder=folder)).fetchall()}
    rows = retail.tables.read("gold.features")
    found = {
        (row.customer_id, row.seconds): tuple(row[name] for name in names)
        for row in rows.select(
            "customer_id", F.unix_seconds("as_of").alias("seconds"), *names
        ).collect()
    }
    assert found.keys() == expected.keys()
    wrong = dict.fromkeys(names, 0)
    for key, ours in found.items():
        for name, a, b in zip(names, ours, expected[key], strict=True):
            exact = name in ("purchase_days_180d", "invoices_365d")
            # Money is summed in another order; a sum of returns and sales may end near 0.
            same = a == b if exact or a is None or b is None else a == pytest.approx(b, rel=1e-9)
            wrong[name] += not same
    assert wrong == dict.fromkeys(names, 0)


_MONEY, _CODE = "quantity * unit_price", "stock_code"
_IN_SQL = {
    # operation: value, the same in DuckDB over one window, whose events are those where {w}
    "count": (None, "count(*) FILTER ({w})"),
    "sum": (_MONEY, "coalesce(sum(v) FILTER ({w}), 0)"),
    "mean": (_MONEY, "avg(v) FILTER ({w})"),
    "min": (_MONEY, "min(v) FILTER ({w})"),
    "max": (_MONEY, "max(v) FILTER ({w})"),
    "std": (_MONEY, "stddev_samp(v) FILTER ({w})"),
    "first": (_MONEY, "arg_min(v, row(time, _delivery, _offset)) FILTER ({w})"),
    "last": (_MONEY, "arg_max(v, row(time, _delivery, _offset)) FILTER ({w})"),
    "distinct": (_CODE, "count(DISTINCT stock_code) FILTER ({w})"),
    "top_share": (
        _CODE,
        "list_max(map_values(histogram(stock_code) FILTER ({w}))) / count(*) FILTER ({w})",
    ),
    "recency": (None, "coalesce(min(age) FILTER ({w}), {d})"),
    "frequency": (None, "count(DISTINCT day) FILTER ({w})"),
    "gap": (
        None,
        "(max(day) FILTER ({w}) - min(day) FILTER ({w})) "
        "/ nullif(count(DISTINCT day) FILTER ({w}) - 1, 0)",
    ),
    "gap_std": (None, "list_aggregate(gaps(list(DISTINCT day) FILTER ({w})), 'stddev_samp')"),
    "trend": (
        None,
        "coalesce((2 * count(*) FILTER (age < {d} / 2) - count(*) FILTER ({w})) "
        "/ nullif(count(*) FILTER ({w}), 0), 0)",
    ),
    "ratio": (  # prices have three decimals: what is left of a sum below that is dust
        _MONEY,
        "coalesce(round(sum(v) FILTER ({w}), 6), 0) "
        "/ nullif(round(sum(v) FILTER (age < 180), 6), 0)",
    ),
    "slope": (
        _MONEY,
        "coalesce(sum(v * (({d} - 1) / 2 - floor(age))) FILTER ({w}) "
        "* 12 / ({d} * ({d} * {d} - 1.0)), 0)",
    ),
}


@pytest.mark.slow
def test_every_operation_equals_plain_sql_over_silver(retail) -> None:
    """All operations over three windows at ten cut-offs, by DuckDB on the files of silver."""
    days = (7, 45, 365)
    wanted, columns = [], []
    for name, (value, text) in _IN_SQL.items():
        against = {"against": "180d"} if name == "ratio" else {}
        wanted.append(
            Feature(
                name=name,
                source="lines",
                operation=name,
                value=value,
                windows=tuple(f"{each}d" for each in days),
                **against,
            )
        )
        columns += [
            f"{text.format(w=f'WHERE age < {each}', d=float(each))} AS {name}_{each}d"
            for each in days
        ]
    assert [each.operation for each in wanted] == list(operations.OPERATIONS)
    duck = duckdb.connect()
    duck.execute(
        "CREATE MACRO gaps(days) AS list_transform(range(2, len(days) + 1), lambda i: "
        "list_sort(days)[i] - list_sort(days)[i - 1])"
    )
    folder = retail.tables.path("silver.lines")
    expected = duck.sql(
        f"""WITH seen AS (
          SELECT customer_id, as_of, quantity * unit_price AS v, stock_code, _delivery, _offset,
            time AT TIME ZONE 'UTC' AS time, CAST(time AT TIME ZONE 'UTC' AS date) AS day,
            (epoch_us(as_of) - epoch_us(time AT TIME ZONE 'UTC')) / 86400e6 AS age
          FROM read_parquet('{folder}/*.parquet'),
            (SELECT timestamp '2011-03-14' + n * interval 30 day AS as_of FROM range(10) r(n))
          WHERE time AT TIME ZONE 'UTC' <= as_of
        ) SELECT customer_id, epoch_us(as_of), {", ".join(columns)} FROM seen
        WHERE age < 365 GROUP BY customer_id, as_of"""
    ).fetchall()
    parts = [part for each in wanted for part in operations.components(each.operation, each)]
    made = tiles.tiles(
        retail.tables.read("silver.lines"),
        operations.unique(parts),
        entity="customer_id",
        time="time",
        arrived=tiles.arrival(None),
        late=False,
    )
    times = build.as_ofs(retail.problem.cutoffs, datetime(2011, 12, 10, tzinfo=timezone.utc))
    plan = build.plan(wanted, times, entity="customer_id")
    found = {
        (row[0], row[1]): tuple(row)[2:-2]
        for row in build.windowed(made, plan).withColumn("as_of", F.unix_micros("as_of")).collect()
    }
    assert found.keys() == {row[:2] for row in expected}
    names = [name for each in wanted for name in each.columns]
    wrong = dict.fromkeys(names, 0)
    for row in expected:
        for name, ours, theirs in zip(names, found[row[:2]], row[2:], strict=True):
            exact = name.rpartition("_")[0] in ("count", "distinct", "frequency", "min", "max")
            same = ours == theirs
            if not same and not exact and None not in (ours, theirs):
                # DuckDB adds doubles in another order; what nearly cancels is left with their dust.
                same = ours == pytest.approx(theirs, rel=1e-9, abs=1e-8)
            wrong[name] += not same
    assert wrong == dict.fromkeys(names, 0)


def test_a_second_run_changes_no_table(retail) -> None:
    names = ["bronze.lines", "silver.lines", "gold.features"]
    names += ["ops.deliveries", "ops.quarantine", "ops.quality", "ops.runs"]
    before = {name: retail.tables.version(name) for name in names}
    ids = []
    for job in (ingest, validate, features):
        job.run(retail)
        ids.append(retail.ledger.last_run_id)
    after = {name: retail.tables.version(name) for name in names}
    assert after == before | {"ops.runs": before["ops.runs"] + 3}
    runs = retail.tables.read("ops.runs").where(F.col("run_id").isin(ids)).collect()
    assert {row.stage: (row.status, row.rows_in, row.tables_written) for row in runs} == {
        stage: ("unchanged", None, []) for stage in ("ingest", "validate", "features")
    }


def test_a_table_has_the_declared_columns_and_comments(retail) -> None:
    for name, table in (
        ("bronze.lines", schemas.bronze(retail.problem, "lines")),
        ("gold.features", schemas.features(retail.problem)),
    ):
        fields = retail.tables.read(name).schema.fields
        assert [(f.name, f.metadata.get("comment")) for f in fields] == [
            (column.name, column.comment) for column in table.columns
        ]


# --- CDNOW ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cdnow(open_line, repository, public_data, tmp_path_factory):
    """CDNOW at one cut-off: the end of the 39 weeks that the published summary is made of."""
    data = public_data("cdnow")
    conf = load_problem(repository / "conf" / "cdnow.yaml")
    cutoffs = conf.cutoffs.model_copy(update={"first": date(1997, 9, 30), "every": 99_999})
    everybody = conf.population.model_copy(update={"within": None})
    problem = conf.model_copy(update={"cutoffs": cutoffs, "population": everybody})
    line = open_line(problem, data=data, warehouse=tmp_path_factory.mktemp("cdnow"))
    ingest.run(line)
    validate.run(line)
    features.run(line)
    return line


def test_cdnow_is_whole(cdnow) -> None:
    found = cdnow.tables.read("silver.purchases").agg(
        F.count("*"), F.count_distinct("customer_id"), F.sum("cds"), F.sum("amount")
    )
    rows, customers, discs, money = found.first()
    assert (rows, customers) == (69_659, 23_570)
    path = Path(cdnow.environment.data, "cdnow", "CDNOW_master.txt")
    plain = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
    assert discs == sum(int(each[2]) for each in plain)
    assert money == pytest.approx(sum(float(each[3]) for each in plain), rel=1e-12)


def test_cdnow_features_equal_the_published_summary(cdnow) -> None:
    """Frequency, recency and T of every customer of the published sample are among ours.

    Frequency counts repeat days; recency is first to last day, T first day to cut-off, in weeks
    with two digits. The summary has numbers of its own instead of ids, so multisets are compared:
    791 of its 2,357 customers have values that nobody else in the whole cohort has.
    """
    path = Path(cdnow.environment.data, "cdnow", "cdnow_customers_summary.csv")
    with path.open(newline="") as file:
        published = Counter(
            (int(row["frequency"]), float(row["recency"]), float(row["T"]))
            for row in csv.DictReader(file)
        )
    ours = Counter()
    for row in cdnow.tables.read("gold.features").collect():
        repeats = row.purchase_days_365d - 1
        between = (row.gap_365d or 0.0) * repeats
        assert between == pytest.approx(round(between), abs=1e-9)
        weeks = round(between) / 7
        ours[repeats, round(weeks, 2), round(weeks + row.recency_365d / 7, 2)] += 1
    assert (ours.total(), published.total()) == (23_570, 2_357)
    assert sum(ours[each] == 1 for each in published) == 791
    assert published - ours == Counter()


# --- Apache's combined log -----------------------------------------------------------------------


def test_each_line_of_a_real_access_log_ends_in_one_place(open_line, public_data, tmp_path) -> None:
    data = public_data("weblogs/apache_combined.log")
    timestamp = {"type": "timestamp"}
    problem = Problem.model_validate(
        {
            "name": "weblogs",
            "question": "Who comes back?",
            "task": "classification",
            "entity": "host",
            "sources": {
                "visits": {
                    "path": "weblogs/apache_combined.log",
                    "format": "access_log",
                    "time": "time",
                    "columns": {
                        "host": "string",
                        "time": timestamp,
                        "path": "string",
                        "status": "long",
                        "bytes": "long",
                        "agent": "string",
                    },
                }
            },
            "label": {"source": "visits", "horizon": "1d", "outcome": "any"},
            "population": {"source": "visits"},
            "features": (
                {"name": "hits", "source": "visits", "operation": "count", "windows": ("1d",)},
            ),
            "cutoffs": {"first": "2015-05-18", "every": "1d"},
            "split": {"by": "random"},
            "train": {"metric": "roc_auc", "candidates": {"logistic_regression": {}}},
            "drift": {"tables": ()},
        }
    )
    line = open_line(problem, data=data, warehouse=tmp_path)
    ingest.run(line)
    landed = line.tables.read("ops.deliveries").where(F.col("status") == "landed").first()
    assert (landed.records, landed.accepted, landed.rejected) == (10_000, 9_999, 1)
    assert line.tables.read("bronze.visits").count() == 9_999
    [reject] = line.tables.read("ops.rejects").collect()
    content = (data / "weblogs" / "apache_combined.log").read_bytes()
    assert reject.reason
    assert content[reject.offset :].startswith(bytes(reject.raw))
    assert bytes(reject.raw).rstrip() == content[reject.offset :].split(b"\n", 1)[0].rstrip()
    run = line.tables.read("ops.runs").first()
    assert (run.rows_in, run.rows_out, run.rows_rejected) == (10_000, 9_999, 1)
