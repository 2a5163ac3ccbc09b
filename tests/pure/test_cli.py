"""The command line: what it teaches, what it refuses before work starts, and the exit codes."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from driftline import cli, cli_conf, cli_cycle
from driftline.budgets import Budgets, OverBudget
from driftline.cli import STAGES
from driftline.errors import ConfError, DriftlineError, Missing, Refused, TryAgain
from driftline.jobs import cycle, planning
from driftline.jobs.sides import Asked
from driftline.problem import load_problem
from driftline.session import check_java

PROJECT = Path(__file__).parents[2]
CHURN = str(PROJECT / "conf" / "churn.yaml")
COMMANDS = (
    *STAGES,
    "watch",
    "suggest",
    "docs",
    "explore",
    "profile",
    "run",
    "explain",
    "simulate",
    "serve",
    "rollback",
    "reproduce",
    "vacuum",
    "cost",
    "monitor",
    "cycle",
    "query",
    "erase",
    "sla",
    "schedule",
)

TEACHES = {
    "ingest": ("Deliveries → bronze.<source>", "each of them once"),
    "validate": (
        "bronze → silver",
        "ops.quarantine",
        "expectation suites",
        "--replay",
        "--dry-run",
    ),
    "watch": ("newest batch", "1 in 100", "--table"),
    "suggest": ("expectation suite", "--table", "--out", "evidence"),
    "docs": ("Data Docs", "--out", "a column's aggregate (min, max), and no others"),
    "explore": ("Any table → ops.exploration", "--table", "--label", "a leak"),
    "features": ("silver → gold.features", "--as-of", "cut-off", "--list"),
    "train": ("gold.features → a model", "champion", "--budget", "exit code 3", "best so far"),
    "rollback": ("champion again", "--to", "passed the gate"),
    "reproduce": ("Fit a model version again", "--version", "Exit code 3"),
    "monitor": ("Predictions, labels", "ops.decisions", "keep, watch or retrain", "--as-of"),
    "cycle": ("One turn of the wheel", "scheduler", "--dry-run", "--as-of", "does nothing again"),
    "schedule": ("--cron", "--airflow", "neither Java nor Spark", "exit code 75"),
    "sla": ("ops.sla", "unknown", "--probe", "exit code 3", "evidence", "--as-of"),
    "vacuum": ("files of old versions", "--hours", "models which passed the gate came from"),
    "query": ("NAME is a ready query", "--list", "one SELECT", "--out", "DuckDB"),
    "erase": (
        "Out of every table",
        "ops.erasures",
        "--request",
        "Killed? Give",
        "--yes",
        "of this problem",
    ),
    "cost": ("The ledger added up", "--by", "--since", "prices in the problem file"),
    "score": ("gold.features, champion → gold.predictions", "--as-of"),
    "drift": (
        "Two versions of a table → ops.drift",
        "--from",
        "--to",
        "champion",
        "read once more",
    ),
    "profile": (
        "Data files → ops.profiles",
        "each read once",
        "log still tells",
        "read once more",
    ),
    "report": ("ops.* → one HTML page", "report.html"),
    "run": ("All stages in one session", "--stages", "up to date"),
    "explain": ("Print a problem in plain words", "neither Java nor Spark"),
    "serve": (
        "predictions by the champion",
        "neither Java nor Spark",
        "POST /predict",
        "by its pseudonym",
    ),
    "simulate": ("a shop whose truth is known", "--seed", "truth/", "same bytes"),
}


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``driftline …``, through the same door as the console."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, captured.out, captured.err


def shown(*arguments: str) -> str:
    """Help as it is on a terminal, its lines joined: where they break does not matter."""
    result = CliRunner().invoke(cli.cli, list(arguments), terminal_width=100)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_every_command_is_known_here() -> None:
    assert sorted(cli.cli.commands) == sorted(COMMANDS)
    assert sorted(TEACHES) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_is_read_and_written(command: str, option: str) -> None:
    text = shown(command, option)
    for words in TEACHES[command]:
        assert words.casefold() in text.casefold()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str) -> None:
    silent = [
        parameter.name
        for parameter in cli.cli.commands[command].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []


def test_help_of_the_whole_names_commands_and_exit_codes() -> None:
    text = shown("--help")
    for command in COMMANDS:
        assert f" {command} " in text
    assert "..." not in text.partition("Commands:")[2]  # what a command does is not cut off
    codes = "0 done, 2 usage or conf, 3 a gate refused the data, 4 something needed is missing"
    assert codes in text
    assert "75 another run holds a table (try again), 1 a bug" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [(DriftlineError, 1), (ConfError, 2), (Refused, 3), (Missing, 4), (TryAgain, 75)],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[DriftlineError],
    code: int,
) -> None:
    told = {"file": "x.yaml", "hint": "do that"} if error is ConfError else {"hint": "do that"}

    def fail(*_: Any, **__: Any) -> None:
        raise error("it is wrong", **told)

    monkeypatch.setattr(cli, "_stage", fail)
    found, out, said = call(capsys, "train", "--problem", CHURN)
    assert (found, out) == (code, "")
    assert said.startswith("driftline: it is wrong\n")
    assert "hint:    do that" in said


def test_an_error_that_is_not_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_stage", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "--problem", CHURN])


def test_an_interrupted_command_ends_as_shells_expect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_stage", stop)
    assert call(capsys, "train", "--problem", CHURN)[0] == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-command"], "no-such-command"),
        (["ingest"], "Missing option '--problem'"),
        (["explain"], "Missing option '--problem'"),
        (["simulate"], "Missing option '--out'"),
        (["train", "--problem", CHURN, "--nonsense"], "--nonsense"),
        (["features", "--problem", CHURN, "--as-of", "2024-02-30"], "2024-02-30"),
        (["score", "--problem", CHURN, "--as-of", "soon"], "soon"),
        (["drift", "--problem", CHURN, "--table", "gold.features", "--from", "-1"], "-1"),
        (
            ["drift", "--problem", CHURN, "--from", "1"],
            "--from, --to and --by are of one table: name it by --table",
        ),
        (
            ["drift", "--problem", CHURN, "--to", "0"],
            "--from, --to and --by are of one table: name it by --table",
        ),
        (
            ["drift", "--problem", CHURN, "--table", "silver.x", "--to", "2024-02-30"],
            "'2024-02-30' is no version: say 7, 2026-01-31, 2026-01-31T12:00 or latest",
        ),
        (
            ["drift", "--problem", CHURN, "--table", "silver.x", "--from", "²"],
            "'²' is no version: say 7, 2026-01-31, 2026-01-31T12:00 or latest",
        ),
        (
            ["drift", "--problem", CHURN, "--window", "7"],
            "'7' is no span: say 12h, 7d or 2w",
        ),
        (
            ["drift", "--problem", CHURN, "--window", "60000w"],
            "'60000w' is more than a hundred years",
        ),
        (
            ["drift", "--problem", CHURN, "--against", "same-weekday"],
            "--against same-weekday is of spans: give a --window, e.g. 7d",
        ),
        (
            ["drift", "--problem", CHURN, "--table", "x", "--window", "7d", "--from", "1"],
            "--window ends at --to: leave --from out",
        ),
        (
            ["run", "--problem", CHURN, "--stages", "ingest,trian"],
            f"no stage 'trian' ({', '.join(STAGES)}); did you mean 'train'?",
        ),
        (
            ["run", "--problem", CHURN, "--stages", "everything"],
            f"no stage 'everything' ({', '.join(STAGES)}); leave --stages out to run all",
        ),
        (["simulate", "--out", "shop", "--months", "many"], "many"),
        (
            ["validate", "--problem", CHURN, "--replay", "--quarantine", "b1"],
            "give one of --replay, --dry-run and --quarantine",
        ),
        (
            ["validate", "--problem", CHURN, "--replay", "--dry-run"],
            "give one of --replay, --dry-run and --quarantine",
        ),
        (
            ["cycle", "--problem", CHURN, "--dry-run", "--only", "monitor"],
            "give one of --dry-run, which tells of all parts, and --only",
        ),
    ],
    ids=lambda value: " ".join(value[:1] + value[3:]) if isinstance(value, list) else "",
)
def test_wrong_usage_exits_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(cli, "_open", lambda options, suites=True: pytest.fail("work started"))
    code, out, error = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "--cron or --airflow"),
        ("--cron --airflow", "--cron or --airflow"),
        ("--cron --operator bash", "--operator is of Airflow's tasks"),
        ("--cron --operator spark --master yarn", "--operator is of Airflow's tasks"),
        ("--airflow --environment-file night.env", "set it there"),
        ("--airflow --logs logs", "--logs is of cron"),
        ("--airflow --operator spark --master yarn", "leave --master out"),
        ("--cron --env cluster", "hint:    --master spark://host:7077"),
        ("--airflow --env docker", "hint:    --master spark://host:7077"),
    ],
)
def test_a_schedule_with_an_option_that_has_no_effect_exits_2(
    capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    code, out, error = call(capsys, "schedule", "--problem", CHURN, *options.split())
    assert (code, out) == (2, "")
    assert said in error


def test_a_spark_operator_has_the_master_of_its_connection() -> None:
    options = ["--problem", CHURN, "--airflow", "--operator", "spark", "--env", "cluster"]
    result = CliRunner().invoke(cli.cli, ["schedule", *options])
    assert (result.exit_code, "SparkSubmitOperator" in result.output) == (0, True)


@pytest.mark.parametrize("command", [*STAGES, "run", "explain"])
def test_a_missing_problem_file_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    code, out, error = call(capsys, command, "--problem", str(tmp_path / "none.yaml"))
    assert (code, out) == (2, "")
    assert error.startswith("driftline: cannot read the file\n")
    assert "found:   no such file" in error


def test_a_missing_environment_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = call(capsys, "ingest", "--problem", CHURN, "--env", "loca")
    assert code == 2
    assert f"file:    {PROJECT / 'conf' / 'env' / 'loca.yaml'}" in error
    assert "hint:    did you mean 'local.yaml'?" in error


def test_a_problem_without_suites_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("churn.yaml", "env/local.yaml"):
        copy = tmp_path / "conf" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((PROJECT / "conf" / name).read_text())
    code, _, error = call(capsys, "validate", "--problem", str(tmp_path / "conf" / "churn.yaml"))
    assert code == 2
    assert error.startswith("driftline: the table has no expectation suite\n")
    assert f"file:    {tmp_path / 'expectations' / 'churn' / 'silver_visits.json'}\n" in error


GIVEN = {
    "explore": ["--table", "bronze.orders"],
    "suggest": ["--table", "bronze.orders", "--out", "new.json"],
    "docs": ["--out", "new"],
    "query": ["decisions"],
    "erase": ["--entity", "c1", "--request", "r", "--yes"],
}
SILENT = ("explain", "serve", "schedule", "simulate")
"""Commands that open no line."""


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in SILENT])
def test_only_what_writes_behind_a_gate_asks_for_all_suites(monkeypatch, command: str) -> None:
    """What has landed can be looked at, and proposed suites be tried, before there are all."""
    asked: list[bool] = []

    def opened(options: dict, *, suites: bool = True) -> None:
        asked.append(suites)
        raise Missing("no more is asked here")

    def run(*more: str) -> None:
        arguments = [command, "--problem", CHURN, *GIVEN.get(command, []), *more]
        done = CliRunner().invoke(cli.cli, arguments)
        assert isinstance(done.exception, Missing), done.output

    monkeypatch.setattr(cli, "_open", opened)
    for each in cli.cli.commands.values():  # those that were given it when they were made
        for cell in getattr(each.callback, "__closure__", None) or ():
            if getattr(cell.cell_contents, "__name__", "") == "_open":
                monkeypatch.setattr(cell, "cell_contents", opened)
    run()
    assert asked == [command in ("validate", "features", "score", "run", "cycle")]
    if command == "validate":
        run("--dry-run")
        assert asked == [True, False]


def test_options_replace_the_folders_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    problem, environment, root = cli_conf.read_conf(
        {"problem": CHURN, "env": "local", "data": "here", "warehouse": "there"}
    )
    assert problem.name == "churn"
    assert root == PROJECT
    assert environment.data == str(tmp_path / "here")
    assert environment.warehouse == str(tmp_path / "there")
    assert environment.mlflow == f"sqlite:///{tmp_path}/there/mlflow.db"


def test_without_options_the_environment_stays() -> None:
    options = {"problem": CHURN, "env": "cluster", "data": None, "warehouse": "s3a://bucket/w"}
    _, environment, _ = cli_conf.read_conf(options)
    assert environment.data == "/srv/driftline/data"
    assert environment.warehouse == "s3a://bucket/w"
    assert environment.mlflow == "http://127.0.0.1:5000"


class Tape:
    """Stands for a session and its jobs: writes down which stage was run with what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.line = SimpleNamespace(problem=load_problem(Path(CHURN)))
        monkeypatch.setattr(cli, "_open", lambda options, suites=True: self.line)
        monkeypatch.setattr(cli, "_run", self.run)
        monkeypatch.setattr("driftline.jobs.summary.summary", lambda line, ids: f"of {ids}")

    def run(self, line: object, stage: str, **arguments: Any) -> str:
        assert line is self.line
        self.calls.append((stage, arguments))
        return f"id-{stage}"


