"""In other people's servers: a Lambda function by real events, a Flask application as a mount."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from a2wsgi import ASGIMiddleware
from flask import Flask
from starlette._utils import get_route_path
from tests.serving.conftest import ROW
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from driftline.errors import Missing
from driftline.serving import application, aws
from driftline.serving.limits import Limits, route
from driftline.serving.service import Service

PROJECT = Path(__file__).parents[2]
BODY = json.dumps({"rows": [ROW]})

HTTP_API = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/predict",
    "rawQueryString": "",
    "headers": {
        "accept": "*/*",
        "content-length": str(len(BODY)),
        "content-type": "application/json",
        "host": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
        "user-agent": "curl/8.5.0",
        "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
        "x-forwarded-for": "205.255.255.176",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
        "x-request-id": "from-outside",
    },
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "r3pmxmplak",
        "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
        "domainPrefix": "r3pmxmplak",
        "http": {
            "method": "POST",
            "path": "/predict",
            "protocol": "HTTP/1.1",
            "sourceIp": "205.255.255.176",
            "userAgent": "curl/8.5.0",
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": "$default",
        "stage": "$default",
        "time": "10/Mar/2024:05:16:23 +0000",
        "timeEpoch": 1710047783000,
    },
    "body": BODY,
    "isBase64Encoded": False,
}
"""Payload format 2.0: HTTP APIs and function URLs."""

REST_API = {
    "resource": "/predict",
    "path": "/predict",
    "httpMethod": "POST",
    "headers": {"content-type": "application/json", "host": "id.execute-api.amazonaws.com"},
    "multiValueHeaders": {
        "content-type": ["application/json"],
        "host": ["id.execute-api.amazonaws.com"],
    },
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": None,
    "stageVariables": None,
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "id",
        "httpMethod": "POST",
        "identity": {"sourceIp": "205.255.255.176", "userAgent": "curl/8.5.0"},
        "path": "/prod/predict",
        "protocol": "HTTP/1.1",
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "resourcePath": "/predict",
        "stage": "prod",
    },
    "body": base64.b64encode(BODY.encode()).decode(),
    "isBase64Encoded": True,
}
"""Payload format 1.0: REST APIs; here with a body in base 64."""


BALANCER = {
    "requestContext": {
        "elb": {
            "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:123456789012:"
            "targetgroup/churn/49e9d65c45c6791a"
        }
    },
    "httpMethod": "POST",
    "path": "/predict",
    "queryStringParameters": {},
    "headers": {
        "accept": "*/*",
        "content-type": "application/json",
        "host": "churn-alb-1234567890.us-east-2.elb.amazonaws.com",
        "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
        "x-forwarded-for": "72.12.164.125",
        "x-forwarded-port": "80",
        "x-forwarded-proto": "http",
    },
    "body": BODY,
    "isBase64Encoded": False,
}
"""Of an application load balancer."""


def staged(event: dict[str, Any], stage: str, path: str) -> dict[str, Any]:
    """An event of an HTTP API with a stage of that name, as it writes the path."""
    context = {**event["requestContext"], "stage": stage}
    if "http" in context:
        context["http"] = {**context["http"], "path": path}
        return {**event, "rawPath": path, "requestContext": context}
    return {**event, "version": "1.0", "path": path, "requestContext": context}


@pytest.fixture
def here(registry, monkeypatch):
    """The registry of the tests in the place of MLflow's."""
    monkeypatch.setattr(Service, "of", classmethod(lambda cls, store, name: registry.service()))
    return registry


@pytest.fixture
def handler(here, monkeypatch) -> aws.Handler:
    monkeypatch.setenv("DRIFTLINE_PROBLEM", str(PROJECT / "conf/churn.yaml"))
    monkeypatch.setenv("DRIFTLINE_ENV", str(PROJECT / "conf/env/local.yaml"))
    return aws.Handler()


