"""The image and the compose file on a real engine: build, up, the demo, a worker killed in it.

Nothing is pulled: the base is made of Debian packages here, PostgreSQL and Prometheus are those of
Debian. Grafana has no such package: its container is not started, only its part of the file read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from driftline.tables import Tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

HERE = Path(__file__).parent
CUSTOMERS = "400"
PROJECT = IMAGE = "driftline-test"
EXACT = [f"{layer}.{name}" for layer in ("bronze", "silver") for name in ("visits", "orders")]
EXACT += ["bronze.customers", "silver.customers", "ops.deliveries", "ops.rejects"]


def run(*command: object, seconds: float = 1800, **named) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=seconds, **named
    )


def done(*command: object, **named) -> str:
    finished = run(*command, **named)
    assert finished.returncode == 0, (finished.stdout + finished.stderr)[-6000:]
    return finished.stdout


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment in which `docker` reaches an engine: the machine's, or one started here."""
    for needed in ("docker", "debootstrap"):
        if not shutil.which(needed):
            pytest.skip(f"there is no {needed} here (Debian: docker.io, debootstrap)")
    if run("docker", "compose", "version").returncode and not shutil.which("docker-compose"):
        pytest.skip("Docker has no compose here (Debian: docker-compose)")
    if run("docker", "info").returncode == 0:
        yield dict(os.environ)
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("no Docker engine runs here, and none can be started: no root, or no dockerd")
    folder = tmp_path_factory.mktemp("engine")
    address = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--host", address, "--pidfile", folder / "pid"]
    command += ["--data-root", folder / "data", "--exec-root", folder / "exec"]
    with (folder / "log").open("w") as log:
        started = subprocess.Popen([str(each) for each in command], stdout=log, stderr=log)
    environment = {**os.environ, "DOCKER_HOST": address}
    try:
        deadline = time.monotonic() + 60
        while run("docker", "info", env=environment).returncode:
            if started.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"no Docker engine starts here: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.5)
        yield environment
    finally:
        started.terminate()
        started.wait(timeout=120)


@pytest.fixture(scope="module")
def images(engine, repository, tmp_path_factory) -> dict[str, str]:
    """The environment with every image that compose.yaml asks for, made of Debian's packages."""
    base = "driftline-test-base"  # once an engine, so that it can keep what was built on it
    if run("docker", "image", "inspect", base, env=engine).returncode:
        done(HERE / "base", base, tmp_path_factory.mktemp("debian") / "root", env=engine)
    for tag, file, what in (
        ("postgres", "postgres", ""),
        ("prometheus", "prometheus", "prometheus"),
        ("node-exporter", "prometheus", "prometheus-node-exporter"),
    ):
        build = [
            "docker",
            "build",
            "-f",
            HERE / f"{file}.Dockerfile",
            "-t",
            f"driftline-test-{tag}",
        ]
        arguments = ["--build-arg", f"BASE={base}", "--build-arg", f"WHAT={what}"]
        done(*build, *(arguments if what else arguments[:2]), HERE, env=engine)
    return {
        **engine,
        "BASE_IMAGE": base,
        "POSTGRES_IMAGE": "driftline-test-postgres",
        "PROMETHEUS_IMAGE": "driftline-test-prometheus",
        "NODE_EXPORTER_IMAGE": "driftline-test-node-exporter",
        "COMPOSE_PROJECT_NAME": PROJECT,
        "DRIFTLINE_IMAGE": IMAGE,
        "AIRFLOW_IMAGE": f"{IMAGE}-airflow",
    }


def container(environment: dict[str, str], service: str) -> str:
    labels = [f"label=com.docker.compose.project={PROJECT}"]
    labels.append(f"label=com.docker.compose.service={service}")
    filters = [argument for label in labels for argument in ("--filter", label)]
    (name,) = done("docker", "ps", "-q", *filters, env=environment).split()
    return name


def inside(environment: dict[str, str], service: str, *command: object) -> str:
    return done("docker", "exec", container(environment, service), *command, env=environment)


