"""The leak certificate of a training set: what its features saw, and who is on which side.

Every check says what was found and what is allowed; none is taken for granted because the code
that made the rows is meant to hold it. The first four are proofs: training refuses where one does
not hold. Columns that tell the label all but alone are suspicions, for somebody to judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline.metrics import Floats, roc_auc
from driftline.schemas import Column, Table

TOO_GOOD = 0.99
"""From here on a column alone tells the label too well: ROC AUC, or |correlation|."""

_TOLD = 30
"""A column that fewer rows have tells nothing: a few values tell any label."""

_CODES = 50
"""A number with no more values than these may be a code, whose order means nothing."""

_ROWS = 200_000
"""Rows that columns are judged on; a larger training set is sampled."""

SUSPICION = "columns"
"""The check that is no proof."""

TABLE = Table(
    "ops",
    "certificates",
    "The leak certificate of every training set, check by check",
    (
        Column("training", "string", "Key of the training, a tag of the model version"),
        Column("features_version", "bigint", "Version of gold.features that was trained on"),
        Column("check", "string", "events, arrivals, labels, entities, times or columns"),
        Column("holds", "boolean", "The verdict"),
        Column("detail", "string", "What was found, and what is allowed"),
        Column("run_id", "string", "The run that wrote this row, see ops.runs"),
        Column("at", "timestamp", "When the row was written, UTC"),
    ),
)


@dataclass(frozen=True)
class Seen:
    """What the features of one as-of saw at most, over all of its rows, and what its labels saw."""

    as_of: datetime
    rows: int
    labelled: int
    newest_event: datetime | None
    newest_arrival: datetime | None
    first_outcome: datetime | None
    last_outcome: datetime | None


@dataclass(frozen=True)
class Evidence:
    """What was noted when the features were made."""

    watermark: datetime
    known: str
    horizon: int
    seen: tuple[Seen, ...]
    asked: str = ""
    """By which problem, :func:`driftline.features.asked`; older versions do not say."""

    def to_json(self) -> dict[str, Any]:
        """As plain values; times in ISO 8601."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=datetime.isoformat))
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """The reverse of :meth:`to_json`."""
        time = datetime.fromisoformat
        seen = tuple(
            Seen(
                time(each["as_of"]),
                each["rows"],
                each["labelled"],
                *(time(text) if (text := each[name]) else None for name in _TIMES),
            )
            for each in value["seen"]
        )
        known, horizon = value["known"], value["horizon"]
        return cls(time(value["watermark"]), known, horizon, seen, value.get("asked", ""))


_TIMES = ("newest_event", "newest_arrival", "first_outcome", "last_outcome")


@dataclass(frozen=True)
class Check:
    """One verdict with what it rests on."""

    check: str
    holds: bool
    detail: str


def checks(
    evidence: Evidence, parts: DataFrame, columns: Sequence[str], *, task: str, by: str
) -> list[Check]:
    """All checks on ``parts``: the training set with ``as_of``, ``label``, ``part``, ``_entity``.

    ``by`` is the split's kind; ``columns`` are judged one by one on the rows that train.
    """
    found = [_events(evidence), _arrivals(evidence), _labels(evidence)]
    found.append(_times(parts, evidence.horizon) if by == "time" else _entities(parts))
    return [*found, _columns(parts.where(F.col("part") == "train"), columns, task)]


def leaks(found: Sequence[Check]) -> list[Check]:
    """The proofs that failed."""
    return [each for each in found if not each.holds and each.check != SUSPICION]


def to_json(found: Sequence[Check], evidence: Evidence) -> str:
    """The certificate as it is stored with the model."""
    said = {"checks": [asdict(each) for each in found], "evidence": evidence.to_json()}
    return json.dumps(said, indent=2)


def _events(evidence: Evidence) -> Check:
    late = [each for each in evidence.seen if each.newest_event and each.newest_event > each.as_of]
    closest = min(
        (each.as_of - each.newest_event for each in evidence.seen if each.newest_event),
        default=timedelta(0),
    )
    said = f"at {len(evidence.seen)} as-ofs no event after it, the last one {closest} before"
    return Check("events", not late, _at(late, "newest_event", "event") or said)


def _arrivals(evidence: Evidence) -> Check:
    late = [
        each for each in evidence.seen if each.newest_arrival and each.newest_arrival > each.as_of
    ]
    if evidence.known == "event":
        said = f"not asked for (cutoffs.known: event); {len(late)} as-ofs saw later arrivals"
        return Check("arrivals", True, said)
    said = f"at {len(evidence.seen)} as-ofs nothing that arrived after it"
    return Check("arrivals", not late, _at(late, "newest_arrival", "arrival") or said)


def _at(late: Sequence[Seen], name: str, what: str) -> str:
    return "; ".join(f"{what} of {getattr(each, name)} seen at {each.as_of}" for each in late[:3])


