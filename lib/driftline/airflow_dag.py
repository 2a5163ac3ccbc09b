"""Problem files → the text of a DAG file for Airflow 3: a task a part of the cycle's turn."""

from __future__ import annotations

import pprint
from collections.abc import Sequence
from typing import Any

from driftline import jars, sla
from driftline.schedules import Turn, start

_HEAD = '''"""Written by `driftline schedule --airflow`; write it again when a problem file changes.

A DAG a problem, a task a part of a turn. The as-of is the day of the logical date, so that catching
up and backfills see what was known then, one day after the other (max_active_runs=1). Exit code 75
is retried; any other, and a task that takes too long, fails at once. DRIFTLINE_ALERT names a
program that is told of failures: it gets DAG, run, task, and what was said of why as arguments.
"""

import glob
import itertools
import os
import re
import shlex
import subprocess
from collections import deque
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseSensorOperator, CronTriggerTimetable
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
)
'''

_BASH = '''import signal
from contextlib import suppress

from airflow.providers.standard.operators.bash import BashOperator


class Stage(BashOperator):
    """A command of driftline."""

    process = None

    def execute(self, context):
        lines = deque(maxlen=LINES)  # Airflow's own hook keeps the last one alone
        with ended(self):
            try:
                self.process = subprocess.Popen(
                    ["bash", "-c", self.bash_command],
                    env=self.get_env(context),
                    cwd=self.cwd,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="backslashreplace",
                    start_new_session=True,
                )
            except OSError as error:
                raise AirflowFailException(f"driftline cannot be started: {error}") from error
            for line in self.process.stdout:
                self.log.info("%s", line.rstrip())
                lines.append(line)
            code = self.process.wait()
        judge(code, lines)

    def on_kill(self):
        with suppress(ProcessLookupError):  # it has ended by itself
            if self.process:
                os.killpg(self.process.pid, signal.SIGTERM)
'''

_SPARK = '''from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator


class Stage(SparkSubmitOperator):
    """A job of driftline under spark-submit, by the connection spark_default."""

    def _get_hook(self):
        hook = super()._get_hook()
        # Of its output, as the error tells it: 20 lines are what Spark says while it stops.
        hook._last_submit_log_lines = deque(maxlen=LINES)
        hook._exception_anchor_seen = True  # else they begin anew where a thread of Spark's dies
        return hook

    def execute(self, context):
        try:
            with ended(self):
                super().execute(context)
        except AirflowFailException:
            raise
        except Exception as error:  # a RuntimeError where a driver elsewhere has failed
            first, *lines = str(error).splitlines() or [type(error).__name__]
            # On Kubernetes the last is the driver's, and spark-submit's may be 0 beside it.
            codes = [int(each) for each in re.findall(r"code is: (\\d+)", first)]
            code = next(filter(None, reversed(codes)), None)
            if code is None:  # the command itself, which is told before, is for the log alone
                first = re.sub(r"Cannot execute: .*?\\. (?=Error code)", "", first)
                reasons = [f"no exit code of driftline's: {first}", *said(lines)]
                raise AirflowFailException("\\n".join(reasons)) from error
            judge(code, lines)
'''

_FUNCTIONS = '''

def judge(code, lines):
    """What an exit code means: 75 is worth another try, any other is not."""
    if code == 75:
        raise AirflowException("\\n".join(["driftline: try again (exit code 75)", *said(lines)]))
    if code:
        reasons = [f"driftline ended with exit code {code}", *said(lines)]
        raise AirflowFailException("\\n".join(reasons))


def said(lines):
    """Why driftline ended, in its own words: of all that was written they alone never show a row's
    text. A least or greatest number or time may be in them, where a suite asks for it.
    """
    lines = [each.strip() for each in lines]
    more = re.compile("(where|file|key|found|allowed|hint): ")
    for begin in ("driftline: ", "Error: "):  # the latter of an option that there is not
        begun = [place for place, each in enumerate(lines) if each.startswith(begin)]
        if begun:
            return [lines[begun[-1]], *itertools.takewhile(more.match, lines[begun[-1] + 1 :])]
    return []


@contextmanager
def ended(task):
    """What has taken too long is told to stop and not tried again: it would take as long again."""
    try:
        yield
    except AirflowTaskTimeout:
        task.on_kill()
        raise AirflowFailException("driftline was told to stop: too long") from None


def missing(data, patterns, as_of):
    """The patterns, of the last day that the as-of sees, for which there is no file. What a pattern
    matches is what ingest takes for it.
    """
    day = datetime.strptime(as_of, "%Y-%m-%d") - timedelta(days=1)

    def found(pattern):
        path = os.path.join(glob.escape(data), pattern)
        return any(os.path.isfile(each) for each in glob.iglob(path, recursive=True))

    return [each for each in map(day.strftime, patterns) if not found(each)]


class Deliveries(BaseSensorOperator):
    """Waits for a file for each pattern, and says for which there is none."""

    template_fields = ("as_of",)

    def __init__(self, *, data, patterns, as_of, **options):
        super().__init__(**options)
        self.data = data
        self.patterns = patterns
        self.as_of = as_of

    def lacking(self):
        return ", ".join(missing(self.data, self.patterns, self.as_of))

    def poke(self, context):
        lacking = self.lacking()
        if lacking:
            self.log.info("not delivered yet: %s in %s", lacking, self.data)
        return not lacking

    def execute(self, context):
        try:
            return super().execute(context)
        except AirflowSensorTimeout as late:
            lacking = self.lacking() or "it came too late"
            raise AirflowSensorTimeout(f"not delivered: {lacking} in {self.data}") from late


def alert(context):
    """Tell the program in DRIFTLINE_ALERT, if there is one; of a task whose process was lost there
    is no reason. If it fails, that is in the task's log.
    """
    program = os.environ.get("DRIFTLINE_ALERT")
    if program:
        task, reason = context["task_instance"], context.get("exception")
        told = [task.dag_id, task.run_id, task.task_id, str(reason or "its process was lost")]
        subprocess.run([*shlex.split(program), *told], check=True, timeout=60)


def judged(run):
    """The moment that promises are judged at: of a turn that began on its day, now that it has
    ended, however long deliveries were waited for; of a day made up for, that day.
    """
    due = run.logical_date or run.run_after
    now = datetime.now(timezone.utc)
    # `airflow dags test` tells a start on that day, whenever it runs.
    if run.start_date - due >= timedelta(days=1) or now - due >= timedelta(days=2):
        return due.strftime("%Y-%m-%d")
    return now.strftime("%Y-%m-%dT%H:%M:%S")


AS_OF = "{{ (dag_run.logical_date or dag_run.run_after).strftime('%Y-%m-%d') }}"
JUDGED = "{{ judged(dag_run) }}"
PARTS = ("ingest", "validate", "features", "score", "drift", "monitor", "train", "report")
LINES = 200

'''

