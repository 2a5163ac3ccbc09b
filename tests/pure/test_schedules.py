"""The very lines of the crontab, run as cron runs them, with a program of known exit codes."""

from __future__ import annotations

import ast
import calendar
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from driftline import airflow_dag, jars, schedules
from driftline.errors import ConfError, Missing, Refused
from driftline.problem import load_problem
from driftline.schedules import Turn
from driftline.simulate import Shop, simulate

CHURN = Path(__file__).parents[2] / "conf" / "churn.yaml"
PROGRAM = """#!/bin/sh
echo "$1" >> calls
echo "out of $*"
[ -n "$SLOW" ] && exec sleep "$SLOW"
code=$(head -n 1 codes); sed -i 1d codes
exit "${code:-0}"
"""


@pytest.fixture
def turn(tmp_path: Path) -> Turn:
    """A turn whose project lies where shells and cron stumble: blanks, a quote, a percent sign."""
    conf = yaml.safe_load(CHURN.read_text("utf-8"))
    conf["schedule"] = {"at": "03:05", "timeout": "2s", "retries": 2, "pause": "1s", "keep": 7}
    root = tmp_path / "it's 100% here"
    root.mkdir()
    (root / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    program = root / "driftline"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (root / "codes").touch()
    options = ("--problem", str(root / "x.yaml"), "--env", "local")
    problem = load_problem(root / "x.yaml")
    return Turn(problem, options, root, program, tmp_path / "data", root / "logs")


def commands(turn: Turn, **more: Any) -> list[tuple[str, str]]:
    """(time, what cron gives to sh) of each line, by the rules of crontab(5)."""
    found = []
    for line in schedules.crontab([turn], **more).splitlines():
        if line and not line.startswith("#") and not re.match(r"[A-Z_]+=", line):
            *when, command = line.split(" ", 5)
            assert not re.search(r"(?<!\\)%", command)
            found.append((" ".join(when), command.replace("\\%", "%")))
    return found


def run(command: str, **more: str) -> str:
    """As cron does: /bin/sh, another folder, hardly any environment; what it prints is mailed."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def calls(turn: Turn) -> list[str]:
    path = turn.root / "calls"
    found = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def test_lines_have_their_times(turn) -> None:
    text = schedules.crontab([turn])
    assert "CRON_TZ=UTC" in text
    assert [when for when, _ in commands(turn)] == ["5 3 * * *", "0 6 * * *"]


@pytest.mark.parametrize(
    ("promised", "timeout", "times"),
    [
        ({"freshness": {"silver.orders": "36h"}}, "90m", ["5 3 * * *", "35 4 * * *"]),
        ({"serving": {"p99": 50}}, "1s", ["5 3 * * *", "6 3 * * *"]),
        ({"quality": 0.9}, "22h", ["5 3 * * *", "5 1 * * *"]),
        ({}, "90m", ["5 3 * * *"]),
    ],
)
def test_without_a_deadline_promises_are_judged_daily_all_the_same(
    turn, promised, timeout, times
) -> None:
    """When a turn has ended or been stopped; where nothing is promised `sla` would end with 2."""
    conf = yaml.safe_load((turn.root / "x.yaml").read_text("utf-8")) | {"sla": promised}
    conf["schedule"]["timeout"] = timeout
    (turn.root / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    told = commands(replace(turn, problem=load_problem(turn.root / "x.yaml")))
    assert [when for when, _ in told] == times
    assert all(" sla --problem" in said for _, said in told[1:])


@pytest.mark.parametrize(
    ("codes", "tries", "said"),
    [
        ([], 1, ""),
        ([75, 75, 0], 3, ""),
        ([75, 75, 75, 0], 3, "ended with 75 after 3 tries"),
        ([75, 3, 0], 2, "ended with 3 after 2 tries"),
        ([1], 1, "ended with 1 after 1 tries"),
        ([4], 1, "ended with 4 after 1 tries"),
    ],
)
def test_only_75_is_tried_again(turn, codes, tries, said) -> None:
    (turn.root / "codes").write_text("".join(f"{code}\n" for code in codes))
    (_, command), *_ = commands(turn)
    told = run(command)
    assert said in told if said else told == ""
    assert calls(turn) == ["cycle"] * tries
    [log] = (turn.root / "logs").glob("churn-*.log")
    assert re.fullmatch(r"churn-\d{4}-\d\d-\d\d\.log", log.name)
    said = log.read_text().splitlines()
    assert len(said) == tries
    for line in said:  # as of today, by which a source that fell silent is late
        given, _, day = line.rpartition(" --as-of ")
        assert given == f"out of cycle --problem {turn.root}/x.yaml --env local"
        assert abs(time.time() - calendar.timegm(time.strptime(day, "%Y-%m-%d"))) < 2 * 86400


def test_a_turn_that_takes_too_long_is_stopped_and_not_begun_again(turn) -> None:
    (_, command), *_ = commands(turn)
    began = time.monotonic()
    assert "ended with 124 after 1 tries" in run(command, SLOW="50")
    assert time.monotonic() - began < 40
    assert calls(turn) == ["cycle"]


def test_while_a_turn_runs_no_other_does(turn) -> None:
    (_, command), *_ = commands(turn)
    (turn.root / "logs").mkdir()
    with (turn.root / "logs" / "churn.cycle.lock").open("w") as lock:
        subprocess.run(["flock", "-n", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        assert "ended with 75 after 3 tries" in run(command)
    assert calls(turn) == []
    assert run(command) == ""
    assert calls(turn) == ["cycle"]


def test_promises_are_judged_at_the_deadline(turn) -> None:
    _, (_, command) = commands(turn)
    assert run(command) == ""
    (turn.root / "codes").write_text("3\n")
    assert "sla of churn ended with 3" in run(command)
    assert calls(turn) == ["sla", "sla"]


def test_promises_are_judged_while_a_turn_runs_that_is_late(turn) -> None:
    _, (_, sla) = commands(turn)
    (turn.root / "logs").mkdir()
    with (turn.root / "logs" / "churn.cycle.lock").open("w") as lock:
        subprocess.run(["flock", "-n", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        assert run(sla) == ""
    assert calls(turn) == ["sla"]


def test_on_a_cluster_a_line_is_a_spark_submit(turn, monkeypatch) -> None:
    scripts = turn.root / "scripts"
    scripts.mkdir()
    (scripts / "scheduled").symlink_to(schedules.script("scheduled"))
    (turn.root / "driftline").rename(scripts / "submit")
    monkeypatch.setattr(schedules, "script", scripts.joinpath)
    (turn.root / "codes").write_text("75\n")
    cycle, sla = commands(turn, master="spark://a:7077")
    assert run(cycle[1]) == run(sla[1]) == ""
    assert calls(turn) == ["cycle", "cycle", "sla"]
    [log] = (turn.root / "logs").glob("churn-*.log")
    said = log.read_text()
    assert said.count(" --as-of ") == 2
    assert re.sub(r" --as-of [\d-]+", "", said).splitlines() == [
        f"out of {stage} --master spark://a:7077 -- --problem {turn.root}/x.yaml --env local"
        for stage in ("cycle", "cycle", "sla")
    ]


def test_what_cron_does_not_know_is_in_a_file(turn) -> None:
    variables = turn.root / "the night's.env"
    text = schedules.crontab([turn], variables)
    line = next(each for each in text.splitlines() if " cycle " in each)
    command = line.split(" ", 5)[5].replace("\\%", "%")
    (turn.root / "driftline").write_text('#!/bin/sh\nprintf "%s\\n" "$KEY" "$last"\n')
    failed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert failed.returncode and "the night's.env" in failed.stderr
    assert not (turn.root / "logs").exists()  # without its variables nothing is run
    # Each as it is: no shell reads them.
    value = " pa$$word 'a b' `id` \\n = #1 "
    variables.write_text(f'# keys\n\nKEY={value}\nlast="no line break"')
    assert run(command) == ""
    [log] = (turn.root / "logs").glob("churn-*.log")
    assert log.read_text() == f'{value}\n"no line break"\n'
    variables.write_text("KEY=a\nsecret word\n")
    wrong = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "not all lines of" in wrong.stderr and "secret" not in wrong.stderr


def test_old_logs_are_removed(turn) -> None:
    (_, command), _ = commands(turn)
    (turn.root / "logs").mkdir()
    today = time.strftime("churn-%Y-%m-%d.log", time.gmtime())
    for name, days in (("churn-1.log", 9), ("churn-2.log", 5), ("other-1.log", 9)):
        path = turn.root / "logs" / name
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    assert run(command) == ""
    left = {path.name for path in (turn.root / "logs").iterdir()}
    assert left == {"churn-2.log", "other-1.log", "churn.cycle.lock", today}


def test_a_path_of_two_lines_is_refused(turn) -> None:
    wrong = Turn(turn.problem, (), Path("/a\nb"), turn.program, turn.data, turn.logs)
    with pytest.raises(ConfError, match="no line of a crontab"):
        schedules.crontab([wrong])


def test_lines_are_short_enough_for_cron_and_for_people(turn, monkeypatch) -> None:
    """Debian's cron takes 998 bytes of a command; others of Vixie's drop the rest unsaid."""

    def longest(root: Path, **more: Any) -> int:
        monkeypatch.setattr(schedules, "script", (root / "scripts").joinpath)
        program, options = root / ".venv/bin/driftline", ("--problem", f"{root}/conf/churn.yaml")
        there = replace(turn, root=root, program=program, logs=root / "logs", options=options)
        return max(len(command) for _, command in commands(there, **more))

    assert longest(Path("/srv/driftline")) < 220
    cluster = {"master": "spark://a.cluster.example:7077", "variables": Path("/srv/night.env")}
    assert longest(Path("/" + 249 * "a"), **cluster) < 800
    with pytest.raises(ConfError, match="no line of a crontab"):
        longest(Path("/" + 249 * "ä"), **cluster)  # two bytes each
    spare = 998 - longest(Path("/a"))
    most = Path("/a" + spare // 2 * "a")  # it is there twice
    assert longest(most) in (997, 998)
    with pytest.raises(ConfError, match="no line of a crontab"):
        longest(Path(f"{most}a"))


def test_without_a_repository_there_is_no_schedule() -> None:
    with pytest.raises(Missing, match="no scripts/nothing"):
        schedules.script("nothing")


def test_the_command_prints_both(command, tmp_path) -> None:
    done = command("schedule", "--problem", CHURN, "--cron", "--logs", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"/bin/driftline cycle --problem {CHURN} --env local" in done.stdout
    done = command("schedule", "--problem", CHURN, "--airflow")
    assert (done.returncode, done.stderr) == (0, "")
    cluster = CHURN.parent / "env" / "cluster.yaml"
    done = command("schedule", "--problem", CHURN, "--cron", "--env", cluster, "--master", "yarn")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/submit cycle --master yarn -- --problem {CHURN} --env {cluster}" in done.stdout
    more = ("--master", "yarn", "--warehouse", "s3a://lake/w")
    done = command("schedule", "--problem", CHURN, "--cron", "--env", cluster, *more)
    assert (done.returncode, done.stderr) == (0, "")
    submit = "scripts/submit cycle --master yarn --packages org.apache.hadoop:hadoop-aws:3.5.0 -- "
    assert submit in done.stdout


def functions(text: str, *names: str, **given: Any) -> dict:
    """Some functions and classes of a DAG file, without what it imports of Airflow: that may be
    given.
    """
    tree = ast.parse(text)
    kept = [each for each in tree.body if getattr(each, "name", None) in names]
    space: dict = {"AirflowException": LookupError, "AirflowFailException": ArithmeticError}
    space |= given
    code = "import glob, itertools, os, re, shlex, subprocess\n"
    code += "from datetime import datetime, timedelta, timezone\n"
    exec(code + ast.unparse(ast.Module(kept, [])), space)
    return space


def problems(text: str) -> list[dict]:
    """What a DAG file knows of each problem."""
    [told] = [
        ast.literal_eval(each.value)
        for each in ast.parse(text).body
        if isinstance(each, ast.Assign) and each.targets[0].id == "PROBLEMS"
    ]
    return told


def test_what_spark_needs_besides_delta_is_a_package_of_each_problem(turn) -> None:
    """A store, a database: on a cluster Spark gets them by spark-submit alone."""
    asked = jars.drivers("s3a://lake/w", databases=True)
    assert jars.drivers("/srv/w", databases=False) == []
    there = replace(turn, packages=tuple(each.coordinates for each in asked))
    named = "org.postgresql:postgresql:42.7.7,org.apache.hadoop:hadoop-aws:3.5.0"
    begun = f"cycle --master yarn --packages {named} -- --problem"
    [(_, line), _] = commands(there, master="yarn")
    assert begun in line
    assert "--packages" not in schedules.crontab([turn], master="yarn")
    both = [turn, there]
    plain, more = problems(airflow_dag.text(both, operator="bash", master="yarn"))
    assert plain["start"]["cycle"][1:] == ["cycle", "--master", "yarn", "--"]
    assert more["start"]["sla"][1:] == ["sla", "--master", "yarn", "--packages", named, "--"]
    plain, more = problems(airflow_dag.text(both, operator="spark", master=None))
    assert plain["packages"] == jars.COORDINATES
    assert more["packages"] == f"{jars.COORDINATES},{named}"


@pytest.mark.parametrize("operator", ["bash", "spark"])
def test_a_dag_file_is_python_and_knows_what_to_retry(turn, operator) -> None:
    text = airflow_dag.text([turn], operator=operator, master=None)
    judge = functions(text, "judge", "said")["judge"]
    judge(0, [])
    with pytest.raises(LookupError):
        judge(75, [])
    for code in (1, 2, 3, 4, 124, -15):
        with pytest.raises(ArithmeticError):
            judge(code, [])
    told = problems(text)
    assert (told[0]["cron"], told[0]["retries"], told[0]["catchup"]) == ("5 3 * * *", 2, False)
    assert told[0]["options"] == list(turn.options)
    assert told[0]["promises"]


def test_what_driftline_said_of_its_end_is_told_and_nothing_else(turn) -> None:
    text = airflow_dag.text([turn], operator="bash", master=None)
    judge = functions(text, "judge", "said")["judge"]
    refused = Refused("2 promises", where="freshness silver.orders", hint="see ops.sla")
    told = ["driftline: 2 promises", "where:   freshness silver.orders", "hint:    see ops.sla"]
    before = ["driftline: of a try before", "  where:   there", "sla       2 kept, 2 broken"]
    # Spark, while it stops, is heard after it; a subprocess's lines end with a line break.
    lines = [*before, *f"driftline: {refused}".splitlines(), "26/11/30 INFO stopped", "hint: no"]
    for given in (lines, [f"{each}\n" for each in lines], [each.strip() for each in lines]):
        with pytest.raises(ArithmeticError) as failed:
            judge(3, given)
        assert str(failed.value).split("\n") == ["driftline ended with exit code 3", *told]
    with pytest.raises(LookupError, match="\ndriftline: told to stop"):
        judge(75, ["driftline: told to stop; nothing is half-written"])
    with pytest.raises(ArithmeticError) as failed:  # a bug's message may show a row's value
        judge(1, ["Traceback", "ValueError: c000123 is no number"])
    assert str(failed.value) == "driftline ended with exit code 1"
    wrong = ConfError("no", file="x.yaml", key="k", found="f", allowed="a", hint="h")
    with pytest.raises(ArithmeticError) as failed:
        judge(2, f"driftline: {wrong}".splitlines())
    assert str(failed.value).count("\n") == len(str(wrong).splitlines())
    with pytest.raises(ArithmeticError, match="code 2\nError: No such option: --nly"):
        judge(2, ["Usage: driftline cycle", "", "Error: No such option: --nly"])
    with pytest.raises(ArithmeticError, match=r"code 3\ndriftline: no$"):
        judge(3, ["driftline: no", "Error: Spark stops"])


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ("Cannot execute: a b. Error code is: 75.\nLast spark-submit output:\n x", LookupError),
        ("Cannot execute: a b. Error code is: 3.\ndriftline: no", ArithmeticError),
        ("Cannot execute: a. Error code is: 0. Kubernetes spark exit code is: 3", ArithmeticError),
        ("Cannot execute: a. Error code is: 0. Kubernetes spark exit code is: 75", LookupError),
        ("Cannot execute: a. Error code is: 1. Kubernetes spark exit code is: 75", LookupError),
        (
            "Cannot execute: a. Error code is: 0. Kubernetes spark exit code is: None",
            ArithmeticError,
        ),
        ("Cannot execute: a. Error code is: -15.", ArithmeticError),
        ("Driver driver-1 exited with status FAILED", ArithmeticError),
        ("", ArithmeticError),
    ],
)
def test_what_spark_submit_ends_with_never_passes(turn, raised, expected) -> None:
    """What SparkSubmitOperator raises, by the texts of its hook."""
    text = airflow_dag.text([turn], operator="spark", master=None)

    class Submit:
        def execute(self, context: None) -> None:
            raise RuntimeError(raised)

    given = {"SparkSubmitOperator": Submit, "ended": nullcontext}
    stage = functions(text, "judge", "said", "Stage", **given)["Stage"]
    with pytest.raises(expected):
        stage().execute(None)


def test_a_command_of_spark_is_not_told(turn) -> None:
    """It may hold what only its log may show; what driftline said of its end is."""
    text = airflow_dag.text([turn], operator="spark", master=None)

    class Submit:
        def execute(self, context: None) -> None:
            raise RuntimeError(
                "Cannot execute: spark-submit --conf a.key=secret x. Error code is: -15.\n"
                "driftline: told to stop"
            )

    given = {"SparkSubmitOperator": Submit, "ended": nullcontext}
    stage = functions(text, "judge", "said", "Stage", **given)["Stage"]
    with pytest.raises(ArithmeticError) as failed:
        stage().execute(None)
    assert str(failed.value).split("\n") == [
        "no exit code of driftline's: Error code is: -15.",
        "driftline: told to stop",
    ]


def test_a_command_is_heard_and_stopped_with_what_it_has_started(turn, tmp_path) -> None:
    """The operator of bash, without Airflow; of all that is written the end is kept."""
    text = airflow_dag.text([turn], operator="bash", master=None)
    logged: list[str] = []

    class Bash:
        bash_command, cwd = "", str(tmp_path)
        log = SimpleNamespace(info=lambda text, line: logged.append(text % line))

        def get_env(self, context: None) -> dict[str, str]:
            return {**os.environ, "WHO": "driftline"}

    given = {"BashOperator": Bash, "ended": nullcontext, "deque": deque, "LINES": 3}
    given |= {"signal": signal, "suppress": suppress}
    task = functions(text, "judge", "said", "Stage", **given)["Stage"]()
    task.on_kill()  # it has not begun
    task.bash_command = (
        r"pwd; echo b >&2; printf '\377\n'; echo $WHO: no; echo '  hint:    h' >&2; exit 3"
    )
    with pytest.raises(ArithmeticError, match=r"code 3\ndriftline: no\nhint:    h$"):
        task.execute(None)
    assert logged == [str(tmp_path), "b", r"\xff", "driftline: no", "  hint:    h"]
    task.on_kill()  # it has ended

    task.cwd = str(tmp_path / "gone")
    with pytest.raises(ArithmeticError, match=r"cannot be started: .*gone"):
        task.execute(None)
    task.cwd = str(tmp_path)

    task.bash_command = "sleep 60 & sleep 60; true"
    threading.Timer(1, task.on_kill).start()
    began = time.monotonic()
    with pytest.raises(ArithmeticError, match=r"exit code -15$"):
        task.execute(None)  # it is heard until all that hold its output have ended
    assert time.monotonic() - began < 30


def test_what_has_not_been_delivered_is_named(turn, tmp_path) -> None:
    text = airflow_dag.text([turn], operator="bash", master=None)
    late, logged = type("Late", (Exception,), {}), []

    class Sensor:
        log = SimpleNamespace(info=lambda text, *values: logged.append(text % values))

        def execute(self, context: None) -> bool:
            if self.poke(context):
                return True
            raise late("after 21600 seconds")

    given = {"BaseSensorOperator": Sensor, "AirflowSensorTimeout": late}
    sensor = functions(text, "missing", "Deliveries", **given)["Deliveries"]
    waits = sensor(data=str(tmp_path), patterns=["o/%d.csv", "a/%d"], as_of="2024-03-01")
    with pytest.raises(late, match=f"^not delivered: o/29.csv, a/29 in {tmp_path}$"):
        waits.execute(None)
    for folder, name in (("o", "29.csv"), ("a", "29")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    assert waits.execute(None)
    assert logged == [f"not delivered yet: o/29.csv, a/29 in {tmp_path}"]


def test_a_task_that_failed_is_told_to_the_program_that_is_named(
    turn, tmp_path, monkeypatch
) -> None:
    text = airflow_dag.text([turn], operator="bash", master=None)
    alert = functions(text, "alert")["alert"]
    task = SimpleNamespace(dag_id="driftline_churn", run_id="run 1", task_id="sla")
    alert({"task_instance": task})  # no program, nothing to do
    program = tmp_path / "tell it"
    program.write_text(f"#!/bin/sh\nprintf '%s|' \"$@\" >> '{tmp_path}/told'\n")
    program.chmod(0o755)
    monkeypatch.setenv("DRIFTLINE_ALERT", f"'{program}' --to me")
    alert({"task_instance": task, "exception": ArithmeticError("2 promises\nare broken")})
    alert({"task_instance": task})
    before = "--to|me|driftline_churn|run 1|sla|"
    told = f"{before}2 promises\nare broken|{before}its process was lost|"
    assert (tmp_path / "told").read_text() == told
    monkeypatch.setenv("DRIFTLINE_ALERT", "false")
    with pytest.raises(subprocess.CalledProcessError):  # Airflow logs it
        alert({"task_instance": task})


def test_without_a_promise_there_is_none_to_judge(turn, tmp_path) -> None:
    """`driftline sla` ends with 2 then."""
    conf = yaml.safe_load(CHURN.read_text("utf-8"))
    del conf["sla"]
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(conf), "utf-8")
    silent = replace(turn, problem=load_problem(tmp_path / "x.yaml"))
    told = problems(airflow_dag.text([silent, turn], operator="bash", master=None))
    assert [each["promises"] for each in told] == [False, True]


def test_deliveries_of_the_day_before_the_as_of_are_waited_for(turn, tmp_path) -> None:
    text = airflow_dag.text([turn], operator="bash", master=None)
    missing = functions(text, "missing")["missing"]
    patterns = ["orders/%Y-%m-%d*.ndjson", "profiles/%Y-%m.csv"]
    waited = ["orders/2024-02-29*.ndjson", "profiles/2024-02.csv"]
    assert missing(str(tmp_path), patterns, "2024-03-01") == waited
    for name in ("orders/2024-02-29-1.ndjson", "profiles/2024-02.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        waited.pop(0)
        assert missing(str(tmp_path), patterns, "2024-03-01") == waited
    late = ["orders/2024-03-01*.ndjson", "profiles/2024-03.csv"]
    assert missing(str(tmp_path), patterns, "2024-03-02") == late


def test_a_turn_that_waited_into_the_next_day_is_judged_as_of_now(turn) -> None:
    judged = functions(airflow_dag.text([turn], operator="bash", master=None), "judged")["judged"]
    now = datetime.now(timezone.utc)

    def of(due: datetime | None, began: datetime, after: datetime = now) -> str:
        return judged(SimpleNamespace(logical_date=due, run_after=after, start_date=began))

    begun = now - timedelta(hours=23)
    for told in (of(begun, begun), of(None, begun, begun), of(now - timedelta(hours=25), begun)):
        at = datetime.strptime(told, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        assert timedelta(seconds=-1) < at - now < timedelta(minutes=1)
    past = datetime(2024, 6, 10, 4, tzinfo=timezone.utc)
    assert of(past, now) == of(past, past) == "2024-06-10"
    yesterday = now - timedelta(hours=25)
    assert of(yesterday, now) == f"{yesterday:%Y-%m-%d}"


def test_what_ingest_takes_has_been_delivered(turn, tmp_path) -> None:
    """A data folder that is no pattern, source paths with ``**``; a folder is no delivery."""
    text = airflow_dag.text([turn], operator="bash", master=None)
    missing = functions(text, "missing")["missing"]
    data, patterns = tmp_path / "shop [1]", ["orders/**/%Y-%m-%d.ndjson"]
    (data / "orders" / "west" / "2024-02-29.ndjson").mkdir(parents=True)
    assert missing(str(data), patterns, "2024-03-01") == ["orders/**/2024-02-29.ndjson"]
    (data / "orders" / "west" / "late").mkdir()
    (data / "orders" / "west" / "late" / "2024-02-29.ndjson").touch()
    assert missing(str(data), patterns, "2024-03-01") == []


def test_the_flagship_waits_for_the_day_that_its_shop_delivers(tmp_path) -> None:
    problem = load_problem(CHURN)
    turn = Turn(problem, (), tmp_path, tmp_path / "driftline", tmp_path, tmp_path)
    text = airflow_dag.text([turn], operator="bash", master=None)
    missing = functions(text, "missing")["missing"]
    simulate(Shop(customers=10), tmp_path / "shop", months=1)
    days = [
        f"2024-{month}-{day:02}"
        for month, last in (("01", 31), ("02", 5))
        for day in range(1, last + 1)
    ]
    waited = problem.schedule.wait_for
    found = [each for each in days if not missing(str(tmp_path), waited, each)]
    assert found == days[1:32]  # as of the day after each of January's
