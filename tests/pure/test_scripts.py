"""The scripts that call others, with others in their place that only say what they were given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def stub(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
    path.chmod(0o755)


def ran(root: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_PORT")}
    return subprocess.run(
        command,
        cwd=root,
        env={**clean, "PATH": path, "COMPOSE_PROJECT_NAME": "shop", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(params=["plugin", "docker-compose"])
def engine(request, tmp_path) -> Path:
    """A copy of scripts/ beside a docker with compose as a plugin, or with version 1 beside it."""
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    plugin = request.param == "plugin"
    lines = [
        f'[ "$1 ${{2:-}}" != "compose version" ] || exit {0 if plugin else 1}',
        'case "$*" in',
        '  *" ps -q driver") echo 0123abcd ;;',
        '  *" ps -q "* | info | "volume "*) ;;',
        '  *) echo "${0##*/} $*" >>calls ;;',
        "esac",
    ]
    for name in ("docker",) if plugin else ("docker", "docker-compose"):
        stub(tmp_path / "bin" / name, *lines)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "docker.env").write_text("POSTGRES_PASSWORD=known\n")
    return tmp_path


def calls(root: Path) -> list[str]:
    told = (root / "calls").read_text().splitlines() if (root / "calls").exists() else []
    compose = re.compile("^docker[ -]compose -p shop -f docker/compose.yaml")
    return [compose.sub("compose", each) for each in told]


BOTH = "--profile monitoring --profile airflow"


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        ("exec driver driftline sla", f"compose {BOTH} exec -T driver driftline sla"),
        ("logs airflow", f"compose {BOTH} logs airflow"),
        ("ps", f"compose {BOTH} ps"),
        ("restart serve", f"compose {BOTH} restart serve"),
        ("down --volumes", f"compose {BOTH} down --volumes"),
        ("cp driver:/srv/a/. build/b", "docker cp 0123abcd:/srv/a/. build/b"),
        ("cp ./a:b driver:/srv", "docker cp ./a:b 0123abcd:/srv"),
    ],
)
def test_up_hands_words_on_to_whichever_compose_there_is(engine, given, handed_on) -> None:
    done = ran(engine, "scripts/up", *given.split())
    assert done.returncode == 0, done.stderr
    assert calls(engine) == [handed_on]


def test_up_copies_nothing_from_a_container_that_is_not_there(engine) -> None:
    done = ran(engine, "scripts/up", "cp", "grafana:/a", "b")
    assert done.returncode == 4 and "there is no container of grafana" in done.stderr
    assert calls(engine) == []


@pytest.mark.parametrize("given", ["--profile airlfow", "--profile", "--no-dmeo", "exce driver"])
def test_up_does_not_take_what_it_does_not_know(engine, given) -> None:
    done = ran(engine, "scripts/up", *given.split())
    assert done.returncode == 2 and "usage: scripts/up" in done.stderr
    assert calls(engine) == []


def test_up_brings_up_what_was_asked_for_and_says_where_it_is(engine) -> None:
    given = ("--profile", "airflow", "--profile", "monitoring", "--no-demo")
    done = ran(engine, "scripts/up", *given, PREDICTIONS_PORT="18080", GRAFANA_PORT="13000")
    assert done.returncode == 0, done.stderr
    options = "--env-file build/docker.env --profile airflow --profile monitoring"
    assert calls(engine) == [f"compose {options} build", f"compose {options} up -d"]
    assert "predictions http://127.0.0.1:18080/docs, models http://127.0.0.1:5000" in done.stdout
    assert "Prometheus http://127.0.0.1:9090, Grafana http://127.0.0.1:13000" in done.stdout
    assert "Airflow http://127.0.0.1:8085" in done.stdout
    variables = engine / "build" / "secrets.env"
    assert variables.stat().st_mode & 0o777 == 0o600
    variables.write_text("DRIFTLINE_PSEUDONYM_KEY=mine\n")
    assert "Airflow" not in ran(engine, "scripts/up", "--no-demo").stdout
    assert variables.read_text() == "DRIFTLINE_PSEUDONYM_KEY=mine\n"


def test_a_port_that_is_taken_is_said_with_what_to_do(engine) -> None:
    refuses = 'case "$*" in *" up -d") exit 1 ;; esac'
    for path in (engine / "bin").iterdir():
        path.write_text(path.read_text().replace("bash\n", f"bash\n{refuses}\n", 1))
    done = ran(engine, "scripts/up", "--no-demo")
    assert done.returncode == 4 and "PREDICTIONS_PORT" in done.stderr


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ("", "local"),
        ("--master local[2] --", "local"),
        ("--master=local[2] --", "local"),
        ("--conf spark.master=local --", "local"),
        ("--conf=spark.master=local[4] --", "local"),
        ("--driver-memory 2g --master spark://master:7077 --", "cluster"),
        ("--master=yarn --conf spark.master=local --", "cluster"),  # the option wins
        ("--conf spark.master=yarn --", "cluster"),
    ],
)
def test_submit_writes_the_properties_of_its_place_and_no_other(tmp_path, options, place) -> None:
    """Two at once, one here and one on a cluster, do not read each other's."""
    stub(tmp_path / "scripts" / "setup")
    stub(tmp_path / "scripts" / "package")
    shutil.copy(PROJECT / "scripts" / "submit", tmp_path / "scripts")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "sla.py").touch()
    bin_ = tmp_path / ".venv" / "bin"
    stub(bin_ / "python", "cat >/dev/null", 'echo "$3" >"$2"')
    stub(bin_ / "spark-submit", 'cat "$2"', 'echo "$@"')
    (tmp_path / ".venv" / "share" / "driftline").mkdir(parents=True)
    done = ran(tmp_path, "scripts/submit", "sla", *options.split(), "--problem", "P")
    assert done.returncode == 0, done.stderr
    told, given = done.stdout.splitlines()
    assert told == place
    assert given.endswith("jobs/sla.py --problem P")
    written = [each.name for each in (tmp_path / ".venv" / "share" / "driftline").iterdir()]
    assert written == [f"spark-{place}.conf"]


def test_no_java_of_one_debian_release_is_asked_for() -> None:
    """The next has another number."""
    for name in ("docker/Dockerfile", "scripts/setup", "lib/driftline/session.py"):
        assert not re.search(r"openjdk-\d+", (PROJECT / name).read_text("utf-8")), name


def test_the_image_runs_as_a_number_that_a_base_may_have_given_a_name() -> None:
    """ubuntu:24.04 has a user of it."""
    text = (PROJECT / "docker" / "Dockerfile").read_text("utf-8")
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert {each for each in users if each != "root"} == {"1000"}
    assert "getent passwd 1000 ||" in text
    assert not re.search(r"(-o|chown( -R)?) driftline\b", text)
