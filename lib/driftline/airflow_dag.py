"""Problem files → the text of a DAG file for Airflow 3: a task a part of the cycle's turn."""

from __future__ import annotations

import pprint
from collections.abc import Sequence
from typing import Any

from driftline import jars
from driftline.schedules import Turn, start

_HEAD = '''"""Written by `driftline schedule --airflow`; write it again when a problem file changes.

A DAG a problem, a task a part of a turn. The as-of is the day of the logical date, so that catching
up and backfills see what was known then, one day after the other (max_active_runs=1). Exit code 75
is retried; any other, and a task that takes too long, fails at once. DRIFTLINE_ALERT names a
program that is told of failures: it gets DAG, run and task as arguments.
"""

import glob
import os
import shlex
import subprocess
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
'''

_BASH = '''from airflow.providers.standard.operators.bash import BashOperator


class Stage(BashOperator):
    """A command of driftline."""

    def execute(self, context):
        with ended(self):
            result = self.subprocess_hook.run_command(
                ["bash", "-c", self.bash_command], env=self.get_env(context), cwd=self.cwd
            )
        judge(result.exit_code)
'''

_SPARK = '''import re

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator


class Stage(SparkSubmitOperator):
    """A job of driftline under spark-submit, by the connection spark_default."""

    def execute(self, context):
        try:
            with ended(self):
                super().execute(context)
        except AirflowFailException:
            raise
        except AirflowException as error:
            code = re.search(r"Error code is: (\\d+)", str(error))
            judge(int(code[1]) if code else 1)
'''

_FUNCTIONS = '''

def judge(code):
    """What an exit code means: 75 is worth another try, any other is not."""
    if code == 75:
        raise AirflowException("driftline: try again (exit code 75)")
    if code:
        raise AirflowFailException(f"driftline ended with exit code {code}")


@contextmanager
def ended(task):
    """What has taken too long is told to stop and not tried again: it would take as long again."""
    try:
        yield
    except AirflowTaskTimeout:
        task.on_kill()
        raise AirflowFailException("driftline was told to stop: too long") from None


def delivered(data, patterns, as_of):
    """Whether there is a file for each pattern, of the last day that the as-of sees. What a pattern
    matches is what ingest takes for it.
    """
    day = datetime.strptime(as_of, "%Y-%m-%d") - timedelta(days=1)

    def found(pattern):
        path = os.path.join(glob.escape(data), day.strftime(pattern))
        return any(os.path.isfile(each) for each in glob.iglob(path, recursive=True))

    return all(map(found, patterns))


def alert(context):
    """Tell the program in DRIFTLINE_ALERT, if there is one."""
    program = os.environ.get("DRIFTLINE_ALERT")
    if program:
        task = context["task_instance"]
        said = [task.dag_id, task.run_id, task.task_id]
        subprocess.run([*shlex.split(program), *said], check=False, timeout=60)


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

'''

_DAGS = """

for each in PROBLEMS:
    with DAG(
        dag_id=f"driftline_{each['name']}",
        description=each["question"],
        schedule=each["cron"],
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
        before = PythonSensor(
            task_id="deliveries",
            python_callable=delivered,
            op_args=[each["data"], each["wait_for"], AS_OF],
            mode="reschedule",
            poke_interval=60,
            timeout=each["patience"],
            execution_timeout=None,
            retries=0,
        )
        for part in PARTS:
            task = Stage(task_id=part, **stage(each, "cycle", ["--only", part], AS_OF))
            before >> task
            before = task
        promises = Stage(
            task_id="sla", trigger_rule="all_done", **stage(each, "sla", [], JUDGED)
        )
        before >> [promises, EmptyOperator(task_id="done")]  # done: a turn that failed has failed
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
