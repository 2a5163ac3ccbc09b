"""The Open Inference Protocol: tensors in, tensors out, and which one is wrong."""

from __future__ import annotations

import pytest
from tests.serving.conftest import INFER, ask, tensor, tensors


def test_tensors_are_scored(app) -> None:
    given = tensors(who=tensor("customer_id", "BYTES", ["a", "b"])) | {"id": "q7"}
    assert ask(app, "POST", INFER, given).json == {
        "model_name": "churn",
        "model_version": "1",
        "id": "q7",
        "outputs": [
            tensor("score", "FP64", [0.9, 0.2]),
            tensor("prediction", "FP64", [1.0, 0.0]),
            tensor("customer_id", "BYTES", ["a", "b"]),
        ],
    }
    columns = tensors(spend_30d=tensor("spend_30d", "FP32", [[20.0], [80.0]], [2, 1]))
    answer = ask(app, "POST", INFER, columns | {"outputs": [{"name": "prediction"}]})
    assert answer.json["outputs"] == [tensor("prediction", "FP64", [1.0, 0.0])]


def test_a_model_tells_its_inputs(app) -> None:
    found = ask(app, "GET", "/v2/models/churn/versions/1").json
    assert [(each["name"], each["datatype"]) for each in found["inputs"]] == [
        ("spend_30d", "FP64"),
        ("age", "INT64"),
        ("member", "BOOL"),
        ("channel", "BYTES"),
    ]
    assert ask(app, "GET", "/v2/models/churn/ready").json == {"name": "churn", "ready": True}
    assert ask(app, "GET", "/v2/health/live").json == {"live": True}
    assert ask(app, "GET", "/v2/health/ready").json == {"ready": True}


BAD_TENSORS = [
    ({}, "inputs"),
    ({"inputs": []}, "inputs"),
    ({"inputs": [{"name": "age"}]}, "inputs.0.shape"),
    (tensors(age=None), "inputs.age"),
    (tensors(more=tensor("more", "FP64", [1.0, 2.0])), "inputs.more"),
    (tensors(twice=tensor("age", "INT64", [1, 2])), "inputs.age"),
    (tensors(age=tensor("age", "FP64", [1.5, 2.0])), "inputs.age.data.0"),
    (tensors(age=tensor("age", "FP64", [float("inf"), 2.0])), "inputs.age.data.0"),
    (tensors(member=tensor("member", "FP64", [0.5, 1.0])), "inputs.member.data.0"),
    (tensors(customer_id=tensor("customer_id", "FP64", [1.0, 2.0])), "inputs.customer_id.datatype"),
    (tensors(age=tensor("age", "NUMBER", [1, 2])), "inputs.age.datatype"),
    (tensors(age=tensor("age", "INT64", [1.5, 2])), "inputs.age.data.0"),
    (tensors(age=tensor("age", "INT64", [1, True])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [-(2**63), 2**63])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [1.0, -1e300])), "inputs.age.data.1"),
    (tensors(age=tensor("age", "INT64", [1])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [1, 2, 3], [2])), "inputs.age.data"),
    (tensors(age=tensor("age", "INT64", [1, 2], [1, 2])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [1, 2], [-2])), "inputs.age.shape"),
    (tensors(age=tensor("age", "INT64", [[1, 2]], [2])), "inputs.age.data"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", ["1", 2.0])), "inputs.spend_30d.data.0"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", [10**400, 2.0])), "inputs.spend_30d.data"),
    (tensors(spend_30d=tensor("spend_30d", "FP64", [float("inf"), 2.0])), "inputs.spend_30d.data"),
    (tensors(member=tensor("member", "BOOL", [1, 0])), "inputs.member.data.0"),
    (tensors(channel=tensor("channel", "BYTES", [1, "web"])), "inputs.channel.data.0"),
    (tensors(channel=tensor("channel", "BYTES", ["a" * 10_001, ""])), "inputs.channel.data.0"),
    (tensors(who=tensor("customer_id", "BYTES", [1, 2])), "inputs.customer_id.data.0"),
    (tensors() | {"outputs": [{"name": "logits"}]}, "outputs.logits"),
    (tensors() | {"id": 7}, "id"),
    (tensors() | {"id": "ü" * 1001}, "id"),
    ({"inputs": [tensor(n, "FP64", [1.0] * 6) for n in ("spend_30d", "age")]}, "inputs.member"),
]


@pytest.mark.parametrize(("body", "field"), BAD_TENSORS, ids=range(len(BAD_TENSORS)))
def test_bad_tensors_are_told_which(app, body, field) -> None:
    answer = ask(app, "POST", INFER, body)
    assert answer.status == 422, answer.body
    assert field in [each["field"] for each in answer.json["details"]], answer.json
