"""The flagship's conf, changed and written to be refused, and what the error says."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.errors import ConfError
from driftline.problem import load_problem

PROJECT = Path(__file__).parents[2]
CHURN = (PROJECT / "conf" / "churn.yaml").read_text(encoding="utf-8")
ORDERS = "{name: orders, source: orders, operation: count, windows: [30d, 90d, 180d]}"
SPLIT = "{by: time, test: 1, validation: 1}"
ORDER_COLUMNS = "order_id, customer_id, time, amount, items, category, channel"
CUSTOMER_COLUMNS = "customer_id, signup_date, age, gender, country, updated_at"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "conf" / "x.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def said(error: ConfError) -> tuple[str, str, str, str, str]:
    return error.what, error.key, error.found, error.allowed, error.hint


def refusal(tmp_path: Path, change: tuple[str, str]) -> ConfError:
    """What churn.yaml is refused with once the first text has been replaced by the second."""
    old, new = change
    assert old in CHURN
    path = written(tmp_path, CHURN.replace(old, new, 1))
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert caught.value.file == str(path)
    assert caught.value.exit_code == 2
    return caught.value
