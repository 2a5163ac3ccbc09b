"""The only module that builds a SparkSession."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from driftline import jars
from driftline.errors import Missing
from driftline.jars import Driver

JAVA_MINIMUM = 17

# Each setting with its reason; an environment's `spark:` section overrides them.
_ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Times are UTC everywhere, whatever the machine thinks.
    "spark.sql.session.timeZone": "UTC",
    # No listener beyond what the job needs; the ledger reads the same metrics without the UI.
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # The ledger sums over stages, so none may be forgotten during a long search.
    "spark.ui.retainedStages": "50000",
    "spark.ui.retainedJobs": "50000",
    # Nor may executors that are gone, as many as a long run with dynamic allocation has.
    "spark.ui.retainedDeadExecutors": "50000",
    # Any reader (delta-rs, DuckDB, Polars) must be able to read what we write.
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Rows from Python are data: as a part of the plan the optimiser would evaluate what is done
    # with them one by one, in the driver.
    "spark.sql.execution.arrow.localRelationThreshold": "0",
}

_JAVA_OPTIONS = "spark.driver.extraJavaOptions"

# A local master is one process, whoever started it: nobody outside has to reach it.
_LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}

_LOCAL = {
    # Vectored reads of Parquet escape the counters that the ledger reads.
    "spark.hadoop.parquet.hadoop.vectored.io.enabled": "false",
    # Delta replays its log with this many tasks; the default of 50 is for clusters.
    "spark.databricks.delta.snapshotPartitions": "2",
    # A broadcast or cache of some hundred thousand rows is small; do not spread it.
    "spark.sql.adaptive.coalescePartitions.initialPartitionNum": "4",
}


def build(
    *,
    master: str | None = None,
    cores: int,
    memory_gib: float,
    settings: Mapping[str, str] | None = None,
    drivers: Sequence[Driver] = (),
    log: Path | None = None,
    verbose: bool = False,
) -> SparkSession:
    """Return a session with Delta; under ``spark-submit`` the one whose JVM is already running.

    With a local master it listens on loopback only. ``settings`` have the last word, but for the
    JVM's options, which come after ours.
    ``drivers`` are fetched if need be; under ``spark-submit`` they are ``--packages``.
    ``log`` receives what the JVM itself writes, unless ``verbose``; one that runs already writes
    where it did. Raises :class:`Missing` when Java or Delta's JVM half is not there.
    """
    # PySpark hands times over in the process's zone: let that be the session's, wherever we run.
    os.environ["TZ"] = "UTC"
    time.tzset()
    builder = SparkSession.builder.appName("driftline")
    for name, value in _ALWAYS.items():
        builder = builder.config(name, value)
    said = dict(settings or {})
    active = SparkContext._active_spark_context
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ or active
    given: dict[str, str] = {}
    if not submitted:
        check_java()
        # Workers must run the Python that has our libraries, not the first one on the PATH.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        master = master or f"local[{cores}]"
        builder = builder.master(master)
        builder = builder.config("spark.driver.memory", f"{int(memory_gib * 1024)}m")
        java_options = said.pop(_JAVA_OPTIONS, "")
        for name, value in jvm_settings(java_options=java_options, verbose=verbose).items():
            builder = builder.config(name, value)
        if drivers:
            # Not on the class path: that must begin as the class-data archive was made with it.
            paths = ",".join(str(path) for each in drivers for path in jars.driver(each))
            builder = builder.config("spark.jars", paths)
    else:
        # One that runs already is what it is.
        given = {} if active else _submitted()
        master = given.get("spark.master")
    if master and master.startswith("local"):
        ours = _LOCAL | {"spark.sql.shuffle.partitions": str(cores)}
        ours = {name: value for name, value in ours.items() if name not in given}
        for name, value in (ours | _LOOPBACK).items():
            builder = builder.config(name, value)
    for name, value in said.items():
        builder = builder.config(name, value)
    with _output_to(None if verbose or submitted else log):
        spark = builder.getOrCreate()
    if not submitted and not verbose:
        spark.sparkContext.setLogLevel("ERROR")
    _check_delta(spark)
    return spark


def _submitted() -> dict[str, str]:
    """What ``spark-submit`` told its JVM, in which no Spark has begun yet."""
    SparkContext._ensure_initialized()
    return dict(SparkConf().getAll())


def jvm_settings(
    *, java_options: str = "", verbose: bool = False, local: bool = True
) -> dict[str, str]:
    """Settings the JVM must know before it starts; also written for ``spark-submit``.

    Not ``local``: the executors are other machines, and get the jars from the driver.
    """
    # A batch job wants throughput, not short pauses; on few cores this collector costs the least.
    # A JVM that is told of two does not start.
    collector = "" if re.search(r"-XX:\+Use\w+GC\b", java_options) else "-XX:+UseParallelGC"
    options = [collector, java_options]
    archive = jars.archive()
    if archive and "ArchiveClassesAtExit" not in java_options:
        options += [f'"-XX:SharedArchiveFile={archive}"', "-Xshare:auto", "-Xlog:disable"]
    if not verbose:
        quiet = Path(__file__).with_name("log4j2.properties")
        options.append(f'"-Dlog4j2.configurationFile={quiet}"')
    found = jars.jars()
    if found and not local:
        delta = {"spark.jars": ",".join(str(path) for path in found)}
    elif found:
        classpath = os.pathsep.join(str(path) for path in found)
        delta = {"spark.driver.extraClassPath": classpath}
    else:
        delta = {"spark.jars.packages": jars.COORDINATES}
    return {**delta, _JAVA_OPTIONS: " ".join(filter(None, options))}


def utc(time: datetime) -> datetime:
    """A time as PySpark hands it over, without a zone: it is UTC, see :func:`build`."""
    return time.replace(tzinfo=timezone.utc)


def check_java() -> None:
    """Raise :class:`Missing` unless a Java of at least version 17 can be run."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    least = f"{JAVA_MINIMUM} or newer"
    hint = f"install a JDK or JRE, {least} (Debian 12 or newer: default-jre-headless)"
    if not java or not Path(java).exists():
        raise Missing("no Java found", where="JAVA_HOME, PATH", hint=hint)
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        said = ""
    version = re.search(r'version "((\d+)[^"]*)"', said)
    if not version:
        raise Missing("Java was found but cannot be run", where=java, hint=hint)
    if int(version[2]) < JAVA_MINIMUM:
        raise Missing(f"Java {version[1]} is too old", where=java, hint=hint)


