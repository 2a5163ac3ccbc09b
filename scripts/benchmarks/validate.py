"""The gate beside a bare copy and Great Expectations on Spark: 50 expectations, 1 % bad rows.

38 of the 50 are about single rows, 11 about all of them, and one about distinct values, which takes
a shuffle of its own. Repeats of a key are found in a run of its own, since neither peer finds any:
that shuffles all rows. All are warm: Great Expectations judges a hundredth of the rows first. It is
asked twice: as its documentation does, so that results have a few of the values that break a rule,
and for counts alone, in one pass over rows that it does not keep in memory.

Deequ is not measured here. It has no build for this Spark; ``drift`` measures it on its own.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from measure import Row, in_turn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import schemas, suites
from driftline.environment import Environment
from driftline.jobs import validate
from driftline.jobs.gate import suite_of
from driftline.jobs.line import Line, open_line
from driftline.ledger import Ledger
from driftline.problem import Problem, load_problem
from driftline.suites import Judged
from driftline.tables import Tables

_CONF = Path(__file__).parents[2] / "conf" / "churn.yaml"
_COLUMNS = {
    "order_id": "string",
    "customer_id": "string",
    "time": "timestamp",
    "amount": "double",
    "items": "long",
    "category": "string",
    "channel": "string",
    "country": "string",
    "email": "string",
    "discount": "double",
}
_SETS = {
    "channel": ["web", "mobile"],
    "country": ["DE", "FR", "IT", "ES"],
    "category": list("abcde"),
}
_NUMBERS = {"amount": (0, 10_000), "items": (1, 1_000), "discount": (0, 1)}
_SHAPES = {
    "order_id": "^o[0-9]{9}$",
    "customer_id": "^c[0-9]{7}$",
    "email": "^[^@]+@[^@]+$",
    "country": "^[A-Z]{2}$",
}
_TEXTS = [name for name, type_ in _COLUMNS.items() if type_ == "string"]


def suite() -> list[dict]:
    """50 expectations, as the module says."""
    found: list[tuple[str, dict]] = []

    def add(type_: str, **arguments: object) -> None:
        found.append((type_, arguments))

    for name in _COLUMNS:
        add("expect_column_values_to_not_be_null", column=name, mostly=0.9)
    for name, (low, high) in _NUMBERS.items():
        add("expect_column_values_to_be_between", column=name, min_value=low, mostly=0.9)
        add("expect_column_values_to_be_between", column=name, max_value=high, mostly=0.9)
        add("expect_column_mean_to_be_between", column=name, min_value=low, max_value=high)
        add("expect_column_stdev_to_be_between", column=name, min_value=0)
        add("expect_column_max_to_be_between", column=name, max_value=high)
    add(
        "expect_column_values_to_be_between",
        column="time",
        min_value="2020-01-01 00:00:00",
        max_value="2030-01-01 00:00:00",
        mostly=0.9,
    )
    for name, allowed in _SETS.items():
        add("expect_column_values_to_be_in_set", column=name, value_set=allowed, mostly=0.9)
    for name, regex in _SHAPES.items():
        add("expect_column_values_to_match_regex", column=name, regex=regex, mostly=0.9)
    for name in _TEXTS:
        lengths = {"min_value": 1, "max_value": 40, "mostly": 0.9}
        add("expect_column_value_lengths_to_be_between", column=name, **lengths)
    for name in _TEXTS:
        void = ["null", "NULL", "N/A"]
        add("expect_column_values_to_not_be_in_set", column=name, value_set=void, mostly=0.9)
    pair = {"column_A": "amount", "column_B": "discount", "or_equal": True, "mostly": 0.9}
    add("expect_column_pair_values_a_to_be_greater_than_b", **pair)
    add("expect_table_row_count_to_be_between", min_value=1)
    add("expect_column_sum_to_be_between", column="items", min_value=1)
    countries = _SETS["country"]
    add("expect_column_distinct_values_to_be_in_set", column="country", value_set=countries)
    add("expect_column_values_to_not_match_regex", column="email", regex=r"\s", mostly=0.9)
    return [
        {"type": type_, "kwargs": arguments, "meta": {"why": "it is measured"}}
        for type_, arguments in found
    ]


def orders(line: Line, count: int) -> DataFrame:
    """Orders in bronze; every hundredth row breaks one rule of three, every thousandth has the
    number of the one before it.
    """

    def of(seed: int, below: int) -> object:
        return F.pmod(F.xxhash64("id", F.lit(seed)), F.lit(below))

    bad = F.when(of(0, 100) == 0, of(1, 3)).otherwise(F.lit(9))

    def one_of(name: str, seed: int) -> object:
        values = F.array(*map(F.lit, _SETS[name]))
        return F.element_at(values, (of(seed, len(_SETS[name])) + 1).cast("int"))

    number = F.col("id") - (F.col("id") % 1000 == 999).cast("long")
    return line.spark.range(0, count, 1, 8).select(
        F.format_string("o%09d", number).alias("order_id"),
        F.format_string("c%07d", of(2, 1_000_000)).alias("customer_id"),
        F.timestamp_seconds(F.lit(1_704_067_200) + of(3, 31_000_000)).alias("time"),
        F.when(bad == 0, F.lit(-5.0)).otherwise(of(4, 99_000) / 10 + 1).alias("amount"),
        F.when(bad == 1, F.lit(0)).otherwise(of(5, 20) + 1).alias("items"),
        one_of("category", 6).alias("category"),
        F.when(bad == 2, F.lit("fax")).otherwise(one_of("channel", 7)).alias("channel"),
        one_of("country", 8).alias("country"),
        F.format_string("user%d@shop.example", of(9, 1_000_000)).alias("email"),
        (of(10, 100) / 100).alias("discount"),
        F.lit(None).cast("string").alias("_rescued"),
        F.lit("0" * 64).alias("_delivery"),
        (F.col("id") * 100).alias("_offset"),
        F.lit("b1").alias("_batch"),
        F.lit(datetime(2024, 6, 1, tzinfo=timezone.utc)).alias("_arrived_at"),
    )


def rows(quick: bool) -> list[Row]:
    """The whole stage, with its ledger and its verdicts kept, in one session with its peers."""
    count = 1_000_000 if quick else 10_000_000
    declared = load_problem(_CONF)
    source = declared.sources["orders"]

    def by(key: tuple[str, ...]) -> Problem:
        changed = source.model_validate(
            {**source.model_dump(exclude_unset=True), "columns": _COLUMNS, "key": key}
        )
        return declared.model_copy(update={"sources": {"orders": changed}})

    problem = by(())
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        written = root / "expectations" / problem.name / "silver_orders.json"
        written.parent.mkdir(parents=True)
        written.write_text(json.dumps({"name": "orders", "expectations": suite()}))
        environment = Environment(
            warehouse=f"{scratch}/warehouse", data=scratch, mlflow="none", master="local[2]"
        )
        line = open_line(problem, environment, root)
        bronze, silver = schemas.bronze(problem, "orders"), schemas.silver(problem, "orders")
        line.tables.append(orders(line, count), bronze, key=None)
        delivery = ("orders", "0" * 64, "a", 1, "landed", None, "b1", count, count, 0, "r")
        now = datetime.now(timezone.utc)
        line.tables.append_values([(*delivery, now)], schemas.DELIVERIES, key=None)
        landed = line.tables.read(bronze.full_name)
        is_bad = "amount < 0 OR items < 1 OR channel = 'fax'"
        bad = landed.where(is_bad).count()
        kept = landed.where(f"NOT ({is_bad})").select("order_id").distinct().count()
        asked = suite_of(line, silver)
        if len(asked.rules) != 50:
            raise RuntimeError(f"{len(asked.rules)} expectations")

        turn = 0

        def timed(work: Callable[[Line], None], asked_of: Problem = problem) -> float:
            """In a warehouse of its own, over the same bronze."""
            nonlocal turn
            turn += 1
            own = root / f"turn{turn}"
            (own / "ops").mkdir(parents=True)
            (own / "bronze").symlink_to(f"{line.tables.root}/bronze")
            (own / "ops" / "deliveries").symlink_to(f"{line.tables.root}/ops/deliveries")
            tables = Tables(line.spark, str(own))
            ledger = Ledger(tables, asked_of, environment)
            with ledger.run("first"):
                pass  # the table of the ledger is made once a warehouse, not once a stage
            fresh = Line(asked_of, environment, root, line.spark, tables, ledger)
            started = time.monotonic()
            work(fresh)
            seconds = time.monotonic() - started
            shutil.rmtree(own)
            return seconds

        said: dict[str, tuple[bool, int | None]] = {}

        def gate(fresh: Line) -> None:
            validate.run(fresh)
            runs = fresh.tables.read("ops.runs").where("stage = 'validate'").first()
            good = kept if fresh.problem.sources["orders"].key else count - bad
            if (runs.rows_out, runs.rows_rejected) != (good, bad):
                raise RuntimeError(f"{runs.rows_rejected:,} quarantined, {bad:,} are bad")
            for row in fresh.tables.read("ops.quality").collect():
                said[row.fingerprint] = (row.success, row.unexpected_count)

        def copy(fresh: Line) -> None:
            fresh.tables.append(fresh.tables.read(bronze.full_name), silver, key="copy")

        theirs: list[Judged] = []

        def great_expectations(fresh: Line, share: int = 1) -> None:
            given = fresh.tables.read(bronze.full_name)
            if share > 1:
                given = given.where(F.col("_offset") < count // share * 100)
            judged = suites.judge(given, asked, [None] * 50, count=count // share, meta={})
            theirs.append(judged)

        def as_documented(fresh: Line, share: int = 1) -> None:
            import great_expectations as gx  # after suites, which says that it shall not report
            from great_expectations.expectations.registry import get_expectation_impl

            given = fresh.tables.read(bronze.full_name)
            if share > 1:
                given = given.where(F.col("_offset") < count // share * 100)
            context = gx.get_context(mode="ephemeral")
            source = context.data_sources.add_spark("spark")
            definition = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe(
                "all"
            )
            expected = gx.ExpectationSuite(name="orders")
            for each in suite():
                kind = get_expectation_impl(each["type"])
                expected.add_expectation(kind(**each["kwargs"], meta=each["meta"]))
            batch = definition.get_batch(batch_parameters={"dataframe": given})
            found = batch.validate(expected)
            fresh.spark.catalog.clearCache()
            if len(found.results) != 50 or not found.success:
                raise RuntimeError(f"{len(found.results)} verdicts, {found.success}")

        timed(copy), timed(gate)  # warms up both
        timed(lambda fresh: great_expectations(fresh, 100))
        timed(lambda fresh: as_documented(fresh, 100))
        ours, bare = in_turn(lambda: timed(gate), lambda: timed(copy), 1 if quick else 2)
        peer, documented = timed(great_expectations), timed(as_documented)
        keyed = timed(gate, by(("order_id",)))
        for verdict in theirs[-1].verdicts:
            if said[verdict.rule.fingerprint] != (verdict.success, verdict.unexpected_count):
                raise RuntimeError(f"another verdict on {verdict.rule.name}")
    name = f"50 expectations, split, two writes, {count / 1e6:g} M rows"
    rule = "50 expectations"
    return [
        Row(name, "s", ours, bare, "a bare copy bronze to silver", "<= 1.5", ours / bare <= 1.5),
        Row(
            f"{rule} and all that, {count / 1e6:g} M rows",
            "s",
            ours,
            documented,
            "Great Expectations as documented, which neither splits nor writes",
            "<= 0.25",
            ours / documented <= 0.25,
        ),
        Row(
            f"{rule} and all that, {count / 1e6:g} M rows",
            "s",
            ours,
            peer,
            "Great Expectations, counts alone",
            "",
            True,
        ),
        Row(f"{name}, repeats of a key", "s", keyed, ours, "the same without a key", "", True),
    ]
