"""Ingest beside the usual ways to load the same lines, and what it needs of memory.

Ours is the whole stage into a fresh warehouse: the digest of the content, the plan, the write, the
account of every record, the ledger. The peers only write the fields. They are spared what would
cost them more: PySpark neither undoes escapes nor turns ``-`` into null, and DuckDB leaves request
and time as the log has them.
"""

import itertools
import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from measure import Row
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline.environment import Environment
from driftline.jobs import ingest
from driftline.jobs.line import Line, open_line
from driftline.ledger import Ledger
from driftline.problem import load_problem
from driftline.source_section import Source
from driftline.tables import Tables

_CONF = Path(__file__).parents[2] / "conf" / "weblog.yaml"
_LOG, _JSON = "access_log", "ndjson"
_CORES = 2
_WARM_UP = 20_000
_COLUMNS = {
    **dict.fromkeys(("host", "ident", "user"), "string"),
    "time": "timestamp",
    **dict.fromkeys(("method", "path", "protocol"), "string"),
    **dict.fromkeys(("status", "bytes"), "long"),
    **dict.fromkeys(("referrer", "agent"), "string"),
}
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_PATTERN = (
    r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) (\S+) ([^"]+)" (\d{3}) (\d+|-) '
    rf"{_QUOTED} {_QUOTED}$"
)


@dataclass(frozen=True)
class _Sums:
    """What must be found in a table, whoever wrote it."""

    rows: int
    status: int
    bytes: int
    hosts: int


def rows(quick: bool) -> list[Row]:
    """Log and JSON lines, ours and the peers in turn in one session; memory by size of file."""
    count, rounds = (400_000, 1) if quick else (2_000_000, 3)
    with tempfile.TemporaryDirectory() as scratch:
        few, quarter, whole = (
            _generate(Path(scratch, name), lines)
            for name, lines in (("few", _WARM_UP), ("quarter", count // 4), ("whole", count))
        )
        bench = _Bench(scratch)
        for kind in (_LOG, _JSON):
            bench.in_turn(kind, few, 1)
        ours, spark, duck = bench.in_turn(_LOG, whole, rounds)
        ours_json, spark_json = bench.in_turn(_JSON, whole, rounds)
        small, large = bench.peak(quarter), bench.peak(whole)
        log, ndjson = whole.said(_LOG), whole.said(_JSON)
        return [
            _row(f"{log} → Delta", "s", ours, spark, "regexp_extract → Delta", 0.333),
            _row(f"{log} → Delta", "s", ours, duck, "DuckDB CSV → Parquet", 4),
            _row(f"{ndjson} → Delta", "s", ours_json, spark_json, "Spark JSON → Delta", 1),
            _row(f"worker's peak memory, {log}", "MB", large, small, quarter.said(_LOG), 1.2),
        ]


def _row(name: str, unit: str, ours: float, peer: float, peer_name: str, most: float) -> Row:
    return Row(name, unit, ours, peer, peer_name, f"<= {most:g}", ours / peer <= most)


@dataclass(frozen=True)
class _Lines:
    """The same requests as a log and as JSON, a file each in one folder, and their sums."""

    folder: Path
    sums: _Sums

    def file(self, kind: str) -> Path:
        return self.folder / f"lines.{kind}"

    def said(self, kind: str) -> str:
        megabytes = self.file(kind).stat().st_size / 1e6
        return f"{self.sums.rows / 1e6:g} M {kind} lines ({megabytes:,.0f} MB)"


class _Bench:
    """One session in which ours and the peers load the same files, each into a fresh folder."""

    def __init__(self, scratch: str) -> None:
        self._folders = (f"{scratch}/out{number}" for number in itertools.count())
        columns = {name: {"type": kind} for name, kind in _COLUMNS.items()}
        problem = load_problem(_CONF)
        self._problems = {}
        for kind in (_LOG, _JSON):
            source = Source(path=f"lines.{kind}", format=kind, time="time", columns=columns)
            self._problems[kind] = problem.model_copy(update={"sources": {"requests": source}})
        self._environment = Environment(
            warehouse=f"{scratch}/warehouse",
            data=scratch,
            mlflow=f"{scratch}/mlflow.db",
            master=f"local[{_CORES}]",
            cores=_CORES,
        )
        self._line = open_line(problem, self._environment, _CONF.parents[1])
        self._spark = self._line.spark

    def in_turn(self, kind: str, lines: _Lines, rounds: int) -> list[float]:
        """Median seconds of ours and of each peer for this kind of lines."""
        peers = (self._regexp, self._duckdb) if kind == _LOG else (self._json,)
        taken = [[self._ours(kind, lines), *(peer(lines) for peer in peers)] for _ in range(rounds)]
        return [statistics.median(seconds) for seconds in zip(*taken, strict=True)]

    def peak(self, lines: _Lines) -> float:
        """MB (10^6 bytes) that the largest Python worker had resident while ours read the log."""
        # Functions that want another environment get Python processes of their own.
        name, value = "DRIFTLINE_BENCHMARK", next(self._folders)
        self._spark.sparkContext.environment[name] = value
        self._ours(_LOG, lines)
        del self._spark.sparkContext.environment[name]
        return _peak_of(f"{name}={value}".encode()) / 1e6

    def _ours(self, kind: str, lines: _Lines) -> float:
        problem, folder = self._problems[kind], next(self._folders)
        environment = self._environment.model_copy(update={"data": str(lines.folder)})
        tables = Tables(self._spark, folder)
        ledger = Ledger(tables, problem, environment)
        line = Line(problem, environment, self._line.root, self._spark, tables, ledger)
        seconds = _seconds(lambda: ingest.run(line))
        _check("ours", tables.read("bronze.requests").inputFiles(), lines)
        shutil.rmtree(folder)
        return seconds

    def _regexp(self, lines: _Lines) -> float:
        fields = {
            name: F.regexp_extract("value", _PATTERN, place)
            for place, name in enumerate(_COLUMNS, start=1)
        }
        fields["time"] = F.to_timestamp(fields["time"], "dd/MMM/yyyy:HH:mm:ss Z")
        for name in ("status", "bytes"):
            fields[name] = fields[name].try_cast("long")
        columns = [field.alias(name) for name, field in fields.items()]
        return self._delta(
            "regexp_extract",
            lambda: self._spark.read.text(str(lines.file(_LOG))).select(*columns),
            lines,
        )

    def _json(self, lines: _Lines) -> float:
        schema = ", ".join(f"`{name}` {kind}" for name, kind in _COLUMNS.items())
        reader = self._spark.read.schema(schema)
        return self._delta("Spark JSON", lambda: reader.json(str(lines.file(_JSON))), lines)

    def _delta(self, who: str, read: Callable[[], DataFrame], lines: _Lines) -> float:
        folder = next(self._folders)
        seconds = _seconds(lambda: read().write.format("delta").save(folder))
        _check(who, self._spark.read.format("delta").load(folder).inputFiles(), lines)
        shutil.rmtree(folder)
        return seconds

    def _duckdb(self, lines: _Lines) -> float:
        words = ("host", "ident", "user", "day", "zone", "request", "status", "bytes")
        names = (*words, "referrer", "agent")
        columns = {name: "BIGINT" if name in ("status", "bytes") else "VARCHAR" for name in names}
        file = next(self._folders)
        query = f"""
            COPY (
                FROM read_csv(
                    '{lines.file(_LOG)}', columns = {columns}, auto_detect = false,
                    header = false, delim = ' ', quote = '"', escape = '\\', nullstr = '-'
                )
            ) TO '{file}' (FORMAT parquet, COMPRESSION snappy)
        """
        with duckdb.connect(config={"threads": _CORES}) as connection:
            seconds = _seconds(lambda: connection.execute(query))
        _check("DuckDB", [file], lines)
        Path(file).unlink()
        return seconds


def _seconds(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def _check(who: str, files: Iterable[str], lines: _Lines) -> None:
    """Raise unless a table's files hold what was generated; DuckDB reads everyone's."""
    paths = [file.removeprefix("file://") for file in files]
    query = "SELECT count(*), sum(status), sum(bytes), count(DISTINCT host) FROM read_parquet(?)"
    with duckdb.connect(config={"threads": _CORES}) as connection:
        found = _Sums(*map(int, connection.execute(query, [paths]).fetchone()))
    if found != lines.sums:
        raise RuntimeError(f"{who} wrote {found}, not {lines.sums}")


def _peak_of(mark: bytes) -> int:
    """Bytes of the largest peak among the processes that have ``mark`` in their environment."""
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                status = (process / "status").read_text()
                peaks += re.findall(r"VmHWM:\s*(\d+) kB", status)
        except OSError:  # not ours, or gone
            continue
    if len(peaks) < 2:
        raise RuntimeError("the workers were gone before their memory could be read")
    return max(map(int, peaks)) * 1024


# The lines

_HOSTS = [f"10.{number >> 8}.{number & 255}.{number * 7 % 254}" for number in range(60_000)]
_FIRST = 1_706_745_600  # 2024-02-01
_USERS = [None] * 20 + [f"c{number:06}" for number in range(30_000)]
_METHODS = ["GET"] * 18 + ["POST", "HEAD"]
_PROTOCOLS = ["HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/1.0"]
_PATHS = [
    "/",
    "/cart",
    *(f"/product/{number}?ref=mail&utm_campaign=spring-{number % 12}" for number in range(4000)),
    *(f"/search?q=lamp+{number}&page={number % 9}" for number in range(4000)),
    *(f"/static/{number % 40}/images/photo-{number:05}.jpg" for number in range(4000)),
    *(f"/api/v1/items/{number}/reviews?sort=newest&limit=20" for number in range(4000)),
    *(rf"/caf\xe9/{number}" for number in range(40)),
]
_REFERRERS = [
    *(None, "https://shop.example/", "https://www.google.com/"),
    *(f"https://shop.example/product/{number}?ref=mail" for number in range(3000)),
    *(f"https://www.bing.com/search?q=shop+{number}" for number in range(1000)),
    *(rf"http://\xe4\xe5\xe3\xf2\xff.example/{number}" for number in range(10)),
]
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_AGENTS = [
    *(
        f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36"
        for version in range(90, 126)
        for system in ("Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Linux; Android 13; K")
    ),
    *(f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in range(99)),
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    'Mozilla/4.0 (compatible; "Widget" 1.0; C:\\Program Files)',
    None,
]
_STATUSES, _SHARES = [200, 304, 404, 301, 500], [0.91, 0.04, 0.03, 0.015, 0.005]
_FORMS = {
    _LOG: '$host - $user [$time] "$method $path $protocol" $status $bytes "$referrer" "$agent"\n',
    _JSON: '{"host":"$host","ident":null,"user":$user,"time":"$time","method":$method,"path":$path,'
    '"protocol":$protocol,"status":$status,"bytes":$bytes,"referrer":$referrer,"agent":$agent}\n',
}
_TIMES = {_LOG: "%d/%b/%Y:%H:%M:%S +0000", _JSON: "%Y-%m-%dT%H:%M:%SZ"}
_NULLS = {_LOG: "-", _JSON: "null"}
_PIECE = 100_000


def _generate(folder: Path, count: int) -> _Lines:
    """Write ``count`` requests of a shop: a few pages are popular, most are rare."""
    folder.mkdir()
    hosts = pa.array(_HOSTS)
    pools = {
        "user": _USERS,
        "method": _METHODS,
        "path": _PATHS,
        "protocol": _PROTOCOLS,
        "referrer": _REFERRERS,
        "agent": _AGENTS,
    }
    texts = {
        kind: {name: pa.array([_text(kind, each) for each in pool]) for name, pool in pools.items()}
        for kind in _FORMS
    }
    seen = np.zeros(len(hosts), np.bool_)
    statuses = sizes = 0
    for at in range(0, count, _PIECE):
        rng, some = np.random.default_rng([7, at]), min(_PIECE, count - at)
        host = (len(hosts) * rng.random(some) ** 2).astype(np.int64)
        status = rng.choice(_STATUSES, some, p=_SHARES)
        empty = status == 304
        size = np.where(empty, 0, np.exp(rng.normal(9.0, 1.2, some))).astype(np.int64)
        second = pa.array(_FIRST + np.arange(at, at + some) // 3, pa.timestamp("s"))
        chosen = {name: _popular(rng, len(pool), some) for name, pool in pools.items()}
        for kind, form in _FORMS.items():
            columns = {name: texts[kind][name].take(where) for name, where in chosen.items()}
            columns["host"] = hosts.take(pa.array(host))
            columns["time"] = pc.strftime(second, _TIMES[kind])
            columns["status"] = pa.array(status).cast(pa.string())
            digits = pa.array(size).cast(pa.string())
            columns["bytes"] = pc.if_else(pa.array(empty), _NULLS[kind], digits)
            with (folder / f"lines.{kind}").open("ab") as file:
                file.write(_filled(form, columns))
        seen[host] = True
        statuses, sizes = statuses + int(status.sum()), sizes + int(size.sum())
    return _Lines(folder, _Sums(count, statuses, sizes, int(seen.sum())))


def _popular(rng: np.random.Generator, kinds: int, count: int) -> pa.Array:
    return pa.array((kinds * rng.random(count) ** 3).astype(np.int64))


def _text(kind: str, text: str | None) -> str:
    if kind == _JSON:
        return json.dumps(text)
    # A log escapes quotes and backslashes; \x is how it escapes other bytes.
    return "-" if text is None else re.sub(r'"|\\(?!x)', r"\\\g<0>", text)


def _filled(form: str, columns: dict[str, Any]) -> memoryview:
    """Lines of a form, each $name replaced by the column's text, one after the other."""
    parts = re.split(r"\$(\w+)", form)
    parts[1::2] = (columns[name] for name in parts[1::2])
    lines = pc.binary_join_element_wise(*parts, "")
    _, offsets, data = lines.buffers()
    return memoryview(data)[: np.frombuffer(offsets, np.int32)[len(lines)]]