def _check_delta(spark: SparkSession) -> None:
    loader = spark._jvm.Thread.currentThread().getContextClassLoader()  # type: ignore[union-attr]
    try:
        loader.loadClass("io.delta.sql.DeltaSparkSessionExtension")
    except Exception:
        raise Missing(
            "Spark runs without Delta Lake",
            where=f"Spark {spark.version}",
            hint=f"spark-submit --packages {jars.COORDINATES} …, or use scripts/submit",
        ) from None


@contextlib.contextmanager
def _output_to(log: Path | None) -> Iterator[None]:
    """Let the JVM, started inside, inherit a file as its stdout and stderr: its chatter, as Delta's
    of what VACUUM found, is not ours.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as kept, log.open("ab") as file:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            if stream is None:  # closed, as a daemon's may be
                continue
            stream.flush()
            ours = os.dup(number)
            kept.callback(os.close, ours)
            kept.callback(os.dup2, ours, number)
            os.dup2(file.fileno(), number)
        yield


def linear_algebra(spark: SparkSession) -> str:
    """Which BLAS MLlib calls for large vectors: the machine's own, or Java's."""
    jvm: Any = spark._jvm
    kind = str(jvm.dev.ludovic.netlib.blas.BLAS.getInstance().getClass().getSimpleName())
    native = kind == "JNIBLAS"
    return f"native BLAS ({kind})" if native else f"no native BLAS, Java's own ({kind})"


def warm_up(spark: SparkSession) -> None:
    """Load the classes a first job needs: Delta, Arrow, a model. For the class-data archive."""
    import tempfile

    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import functions as F

    with tempfile.TemporaryDirectory() as scratch:
        rows = spark.range(1000).withColumn("label", (F.col("id") % 2).cast("double"))
        for _ in range(2):
            rows.write.format("delta").mode("append").save(f"{scratch}/rows")
        read = spark.read.format("delta").load(f"{scratch}/rows")
        read.groupBy("label").agg(F.collect_set("id"), F.countDistinct("id")).collect()
        read.mapInArrow(lambda batches: batches, read.schema).toPandas()
        vectors = VectorAssembler(inputCols=["id"], outputCol="features").transform(read)
        LogisticRegression(maxIter=2).fit(vectors).transform(vectors).count()
    spark.stop()
