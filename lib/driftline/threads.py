"""Several Spark queries at once, by a pool of threads of the driver: most of the time of a small
query is planning, which takes one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from pyspark import inheritable_thread_target
from pyspark.sql import SparkSession

Item = TypeVar("Item")
Found = TypeVar("Found")


def at_once(
    spark: SparkSession,
    work: Callable[[Item], Found],
    items: Iterable[Item],
    *,
    threads: int,
) -> list[Found]:
    """What the work comes to of each item, in their order; an error waits for the others.

    Interrupted, it waits for what is under way: locks that the caller holds are held until then.
    """
    with ThreadPool(threads) as pool:
        try:
            return pool.map(call, inheriting(spark, work, items), chunksize=1)
        finally:
            pool.terminate()
            pool.join()


def inheriting(
    spark: SparkSession, work: Callable[[Item], Found], items: Iterable[Item]
) -> list[Callable[[], Found]]:
    """Work on each item, for :func:`call` in a pool, with this thread's properties of Spark.

    Each has a copy of its own: threads that share one overwrite what Spark notes there of the
    query that runs.
    """
    return [inheritable_thread_target(spark)(partial(work, item)) for item in items]


def call(task: Callable[[], Found]) -> Found:
    """What a task comes to."""
    return task()
