"""The registry: what was recorded is what is loaded, or nothing is."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
from pyspark.ml import PipelineModel

from driftline import erasure
from driftline.errors import DriftlineError, Missing
from driftline.prepare import Numeric, Preparation
from driftline.registry import Registry, Version
from driftline.registry_client import Trial
from driftline.serving import champion


@pytest.fixture(scope="module")
def model() -> PipelineModel:
    return Preparation((Numeric("x", 0.0, None, None, 1.0, 2.0),), ()).transformer()


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/new/folder/mlflow.db"


@pytest.fixture
def registry(spark, uri, request) -> Registry:
    """The models of a problem of this test's own, in one store for all."""
    return Registry(uri, request.node.name)


def record(registry: Registry, model: PipelineModel, **tags: str) -> Version:
    return registry.record(
        model,
        trials=[
            Trial("forest", {"numTrees": 3}, {"roc_auc": 0.7}),
            Trial("forest", {"numTrees": 9}, {"roc_auc": 0.8}),
        ],
        metrics={"test_roc_auc": 0.75},
        tags={"tables": json.dumps({"gold.features": 4}), **tags},
        files=lambda saved: {
            "problem.json": '{"name": "ü"}'.encode(),
            "portable.onnx": b"made of " + "".join(sorted(os.listdir(saved))).encode(),
        },
    )


def folder(version: Version) -> Path:
    return Path(urlparse(version.source).path)


def test_all_that_mlflow_keeps_in_words_is_told(registry, model, monkeypatch) -> None:
    version = record(registry, model, asked_by="Ada")
    client = registry._client
    two = functools.partial(client.search_runs, max_results=2)  # a page
    monkeypatch.setattr(client, "search_runs", two, raising=False)
    experiment = client.get_experiment_by_name(registry._name).experiment_id
    for number in range(3):
        gone = client.create_run(experiment, tags={"told": f"Grace {number}"}).info.run_id
        client.delete_run(gone)
    client.set_model_version_tag(registry._name, "1", "note", "she:\nEdith")
    told = dict(registry.words())
    assert re.search(erasure.pattern(["Edith"]), told["model version 1"])
    assert not list(Registry(registry._uri, "none of that name").words())
    assert len(told) == 1 + 2 + 3 + 1  # the search, its trials, what was deleted, the version
    for word, place in (("Ada", f"MLflow run {version.run_id}"), ("Edith", "model version 1")):
        assert word in told[place]
    assert sum("Grace" in each for each in told.values()) == 3
    assert sum("numTrees" in each for each in told.values()) == 2
    assert sum("test_roc_auc" in each for each in told.values()) == 1


def test_what_was_recorded_comes_back(spark, registry, model) -> None:
    version = record(registry, model, training="key")
    assert (version.number, version.tables, version.passed) == (1, {"gold.features": 4}, False)
    assert registry.version(1) == version
    loaded = registry.load(version)
    rows = spark.createDataFrame([(5.0,)], "x double")
    assert [list(row.features) for row in loaded.transform(rows).collect()] == [[2.0]]
    assert json.loads((folder(version) / "problem.json").read_text("utf-8")) == {"name": "ü"}
    assert record(registry, model).number == 2


def test_drift_of_a_column_that_may_be_called_anything_is_logged(registry, model) -> None:
    version = record(registry, model)
    long = "é" * 300
    names = ["x", "x:length", "", "/", "a//b", ".", "..", "b/../a", "a/", "a\n", long, f"{long}a"]
    registry.record_drift(
        version, {f"drift/t/{name}/ks": place for place, name in enumerate(names)}, step=3
    )
    told = registry.metrics(version)
    assert {"drift/t/x/ks": 0, "drift/t/x:length/ks": 1}.items() <= told.items()
    assert set(range(len(names))) <= set(told.values())
    cut = {value: name for name, value in told.items() if value in (10, 11)}
    assert len(cut) == 2  # what is cut is told apart still
    assert all(len(name) == 250 and name.startswith("drift/t/ééé") for name in cut.values())


