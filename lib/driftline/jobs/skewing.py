"""Train-serve skew, a step of monitor: what a model is asked about → ``ops.skew``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import pins, profile, scan, schemas, skew
from driftline.digests import digest
from driftline.drift import Statistic
from driftline.jobs import searching
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.profile import Field, FileProfile, Profile
from driftline.registry import Registry, Version
from driftline.session import utc
from driftline.split_section import GivenSplit

_NAMED = 4
"""Features that are named in a message; ``ops.skew`` has all of them."""


@dataclass(frozen=True)
class Skew:
    """The features that are not as in training, the gravest first; None where nobody can tell."""

    features: tuple[str, ...] | None
    said: str
    """In words; empty where nothing was asked, or all is as in training."""
    requests: int | None = None
    """Version of the requests' table that was looked at."""


def measure(
    line: Line, ledger: Run, models: Registry, champion: Version | None, *, as_of: datetime
) -> Skew:
    """Compare what the champion was asked about last with the rows that trained it.

    That is the newest cut-off it scored, and with ``monitor.requests`` what the application asked
    within the last period. What was compared before is not read again. Needs the locks of
    ``ops.skew`` and ``ops.profiles``.
    """
    requests = _version_of_requests(line)
    if champion is None:
        return Skew(None, "", requests)
    asked = [_scored(line, champion, as_of), _requests(line, ledger, champion, requests, as_of)]
    features: dict[str, None] = {}
    said, known = [], False
    for each in filter(None, asked):
        found = _before(line, each, as_of) or _compared(line, ledger, models, champion, each, as_of)
        if isinstance(found, str):
            said.append(f"skew unknown: {found}")
            continue
        known = True
        named = skew.named(found)
        features |= dict.fromkeys(named)
        if named:
            worst = [f"{name} ({_short(one)})" for name, one in list(named.items())[:_NAMED]]
            count = f"{len(named)} feature{'s' if len(named) > 1 else ''}"
            said.append(f"skew in {count} of the {each.said}: {', '.join(worst)}")
    return Skew(tuple(features) if known else None, "; ".join(said), requests)


def _short(each: Statistic) -> str:
    return "missing" if each.statistic == "missing" else f"{each.statistic} {each.value:.2f}"


@dataclass(frozen=True)
class _Asked:
    """Rows a model was asked about."""

    table: str
    cutoff: datetime
    content: str
    """Tells which rows they are, which model was asked, and by which rule they are compared."""
    said: str
    rows: Callable[[], DataFrame | str]
    """The rows, or why they are not there any more."""


def _scored(line: Line, champion: Version, as_of: datetime) -> _Asked | None:
    """The rows of ``gold.features`` behind the newest predictions of a version."""
    name, features = schemas.PREDICTIONS.full_name, schemas.features(line.problem).full_name
    if not line.tables.exists(name):
        return None
    mine = line.tables.read(name).where(
        (F.col("model_version") == champion.number) & (F.col("as_of") <= F.lit(as_of))
    )
    groups = mine.groupBy("as_of", "features_version").count().collect()
    if not groups:
        return None
    newest = max(utc(row.as_of) for row in groups)
    counts = {row.features_version: row["count"] for row in groups if utc(row.as_of) == newest}
    at = F.col("as_of") == F.lit(newest)

    def rows() -> DataFrame | str:
        parts = []
        kept = [each for each in sorted(counts) if pins.whole(line.tables, features, each)]
        gone = sum(counts[each] for each in counts.keys() - set(kept))
        if 2 * gone > sum(counts.values()):  # a few that were scored long ago are not missed
            named = ", ".join(map(str, sorted(counts.keys() - set(kept))))
            return f"version {named} of {features}, which was scored, is gone"
        for version in kept:
            done = mine.where(at & (F.col("features_version") == version))
            done = done.select(F.col("entity").alias("_entity"))
            same = F.col(line.problem.entity).cast("string").eqNullSafe(F.col("_entity"))
            there = line.tables.read(features, version=version).where(at)
            parts.append(there.join(done, same, "left_semi"))
        return reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), parts)

    content = _content(line, champion, [features, str(newest), sorted(counts.items())])
    return _Asked(features, newest, content, f"rows scored as of {newest:%Y-%m-%d}", rows)


def _requests(
    line: Line, ledger: Run, champion: Version, version: int | None, as_of: datetime
) -> _Asked | None:
    """What the application asked within a period up to ``as_of``, in a version of its table."""
    source = line.problem.monitor.requests
    if source is None or version is None:
        return None
    name = f"silver.{source}"
    ledger.read(name, version)
    time = F.col(line.problem.sources[source].time)
    first = as_of - timedelta(days=line.problem.cutoffs.every)
    rows = line.tables.read(name, version=version)
    rows = rows.where((time > F.lit(first)) & (time <= F.lit(as_of)))
    content = _content(line, champion, [name, version, str(as_of)])
    said = f"requests from {first:%Y-%m-%d} to {as_of:%Y-%m-%d}"
    return _Asked(name, as_of, content, said, lambda: rows)


def _version_of_requests(line: Line) -> int | None:
    """Read once a turn: what is compared is what the decision names."""
    source = line.problem.monitor.requests
    if source is None or not line.tables.exists(f"silver.{source}"):
        return None
    return line.tables.version(f"silver.{source}")


