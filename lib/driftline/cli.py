"""The command line: one command a stage, the same under ``driftline`` and under spark-submit."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from driftline import __version__, logs, storage
from driftline import cli_cycle as of_cycle
from driftline import cli_drift as of_drift
from driftline import cli_models as of_models
from driftline import cli_quality as quality
from driftline import cli_schedule as of_schedule
from driftline import cli_serving as serving
from driftline import cli_simulate as simulated
from driftline import cli_sla as of_sla
from driftline.cli_conf import read_conf
from driftline.errors import DriftlineError, Missing, Refused, TryAgain, did_you_mean
from driftline.jobs import STAGES
from driftline.options import as_of_option, utc, where
from driftline.problem import load_problem

if TYPE_CHECKING:
    from driftline.jobs.line import Line


class _Commands(click.Group):
    """Listed as they are come upon, and not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The first ones, then each as it was added."""
        return list(dict.fromkeys(("explain", "run", "cycle", *self.commands)))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def cli() -> None:
    """From raw logs to a model you can trust, and to the day it stops being true.

    A problem is one YAML file (see conf/churn.yaml); where it runs is another (conf/env). Each
    stage reads tables, writes tables, and does only what is new: giving a command twice is safe.

    \b
      driftline explain --problem conf/churn.yaml      what is asked, in plain words
      driftline run     --problem conf/churn.yaml      all stages in one session
      driftline drift   --problem conf/churn.yaml --table gold.features --from 1 --to 2

    Exit codes: 0 done, 2 usage or conf, 3 a gate refused the data, 4 something needed is missing,
    75 another run holds a table (try again), 1 a bug. 75, too: a server cannot be reached, or the
    command was told to stop.
    """


@cli.command()
@where
@click.option(
    "--retry-rejects",
    is_flag=True,
    help="Try rejected records and refused deliveries again, after a fix of the problem file.",
)
def ingest(retry_rejects: bool, **options: Any) -> None:
    """Deliveries → bronze.<source>, each of them once.

    Every record is accounted for. A delivery is known by its content: the same bytes under another
    name are a known duplicate, new bytes under the same name a new delivery. A record that cannot
    be read goes to ops.rejects with its reason; a delivery that cannot be taken as a whole (torn
    archive, too many rejects) is refused, and the others land (exit code 3).
    """
    _stage("ingest", options, retry_rejects=retry_rejects)


@cli.command()
@where
@quality.validating[0]
@quality.validating[1]
@quality.validating[2]
def validate(replay: bool, dry_run: bool, give_up: str | None, **options: Any) -> None:
    """Bronze → silver, judged by the expectation suites.

    Bad rows go to ops.quarantine, each with the rules it broke. A batch that breaks its suite as a
    whole is refused (exit code 3) until its suite is mended or it is given up (--quarantine), and
    the others go through.
    """
    if replay + dry_run + (give_up is not None) > 1:
        raise click.UsageError("give one of --replay, --dry-run and --quarantine")
    asked = {"replay": replay, "dry_run": dry_run, "give_up": give_up}
    # Proposed suites are tried before there are any of what driftline makes itself.
    _run(_open(options, suites=not dry_run), "validate", **asked)


@cli.command()
@where
@click.option("--table", required=True, help="Any table, e.g. silver.orders or gold.features.")
@click.option("--label", help="How much others tell of this column. Default: label.")
def explore(table: str, label: str | None, **options: Any) -> None:
    """Any table → ops.exploration: what its columns look like.

    Each by itself (nulls, values, quantiles), in pairs, and with the label: a column that tells
    nearly all of it is suspected of being a leak.
    """
    _stage("explore", options, table=table, label=label)


@cli.command()
@where
@as_of_option
@click.option("--list", "list_", is_flag=True, help="Print every feature in words, and do nothing.")
def features(as_of: datetime | None, list_: bool, **options: Any) -> None:
    """Silver → gold.features: entities as of each cut-off.

    What was known of each then, and the label once its horizon is over. Only days whose rows came
    or went since are read again.
    """
    if list_:
        from driftline import explain as words

        click.echo(words.features(load_problem(Path(options["problem"]))))
        return
    _stage("features", options, as_of=utc(as_of))


@cli.command()
@where
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Minutes after which no fit begins: the best so far is taken.",
)
@click.option(
    "--budget-money",
    type=click.FloatRange(min=0, min_open=True),
    help="The same, once cores and memory have cost so much by the problem's prices.",
)
def train(budget: float | None, budget_money: float | None, **options: Any) -> None:
    """gold.features → a model version in MLflow.

    Candidates are cross-validated; the best is fitted, measured on the test set beside baselines,
    and champion if the gate lets it (exit code 3 where it does not). A search that was killed, or
    stopped by its budget, goes on with what is left. On the same rows nothing is fitted again.
    """
    _stage("train", options, budget=budget, budget_money=budget_money)


@cli.command()
@where
@as_of_option
@click.option(
    "--full", is_flag=True, help="Score what is scored already, and earlier cut-offs, too."
)
@click.option(
    "--challenger", type=click.IntRange(1), help="Score by this version, into gold.shadow."
)
def score(as_of: datetime | None, full: bool, challenger: int | None, **options: Any) -> None:
    """gold.features, champion → gold.predictions.

    Whom this version has not scored yet at the newest cut-off; what was predicted before stays.
    """
    _stage("score", options, as_of=utc(as_of), full=full, challenger=challenger)


@cli.command()
@where
def report(**options: Any) -> None:
    """ops.* → one HTML page: rows, quality, model, drift, cost.

    It is <warehouse>/<problem>/report.html, made anew each time, and loads nothing from anywhere.
    """
    _stage("report", options)


@cli.command()
@where
@as_of_option
@click.option(
    "--stages",
    default=",".join(STAGES),
    show_default=True,
    help="Which stages, separated by commas; they run in this order.",
)
def run(stages: str, as_of: datetime | None, **options: Any) -> None:
    """All stages in one session, then a summary.

    What is up to date is left alone.
    """
    wanted = stages.split(",")
    for stage in wanted:
        if stage not in STAGES:
            hint = did_you_mean(stage, STAGES, otherwise="leave --stages out to run all")
            raise click.UsageError(f"no stage '{stage}' ({', '.join(STAGES)}); {hint}")
    line = _open(options)
    if "train" in wanted:  # to be told now, not after hours of other stages
        from driftline import candidates

        candidates.check(line.problem)
    ids = []
    refusal: Refused | None = None
    for stage in (each for each in STAGES if each in wanted):
        dated = {"as_of": utc(as_of)} if stage in ("features", "score") else {}
        try:
            ids.append(_run(line, stage, **dated))
        except Refused as error:
            if stage != "train":
                raise
            # An older champion may score on, and the report shows why the new model was refused.
            refusal = error
            ids.append(line.ledger.last_run_id)
            click.echo(f"{stage:<10}{error.what}")
        except Missing as error:
            if stage != "score" or refusal is None:
                raise
            click.echo(f"{stage:<10}{error.what}")
    from driftline.jobs.summary import summary

    click.echo("\n" + summary(line, ids))
    if refusal:
        raise refusal


@cli.command()
@click.option("--problem", required=True, help="The problem file, e.g. conf/churn.yaml.")
def explain(problem: str) -> None:
    """Print a problem in plain words.

    Starts neither Java nor Spark.
    """
    from driftline import explain as words

    click.echo(words.explain(load_problem(Path(problem))))


def _stage(stage: str, options: dict[str, Any], **arguments: Any) -> None:
    line = _open(options, suites=stage in ("features", "score"))
    _run(line, stage, **arguments)


def _run(line: Line, stage: str, **arguments: Any) -> str:
    """Run one job; prints its one line and returns the id of its run."""
    job = importlib.import_module(f"driftline.jobs.{stage}")
    from driftline.jobs.spending_limits import bounded

    message = bounded(line, stage, job.run, arguments)
    click.echo(logs.visible(f"{stage:<10}{message}"))
    return line.ledger.last_run_id


def _open(options: dict[str, Any], *, suites: bool = True) -> Line:
    """Check conf first, then start Spark."""
    problem, environment, root = read_conf(options, suites)
    logs.configure(file=options["log_file"])
    from driftline.jobs.line import open_line

    return open_line(problem, environment, root, verbose=options["verbose"])


cli.add_command(serving.serve)
cli.add_command(of_schedule.schedule)
cli.add_command(simulated.simulate)
for _command in (
    *of_drift.commands(_stage),
    *quality.commands(_stage),
    *of_models.commands(_stage),
    *of_cycle.commands(_stage, _open, _run),
    *of_sla.commands(_open),
):
    cli.add_command(_command)


def _terminate(number: int, frame: object) -> None:
    """Stop at once: what is committed stays, what is not is as if it had not begun.

    Nothing is unwound: the main thread may be waiting for the JVM, which ends with this process,
    and whatever is asked of it now would wait behind that. Locks end with the process, too.
    """
    with suppress(OSError):  # nobody may read any more
        click.echo(
            "driftline: told to stop; nothing is half-written, run it again to go on", err=True
        )
    os._exit(TryAgain.exit_code)


def main(arguments: list[str] | None = None) -> None:
    """Entry point; turns errors into exit codes (see :mod:`driftline.errors`)."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli.main(args=arguments, prog_name="driftline", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except DriftlineError as error:
        click.echo(logs.visible(f"driftline: {error}"), err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        explained = storage.explained(f"{type(error).__name__} {error}")
        if explained is None:
            raise
        click.echo(logs.visible(f"driftline: {explained}"), err=True)
        sys.exit(explained.exit_code)
