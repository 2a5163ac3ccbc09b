"""``gold.features`` → a model version in MLflow, and the champion if it passes the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import evaluation, portable, prepare, registry, schemas, split, training
from driftline.errors import Refused
from driftline.jobs import certifying, judging, proving
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.models import Candidate
from driftline.prepare import Preparation
from driftline.problem import digest
from driftline.registry import Registry, Version
from driftline.serving.facts import Facts
from driftline.training import Trial


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
        if trained and trained.finished:
            champion = models.champion()
            if trained.passed and (champion is None or champion.number < trained.number):
                models.promote(trained)  # killed after the verdict, before the alias
            said = f"version {trained.number} was trained on exactly this"
            if not trained.passed:
                raise Refused(
                    f"nothing new: {said}, and the gate refused it",
                    where=f"model {line.problem.name}",
                    hint="see ops.evaluations; other data, features or candidates may do better",
                )
            ledger.message = f"nothing new: {said}"
            return ledger.message
        rows = _labelled(line, version)
        # A task a core keeps small fits fast; a large table needs more, of half a million rows.
        tasks = max(line.environment.cores, rows.count() // 500_000)
        rows = rows.repartition(tasks).persist()
        try:
            return _train(line, ledger, models, rows, trained, key=key, features_version=version)
        finally:
            rows.unpersist()


def _train(
    line: Line,
    ledger: Run,
    models: Registry,
    rows: DataFrame,
    unfinished: Version | None,
    *,
    key: str,
    features_version: int,
) -> str:
    problem = line.problem
    counts = {row.part: row["count"] for row in rows.groupBy("part").count().collect()}
    ledger.count(in_=sum(counts.values()), out=sum(counts.values()))
    proof = certifying.certify(line, ledger, rows, features_version=features_version, key=key)
    if unfinished:  # killed after it was registered: go on from there
        trials: list[Trial] = []
        winner, model = _winner(unfinished), models.load(unfinished)
        train = rows.where(F.col("part") == "train")
        learnt = prepare.fit(train, judging.feature_columns(line), problem.prepare)
    else:
        trials, winner, model, learnt = _search(line, ledger, rows, key)
    ledger.progress("evaluating on rows the model never saw")
    judged, feature = judging.judged(line, rows, model, counts)
    measured = {
        (part, name): evaluation.measure(
            each.label, scores, task=problem.task, seed=problem.train.seed
        )
        for part, each in judged.items()
        for name, scores in each.scores.items()
    }
    version = unfinished
    if version is None:
        metrics = {
            f"{part}_{name}": interval.value
            for (part, who), found in measured.items()
            if who == "model"
            for name, interval in found.items()
        }
        facts = proving.facts(line, rows.where(F.col("part") == "train"), learnt)
        version = _register(
            line,
            models,
            model,
            trials,
            winner,
            metrics,
            key,
            features_version,
            learnt,
            facts,
            proof,
        )
    ledger.progress("comparing the portable model with Spark's")
    proofs = proving.proofs(line, rows, model, models.folder(version), learnt)
    ledger.progress(f"writing down model version {version.number}")
    beaten = judging.beaten(line, judged["test"])
    judging.write_evaluations(line, ledger, measured, beaten, judged, feature, version.number)
    proving.write(line, ledger, proofs, version.number)
    judging.write_slices(line, ledger, judged["test"], version.number)
    importance = training.importances(model, learnt.names)
    judging.write_curves(line, ledger, judged["test"], importance, version.number)
    reasons = judging.reasons(line, measured["test", "model"], beaten) + proving.reasons(proofs)
    models.judge(version, passed=not reasons)
    metric = problem.train.metric
    got = measured["test", "model"][metric]
    ledger.status = "done"
    ledger.message = (
        f"version {version.number}: {winner}, test {metric} "
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


def _search(
    line: Line, ledger: Run, rows: DataFrame, key: str
) -> tuple[list[Trial], Candidate, PipelineModel, Preparation]:
    """Cross-validate every candidate, keep the trials, fit the best one on all training rows."""
    problem = line.problem
    columns = judging.feature_columns(line)
    fitting = split.with_folds(
        rows.where(F.col("part") == "train"),
        folds=problem.train.folds,
        entity=problem.entity,
        seed=problem.train.seed,
    ).persist()
    try:
        _check_classes(fitting, problem.task)
        trials = training.search(
            fitting,
            problem,
            columns,
            sides=split.sides(
                problem.split,
                _as_ofs(fitting),
                folds=problem.train.folds,
                horizon=problem.label.horizon,
            ),
            parallelism=line.environment.cores,
            on_trial=lambda candidate: ledger.progress(f"fitting {candidate}"),
        )
        best = training.best(trials)
        _write_trials(line, ledger, trials, best, key)
        ledger.progress(f"refitting {best.candidate}")
        model, learnt = training.refit(fitting, best.candidate, problem, columns)
    finally:
        fitting.unpersist()
    return trials, best.candidate, model, learnt


def _register(
    line: Line,
    models: Registry,
    model: PipelineModel,
    trials: list[Trial],
    winner: Candidate,
    metrics: Mapping[str, float],
    key: str,
    features_version: int,
    learnt: Preparation,
    facts: Facts,
    certificate: str,
) -> Version:
    """Log the search and the winner in MLflow, with everything it came from."""
    problem = line.problem
    features = schemas.features(problem).full_name
    made_from = line.tables.made_from(features, features_version)
    metric = problem.train.metric
    return models.record(
        model,
        trials=[
            registry.Trial(
                each.candidate.family,
                dict(each.candidate.parameters),
                {metric: each.mean, f"{metric}_std": each.std},
            )
            for each in trials
        ],
        metrics=metrics,
        tags={
            "training": key,
            "problem": problem.digest,
            "tables": json.dumps(made_from | {features: features_version}),
            "family": winner.family,
            "parameters": json.dumps(dict(winner.parameters)),
            "seed": str(problem.train.seed),
        },
        files=lambda saved: {
            "problem.json": problem.model_dump_json(indent=2, by_alias=True).encode(),
            "certificate.json": certificate.encode(),
            **portable.files(learnt, saved, facts),
        },
    )


def _winner(version: Version) -> Candidate:
    parameters = json.loads(version.tags["parameters"])
    return Candidate(version.tags["family"], tuple(parameters.items()))


def _labelled(line: Line, version: int) -> DataFrame:
    problem = line.problem
    rows = line.tables.read(schemas.features(problem).full_name, version=version)
    rows = rows.where(F.col("label").isNotNull())
    return split.with_parts(
        rows,
        problem.split,
        _as_ofs(rows),
        horizon=problem.label.horizon,
        entity=problem.entity,
        task=problem.task,
        seed=problem.train.seed,
    )


def _as_ofs(rows: DataFrame) -> list[datetime]:
    found = rows.select("as_of").distinct().collect()
    return [row.as_of.replace(tzinfo=timezone.utc) for row in found]


def _check_classes(fitting: DataFrame, task: str) -> None:
    seen = fitting.select("label").distinct().limit(2).count()
    if seen < 2:
        raise Refused(
            f"the training rows have {seen} different labels; there is nothing to learn",
            where="gold.features, part train",
            hint="look at label and population in the problem, or take more as-ofs",
        )


def _write_trials(line: Line, ledger: Run, trials: list[Trial], winner: Trial, key: str) -> None:
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
            ledger.run_id,
            now,
        )
        for trial in trials
    ]
    ledger.wrote(line.tables.append_values(rows, schemas.TRIALS, key=f"trials:{key}"))