def asked(url: str, seconds: float = 60) -> dict:
    """What a server answers, once it does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def predicted(address: str) -> dict:
    """What the champion says of a row made of the inputs that it says it needs."""
    told = asked(f"{address}/v2/models/churn")
    values = {"FP64": 1.0, "INT64": 1, "BOOL": True, "BYTES": "web"}
    row = {each["name"]: values[each["datatype"]] for each in told["inputs"]}
    return answered(address, {"rows": [row]})


def looked_up(address: str, warehouse: Path) -> dict:
    """What the champion says of somebody by name, and who that is."""
    features = DeltaTable(str(warehouse / "gold" / "features")).to_pyarrow_dataset()
    assert features  # DuckDB finds it by name
    newest = "SELECT customer_id FROM features ORDER BY as_of DESC, customer_id LIMIT 1"
    ((somebody,),) = duckdb.sql(newest).fetchall()
    return answered(address, {"entities": [somebody]}) | {"asked": somebody}


def answered(address: str, asked_for: dict) -> dict:
    """What POST /predict gives."""
    headers = {"Content-Type": "application/json"}
    body = json.dumps(asked_for).encode()
    with urlopen(Request(f"{address}/predict", body, headers), timeout=10) as answer:
        return json.load(answer)


def scraped(metric: str, seconds: float) -> str:
    """The newest value that Prometheus has of a metric, once it has one."""
    deadline = time.monotonic() + seconds
    while True:
        answer = asked(f"http://127.0.0.1:9090/api/v1/query?query={metric}")
        if found := answer["data"]["result"]:
            return str(found[0]["value"][1])
        assert time.monotonic() < deadline, f"Prometheus has no {metric}"
        time.sleep(1)


def begun(environment: dict[str, str]) -> int:
    """How many tasks the executors of the first worker have begun."""
    logs = "cat /var/tmp/executors/*/*/stderr 2>/dev/null | grep -c ' Running task ' || true"
    return int(inside(environment, "worker-1", "sh", "-c", logs))


def kill_a_worker(environment: dict[str, str], demo: subprocess.Popen[str]) -> None:
    """Wait until the demo trains on it."""
    said = []
    for line in demo.stdout:
        said.append(line)
        if line.startswith("features"):
            break
    before = begun(environment)
    while begun(environment) < before + 10:
        assert demo.poll() is None, "".join(said)
    done("docker", "kill", container(environment, "worker-1"), env=environment)
    assert demo.poll() is None


@dataclass
class Seen:
    """What two demos came to, each on containers of its own; in the second a worker was killed."""

    warehouses: list[Path]
    later: Path
    """The first's ``ops`` again, after a newcomer's hour."""
    facts: dict[str, str]


def composed(environment: dict[str, str], repository: Path) -> list[object]:
    """The command that compose has here, on the file of this project."""
    compose = ["docker", "compose"]
    if run(*compose, "version", env=environment).returncode:
        compose = ["docker-compose"]
    compose += ["-p", PROJECT, "-f", repository / "docker" / "compose.yaml"]
    return [*compose, "--env-file", repository / "build" / "docker.env"]


def hour(environment: dict[str, str], repository: Path) -> dict[str, str]:
    """The rest of a newcomer's first hour: a turn by Airflow, and a promise that is broken."""
    compose, up = composed(environment, repository), repository / "scripts" / "up"
    done(up, "--profile", "airflow", "--no-demo", env=environment)
    at = ("--problem", "conf/churn.yaml", "--env", "docker")
    schedule = ["driftline", "schedule", *at, "--airflow", "--master", "spark://master:7077"]
    # Neither the file nor the name of a DAG that somebody has put there.
    dag, dag_id = repository / "build" / "dags" / f"{PROJECT}.py", f"{PROJECT}_churn"
    told = done(up, "exec", "driver", *schedule, env=environment)
    dag.write_text(told.replace("driftline_{", f"{PROJECT}_{{"), "utf-8")
    try:
        airflow = container(environment, "airflow")
        deadline = time.monotonic() + 300
        listed = ["docker", "exec", airflow, "airflow", "dags", "list", "-o", "plain"]
        while dag_id not in run(*listed, env=environment).stdout:
            assert time.monotonic() < deadline
            time.sleep(5)
        turn = ["airflow", "dags", "test", dag_id, "2025-03-01"]
        by_airflow = done(up, "exec", "airflow", *turn, env=environment)
        password = "/srv/airflow/simple_auth_manager_passwords.json.generated"
        login = json.loads(done(up, "exec", "airflow", "cat", password, env=environment))
    finally:
        dag.unlink()
        run(*compose, "--profile", "airflow", "rm", "-sf", "airflow", env=environment)
    sla = [up, "exec", "driver", "driftline", "sla", *at, "--as-of", "2025-03-10"]
    broken = run(*sla, env=environment)
    found = {"turn": by_airflow, "sla": broken.stdout, "sla_code": str(broken.returncode)}
    return {**found, "login": " ".join(login)}


