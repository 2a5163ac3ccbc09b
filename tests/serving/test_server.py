"""The process: starts without Java and Spark, follows the champion, ends well when told to."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
import requests
from click.testing import CliRunner
from deltalake import write_deltalake
from tests.serving.conftest import FACTS, ROW, Registry, onnx

from driftline import sources
from driftline.cli import cli
from driftline.errors import Missing
from driftline.portable.saved import Linear
from driftline.serving import server
from driftline.serving.limits import Limits
from driftline.serving.lookup import Lookup
from driftline.serving.request_log import RequestLog
from driftline.serving.rest import Rest
from driftline.serving.rows import Wrong
from driftline.serving.rpc import SERVICE, Messages
from driftline.serving.server import Settings, serve
from driftline.serving.service import Scores
from listeners import listeners_of_session, outward

PROJECT = Path(__file__).parents[2]
CHURN = PROJECT / "conf" / "churn.yaml"
LEVEL = Linear(np.zeros(5), 0.0, logistic=True)


class Store:
    """The tables of MLflow's SQLite store that are read (tests/spark compares with MLflow's)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "mlflow.db"
        self._do("CREATE TABLE registered_model_aliases (alias, version INTEGER, name)")
        self._do("CREATE TABLE model_versions (name, version INTEGER, source, storage_location)")
        self._do("CREATE TABLE model_version_tags (name, version INTEGER, key, value)")

    def put(self, version: int, content: bytes) -> None:
        folder = self._folder / f"v{version}"
        folder.mkdir()
        (folder / "portable.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files = json.dumps({"portable.onnx": digest})
        self._do(
            "INSERT INTO model_versions VALUES ('churn', ?, ?, NULL)", version, folder.as_uri()
        )
        self._do("INSERT INTO model_version_tags VALUES ('churn', ?, 'files', ?)", version, files)

    def promote(self, version: int) -> None:
        self._do("DELETE FROM registered_model_aliases")
        self._do("INSERT INTO registered_model_aliases VALUES ('champion', ?, 'churn')", version)

    def _do(self, statement: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self._file)) as store, store:
            store.execute(statement, values)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path)
    found.put(1, onnx())
    found.put(2, onnx(LEVEL))
    found.promote(1)
    return found