_DAGS = """

for each in PROBLEMS:
    with DAG(
        dag_id=f"driftline_{each['name']}",
        description=each["question"],
        # Not the text: by a setting of Airflow its logical dates are those of the day before.
        schedule=CronTriggerTimetable(each["cron"], timezone="UTC"),
        start_date=datetime(*each["first"], tzinfo=timezone.utc),
        catchup=each["catchup"],
        max_active_runs=1,
        default_args={
            "retries": each["retries"],
            "retry_delay": timedelta(seconds=each["pause"]),
            "execution_timeout": timedelta(seconds=each["timeout"]),
            "on_failure_callback": alert,
        },
        user_defined_macros={"judged": judged},
        tags=["driftline"],
    ) as dag:
        before = Deliveries(
            task_id="deliveries",
            data=each["data"],
            patterns=each["wait_for"],
            as_of=AS_OF,
            mode="reschedule",
            poke_interval=min(60, each["patience"]),
            timeout=each["patience"],
            execution_timeout=None,
            # Airflow tries again where a process is lost, and never what was not there in time.
        )
        for part in PARTS:
            task = Stage(task_id=part, **stage(each, "cycle", ["--only", part], AS_OF))
            before >> task
            before = task
        before >> EmptyOperator(task_id="done")  # a turn that failed has failed
        if each["promises"]:
            options = stage(each, "sla", [], JUDGED)
            before >> Stage(task_id="sla", trigger_rule="all_done", **options)
    globals()[dag.dag_id] = dag
"""

_BASH_STAGE = '''

def stage(problem, command, options, as_of):
    """The arguments of a stage's operator."""
    line = shlex.join(problem["start"][command] + problem["options"] + options)
    return {"bash_command": f'{line} --as-of "{as_of}"', "cwd": problem["root"]}
'''


def text(turns: Sequence[Turn], *, operator: str, master: str | None) -> str:
    """The DAG file; with ``operator`` spark, tasks are SparkSubmitOperators, else bash commands,
    of spark-submit to ``master`` if there is one.
    """
    spark = operator == "spark"
    problems = [
        _facts(turn) | (_packages(turn) if spark else _start(turn, master)) for turn in turns
    ]
    told = pprint.pformat(problems, width=96, sort_dicts=False)
    return "".join(
        [
            _HEAD,
            _SPARK if spark else _BASH,
            _FUNCTIONS,
            f"PROBLEMS = {told}\n",
            _spark_stage(turns) if spark else _BASH_STAGE,
            _DAGS,
        ]
    )


def _facts(turn: Turn) -> dict[str, Any]:
    problem, plan = turn.problem, turn.problem.schedule
    hours, minutes = plan.at.split(":")
    first = plan.first or problem.cutoffs.first
    return {
        "name": problem.name,
        "question": problem.question,
        "cron": f"{int(minutes)} {int(hours)} * * *",
        "first": (first.year, first.month, first.day),
        "catchup": plan.first is not None,
        "retries": plan.retries,
        "pause": plan.pause,
        "timeout": plan.timeout,
        "data": str(turn.data),
        "wait_for": list(plan.wait_for or _anything(turn)),
        "patience": plan.patience,
        "promises": any(sla.promises(problem.sla, problem.train.metric)),
        "root": str(turn.root),
        "options": list(turn.options),
    }


def _anything(turn: Turn) -> list[str]:
    """Without wait_for: that there is a file of each source; a % in its path stands for itself."""
    found = [source.path for source in turn.problem.sources.values() if source.path]
    return [path.replace("%", "%%") for path in found]


def _start(turn: Turn, master: str | None) -> dict[str, Any]:
    return {"start": {command: start(turn, command, master) for command in ("cycle", "sla")}}


def _packages(turn: Turn) -> dict[str, Any]:
    return {"packages": ",".join([jars.COORDINATES, *turn.packages])}


def _spark_stage(turns: Sequence[Turn]) -> str:
    python = str(turns[0].program.with_name("python"))
    return f'''

def stage(problem, command, options, as_of):
    """The arguments of a stage's operator."""
    return {{
        "application": os.path.join(problem["root"], "jobs", f"{{command}}.py"),
        "application_args": [*problem["options"], *options, "--as-of", as_of],
        "py_files": os.path.join(problem["root"], "dist", "driftline.zip"),
        "packages": problem["packages"],
        "env_vars": {{"PYSPARK_PYTHON": {python!r}}},
    }}
'''