def look(environment: dict[str, str], repository: Path) -> dict[str, str]:
    """At everything that is up, after a demo."""
    compose = [*composed(environment, repository), "--profile", "monitoring"]
    services = done(*compose, "--profile", "airflow", "config", "--services", env=environment)
    done(*compose, "up", "-d", "prometheus", "node_exporter", env=environment)
    targets = {}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and set(targets.values()) != {"up"}:
        found = asked("http://127.0.0.1:9090/api/v1/targets")["data"]["activeTargets"]
        targets = {each["labels"]["job"]: each["health"] for each in found}
        time.sleep(1)
    prediction = predicted("http://127.0.0.1:8080")
    version = scraped("driftline_model_version", 60)
    password = (repository / "build" / "docker.env").read_text().strip().partition("=")[2]
    told = done("docker", "ps", "--no-trunc", env=environment)
    told += inside(environment, "mlflow", "ps", "-ef")
    return {
        "user": inside(environment, "driver", "id", "-u").strip(),
        "services": services,
        "prediction": json.dumps(prediction),
        "scraped": version,
        "targets": json.dumps(targets, sort_keys=True),
        "secret": "told" if password in told else "kept",
        "size": done("docker", "image", "inspect", "-f", "{{.Size}}", IMAGE, env=environment),
    }