@contextlib.contextmanager
def serving(folder: Path, *options: object) -> Iterator[tuple[subprocess.Popen, str, str]]:
    """`driftline serve` where there is no Java; gives the process, its address and that of gRPC."""
    command = [Path(sys.executable).with_name("driftline"), "serve", "--problem", CHURN]
    command += ["--warehouse", folder, "--port", 0, "--refresh", 0.05, *options]
    process = subprocess.Popen(
        list(map(str, command)),
        env={"PATH": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # what listens in it is its own
    )
    try:
        assert process.stdout
        said = process.stdout.readline()
        found = re.search(r"version \d+ on (http://\S+)", said)
        if not found:
            pytest.fail(f"{said}{process.communicate()[1]}")
        rpc = process.stdout.readline().split()[-1] if "--grpc-port" in options else ""
        address = found[1]
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{address}/readyz", timeout=5)
                break
        yield process, address, rpc
    finally:
        process.kill()
        process.communicate()


def ask(address: str) -> dict:
    answer = requests.post(f"{address}/predict", json={"rows": [ROW]}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_server_follows_the_champion_and_ends_well(tmp_path, store) -> None:
    log = tmp_path / "requests"
    options = ("--grpc-port", 0, "--log-requests", log)
    with serving(tmp_path, *options) as (process, address, rpc):
        assert ask(address)["predictions"][0]["score"] == 0.9
        with socket.create_connection((rpc.rpartition(":")[0], int(rpc.rpartition(":")[2]))):
            pass
        ports = listeners_of_session(process.pid)
        assert len(ports) >= 2 and outward(ports) == set()  # nobody has asked for more
        store.promote(2)
        until = time.monotonic() + 30
        while (found := ask(address))["version"] == 1:
            assert time.monotonic() < until
        assert found["predictions"][0]["score"] == 0.5
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    (delivery,) = log.iterdir()  # named, once the server has ended
    lines = [json.loads(line) for line in delivery.read_text("utf-8").splitlines()]
    assert len(lines) >= 2
    assert lines[0] | ROW == lines[0]
    assert [lines[0]["model_version"], lines[-1]["model_version"]] == [1, 2]
    assert lines[-1]["score"] == 0.5
    kinds = {"time": "timestamp", "request_id": "string", "model_version": "long"}
    kinds |= {"customer_id": "string", "spend_30d": "double", "age": "long", "member": "boolean"}
    kinds |= {"channel": "string", "score": "double", "prediction": "double"}
    layout = sources.Layout("ndjson", tuple(sources.Field(*each) for each in kinds.items()))
    parsed = sources.parse(delivery.read_bytes(), layout, offset=0)  # as ingest reads it
    assert parsed.rejects.num_rows == 0
    assert parsed.rows.column("score").to_pylist() == [line["score"] for line in lines]


def slow_server(ports: tuple[int, int], begun: Semaphore, go: Sequence[Event]) -> None:
    """A server whose first prediction takes until the first ``go``, and so on."""
    registry = Registry()
    registry.put(onnx())
    service = registry.service()
    predict, waits = service.predict, iter(go)

    def slow(*given: Any) -> Scores:
        wait = next(waits)
        begun.release()
        wait.wait(60)
        return predict(*given)

    service.predict = slow
    serve(service, Settings(port=ports[0], grpc_port=ports[1]), Limits(seconds=60))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def post(port: int) -> list[float]:
    body = {"rows": [ROW] * 60}  # so many that they are scored in a thread
    answer = requests.post(f"http://127.0.0.1:{port}/predict", json=body, timeout=60)
    return [each["score"] for each in answer.json()["predictions"]]


def call(port: int) -> list[float]:
    messages = Messages()
    request = messages.ModelInferRequest(model_name="churn")
    for name, (datatype, contents) in {
        "spend_30d": ("FP64", {"fp64_contents": [20.0] * 60}),
        "age": ("INT64", {"int64_contents": [30] * 60}),
        "member": ("BOOL", {"bool_contents": [True] * 60}),
        "channel": ("BYTES", {"bytes_contents": [b"web"] * 60}),
    }.items():
        request.inputs.add(name=name, datatype=datatype, shape=[60], contents=contents)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=messages.ModelInferResponse.FromString,
        )
        answer = infer(request, timeout=60, wait_for_ready=True)
    return list(answer.outputs[0].contents.fp64_contents)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(met: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not met():
        assert time.monotonic() < until
        time.sleep(0.01)


class Listening:
    """In place of a gRPC server; where it was told to listen."""

    def add_insecure_port(self, where: str) -> int:
        self.where = where
        return 4711

    async def start(self) -> None:
        """Nothing has to be done."""


def test_an_address_that_is_told_can_be_asked(service, monkeypatch, capsys) -> None:
    """Of IPv6 too, which a machine need not have to run this."""
    there = socket.create_server(("127.0.0.1", 0))
    port = there.getsockname()[1]
    monkeypatch.setattr(server, "_listen", lambda host, port: there)
    monkeypatch.setattr(server, "_run", lambda work: work.close())
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server.gc, "freeze", lambda: None)
    with there:
        serve(service, Settings(host="::1"), Limits())
    rpc = Listening()
    asyncio.run(server._start(rpc, "::1", 0))
    asyncio.run(server._start(rpc, "localhost", 0))
    assert rpc.where == "localhost:0"
    assert capsys.readouterr().out.splitlines() == [
        f"serving churn version 1 on http://[::1]:{port}",
        "gRPC on [::1]:4711",
        "gRPC on localhost:4711",
    ]


def test_requests_that_are_in_are_answered_before_the_end() -> None:
    rest, rpc = ports = (free_port(), free_port())
    new = multiprocessing.get_context("spawn")
    begun, go = new.Semaphore(0), (new.Event(), new.Event())
    process = new.Process(target=slow_server, args=(ports, begun, go))
    process.start()
    try:
        wait_until(lambda: listens(rest))
        with ThreadPoolExecutor(2) as pool:
            posted = pool.submit(post, rest)
            assert begun.acquire(timeout=60)
            called = pool.submit(call, rpc)
            assert begun.acquire(timeout=60)
            process.terminate()
            wait_until(lambda: not listens(rest))
            go[0].set()
            assert posted.result(60) == [0.9] * 60
            wait_until(lambda: not listens(rpc))
            go[1].set()
            assert called.result(60) == [0.9] * 60
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()


def run(folder: Path, *options: object, **more: str) -> tuple[int, str]:
    command = [Path(sys.executable).with_name("driftline"), "serve", "--problem", CHURN]
    done = subprocess.run(
        [*map(str, command), "--warehouse", str(folder), *map(str, options)],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_what_is_missing_is_said_before_it_listens(tmp_path, store) -> None:
    found = run(tmp_path / "elsewhere")
    assert found[0] == 4
    assert "there is no model registry" in found[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = run(tmp_path, "--port", taken.getsockname()[1])
    assert found[0] == 4
    assert "cannot listen" in found[1]
    found = run(tmp_path, "--api-key-env", "NOT_SET_HERE")
    assert found[0] == 4
    assert "NOT_SET_HERE" in found[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--refresh", "0"),
        ("--refresh", "1e9"),
        ("--refresh", "nan"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--rows", "0"),
        ("--rows", "1000000"),
        ("--concurrency", "0"),
        ("--concurrency", "-1"),
        ("--port", "65536"),
        ("--grpc-port", "-1"),
    ],
)
def test_what_makes_no_sense_is_no_setting(option, value) -> None:
    found = CliRunner().invoke(cli, ["serve", "--problem", str(CHURN), option, value])
    assert found.exit_code == 2
    assert option in found.output


def test_serving_imports_no_spark() -> None:
    """Nor anything that takes seconds or a JVM; the lambda's and gRPC's modules included."""
    names = [path.stem for path in (PROJECT / "lib/driftline/serving").glob("*.py")]
    code = "; ".join(f"import driftline.serving.{name}" for name in names if name != "__init__")
    forbidden = ["pyspark", "py4j", "delta", "mlflow", "great_expectations", "sklearn", "onnx"]
    code += f"; import sys; print([each for each in {forbidden} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_features_are_looked_up_by_entity(tmp_path, service) -> None:
    at = pa.array([1_700_000_000_000_000, 1_800_000_000_000_000], pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "customer_id": ["c1", "c1", "c2"],
            "as_of": pa.array([at[0], at[1], at[1]]),
            "spend_30d": [1.0, 80.0, None],
            "age": [1, 30, None],
            "member": [True, False, None],
            "channel": ["web", None, "fax"],
            "label": [1.0, None, None],
        }
    )
    folder = str(tmp_path / "features")
    write_deltalake(folder, table)
    lookup = Lookup(folder, "customer_id", service)
    found = lookup.rows(FACTS, ["c2", "c1", "c2"])
    assert [row["customer_id"] for row in found.rows] == ["c2", "c1", "c2"]
    assert [row["spend_30d"] for row in found.rows] == [None, 80.0, None]
    assert (found.version, found.as_of[:4]) == (0, "2027")
    with pytest.raises(Wrong, match=r"entities\.1: is not in gold\.features"):
        lookup.rows(FACTS, ["c1", "unknown"])
    write_deltalake(folder, table.slice(0, 1), mode="overwrite")
    lookup.look()
    assert lookup.rows(FACTS, ["c1"]).rows[0]["spend_30d"] == 1.0
    with pytest.raises(Wrong, match=r"entities\.0: is not in gold\.features"):
        lookup.rows(FACTS, ["c2"])  # who was erased is forgotten
    write_deltalake(folder, table, mode="overwrite")
    for file in (tmp_path / "features").glob("*.parquet"):
        file.unlink()  # a newer version that cannot be read leaves the older one
    lookup.look()
    assert lookup.rows(FACTS, ["c1"]).version == 1


def test_a_table_made_anew_is_read_though_its_version_is_the_one_held(tmp_path, service) -> None:
    def made(age: int) -> None:
        at = pa.array([1_800_000_000_000_000], pa.timestamp("us", "UTC"))
        rest = {"spend_30d": [1.0], "member": [True], "channel": ["web"]}
        table = pa.table({"customer_id": ["c1"], "as_of": at, "age": [age], **rest})
        write_deltalake(str(tmp_path / "features"), table)

    made(30)
    lookup = Lookup(str(tmp_path / "features"), "customer_id", service)
    (tmp_path / "features").rename(tmp_path / "before")
    made(40)
    lookup.look()
    found = lookup.rows(FACTS, ["c1"])
    assert (found.version, found.rows[0]["age"]) == (0, 40)


def test_features_are_those_of_now_though_nobody_asks(tmp_path, service) -> None:
    """Who was erased is forgotten; a champion that asks for more than is held makes it look."""

    def written(**columns: list) -> None:
        at = pa.array(
            [1_800_000_000_000_000] * len(columns["customer_id"]), pa.timestamp("us", "UTC")
        )
        table = pa.table({"as_of": at, **columns})
        write_deltalake(str(tmp_path), table, mode="overwrite", schema_mode="overwrite")

    rest = {"member": [None, True], "channel": ["web", "fax"]}
    written(customer_id=["c1", "c2"], spend_30d=[float("inf"), 1.0], **rest)
    lookup, stop = Lookup(str(tmp_path), "customer_id", service), threading.Event()
    with pytest.raises(Wrong, match="has no age, which the model needs"):
        lookup.rows(FACTS, ["c1"])
    written(customer_id=["c1", "c2"], spend_30d=[float("inf"), 1.0], age=[30, 40], **rest)
    with pytest.raises(Wrong, match="has no age"):  # not each of many requests looks
        lookup.rows(FACTS, ["c1"])
    lookup._looked = -math.inf
    (row,) = lookup.rows(FACTS, ["c1"]).rows
    assert (row["age"], row["spend_30d"]) == (30, math.inf)
    written(customer_id=["c2"], spend_30d=[1.0], age=[40], member=[True], channel=["fax"])
    lookup.watch(0.01, stop)
    until = time.monotonic() + 30
    while lookup._held.version < 2 and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    with pytest.raises(Wrong, match="is not in gold"):
        lookup.rows(FACTS, ["c1"])


def test_features_without_a_column_of_the_model_wait_for_another_model(
    tmp_path, registry, service, caplog
) -> None:
    """The champion of before answers while the next is trained, or where that is refused."""

    def written(people: list[str], **columns: list) -> None:
        at = pa.array([1_800_000_000_000_000] * len(people), pa.timestamp("us", "UTC"))
        rest = {"spend_30d": [1.0] * len(people), "member": [True] * len(people)}
        rest |= {"channel": ["web"] * len(people)}
        table = pa.table({"customer_id": people, "as_of": at, **rest, **columns})
        write_deltalake(str(tmp_path), table, mode="overwrite", schema_mode="overwrite")

    def ages(*people: str) -> tuple[int, list[int]]:
        found = lookup.rows(service.loaded.facts, people)
        return found.version, [row["age"] for row in found.rows]

    def kept() -> float | None:
        return service.metrics.registry.get_sample_value("driftline_features_kept")

    written(["c1", "c2"], age=[30, 40])
    lookup = Lookup(str(tmp_path), "customer_id", service)
    written(["c2", "c3"], years=[41, 51])
    for _ in range(3):
        lookup.look()
    assert (ages("c2"), kept()) == ((0, [40]), 1.0)
    with pytest.raises(Wrong, match="is not in gold"):
        ages("c1")  # who was erased is forgotten all the same
    said = "features of version 0 serve on: version 1 lacks age, which the model needs"
    assert [record.getMessage() for record in caplog.records].count(said) == 1
    written(["c2", "c3"], age=[42, 52])
    lookup.look()
    assert (ages("c2", "c3"), kept()) == ((2, [42, 52]), 0.0)

    written(["c2", "c3"], years=[43, 53])
    lookup.look()
    assert (ages("c2"), kept()) == ((2, [42]), 1.0)
    columns = tuple(
        dataclasses.replace(each, name="years") if each.name == "age" else each
        for each in FACTS.columns
    )
    registry.put(onnx(facts=dataclasses.replace(FACTS, columns=columns)))
    assert service.refresh()
    lookup._looked = -math.inf
    assert lookup.rows(service.loaded.facts, ["c3"]).rows[0]["years"] == 53
    assert kept() == 0.0


def test_entities_are_answered_by_their_features(tmp_path, service) -> None:
    from tests.serving.conftest import ask as ask_app

    at = pa.array([1_800_000_000_000_000] * 2, pa.timestamp("us", "UTC"))
    write_deltalake(
        str(tmp_path),
        pa.table(
            {
                "customer_id": ["a", "b"],
                "as_of": at,
                "spend_30d": [80.0, None],
                "age": [1, None],
                "member": [True, None],
                "channel": ["web", None],
            }
        ),
    )
    app = Rest(service, Limits(rows=5), lookup=Lookup(str(tmp_path), "customer_id", service)).app()
    found = ask_app(app, "POST", "/predict", {"entities": ["b", "a"]}).json
    assert [(each["customer_id"], each["score"]) for each in found["predictions"]] == [
        ("b", 0.9),
        ("a", 0.2),
    ]
    assert (found["features_version"], found["as_of"][:10]) == (0, "2027-01-15")
    answer = ask_app(app, "POST", "/predict", {"entities": ["a", "x"]})
    assert answer.status == 404
    assert answer.json["details"][0]["field"] == "entities.1"
    both = ask_app(app, "POST", "/predict", {"entities": ["a"], "rows": [ROW]})
    assert both.status == 422
    assert "exactly one" in both.json["error"]


def test_an_infinite_feature_is_to_a_look_up_what_it_is_to_a_batch(tmp_path, service) -> None:
    """Clipped, as any number beyond the bounds, and not the median of what is not known."""
    from tests.serving.conftest import ask as ask_app

    people = ["inf", "-inf", "nan", "null", "beyond"]
    at = pa.array([1_800_000_000_000_000] * len(people), pa.timestamp("us", "UTC"))
    spent = [math.inf, -math.inf, math.nan, None, 1e9]
    rest = {"age": [30] * 5, "member": [True] * 5, "channel": ["web"] * 5}
    table = pa.table({"customer_id": people, "as_of": at, "spend_30d": spent, **rest})
    write_deltalake(str(tmp_path / "features"), table)
    log = service.log = RequestLog(tmp_path / "log")
    lookup = Lookup(str(tmp_path / "features"), "customer_id", service)
    app = Rest(service, Limits(), lookup=lookup).app()
    answer = ask_app(app, "POST", "/predict", {"entities": people})
    assert answer.status == 200
    found = [each["score"] for each in answer.json["predictions"]]
    assert found == [0.2, 0.9, 0.9, 0.9, 0.2]
    model = service.loaded.model
    assert found == model.score(*model.inputs(table)).tolist()
    log.close()
    (delivery,) = (tmp_path / "log").iterdir()
    lines = [json.loads(line) for line in delivery.read_text("utf-8").splitlines()]
    assert [line["spend_30d"] for line in lines] == [None, None, None, None, 1e9]


def test_a_log_has_no_two_columns_of_one_name(tmp_path) -> None:
    facts = dataclasses.replace(FACTS, entity="row_id")
    with pytest.raises(Missing, match="cannot be written down: row_id is a column of the log's"):
        server._log(tmp_path / "log", facts)
    assert not (tmp_path / "log").exists()
    server._log(tmp_path / "log", FACTS).close()
