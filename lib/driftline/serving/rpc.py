"""gRPC: the Open Inference Protocol's service, beside REST in the same event loop.

Messages are made from the compiled protocol at start, in a pool of their own: a client library of
the same protocol in the same process is not in the way.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from driftline import __version__
from driftline.serving import tensors
from driftline.serving.limits import LONGEST_ID, Admission, Limits, opens
from driftline.serving.rows import Wrong
from driftline.serving.service import INLINE, Loaded, Service
from driftline.serving.tensors import Tensor

LOGGER = logging.getLogger("driftline.serving")

SERVICE = "inference.GRPCInferenceService"

_MAX_MESSAGE = 2**31 - 1
"""Bytes: neither gRPC's option nor a message of Protocol Buffers can be longer."""

_CODES = {404: grpc.StatusCode.NOT_FOUND}


class Messages:
    """The message classes of the protocol: ``Messages().ModelInferRequest(…)``."""

    def __init__(self) -> None:
        compiled = Path(__file__).with_name("open_inference.binpb").read_bytes()
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file:
            self._pool.Add(file)

    def __getattr__(self, name: str) -> Any:
        found = self._pool.FindMessageTypeByName(f"inference.{name}")
        made = message_factory.GetMessageClass(found)
        setattr(self, name, made)
        return made


class Rpc:
    """The service's methods, over one :class:`Service`."""

    def __init__(self, service: Service, limits: Limits, admission: Admission) -> None:
        self._service, self._limits, self._admission = service, limits, admission
        self._key = limits.key.encode() if limits.key else None
        self.messages = Messages()

    def server(self) -> grpc.aio.Server:
        """A server without a port yet; made inside the event loop it runs in."""
        # Of the champion at start: it cannot be changed later. A message names a column but once
        # and takes eight bytes for a number, so that rows of a later champion have room, too.
        most = min(self._limits.max_body(self._service.loaded.row_bytes), _MAX_MESSAGE)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", most),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=max(2 * self._limits.concurrency, 16),
        )
        methods: dict[str, Callable[[Any], Any | Awaitable[Any]]] = {
            "ServerLive": lambda _: self.messages.ServerLiveResponse(live=True),
            "ServerReady": lambda _: self.messages.ServerReadyResponse(ready=True),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _: self.messages.ServerMetadataResponse(
                name="driftline", version=__version__
            ),
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(name, method),
                request_deserializer=getattr(self.messages, f"{name}Request").FromString,
                response_serializer=getattr(self.messages, f"{name}Response").SerializeToString,
            )
            for name, method in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        return server

    def _guarded(self, name: str, method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        """The method behind key, rate and concurrency; what is wrong becomes a status."""
        free = name in ("ServerLive", "ServerReady")

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started, code = time.perf_counter(), "INTERNAL"
            try:
                if not free:
                    await self._admit(context)
                with self._admission:
                    answer = method(request)
                    if isinstance(answer, Awaitable):
                        answer = await asyncio.wait_for(answer, self._limits.seconds)
                code = "OK"
                return answer
            except Wrong as wrong:
                status = _CODES.get(wrong.status, grpc.StatusCode.INVALID_ARGUMENT)
                await context.abort(status, str(wrong)[:4000])
            except asyncio.TimeoutError:
                said = f"not finished within {self._limits.seconds:g} seconds"
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, said)
            except grpc.aio.AbortError:
                raise  # said already
            except Exception:
                LOGGER.exception("%s failed", name)
                await context.abort(
                    grpc.StatusCode.INTERNAL, "this is a bug in driftline, please report it"
                )
            finally:
                if code != "OK" and (set_ := context.code()) is not None:
                    code = getattr(set_, "name", code)
                metrics = self._service.metrics
                metrics.requests.labels("grpc", code).inc()
                metrics.seconds.labels("grpc").observe(time.perf_counter() - started)

        return call

    async def _admit(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if self._key is not None:
            sent = dict(context.invocation_metadata() or ())
            given = [str(sent.get(name, "")).encode() for name in ("authorization", "x-api-key")]
            if not opens(self._key, *given):
                await context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "the API key is missing or wrong (x-api-key)"
                )
        wait = self._admission.wait()
        if wait is not None:
            context.set_trailing_metadata((("retry-after", str(wait)),))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")

    def _check(self, name: str, version: str) -> Loaded:
        loaded = self._service.loaded
        loaded.check(name, version or None)
        return loaded

    def _model_ready(self, request: Any) -> Any:
        self._check(request.name, request.version)
        return self.messages.ModelReadyResponse(ready=True)

    def _model_metadata(self, request: Any) -> Any:
        loaded = self._check(request.name, request.version)
        found = self.messages.ModelMetadataResponse(
            name=loaded.facts.name, versions=[str(loaded.version)], platform="onnx"
        )
        for name, datatype in tensors.inputs(loaded.facts):
            found.inputs.add(name=name, datatype=datatype, shape=[-1])
        for name, datatype in tensors.OUTPUTS:
            found.outputs.add(name=name, datatype=datatype, shape=[-1])
        return found

    async def _infer(self, request: Any) -> Any:
        loaded = self._check(request.model_name, request.model_version)
        if len(request.id) > LONGEST_ID:
            raise Wrong([("id", f"longer than {LONGEST_ID:,} characters")])
        most = self._limits.rows
        asked = tensors.read(loaded.facts, _tensors(request, most), most)
        outputs = tensors.wanted(loaded.facts, [each.name for each in request.outputs])
        if len(asked.entities) <= INLINE:
            scores = self._service.predict(loaded, asked)
        else:
            score = functools.partial(self._service.predict, loaded, asked)
            scores = await self._admission.in_thread(score)
        id_ = request.id or uuid.uuid4().hex
        self._service.answered(id_, loaded, scores)
        answer = self.messages.ModelInferResponse(
            model_name=loaded.facts.name,
            model_version=str(loaded.version),
            id=id_,
        )
        for tensor in tensors.answer(loaded.facts.entity, scores, outputs):
            made = answer.outputs.add(
                name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape)
            )
            if request.raw_input_contents:  # answered as asked: clients read the one they write
                answer.raw_output_contents.append(_as_raw(tensor))
            else:
                getattr(made.contents, _CONTENTS[tensor.datatype]).extend(_elements(tensor))
        return answer


