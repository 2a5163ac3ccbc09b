"""When a metric of a model that was fitted again is the one that was recorded."""

from __future__ import annotations

import math

import pytest

from driftline.jobs import reproduce
from driftline.jobs.reproduce import apart


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
    assert apart(math.inf, 1.0) == apart(1.0, math.inf) == apart(math.inf, -math.inf) == math.inf
