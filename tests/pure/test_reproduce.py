"""When a metric of a model that was fitted again is the one that was recorded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from driftline import __version__, digests, session
from driftline.errors import Missing
from driftline.jobs import reproduce
from driftline.jobs.line import Line
from driftline.jobs.reproduce import apart, compared
from driftline.problem import load_problem
from driftline.registry import Version


def line_of(problem: Any) -> Line:
    """As much of a line as has to do with the problem."""
    spark: Any = SimpleNamespace(version="4.2.0")
    nothing: Any = None
    return Line(problem, nothing, nothing, spark, nothing, nothing)


def version(**tags: str) -> Version:
    won = {"family": "random_forest", "parameters": "{}"}
    return Version(3, "", "", {"driftline": __version__, **won, **tags})


def test_a_version_is_made_again_by_the_problem_it_was_trained_by(
    repository: Path, tmp_path: Path
) -> None:
    """Whatever the file says today: candidates are added and horizons changed."""
    then = load_problem(repository / "conf" / "churn.yaml")
    (tmp_path / "problem.json").write_text(then.model_dump_json(by_alias=True), "utf-8")
    now = then.model_copy(update={"question": "Who else?"})
    models: Any = SimpleNamespace(folder=lambda _: tmp_path)
    line = line_of(now)
    assert reproduce._as_then(line, models, version()) == replace(line, problem=then)

    unknown = {**json.loads(then.model_dump_json(by_alias=True)), "moon": "full"}
    (tmp_path / "problem.json").write_text(json.dumps(unknown), "utf-8")
    with pytest.raises(Missing) as caught:
        reproduce._as_then(line, models, version(driftline="7.7"))
    assert caught.value.what.endswith(f"none to driftline {__version__}: unknown key (moon)")
    assert "by the driftline that trained it, 7.7" in caught.value.hint


class Strict:
    """A candidate that refuses what it took then."""

    def __init__(self, depth: int) -> None:
        raise ValueError(f"{depth} is too deep")


def test_a_class_of_then_that_is_not_here_is_missing_and_no_conf_of_today_is_wrong(
    repository: Path, tmp_path: Path
) -> None:
    """Only the winner is made again; by the others its search is known."""
    today = load_problem(repository / "conf" / "churn.yaml")
    models: Any = SimpleNamespace(folder=lambda _: tmp_path)

    def tried(won: str, **lost: Any) -> Line:
        grids = {"own": {"class": (won,)}, "lost": lost}
        train = today.train.model_copy(update={"candidates": grids})
        then = today.model_copy(update={"train": train})
        (tmp_path / "problem.json").write_text(then.model_dump_json(by_alias=True), "utf-8")
        tags = version(family="own", parameters=json.dumps({"class": won}))
        return reproduce._as_then(line_of(today), models, tags)

    svc = "sklearn.svm.SVC"
    loser: dict[str, Any] = {"class": (f"{__name__}.Strict",), "depth": (3,)}
    assert tried(svc, **loser).problem.train.candidates["lost"]["depth"] == (3,)
    for won, lost, said in [
        ("no.such.Model", loser, "cannot be made (ModuleNotFoundError: No module named 'no')"),
        ("sklearn.svm.SVR", loser, "does not do classification (sklearn.svm.SVR)"),
        (svc, {"class": ("no.such.Model",)}, "again: No module named 'no'"),
        (svc, {"class": (f"{__name__}.Other",)}, "has no attribute 'Other'"),
    ]:
        with pytest.raises(Missing) as caught:
            tried(won, **lost)
        assert caught.value.what.startswith("version 3 cannot be fitted here again: ")
        assert caught.value.what.endswith(said)
        assert "packages of then" in caught.value.hint


def test_what_is_another_than_then_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "linear_algebra", lambda _: "Java's own")
    line = line_of(None)
    same = {"code": digests.of_code(), "spark": "4.2.0", "linear_algebra": "Java's own"}
    said = reproduce._others(line, version(**same))
    assert said == "driftline, Spark and linear algebra are those of then"
    said = reproduce._others(line, version(**same | {"spark": "4.1.0", "code": "0" * 16}))
    assert said == f"code was {'0' * 16}, here {digests.of_code()}; spark was 4.1.0, here 4.2.0"
    del same["linear_algebra"]
    assert "linear_algebra was not noted" in reproduce._others(line, version(**same))


def test_sums_in_another_order_are_the_same_metric_in_whatever_unit() -> None:
    """1e-13 of a root mean squared error in cents is more than 1e-9 cents."""
    assert apart(1e6, 1e6 * (1 + 1e-13)) < reproduce._TOLERANCE < 1e6 * 1e-13
    assert apart(1e6, 1e6 * (1 + 1e-8)) > reproduce._TOLERANCE
    assert apart(0.75, 0.75 + 2e-9) == pytest.approx(2e-9)  # what is below 1 is its own unit
    assert apart(0.0, -3.0) == 3.0


def test_no_number_is_no_number_again() -> None:
    assert apart(math.nan, math.nan) == 0.0
    assert apart(math.nan, 0.5) == apart(0.5, math.nan) == math.inf
    assert apart(math.inf, math.inf) == 0.0
    assert apart(1.7976931348623157e308, math.inf) == 0.0  # as an SQL store of MLflow has it
    assert apart(-1.7976931348623157e308, math.inf) == math.inf
    assert apart(math.inf, 1.0) == apart(1.0, math.inf) == apart(math.inf, -math.inf) == math.inf


def test_what_a_newer_driftline_measures_besides_is_compared_with_nothing() -> None:
    label, score = np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.9])
    recorded = {"test_roc_auc": 1.0, "test_accuracy": 0.5, "validation_f1": 0.8, "test_gone": 1.0}
    found = compared(recorded, label, score, task="classification")
    assert found == {"roc_auc": 0.0, "accuracy": pytest.approx(2 / 3 - 0.5)}
    with pytest.raises(Missing, match="without a metric of its test rows"):
        compared({"validation_f1": 0.8}, label, score, task="classification")
