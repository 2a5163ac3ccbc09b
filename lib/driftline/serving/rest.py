"""REST: ``POST /predict``, the Open Inference Protocol under ``/v2``, health, metrics."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, FailFast, Field, JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from driftline import __version__
from driftline.probing import MARK
from driftline.serving import tensors
from driftline.serving.limits import LONGEST_ID, Admission, Gate, Limits, TooLarge
from driftline.serving.lookup import Lookup
from driftline.serving.rows import Asked, Reader, Wrong, faults
from driftline.serving.service import INLINE, Loaded, Scores, Service
from driftline.serving.tensors import Tensor


class InferInput(BaseModel):
    """An input tensor of the Open Inference Protocol."""

    name: str = Field(max_length=1000)
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    parameters: dict[str, JsonValue] = {}
    data: list[Any]


class InferOutput(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, JsonValue] = {}


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol."""

    model_config = ConfigDict(strict=True)

    id: str | None = Field(default=None, max_length=LONGEST_ID)
    parameters: dict[str, JsonValue] = {}
    inputs: Annotated[list[InferInput], FailFast()] = Field(min_length=1, max_length=tensors.MOST)
    outputs: Annotated[list[InferOutput], FailFast()] = Field(default=[], max_length=tensors.MOST)


class Rest:
    """The routes, over one service."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        *,
        admission: Admission | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._service, self._limits, self._lookup = service, limits, lookup
        self._admission = admission or Admission(limits)
        self._reader: tuple[Loaded, Reader] | None = None

    def app(self) -> Gate:
        """The ASGI application, gate included."""
        app = FastAPIOffline(
            title=f"driftline: {self._service.loaded.facts.name}",
            description=self._service.loaded.facts.question,
            version=__version__,
            redoc_url=None,
        )
        name = "/v2/models/{name}"
        for path, endpoint, method, extra in (
            ("/predict", self.predict, "POST", None),
            ("/healthz", self.alive, "GET", None),
            ("/readyz", self.alive, "GET", None),
            ("/metrics", self.metrics, "GET", None),
            ("/v2", self.server, "GET", None),
            ("/v2/health/live", self.live, "GET", None),
            ("/v2/health/ready", self.ready, "GET", None),
            (name, self.model, "GET", None),
            (f"{name}/ready", self.model_ready, "GET", None),
            (f"{name}/infer", self.infer, "POST", InferRequest.model_json_schema()),
            (f"{name}/versions/{{version}}", self.model, "GET", None),
            (f"{name}/versions/{{version}}/ready", self.model_ready, "GET", None),
            (
                f"{name}/versions/{{version}}/infer",
                self.infer,
                "POST",
                InferRequest.model_json_schema(),
            ),
        ):
            app.add_api_route(path, endpoint, methods=[method], openapi_extra=_body(extra))
        app.add_exception_handler(HTTPException, _http)
        app.add_exception_handler(TooLarge, _too_large)
        app.add_exception_handler(ClientDisconnect, _gone)
        app.add_exception_handler(Exception, _bug)
        app.openapi = self._openapi(app)
        return Gate(app, self._limits, self._admission, self._service.metrics, self._max_body)

    async def predict(self, request: Request) -> Response:
        """Score rows, or entities by their current features; answers are in the order asked."""
        loaded = self._service.loaded
        try:
            reader = self.reader(loaded)
            rows, entities = reader.read(await request.body())
            features: dict[str, Any] = {}
            if rows is None:
                assert self._lookup is not None
                look = functools.partial(self._lookup.rows, loaded.facts, entities)
                found = await self._admission.in_thread(lambda _: look())
                features = {"as_of": found.as_of, "features_version": found.version}
                rows = found.rows
            asked = reader.asked(rows, made_up=MARK in request.headers)
            scores = await self._scores(loaded, asked)
        except Wrong as wrong:
            return _wrong(request, wrong)
        id_ = request.state.request_id
        self._service.answered(id_, loaded, scores)
        return _json(
            {
                "model": loaded.facts.name,
                "version": loaded.version,
                "request_id": id_,
                **features,
                "predictions": [
                    {loaded.facts.entity: entity, "score": score, "prediction": decision}
                    for entity, score, decision in zip(
                        *(scores.asked.entities, scores.score.tolist(), scores.decision.tolist()),
                        strict=True,
                    )
                ],
            }
        )

    async def infer(self, request: Request) -> Response:
        """Score tensors, one a feature column."""
        loaded = self._service.loaded
        try:
            self._check(loaded, request)
            asked, given = await self._tensors(request, loaded)
            outputs = tensors.wanted(loaded.facts, [each.name for each in given.outputs])
            scores = await self._scores(loaded, asked)
        except Wrong as wrong:
            return _wrong(request, wrong)
        id_ = given.id or request.state.request_id
        self._service.answered(id_, loaded, scores)
        return _json(
            {
                "model_name": loaded.facts.name,
                "model_version": str(loaded.version),
                "id": id_,
                "outputs": [
                    vars(each) for each in tensors.answer(loaded.facts.entity, scores, outputs)
                ],
            }
        )

    async def _tensors(self, request: Request, loaded: Loaded) -> tuple[Asked, InferRequest]:
        try:
            given = InferRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise faults(error, ()) from None
        found = [
            Tensor(each.name, each.datatype, each.shape, _flat(each.data)) for each in given.inputs
        ]
        return tensors.read(loaded.facts, found, self._limits.rows), given

    async def _scores(self, loaded: Loaded, asked: Asked) -> Scores:
        if len(asked.entities) <= INLINE:
            return self._service.predict(loaded, asked)
        score = functools.partial(self._service.predict, loaded, asked)
        return await self._admission.in_thread(score)

    def reader(self, loaded: Loaded) -> Reader:
        """Reads requests for the model that serves; made anew when it changes."""
        if self._reader is None or self._reader[0] is not loaded:
            made = Reader(loaded.facts, self._limits.rows, look_up=self._lookup is not None)
            self._reader = (loaded, made)
        return self._reader[1]

    def _check(self, loaded: Loaded, request: Request) -> None:
        loaded.check(request.path_params["name"], request.path_params.get("version"))

    async def alive(self) -> Response:
        """Whether the server runs; it begins to listen once a model is loaded."""
        return _json({"status": "ok"})

    async def metrics(self) -> Response:
        """For Prometheus."""
        text = self._service.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def server(self) -> Response:
        """What this server is."""
        return _json({"name": "driftline", "version": __version__, "extensions": []})

    async def live(self) -> Response:
        """Whether the server runs."""
        return _json({"live": True})

    async def ready(self) -> Response:
        """Whether it can predict."""
        return _json({"ready": True})

    async def model(self, request: Request) -> Response:
        """The inputs the model needs and the outputs it gives."""
        loaded = self._service.loaded
        try:
            self._check(loaded, request)
        except Wrong as wrong:
            return _wrong(request, wrong)
        return _json(
            {
                "name": loaded.facts.name,
                "versions": [str(loaded.version)],
                "platform": "onnx",
                "inputs": [_described(*each) for each in tensors.inputs(loaded.facts)],
                "outputs": [_described(*each) for each in tensors.OUTPUTS],
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Whether the model can predict."""
        loaded = self._service.loaded
        try:
            self._check(loaded, request)
        except Wrong as wrong:
            return _wrong(request, wrong)
        return _json({"name": loaded.facts.name, "ready": True})

    def _max_body(self) -> int:
        return self._limits.max_body(self._service.loaded.row_bytes)

    def _openapi(self, app: FastAPI) -> Callable[[], dict[str, Any]]:
        """The OpenAPI document with the fields of the model that serves."""

        def document() -> dict[str, Any]:
            app.openapi_schema = None
            found = FastAPI.openapi(app)
            schema = self.reader(self._service.loaded).schema
            definitions = schema.pop("$defs", {})
            found.setdefault("components", {}).setdefault("schemas", {}).update(definitions)
            text = json.dumps(_body(schema)).replace("#/$defs/", "#/components/schemas/")
            found["paths"]["/predict"]["post"].update(json.loads(text))
            return found

        return document


def _body(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _described(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}


def _flat(data: list[Any]) -> list[Any]:
    """Rows of one element, as a shape of [n, 1] may be written, as elements."""
    if data and all(isinstance(each, list) and len(each) == 1 for each in data):
        return [each[0] for each in data]
    return data


def _json(content: dict[str, Any], status: int = 200) -> Response:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def _wrong(request: Request, wrong: Wrong) -> Response:
    details = [{"field": field, "message": said} for field, said in wrong.faults]
    id_ = request.state.request_id
    return _json({"error": str(wrong), "details": details, "request_id": id_}, wrong.status)


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody is there any more to read this."""
    return Response(status_code=400)


async def _too_large(request: Request, error: Exception) -> Response:
    return _json({"error": str(error), "request_id": request.state.request_id}, 413)


async def _bug(request: Request, error: Exception) -> Response:
    """The gate writes the error into the log; nothing of it goes out."""
    said = "this is a bug in driftline, please report it"
    return _json({"error": said, "request_id": request.state.request_id}, 500)


async def _http(request: Request, error: Exception) -> Response:
    """What the router says no to: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    answer = {"error": error.detail, "request_id": request.state.request_id}
    response = _json(answer, error.status_code)
    response.headers.update(error.headers or {})
    return response