@pytest.mark.parametrize(
    "event", [HTTP_API, REST_API, BALANCER], ids=["2.0", "1.0", "load balancer"]
)
def test_a_function_answers_events(handler, event) -> None:
    answer = handler(event, None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["predictions"] == [
        {"customer_id": "c1", "score": 0.9, "prediction": 1.0}
    ]


@pytest.mark.parametrize(
    ("base", "event", "code"),
    [
        (None, staged(HTTP_API, "prod", "/prod/predict"), 200),
        (None, staged(REST_API, "prod", "/prod/predict"), 200),  # an HTTP API may choose it
        (None, staged(HTTP_API, "prod", "/predict"), 200),
        (None, staged(HTTP_API, "prod", "/product/predict"), 404),
        (None, staged(HTTP_API, "prod", "/shop/predict"), 404),
        (None, {**REST_API, "path": "/prod/predict"}, 404),
        ("/shop", staged(HTTP_API, "prod", "/shop/predict"), 200),
        ("shop/", {**REST_API, "path": "/shop/predict"}, 200),
        ("/shop", {**BALANCER, "path": "/shop/predict"}, 200),
        ("/shop", HTTP_API, 200),
        ("/", staged(HTTP_API, "prod", "/prod/predict"), 404),
        ("/", staged(HTTP_API, "predict", "/predict"), 200),
    ],
)
def test_a_function_knows_what_is_before_its_paths(handler, monkeypatch, base, event, code) -> None:
    if base is not None:
        monkeypatch.setenv("DRIFTLINE_BASE_PATH", base)
    assert handler(event, None)["statusCode"] == code


def test_a_stage_is_a_mount(handler, monkeypatch) -> None:
    """For the gate as for the router: health is open, and the documentation finds its document."""
    monkeypatch.setenv("DRIFTLINE_API_KEY", "secret")
    health = staged(HTTP_API, "prod", "/prod/healthz")
    health["requestContext"]["http"]["method"] = "GET"
    assert handler(health, None)["statusCode"] == 200
    assert handler(staged(HTTP_API, "prod", "/prod/predict"), None)["statusCode"] == 401
    page = staged(HTTP_API, "prod", "/prod/docs")
    page["requestContext"]["http"]["method"] = "GET"
    page["headers"] = {**page["headers"], "x-api-key": "secret"}
    assert "'/prod/openapi.json'" in handler(page, None)["body"]


def test_a_function_says_what_is_wrong(handler, monkeypatch) -> None:
    answer = handler({**HTTP_API, "body": "{"}, None)
    assert answer["statusCode"] == 400
    assert answer["headers"]["x-request-id"] == "from-outside"
    monkeypatch.delenv("DRIFTLINE_ENV")
    with pytest.raises(Missing, match="DRIFTLINE_ENV is not set"):
        aws.Handler()(HTTP_API, None)


def test_a_function_has_the_key_it_was_given_or_none(handler, monkeypatch) -> None:
    monkeypatch.setenv("DRIFTLINE_API_KEY", "")
    for _ in range(2):  # and does not open at the second event
        with pytest.raises(Missing, match="the API key is empty"):
            handler(HTTP_API, None)
    monkeypatch.setenv("DRIFTLINE_API_KEY", "secret")
    assert handler(HTTP_API, None)["statusCode"] == 401
    headers = {**HTTP_API["headers"], "authorization": "Bearer of.a.user", "x-api-key": "secret"}
    assert handler({**HTTP_API, "headers": headers}, None)["statusCode"] == 200


def test_a_function_takes_over_a_new_champion(handler, here, monkeypatch) -> None:
    monkeypatch.setattr(aws, "_SECONDS", 0.0)
    assert json.loads(handler(HTTP_API, None)["body"])["version"] == 1
    here.put(here.files[1])
    assert json.loads(handler(HTTP_API, None)["body"])["version"] == 2


def test_the_docs_mount_it_into_flask(here, monkeypatch) -> None:
    """The example runs as it stands."""
    text = (PROJECT / "docs/predictions.md").read_text(encoding="utf-8")
    (block,) = [
        each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Flask" in each
    ]
    monkeypatch.chdir(PROJECT)
    names: dict = {"__name__": "__main__"}
    exec(block, names)
    client = names["web"].test_client()
    assert client.get("/").text == "our shop"
    answer = client.post("/churn/predict", json={"rows": [ROW]})
    assert answer.status_code == 200, answer.text
    assert answer.json["predictions"][0]["score"] == 0.9
    assert client.post("/churn/predict", json={"rows": [{}]}).status_code == 422
    assert client.get("/churn/healthz").json == {"status": "ok"}


def test_a_mount_has_the_rules_of_a_server(here) -> None:
    """Health is open and always answered, metrics whatever the rate, predictions are counted."""
    made = (PROJECT / "conf/churn.yaml", PROJECT / "conf/env/local.yaml")
    app = application.application(*made, limits=Limits(key="secret", rate=0.001))
    web = Flask(__name__)
    mounts = {"/churn": ASGIMiddleware(app), "/healthz": ASGIMiddleware(app)}
    web.wsgi_app = DispatcherMiddleware(web.wsgi_app, mounts)
    key, body = {"X-API-Key": "secret"}, {"rows": [ROW]}

    def status(path: str, method: str = "GET", **more: Any) -> int:
        with web.test_client().open(path, method=method, buffered=True, **more) as answer:
            return int(answer.status_code)

    health = ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"]
    assert [status(f"/churn{path}") for path in health] == [200] * 4
    assert status("/churn/metrics") == 401
    for mount in ("/churn", "/healthz"):  # a prefix opens nothing
        assert status(f"{mount}/predict", "POST", json=body) == 401
    codes = [status("/churn/predict", "POST", json=body, headers=key) for _ in "ab"]
    assert codes == [200, 429]  # and no request for health took the rate away
    assert [status(f"/churn{path}") for path in health] == [200] * 4
    told = web.test_client().get("/churn/metrics", headers=key)
    assert told.status_code == 200
    assert 'driftline_requests_total{code="200",way="/predict"} 1.0' in told.text
    assert 'driftline_requests_total{code="200",way="/healthz"} 2.0' in told.text


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/healthz", "", "/healthz"),
        ("/a/healthz", "/a", "/healthz"),
        ("/a", "/a", ""),
        ("/ab/healthz", "/a", "/ab/healthz"),
        ("/healthz", "/a", "/healthz"),
    ],
)
def test_the_gate_sees_the_path_that_is_routed(path, prefix, expected) -> None:
    scope = {"path": path, "root_path": prefix}
    assert route(scope) == expected == get_route_path(scope)
    assert route({"path": path}) == path


def test_an_application_of_a_problem(here) -> None:
    app = application.application(PROJECT / "conf/churn.yaml", PROJECT / "conf/env/local.yaml")
    assert callable(app)
