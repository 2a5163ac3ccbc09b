"""MLflow's client for :mod:`driftline.registry`, with what goes wrong there in our own words,
the names it takes, all of its runs, a search's trials, and copies of its artifacts.
"""

from __future__ import annotations

import functools
import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from driftline import storage
from driftline.errors import DriftlineError, TryAgain


class Client:
    """MLflow's client, which says :class:`TryAgain` where its server cannot be reached."""

    def __init__(self, client: mlflow.MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        return reached(getattr(self._client, name), self._uri)


_AWAY = re.compile(r"failed with (?:timeout )?exception|failed with error code 5\d\d")


def reached(asked: Callable[..., Any], uri: str) -> Callable[..., Any]:
    """A function of MLflow's that says :class:`TryAgain` where the server cannot be reached."""

    def ask(*arguments: Any, **named: Any) -> Any:
        try:
            return asked(*arguments, **named)
        except MlflowException as error:
            full = storage.explained(str(error))
            if full is not None:
                raise full from error
            if error.error_code == "TEMPORARILY_UNAVAILABLE" or _AWAY.search(str(error)):
                raise TryAgain(
                    "the model registry cannot be reached",
                    where=re.sub(r"//[^/@]*@", "//", uri),
                    hint="the champion is the one it was; give the same command again",
                ) from error
            raise

    return ask


@functools.cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="driftline-models-")


def fetched(source: str, uri: str) -> Path:
    """Artifacts where they lie on a disk; else a copy, which goes when this process ends."""
    on_disk = source.startswith(("file:", "/"))
    copy = None if on_disk else tempfile.mkdtemp(dir=_copies().name)
    try:
        return Path(reached(mlflow.artifacts.download_artifacts, uri)(source, dst_path=copy))
    except (MlflowException, OSError) as error:
        if storage.explained(f"{type(error).__name__} {error}"):
            raise
        raise DriftlineError(
            "files of a model version are gone",
            where=source,
            hint="put them back from a copy, or train again",
        ) from error


def run_of(client: Any, run_id: str) -> Any:
    """What MLflow says of a run; None where there is none, or none any more."""
    try:
        return client.get_run(run_id).info if run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def runs(client: Any, experiment: str) -> Iterator[Any]:
    """Every run of an experiment; those that were deleted, too, until ``mlflow gc``."""
    found = client.get_experiment_by_name(experiment)
    page = None if found is not None else ""
    while page != "":
        some = client.search_runs(
            [found.experiment_id], run_view_type=ViewType.ALL, page_token=page
        )
        yield from some
        page = some.token or ""


def metric_name(said: str) -> str:
    """One that MLflow takes: few characters, a path as it would write it itself, and short enough;
    a digest tells apart what is cut, or written otherwise.
    """
    parts = re.sub(r"[^\w\-. :/]", "_", said).split("/")
    name = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    if name == said and len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    end = "-" + hashlib.sha256(said.encode()).hexdigest()[:16]
    return name[: MAX_ENTITY_KEY_LENGTH - len(end)] + end


@dataclass(frozen=True)
class Trial:
    """A candidate as MLflow shows it: a child run."""

    family: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    error: str | None = None
    part: int | None = None
    """On one in how many of the entities a race measured it; None where on all."""


def log_trial(client: Any, experiment: str, parent: str, trial: Trial) -> None:
    """A candidate as a child of the training's run."""
    run = client.create_run(experiment, run_name=trial.family, tags={"mlflow.parentRunId": parent})
    now = int(time.time() * 1000)
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, now, 0) for name, value in trial.metrics.items()],
        params=[Param(name, str(value)) for name, value in trial.parameters.items()],
        tags=[RunTag("family", trial.family)]
        + ([RunTag("error", trial.error)] if trial.error else [])
        + ([RunTag("part", f"1/{trial.part}")] if trial.part else []),
    )
    client.set_terminated(run.info.run_id, "FAILED" if trial.error else "FINISHED")
