"""How fast the shop writes its deliveries, and whether it writes what it says."""

import gzip
import tempfile
import time
from pathlib import Path

from measure import Row

from driftline.simulate import Shop, simulate


def rows(quick: bool) -> list[Row]:
    """Events (log lines and orders) against the goal of 10 M in 3 minutes."""
    customers = 12_000 if quick else 94_000
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        written = simulate(
            Shop(customers=customers, visits_per_month=3.0), Path(scratch), months=12
        )
        seconds = time.monotonic() - started
        day = next(iter(sorted(Path(scratch, "access").glob("*.gz"))))
        with gzip.open(day, "rb") as file:
            if not file.readline():
                raise RuntimeError(f"{day.name} is empty")
        events = written.log_lines + written.orders
    allowed = 180 * events / 10e6
    name = f"{events / 1e6:.1f} M events"
    return [Row(name, "s", seconds, allowed, "the goal's rate", "<= 1", seconds <= allowed)]
