"""The command ``driftline schedule``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from driftline.cli_conf import read_conf
from driftline.errors import ConfError


@click.command()
@click.option(
    "--problem",
    "problems",
    multiple=True,
    required=True,
    help="The problem file; may be given several times.",
)
@click.option("--env", default="local", show_default=True, help="As for the other commands.")
@click.option("--warehouse", help="As for the other commands.")
@click.option("--data", help="As for the other commands.")
@click.option("--cron", is_flag=True, help="Print lines for crontab.")
@click.option("--airflow", is_flag=True, help="Print a DAG file for Airflow 3.")
@click.option(
    "--environment-file",
    help="cron: NAME=value lines, taken as they are, read before each command.",
)
@click.option("--logs", help="cron: folder of the logs. Default: logs beside conf.")
@click.option(
    "--operator",
    type=click.Choice(["bash", "spark"]),
    help="Airflow: a BashOperator a stage, or a SparkSubmitOperator. Default: bash.",
)
@click.option("--master", help="spark-submit to this master: by cron, or Airflow with bash.")
def schedule(
    problems: tuple[str, ...],
    env: str,
    warehouse: str | None,
    data: str | None,
    cron: bool,
    airflow: bool,
    environment_file: str | None,
    logs: str | None,
    operator: str | None,
    master: str | None,
) -> None:
    """Print a crontab, or a DAG for Airflow.

    By the section schedule of each problem file; starts neither Java nor Spark. Each turn of the
    cycle is retried after exit code 75 and no other, never runs twice at a time, and is told to
    stop after its time. A crontab is replaced as a whole: driftline schedule --cron … > turns &&
    crontab turns. What cron's own environment lacks (keys, JAVA_HOME) stands in an
    --environment-file. An environment without a master of its own asks for --master, as
    spark-submit does.
    """
    for without_effect, said in (
        (cron == airflow, "say for whom: --cron or --airflow"),
        (cron and operator, "--operator is of Airflow's tasks: cron has none, leave it out"),
        (
            airflow and environment_file,
            "--environment-file is of cron: Airflow's tasks have their worker's environment, "
            "set it there",
        ),
        (airflow and logs, "--logs is of cron: Airflow keeps logs itself, leave it out"),
        (
            operator == "spark" and master,
            "--operator spark submits to the master that is host of its connection "
            "spark_default: leave --master out",
        ),
    ):
        if without_effect:
            raise click.UsageError(said)
    from driftline import airflow_dag, jars, schedules

    turns = []
    for problem in problems:
        given = {"env": env, "problem": problem, "warehouse": warehouse, "data": data}
        asked, environment, root = read_conf(given)
        if environment.master is None and master is None and operator != "spark":
            raise ConfError(
                "nothing says which Spark is to run this",
                file=f"--env {env}",
                key="master",
                allowed="a master in the environment, or --master",
                hint="--master spark://host:7077; or on this machine master: local[2]",
            )
        place = str(Path(env).resolve()) if env.endswith(".yaml") else env
        options = ["--problem", str(Path(problem).resolve()), "--env", place]
        for name, folder in (("--warehouse", warehouse), ("--data", data)):
            if folder:
                options += [name, folder if "://" in folder else str(Path(folder).resolve())]
        databases = any(source.database for source in asked.sources.values())
        needed = jars.drivers(environment.warehouse, databases=databases)
        turns.append(
            schedules.Turn(
                asked,
                tuple(options),
                root,
                Path(sys.executable).with_name("driftline"),
                Path(environment.data),
                Path(logs).resolve() if logs else root / "logs",
                tuple(each.coordinates for each in needed),
            )
        )
    if cron:
        variables = Path(environment_file).resolve() if environment_file else None
        click.echo(schedules.crontab(turns, variables, master=master), nl=False)
    else:
        text = airflow_dag.text(turns, operator=operator or "bash", master=master)
        click.echo(text, nl=False)
