"""What the columns of compared versions look like → ``ops.histograms``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline import profile, schemas
from driftline.digests import digest
from driftline.jobs.line import Line
from driftline.jobs.sides import Side
from driftline.ledger import Run
from driftline.profile import Profile

_CATEGORIES = 50
"""The most frequent ones of either side are drawn."""


def draw(line: Line, ledger: Run, found: Mapping[Side, Mapping[str, Profile]]) -> None:
    """Bins of the columns whose values are compared, the same ones for both sides."""
    names = dict.fromkeys(
        name
        for side, profiles in found.items()
        for name, each in profiles.items()
        if each.column not in side.keys
    )
    values = []
    for name in names:
        present = {side: profiles[name] for side, profiles in found.items() if name in profiles}
        for side, bins in _bins(present).items():
            filled = present[side].filled
            kind = "time" if present[side].is_time else present[side].kind
            head = (side.table, side.version, side.slice, name, kind)
            values += [(*head, *each, filled, ledger.run_id) for each in bins]
    table = [[side.table, side.version, side.slice] for side in found]
    key = f"histograms:{digest(table)[:16]}"
    if values:
        ledger.wrote(line.tables.append_values(values, schemas.HISTOGRAMS, key=key))


def _bins(present: Mapping[Side, Profile]) -> dict[Side, list[tuple[Any, ...]]]:
    """(low, high, category, share) a bin or category of each side."""
    full = {side: each for side, each in present.items() if not each.is_empty}
    if {each.kind for each in full.values()} == {"numeric"}:
        edges = profile.even_edges(list(full.values()))
        shares = {
            side: each.distribution.between(edges[1:-1]) if len(edges) > 2 else [1.0]
            for side, each in full.items()
        }
        return {
            side: [
                (low, high, None, share)
                for low, high, share in zip(edges, edges[1:], each, strict=False)
            ]
            for side, each in shares.items()
        }
    return _categories({side: each for side, each in full.items() if each.kind == "categorical"})


def _categories(full: Mapping[Side, Profile]) -> dict[Side, list[tuple[Any, ...]]]:
    """Of both sides the same ones, so that what is rare on one is not drawn as gone from it.

    A side that does not list one, and not all that it has either, has no share of it: nobody knows.
    """
    counts = {side: each.counts for side, each in full.items() if each.counts is not None}
    names = dict.fromkeys(
        name
        for each in counts.values()
        for name in sorted(each.values, key=lambda name: -each.values[name])[:_CATEGORIES]
    )
    return {
        side: [
            (None, None, name, each.values.get(name, 0) / full[side].filled)
            for name in sorted(names, key=lambda name: -each.values.get(name, 0))
            if name in each.values or each.complete
        ]
        for side, each in counts.items()
    }
