"""Drift between two versions of a table: from profiles, beside reading both versions again.

With ``EVIDENTLY_PYTHON`` naming a Python that has Evidently (it needs another plotly than ours),
also beside its ``DataDriftPreset`` over the same Parquet files in pandas.

With ``DEEQU_JAR`` naming a build of Deequ, and ``DEEQU_PYTHON`` a Python with the PySpark that it
is for (there is none for ours), also beside its analyzers of the same columns, on that Spark. One
run of theirs is one state, so there is one of each commit, merged for each version: a version that
lost rows would be read again, whereas one scan of ours gives a profile of each file.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Row
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import delta_files, scan, schemas
from driftline.drift import Statistic
from driftline.environment import Environment
from driftline.jobs import drift, profiling, sides
from driftline.jobs.line import Line, open_line
from driftline.jobs.sides import Asked
from driftline.problem import load_problem

_CONF = Path(__file__).parents[2] / "conf" / "churn.yaml"
_MILLION = 1_000_000


def _made(line: Line, folder: str, rows: int) -> None:
    """Two versions, the second a twentieth larger, in eight files each."""
    for seed, count in ((1, rows), (2, rows // 20)):
        line.spark.range(0, count, 1, 8).select(
            (F.randn(seed) * 3 + 10).alias("x"),
            F.exp(F.randn(seed + 10)).alias("money"),
            F.floor(F.rand(seed + 20) * 6).cast("int").alias("items"),
            F.concat(F.lit("c"), (F.rand(seed + 30) * 30).cast("int")).alias("channel"),
            F.timestamp_seconds(1_700_000_000 + F.rand(seed + 40) * 2e7).alias("at"),
            (F.rand(seed + 50) < 0.1).alias("vip"),
        ).write.format("delta").mode("append").save(folder)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _plain(rows: DataFrame) -> None:
    """What anyone would ask of the same columns in one aggregation, without sketches."""
    asked = [F.count(F.lit(1)).alias("rows")]
    for name, type_ in rows.dtypes:
        column = F.col(name)
        asked += [
            F.count(column).alias(f"n_{name}"),
            F.approx_count_distinct(column).alias(f"d_{name}"),
        ]
        if type_ in ("double", "int"):
            asked += [each(column).alias(f"{each.__name__}_{name}") for each in (F.min, F.max)]
            asked += [each(column).alias(f"{each.__name__}_{name}") for each in (F.avg, F.stddev)]
            tenths = [place / 10 for place in range(1, 10)]
            asked.append(F.percentile_approx(column, tenths).alias(f"q_{name}"))
        else:
            asked += [F.min(column).alias(f"min_{name}"), F.max(column).alias(f"max_{name}")]
    rows.agg(*asked).collect()


_EVIDENTLY = """
import sys, time
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
started = time.monotonic()
before, after = (pd.read_parquet(path.split(",")) for path in sys.argv[1:])
Report([DataDriftPreset()]).run(after, before)
print(time.monotonic() - started)
"""


def _paths(line: Line, folder: str) -> list[list[str]]:
    """The data files of both versions."""
    commits = line.tables.commits(folder, since=0, until=1)
    versions = [delta_files.version(commits, number) for number in (0, 1)]
    return [[file.path for file in version.files] for version in versions]


def _evidently(line: Line, folder: str) -> float | None:
    python = os.environ.get("EVIDENTLY_PYTHON")
    if not python:
        print("Evidently is not measured: EVIDENTLY_PYTHON names no Python", file=sys.stderr)
        return None
    paths = [",".join(files) for files in _paths(line, folder)]
    said = subprocess.run(
        [python, "-c", _EVIDENTLY, *paths], capture_output=True, text=True, check=True
    )
    return float(said.stdout.split()[-1])


def _deequ(line: Line, folders: list[str], scratch: str) -> dict[str, Any] | None:
    """What it says of the last folder, warmed up by the first."""
    python, jar = (os.environ.get(name) for name in ("DEEQU_PYTHON", "DEEQU_JAR"))
    if not python or not jar:
        print(
            "Deequ is not measured: DEEQU_PYTHON names no Python, or DEEQU_JAR no jar",
            file=sys.stderr,
        )
        return None
    tables = []
    for folder in folders:
        old, new = _paths(line, folder)
        tables += [",".join(old), ",".join(path for path in new if path not in old)]
    script = Path(__file__).with_name("deequ.py")
    said = subprocess.run(
        [python, str(script), jar, f"{scratch}/states", *tables],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(said.stdout.splitlines()[-1])


def _same(deequ: dict[str, Any], rows: list[int], ks: dict[str, float]) -> None:
    far = [
        name for name in ("x", "money", "items") if abs(deequ["distances"][name] - ks[name]) > 0.02
    ]
    if deequ["rows"] != rows or far:
        raise RuntimeError(f"Deequ found {deequ}, ours {rows} and {ks}")


def _again(line: Line, folder: str) -> None:
    """Profile both versions from their rows and compare: what drift costs without a memory."""
    for number in (0, 1):
        rows = line.spark.read.format("delta").option("versionAsOf", number).load(folder)
        keys = {name: name for name in rows.columns}
        scan.scan(rows, keys, path=F.lit("all")).collect()


def rows(quick: bool) -> list[Row]:
    """First profile, drift at two sizes, and drift by reading again."""
    sizes = (_MILLION // 4, _MILLION) if quick else (_MILLION, 10 * _MILLION)
    with tempfile.TemporaryDirectory() as scratch:
        environment = Environment(
            warehouse=f"{scratch}/warehouse", data=scratch, mlflow=f"sqlite:///{scratch}/m.db"
        )
        line = open_line(load_problem(_CONF), environment, _CONF.parents[1])
        folders = [f"{scratch}/t{size}" for size in sizes]
        for folder, size in zip(folders, sizes, strict=True):
            _made(line, folder, size)
        small, large = folders
        with line.ledger.run("drift") as ledger:

            def wanted(folder: str) -> list[profiling.Wanted]:
                commits = line.tables.commits(folder, since=0, until=1)
                versions = [delta_files.version(commits, number) for number in (0, 1)]
                return [profiling.wanted(folder, each, each.files) for each in versions]

            def first(folder: str) -> None:
                profiling.profiles(line, ledger, wanted(folder))

            def compared(folder: str) -> list[Statistic]:
                pair = sides.pair(line, folder, Asked("0", "1"))
                known = profiling.profiles(
                    line, ledger, [*pair.reference.wanted, *pair.current.wanted]
                )
                return list(drift.compared(line, pair, known)[0])

            first(small)
            _plain(line.spark.read.format("delta").load(small))  # warm
            _again(line, small)
            profiled = _seconds(lambda: first(large))
            plain = _seconds(lambda: _plain(line.spark.read.format("delta").load(large)))
            again = _seconds(lambda: _again(line, large))
            for folder in folders:
                compared(folder)  # warm
            turns = [[_seconds(lambda f=f: compared(f)) for f in folders] for _ in range(5)]
            evidently = _evidently(line, small)
            deequ = _deequ(line, folders, scratch)
            if deequ:
                judged = compared(large)
                ks = {each.column: each.value for each in judged if each.statistic == "ks"}
                _same(deequ, [sizes[1], sizes[1] + sizes[1] // 20], ks)
        at_small, at_large = (sorted(times)[2] for times in zip(*turns, strict=True))
        files = line.tables.read(schemas.PROFILES.full_name).where("column = '*'").count()
        if files != 32:
            raise RuntimeError(f"{files} of 32 files were profiled, or some twice")
    said = f"{sizes[1] / _MILLION:g} M rows"
    grown = f"drift at {sizes[0] / _MILLION:g} M"
    found = [
        Row(
            f"first profile, {said}",
            "s",
            profiled,
            plain,
            "one aggregation",
            "<= 1.5",
            profiled <= 1.5 * plain,
        ),
        Row(
            f"drift, {said}",
            "s",
            at_large,
            again,
            "both versions read again",
            "<= 0.05",
            at_large <= again / 20,
        ),
        Row(f"drift, {said}", "s", at_large, at_small, grown, "<= 1.3", at_large <= 1.3 * at_small),
    ]
    if evidently is not None:
        met = at_small <= evidently
        found.append(
            Row(
                f"drift, {sizes[0] / _MILLION:g} M rows",
                "s",
                at_small,
                evidently,
                "Evidently, from Parquet",
                "<= 1",
                met,
            )
        )
    if deequ:
        pairs = (
            (f"first profile, {said}", profiled, deequ["profile"], "Deequ, a state a commit"),
            (f"drift, {said}", at_large, deequ["drift"], "Deequ, its states merged"),
        )
        for name, ours, theirs, peer in pairs:
            found.append(Row(name, "s", ours, theirs, peer, "<= 1", ours <= theirs))
    return found
