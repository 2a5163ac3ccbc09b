"""What is in a table: every column by itself, with the others, and with the label.

The columns by themselves come from one scan of all rows (``profile.py``); how they go together,
from a sample that fits into memory: a correlation of a hundred thousand rows is right to ± 0.006
(95 %), however many rows there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from driftline.certificate import TOO_GOOD, hash_of, strength, tells
from driftline.metrics import Floats
from driftline.profile import Profile, even_edges
from driftline.schemas import Column, Table

SAMPLE = 100_000
"""Rows on which columns are compared with each other."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_TOP = 10
_CATEGORIES = 50
"""So many of a column's categories are told apart when it is compared; the others are one."""
_MISSING_TELLS = 0.7
"""From this ROC AUC (or |correlation|) on, whether a value is missing tells of the label."""
_ALL_DIFFERENT = 0.98
"""From this share of different values on, words and whole numbers are ids; estimates are near."""

TABLE = Table(
    "ops",
    "exploration",
    "What a table version holds, column by column and pair by pair",
    (
        Column("table", "string", "Table explored"),
        Column("version", "bigint", "Its version"),
        Column("column", "string", "Column"),
        Column("other", "string", "The column it is compared with, for statistics of two"),
        Column("statistic", "string", "Name of the statistic, see driftline.explore"),
        Column("value", "double", "The statistic, where it is a number"),
        Column("detail", "string", "In words, or as JSON: histogram, top"),
        Column("run_id", "string", "The run that wrote this row, see ops.runs"),
        Column("at", "timestamp", "When the row was written, UTC"),
    ),
    ("table", "version"),
)


@dataclass(frozen=True)
class Fact:
    """One statistic of a column, or of two."""

    column: str
    statistic: str
    value: float | None = None
    other: str | None = None
    detail: str | None = None


def alone(profile: Profile) -> list[Fact]:
    """One column by itself: type, rows, nulls, distinct, top, and of numbers how they spread.

    ``outliers`` is the share of values more than three interquartile ranges beyond the quartiles
    (Tukey's far out), from a sketch that is right to 0.67 % of rank.
    """

    def fact(statistic: str, value: float | None, detail: str | None = None) -> Fact:
        return Fact(profile.column, statistic, value, detail=detail)

    found = [
        fact("rows", profile.rows, profile.type),
        fact("nulls", profile.nulls),
        fact("distinct", profile.distinct),
    ]
    if profile.counts is not None:
        most = sorted(profile.counts.values.items(), key=lambda each: (-each[1], each[0]))[:_TOP]
        top = most[0][1] / profile.filled if most and profile.filled else None
        found.append(fact("top", top, json.dumps(dict(most))))
    if profile.kind != "numeric" or profile.is_empty:
        return found
    spread = profile.distribution
    quantiles = spread.quantiles(list(QUANTILES))
    found += [fact("min", profile.min), fact("max", profile.max), fact("mean", profile.mean)]
    found += [fact("std", profile.deviation)]
    found += [
        fact(f"q{share * 100:g}", value) for share, value in zip(QUANTILES, quantiles, strict=True)
    ]
    lower, upper = quantiles[QUANTILES.index(0.25)], quantiles[QUANTILES.index(0.75)]
    fence = 3 * (upper - lower)
    far = spread.below(lower - fence) + 1 - spread.below(math.nextafter(upper + fence, math.inf))
    found.append(fact("outliers", max(0.0, far)))
    edges = even_edges([profile])
    shares = [] if len(edges) < 2 else spread.between(edges[1:-1])
    detail = json.dumps({"edges": edges, "shares": [round(share, 6) for share in shares]})
    found.append(fact("histogram", None, detail))
    return found


