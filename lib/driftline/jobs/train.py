"""``gold.features`` → a model version in MLflow, and the champion if it passes the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import evaluation, registry, schemas, scoring, split, training
from driftline.errors import Refused
from driftline.evaluation import Interval
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.problem import digest
from driftline.registry import Registry
from driftline.sections import TimeSplit
from driftline.training import Trial

_BASELINE_ROWS = 200_000
"""Training rows the one-feature baseline is chosen on; a larger table is sampled."""


@dataclass(frozen=True)
class Judged:
    """One part of the data with labels, the model's scores and the baselines'."""

    label: evaluation.Floats
    scores: Mapping[str, evaluation.Floats]


def run(line: Line) -> str:
    """Search, refit, evaluate, register, and promote if the gate lets it through."""
    features = schemas.features(line.problem).full_name
    with line.ledger.run("train") as ledger, line.tables.lock("gold.model"):
        version = line.tables.version(features)
        ledger.read(features, version)
        models = Registry(line.environment.mlflow, line.problem.name)
        asked = line.problem.model_dump(
            include={"task", "train", "prepare", "split", "label"}, mode="json"
        )
        key = digest([asked, features, version])[:16]
        trained = models.trained_on(key)
        if trained:
            champion = models.champion()
            if trained.passed and (champion is None or champion.number < trained.number):
                models.promote(trained)  # killed after the verdict, before the alias
            ledger.message = f"nothing new: version {trained.number} was trained on exactly this"
            return ledger.message
        rows = _labelled(line, version)
        # A task a core keeps small fits fast; a large table needs more, of half a million rows.
        tasks = max(line.environment.cores, rows.count() // 500_000)
        rows = rows.repartition(tasks).persist()
        try:
            return _train(line, ledger, models, rows, key=key, features_version=version)
        finally:
            rows.unpersist()


def _train(
    line: Line, ledger: Run, models: Registry, rows: DataFrame, *, key: str, features_version: int
) -> str:
    problem = line.problem
    counts = {row.part: row["count"] for row in rows.groupBy("part").count().collect()}
    ledger.count(in_=sum(counts.values()), out=sum(counts.values()))
    columns = _feature_columns(line)
    fitting = rows.where(F.col("part") == "train")
    fitting = split.with_folds(
        fitting, folds=problem.train.folds, entity=problem.entity, seed=problem.train.seed
    ).persist()
    try:
        _check_classes(fitting, problem.task)
        trials = training.search(
            fitting,
            problem,
            columns,
            parallelism=line.environment.cores,
            on_trial=lambda candidate: ledger.progress(f"fitting {candidate}"),
        )
        winner = training.best(trials)
        ledger.progress(f"refitting {winner.candidate}")
        model, preparation = training.refit(fitting, winner.candidate, problem, columns)
    finally:
        fitting.unpersist()
    ledger.progress("evaluating on rows the model never saw")
    judged, detail = _judged(line, rows, model, counts)
    measured = {
        (part, name): evaluation.measure(
            each.label, scores, task=problem.task, seed=problem.train.seed
        )
        for part, each in judged.items()
        for name, scores in each.scores.items()
    }
    beaten = _beaten(line, judged["test"])
    reasons = _reasons(line, measured["test", "model"], beaten)
    versions = {schemas.features(problem).full_name: features_version}
    version, children = models.record(
        model,
        trials=[
            registry.Trial(
                each.candidate.family,
                dict(each.candidate.parameters),
                {problem.train.metric: each.mean, f"{problem.train.metric}_std": each.std},
            )
            for each in trials
        ],
        metrics={
            f"{part}_{name}": interval.value
            for (part, who), metrics in measured.items()
            if who == "model"
            for name, interval in metrics.items()
        },
        tags={
            "training": key,
            "problem": problem.digest,
            "tables": json.dumps(versions | _silver_versions(line, features_version)),
            "family": winner.candidate.family,
            "parameters": json.dumps(dict(winner.candidate.parameters)),
            "seed": str(problem.train.seed),
        },
        files={"problem.json": problem.model_dump_json(indent=2, by_alias=True)},
    )
    ledger.progress(f"writing down model version {version.number}")
    _write_trials(line, ledger, trials, winner, children, key)
    _write_evaluations(line, ledger, measured, beaten, judged, detail, version.number)
    importance = training.importances(model, preparation)
    _write_curves(line, ledger, judged["test"], importance, version.number)
    models.judge(version, passed=not reasons)
    metric = problem.train.metric
    got = measured["test", "model"][metric]
    ledger.status = "done"
    ledger.message = (
        f"version {version.number}: {winner.candidate}, test {metric} "
        f"{got.value:.3f} [{got.low:.3f}, {got.high:.3f}]"
    )
    if reasons:
        raise Refused(
            f"model version {version.number} was registered but did not become champion",
            where="; ".join(reasons),
            hint="see ops.evaluations; a champion that was there before stays",
        )
    models.promote(version)
    ledger.message += ", now champion"
    return ledger.message


def _labelled(line: Line, version: int) -> DataFrame:
    problem = line.problem
    rows = line.tables.read(schemas.features(problem).full_name, version=version)
    rows = rows.where(F.col("label").isNotNull())
    rule = problem.split
    if isinstance(rule, TimeSplit):
        times = [
            row.as_of.replace(tzinfo=timezone.utc)
            for row in rows.select("as_of").distinct().collect()
        ]
        where = split.by_time(times, rule, horizon=problem.label.horizon)
        column = split.part(where, entity=problem.entity, seed=problem.train.seed)
    else:
        column = split.part(rule, entity=problem.entity, seed=problem.train.seed)
    return rows.withColumn("part", column).where(F.col("part").isNotNull())


def _feature_columns(line: Line) -> list[tuple[str, str]]:
    table = schemas.features(line.problem)
    apart = (line.problem.entity, "as_of", "label")
    return [(each.name, each.type) for each in table.columns if each.name not in apart]


def _check_classes(fitting: DataFrame, task: str) -> None:
    seen = fitting.select("label").distinct().limit(2).count()
    if seen < 2:
        raise Refused(
            f"the training rows have {seen} different labels; there is nothing to learn",
            where="gold.features, part train",
            hint="look at label and population in the problem, or take more as-ofs",
        )


def _judged(
    line: Line, rows: DataFrame, model: PipelineModel, counts: Mapping[str, int]
) -> tuple[dict[str, Judged], str]:
    """Scores of the model and the baselines on validation and test, and which feature was best."""
    task = line.problem.task
    numbers = [name for name, type_ in _feature_columns(line) if type_ in ("double", "bigint")]
    wanted = [F.col(name).cast("double").alias(name) for name in (*numbers, "label")]
    train = rows.where(F.col("part") == "train")
    if counts["train"] > _BASELINE_ROWS:
        share = _BASELINE_ROWS / counts["train"]
        train = train.sample(fraction=share, seed=line.problem.train.seed)
    known: Any = train.select(*wanted).toPandas()
    label = known["label"].to_numpy()
    constant = float(np.mean(label))
    name, fill, slope, intercept = evaluation.best_feature(
        label, {column: known[column].to_numpy() for column in numbers}, task=task
    )
    found = scoring.scored(rows.where(F.col("part") != "train"), model, task=task)
    held_out: Any = found.select(*wanted, "score", "part").toPandas()
    judged = {}
    for part, part_rows in held_out.groupby("part"):
        x = part_rows[name].to_numpy() if name else np.zeros(len(part_rows))
        judged[str(part)] = Judged(
            part_rows["label"].to_numpy(),
            {
                "model": part_rows["score"].to_numpy(),
                "constant": np.full(len(part_rows), constant),
                "best_feature": evaluation.predict_by_line(x, fill, slope, intercept, task),
            },
        )
    return judged, name


def _beaten(line: Line, test: Judged) -> dict[str, Interval]:
    """By how much the model beats each baseline on the same test rows."""
    train = line.problem.train
    return {
        name: evaluation.difference(
            test.label,
            test.scores["model"],
            test.scores[name],
            train.metric,
            task=line.problem.task,
            seed=train.seed,
        )
        for name in ("constant", "best_feature")
    }


def _reasons(
    line: Line, metrics: Mapping[str, Interval], beaten: Mapping[str, Interval]
) -> list[str]:
    """Why the gate says no; empty when it says yes."""
    train = line.problem.train
    got, floor = metrics[train.metric].value, train.gate.floor
    reasons = []
    if not np.isfinite(got):
        reasons.append(f"{train.metric} is not a number")
    if floor is not None:
        smaller = train.metric in evaluation.SMALLER_IS_BETTER
        if got > floor if smaller else got < floor:
            reasons.append(f"{train.metric} {got:.4f} does not reach the floor {floor}")
    for name in train.gate.beat:
        if not beaten[name].low > 0:
            reasons.append(
                f"does not beat {name}: better by {beaten[name].value:.4f} "
                f"[{beaten[name].low:.4f}, {beaten[name].high:.4f}]"
            )
    return reasons


def _silver_versions(line: Line, features_version: int) -> dict[str, int]:
    """The silver versions that the ledger says this version of gold.features was made from."""
    runs = line.tables.read(schemas.RUNS.full_name).where(F.col("stage") == "features")
    table = schemas.features(line.problem).full_name
    wrote = F.exists(
        "tables_written",
        lambda each: (each["table"] == table) & (each["version"] == features_version),
    )
    row = runs.where(wrote).select("tables_read").first()
    return {each["table"]: each["version"] for each in row[0]} if row else {}


def _write_trials(
    line: Line, ledger: Run, trials: list[Trial], winner: Trial, children: list[str], key: str
) -> None:
    now = datetime.now(timezone.utc)
    rows = [
        (
            trial.candidate.family,
            json.dumps(dict(trial.candidate.parameters)),
            trial.metric,
            trial.mean,
            trial.std,
            list(trial.folds),
            trial.seconds,
            trial is winner,
            child,
            ledger.run_id,
            now,
        )
        for trial, child in zip(trials, children, strict=True)
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.TRIALS, key=f"trials:{key}"))


def _write_evaluations(
    line: Line,
    ledger: Run,
    measured: Mapping[tuple[str, str], Mapping[str, Interval]],
    beaten: Mapping[str, Interval],
    judged: Mapping[str, Judged],
    feature: str,
    version: int,
) -> None:
    now = datetime.now(timezone.utc)
    rows = [
        (version, part, who, name, each.value, each.low, each.high, len(judged[part].label))
        + (feature if who == "best_feature" else None, ledger.run_id, now)
        for (part, who), metrics in measured.items()
        for name, each in metrics.items()
    ]
    metric = line.problem.train.metric
    rows += [
        (version, "test", "model", f"{metric}_above_{name}", each.value, each.low, each.high)
        + (len(judged["test"].label), "paired bootstrap on the same rows", ledger.run_id, now)
        for name, each in beaten.items()
    ]
    key = f"evaluations:{version}"
    ledger.wrote(line.tables.append_values(rows, schemas.EVALUATIONS, key=key))


def _write_curves(
    line: Line, ledger: Run, test: Judged, importance: Mapping[str, float], version: int
) -> None:
    points = evaluation.curves(test.label, test.scores["model"], task=line.problem.task)
    rows = [
        (version, each.curve, each.name, each.x, each.y, each.rows, ledger.run_id)
        for each in points
    ]
    rows += [
        (version, "importance", name, float(place), share, None, ledger.run_id)
        for place, (name, share) in enumerate(importance.items())
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.CURVES, key=f"curves:{version}"))
