"""The command that makes a shop's deliveries: ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from driftline import logs


@click.command()
@click.option("--out", required=True, help="Folder for the deliveries, e.g. data/shop.")
@click.option("--seed", default=7, show_default=True, help="The same seed, the same shop.")
@click.option("--customers", default=3000, show_default=True, help="About so many at any time.")
@click.option("--months", default=12, show_default=True, help="How many months to write.")
@click.option(
    "--first-month", default=0, show_default=True, help="The first of them; 0 is 2024-01."
)
@click.option("--visits", default=None, type=float, help="Visits a customer and month.")
@click.option("--malformed", default=0.0, help="Share of broken lines.")
@click.option("--duplicates", default=0.0, help="Share of orders delivered twice.")
@click.option("--late", default=0.0, help="Share of orders delivered up to 10 days late.")
@click.option(
    "--schema-change",
    "schema_change_month",
    type=int,
    help="From this month on orders have a new field.",
)
@click.option(
    "--covariate-drift",
    "covariate_drift_month",
    type=int,
    help="From this month on others sign up.",
)
@click.option(
    "--concept-drift",
    "concept_drift_month",
    type=int,
    help="From this month on behaviour is another.",
)
def simulate(out: str, months: int, first_month: int, visits: float | None, **shop: Any) -> None:
    """Write the deliveries of a shop whose truth is known.

    Access logs, orders and profiles, month by month; months are counted from 0. Months written in
    several calls are the same bytes as months written in one. What no log says (who lapsed when and
    why, what was planted) goes to truth/ beside the deliveries.
    """
    from driftline.simulate import Shop
    from driftline.simulate import simulate as write

    logs.configure()
    try:
        if visits is not None:
            shop["visits_per_month"] = visits
        chosen = Shop(**shop)
        written = write(
            chosen,
            Path(out),
            first_month=first_month,
            months=months,
            on_progress=logs.LOGGER.info,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(
        f"{written.files:,} files with {written.log_lines:,} log lines and {written.orders:,} "
        f"orders ({written.bytes / 1e6:.1f} MB) in {out}"
    )
