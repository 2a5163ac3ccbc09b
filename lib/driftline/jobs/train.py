"""``gold.features`` → a model version in MLflow, and the champion if it passes the gate."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import (
    calibration,
    candidates,
    card,
    digests,
    evaluation,
    portable,
    prepare,
    registry_client,
    schemas,
    scoring,
    session,
    training,
)
from driftline.calibration import Calibration
from driftline.errors import Refused
from driftline.jobs import certifying, gating, judging, proving, resuming, searching
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.models import Candidate
from driftline.prepare import Preparation
from driftline.prices import affordable, money
from driftline.registry import Registry, Version
from driftline.serving.facts import Facts
from driftline.serving.model import Portable
from driftline.trials import Trial


def run(line: Line, *, budget: float | None = None, budget_money: float | None = None) -> str:
    """Search, refit, evaluate, register, and promote if the gate lets it through.

    After ``budget`` minutes, or once what the run holds has cost ``budget_money`` by the price
    book, no further fit begins, and the best so far is taken; the same command then goes on with
    the candidates that are left.
    """
    seconds = math.inf if budget is None else budget * 60
    if budget_money is not None:
        prices, held = line.problem.prices, line.environment
        paid = affordable(prices, budget_money, cores=held.cores, memory_gib=held.memory_gib)
        seconds = min(seconds, paid)
    until = time.monotonic() + seconds
    features = schemas.features(line.problem).full_name
    with (
        line.ledger.run("train") as ledger,
        line.tables.lock("gold.model"),
        contextlib.ExitStack() as locks,
    ):
        candidates.check(line.problem)
        version = line.tables.version(features)
        ledger.read(features, version)
        certifying.evidence(line, version)
        models = Registry(line.environment.mlflow, line.problem.name)
        search = searching.key(line, version)
        key = searching.judged(line.problem, search)
        trained = resuming.found(line, ledger, models, key)
        if trained and trained.finished:
            return resuming.nothing_new(line, ledger, models, trained)
        rows = searching.labelled(line, version)
        # A task a core keeps small fits fast; a large table needs more, of half a million rows.
        tasks = max(line.environment.cores, rows.count() // 500_000)
        rows = searching.ordered(line.problem, rows, tasks)
        try:
            return _train(
                line,
                ledger,
                models,
                rows,
                trained,
                key=key,
                search=search,
                features_version=version,
                until=until,
                locks=locks,
            )
        finally:
            rows.unpersist()


def _spent(line: Line, ledger: Run) -> tuple[float, float]:
    """Seconds since the stage began, and what the cores and the memory held cost for them."""
    seconds = (datetime.now(timezone.utc) - ledger.started_at).total_seconds()
    held, hours = line.environment, seconds / 3600
    cores, gib = held.cores * hours, held.memory_gib * hours
    return seconds, money(line.problem.prices, core_hours=cores, gib_hours=gib, gib_months=0)


def _train(
    line: Line,
    ledger: Run,
    models: Registry,
    rows: DataFrame,
    unfinished: Version | None,
    *,
    key: str,
    search: str,
    features_version: int,
    until: float,
    locks: contextlib.ExitStack,
) -> str:
    problem = line.problem
    parts = judging.parts(rows)
    counts = {part: row.rows for part, row in parts.items()}
    ledger.count(in_=sum(counts.values()), out=sum(counts.values()))
    judging.check_parts(problem, parts)
    proof, suspicious = certifying.certify(
        line, ledger, rows, features_version=features_version, key=key
    )
    stopped, trials, raced = "", list[Trial](), list[tuple[int, Trial]]()
    if not unfinished:
        found = searching.search(line, ledger, rows, search, until=until)
        trials, stopped, winner = list(found.trials), found.stopped, found.winner.candidate
        raced = list(found.raced)
        if stopped:  # another run may find a better one: it is not what this key stands for
            key = f"{key} after {stopped}"
            unfinished = resuming.found(line, ledger, models, key)
            if unfinished and unfinished.finished:  # no candidate was finished since
                return resuming.nothing_new(line, ledger, models, unfinished)
    if unfinished:  # killed after it was registered: go on from there
        winner = searching.winner(unfinished)
        model = models.load(unfinished, through=line.models_path)
        train = rows.where(F.col("part") == "train")
        learnt = prepare.fit(train, judging.feature_columns(line), problem.prepare)
    else:
        model, learnt = searching.refit(line, ledger, rows, found)
    ledger.progress("evaluating on rows the model never saw")
    sure = judging.calibrated(rows, model, problem.train.calibrate)
    # Not before: while a search runs, hours perhaps, the champion can be rolled back from.
    locks.enter_context(line.tables.lock(resuming.ALIAS, wait=120.0))
    champion = models.champion()
    tested = session.utc(parts["test"].first)
    before, unscored = gating.before(line, models, champion, tested=tested)
    judged, feature = judging.judged(line, rows, model, counts, before, sure)
    measured = {
        (part, name): evaluation.measure(
            each.label, scores, entity=each.entity, task=problem.task, seed=problem.train.seed
        )
        for part, each in judged.items()
        for name, scores in each.scores.items()
    }
    details, threshold, nobody = {"best_feature": feature}, 0.5, ""
    if three := problem.rfm:
        details["rfm"] = ", ".join(three)
    if sure is not None:
        details["model"] = f"calibrated on validation rows: {problem.train.calibrate}"
    if problem.train.decide:
        shown = judged["validation"]
        threshold = evaluation.threshold(shown.label, shown.scores["model"], problem.train.decide)
        nobody = judging.nobody(shown.scores["model"], threshold)
        details["decision"] = f"score at least {threshold:.6g}{nobody}"
        for part, each in judged.items():
            measured[part, "decision"] = evaluation.decided(
                each.label,
                each.scores["model"],
                threshold,
                entity=each.entity,
                seed=problem.train.seed,
            )
    slices = judging.slices(line, judged["test"])
    version = unfinished
    if version is None:
        metrics = {
            f"{part}_{name}": interval.value
            for (part, who), found in measured.items()
            if who == "model"
            for name, interval in found.items()
        }
        features = schemas.features(problem).full_name
        made_from = line.tables.made_from(features, features_version)
        known = card.Known(
            str(winner),
            made_from | {features: features_version},
            counts,
            trials,
            measured,
            slices,
            scoring.probable(model, sure),
            json.loads(proof)["checks"],
            details,
            *_spent(line, ledger),
            stopped,
            [trial for _, trial in raced],
        )
        papers = judging.papers(line, judged["test"], known)
        made = _Made(
            model=model,
            learnt=learnt,
            facts=proving.facts(line, rows.where(F.col("part") == "train"), learnt, threshold),
            winner=winner,
            trials=[*raced, *((None, trial) for trial in trials)],
            metrics=metrics,
            files={
                "certificate.json": proof.encode(),
                **papers,
                **({calibration.FILE: calibration.to_json(sure).encode()} if sure else {}),
            },
            sure=sure,
            tags={
                "training": key,
                "keeps_rows": str(getattr(model.stages[-1], "keeps_rows", False)),
                "tables": json.dumps(dict(known.tables)),
                "search": search,
                "data": searching.fingerprint(rows),
                "calibrate": problem.train.calibrate,
                "code": digests.of_code(),
                "spark": line.spark.version,
                "linear_algebra": session.linear_algebra(line.spark),
                gating.LEARNT_UNTIL: max(
                    session.utc(row.last) + timedelta(days=problem.label.horizon)
                    for part, row in parts.items()
                    if part != "test"
                ).isoformat(),
                "tasks": str(rows.rdd.getNumPartitions()),
                "watermark": str(line.tables.noted(features, features_version)["watermark"]),
            },
        )
        version = _register(line, models, made)
    ledger.progress("comparing the portable model with Spark's")
    folder = models.folder(version)
    proofs = proving.proofs(line, rows, model, folder, learnt, sure)
    there = Portable((folder / portable.FILE).read_bytes())
    permutation = judging.permuted(line, judged["test"], there)
    ledger.progress(f"writing down model version {version.number}")
    beaten = judging.beaten(line, judged["test"])
    judging.write_evaluations(line, ledger, measured, beaten, judged, details, version.number)
    proving.write(line, ledger, proofs, version.number)
    judging.write_slices(line, ledger, slices, version.number)
    importance = training.importances(model, learnt.names)
    judging.write_curves(line, ledger, judged["test"], importance, permutation, version.number)
    reasons = gating.reasons(
        line,
        measured["test", "model"],
        beaten,
        slices,
        champion.number if champion else None,
        unscored,
        suspicious,
    )
    reasons += proving.reasons(proofs)
    models.judge(version, passed=not reasons)
    metric = problem.train.metric
    got = measured["test", "model"][metric]
    ledger.status = "done"
    ledger.message = (
        f"version {version.number}: {winner}, test {metric} "
        f"{got.value:.3f} [{got.low:.3f}, {got.high:.3f}]"
        + (f", after {stopped} when the budget ended" if stopped else "")
    )
    if sure is not None:
        raw = measured["test", judging.UNCALIBRATED]["calibration_error"].value
        now = measured["test", "model"]["calibration_error"].value
        ledger.message += f"; calibration error {raw:.4f}, {now:.4f} once calibrated"
    ledger.message += nobody
    if suspicious:
        ledger.message += f"; suspicious: {suspicious}"
    if champion is not None and unscored:
        ledger.message += f"; not compared with champion version {champion.number}: {unscored}"
    if problem.train.gate.mode == "dry-run":
        would = "would not become champion: " + "; ".join(reasons) if reasons else "would pass"
        ledger.message += f"; dry run: {would}"
        return ledger.message
    if reasons:
        raise Refused(
            f"model version {version.number} was registered but did not become champion",
            where="; ".join(reasons),
            hint="see ops.evaluations; a champion that was there before stays",
        )
    models.promote(version)
    ledger.model_version = version.number
    ledger.message += ", now champion"
    return ledger.message


@dataclass(frozen=True)
class _Made:
    """What a version is made of."""

    model: PipelineModel
    learnt: Preparation
    facts: Facts
    winner: Candidate
    trials: Sequence[tuple[int | None, Trial]]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes]
    sure: Calibration | None
    tags: Mapping[str, str]
    """What it came from."""


def _register(line: Line, models: Registry, made: _Made) -> Version:
    """Log the search and the winner in MLflow, with everything it came from."""
    problem, winner = line.problem, made.winner
    metric = problem.train.metric
    return models.record(
        made.model,
        through=line.models_path,
        trials=[
            registry_client.Trial(
                each.candidate.family,
                dict(each.candidate.parameters),
                {} if each.error else {metric: each.mean, f"{metric}_std": each.std},
                each.error,
                part,
            )
            for part, each in made.trials
        ],
        metrics=made.metrics,
        tags={
            **made.tags,
            "problem": problem.digest,
            "family": winner.family,
            "parameters": json.dumps(dict(winner.parameters)),
            "seed": str(problem.train.seed),
        },
        files=lambda saved: {
            "problem.json": problem.model_dump_json(indent=2, by_alias=True).encode(),
            **made.files,
            **portable.files(made.learnt, saved, made.facts, made.sure),
        },
    )
