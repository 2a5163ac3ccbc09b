"""Every place of a preparation in the portable file: one model a place, that says only it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from driftline.portable import graph
from driftline.portable.saved import Linear
from driftline.prepare import Categorical, Numeric, Preparation
from driftline.serving.facts import MISSING, Column, Facts

PREPARATION = Preparation(
    (
        Numeric("x", 5.0, None, None, 1.0, 2.0, flag=True),
        Numeric("y", 0.0, 1.0, 3.0, 0.0, 1.0),
        Numeric("z", 0.0, 0.0, 9.0, 0.0, 1.0, flag=True),
    ),
    (
        Categorical("kind", ("a", "b"), other=True),
        Categorical("town", ("p", "q"), values=(0.25, 0.75), default=0.5),
        Categorical("rest", (), other=True),
        Categorical("none", ()),
        Categorical("blank", (), values=(), default=0.125),
    ),
)
NAMES = ["x", "y", "z", "x missing", "z missing", "kind=a", "kind=b", "kind other"]
NAMES += ["mean label by town", "rest other", "mean label by blank"]
ROWS = [
    # x, y, z, the words; then the vector they are
    ((3.0, 2.0, 4.0), ("a", "p", "r", "n", "t"), (1, 2, 4, 0, 0, 1, 0, 0, 0.25, 1, 0.125)),
    (
        (np.nan, np.nan, np.nan),
        (MISSING, MISSING, MISSING, MISSING, MISSING),
        (2, 1, 0, 1, 1, 0, 0, 0, 0.5, 0, 0.125),
    ),
    (
        (np.inf, np.inf, -np.inf),
        ("never seen", "never seen", "", "", ""),
        (2, 3, 0, 1, 0, 0, 0, 1, 0.5, 1, 0.125),
    ),
    ((1.0, -7.0, 99.0), ("b", "q", "a", "a", "a"), (0, 1, 9, 0, 0, 0, 1, 0, 0.75, 1, 0.125)),
]


def test_what_each_place_is() -> None:
    assert PREPARATION.names == NAMES


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_each_place_is_what_the_projection_makes_it(place: int) -> None:
    columns = [Column(each.column, "double") for each in PREPARATION.numeric]
    columns += [Column(each.column, "string") for each in PREPARATION.categorical]
    facts = Facts("p", "?", "regression", "0" * 64, "who", "string", tuple(columns))
    model = Linear(np.eye(len(NAMES))[place], 0.0, logistic=False)
    session = onnxruntime.InferenceSession(graph.write(PREPARATION, model, facts))
    given = {
        "numbers": np.array([numbers for numbers, _, _ in ROWS]),
        "words": np.array([words for _, words, _ in ROWS], object),
    }
    [scores] = session.run(["score"], given)
    assert scores.tolist() == [vector[place] for _, _, vector in ROWS]
