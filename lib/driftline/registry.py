"""The only module that touches MLflow: runs, models, versions, the champion alias.

A model version remembers what it came from (problem, exact Delta versions) and the SHA-256 of each
of its files. Nothing is loaded that differs from what was recorded: loading a model runs code.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

# Read at import: nothing is reported to anybody, and no git is looked for.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
import mlflow.spark
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from pyspark.ml import PipelineModel

from driftline import __version__
from driftline.digests import of_files
from driftline.errors import DriftlineError, Missing
from driftline.registry_client import (
    Client,
    Trial,
    fetched,
    log_trial,
    metric_name,
    run_of,
    runs,
)

CHAMPION = "champion"

_BATCH = 1000
"""Metrics that MLflow takes in one call."""


@dataclass(frozen=True)
class Version:
    """A registered model version and what it remembers."""

    number: int
    run_id: str
    source: str
    tags: Mapping[str, str]

    @property
    def tables(self) -> dict[str, int]:
        """The exact Delta versions it came from."""
        return dict(json.loads(self.tags["tables"]))

    @property
    def finished(self) -> bool:
        """Whether the gate has said yes or no; if not, its training was killed before."""
        return "gate" in self.tags

    @property
    def passed(self) -> bool:
        """Whether it passed the gate when it was trained."""
        return self.tags.get("gate") == "passed"

    @property
    def promoted(self) -> bool:
        """Whether it was champion, ever."""
        return "promoted" in self.tags

    @property
    def line(self) -> list[int]:
        """The champions up to this one, in order of promotion; none that was rolled back from."""
        return list(json.loads(self.tags.get("line", "[]")))


@dataclass(frozen=True)
class Training:
    """What MLflow keeps of a training: a model version, or a run that has none."""

    name: str
    run: str
    tags: Mapping[str, str]
    files: Callable[[], Path | None]
    """Gives a local copy of the model's files, if there are any."""


