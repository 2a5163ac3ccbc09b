"""What erasing a person says of the models that were made of theirs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import Row

from driftline import erasure, pins
from driftline.errors import ConfError, DriftlineError, TryAgain
from driftline.jobs import erase, remaining, requests
from driftline.registry import Training


def training(number: int, files: Callable[[], Path | None]) -> Training:
    return Training(f"model version {number}", f"MLflow run f{number}", {}, files)


def test_a_training_that_keeps_rows_of_theirs_is_left(monkeypatch) -> None:
    """Its version may be deleted: the run, and with it the rows, is there until `mlflow gc`."""
    monkeypatch.setattr(pins, "whole", lambda tables, name, version: version > 3)

    def tags(keeps: bool, features: int) -> dict[str, str]:
        made = json.dumps({"gold.features": features, "silver.other": 1})
        return {"tables": made, "keeps_rows": str(keeps)}

    known = {"model version 1": tags(True, 3), "model version 2": tags(True, 4)}
    known |= {"model version 3": tags(False, 3), "MLflow run f00": tags(True, 2)}
    models = SimpleNamespace(
        trainings=lambda: [Training(name, "", tags, lambda: None) for name, tags in known.items()]
    )
    found = remaining.keeping(SimpleNamespace(tables=None), models, ["gold.features"])
    kept = "which keeps rows that it was fitted on"
    assert found == [f"model version 1, {kept}", f"MLflow run f00, {kept}"]


def test_a_version_that_cannot_be_looked_into_is_left_and_the_others_are_looked_into() -> None:
    def folder(number: int) -> Path:
        if number == 2:
            raise DriftlineError("files of a model version are gone")
        if number == 4:
            raise TryAgain("the model registry cannot be reached")
        return Path(str(number))

    known = [training(number, partial(folder, number)) for number in (1, 2, 3)]
    models = SimpleNamespace(trainings=lambda: known)
    paths, left = remaining.folders(models)
    assert {each.name: place for each, place in paths} == {
        "model version 1": Path("1"),
        "model version 3": Path("3"),
    }
    assert left == ["model version 2, whose files cannot be looked into"]
    known.append(training(4, partial(folder, 4)))
    with pytest.raises(TryAgain):
        remaining.folders(models)


def test_a_model_that_knows_a_word_of_theirs_is_told(tmp_path) -> None:
    """As a vocabulary has it, in Spark's JSON or in ONNX's bytes; another's longer word is none."""
    for number, content in enumerate([b'["DE", "Malta"]', b"\x00Malta\x12", b"Maltanien"], 1):
        (tmp_path / str(number) / "stages").mkdir(parents=True)
        (tmp_path / str(number) / "stages" / "part-0").write_bytes(content)
    known = [training(number, partial(Path, tmp_path, str(number))) for number in (1, 3)]
    known.append(Training("MLflow run f2", "MLflow run f2", {}, lambda: tmp_path / "2"))
    known.append(Training("MLflow run f4", "MLflow run f4", {}, lambda: None))  # killed before
    models = SimpleNamespace(trainings=lambda: known)
    told = [f"{what}{remaining.KNOWS}" for what in ("model version 1", "MLflow run f1")]
    told.append(f"MLflow run f2{remaining.KNOWS}")
    assert remaining.knowing(models, {"Malta"}) == told
    assert remaining.knowing(models, set()) == []


def test_a_model_that_knew_a_word_is_told_until_it_is_gone(monkeypatch) -> None:
    """Once rows are gone nobody knows the word: what earlier tries wrote down is what is known."""
    monkeypatch.setattr(remaining, "_left", lambda *_: ["ops.drift"])
    monkeypatch.setattr(remaining, "keeping", lambda *_: [])
    one, two, run = (
        f"{what}{remaining.KNOWS}"
        for what in ("model version 1", "model version 2", "MLflow run f2")
    )
    tries = [SimpleNamespace(left=left) for left in ([one], ["x", two, run], [])]
    there = [training(2, lambda: Path("nowhere"))]
    models, line = SimpleNamespace(trainings=lambda: there), SimpleNamespace()
    assert remaining.found(line, models, [], [], tries) == ["ops.drift", two]
    # The version was deleted, as one is told to; its run keeps the files until it is, too.
    there[:] = [Training("MLflow run f2", "MLflow run f2", {}, lambda: Path("nowhere"))]
    assert remaining.found(line, models, [], [], tries) == ["ops.drift", run]
    assert remaining.found(line, SimpleNamespace(trainings=list), [], [], tries) == ["ops.drift"]
    # Another's request, whose tries these are not, has nothing of a model's that stays.
    assert remaining.found(line, models, [], [], []) == ["ops.drift"]


@pytest.fixture
def books(tmp_path):
    """A warehouse with the certificates of the test, and nothing else."""
    rows: list[SimpleNamespace] = []
    read = SimpleNamespace(collect=lambda: rows)
    tables = SimpleNamespace(root=tmp_path, exists=lambda name: bool(rows), read=lambda name: read)
    line = SimpleNamespace(tables=tables)

    def certified(request: str, status: str) -> None:
        rows.append(SimpleNamespace(request=request, status=status, at=len(rows), left=[]))

    def claim(request: str, *persons: str, columns: Sequence[str] = ()) -> list[str]:
        return requests.claim(line, request, persons, columns, requests.unfinished(line))

    return line, certified, claim


