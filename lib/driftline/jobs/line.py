"""What every job works with: the problem, where it runs, its tables and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from driftline import jars, session
from driftline.environment import Environment
from driftline.ledger import Ledger
from driftline.problem import Problem
from driftline.tables import Tables


@dataclass(frozen=True)
class Line:
    """One problem in one environment, with a Spark session."""

    problem: Problem
    environment: Environment
    root: Path
    """The project's folder: the one that holds ``conf/`` and ``expectations/``."""
    spark: SparkSession
    tables: Tables
    ledger: Ledger

    @property
    def models_path(self) -> str | None:
        """The folder beside the tables through which a Spark model passes from executors to this
        process and back; in an object store none: Hadoop's own default file system has to do.
        """
        return None if "://" in self.tables.root else self.beside("_models")

    def beside(self, name: str) -> str:
        """The path of a file beside the tables, e.g. of the report."""
        return f"{self.tables.root}/{name}"


def open_line(
    problem: Problem, environment: Environment, root: Path, *, verbose: bool = False
) -> Line:
    """Start Spark and open the problem's tables."""
    folder = f"{environment.warehouse}/{problem.name}"
    databases = any(source.database for source in problem.sources.values())
    spark = session.build(
        master=environment.master,
        cores=environment.cores,
        memory_gib=environment.memory_gib,
        settings=environment.spark,
        drivers=jars.drivers(folder, databases=databases),
        log=None if "://" in folder else Path(folder, "_logs", "spark.log"),
        verbose=verbose,
    )
    tables = Tables(spark, folder, catalog=problem.name if environment.catalog else None)
    return Line(problem, environment, root, spark, tables, Ledger(tables, problem, environment))
