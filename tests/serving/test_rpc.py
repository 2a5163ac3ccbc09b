"""gRPC: the same answers as REST, in the protocol's own messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from tests.serving.conftest import FACTS

from driftline.serving import rpc, tensors
from driftline.serving.facts import MISSING
from driftline.serving.limits import Admission, Limits
from driftline.serving.request_log import RequestLog
from driftline.serving.rows import Wrong, told
from driftline.serving.rpc import SERVICE, Messages, Rpc
from driftline.serving.service import Service

M = Messages()
FOLDER = Path(rpc.__file__).parent


@pytest.fixture
def connect(service: Service) -> Iterator[Callable[..., grpc.Channel]]:
    """A server of its own event loop in a thread; gives a channel to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[Any] = []

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    def start(limits: Limits = Limits(rows=5, body=20_000)) -> grpc.Channel:  # noqa: B008
        async def up() -> int:
            server = Rpc(service, limits, Admission(limits)).server()
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            servers.append(server)
            return int(port)

        return grpc.insecure_channel(f"127.0.0.1:{wait(up())}")

    yield start
    for server in servers:
        wait(server.stop(0))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def call(channel: grpc.Channel, name: str, request: Any = None, **more: Any) -> Any:
    made = channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(M, f"{name}Response").FromString,
    )
    return made(request or getattr(M, f"{name}Request")(), timeout=10, **more)


def infer(*, raw: bool = False, **changes: Any) -> Any:
    """Two rows; a change replaces a column's (datatype, shape, data)."""
    columns = {
        "spend_30d": ("FP64", [2], [20.0, 80.0]),
        "age": ("INT64", [2], [30, 40]),
        "member": ("BOOL", [2], [True, False]),
        "channel": ("BYTES", [2], [b"web", b""]),
        "customer_id": ("BYTES", [2], [b"a", "ü".encode()]),
    } | changes
    request = M.ModelInferRequest(model_name="churn", id="q7")
    for name, column in columns.items():
        if column is None:
            continue
        datatype, shape, data = column
        made = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(as_bytes(datatype, data))
        elif datatype in rpc._CONTENTS:
            getattr(made.contents, rpc._CONTENTS[datatype]).extend(data)
    return request


def as_bytes(datatype: str, data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in data)
    return np.asarray(data, rpc._RAW[datatype]).tobytes()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("spend", ["FP64", "FP32", "INT32"])
def test_tensors_are_scored(connect, raw, spend) -> None:
    answer = call(connect(), "ModelInfer", infer(raw=raw, spend_30d=(spend, [2, 1], [20, 80])))
    assert (answer.model_name, answer.model_version, answer.id) == ("churn", "1", "q7")
    names = [each.name for each in answer.outputs]
    if raw:  # answered as asked
        found = dict(zip(names, answer.raw_output_contents, strict=True))
        assert np.frombuffer(found["score"], "<f8").tolist() == [0.9, 0.2]
        assert np.frombuffer(found["prediction"], "<f8").tolist() == [1.0, 0.0]
        assert found["customer_id"] == b"\x01\0\0\0a\x02\0\0\0" + "ü".encode()
    else:
        found = {each.name: each.contents for each in answer.outputs}
        assert list(found["score"].fp64_contents) == [0.9, 0.2]
        assert list(found["prediction"].fp64_contents) == [1.0, 0.0]
        assert list(found["customer_id"].bytes_contents) == [b"a", "ü".encode()]
    assert [list(each.shape) for each in answer.outputs] == [[2]] * 3


def test_what_was_asked_is_written_down(connect, service, tmp_path) -> None:
    service.log = RequestLog(tmp_path)
    call(connect(), "ModelInfer", infer())
    service.log.close()
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(each["request_id"], each["customer_id"], each["channel"]) for each in lines] == [
        ("q7", "a", "web"),
        ("q7", "ü", None),
    ]


def test_nan_is_missing_and_outputs_can_be_chosen(connect) -> None:
    request = infer(spend_30d=("FP64", [2], [float("nan"), 80.0]))
    request.outputs.add(name="score")
    (score,) = call(connect(), "ModelInfer", request).outputs
    assert list(score.contents.fp64_contents) == [0.9, 0.2]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_whole_numbers_and_truth_values_may_be_missing_too(raw, datatype) -> None:
    """As null over REST, which this protocol has none of: nobody has to make up a 0."""
    nan = float("nan")
    request = infer(raw=raw, age=(datatype, [2], [nan, 40]), member=(datatype, [2], [1, nan]))
    asked = tensors.read(FACTS, rpc._tensors(request, 5), 5)
    assert [row["age"] for row in told(FACTS, asked)] == [None, 40]
    assert [row["member"] for row in told(FACTS, asked)] == [True, None]


