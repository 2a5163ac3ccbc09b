"""The marketer's baseline: how recently, how often, for how much (Bult & Wansbeek 1995).

Which features those are is told by their operations, never by their names.
"""

from __future__ import annotations

from collections.abc import Sequence

from driftline.events import Feature

_OPERATIONS = (("recency",), ("frequency", "count"), ("sum",))


def columns(features: Sequence[Feature], source: str) -> tuple[str, ...]:
    """The three columns of ``gold.features``; empty where the features lack one of them.

    They speak of the same events: those of the label's ``source``, if it has all three. Of each
    operation it is the feature that was declared first, over its longest window.
    """
    kinds: dict[tuple[str, str | None], list[Feature]] = {}
    for each in features:
        kinds.setdefault((each.source, each.where), []).append(each)
    ordered = sorted(kinds, key=lambda kind: kind[0] != source)
    for kind in ordered:
        found = [_first(kinds[kind], operations) for operations in _OPERATIONS]
        known = [each for each in found if each is not None]
        if len(known) == len(found):
            return tuple(f"{each.name}_{max(each.windows)}d" for each in known)
    return ()


def _first(features: Sequence[Feature], operations: Sequence[str]) -> Feature | None:
    for operation in operations:
        for each in features:
            if each.operation == operation:
                return each
    return None
