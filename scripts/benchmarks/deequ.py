"""Deequ's part of the benchmark of drift: states of every commit, then two versions from states.

``python deequ.py JAR FOLDER FILES FILES …``, by a Python with a PySpark that the jar was built for.
Each two FILES are Parquet files, with commas between: those of a table's first version, and those
that the second one added. Prints a line of JSON for each: seconds, and what was found. States are
kept in FOLDER.

Deequ's store of files refuses KLL sketches, and its store in memory hands out the sketch itself,
which merging changes, so that a second comparison would count rows twice: sketches are kept as the
bytes that Deequ makes of them. A histogram in memory is a plan that reads the data again: it is
kept in files, as all else. Of a timestamp it knows nulls and distinct values only.
"""

import json
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.types import BooleanType, NumericType, StringType

_TURNS = 5  # as ours are


@dataclass(frozen=True)
class State:
    """Of a commit: a store of files, and by column the bytes of a KLL sketch."""

    files: Any
    sketches: dict[str, bytes]


class Deequ:
    """Its analyzers for the columns of a table; PyDeequ knows no states, so by py4j."""

    def __init__(self, spark: SparkSession, paths: list[str]) -> None:
        self._spark, self._jvm = spark, spark._jvm
        self._made = self._jvm.com.amazon.deequ.analyzers
        self._runner = self._made.runners.AnalysisRunner
        self._none = self._jvm.scala.Option.empty()
        rows = spark.read.parquet(*paths)
        self._schema = rows._jdf.schema()
        self._size = self._made.Size(self._none)
        self._others = [self._size]
        self._sketches: dict[str, Any] = {}
        self._histograms: dict[str, Any] = {}
        for field in rows.schema:
            self._add(field.name, field.dataType)
        self._others += self._histograms.values()

    def _add(self, name: str, type_: object) -> None:
        made, none = self._made, self._none
        self._others.append(made.Completeness(name, none, none))
        self._others.append(made.ApproxCountDistinct(name, none))
        if isinstance(type_, NumericType):
            self._others += [each(name, none) for each in (made.Mean, made.StandardDeviation)]
            self._others += [each(name, none, none) for each in (made.Minimum, made.Maximum)]
            self._sketches[name] = made.KLLSketch(name, none)
        if isinstance(type_, StringType):
            self._others += [each(name, none, none) for each in (made.MinLength, made.MaxLength)]
        if isinstance(type_, (StringType, BooleanType)):
            defaults = _defaults(made.Histogram, "apply", 2, 6)
            self._histograms[name] = made.Histogram(name, *defaults)

    def state(self, paths: list[str], folder: str) -> State:
        """Read the files, as often as Deequ does for these analyzers."""
        rows = self._spark.read.parquet(*paths)
        files = self._made.HdfsStateProvider(self._spark._jsparkSession, folder, 10, False)
        memory = self._made.InMemoryStateProvider()
        self._run(rows, self._others, files)
        self._run(rows, list(self._sketches.values()), memory)
        bytes_of = self._made.catalyst.KLLSketchSerializer.serializer().serialize
        sketches = {}
        for name, analyzer in self._sketches.items():
            state = memory.load(analyzer).get()
            ends = struct.pack(">dd", state.globalMin(), state.globalMax())
            sketches[name] = ends + bytes_of(state.qSketch())
        return State(files, sketches)

    def _run(self, rows: Any, analyzers: list[Any], store: Any) -> None:
        analysis = self._made.Analysis(self._seq(analyzers))
        kept = self._jvm.scala.Option.apply(store)
        level = _defaults(self._runner, "run", 5, 5)
        self._all_of(analyzers, self._runner.run(rows._jdf, analysis, self._none, kept, *level))

    def compared(self, first: State, added: State) -> dict[str, Any]:
        """Rows of both versions, and by column the distance of the first from the second."""
        before, after = self._metrics([first]), self._metrics([first, added])
        distances = {}
        for name in self._sketches:
            old, grown, new = (
                self._made.KLLState.fromBytes(each.sketches[name]) for each in (first, first, added)
            )
            distances[name] = self._made.Distance.numericalDistance(
                old.qSketch(), grown.sum(new).qSketch(), True, self._none
            )
        for name, analyzer in self._histograms.items():
            # Distance.categoricalDistance wants longs, as which py4j sends large numbers only.
            old, new = (self._ratios(each.metric(analyzer).get()) for each in (before, after))
            distances[name] = max(abs(old.get(each, 0) - new.get(each, 0)) for each in {*old, *new})
        rows = [int(each.metric(self._size).get().value().get()) for each in (before, after)]
        return {"rows": rows, "distances": distances}

    def _metrics(self, states: list[State]) -> Any:
        analysis = self._made.Analysis(self._seq(self._others))
        stores = self._seq([each.files for each in states])
        defaults = _defaults(self._runner, "runOnAggregatedStates", 4, 7)
        found = self._runner.runOnAggregatedStates(self._schema, analysis, stores, *defaults)
        return self._all_of(self._others, found)

    def _all_of(self, analyzers: list[Any], found: Any) -> Any:
        """Deequ reports an analyzer that failed as a metric, and drops one without a state."""
        for analyzer in analyzers:
            metric = found.metric(analyzer)
            if metric.isEmpty() or metric.get().value().isFailure():
                raise RuntimeError(f"{analyzer.toString()}: {metric.toString()}")
        return found

    def _seq(self, values: list[Any]) -> Any:
        return self._jvm.PythonUtils.toSeq(values)

    def _ratios(self, histogram: Any) -> dict[str, float]:
        values = histogram.value().get().values()
        pairs = self._jvm.scala.collection.JavaConverters.mapAsJavaMap(values)
        return {name: pairs[name].ratio() for name in pairs}


def _defaults(owner: Any, name: str, first: int, last: int) -> list[Any]:
    """What Scala fills in for the arguments from ``first`` to ``last``, counted from one."""
    return [getattr(owner, f"{name}$default${place}")() for place in range(first, last + 1)]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def main(jar: str, folder: str, *tables: str) -> None:
    """Measure one table after the other; the first ones warm up for the last."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", jar)
        .config("spark.driver.memory", "4g")
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    for place in range(0, len(tables), 2):
        commits = [each.split(",") for each in tables[place : place + 2]]
        deequ = Deequ(spark, commits[0])
        states, profile = _timed(
            lambda deequ=deequ, commits=commits, place=place: [
                deequ.state(paths, f"{folder}/{place + number}")
                for number, paths in enumerate(commits)
            ]
        )
        turns = [
            _timed(lambda deequ=deequ, states=states: deequ.compared(*states))
            for _ in range(_TURNS)
        ]
        drift = statistics.median(seconds for _, seconds in turns)
        print(json.dumps({"profile": profile, "drift": drift, **turns[-1][0]}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
