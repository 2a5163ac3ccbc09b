"""Train-serve skew: are the rows a model is asked about made as those it learnt from?

Drift compares versions of a table. Skew compares the very rows that trained a model with those that
were scored, or that an application sent to the server: the same profiles, statistics, thresholds
and verdicts, and what only matters here, a feature that has no value any more. (Two sorts of it,
"schema skew" and "distribution skew", are told apart in TensorFlow Data Validation's guide.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftline import drift, verdicts
from driftline.drift import Statistic
from driftline.profile import Profile, column_of
from driftline.sections import Drift


def compare(
    trained: Mapping[str, Profile], asked: Mapping[str, Profile], rule: Drift
) -> list[Statistic]:
    """All statistics of the features, with verdicts; ``asked`` has every feature of ``trained``.

    A column that the rows asked about do not have is one of nulls: without a single value.
    """
    found = drift.compare(trained, asked, rule)
    for name, before in trained.items():
        after = asked[name]
        if before.part or before.is_empty:
            continue
        if after.is_empty:
            said = (
                f"no value in {after.rows:,} rows; in training {1 - before.null_rate:.1%} had one"
            )
            chance = before.null_rate**after.rows
            found.append(Statistic(name, "missing", 1.0, 1.0, said, p=chance))
        elif before.kind != after.kind:
            said = f"{before.type} → {after.type}"
            found.append(Statistic(name, "type", 1.0, 1.0, said, p=0.0))
    return verdicts.judged(found)


def named(found: Sequence[Statistic]) -> dict[str, Statistic]:
    """Feature → its gravest statistic, of those that are skewed; the gravest feature first."""
    worst: dict[str, Statistic] = {}
    apart = [each for each in found if each.drifted]
    for each in sorted(apart, key=lambda one: severity(one.statistic, one.value, one.threshold)):
        worst.setdefault(column_of(each.column), each)
    return worst


def severity(statistic: str, value: float, threshold: float | None) -> tuple[bool, float]:
    """Sorts the gravest first: what cannot be compared at all, then by times the threshold."""
    return statistic not in ("missing", "type"), -value / (threshold or 1.0)
