"""REST: right answers in the order asked, and for every wrong request the field that is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.serving.conftest import FACTS, INFER, ROW, ask, onnx, rows, tensor, tensors

from driftline.portable.saved import Linear
from driftline.serving.limits import Limits
from driftline.serving.rest import Rest
from driftline.serving.rows import Reader, Wrong


def test_answers_are_keyed_and_in_the_order_asked(app) -> None:
    spends = [20.0, 80.0, 50.0, None, 50.000000000000014]
    asked_ = rows(*({"spend_30d": s, "customer_id": f"c{n}"} for n, s in enumerate(spends)))
    answer = ask(app, "POST", "/predict", asked_, {"X-Request-Id": "mine-1"})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "mine-1"
    found = answer.json
    assert (found["model"], found["version"], found["request_id"]) == ("churn", 1, "mine-1")
    assert found["predictions"] == [
        {"customer_id": f"c{n}", "score": score, "prediction": float(score >= 0.5)}
        for n, score in enumerate([0.9, 0.2, 0.9, 0.9, 0.2])
    ]


def test_what_is_not_known_is_null_and_the_entity_may_be_left_out(app) -> None:
    row = {"spend_30d": None, "age": None, "member": None, "channel": None}
    (found,) = ask(app, "POST", "/predict", {"rows": [row]}).json["predictions"]
    assert found == {"customer_id": None, "score": 0.9, "prediction": 1.0}


def test_a_whole_number_may_be_written_with_a_point(app) -> None:
    assert ask(app, "POST", "/predict", rows({"age": 30.0})).status == 200
    age = tensor("age", "INT64", [30.0, 31])
    assert ask(app, "POST", INFER, tensors(age=age)).status == 200


def test_of_pseudonyms_nobody_is_named_otherwise(registry) -> None:
    """A request is written down as it came: a name in it would be kept, and score nobody."""
    registry.put(onnx(facts=replace(FACTS, pseudonymous=True)))
    app = Rest(registry.service(), Limits(rows=5)).app()
    known = "0d7ee706" * 8
    asked_ = rows({"customer_id": known}, {"customer_id": "c1"})
    answer = ask(app, "POST", "/predict", asked_)
    said = "is no pseudonym (HMAC-SHA-256 as 64 hexadecimal digits)"
    assert answer.status == 422
    assert answer.json["details"] == [{"field": "rows.1.customer_id", "message": said}]
    for name in (known.upper(), known[:-1], known + "\n"):
        assert ask(app, "POST", "/predict", rows({"customer_id": name})).status == 422
    by_name = Reader(replace(FACTS, pseudonymous=True), 5, look_up=True)
    assert by_name.read(json.dumps({"entities": [known]}).encode()) == (None, [known])
    with pytest.raises(Wrong, match=r"entities\.0: is no pseudonym"):
        by_name.read(b'{"entities": ["c1"]}')
    answer = ask(
        app, "POST", "/predict", {"rows": [ROW | {"customer_id": known}, without("customer_id")]}
    )
    told = [each["customer_id"] for each in answer.json["predictions"]]
    assert (answer.status, told) == (200, [known, None])
    for given, code in (([known, ""], 200), ([known, None], 200), ([known, "c1"], 422)):
        asked_ = tensors(who=tensor("customer_id", "BYTES", given))
        answer = ask(app, "POST", INFER, asked_)
        assert answer.status == code, answer.body
    assert answer.json["details"] == [{"field": "inputs.customer_id.data.1", "message": said}]


def without(name: str) -> dict:
    return {key: value for key, value in ROW.items() if key != name}


BAD = [
    (b"", 400, "body"),
    (b"{", 400, "body"),
    (b"nonsense", 400, "body"),
    (b"\xff\xfe", 400, "body"),
    (b"[]", 422, "body"),
    (b"null", 422, "body"),
    (b'"rows"', 422, "body"),
    (b"17", 422, "body"),
    (b"{}", 422, "rows"),
    (b'{"rows": [' + b"[" * 5000, 400, "body"),
    (b'{"rows": null}', 422, "rows"),
    (b'{"rows": {}}', 422, "rows"),
    (b'{"rows": []}', 422, "rows"),
    (b'{"rows": [null]}', 422, "rows.0"),
    (b'{"rows": [[]]}', 422, "rows.0"),
    (b'{"rows": ["c1"]}', 422, "rows.0"),
    (rows(*[{}] * 6), 422, "rows"),
    ({"row": [ROW]}, 422, "row"),
    ({"entities": ["c1"]}, 422, "entities"),  # no look-up is offered here
    ({"rows": [ROW], "more": 1}, 422, "more"),
    *(({"rows": [without(name)]}, 422, f"rows.0.{name}") for name in list(ROW)[1:]),
    (rows({}, {"spend": 1.0}), 422, "rows.1.spend"),
    (rows({"as_of": "2024-01-01"}), 422, "rows.0.as_of"),
    (rows({"label": 1}), 422, "rows.0.label"),
    (rows({"spend_30d": "20"}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": ""}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": True}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": [20.0]}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": {"value": 20.0}}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": float("nan")}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": float("inf")}), 422, "rows.0.spend_30d"),
    (rows({"spend_30d": -float("inf")}), 422, "rows.0.spend_30d"),
    (b'{"rows": [{"spend_30d": 1e999}]}', 422, "rows.0.spend_30d"),
    (b'{"rows": [{"spend_30d": 1' + b"0" * 400 + b"}]}", 422, "rows.0.spend_30d"),
    (rows({"age": 30.5}), 422, "rows.0.age"),
    (rows({"age": "30"}), 422, "rows.0.age"),
    (rows({"age": True}), 422, "rows.0.age"),
    (rows({"age": 2**63}), 422, "rows.0.age"),
    (rows({"age": -(2**63) - 1}), 422, "rows.0.age"),
    (rows({"member": 1}), 422, "rows.0.member"),
    (rows({"member": "true"}), 422, "rows.0.member"),
    (rows({"channel": 7}), 422, "rows.0.channel"),
    (rows({"channel": ["web"]}), 422, "rows.0.channel"),
    (rows({"channel": "a" * 10_001}), 422, "rows.0.channel"),
    (rows({"customer_id": 7}), 422, "rows.0.customer_id"),
    (rows({"customer_id": None}), 422, "rows.0.customer_id"),
    (b'{"rows": [{"channel": "\\ud800"}]}', 400, "body"),
    (json.dumps(rows({})).encode() + b" more", 400, "body"),
    (json.dumps(rows({})).encode("utf-16"), 400, "body"),
    (b" " * 20_001, 413, "body"),
    (json.dumps(rows({})).encode().replace(b'"age": ', b'"age" : 1, "age": '), 422, "age"),
    (b'{"rows": [], ' + json.dumps(rows({})).encode()[1:], 422, "rows"),
    (b'{"rows": [1' + b"0" * 4000 + b"], " + json.dumps(rows({})).encode()[1:], 422, "rows"),
    (b'{"rows": ["\\u00e9", NaN, -Infinity], ' + json.dumps(rows({})).encode()[1:], 422, "rows"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD, ids=range(len(BAD)))
def test_a_bad_request_is_told_which_field_is_wrong(app, body, status, field) -> None:
    answer = ask(app, "POST", "/predict", body)
    assert answer.status == status, answer.body
    found = answer.json
    assert field in found["error"]
    if status != 413:
        assert field in [each["field"] for each in found["details"]]
    assert "Traceback" not in found["error"]
    assert found["request_id"] == answer.headers["x-request-id"]
    assert len(answer.body) < 5000


def test_a_text_may_have_colons(app) -> None:
    given = rows({"customer_id": "urn:c:1", "channel": '"age": "age":'}, {"channel": ":"})
    assert ask(app, "POST", "/predict", given).status == 200


def test_there_are_enough_bad_requests() -> None:
    assert len(BAD) >= 40


def test_a_slip_is_met_with_the_right_name(app) -> None:
    answer = ask(app, "POST", "/predict", {"rows": [{**without("age"), "aeg": 3}]})
    assert "did you mean 'age'?" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/predict", 405),
        ("POST", "/predict/more", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/churn/versions/2", 404),
        ("GET", "/v2/models/churn/versions/latest/ready", 404),
        ("POST", "/v2/models/churn/versions/9/infer", 404),
        ("GET", "/../../etc/passwd", 404),
    ],
)
def test_what_is_not_there_is_said(app, method, path, status) -> None:
    answer = ask(app, method, path)
    assert answer.status == status
    assert answer.json["request_id"]


def test_a_score_that_is_no_number_names_its_row(registry) -> None:
    steep = Linear(np.array([1e308, 1e308, 0.0, 0.0, 0.0]), 0.0, logistic=False)
    registry.put(onnx(steep, replace(FACTS, task="regression")))
    app = Rest(registry.service(), Limits()).app()
    answer = ask(
        app,
        "POST",
        "/predict",
        rows({"spend_30d": 50.0, "age": 40}, {"spend_30d": 1e9, "age": 10**9}),
    )
    assert answer.status == 422
    assert [each["field"] for each in answer.json["details"]] == ["rows.1"]


def test_an_odd_request_id_is_not_taken_over(app) -> None:
    for odd in ("a b", "x" * 65, "<script>", "a\r\nb"):
        answer = ask(app, "POST", "/predict", rows({}), {"X-Request-Id": odd})
        assert len(answer.headers["x-request-id"]) == 32


def test_the_document_names_the_fields_of_the_model(app) -> None:
    found = ask(app, "GET", "/openapi.json").json
    row = found["components"]["schemas"]["Row"]
    assert set(row["properties"]) == set(ROW)
    assert set(row["required"]) == set(ROW) - {"customer_id"}
    assert "$defs" not in json.dumps(found["paths"]["/predict"])


def test_the_page_of_docs_needs_nobody_else(app) -> None:
    page = ask(app, "GET", "/docs")
    assert page.status == 200
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(asked) >= 3
    for path in asked:
        assert path.startswith("/"), path
        assert ask(app, "GET", path).status == 200, path
    assert b"://" not in page.body.replace(b"window.location.origin", b"")
