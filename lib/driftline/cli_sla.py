"""The command ``driftline sla``."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from driftline.errors import ConfError, Missing, Refused
from driftline.options import utc, where

if TYPE_CHECKING:
    from driftline.jobs.line import Line
    from driftline.probing import Probe

_RATE = 50.0
"""Requests a second of a probe where no throughput is promised."""


def commands(opened: Callable[..., Line]) -> list[click.Command]:
    """The command, for a program that opens a line by ``opened``."""

    @click.command()
    @where
    @click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
        help="Freshness, deadline and model as of this day, or moment (UTC). Default: now.",
    )
    @click.option(
        "--probe", "url", help="Test a running server, and judge what is promised of servers."
    )
    @click.option(
        "--seconds",
        type=click.FloatRange(1, 60),
        default=5.0,
        show_default=True,
        help="How long a probe asks at the promised rate, and then as fast as it can.",
    )
    @click.option("--api-key-env", help="Environment variable with the server's key.")
    def sla(
        as_of: datetime | None,
        url: str | None,
        seconds: float,
        api_key_env: str | None,
        **options: Any,
    ) -> None:
        """Which promises are kept → ops.sla.

        Those of the problem's section sla; exit code 3 if one is broken.

        Each with its evidence: the number, the limit, the run and table version it comes from. A
        promise without evidence is unknown. --probe asks a server of `driftline serve` at the
        promised rate, then up to four times that; later calls tell of the newest probe.
        """
        from driftline import sla as judging

        probed = _probed(options, url, seconds, api_key_env) if url else None
        line = opened(options, suites=False)
        from driftline.jobs import sla as job

        day = utc(as_of)
        judged = job.run(line, as_of=day, probed=probed)
        if not judged:
            raise ConfError(
                "nothing is promised",
                file=options["problem"],
                key="sla.serving" if url else "sla",
                allowed="promises",
                hint="conf/churn.yaml shows them all",
            )
        click.echo(judging.table(judged))
        click.echo(f"\n{'sla':<10}{judging.counted(judged)}")
        broken = [each for each in judged if each.verdict == "broken"]
        if broken:
            raise Refused(
                f"{len(broken)} of {len(judged)} promises are broken",
                where=", ".join(map(judging.short, broken)),
                hint="the evidence is above, and in ops.sla",
            )

    return [sla]


def _probed(options: dict[str, Any], url: str, seconds: float, variable: str | None) -> Probe:
    """Asked before Java starts: it would take the server's time."""
    from driftline.probing import probe
    from driftline.problem import load_problem

    problem = load_problem(Path(options["problem"]))
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        raise Missing(
            "there is no API key",
            where=f"environment variable {variable}",
            hint=f"export {variable}=…, or leave --api-key-env out",
        )
    rate = problem.sla.serving.throughput or _RATE
    return probe(url, problem.name, rate=rate, seconds=seconds, key=key)
