"""The section ``schedule`` of a problem file: when a turn of the cycle is due."""

from __future__ import annotations

from pydantic import Field

from driftline.conf import Day, Strict
from driftline.sla_section import Clock, Span


class Schedule(Strict):
    """When, how long, how often again; for cron and for Airflow."""

    at: Clock = "04:00"
    """The time of day of a turn, UTC."""
    timeout: Span = 7200.0
    """After so long a turn (cron) or a task (Airflow) is told to stop."""
    retries: int = Field(default=3, ge=0, le=100)
    """So often again, after exit code 75 and no other."""
    pause: Span = 300.0
    """Between one try and the next."""
    keep: int = Field(default=30, ge=1)
    """Days for which logs are kept (cron)."""
    first: Day | None = None
    """Airflow makes up for every day from this one on; without it, for none."""
    wait_for: tuple[str, ...] = ()
    """Deliveries of a turn (Airflow): patterns from the data folder, in which ``%Y-%m-%d`` and the
    like are those of the day before the as-of, the last one it sees. Without them any file of each
    source will do."""
    patience: Span = 21600.0
    """So long they are waited for (Airflow)."""
