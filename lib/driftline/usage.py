"""What Spark did between two moments: the sums of its own task metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Usage:
    """Sums over Spark stages: seconds, bytes, jobs."""

    cpu_seconds: float = 0.0
    task_seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    shuffle_bytes: int = 0
    spill_bytes: int = 0
    jobs: int = 0

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """Both together, or without the other."""
        return Usage(
            **{
                each.name: getattr(self, each.name) + sign * getattr(other, each.name)
                for each in fields(self)
            }
        )


Mark = tuple[int, int, float]
"""Where Spark stands: the highest id of a stage so far (−1 before any), jobs, core-seconds."""


def mark(spark: SparkSession) -> Mark:
    """Where Spark stands now."""
    last = max((stage["stageId"] for stage in stages(spark)), default=-1)
    return last, jobs_so_far(spark), core_seconds(spark)


def since(spark: SparkSession, before: Mark) -> Usage:
    """Sum Spark's task metrics over what ran since a mark."""
    last, jobs, seconds = before
    total = Usage(jobs=jobs_so_far(spark) - jobs, task_seconds=core_seconds(spark) - seconds)
    for stage in stages(spark):
        if stage["stageId"] > last:
            total = replace(
                total,
                cpu_seconds=total.cpu_seconds + stage["executorCpuTime"] / 1e9,
                bytes_read=total.bytes_read + stage["inputBytes"],
                bytes_written=total.bytes_written + stage["outputBytes"],
                shuffle_bytes=total.shuffle_bytes + stage["shuffleWriteBytes"],
                spill_bytes=total.spill_bytes + stage["diskBytesSpilled"],
            )
    return total


def core_seconds(spark: SparkSession) -> float:
    """For how long tasks have held a core so far: their run time, and what starting them took,
    which is most of a small task. Executors that are gone count.

    Spark's own list of executors tells of the driver how long it has been up, in place of that.
    """
    context: Any = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    jvm: Any = spark._jvm
    kind = jvm.java.lang.Class.forName("org.apache.spark.status.ExecutorSummaryWrapper")
    kept = context.statusStore().store().view(kind).iterator()
    held = 0
    while kept.hasNext():
        held += kept.next().info().totalDuration()
    return held / 1e3


def jobs_so_far(spark: SparkSession) -> int:
    """How many jobs there were, since Spark's start."""
    context: Any = spark.sparkContext._jsc.sc()
    return int(context.dagScheduler().numTotalJobs())


def stages(spark: SparkSession) -> list[dict[str, Any]]:
    """All stages as Spark's status store (the one behind its UI) knows them, in one JVM call."""
    context: Any = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    store = context.statusStore()
    listed = store.stageList(
        None,
        getattr(store, "stageList$default$2")(),
        getattr(store, "stageList$default$3")(),
        getattr(store, "stageList$default$4")(),
        getattr(store, "stageList$default$5")(),
    )
    jvm: Any = spark._jvm
    writer = jvm.org.apache.spark.status.api.v1.JacksonMessageWriter()
    return list(json.loads(writer.mapper().writeValueAsString(listed)))