def _content(line: Line, champion: Version, what: Any) -> str:
    rule = line.problem.drift.model_dump(exclude={"tables"}, mode="json")
    return digest([champion.run_id, rule, what])[:16]


def _before(line: Line, asked: _Asked, as_of: datetime) -> list[Statistic]:
    """What ``ops.skew`` knows of them as of a day; nothing if they were not compared by then."""
    name = schemas.SKEW.full_name
    if not line.tables.exists(name):
        return []
    mine = (F.col("content") == asked.content) & (F.col("as_of") <= F.lit(as_of))
    rows = line.tables.read(name).where(mine).collect()
    newest = max((row.at for row in rows), default=None)
    return [
        Statistic(
            row.column,
            row.statistic,
            row.value,
            row.threshold,
            row.detail,
            row.bound,
            row.p,
            row.skewed,
        )
        for row in rows
        if row.at == newest
    ]


def _compared(
    line: Line, ledger: Run, models: Registry, champion: Version, asked: _Asked, as_of: datetime
) -> list[Statistic] | str:
    """Compare them, and write it down; or why that cannot be done."""
    trained = _trained(line, ledger, models, champion)
    if isinstance(trained, str):
        return trained
    rows = asked.rows()
    if isinstance(rows, str):
        return rows
    fields = [
        Field(each.column, each.type, each.column)
        for (name, part), each in trained.items()
        if name != "*" and not part
    ]
    types = dict(rows.dtypes)
    ledger.progress(f"profiling the {asked.said}")
    found = _scan(rows, [each.name for each in fields if each.name in types], asked.said).toArrow()
    there = _parts(found.to_pylist())
    if not there:
        return f"there are no {asked.said}"
    now = [Field(each.name, types.get(each.name, each.type), each.name) for each in fields]
    before, after = (
        profile.together([FileProfile([({}, parts)])], which)
        for parts, which in ((trained, fields), (there, now))
    )
    compared = skew.compare(before, after, line.problem.drift)
    counts = (trained["*", ""].rows, there["*", ""].rows)
    tail = (*counts, as_of, asked.content, ledger.run_id, datetime.now(timezone.utc))
    head = (asked.cutoff, champion.number, asked.table)
    values = [(*head, *each.cells, *tail) for each in compared]
    key = f"skew:{asked.content}:{as_of:%Y-%m-%dT%H:%M:%S}"
    ledger.wrote(line.tables.append_values(values, schemas.SKEW, key=key))
    return compared


_Parts = dict[tuple[str, str], Profile]
"""Profiles by column and part; ``*`` counts the rows."""


def _trained(line: Line, ledger: Run, models: Registry, champion: Version) -> _Parts | str:
    """The profile of the rows that trained a version: made once, ever, and kept in
    ``ops.profiles`` under the name of the training; or why it cannot be made.
    """
    name = f"training rows of {champion.run_id}"
    if line.tables.exists(schemas.PROFILES.full_name):
        kept = line.tables.read(schemas.PROFILES.full_name).where(F.col("file") == name)
        if found := _parts(kept.toArrow().to_pylist()):
            return found
    features = schemas.features(line.problem).full_name
    version = champion.tables[features]
    if not _drawn_alike(line, models, champion):
        return f"the problem file does not say which rows trained version {champion.number}"
    if not pins.whole(line.tables, features, version):
        return f"the rows that trained version {champion.number} are gone"
    rows = searching.labelled(line, version).where(F.col("part") == "train")
    apart = {line.problem.entity, "as_of", "label", "part"}
    if isinstance(line.problem.split, GivenSplit):
        apart.add(line.problem.split.attribute)
    ledger.progress(f"profiling the rows that trained version {champion.number}")
    made = _scan(rows, [each for each in rows.columns if each not in apart], name)
    made = made.withColumns(
        {
            "table": F.lit(features),
            "bytes": F.lit(0).cast("bigint"),
            "deleted": F.lit(""),
            "segments": F.lit(""),
            "largest_id": F.lit(None).cast("int"),
            "modified": F.lit(None).cast("bigint"),
            "version": F.lit(version).cast("bigint"),
            "run_id": F.lit(ledger.run_id),
        }
    )
    ledger.wrote(line.tables.append(made, schemas.PROFILES, key=None))
    return _trained(line, ledger, models, champion)


def _drawn_alike(line: Line, models: Registry, champion: Version) -> bool:
    """Whether the problem draws the rows that train as it did when a version was trained."""
    path = models.folder(champion) / "problem.json"
    if not path.exists():
        return False
    wanted: Any = {"task": True, "entity": True, "split": True, "label": True, "train": {"seed"}}
    now = line.problem.model_dump(mode="json", by_alias=True, include=wanted)
    then = json.loads(path.read_text("utf-8"))
    then["train"] = {"seed": then["train"]["seed"]}
    return bool(now == {name: then[name] for name in now})


def _scan(rows: DataFrame, columns: Sequence[str], name: str) -> DataFrame:
    return scan.scan(rows, {each: each for each in columns}, path=F.lit(name))


def _parts(rows: Iterable[Any]) -> _Parts:
    return {(row["column"], row["part"]): profile.from_row(row) for row in rows}
