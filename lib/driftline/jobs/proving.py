"""The portable model beside Spark's, a part of the gate: same rows, same scores, or no champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import portable, prepare, schemas, scoring, training
from driftline.calibration import Calibration
from driftline.errors import DriftlineError
from driftline.jobs import judging
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.portable import proof, saved
from driftline.portable.numbers import Floats, Onnx
from driftline.portable.proof import TOLERANCE, Proof
from driftline.prepare import Preparation
from driftline.serving.facts import Column, Facts
from driftline.serving.model import Portable
from driftline.threads import call, inheriting

SIMULATED = 1_000_000
"""Rows that both models are asked about beside the test set."""

_OF_GRAPHS = 50_000
"""Instead, where both run the same graph of an estimator: what may differ comes before it, and
neighbours or kernels take their time."""

_AT_ONCE = 125_000


def facts(line: Line, train: DataFrame, learnt: Preparation, threshold: float = 0.5) -> Facts:
    """What the portable file says of itself; one Spark job for the deciles of training rows."""
    problem, table = line.problem, schemas.features(line.problem)
    kinds = dict(judging.feature_columns(line))
    tenths = [F.lit(place / 10) for place in range(11)]
    deciles: Any = train.agg(
        *(
            F.percentile_approx(prepare.finite(each.column), F.array(*tenths), F.lit(1000)).alias(
                each.column
            )
            for each in learnt.numeric
        )
    ).first()
    columns = [
        Column(
            each.column,
            kinds[each.column],
            edges=tuple(sorted({float(edge) for edge in deciles[each.column] or ()})),
        )
        for each in learnt.numeric
    ]
    columns += [
        Column(each.column, kinds[each.column], words=each.categories)
        for each in learnt.categorical
    ]
    return Facts(
        problem.name,
        problem.question,
        problem.task,
        problem.digest,
        problem.entity,
        table.columns[0].type,
        tuple(columns),
        threshold,
        problem.pseudonymous,
    )


def proofs(
    line: Line,
    rows: DataFrame,
    model: PipelineModel,
    folder: Path,
    learnt: Preparation,
    calibration: Calibration | None = None,
) -> dict[str, Proof]:
    """Compare on every test row and on simulated ones; ``folder`` holds the version's files.

    A test row is named by ``xxhash64`` of entity and as-of, which SQL finds and which tells nobody
    who it is; a simulated row by its number.
    """
    there = Portable((folder / portable.FILE).read_bytes())
    task = line.problem.task
    wanted = [column.name for column in there.facts.columns]
    named = F.xxhash64(line.problem.entity, "as_of").alias("_row")
    test = rows.where(F.col("part") == "test").select(*wanted, named)
    found = scoring.scored(test, model, task=task, calibration=calibration).toArrow()
    compared = {
        "test": proof.compare(
            _scores(found), there.score(*there.inputs(found)), found.column("_row").to_pylist()
        )
    }
    numbers = saved.read(folder / "sparkml")
    simulated = proof.NOTHING
    count = _OF_GRAPHS if isinstance(numbers, Onnx) else SIMULATED

    def part(start: int) -> Proof:
        seed = line.problem.train.seed + start
        asked = proof.simulate(
            learnt, numbers, there.facts.columns, rows=min(_AT_ONCE, count - start), seed=seed
        )
        try:
            return _simulated(line, model, there, asked, start, calibration)
        except PySparkException as error:  # naive Bayes of counts refuses what is below 0
            return replace(proof.NOTHING, failed=training.kind(error))

    # Two at once: while one is in Spark, the other is made, or asked of the portable model.
    with ThreadPool(2) as pool:
        for each in pool.imap(call, inheriting(line.spark, part, range(0, count, _AT_ONCE))):
            simulated += each
            if each.failed:
                break
    return compared | {"simulated": simulated}


def _simulated(
    line: Line,
    model: PipelineModel,
    there: Portable,
    asked: pa.Table,
    start: int,
    calibration: Calibration | None,
) -> Proof:
    numbered = asked.append_column("_row", pa.array(np.arange(asked.num_rows, dtype=np.int64)))
    rows = line.spark.createDataFrame(numbered)
    found = scoring.scored(rows, model, task=line.problem.task, calibration=calibration)
    found = found.select("_row", "score").toArrow()
    place = found.column("_row").to_numpy()
    spark = np.full(asked.num_rows, np.nan)
    spark[place] = _scores(found)
    if len(place) != asked.num_rows:
        raise DriftlineError(
            f"{asked.num_rows} rows were given to the model and {len(place)} came back",
            where="simulated rows",
            hint="this is a bug in driftline, please report it",
        )
    numbers = range(start, start + asked.num_rows)
    return proof.compare(spark, there.score(*there.inputs(asked)), numbers)


def _scores(rows: pa.Table) -> Floats:
    return np.asarray(rows.column("score").to_numpy(), np.float64)


def reasons(proofs: Mapping[str, Proof]) -> list[str]:
    """Why the portable model keeps a version from becoming champion; empty when it does not."""
    return [
        f"Spark's own model cannot score every one of the {part} rows: {each.failed}"
        if each.failed
        else f"the portable model differs from Spark's by up to {each.largest:.3g} (allowed "
        f"{TOLERANCE:g}) on {each.beyond:,} of {each.rows:,} {part} rows: "
        + (", ".join(each.named) or "there were none to compare")
        for part, each in proofs.items()
        if not each.holds
    ]


def write(line: Line, ledger: Run, proofs: Mapping[str, Proof], version: int) -> None:
    """Rows of ``ops.evaluations`` with what was compared."""
    now = datetime.now(timezone.utc)
    rows = [
        (version, f"portable_{part}", "portable", metric, value, None, None, each.rows)
        + (", ".join(each.named) or None, ledger.run_id, now)
        for part, each in proofs.items()
        for metric, value in (
            ("largest_difference", each.largest),
            ("rows_beyond", float(each.beyond)),
        )
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.EVALUATIONS, key=f"portable:{version}"))
