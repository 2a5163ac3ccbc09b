"""Requests made from the OpenAPI document by schemathesis: none may end in a server error."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from tests.serving.conftest import ask

from driftline.serving.limits import Limits
from driftline.serving.rest import Rest

EXAMPLES = 60


def operations(app) -> list:
    document = ask(app, "GET", "/openapi.json").json
    schema = schemathesis.openapi.from_dict(document)
    return [each.ok() for each in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_no_request_is_a_server_error(service, mode) -> None:
    app = Rest(service, Limits()).app()
    codes: dict[str, set[int]] = {}
    every = operations(app)
    assert len(every) == 13
    if mode is GenerationMode.NEGATIVE:  # nothing can be wrong with a request that says nothing
        every = [each for each in every if each.body]
    for operation in every:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def attack(case) -> None:
            sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
            body = sent.get("data") or b""
            if "json" in sent:
                body = json.dumps(sent["json"]).encode()
            if isinstance(body, str):
                body = body.encode()
            path = sent["url"].removeprefix("http://127.0.0.1").split("?")[0]
            answer = ask(app, case.method, path, body)
            codes.setdefault(case.operation.label, set()).add(answer.status)
            assert answer.status < 500
            assert b"Traceback" not in answer.body
            if answer.status >= 400:
                assert answer.json["error"]

        attack()
    assert len(codes) == len(every)
    predicted = codes["POST /predict"]
    assert predicted == {200} if mode is GenerationMode.POSITIVE else 422 in predicted
