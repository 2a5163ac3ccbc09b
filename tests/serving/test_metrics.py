"""Metrics of a service, as Prometheus reads them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.serving.conftest import ask, rows

from driftline.serving.metrics import _buckets


def test_metrics_tell_what_was_asked(app) -> None:
    ask(
        app,
        "POST",
        "/predict",
        rows({"spend_30d": 15.0}, {"spend_30d": None}, {"spend_30d": 999.0}),
    )
    ask(app, "POST", "/predict", rows({"age": 17, "channel": "fax"}, {"channel": None}))
    ask(app, "POST", "/predict", b"{")
    text = ask(app, "GET", "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    feature = {
        key: float(value) for key, value in values.items() if key.startswith("driftline_feature")
    }

    def count(name: str, bucket: str) -> float:
        return feature[f'driftline_feature_values_total{{bucket="{bucket}",feature="{name}"}}']

    assert count("spend_30d", "decile:1") == 3  # 15, and twice 20
    assert (count("spend_30d", "missing"), count("spend_30d", "above")) == (1, 1)
    assert (count("age", "below"), count("age", "decile:0")) == (1, 4)
    assert (count("channel", "word:web"), count("channel", "other")) == (3, 1)
    assert count("channel", "missing") == 1
    assert values["driftline_rows_total"] == "5.0"
    assert values['driftline_requests_total{code="200",way="/predict"}'] == "2.0"
    assert values['driftline_requests_total{code="400",way="/predict"}'] == "1.0"
    assert values['driftline_scores_total{bucket="0.9"}'] == "4.0"
    assert values['driftline_scores_total{bucket="0.2"}'] == "1.0"
    assert 'driftline_model_version{model="churn",problem="000000000000"}' in values


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((0.0, 10.0, 20.0), {"below": 1, "decile:0": 3, "decile:1": 2, "above": 1, "missing": 1}),
        ((5.0,), {"below": 2, "decile:0": 1, "above": 4, "missing": 1}),
        ((), {"above": 7, "missing": 1}),
    ],
)
def test_a_value_falls_into_one_bucket(edges, expected) -> None:
    values = np.array([float("nan"), -1.0, 0.0, 5.0, 10.0, 10.5, 20.0, 21.0])
    assert _buckets(values, edges) == expected


def test_paths_do_not_become_labels(app) -> None:
    for path in ("/a", "/b", "/c/d"):
        ask(app, "GET", path)
    text = ask(app, "GET", "/metrics").body.decode()
    assert 'driftline_requests_total{code="404",way="other"} 3.0' in text
