"""What erasing a person says of the models that were made of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from driftline import erasure, pins
from driftline.errors import DriftlineError, TryAgain
from driftline.jobs import erase, remaining
from driftline.registry import Version


def test_a_training_that_keeps_rows_of_theirs_is_left(monkeypatch) -> None:
    """Its version may be deleted: the run, and with it the rows, is there until `mlflow gc`."""
    monkeypatch.setattr(pins, "whole", lambda tables, name, version: version > 3)

    def tags(keeps: bool, features: int) -> dict[str, str]:
        made = json.dumps({"gold.features": features, "silver.other": 1})
        return {"tables": made, "keeps_rows": str(keeps)}

    known = {"model version 1": tags(True, 3), "model version 2": tags(True, 4)}
    known |= {"model version 3": tags(False, 3), "MLflow run f00": tags(True, 2)}
    models = SimpleNamespace(trainings=known.items)
    found = remaining.keeping(SimpleNamespace(tables=None), models, ["gold.features"])
    kept = "which keeps rows that it was fitted on"
    assert found == [f"model version 1, {kept}", f"MLflow run f00, {kept}"]


def test_a_version_that_cannot_be_looked_into_is_left_and_the_others_are_looked_into() -> None:
    def folder(version: Version) -> Path:
        if version.number == 2:
            raise DriftlineError("files of a model version are gone")
        if version.number == 4:
            raise TryAgain("the model registry cannot be reached")
        return Path(str(version.number))

    known = [Version(number, "", "", {}) for number in (1, 2, 3)]
    models = SimpleNamespace(versions=lambda: known, folder=folder)
    paths, left = remaining.folders(models)
    assert paths == {"model version 1": Path("1"), "model version 3": Path("3")}
    assert left == ["model version 2, whose files cannot be looked into"]
    known.append(Version(4, "", "", {}))
    with pytest.raises(TryAgain):
        remaining.folders(models)


def test_a_model_that_knows_a_word_of_theirs_is_told(tmp_path) -> None:
    """As a vocabulary has it, in Spark's JSON or in ONNX's bytes; another's longer word is none."""
    for number, content in enumerate([b'["DE", "Malta"]', b"\x00Malta\x12", b"Maltanien"], 1):
        (tmp_path / str(number) / "stages").mkdir(parents=True)
        (tmp_path / str(number) / "stages" / "part-0").write_bytes(content)
    known = [Version(number, "", "", {}) for number in (1, 2, 3)]
    models = SimpleNamespace(
        versions=lambda: known, folder=lambda version: tmp_path / str(version.number)
    )
    told = [f"model version {number}{remaining.KNOWS}" for number in (1, 2)]
    assert remaining.knowing(models, {"Malta"}) == told
    assert remaining.knowing(models, set()) == []


@pytest.mark.parametrize(
    ("set_", "told"), [({"spark.eventLog.enabled": "true"}, True), ({}, False)]
)
def test_that_spark_logs_the_names_is_said(set_: dict[str, str], told: bool) -> None:
    line = SimpleNamespace(spark=SimpleNamespace(conf=set_))
    assert bool(erase._logged(line)) == told


def test_a_name_is_found_as_json_writes_it_and_alone_only() -> None:
    found = re.compile(erasure.pattern(["jörg", 'O"Brien', "c1"]))
    for text in ('{"a": "j\\u00f6rg"}', '{"a": "jörg"}', '{"a": "O\\"Brien"}', "x c1 y"):
        assert found.search(text), text
    for before in "\n\t\r\b\f\x0b":  # which JSON writes by letters
        assert found.search(json.dumps({"a": f"x{before}c1"})), before
    assert re.search(erasure.pattern(["anna@x.org"]), "GET /u?m=anna%40x.org HTTP/1.1")
    for text in ("c12", "xc1", "jörgen", "brien"):
        assert not found.search(text), text
