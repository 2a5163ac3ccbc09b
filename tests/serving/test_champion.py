"""The champion at a real tracking server, asked without MLflow."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator

import pytest

from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.serving import champion
from driftline.serving.champion import Champion
from tracking import served


@pytest.fixture(scope="module")
def tracking(tmp_path_factory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("tracking")) as address:
        yield address


@pytest.mark.slow
def test_a_tracking_server_tells_the_champion_and_hands_out_its_file(tracking, tmp_path) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking, tracking)
    assert champion.find(tracking, "churn") is None
    client.create_registered_model("churn")
    run = client.create_run(client.create_experiment("churn"))
    content = bytes(range(256))
    file = tmp_path / champion.FILE
    file.write_bytes(content)
    client.log_artifact(run.info.run_id, str(file), "model")
    files = json.dumps({champion.FILE: hashlib.sha256(content).hexdigest()})
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version("churn", source, run.info.run_id, tags={"files": files})
    assert champion.find(tracking, "churn") is None
    client.set_registered_model_alias("churn", champion.ALIAS, version.version)
    found = champion.find(tracking, "churn")
    assert (found.name, found.number, found.source) == ("churn", 1, source)
    assert champion.fetch(tracking, found) == content
    other = Champion("churn", 1, source, "0" * 64)
    with pytest.raises(DriftlineError, match="is not what was recorded"):
        champion.fetch(tracking, other)
    elsewhere = Champion("churn", 1, source + "s", "0" * 64)
    with pytest.raises(Missing, match=r"there is no portable\.onnx"):
        champion.fetch(tracking, elsewhere)


def test_what_cannot_be_asked_is_said(tmp_path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(TryAgain, match="does not answer"):
            champion.find(nobody, "churn")
    with pytest.raises(Missing, match="there is no model registry"):
        champion.find(f"sqlite:///{tmp_path}/none.db", "churn")
    (tmp_path / "odd.db").write_bytes(b"no database at all, but long enough to be looked into")
    with pytest.raises(TryAgain, match="cannot be read"):
        champion.find(f"sqlite:///{tmp_path}/odd.db", "churn")
    with pytest.raises(Missing, match=r"has no portable\.onnx"):
        champion.fetch("", Champion("churn", 1, str(tmp_path), None))
    with pytest.raises(Missing, match="s3:// cannot be read without MLflow"):
        champion.fetch("", Champion("churn", 1, "s3://models/1", "0" * 64))
