"""What several tests of the gate share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.problem import load_problem
from gated_orders import Shop


@pytest.fixture
def shop(open_line: Callable, repository: Path, tmp_path: Path) -> Shop:
    problem = load_problem(repository / "conf" / "churn.yaml")
    problem = problem.model_copy(update={"sources": {"orders": problem.sources["orders"]}})
    return Shop(open_line(problem, data=tmp_path, warehouse=tmp_path / "w", root=tmp_path))