def test_trials_are_child_runs(registry, model) -> None:
    version = record(registry, model)
    client = registry._client
    parent = client.get_run(version.run_id)
    assert parent.data.metrics == {"test_roc_auc": 0.75}
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'"
    )
    assert sorted((run.data.params["numTrees"], run.data.metrics["roc_auc"]) for run in runs) == [
        ("3", 0.7),
        ("9", 0.8),
    ]
    assert {run.info.status for run in [parent, *runs]} == {"FINISHED"}


def test_a_champion_is_made_by_promotion_alone(registry, model) -> None:
    assert registry.champion() is None
    with pytest.raises(Missing, match="has no champion"):
        registry.wanted()
    first = record(registry, model)
    assert registry.champion() is None
    registry.judge(first, passed=True)
    assert registry.champion() is None
    registry.promote(first)
    assert registry.champion().number == 1
    assert registry.champion().passed
    second = record(registry, model)
    registry.judge(second, passed=False)
    assert registry.champion().number == 1
    assert not registry.version(2).passed
    registry.promote(second)
    assert registry.champion().number == registry.wanted().number == 2
    assert registry.wanted(1).number == 1


def test_the_way_back_is_the_order_of_promotion(tmp_path) -> None:
    """A champion that was rolled back from is not come back to, nor one that was deleted."""
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "churn")
    registry._client.create_registered_model("churn")
    for _ in range(4):
        registry._client.create_model_version("churn", source=tmp_path.as_uri())
    one, two, three, four = registry.versions()
    registry.promote(one)
    with pytest.raises(Missing, match="before 1 is left"):
        registry.before(registry.champion())

    def back() -> int:
        registry.promote(registry.before(registry.champion()))
        return registry.champion().number

    for version in (two, three):
        registry.promote(version)
    assert back() == 2
    registry.promote(four)
    assert (back(), back()) == (2, 1)
    for version in (three, two, four):  # whatever their numbers
        registry.promote(version)
    registry.promote(four)  # killed before it was all written down, and done again
    assert back() == 2
    registry.promote(four)
    registry._client.delete_model_version("churn", "2")
    assert back() == 3
    registry._client.delete_registered_model_alias("churn", "champion")
    registry.promote(registry.version(3))  # comes back, and what was before it is still known
    assert registry.champion().line == [1, 3]
    registry.promote(one)  # as by --to: what came after it is left
    with pytest.raises(Missing, match="before 1 is left"):
        registry.before(registry.champion())


def test_a_version_counts_as_trained_once_it_was_judged(registry, model) -> None:
    assert registry.trained_on("k") is None
    version = record(registry, model, training="k")
    assert not registry.trained_on("k").finished  # killed before the verdict: go on from here
    registry.judge(version, passed=False)
    assert registry.trained_on("k").finished
    assert registry.trained_on("k").number == version.number
    assert registry.trained_on("other") is None


def changed_byte(path: Path) -> None:
    target = max(path.rglob("*"), key=lambda each: each.stat().st_size if each.is_file() else -1)
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)


def added_file(path: Path) -> None:
    (path / "sparkml" / "stages" / "more").write_bytes(b"")


def lost_file(path: Path) -> None:
    next(each for each in sorted(path.rglob("*.crc")) if each.is_file()).unlink()


def moved_file(path: Path) -> None:
    (path / "problem.json").rename(path / "other.json")


def no_files(path: Path) -> None:
    shutil.rmtree(path)


def swapped_files(path: Path) -> None:
    """The same files, the same digests, at each other's places."""
    one, other = path / "problem.json", path / "requirements.txt"
    one_bytes, other_bytes = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_bytes)
    other.write_bytes(one_bytes)


def test_a_server_is_told_what_mlflow_says(registry, model, uri) -> None:
    """The questions of ``serving.champion``, asked of the store without MLflow."""
    name = registry._name
    assert champion.find(uri, name) is None
    versions = [record(registry, model) for _ in range(3)]
    assert champion.find(uri, name) is None
    for version in (versions[0], versions[2], versions[1]):
        registry.promote(version)
        found = champion.find(uri, name)
        assert (found.number, found.source) == (version.number, version.source)
        assert found.number == registry.champion().number
        expected = b"made of metadatastages"
        assert champion.fetch(uri, found) == expected
        assert (registry.folder(version) / "portable.onnx").read_bytes() == expected
    (folder(versions[1]) / "portable.onnx").write_bytes(b"another")
    with pytest.raises(DriftlineError, match="is not what was recorded"):
        champion.fetch(uri, found)
    (folder(versions[1]) / "portable.onnx").unlink()
    with pytest.raises(Missing, match=r"no portable\.onnx"):
        champion.fetch(uri, found)