def test_an_empty_text_is_missing_only_where_there_is_no_null() -> None:
    """Over REST it is a word like any other, as rows, batches and the log have it."""
    words = [tensors.Tensor("channel", "BYTES", [2], each) for each in ([b"web", b""], ["web", ""])]
    channel = next(each for each in FACTS.columns if each.name == "channel")
    assert [tensors._words(channel, each)[1] for each in words] == [MISSING, ""]


def test_an_id_may_be_as_long_as_by_rest(connect) -> None:
    channel, request = connect(), infer()
    request.id = "ü" * 1000
    assert call(channel, "ModelInfer", request).id == request.id
    request.id += "ü"
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", request)
    assert caught.value.code() == BAD
    assert "id: longer than 1,000 characters" in caught.value.details()


def test_server_and_model_tell_what_they_are(connect) -> None:
    channel = connect()
    assert call(channel, "ServerLive").live
    assert call(channel, "ServerReady").ready
    assert call(channel, "ServerMetadata").name == "driftline"
    named = {"name": "churn", "version": "1"}
    assert call(channel, "ModelReady", M.ModelReadyRequest(**named)).ready
    found = call(channel, "ModelMetadata", M.ModelMetadataRequest(**named))
    assert [each.datatype for each in found.inputs] == ["FP64", "INT64", "BOOL", "BYTES"]
    assert [each.name for each in found.outputs] == ["score", "prediction"]


def other_model() -> Any:
    request = infer()
    request.model_name = "other"
    return request


def other_version() -> Any:
    request = infer()
    request.model_version = "7"
    return request


def too_few_raw() -> Any:
    request = infer(raw=True)
    del request.raw_input_contents[-1]
    return request


def strange_output() -> Any:
    request = infer()
    request.outputs.add(name="logits")
    return request