@pytest.fixture(scope="module")
def seen(images, repository, tmp_path_factory) -> Iterator[Seen]:
    up = repository / "scripts" / "up"
    later = tmp_path_factory.mktemp("later")
    found = Seen([], later / "ops", {})
    try:
        for disturbed in (False, True):
            done(up, "down", "--volumes", env=images)
            demo = subprocess.Popen(
                [up],
                env={**images, "CUSTOMERS": CUSTOMERS},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if disturbed:
                kill_a_worker(images, demo)
            said, _ = demo.communicate(timeout=1800)
            assert demo.returncode == 0, said[-6000:]
            if not disturbed:
                found.facts.update(look(images, repository))
                found.facts["again"] = done(up, env=images)
            folder = tmp_path_factory.mktemp("demo") / "churn"
            place = "driver:/srv/driftline/demo/warehouse/churn"
            done(up, "cp", place, folder, env=images)
            found.warehouses.append(folder)
            if not disturbed:
                found.facts["looked_up"] = json.dumps(looked_up("http://127.0.0.1:8080", folder))
                found.facts.update(hour(images, repository))
                done(up, "cp", f"{place}/ops", later, env=images)
        yield found
    finally:
        run(up, "down", "--volumes", env=images)


def test_what_is_up_is_as_it_should_be(seen) -> None:
    assert seen.facts["user"] == "1000"
    answer = json.loads(seen.facts["prediction"])
    assert answer["model"] == "churn"
    assert [0 <= each["score"] <= 1 for each in answer["predictions"]] == [True]
    assert seen.facts["scraped"] == str(answer["version"])
    by_name = json.loads(seen.facts["looked_up"])
    (told,) = by_name["predictions"]
    assert told["customer_id"] == by_name["asked"] and 0 <= told["score"] <= 1
    assert {"grafana", "airflow", "node_exporter"} < set(seen.facts["services"].split())
    assert json.loads(seen.facts["targets"]) == {"driftline-cycle": "up", "driftline-serve": "up"}
    assert seen.facts["secret"] == "kept"
    # The warehouse is compared below: given again, it was not begun anew.
    assert "there is a warehouse from before: no demo" in seen.facts["again"]
    assert int(seen.facts["size"]) < 1_800_000_000


def test_a_newcomer_has_a_turn_by_airflow_a_query_and_a_broken_promise(seen) -> None:
    """The turn is as of the day after the demo's last; the query is of docs and README."""
    assert "state=success" in seen.facts["turn"]
    assert seen.facts["login"] == "admin"
    runs = DeltaTable(str(seen.later / "runs")).to_pyarrow_dataset()
    decisions = DeltaTable(str(seen.later / "decisions")).to_pyarrow_dataset()
    assert runs and decisions  # DuckDB finds them by name
    of_sla = "SELECT count(*) FROM runs WHERE stage = 'sla' AND status = 'done'"
    assert duckdb.sql(of_sla).fetchall() >= [(1,)]
    day = "SELECT count(*) FROM decisions WHERE strftime(as_of, '%Y-%m-%d') = '2025-03-01'"
    assert duckdb.sql(day).fetchall() >= [(1,)]
    assert seen.facts["sla_code"] == "3"
    (freshness,) = (
        line for line in seen.facts["sla"].splitlines() if "freshness" in line and "orders" in line
    )
    assert "broken" in freshness and "36.0 h" in freshness and "silver.orders version" in freshness


@pytest.fixture(scope="module")
def both(seen, spark) -> list[Tables]:
    return [Tables(spark, str(folder)) for folder in seen.warehouses]


@pytest.mark.parametrize("table", EXACT)
def test_a_killed_worker_changes_no_table(both, multiset, table) -> None:
    one, other = (multiset(each.read(table)) for each in both)
    assert one == other
    assert one


def test_a_killed_worker_changes_no_feature(both, multiset) -> None:
    def rounded(rows):
        """Sums of doubles depend on the order of rows, which no cluster promises."""
        return multiset(
            rows.select(
                *(
                    F.round(name, 9).alias(name) if type_ == "double" else F.col(name)
                    for name, type_ in rows.dtypes
                )
            )
        )

    one, other = (rounded(each.read("gold.features")) for each in both)
    assert one == other
    assert one


def test_a_killed_worker_changes_no_prediction(both) -> None:
    one, other = (
        {(row.entity, row.as_of): row.score for row in each.read("gold.predictions").collect()}
        for each in both
    )
    assert other == {key: pytest.approx(score, abs=1e-6) for key, score in one.items()}
    assert one


def test_airflow_in_its_container_knows_the_dag(images, repository, tmp_path) -> None:
    """Alone, without a network: its scheduler is well, and it has the DAG that the image wrote."""
    tmp_path.chmod(0o755)  # the container's user is another one
    build = ["docker", "build", "-f", repository / "docker" / "Dockerfile"]
    build += ["--build-arg", f"BASE={images['BASE_IMAGE']}"]
    for target, tag in (("driftline", IMAGE), ("airflow", images["AIRFLOW_IMAGE"])):
        done(*build, "--target", target, "-t", tag, repository, env=images)
    alone = ["docker", "run", "--rm", "--network", "none"]
    schedule = ["driftline", "schedule", "--problem", "conf/churn.yaml", "--env", "docker"]
    schedule += ["--airflow", "--master", "spark://master:7077"]
    (tmp_path / "churn.py").write_text(done(*alone, IMAGE, *schedule, env=images), "utf-8")
    mount = ["-d", "-v", f"{tmp_path}:/opt/dags:ro"]
    name = done(*alone, *mount, images["AIRFLOW_IMAGE"], env=images).strip()
    look = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080{}').read().decode())"
    health = ["docker", "exec", name, "python3", "-c", look.format("/api/v2/monitor/health")]
    listed = ["docker", "exec", name, "airflow", "dags", "list", "-o", "plain"]
    try:
        deadline = time.monotonic() + 300
        while run(*health, env=images).returncode:
            assert time.monotonic() < deadline, run("docker", "logs", name, env=images).stdout
            time.sleep(3)
        while done(*health, env=images).count('"healthy"') < 4:  # its three parts, and its database
            assert time.monotonic() < deadline, done(*health, env=images)
            time.sleep(3)
        while "driftline_churn" not in done(*listed, env=images):
            assert time.monotonic() < deadline
            time.sleep(3)
    finally:
        run("docker", "kill", name, env=images)


@pytest.mark.parametrize(
    ("path", "host", "said"),
    [
        ("nothing", "", "there is no docker command"),
        ("usual", "unix:///nowhere/docker.sock", "no Docker engine answers"),
    ],
)
def test_up_says_what_is_missing(repository, tmp_path, path, host, said) -> None:
    environment = {**os.environ, "DOCKER_HOST": host}
    if path == "nothing":
        for name in ("bash", "dirname", "env"):
            (tmp_path / name).symlink_to(shutil.which(name))
        environment["PATH"] = str(tmp_path)
    elif not shutil.which("docker"):
        pytest.skip("there is no docker here")
    finished = run(repository / "scripts" / "up", env=environment)
    assert finished.returncode == 4
    assert said in finished.stderr
    assert "hint:" in finished.stderr


def test_a_password_that_is_gone_is_not_made_anew(engine, repository, tmp_path) -> None:
    """The database of before has the old one."""
    for name in ("docker", "scripts"):
        shutil.copytree(repository / name, tmp_path / name)
    environment = {**engine, "COMPOSE_PROJECT_NAME": f"{PROJECT}-password"}
    volume = f"{PROJECT}-password_registry"
    done("docker", "volume", "create", volume, env=environment)
    finished = run(tmp_path / "scripts" / "up", env=environment)
    assert finished.returncode == 4
    assert "build/docker.env is gone" in finished.stderr
    done(tmp_path / "scripts" / "up", "down", "--volumes", env=environment)
    assert run("docker", "volume", "inspect", volume, env=environment).returncode
    assert not (tmp_path / "build" / "docker.env").exists()


def test_the_folder_of_dags_is_there_also_where_the_password_is(repository, tmp_path) -> None:
    """A docker that says yes to everything."""
    shutil.copytree(repository / "scripts", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(shutil.which("true"))
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "docker.env").write_text("POSTGRES_PASSWORD=known\n")
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done(tmp_path / "scripts" / "up", "--no-demo", env=environment)
    assert (tmp_path / "build" / "dags").is_dir()
    assert (tmp_path / "build" / "docker.env").read_text() == "POSTGRES_PASSWORD=known\n"
