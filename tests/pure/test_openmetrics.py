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
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pyspark.sql import Row

from driftline import openmetrics
from driftline.errors import Missing, TryAgain
from driftline.jobs import exposing
from driftline.openmetrics import Stage, State
from driftline.serving.metrics import Metrics

PROMETHEUS = Path(__file__).parents[2] / "docker" / "prometheus"
DASHBOARD = PROMETHEUS.parent / "grafana" / "dashboards" / "driftline.json"
NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
STATE = State(
    NOW, NOW, "watch", ("worse", "drift"), "roc_auc",
    {"real": 0.7, "expected": None, "reference": 0.8},
    0.4, 0.1, ("age", "spend_30d"), False, 12.5, None,
)  # fmt: skip
KNOWN = replace(STATE, values={"real": 0.7, "expected": 0.8, "reference": 0.8}, cost=1.0)
STAGES = [Stage("ingest", "done", NOW, 2.5, 0.001), Stage("train", "refused", NOW, 9.0, 0.002)]


def told(state: State | None, stages: Sequence[Stage]) -> str:
    return openmetrics.text(openmetrics.registry("churn", state, stages, champion=4))


def samples(text: str) -> dict[tuple, float]:
    """Every sample by name and labels, as the OpenMetrics parser reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_stage_that_was_killed_has_failed() -> None:
    found = samples(told(None, [Stage("score", "killed", NOW, 1.0, 0.001)]))
    assert found[
        "driftline_stage_failed", ("problem", "churn"), ("stage", "score"), ("status", "killed")
    ]


def test_what_is_known_is_there_and_what_is_not_is_absent() -> None:
    found = samples(told(STATE, STAGES))
    problem = ("problem", "churn")
    assert found["driftline_performance", ("kind", "real"), ("metric", "roc_auc"), problem] == 0.7
    assert found["driftline_decision", ("action", "watch"), problem] == 1
    assert found["driftline_decision", ("action", "retrain"), problem] == 0
    assert found["driftline_cause", ("cause", "worse"), problem] == 1
    assert found["driftline_cause", ("cause", "stale"), problem] == 0
    assert found["driftline_promise_trusted", problem] == 0
    assert found["driftline_champion_version", problem] == 4
    assert found["driftline_skew_share", problem] == 0.1
    assert found["driftline_feature_skewed", ("feature", "age"), problem] == 1
    assert found["driftline_retraining_gain", problem] == 12.5
    failed = found["driftline_stage_failed", problem, ("stage", "train"), ("status", "refused")]
    assert failed == 1
    names = {name for name, *_ in found}
    assert "driftline_retraining_cost" not in names
    assert ("driftline_performance", ("kind", "expected")) not in {key[:2] for key in found}
    first = openmetrics.text(openmetrics.registry("churn", None, [], champion=None))
    assert samples(first) == {}
    assert first.endswith("# EOF\n")


def test_a_decision_about_another_version_tells_nothing_of_the_champion() -> None:
    """Its alerts are over once another is champion; what it decided, and when, is told on."""
    row = Row(
        as_of=NOW, at=NOW, action="retrain", causes=["worse", "concept"], metric="roc_auc",
        real=0.7, expected=0.8, reference=0.8, drift=0.4, skew=0.1, skewed=["age"], trusted=False,
        gain=12.5, cost=1.0, model_version=4, problem="a",
    )  # fmt: skip
    about = samples(told(exposing.state([row], 4, "a"), []))
    problem = ("problem", "churn")
    assert about["driftline_cause", ("cause", "worse"), problem] == 1
    assert about["driftline_promise_trusted", problem] == 0
    other = samples(told(exposing.state([row], 5, "a"), []))
    assert other["driftline_decision", ("action", "retrain"), problem] == 1
    assert not any(value for (name, *_), value in other.items() if name == "driftline_cause")
    kept = {"champion_version", "decision", "cause", "decided_timestamp_seconds"}
    kept |= {"as_of_timestamp_seconds"}
    assert {name for name, *_ in other} == {f"driftline_{name}" for name in kept}
    # What an edit of the problem file decided that was taken back is not carried out.
    edited = Row(**{**row.asDict(), "action": "watch", "problem": "b", "at": NOW + DAY})
    assert exposing.state([row, edited], 4, "a").action == "retrain"
    assert exposing.state([row, edited], 4, "c").action == "watch"


def test_how_a_stage_ended_is_news_until_the_next_turn() -> None:
    """A training that was refused is not tried again for months, but the turns go on."""

    def row(stage: str, status: str, day: int) -> Row:
        return Row(
            stage=stage,
            status=status,
            started_at=datetime(2024, 6, day),
            wall_seconds=2.0,
            money=0.1,
        )

    def wrong(*rows: Row) -> set[str]:
        found = samples(told(None, exposing.stages(rows)))
        return {
            dict(labels)["stage"]
            for (name, *labels), value in found.items()
            if name == "driftline_stage_failed" and value
        }

    assert wrong(row("ingest", "unchanged", 3), row("train", "refused", 3)) == {"train"}
    assert wrong(row("ingest", "unchanged", 4), row("train", "refused", 3)) == set()
    failed = row("ingest", "failed", 4), row("validate", "refused", 3), row("score", "failed", 5)
    assert wrong(*failed) == {"ingest", "score"}
    assert wrong(row("score", "failed", 5)) == {"score"}
    assert wrong() == set()


def test_a_kill_is_told_by_the_turn_that_finds_it_and_by_no_later_one() -> None:
    """Who is killed tells nothing, and the ledger has its row from the next stage that begins."""

    def row(stage: str, status: str, day: int, hour: int) -> Row:
        began = datetime(2024, 6, day, hour)
        return Row(stage=stage, status=status, started_at=began, wall_seconds=60.0 * day, money=0.1)

    def killed(*rows: Row) -> set[str]:
        found = samples(told(None, exposing.stages(rows)))
        seconds = {
            dict(labels)["stage"]: value
            for (name, *labels), value in found.items()
            if name == "driftline_stage_seconds"
        }
        newest = {each.stage: each for each in sorted(rows, key=lambda each: each.started_at)}
        assert seconds == {name: each.wall_seconds for name, each in newest.items()}
        return {
            f"{dict(labels)['stage']} {dict(labels)['status']}"
            for (name, *labels), value in found.items()
            if name == "driftline_stage_failed" and value
        }

    monday = [row("ingest", "done", 3, 2), row("features", "killed", 3, 3)]
    refused = [row("ingest", "done", 4, 2), row("validate", "refused", 4, 3)]
    assert killed(*monday, *refused) == {"features killed", "validate refused"}
    tuesday = [row("ingest", "done", 4, 2), row("features", "done", 4, 3)]
    assert killed(*monday, *tuesday) == {"features killed"}
    wednesday = [row("ingest", "unchanged", 5, 2), row("features", "unchanged", 5, 3)]
    assert killed(*monday, *tuesday, *wednesday) == set()
    # Every other day, and a turn whose very first stage was killed.
    again = [row("features", "killed", 5, 3), row("ingest", "done", 6, 2)]
    assert killed(*monday, *tuesday, *wednesday[:1], *again) == {"features killed"}
    assert killed(row("ingest", "killed", 3, 2), *tuesday) == {"ingest killed"}
    assert killed(row("ingest", "killed", 3, 2), *tuesday, *wednesday) == set()
    # Two nights running.
    assert killed(
        *monday,
        row("ingest", "done", 4, 2),
        row("features", "killed", 4, 3),
        row("ingest", "done", 5, 2),
    ) == {"features killed"}


def test_rules_and_dashboard_ask_for_what_is_written() -> None:
    written = {name for name, *_ in samples(told(KNOWN, STAGES))}
    serving = Metrics()
    for counter in (serving.requests.labels("rest", "200"), serving.reloads.labels("failed")):
        counter.inc()
    known = {each.name for every in serving.registry.collect() for each in every.samples}
    asked = [rule["expr"] for rule in rules()] + queries()
    for expression in asked:
        names = set(re.findall(r"driftline_\w+", expression))
        assert names or expression == 'up{job=~"driftline-.*"} == 0'
        assert names <= written | known, expression
    # And everything that is written is looked at by somebody.
    seen = {name for each in asked for name in re.findall(r"driftline_\w+", each)}
    unseen = {"retraining_gain", "retraining_cost", "as_of_timestamp_seconds"}
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert all(each["job_name"].startswith("driftline-") for each in jobs)
    assert written - seen == {f"driftline_{name}" for name in unseen}
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))["tests"]
    fired = {
        each["alertname"]
        for test in tests
        for each in test["alert_rule_test"]
        if each.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}


def rules() -> list[dict]:
    found = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
    return list(found["groups"][0]["rules"])


def queries() -> list[str]:
    """What the dashboard asks, for all problems."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert all("$problem" in each for each in asked)
    return [each.replace("$problem", ".*") for each in asked]


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