_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

_RAW = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP32": "<f4",
    "FP64": "<f8",
}


def _tensors(request: Any, most: int) -> list[Tensor]:
    """The inputs, whose data are typed contents or, all of them, raw bytes."""
    tensors.check_count("inputs", len(request.inputs))
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        said = f"{len(raw)} of them, but {len(request.inputs)} inputs"
        raise Wrong([("raw_input_contents", said)])
    found = []
    for place, each in enumerate(request.inputs):
        if each.datatype not in _CONTENTS:
            raise Wrong([(f"inputs.{each.name[:80]}.datatype", "is none of the protocol's")])
        data: Sequence[Any]
        if raw:
            data = _raw(f"inputs.{each.name[:80]}", each.datatype, raw[place], most)
        else:
            data = list(getattr(each.contents, _CONTENTS[each.datatype]))
        found.append(Tensor(each.name, each.datatype, list(each.shape), data))
    return found


def _raw(field: str, datatype: str, content: bytes, most: int) -> Sequence[Any]:
    """Little-endian numbers, or texts with their length before them in four bytes."""
    if datatype != "BYTES":
        kind = np.dtype(_RAW[datatype])
        if len(content) % kind.itemsize:
            raise Wrong([(field, f"{len(content)} bytes are no whole number of {datatype}")])
        return list(np.frombuffer(content, kind).tolist())
    found: list[bytes] = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        if at + 4 + length > len(content):
            raise Wrong([(field, "ends within an element")])
        if len(found) == most:
            raise Wrong([(field, f"more than {most} elements")])
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _elements(tensor: Tensor) -> Sequence[Any]:
    if tensor.datatype != "BYTES":
        return tensor.data
    return [("" if value is None else value).encode() for value in tensor.data]


def _as_raw(tensor: Tensor) -> bytes:
    if tensor.datatype != "BYTES":
        return np.asarray(tensor.data, _RAW[tensor.datatype]).tobytes()
    return b"".join(len(each).to_bytes(4, "little") + each for each in _elements(tensor))
