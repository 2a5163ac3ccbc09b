"""A champion of the flagship's shape on made-up rows, for the benchmarks of predictions."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd

from driftline import models, portable, prepare, schemas, session
from driftline.models import Candidate
from driftline.problem import Problem, load_problem
from driftline.registry import Registry
from driftline.serving.facts import Column, Facts

CONF = Path(__file__).parents[2] / "conf" / "churn.yaml"


def columns(problem: Problem) -> list[tuple[str, str]]:
    """(name, type) of the features."""
    table = schemas.features(problem)
    apart = (problem.entity, "as_of", "label")
    return [(each.name, each.type) for each in table.columns if each.name not in apart]


def made_up(problem: Problem, count: int, seed: int) -> pd.DataFrame:
    """Rows of the features: a twentieth of the numbers unknown."""
    random = np.random.default_rng(seed)
    rows: dict[str, object] = {problem.entity: [f"c{n:07d}" for n in range(count)]}
    for name, kind in columns(problem):
        if kind == "string":
            rows[name] = random.choice(["F", "M", "NL", "DE", "FR"], count)
        else:
            values = random.gamma(2.0, 10.0, count)
            values[random.random(count) < 0.05] = np.nan
            rows[name] = (
                values
                if kind == "double"
                else pd.array(np.where(np.isnan(values), 0, values).astype(int), "Int64")
            )
    return pd.DataFrame(rows)


def _record(store: str, versions: int) -> None:
    problem = load_problem(CONF)
    spark = session.build(cores=2, memory_gib=2)
    frame = made_up(problem, 20_000, 7)
    number = frame["recency_90d"].fillna(20.0) + 10 * (frame["gender"] == "F")
    frame["label"] = (number + np.random.default_rng(1).normal(0, 10, len(frame)) > 25) * 1.0
    rows = spark.createDataFrame(frame)
    learnt = prepare.fit(rows, columns(problem), problem.prepare)
    transformer = learnt.transformer()
    candidate = Candidate("random_forest", (("numTrees", 40), ("maxDepth", 6)))
    estimator = models.estimator(candidate, task="classification", seed=7)
    from pyspark.ml import PipelineModel

    model = PipelineModel([*transformer.stages, estimator.fit(transformer.transform(rows))])
    words = {each.column: each.categories for each in learnt.categorical}
    kinds = dict(columns(problem))
    order = [each.column for each in (*learnt.numeric, *learnt.categorical)]
    facts = Facts(
        problem.name,
        problem.question,
        problem.task,
        problem.digest,
        problem.entity,
        "string",
        tuple(Column(name, kinds[name], (), words.get(name, ())) for name in order),
    )
    registry = Registry(store, problem.name)
    for _ in range(versions):
        version = registry.record(
            model,
            trials=[],
            metrics={},
            tags={"tables": json.dumps({})},
            files=lambda saved: portable.files(learnt, saved, facts),
        )
        registry.judge(version, passed=True)
        registry.promote(version)
    spark.stop()


def record(store: str, versions: int) -> None:
    """Fit and register in a process of its own, so that no Spark is left when measuring."""
    work = multiprocessing.get_context("spawn").Process(target=_record, args=(store, versions))
    work.start()
    work.join()
    if work.exitcode:
        raise RuntimeError("the model could not be made")
