"""Entities are drawn, and bring all of their rows."""

from __future__ import annotations

from collections import Counter

import numpy as np

from driftline.resampling import RESAMPLES, codes, resamples


def test_an_entity_of_one_row_is_drawn_as_a_row_is() -> None:
    generator = np.random.default_rng(3)
    found = list(resamples(np.ones(9), np.arange(9), seed=3))
    assert len(found) == RESAMPLES
    assert all((rows == generator.integers(0, 9, 9)).all() for rows in found)


def test_an_entity_brings_all_of_its_rows_as_often_as_it_is_drawn() -> None:
    who = np.array([5, 2, 2, 7, 2, 5, 9])
    generator = np.random.default_rng(1)
    for rows in resamples(np.ones(7), who, seed=1):
        times = Counter([5, 2, 7, 9][each] for each in generator.integers(0, 4, 4))
        assert Counter(who[rows].tolist()) == {one: times[one] * sum(who == one) for one in times}
        assert all(np.count_nonzero(rows == row) == times[who[row]] for row in range(7))


def test_a_resample_of_one_class_is_drawn_again() -> None:
    label = np.array([1.0, 0.0, 0.0, 0.0])
    assert all(0 in rows and len({*rows}) > 1 for rows in resamples(label, np.arange(4), seed=1))


def test_entities_of_any_kind_are_numbered_as_they_come() -> None:
    assert codes(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert codes(np.array([10**15, 7, 10**15])).tolist() == [0, 1, 0]