def together(sample: pd.DataFrame, kinds: Mapping[str, str]) -> Iterator[Fact]:
    """Every two columns: ``pearson`` and ``spearman`` of numbers, ``cramers_v`` of categories,
    ``correlation_ratio`` (η) of a number by a category. Rows where either is missing do not count.
    """
    names = [name for name in sample.columns if kinds[name] in ("numeric", "categorical")]
    numbers = [name for name in names if kinds[name] == "numeric"]
    values = sample[numbers].astype(np.float64).replace([np.inf, -np.inf], np.nan)
    words = [name for name in names if kinds[name] == "categorical"]
    codes = {name: _codes(sample[name]) for name in words}
    for method in ("pearson", "spearman"):
        matrix = values.corr(method=method, min_periods=3)
        for place, one in enumerate(numbers):
            for two in numbers[place + 1 :]:
                yield Fact(one, method, _known(matrix.loc[one, two]), two)
    for place, one in enumerate(words):
        for two in words[place + 1 :]:
            yield Fact(one, "cramers_v", cramers_v(codes[one], codes[two]), two)
        for two in numbers:
            ratio = correlation_ratio(codes[one], values[two].to_numpy())
            yield Fact(two, "correlation_ratio", ratio, one)


def with_label(
    sample: pd.DataFrame, kinds: Mapping[str, str], label: str, entity: str | None
) -> Iterator[Fact]:
    """How well each column alone tells the label, and whether its missing values do.

    ``tells`` is the ROC AUC of a label that is 0 or 1, in the better direction, or else the
    |correlation| of ranks. Words are judged on one half by the mean labels of the other. What
    tells too much is ``suspicious``.
    """
    known = sample[sample[label].notna()]
    target = known[label].to_numpy(np.float64)
    task = "classification" if set(np.unique(target)) <= {0.0, 1.0} else "regression"
    by = known[entity].astype(str) if entity else pd.Series(known.index.astype(str), known.index)
    half = (by.map(hash_of) % 2 == 0).to_numpy()
    for name in known.columns:
        if name == label or kinds[name] not in ("numeric", "categorical"):
            continue
        told = tells(known[name], target, half, task)
        silent = strength(target, known[name].isna().to_numpy(np.float64), task)
        yield Fact(name, "tells", told, label)
        yield Fact(name, "missing_tells", silent, label)
        if told >= TOO_GOOD:
            yield Fact(name, "suspicious", told, label, "tells the label all but alone")
        if silent >= _MISSING_TELLS:
            yield Fact(name, "suspicious", silent, label, "tells the label by being missing")


def ids(profiles: Sequence[Profile]) -> Iterator[Fact]:
    """Words and whole numbers that are all different: a model can only learn them by heart."""
    for each in profiles:
        whole = each.type in ("bigint", "int") or each.kind == "categorical"
        share = (each.distinct or 0) / each.filled if each.filled else 0.0
        if whole and each.filled > 100 and share >= _ALL_DIFFERENT:
            yield Fact(each.column, "suspicious", min(1.0, share), None, "an id: all different")


def cramers_v(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> float | None:
    """√(χ² / (n · (min(r, c) − 1))) of two columns of codes (Cramér 1946), −1 is missing."""
    both = (one >= 0) & (two >= 0)
    if not both.any():
        return None
    table = np.zeros((one.max() + 1, two.max() + 1))
    np.add.at(table, (one[both], two[both]), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    least = min(table.shape) - 1
    if least == 0:
        return None
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    chi2 = float(((table - expected) ** 2 / expected).sum())
    return math.sqrt(chi2 / (table.sum() * least))


def correlation_ratio(codes: np.ndarray[Any, Any], values: Floats) -> float | None:
    """√(variance between categories / variance) of a number by a category (Fisher's η)."""
    both = (codes >= 0) & ~np.isnan(values)
    if not both.any():
        return None
    x, group = values[both], codes[both]
    total = float(((x - x.mean()) ** 2).sum())
    if total == 0:
        return None
    number = np.bincount(group)
    seen = number > 0
    means = np.bincount(group, weights=x)[seen] / number[seen]
    return math.sqrt(float((number[seen] * (means - x.mean()) ** 2).sum()) / total)


def _codes(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Numbers of the most frequent categories, one number for all others, −1 where missing."""
    most = {word: place for place, word in enumerate(column.value_counts().index[:_CATEGORIES])}
    return np.where(column.isna(), -1, column.map(most).fillna(_CATEGORIES)).astype(np.int64)


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
