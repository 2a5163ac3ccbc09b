"""Batch scoring: the portable model in Spark beside MLflow's UDF of the same Spark model.

All in one session and in turn: read a Delta table of features, write a Delta table of predictions.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fitted
import mlflow
from measure import Row
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from driftline import portable, scoring, session
from driftline.problem import load_problem
from driftline.serving.model import Portable


def rows(quick: bool) -> list[Row]:
    """5 M rows scored; the peer scores fewer of them, and is compared by the row."""
    count = 500_000 if quick else 5_000_000
    theirs = 20_000 if quick else 100_000
    problem = load_problem(fitted.CONF)
    columns = fitted.columns(problem)
    with tempfile.TemporaryDirectory() as scratch:
        store = f"sqlite:///{scratch}/mlflow.db"
        fitted.record(store, versions=1)
        folder = next(Path(scratch).rglob("MLmodel")).parent
        spark = session.build(cores=2, memory_gib=4)
        made = spark.range(count, numPartitions=8).select(
            F.concat(F.lit("c"), F.col("id")).alias(problem.entity),
            F.lit("2024-06-01").cast("timestamp").alias("as_of"),
            *(_made_up(name, kind, place) for place, (name, kind) in enumerate(columns)),
        )
        made.write.format("delta").save(f"{scratch}/features")
        features = spark.read.format("delta").load(f"{scratch}/features")
        names = [name for name, _ in columns]
        content, reasons = ((folder / n).read_bytes() for n in (portable.FILE, portable.REASONS))
        facts = Portable(content).facts
        keep = (problem.entity, "as_of")

        def timed(scored: DataFrame, expected: int) -> float:
            out = f"{scratch}/out"
            shutil.rmtree(out, ignore_errors=True)
            started = time.monotonic()
            scored.write.format("delta").save(out)
            seconds = time.monotonic() - started
            written = spark.read.format("delta").load(out).count()
            if written != expected:
                raise RuntimeError(f"{written:,} of {expected:,} rows were written")
            return seconds

        everything = F.xxhash64(*names).cast("double")  # so that all columns are read
        floor = features.select(*keep, everything.alias("score"), F.lit(0.0).alias("prediction"))
        ours = scoring.predicted(features, content, reasons, facts, keep=keep)
        model = PipelineModel.load(str(folder / "sparkml"))
        by_spark = scoring.scored(features, model, task=problem.task)
        by_spark = by_spark.select(*keep, "score", "prediction")
        apart = (
            by_spark.limit(50_000)
            .alias("a")
            .join(ours.alias("b"), problem.entity)
            .agg(F.max(F.abs(F.col("a.score") - F.col("b.score"))))
            .first()[0]
        )
        if not apart < 1e-6:
            raise RuntimeError(f"the portable model differs by {apart}")
        turns: dict[str, list[float]] = {}
        ways: dict[str, Callable[[], float]] = {
            "floor": lambda: timed(floor, count),
            "ours": lambda: timed(ours, count),
            "spark": lambda: timed(by_spark, count),
        }
        timed(ours, count)  # warms up
        for _ in range(1 if quick else 3):
            for name, way in ways.items():
                turns.setdefault(name, []).append(way())
        median = {name: statistics.median(seconds) for name, seconds in turns.items()}
        mlflow.set_tracking_uri(store)
        udf = mlflow.pyfunc.spark_udf(spark, str(folder), result_type="double", env_manager="local")
        some = features.limit(theirs).repartition(2)
        score = udf(F.struct(*names)).alias("score")
        peer = timed(some.select(*keep, score, F.lit(0.0).alias("prediction")), theirs)
        spark.stop()
    millions = count / 1e6
    a, b = median["ours"] / millions, peer / (theirs / 1e6)
    floor_ = median["floor"] / millions
    own = median["spark"] / millions
    unit = "s a million"
    name = f"{millions:g} M rows scored and written"
    udf_name = f"mlflow.pyfunc.spark_udf, {theirs:,} rows"
    return [
        Row(name, unit, a, b, udf_name, "<= 0.33", a / b <= 1 / 3),
        Row(name, unit, a, floor_, "scan and write alone", "<= 1.5", a / floor_ <= 1.5),
        Row(name, unit, a, own, "the Spark model's transform", "<= 1", a / own <= 1),
    ]


def _made_up(name: str, kind: str, place: int) -> Column:
    if kind == "string":
        words = F.array(*(F.lit(word) for word in ("F", "M", "NL", "DE", "FR")))
        value = F.element_at(words, (F.rand(place) * 5).cast("int") + 1)
    else:
        value = F.when(F.rand(place) > 0.05, -20 * F.log(F.rand(place + 100))).cast(kind)
    return value.alias(name)
