"""The two networks as examples of a class: their words as a graph, their seed, their weights."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from driftline.portable import numbers
from driftline.portable.converted import convert

pytestmark = pytest.mark.slow  # where the extras are installed, importing them alone is

NETS = [("pytorch", "torch", 1e-12), ("tensorflow", "tensorflow", 1e-5)]
"""Each module, what it needs, and how near its graph is: it counts in double, or in single."""


def drawn() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(1200, 4))
    return x, x[:, 0] * x[:, 1] + x[:, 2]


@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
@pytest.mark.parametrize(("module", "needs", "near"), NETS, ids=[each[0] for each in NETS])
def test_a_network_is_learnt_and_says_the_same_as_a_graph(module, needs, near, kind) -> None:
    pytest.importorskip(needs, reason=f"{needs} is not installed: driftline[{module}]")
    build = getattr(importlib.import_module(f"driftline.nets.{module}"), kind)
    x, amount = drawn()
    classifies = kind == "Classifier"
    y = (amount > 0).astype(np.int64) if classifies else 1000 + 100 * amount

    def fitted(seed: int, weight: np.ndarray | None = None):
        return build(hidden=16, epochs=20, random_state=seed).fit(x, y, sample_weight=weight)

    def said(model, rows: np.ndarray) -> np.ndarray:
        return model.predict_proba(rows)[:, 1] if classifies else model.predict(rows)

    model = fitted(3)
    expected = said(model, x)
    assert np.corrcoef(expected, y)[0, 1] > 0.7
    assert abs(expected.mean() - y.mean()) < 0.1 * max(1.0, y.std())
    rows = np.concatenate(
        [x, np.random.default_rng(2).normal(size=(4000, 4)) * 3, np.zeros((1, 4))]
    )
    own, there = said(model, rows), numbers.totals(convert(model, x, classifies))(rows)
    assert np.abs(own - there).max() < near * max(1.0, np.abs(own).max())
    assert (said(fitted(3), x) == expected).all()
    assert (said(fitted(4), x) != expected).any()
    heavy = said(fitted(3, np.where(amount > 0, 5.0, 0.2)), x)
    assert heavy.mean() > expected.mean()
