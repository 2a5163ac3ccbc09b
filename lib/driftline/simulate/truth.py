"""The truth, in Parquet under `truth/`, one file per table and month; no delivery lies there.

customers  who signed up in the month (in month 0: until its end), with their latent rates
lapses     who lapsed in the month (in month 0: until its end), and why; `lapsed_on` is the last day
           on which they could have ordered
churn      for every customer known at `as_of`, the start of the month: latent state, and the
           Bayes-optimal probability of no order in the 30 days from then on
files      every delivered file with its lines and how many of them are dirt of each kind
dirt       every planted line: file, line (from 1), kind (malformed, late, duplicate), detail (how
           it broke), order id (orders only). Each line is dirty in one way at most. A file sent
           again lists its lines again

`truth/shop.json` holds the options of the last run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from driftline.simulate.files import parquet, write_atomically
from driftline.simulate.process import (
    REASONS,
    STATES,
    Crowd,
    Ints,
    no_order_probability,
)
from driftline.simulate.shop import Shop
from driftline.simulate.text import customer_ids

LINE_KINDS = ("malformed", "late", "duplicate")


@dataclass(frozen=True)
class FileTruth:
    """A delivered file: how many lines (a CSV's header included), and what was planted where."""

    file: str
    lines: int
    line: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    kind: Sequence[str] = ()
    detail: Sequence[str | None] = ()
    order_id: Sequence[str | None] = ()
    resent_of: str | None = None

    def sent_again_as(self, file: str) -> FileTruth:
        """The same content under another name."""
        return replace(self, file=file, resent_of=self.file)


def dirt_counts(files: Sequence[FileTruth]) -> dict[str, int]:
    """Planted dirt by kind; what a file sent again repeats is not counted twice."""
    first = [f for f in files if f.resent_of is None]
    counts = {kind: sum(list(f.kind).count(kind) for f in first) for kind in LINE_KINDS}
    return counts | {"resent_file": len(files) - len(first)}


def write_truth(
    shop: Shop, out: Path, month: int, opening: Crowd, closing: Crowd, files: Sequence[FileTruth]
) -> tuple[int, int]:
    """Write the month's truth: number of files, and their size in bytes."""
    tables = {
        "customers": _customers(shop, month, opening, closing),
        "lapses": _lapses(shop, month, closing),
        "churn": _churn(shop, month, opening),
        "files": _files(files),
        "dirt": _dirt(files),
    }
    name = f"{shop.month_start(month):%Y-%m}.parquet"
    size = sum(
        write_atomically(out / "truth" / table / name, parquet(rows))
        for table, rows in tables.items()
    )
    return len(tables), size


def write_shop(shop: Shop, out: Path) -> int:
    """Write the options the shop was run with; size in bytes."""
    content = json.dumps(asdict(shop), default=str, indent=2) + "\n"
    return write_atomically(out / "truth" / "shop.json", content.encode())


def _customers(shop: Shop, month: int, opening: Crowd, closing: Crowd) -> pa.Table:
    new = slice(len(opening) if month > 0 else 0, None)
    return pa.table(
        {
            "customer_id": customer_ids(len(closing))[new],
            "signup_date": _dates(shop, closing.signed_up[new]),
            "age": closing.age[new],
            "visits_per_month": 30 * closing.visit_rate[new],
            "orders_per_visit": closing.conversion[new],
            "cooling_hazard": closing.cooling_hazard[new],
            "mean_log_amount": closing.log_spend[new],
        }
    )


def _lapses(shop: Shop, month: int, closing: Crowd) -> pa.Table:
    days = shop.days(month)
    found = np.flatnonzero(
        (closing.lapsed_on < days.stop) & ((closing.lapsed_on >= days.start) | (month == 0))
    )
    return pa.table(
        {
            "customer_id": customer_ids(len(closing)).take(pa.array(found)),
            "lapsed_on": _dates(shop, closing.lapsed_on[found]),
            "reason": pa.array(REASONS).take(pa.array(closing.reason[found])),
        }
    )


def _churn(shop: Shop, month: int, opening: Crowd) -> pa.Table:
    count = len(opening)
    return pa.table(
        {
            "as_of": _dates(shop, np.full(count, shop.first_day(month))),
            "customer_id": customer_ids(count),
            "state": pa.array(STATES).take(pa.array(opening.state)),
            "p_no_order": no_order_probability(shop, opening, shop.first_day(month)),
        }
    )


def _files(files: Sequence[FileTruth]) -> pa.Table:
    counts = {
        kind: pa.array([list(f.kind).count(kind) for f in files], pa.int64()) for kind in LINE_KINDS
    }
    return pa.table(
        {
            "file": [f.file for f in files],
            "lines": pa.array([f.lines for f in files], pa.int64()),
            **counts,
            "resent_of": pa.array([f.resent_of for f in files], pa.string()),
        }
    )


def _dirt(files: Sequence[FileTruth]) -> pa.Table:
    return pa.table(
        {
            "file": pa.array([f.file for f in files for _ in f.kind], pa.string()),
            "line": pa.array(np.concatenate([f.line for f in files]), pa.int64()),
            "kind": pa.array([kind for f in files for kind in f.kind], pa.string()),
            "detail": pa.array([detail for f in files for detail in f.detail], pa.string()),
            "order_id": pa.array([order_id for f in files for order_id in f.order_id], pa.string()),
        }
    )


def _dates(shop: Shop, days: Ints) -> pa.Array:
    return pa.array(np.datetime64(shop.start) + days.astype("timedelta64[D]"))