def test_a_turn_is_bounded_by_the_budgets_of_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage costs more than the whole turn may."""
    ran: list[str] = []
    budgets = Budgets.model_validate({"cycle": {"money": 0.5}})
    ledger = SimpleNamespace(money=0.0, seconds=0.0, as_of=None, run=lambda stage: nullcontext())
    problem = load_problem(Path(CHURN)).model_copy(update={"budgets": budgets})
    line = SimpleNamespace(problem=problem, ledger=ledger)

    def job(_: object, name: str, **arguments: Any) -> str:
        ran.append(name)
        ledger.money += 1.0
        return name

    monkeypatch.setattr(planning, "runs_of", lambda _: {})
    monkeypatch.setattr(
        cycle, "run", lambda line, stage, **_: [stage(each) for each in cycle.PARTS]
    )
    _, command = cli_cycle.commands(lambda *_, **__: None, lambda _: line, job)
    result = CliRunner().invoke(command, ["--problem", CHURN])
    assert isinstance(result.exception, OverBudget)
    assert ran == ["ingest"]


def test_run_runs_all_stages_in_the_order_of_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape(monkeypatch)
    result = CliRunner().invoke(cli.cli, ["run", "--problem", CHURN])
    assert result.exit_code == 0, result.output
    assert [stage for stage, _ in tape.calls] == [
        *("ingest", "validate", "features", "train", "score", "drift", "report")
    ]
    assert result.output.strip() == f"of {[f'id-{stage}' for stage in STAGES]}"


def test_run_runs_the_wanted_stages_in_the_order_of_the_flow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tape = Tape(monkeypatch)
    arguments = ["run", "--problem", CHURN, "--stages", "score,ingest", "--as-of", "2024-06-01"]
    result = CliRunner().invoke(cli.cli, arguments)
    assert result.exit_code == 0, result.output
    (first, nothing), (second, dated) = tape.calls
    assert (first, nothing) == ("ingest", {})
    assert second == "score"
    assert dated["as_of"].isoformat() == "2024-06-01T00:00:00+00:00"


def test_drift_passes_on_what_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape(monkeypatch)
    arguments = [
        "drift",
        "--problem",
        CHURN,
        "--table",
        "silver.orders",
        "--from",
        "0",
        "--to",
        "2026-01-31",
        "--by",
        "channel",
    ]
    assert CliRunner().invoke(cli.cli, arguments).exit_code == 0
    asked = Asked("0", "2026-01-31T00:00:00", by="channel")
    assert tape.calls == [("drift", {"table": "silver.orders", "asked": asked})]
    arguments = ["drift", "--problem", CHURN, "--window", "2w", "--against", "training"]
    assert CliRunner().invoke(cli.cli, arguments).exit_code == 0
    asked = Asked(window=timedelta(days=14), against="training")
    assert tape.calls[1:] == [("drift", {"table": None, "asked": asked})]
    arguments = ["profile", "--problem", CHURN, "--history"]
    assert CliRunner().invoke(cli.cli, arguments).exit_code == 0
    assert tape.calls[2:] == [("profile", {"table": None, "history": True})]


@pytest.mark.parametrize("stage", [*STAGES, "monitor", "profile"])
def test_every_stage_has_a_job_that_takes_what_the_command_gives(stage: str) -> None:
    job = importlib.import_module(f"driftline.jobs.{stage}")
    dated = {each: ["as_of"] for each in ("features", "score", "monitor")}
    given = dated | {"train": ["budget", "budget_money"], "drift": ["table", "asked"]}
    given |= {"profile": ["table", "history"]}
    inspect.signature(job.run).bind("line", **dict.fromkeys(given.get(stage, [])))


def test_every_stage_has_an_entry_point_and_no_entry_point_is_left_over() -> None:
    names = sorted(path.stem for path in (PROJECT / "jobs").glob("*.py"))
    assert names == sorted([*STAGES, "cycle", "explore", "monitor", "profile", "run", "sla"])


@pytest.mark.parametrize("path", sorted((PROJECT / "jobs").glob("*.py")), ids=lambda p: p.stem)
def test_an_entry_point_is_its_command_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(cli, "main", given.append)
    monkeypatch.setattr("sys.argv", [str(path), "--problem", "x.yaml"])
    monkeypatch.setattr("sys.path", ["jobs", *sys.path])
    code = compile(path.read_text(), str(path), "exec")
    exec(code, {"__name__": "__main__"})
    assert given == [[path.stem, "--problem", "x.yaml"]]
    assert "jobs" not in sys.path  # spark-submit puts it first, and its profile.py is not Python's
    exec(code, {"__name__": "imported"})
    assert len(given) == 1
    assert len(ast.parse(path.read_text()).body) == 4
    assert f"`driftline {path.stem}`" in path.read_text()


def java(folder: Path, said: str, *, code: int = 0) -> Path:
    """A Java home whose program says something on stderr."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit {code}\n")
    program.chmod(0o755)
    return folder


