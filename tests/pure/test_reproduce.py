"""When a metric of a model that was fitted again is the one that was recorded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from driftline import __version__, digests, session
from driftline.errors import Missing
from driftline.jobs import reproduce
from driftline.jobs.line import Line
from driftline.jobs.reproduce import apart
from driftline.problem import load_problem
from driftline.registry import Version


def line_of(problem: Any) -> Line:
    """As much of a line as has to do with the problem."""
    spark: Any = SimpleNamespace(version="4.2.0")
    nothing: Any = None
    return Line(problem, nothing, nothing, spark, nothing, nothing)


def version(**tags: str) -> Version:
    return Version(3, "", "", {"driftline": __version__, **tags})


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
    assert "unknown key" in caught.value.what
    assert "by the driftline that trained it, 7.7" in caught.value.hint


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