class Registry:
    """The models of one problem in one MLflow store."""

    def __init__(self, uri: str, name: str) -> None:
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._name = name
        self._uri = uri
        mlflow.set_tracking_uri(uri)
        self._client: Any = Client(mlflow.MlflowClient(uri, uri), uri)

    def record(
        self,
        model: PipelineModel,
        *,
        trials: Sequence[Trial],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Callable[[Path], Mapping[str, bytes]],
        through: str | None = None,
    ) -> Version:
        """Log a search with its winner and register the winner; no alias moves.

        ``files`` makes what is kept beside the model (name → content) from the folder Spark saved
        it in. The version counts only once :meth:`judge` has said how the gate ended.
        ``through`` is a folder that the executors, who write the model, and this process see.
        """
        client = self._client
        experiment = self._experiment()
        self._end_what_was_left(experiment, tags)
        parent = client.create_run(experiment, run_name="train", tags=dict(tags))
        run_id = parent.info.run_id
        for trial in trials:
            log_trial(client, experiment, run_id, trial)
        now = int(time.time() * 1000)
        client.log_batch(
            run_id, metrics=[Metric(name, value, now, 0) for name, value in metrics.items()]
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "model")
            asked = mlflow.spark.get_default_pip_requirements()
            mlflow.spark.save_model(model, str(folder), dfs_tmpdir=through, pip_requirements=asked)
            for name, content in files(folder / "sparkml").items():
                (folder / name).write_bytes(content)
            digests = of_files(folder)
            client.log_artifacts(run_id, str(folder), "model")
        client.set_terminated(run_id)
        try:
            client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        artifacts = client.get_run(run_id).info.artifact_uri
        created = client.create_model_version(
            self._name,
            source=f"{artifacts}/model",
            run_id=run_id,
            tags={**tags, "files": json.dumps(digests), "driftline": __version__},
        )
        return self.version(int(created.version))

    def record_drift(self, version: Version, metrics: Mapping[str, float], *, step: int) -> None:
        """Log statistics beside the training of a version; ``step`` is the table's version.

        What MLflow takes no name of, a column may be called: the name is made one it takes.
        """
        now = int(time.time() * 1000)
        found = [Metric(metric_name(name), value, now, step) for name, value in metrics.items()]
        for first in range(0, len(found), _BATCH):
            self._client.log_batch(version.run_id, metrics=found[first : first + _BATCH])

    def judge(self, version: Version, *, passed: bool) -> None:
        """Write down how the gate ended; a version without this was never finished."""
        verdict = "passed" if passed else "refused"
        self._client.set_model_version_tag(self._name, str(version.number), "gate", verdict)

    def promote(self, version: Version) -> None:
        """Make a version the champion; one step, so that there is always one or the other.

        One that was champion already comes back, and those that followed it are left.
        """
        line = (self.champion() or version).line  # its own, if somebody took the alias away
        before = itertools.takewhile(lambda number: number != version.number, line)
        said = json.dumps([*before, version.number])
        self._client.set_model_version_tag(self._name, str(version.number), "line", said)
        self._client.set_registered_model_alias(self._name, CHAMPION, str(version.number))
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._client.set_model_version_tag(self._name, str(version.number), "promoted", now)

    def before(self, version: Version) -> Version:
        """The newest version that is left of those that were champion before this one."""
        there = {each.number: each for each in self.versions()}
        for number in reversed(version.line[:-1]):
            if number in there:
                return there[number]
        raise Missing(
            f"no version of model {self._name} that was champion before {version.number} is left",
            where=self._uri,
            hint="train another one; or name a version that passed the gate by --to",
        )

    def champion(self) -> Version | None:
        """The champion, if there is one."""
        try:
            found = self._client.get_model_version_by_alias(self._name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return self.version(int(found.version))

    def wanted(self, number: int | None = None) -> Version:
        """The version of that number, or the champion; :class:`Missing` where there is none."""
        if number is not None:
            return self.version(number)
        found = self.champion()
        if found is None:
            raise Missing(
                f"{self._name} has no champion",
                where=self._uri,
                hint="run `driftline train`, or `driftline rollback --to` one that passed; if the "
                "gate refused all, see ops.evaluations",
            )
        return found

    def trained_on(self, key: str) -> Version | None:
        """The version that was trained under ``key``, if there is one, finished or not."""
        for version in reversed(self.versions()):
            if version.tags.get("training") == key:
                return version
        return None

    def versions(self) -> list[Version]:
        """Every version, the oldest first."""
        found = self._client.search_model_versions(f"name='{self._name}'")
        return [self.version(number) for number in sorted(int(each.version) for each in found)]

    def passed(self) -> list[Version]:
        """Every version that passed the gate, so that it is champion or may be."""
        return [version for version in self.versions() if version.passed]

    def words(self) -> Iterator[tuple[str, str]]:
        """What MLflow keeps in words of each run and version: parameters, tags, names of metrics.
        Runs that were deleted, which it keeps until ``mlflow gc``, are among them.
        """
        for each in runs(self._client, self._name):
            data = each.data
            said = itertools.chain(*data.params.items(), *data.tags.items(), data.metrics)
            yield f"MLflow run {each.info.run_id}", "\n".join(said)
        for version in self.versions():
            said = itertools.chain(*version.tags.items())
            yield f"model version {version.number}", "\n".join(said)

    def trainings(self) -> Iterator[Training]:
        """Each version, and each training whose version is not there, or not any more: its files
        are kept until ``mlflow gc``.
        """
        versions = self.versions()
        for version in versions:
            name, run = f"model version {version.number}", f"MLflow run {version.run_id}"
            yield Training(name, run, version.tags, partial(self.folder, version))
        known = {version.run_id for version in versions}
        for each in runs(self._client, self._name):
            if each.info.run_id not in known and "tables" in each.data.tags:
                run = f"MLflow run {each.info.run_id}"
                yield Training(run, run, each.data.tags, partial(self._artifacts, each.info))

    def _artifacts(self, run: Any) -> Path | None:
        """A local copy of what a training logged of its model; None where it was killed before."""
        there = any(each.path == "model" for each in self._client.list_artifacts(run.run_id))
        return fetched(f"{run.artifact_uri}/model", self._uri) if there else None

    def metrics(self, version: Version) -> dict[str, float]:
        """What was measured when a version was trained."""
        return dict(self._client.get_run(version.run_id).data.metrics)

    def version(self, number: int) -> Version:
        """One version with its tags."""
        try:
            found = self._client.get_model_version(self._name, str(number))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise Missing(
                f"model {self._name} has no version {number}",
                where=self._uri,
                hint="versions are numbered from 1, in the order in which they were trained",
            ) from None
        return Version(number, found.run_id or "", found.source or "", dict(found.tags))

    def load(self, version: Version, *, through: str | None = None) -> PipelineModel:
        """Load a version after checking that every file is the one that was recorded; for
        ``through`` see :meth:`record`.
        """
        folder = self.folder(version) / "sparkml"
        if through is None:
            return PipelineModel.load(str(folder))
        Path(through).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=through) as seen:
            return PipelineModel.load(shutil.copytree(folder, f"{seen}/sparkml"))

    def folder(self, version: Version) -> Path:
        """A local copy of a version's files, after the same check."""
        expected = json.loads(version.tags.get("files", "null"))
        if expected is None:
            raise DriftlineError(
                f"model {self._name} version {version.number} was not recorded by driftline",
                where=self._uri,
                hint="train it with `driftline train`; other models are not loaded",
            )
        made = run_of(self._client, version.run_id)
        if made is None or version.source != f"{made.artifact_uri}/model":
            raise DriftlineError(
                f"model {self._name} version {version.number} lies where its training put nothing",
                where=version.source,
                hint="nothing was fetched from there. Train again",
            )
        folder = fetched(version.source, self._uri)
        if of_files(folder) != expected:
            raise DriftlineError(
                f"model {self._name} version {version.number} is not what was recorded",
                where=version.source,
                hint="a file was changed, added or lost; it was not loaded. Train again",
            )
        return folder

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        # Beside the SQLite file, not in whatever folder the job was started from.
        beside = (
            Path(self._uri.removeprefix("sqlite:///")).with_name("mlartifacts").as_uri()
            if self._uri.startswith("sqlite:///")
            else None
        )
        return str(self._client.create_experiment(self._name, artifact_location=beside))

    def _end_what_was_left(self, experiment: str, tags: Mapping[str, str]) -> None:
        """A run of the same training that did not come as far as a version is no longer running.

        Nobody else trains this model at the same time: the job holds its lock.
        """
        if "training" not in tags:
            return
        running = "attributes.status = 'RUNNING'"
        mine = f"{running} and tags.training = '{tags['training']}'"
        for run in self._client.search_runs([experiment], mine):
            of_it = f"{running} and tags.`mlflow.parentRunId` = '{run.info.run_id}'"
            for each in (*self._client.search_runs([experiment], of_it), run):
                self._client.set_terminated(each.info.run_id, "KILLED")