@pytest.mark.parametrize(
    "tamper", [changed_byte, added_file, lost_file, moved_file, swapped_files, no_files]
)
def test_nothing_that_was_tampered_with_is_loaded(registry, model, monkeypatch, tamper) -> None:
    version = record(registry, model)
    tamper(folder(version))
    loaded = []
    monkeypatch.setattr("driftline.registry.PipelineModel.load", loaded.append)
    with pytest.raises(DriftlineError, match=r"is not what was recorded|are gone") as caught:
        registry.load(version)
    assert caught.value.exit_code == 1
    assert loaded == []


def test_a_model_of_somebody_else_is_not_loaded(registry, model, monkeypatch) -> None:
    version = record(registry, model)
    source = shutil.copytree(folder(version), folder(version).with_name("foreign"))
    client = registry._client
    created = client.create_model_version(registry._name, source=source.as_uri())
    loaded = []
    monkeypatch.setattr("driftline.registry.PipelineModel.load", loaded.append)
    with pytest.raises(DriftlineError, match="version 2 was not recorded by driftline"):
        registry.load(registry.version(int(created.version)))
    # With the tags, and even the run, of one that is known: nothing is fetched from elsewhere.
    for run in (None, version.run_id):
        client.create_model_version(
            registry._name, source=source.as_uri(), run_id=run, tags=dict(version.tags)
        )
    fetched = []
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fetched.append)
    for number in (3, 4):
        with pytest.raises(DriftlineError, match="lies where its training put nothing"):
            registry.load(registry.version(number))
    assert (loaded, fetched) == ([], [])


def test_what_is_lost_is_told_of_the_version_alone(registry, model) -> None:
    """A run that `mlflow gc` has removed, and files that somebody has."""
    first, second = record(registry, model), record(registry, model)
    assert [each.name for each in registry.trainings()] == ["model version 1", "model version 2"]
    assert [each.run for each in registry.trainings()] == [
        f"MLflow run {each.run_id}" for each in (first, second)
    ]
    shutil.rmtree(folder(first))
    with pytest.raises(DriftlineError, match="are gone"):
        registry.folder(first)
    gone = replace(second, run_id="0" * 32)
    with pytest.raises(DriftlineError, match="lies where its training put nothing"):
        registry.folder(gone)
    assert registry.folder(second)
    registry._client.delete_model_version(registry._name, "2")
    registry._client.delete_run(second.run_id)
    told = [("model version 1", 4), (f"MLflow run {second.run_id}", 4)]
    found = list(registry.trainings())
    assert [(each.name, json.loads(each.tags["tables"])["gold.features"]) for each in found] == told
    place = found[1].files()
    assert (place / "MLmodel").is_file()
    shutil.rmtree(place)  # or killed before anything was logged
    assert found[1].files() is None


FETCHED = """
import sys
from pathlib import Path
from driftline import registry_client as client

def download(source, dst_path):
    print(dst_path)
    Path(dst_path, "model").write_text("x")
    return dst_path

client.mlflow.artifacts.download_artifacts = download
assert (client.fetched("mlflow-artifacts:/1/model", "http://127.0.0.1:1") / "model").exists()
"""


@pytest.mark.slow
def test_a_copy_from_a_server_goes_when_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FETCHED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() and not Path(done.stdout.strip()).exists()


def test_artifacts_are_beside_the_store_not_in_the_working_directory(registry, model, uri) -> None:
    version = record(registry, model)
    assert folder(version).is_relative_to(Path(uri.removeprefix("sqlite:///")).parent)


def test_drift_is_logged_beside_the_training(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "churn")
    run = registry._client.create_run(registry._experiment()).info.run_id
    version = Version(1, run, "", {})
    for step, value in ((3, 0.1), (4, 0.3)):
        metrics = {"drift/silver.orders/at:hour/psi": value}
        registry.record_drift(version, metrics, step=step)
    history = registry._client.get_metric_history(run, "drift/silver.orders/at:hour/psi")
    assert [(each.step, each.value) for each in history] == [(3, 0.1), (4, 0.3)]
