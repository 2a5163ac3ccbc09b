"""The command ``driftline schedule``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from driftline.cli_conf import read_conf


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
@click.option("--cron", "form", flag_value="cron", help="Print lines for crontab.")
@click.option("--airflow", "form", flag_value="airflow", help="Print a DAG file for Airflow 3.")
@click.option("--environment-file", help="cron: NAME=value lines, read before each command.")
@click.option("--logs", help="Folder for cron's logs. Default: logs beside conf.")
@click.option(
    "--operator",
    type=click.Choice(["bash", "spark"]),
    default="bash",
    show_default=True,
    help="Airflow: a BashOperator a stage, or a SparkSubmitOperator.",
)
@click.option("--master", help="Airflow with bash: spark-submit to this master.")
def schedule(
    problems: tuple[str, ...],
    env: str,
    warehouse: str | None,
    data: str | None,
    form: str | None,
    environment_file: str | None,
    logs: str | None,
    operator: str,
    master: str | None,
) -> None:
    """Print what a scheduler needs, by the schedule of each problem file. Starts neither Java nor
    Spark.

    Each turn of the cycle is retried after exit code 75 and no other, never runs twice at a time,
    and is told to stop after its time. A crontab is replaced as a whole: driftline schedule --cron
    … > turns && crontab turns. What cron's own environment lacks (keys, JAVA_HOME) stands in an
    --environment-file.
    """
    if form is None:
        raise click.UsageError("say for whom: --cron or --airflow")
    from driftline import airflow_dag, schedules

    turns = []
    for problem in problems:
        given = {"env": env, "problem": problem, "warehouse": warehouse, "data": data}
        asked, environment, root = read_conf(given)
        place = str(Path(env).resolve()) if env.endswith(".yaml") else env
        options = ["--problem", str(Path(problem).resolve()), "--env", place]
        for name, folder in (("--warehouse", warehouse), ("--data", data)):
            if folder:
                options += [name, folder if "://" in folder else str(Path(folder).resolve())]
        turns.append(
            schedules.Turn(
                asked,
                tuple(options),
                root,
                Path(sys.executable).with_name("driftline"),
                Path(environment.data),
                Path(logs).resolve() if logs else root / "logs",
            )
        )
    if form == "cron":
        variables = Path(environment_file).resolve() if environment_file else None
        click.echo(schedules.crontab(turns, variables), nl=False)
    else:
        click.echo(airflow_dag.text(turns, operator=operator, master=master), nl=False)