BAD = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (other_model(), grpc.StatusCode.NOT_FOUND, "model"),
        (other_version(), grpc.StatusCode.NOT_FOUND, "version"),
        (too_few_raw(), BAD, "raw_input_contents"),
        (strange_output(), BAD, "outputs.logits"),
        (infer(age=None), BAD, "inputs.age"),
        (infer(more=("FP64", [2], [1.0, 2.0])), BAD, "inputs.more"),
        (infer(age=("FP64", [2], [1.5, 2.0])), BAD, "inputs.age.data.0"),
        (infer(age=("FP16", [2], [])), BAD, "inputs.age.datatype"),
        (infer(age=("INT64", [3], [1, 2])), BAD, "inputs.age.shape"),
        (infer(age=("INT64", [2], [1])), BAD, "inputs.age.data"),
        (infer(age=("INT64", [1, 2], [1, 2])), BAD, "inputs.age.shape"),
        (infer(age=("INT64", [], [1, 2])), BAD, "inputs.age.shape"),
        (infer(spend_30d=("FP64", [], [1.0, 2.0])), BAD, "inputs.spend_30d.shape"),
        (infer(spend_30d=("FP64", [-2], [1.0, 2.0])), BAD, "inputs.age.shape"),
        (infer(age=("UINT64", [2], [1, 2**63])), BAD, "inputs.age.data.1"),
        (infer(spend_30d=("FP64", [2], [float("inf"), 1.0])), BAD, "inputs.spend_30d.data"),
        (infer(channel=("BYTES", [2], [b"\xff", b"web"])), BAD, "inputs.channel.data.0"),
        (infer(raw=True, channel=("BYTES", [2], b"\x09\0\0\0web")), BAD, "inputs.channel"),
        (infer(raw=True, channel=("BYTES", [2], b"\x09")), BAD, "inputs.channel"),
        (infer(raw=True, age=("INT64", [2], b"1234567")), BAD, "inputs.age"),
        (
            infer(**{n: ("FP64", [6], [1.0] * 6) for n in ("spend_30d", "age")}),
            BAD,
            "inputs.member.shape",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(connect, request_, code, said) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(connect(), "ModelInfer", request_)
    assert caught.value.code() == code
    assert said in caught.value.details()


@pytest.mark.parametrize("raw", [False, True])
def test_an_entity_is_within_what_can_be_answered(raw) -> None:
    facts = replace(FACTS, entity_type="bigint")
    for largest in (2**63 - 1, 2**63):
        request = infer(raw=raw, customer_id=("UINT64", [2], [0, largest]))
        given = rpc._tensors(request, 5)
        if largest < 2**63:
            assert tensors.read(facts, given, 5).entities == [0, largest]
            continue
        with pytest.raises(Wrong, match=r"inputs\.customer_id\.data\.1: is no INT64"):
            tensors.read(facts, given, 5)


def test_a_bug_says_nothing_of_itself(connect, service, caplog) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("internal 4711")

    service.predict = broken
    with pytest.raises(grpc.RpcError) as caught:
        call(connect(), "ModelInfer", infer())
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "this is a bug in driftline, please report it"
    assert "ModelInfer failed" in caplog.text


@pytest.mark.parametrize(
    ("bearer", "api_key", "code"),
    [
        ("Bearer of.a.user", "secret", None),
        ("bearer secret", "another's", None),
        ("Bearer of.a.user", "wrong", grpc.StatusCode.UNAUTHENTICATED),
        ("Basic secret", "", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_the_key_opens_whatever_comes_along(connect, bearer, api_key, code) -> None:
    channel = connect(Limits(key="secret"))
    sent = {"metadata": (("authorization", bearer), ("x-api-key", api_key))}
    if code is None:
        assert call(channel, "ModelInfer", infer(), **sent).id == "q7"
        return
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", infer(), **sent)
    assert caught.value.code() == code


def test_who_takes_too_long_is_not_waited_for(connect, service) -> None:
    go, predict = threading.Event(), service.predict

    def slow(*given: Any) -> Any:
        go.wait(10)
        return predict(*given)

    service.predict = slow
    channel = connect(Limits(seconds=0.2, concurrency=1))
    many = {"age": ("INT64", [60], [30] * 60), "channel": ("BYTES", [60], [b"web"] * 60)}
    many |= {"spend_30d": ("FP64", [60], [20.0] * 60), "member": ("BOOL", [60], [True] * 60)}
    request = infer(**many, customer_id=None)  # so many that they are scored in a thread
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", request)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.details() == "not finished within 0.2 seconds"
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # it is at work still
    go.set()
    answer, until = None, time.monotonic() + 30
    while answer is None and time.monotonic() < until:  # and there is room for the next
        with contextlib.suppress(grpc.RpcError):
            answer = call(channel, "ModelInfer", request)
    assert list(answer.outputs[0].shape) == [60]
    told = service.metrics.text().decode()
    assert 'driftline_requests_total{code="DEADLINE_EXCEEDED",way="grpc"} 1.0' in told


def test_limits_hold_here_too(connect) -> None:
    channel = connect(Limits(rate=10, key="secret"))
    key = {"metadata": (("x-api-key", "secret"),)}
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", infer())
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert call(channel, "ServerLive").live
    assert call(channel, "ModelInfer", infer(), **key).id == "q7"
    with pytest.raises(grpc.RpcError) as caught:
        for _ in range(20):
            call(channel, "ModelInfer", infer(), **key)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata())["retry-after"] == "1"


def test_a_message_that_is_too_long_is_refused(connect) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(connect(), "ModelInfer", infer(channel=("BYTES", [2], [b"a" * 30_000, b""])))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_as_many_rows_as_are_allowed_fit_into_a_message(connect) -> None:
    many = 40_000
    columns = {"channel": ("BYTES", [many], [b"a" * 60] * many), "customer_id": None}
    columns |= {"spend_30d": ("FP64", [many], [20.0] * many), "age": ("INT64", [many], [30] * many)}
    request = infer(raw=True, member=("BOOL", [many], [True] * many), **columns)
    assert request.ByteSize() > 3_000_000
    answer = call(connect(Limits(rows=many)), "ModelInfer", request)
    assert list(answer.outputs[0].shape) == [many]
    assert call(connect(Limits(body=2**32)), "ServerLive").live  # more than gRPC can be told


def test_the_compiled_protocol_is_the_protocol(tmp_path) -> None:
    out = tmp_path / "again.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", FOLDER, "--include_imports"]
    command += ["--descriptor_set_out", out, "open_inference.proto"]
    subprocess.run(command, check=True)
    read = descriptor_pb2.FileDescriptorSet.FromString
    kept = (FOLDER / "open_inference.binpb").read_bytes()
    assert read(out.read_bytes()) == read(kept)
