"""Which rows a bootstrap draws: those of entities, drawn with replacement (Efron 1979).

Rows of one entity are alike, and a model that is right about one of them is so about the others:
drawn one by one they would pass for as much evidence as so many entities. So an entity brings all
of its rows (the cluster bootstrap: Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from driftline.metrics import Floats, Integers

RESAMPLES = 300


def codes(entity: object) -> Integers:
    """Entities (n,) of any kind as numbers from 0, in the order in which they come."""
    found: Integers = pd.factorize(np.asarray(entity))[0].astype(np.int64)
    return found


def resamples(label: Floats, entity: Integers, *, seed: int) -> Iterator[Integers]:
    """Row numbers of each resample, see :func:`codes`; fewer than two entities have none.

    Classification metrics need both classes, so all-equal ones are drawn again.
    """
    place = codes(entity)
    counts = np.bincount(place)
    if len(counts) < 2:
        return
    rows, ends = np.argsort(place, kind="stable"), np.cumsum(counts)
    generator = np.random.default_rng(seed)
    several, made = len(np.unique(label)) > 1, 0
    while made < RESAMPLES:
        drawn = generator.integers(0, len(counts), len(counts))
        many = counts[drawn]
        over = np.cumsum(many)
        # Each entity's rows lie together in `rows`: from where they end, back to where they begin.
        found = rows[np.arange(over[-1]) + np.repeat(ends[drawn] - over, many)]
        if not several or len(np.unique(label[found])) > 1:
            made += 1
            yield found