def _labels(evidence: Evidence) -> Check:
    horizon = timedelta(days=evidence.horizon)
    wrong = []
    for each in evidence.seen:
        until = each.as_of + horizon
        if each.labelled and until > evidence.watermark:
            wrong.append(
                f"labels of {each.as_of} need data until {until}, there is data until "
                f"{evidence.watermark}"
            )
        if each.first_outcome and each.first_outcome <= each.as_of:
            wrong.append(f"labels of {each.as_of} count an event of {each.first_outcome}")
        if each.last_outcome and each.last_outcome > until:
            wrong.append(
                f"labels of {each.as_of} count an event of {each.last_outcome}, after {until}"
            )
    first = min(
        (each.first_outcome - each.as_of for each in evidence.seen if each.first_outcome),
        default=timedelta(0),
    )
    said = (
        f"labels of (as-of, as-of + {evidence.horizon} d], their first event {first} after the "
        f"as-of, all over by {evidence.watermark}, the newest event known"
    )
    return Check("labels", not wrong, "; ".join(wrong[:3]) or said)


def _entities(parts: DataFrame) -> Check:
    sides = parts.groupBy("_entity").agg(F.count_distinct("part").alias("sides"))
    counted = sides.agg(F.count("*"), F.count_if(F.col("sides") > 1)).first()
    assert counted is not None
    said = f"{counted[1]:,} of {counted[0]:,} entities are in more than one of the parts"
    return Check("entities", counted[1] == 0, said)


def _times(parts: DataFrame, horizon: int) -> Check:
    """Each part's labels are over when the next part's first features are made."""
    ranges = {
        row.part: (row.first, row.last)
        for row in parts.groupBy("part")
        .agg(F.min("as_of").alias("first"), F.max("as_of").alias("last"))
        .collect()
    }
    order = [name for name in ("train", "validation", "test") if name in ranges]
    said, holds = [], True
    for place, earlier in enumerate(order):
        for later in order[place + 1 :]:
            over = ranges[earlier][1] + timedelta(days=horizon)
            holds = holds and over <= ranges[later][0]
            said.append(
                f"labels of {earlier} are over at {over:%Y-%m-%d}, {later} begins at "
                f"{ranges[later][0]:%Y-%m-%d}"
            )
    return Check("times", holds, "; ".join(said) or "there is one part only")


def _columns(train: DataFrame, columns: Sequence[str], task: str) -> Check:
    number = train.count()
    if number > _ROWS:
        train = train.sample(fraction=_ROWS / number, seed=0)
    known: Any = train.select("_entity", "label", *columns).toPandas()
    label = known["label"].to_numpy(dtype=np.float64)
    half = (known["_entity"].astype(str).map(hash_of) % 2 == 0).to_numpy()
    alone = {}
    for name in columns:
        values = known[name]
        silent = strength(label, values.isna().to_numpy(dtype=np.float64), task)
        alone[name] = max(silent, tells(values, label, half, task))
    suspected = {name: value for name, value in alone.items() if value >= TOO_GOOD}
    measure = "ROC AUC" if task == "classification" else "|correlation|"
    best = max(alone, key=lambda name: alone[name], default=None)
    said = (
        f"no column alone tells the label: the best, {best}, has {measure} {alone[best]:.3f}"
        if best
        else "no columns"
    )
    found = ", ".join(
        f"{name} alone has {measure} {value:.3f}" for name, value in suspected.items()
    )
    return Check(SUSPICION, not suspected, found or said)


def tells(values: pd.Series[Any], label: Floats, half: npt.NDArray[np.bool_], task: str) -> float:
    """How well a column tells the label where it is known, see :func:`strength`.

    A word is judged on the other ``half`` of the rows by the mean label that it has in this one;
    and so is a number of which there are few, since it may be a code.
    """
    told = []
    if values.dtype == object or values.nunique() <= _CODES:
        means = pd.Series(label[half]).groupby(values.to_numpy()[half]).mean()
        told.append(np.where(half, np.nan, values.map(means).astype(np.float64)))
    if values.dtype != object:
        told.append(values.to_numpy(np.float64, na_value=np.nan))
    known = [(each, ~np.isnan(each)) for each in told]
    strengths = [strength(label[k], each[k], task) for each, k in known if k.sum() >= _TOLD]
    return max(strengths, default=0.0)


def strength(label: Floats, values: Floats, task: str) -> float:
    """How well a column alone tells the label, in either direction; 0 where nothing can be told."""
    if len(label) < 2 or np.ptp(values) == 0 or np.ptp(label) == 0:
        return 0.0
    if task == "classification":
        auc = roc_auc(label, values)
        return max(auc, 1 - auc)
    return abs(float(np.corrcoef(_ranks(label), _ranks(values))[0, 1]))


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return int.from_bytes(text.encode(), "little") % 1_000_003


def _ranks(values: Floats) -> npt.NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