def test_a_request_is_of_the_same_persons_until_it_is_complete(books) -> None:
    line, certified, claim = books
    claim("R-17", "anna", "ben")
    claim("R-17", "carl")  # killed before anything was done of it
    claim("R-17", "anna", "ben")
    for status in ("begun", "left", "begun"):
        certified("R-17", status)
        claim("R-17", "ben", "anna", "ben")
        for others in (["carl"], ["anna"], ["anna", "ben", "carl"], ["annaben"]):
            with pytest.raises(ConfError, match="was begun, and is not complete, for others"):
                claim("R-17", *others)
        claim("R-18", "carl")
        claim("R-17", "anna", "ben")
    certified("R-17", "complete")
    requests.release(line, "R-17")
    claim("R-17", "carl")


def test_columns_that_rows_which_are_gone_told_of_are_kept(books) -> None:
    _, certified, claim = books
    assert claim("R-17", "anna", columns=["time", "amount"]) == ["amount", "time"]
    certified("R-17", "begun")  # and killed, after its rows were gone
    assert claim("R-17", "anna") == ["amount", "time"]
    assert claim("R-17", "anna", columns=["born"]) == ["amount", "born", "time"]
    assert claim("R-18", "anna") == []


def said(status: str, tables: list[requests.Held], **more: object) -> Row:
    """A row of ops.erasures, as the tables have it."""
    empty = {"request": "R", "entities": 1, "absent": 0, "deliveries": [], "pulled": None}
    empty |= {"models": [], "left": [], "run_id": "r", "at": 0}
    return Row(
        **empty | {"status": status, "tables": [Row(**each._asdict()) for each in tables]} | more
    )


def test_a_certificate_is_of_all_tries() -> None:
    """Killed while rows went, killed while files went, left something, and then complete."""
    held = requests.Held
    tries = [
        said(
            "begun", [held("a", 4, 81, 0), held("b", 7, 5, 0)], deliveries=["a.csv"], pulled=["p"]
        ),
        # Killed: 41 and 5 rows were gone.
        said("begun", [held("a", 5, 40, 0), held("b", 8, 0, 0), held("c", 0, 0, 0)], absent=1),
        said("begun", [held("a", 5, 40, 9), held("b", 8, 0, 30), held("c", 0, 0, 1)], absent=1),
        # Killed: 28 files of b were gone, and to find nothing more it was written once again.
        said("begun", [held("a", 6, 0, 0), held("b", 8, 0, 0)], absent=1),
        said("begun", [held("a", 6, 0, 9), held("b", 8, 0, 3)], absent=1),
        said("left", [held("a", 6, 81, 9), held("b", 8, 5, 30)], absent=0, models=[2, 1]),
        # They came again, and were in another file, too.
        said("begun", [held("a", 7, 3, 0), held("d", 1, 0, 0)], absent=0, deliveries=["b.csv"]),
        said("begun", [held("a", 7, 3, 2), held("d", 1, 0, 0)], absent=0, deliveries=["b.csv"]),
    ]
    assert requests.found_by_all(tries) == {
        "absent": 0,
        "deliveries": ["a.csv", "b.csv"],
        "pulled": ["p"],
        "models": [1, 2],
        "tables": [
            held("a", 4, 84, 11),
            held("b", 7, 5, 30),
            held("c", 0, 0, 1),
            held("d", 1, 0, 0),
        ],
    }


def test_a_certificate_after_something_was_left_tells_what_was_erased_before() -> None:
    """The only one that says complete; its last try found nobody in any row."""
    held = requests.Held("bronze.orders", 3, 81, 0)
    first = said("begun", [held], deliveries=["shop/a.csv"])
    left = said("left", [held._replace(version=4)], deliveries=["shop/a.csv"], models=[1])
    last = said("begun", [held._replace(version=4, rows=0)], absent=1)
    assert requests.found_by_all([first, left, last]) == {
        "absent": 0,
        "deliveries": ["shop/a.csv"],
        "pulled": [],
        "models": [1],
        "tables": [held],
    }


def test_nobody_is_told_by_what_is_kept_of_a_request(books, tmp_path) -> None:
    line, certified, claim = books
    claim("R-17", "anna")
    certified("R-17", "begun")
    (kept,) = (tmp_path / "_erasing").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    text = kept.read_text()
    assert "anna" not in text and hashlib.sha256(b"anna").hexdigest() not in text
    certified("R-17", "complete")  # and killed before it was forgotten
    claim("R-18", "anna")
    (other,) = (tmp_path / "_erasing").iterdir()
    assert other != kept and other.read_text() != text
    requests.release(line, "R-18")
    assert not list((tmp_path / "_erasing").iterdir())
    certified("R-19", "begun")
    with pytest.raises(ConfError, match="nobody knows any more for whom"):
        claim("R-19", "anna")


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