@contextmanager
def running(program: str, *options: str) -> Iterator[str]:
    """A server of Debian's on a free port of loopback; its address, once it answers."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (Debian: {program})")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [path, *options, f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: got(f"http://{address}/metrics") is not None, f"{program} answers")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def got(url: str) -> str | None:
    """What a server answers; None where there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return None


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.3)


def configured(tmp_path: Path, *targets: str) -> tuple[str, ...]:
    """Options of a Prometheus with the rules, that asks the targets each second."""
    conf = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    conf["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    conf["rule_files"] = [str(PROMETHEUS / "alerts.yml")]
    (job, *_) = conf["scrape_configs"]
    conf["scrape_configs"] = [{**job, "static_configs": [{"targets": list(targets)}]}]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(conf), "utf-8")
    return (f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'data'}")


def asked(prometheus: str, query: str) -> list[dict]:
    found = got(f"http://{prometheus}/api/v1/query?query={urllib.parse.quote(query)}")
    return [] if found is None else list(json.loads(found)["data"]["result"])


def alarmed(prometheus: str) -> set[str]:
    found = json.loads(got(f"http://{prometheus}/api/v1/alerts") or '{"data": {"alerts": []}}')
    alerts = found["data"]["alerts"]
    return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


@pytest.mark.slow
def test_a_bad_turn_fires_its_alerts_and_fills_the_dashboard(tmp_path) -> None:
    """metrics.prom as it is written, through node_exporter's textfile collector, in a real
    Prometheus: exactly the alerts it deserves, and an answer to each query of the dashboard.
    """
    late = [replace(each, ended=NOW - timedelta(hours=1)) for each in STAGES]
    folder = tmp_path / "churn"
    folder.mkdir()
    file = folder / "metrics.prom"
    bad = replace(KNOWN, causes=("worse", "drift", "skew"))
    file.write_text(told(bad, late), "utf-8")
    collector = ("--collector.disable-defaults", "--collector.textfile")
    with (
        running(
            "prometheus-node-exporter", *collector, f"--collector.textfile.directory={folder}"
        ) as exporter,
        running("prometheus", *configured(tmp_path, exporter)) as prometheus,
    ):
        wanted = {"DriftlineWorse", "DriftlineConceptDrift", "DriftlineDrift"}
        wanted |= {"DriftlineSkew", "DriftlineStageRefused"}
        wait_for(lambda: alarmed(prometheus) == wanted, "its alerts fire")
        for query in queries():
            assert asked(prometheus, query), query
        (age,) = asked(prometheus, queries()[3])
        assert float(age["value"][1]) == pytest.approx(1 / 24, abs=0.01)
        # The next turn is a good one.
        calm = replace(KNOWN, action="keep", causes=(), trusted=True)
        file.write_text(told(calm, [replace(STAGES[0], ended=NOW)]), "utf-8")
        wait_for(lambda: alarmed(prometheus) == set(), "a calm turn ends them")


