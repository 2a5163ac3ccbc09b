"""Metrics as text, the alert rules on them, the dashboard's words: each beside the other."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from driftline import openmetrics
from driftline.openmetrics import Stage, State

PROMETHEUS = Path(__file__).parents[2] / "docker" / "prometheus"
DASHBOARD = PROMETHEUS.parent / "grafana" / "dashboards" / "driftline.json"
NOW = datetime.now(timezone.utc)
STATE = State(
    NOW, NOW, "watch", ("worse", "drift"), 3, "roc_auc",
    {"real": 0.7, "expected": None, "reference": 0.8},
    0.4, 0.1, ("age", "spend_30d"), False, 12.5, None,
)  # fmt: skip
STAGES = [Stage("ingest", "done", NOW, 2.5, 0.001), Stage("train", "refused", NOW, 9.0, 0.002)]


def samples(text: str) -> dict[tuple, float]:
    """Every sample by name and labels, as the OpenMetrics parser reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_known_is_there_and_what_is_not_is_absent() -> None:
    found = samples(openmetrics.text("churn", STATE, STAGES))
    problem = ("problem", "churn")
    assert found["driftline_performance", ("kind", "real"), ("metric", "roc_auc"), problem] == 0.7
    assert found["driftline_decision", ("action", "watch"), problem] == 1
    assert found["driftline_decision", ("action", "retrain"), problem] == 0
    assert found["driftline_cause", ("cause", "worse"), problem] == 1
    assert found["driftline_cause", ("cause", "stale"), problem] == 0
    assert found["driftline_promise_trusted", problem] == 0
    assert found["driftline_skew_share", problem] == 0.1
    assert found["driftline_feature_skewed", ("feature", "age"), problem] == 1
    assert found["driftline_retraining_gain", problem] == 12.5
    failed = found["driftline_stage_failed", problem, ("stage", "train"), ("status", "refused")]
    assert failed == 1
    names = {name for name, *_ in found}
    assert "driftline_retraining_cost" not in names
    assert ("driftline_performance", ("kind", "expected")) not in {key[:2] for key in found}
    first = openmetrics.text("churn", None, [])
    assert samples(first) == {}
    assert first.endswith("# EOF\n")


def test_rules_and_dashboard_ask_for_what_is_written() -> None:
    text = openmetrics.text("churn", replace(STATE, cost=1.0), STAGES)
    written = {name for name, *_ in samples(text)}
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    asked = [rule["expr"] for rule in rules]
    board = json.loads(DASHBOARD.read_text("utf-8"))
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expression in asked:
        names = set(re.findall(r"driftline_\w+", expression))
        assert names
        assert names <= written, expression


@pytest.mark.slow
def test_promtool_holds_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    for check in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [promtool, *check], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


@pytest.mark.slow
def test_a_real_prometheus_fires_the_alerts(tmp_path) -> None:
    """The file as it is written, scraped, judged by the rules: exactly the alerts it deserves."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    late = [replace(each, ended=NOW - timedelta(hours=1)) for each in STAGES]
    content = openmetrics.text("churn", STATE, late).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    conf = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / "alerts.yml")],
        "scrape_configs": [
            {"job_name": "driftline", "honor_labels": True,
             "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
        ],
    }  # fmt: skip
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(conf), "utf-8")
    process = subprocess.Popen(
        [prometheus, f"--config.file={tmp_path}/prometheus.yml",
         f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wanted = {"DriftlineWorse", "DriftlineConceptDrift", "DriftlineDrift"}
        wanted |= {"DriftlineStageFailed"}
        firing: set[str] = set()
        deadline = time.monotonic() + 60
        while firing != wanted and time.monotonic() < deadline:
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts") as answer:
                    alerts = json.load(answer)["data"]["alerts"]
            except (urllib.error.URLError, ConnectionError):
                continue
            firing = {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
        assert firing == wanted
    finally:
        process.terminate()
        process.wait(timeout=20)
        server.shutdown()