OLD = 'openjdk version "11.0.2" 2019-01-15\nOpenJDK Runtime Environment 18.9 (build 11.0.2+9)'
HINT = "install a JDK or JRE, 17 or newer (Debian 12 or newer: default-jre-headless)"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (OLD, "Java 11.0.2 is too old"),
        ('java version "1.8.0_292"', "Java 1.8.0_292 is too old"),
        ('openjdk version "16.0.2" 2021-07-20', "Java 16.0.2 is too old"),
    ],
)
def test_old_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, found: str) -> None:
    home = java(tmp_path / "jdk", said)
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(Missing) as caught:
        check_java()
    assert (caught.value.what, caught.value.hint) == (found, HINT)
    assert caught.value.where == str(home / "bin" / "java")


@pytest.mark.parametrize(
    "said",
    [
        'openjdk version "17.0.9" 2023-10-17',
        'openjdk version "21" 2023-09-19',
        'openjdk version "25-ea" 2025-09-16',
        'Picked up JAVA_TOOL_OPTIONS: -Dname="a b"\nopenjdk version "17.0.9" 2023-10-17',
    ],
)
def test_new_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "jdk", said)))
    check_java()


@pytest.mark.parametrize("home", [None, "nowhere"])
def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if home is None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
    else:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
    with pytest.raises(Missing) as caught:
        check_java()
    assert (caught.value.what, caught.value.hint) == ("no Java found", HINT)


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = java(tmp_path / "new", 'openjdk version "17.0.9" 2023-10-17')
    old = java(tmp_path / "old", OLD)
    monkeypatch.setenv("PATH", f"{old / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("JAVA_HOME", str(new))
    check_java()
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(Missing, match=re.escape("Java 11.0.2 is too old")):
        check_java()


def test_a_java_that_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = java(tmp_path / "jdk", "Error: could not find libjava.so", code=2)
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(Missing, match="cannot be run"):
        check_java()
    (home / "bin" / "java").chmod(0o644)
    with pytest.raises(Missing, match="cannot be run"):
        check_java()


def test_old_java_is_one_clear_line_and_exit_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "jdk", OLD)))
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setattr("pyspark.SparkContext._active_spark_context", None)  # of other tests
    monkeypatch.setattr("driftline.logs.configure", lambda **_: None)
    arguments = ("ingest", "--problem", CHURN, "--warehouse", str(tmp_path / "warehouse"))
    code, out, error = call(capsys, *arguments)
    assert (code, out) == (4, "")
    assert error.split("\n") == [
        "driftline: Java 11.0.2 is too old",
        f"  where:   {tmp_path}/jdk/bin/java",
        f"  hint:    {HINT}",
        "",
    ]


def test_an_entry_point_finds_pythons_modules_not_its_neighbours(tmp_path) -> None:
    """PySpark imports Python's profile, and beside the entry points there is one too."""
    problem = tmp_path / "conf" / "churn.yaml"  # without suites: refused once PySpark is there
    (problem.parent / "env").mkdir(parents=True)
    problem.write_text(Path(CHURN).read_text("utf-8"), "utf-8")
    place = "warehouse: w\ndata: d\nmlflow: w/mlflow.db\n"
    (problem.parent / "env" / "local.yaml").write_text(place)
    done = subprocess.run(
        [sys.executable, PROJECT / "jobs" / "validate.py", "--problem", problem],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
