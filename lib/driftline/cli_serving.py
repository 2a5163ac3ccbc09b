"""The command ``driftline serve``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from driftline import logs
from driftline.cli_conf import read_conf
from driftline.errors import Missing


class _Range(click.FloatRange):
    """A range without NaN, which click finds in every one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is no number", param, ctx)
        return found


_PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--problem", required=True, help="The problem file, e.g. conf/churn.yaml.")
@click.option("--env", default="local", show_default=True, help="As for the other commands.")
@click.option("--warehouse", help="Folder of the tables, instead of the environment's.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=_PORT, default=8080, show_default=True, help="Of REST; 0 takes a free one."
)
@click.option("--grpc-port", type=_PORT, help="Of gRPC too; 0 takes a free one. Default: none.")
@click.option("--features", is_flag=True, help="Answer entities by their rows of gold.features.")
@click.option("--log-requests", help="Folder for requests as NDJSON deliveries. Default: none.")
@click.option(
    "--api-key-env",
    help="Environment variable with the key every request must carry, except for health: /healthz, "
    "/readyz, /v2/health/*, gRPC's ServerLive and ServerReady.",
)
@click.option(
    "--rate", type=_Range(1, 1e6), help="Requests a second; more get 429. Default: no bound."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Requests at work at the same time, given up or not; more get 429.",
)
@click.option(
    "--rows",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Rows of one request; more get 422. Bodies beyond what these need (64 bytes a value and "
    "its name, at least 2 MB in all) get 413.",
)
@click.option(
    "--refresh",
    type=_Range(0.05, 86_400),
    default=2.0,
    show_default=True,
    help="Seconds between looks for a new champion, and for new features.",
)
def serve(problem: str, env: str, warehouse: str | None, **options: Any) -> None:
    """Answer predictions by the champion, over REST and gRPC.

    Starts neither Java nor Spark. A new champion is taken over within --refresh seconds, without a
    failed request. POST /predict takes rows, with --features entities, too; /docs describes it, /v2
    is the Open Inference Protocol, /metrics Prometheus'. An entity with pseudonym: true is asked
    for by its pseudonym, and by nothing else.
    """
    given = {"env": env, "problem": problem, "warehouse": warehouse, "data": None}
    asked, environment, _ = read_conf(given, suites=False)
    from driftline.serving.limits import Limits
    from driftline.serving.server import Settings
    from driftline.serving.server import serve as run
    from driftline.serving.service import Service

    logs.configure()
    folder = f"{environment.warehouse}/{asked.name}/gold/features"
    settings = Settings(
        host=options["host"],
        port=options["port"],
        grpc_port=options["grpc_port"],
        refresh=options["refresh"],
        features=folder if options["features"] else None,
        log=Path(options["log_requests"]) if options["log_requests"] else None,
    )
    limits = Limits(
        rows=options["rows"],
        concurrency=options["concurrency"],
        rate=options["rate"],
        key=_key(options["api_key_env"]),
    )
    run(Service.of(environment.mlflow, asked.name), settings, limits)


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    found = os.environ.get(variable)
    if not found:
        raise Missing(
            "there is no API key",
            where=f"environment variable {variable}",
            hint=f"export {variable}=…, or leave --api-key-env out",
        )
    return found