@pytest.mark.slow
def test_what_is_pushed_replaces_what_was_pushed(tmp_path) -> None:
    """A real Pushgateway, and Prometheus behind it."""
    found = openmetrics.registry("churn", STATE, STAGES, champion=4)
    other = openmetrics.registry("other", None, STAGES, champion=None)
    with (
        running("prometheus-pushgateway") as gateway,
        running("prometheus", *configured(tmp_path, gateway)) as prometheus,
    ):
        url = f"http://{gateway}"
        exposing.push(url, "churn", found)
        exposing.push(f"{url}/", "other", other)
        decision = 'driftline_decision{problem="churn",action="watch"} == 1'
        wait_for(lambda: len(asked(prometheus, decision)) == 1, "the decision is there")
        (row,) = asked(prometheus, decision)
        assert (row["metric"]["job"], row["metric"]["problem"]) == ("driftline", "churn")
        wait_for(lambda: "DriftlineWorse" in alarmed(prometheus), "its alert fires")
        # What is not known any more is gone; another problem's stays.
        exposing.push(url, "churn", openmetrics.registry("churn", None, STAGES[:1], champion=4))
        text = got(f"{url}/metrics") or ""
        assert "driftline_decision" not in text
        assert 'stage_seconds{instance="",job="driftline",problem="churn",stage="ingest"}' in text
        assert 'stage_seconds{instance="",job="driftline",problem="other",stage="train"}' in text
        with pytest.raises(Missing, match="does not take the metrics: HTTP Error 404"):
            exposing.push(f"{url}/elsewhere", "churn", found)
    with pytest.raises(TryAgain, match=r"could not be pushed: .*refused"):
        exposing.push(url, "churn", found)


def test_a_gateway_in_trouble_is_asked_again() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(TryAgain, match="503") as raised:
            exposing.push(url, "churn", openmetrics.registry("churn", STATE, STAGES, champion=4))
        assert raised.value.where == url
        assert "all else is done" in raised.value.hint
        server.shutdown()
