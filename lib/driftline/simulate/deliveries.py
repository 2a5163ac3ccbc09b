"""One month's deliveries: which line goes into which file, and which of them break on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.simulate.day import DayOrders, MonthVisits, orders_of, visits_of
from driftline.simulate.dirt import LOG_BREAKERS, ORDER_BREAKERS, Breaker
from driftline.simulate.files import Written, gzipped, write_atomically
from driftline.simulate.process import Crowd, Ints
from driftline.simulate.shop import MAX_DELAY_DAYS, Shop, Stream
from driftline.simulate.text import access_lines, customer_rows, order_lines
from driftline.simulate.truth import FileTruth, dirt_counts, write_truth

PLAIN, REPEATED, LATE, DUPLICATE = 0, 1, 2, 3


@dataclass(frozen=True)
class _Lines:
    """Order lines on their way into one file; `arrived` is the second of that file's day."""

    text: Any
    ids: Any
    kind: Ints
    arrived: Ints


_NONE: Ints = np.empty(0, np.int64)
_NO_LINES = _Lines(pa.array([], pa.string()), pa.array([], pa.string()), _NONE, _NONE)


def write_month(
    shop: Shop,
    out: Path,
    month: int,
    opening: Crowd,
    closing: Crowd,
    visits: MonthVisits,
    before: MonthVisits,
) -> Written:
    """Write one month's deliveries and truth under `out`.

    `opening` and `closing` are the customers at the month's two ends. `visits` are the month's own,
    `before` those of at least the ten days before it: late orders of those days arrive in this
    month.
    """
    waiting: dict[int, list[_Lines]] = {day: [] for day in shop.days(month)}
    for day in range(max(shop.first_day(month) - MAX_DELAY_DAYS, 0), shop.first_day(month)):
        known = before.on(day)
        orders = orders_of(shop, month - 1, known, visits_of(shop, month - 1, day, known))
        _send(shop, month - 1, orders, waiting)

    files: list[FileTruth] = []
    _forget_resent(shop, out, month)
    resend_day = int(shop.rng(Stream.RESENT, month).choice(shop.days(month)))
    size = 0
    for day in shop.days(month):
        known = visits.on(day)
        all_visits = visits_of(shop, month, day, known)
        _send(shop, month, orders_of(shop, month, known, all_visits), waiting)

        content, truth = _access_file(shop, day, access_lines(shop, all_visits))
        size += write_atomically(out / truth.file, gzipped(content))
        files.append(truth)

        content, truth = _orders_file(shop, day, waiting.pop(day))
        size += write_atomically(out / truth.file, content)
        files.append(truth)
        if shop.duplicates > 0 and day == resend_day:
            again = truth.sent_again_as(truth.file.replace(".ndjson", ".resent.ndjson"))
            size += write_atomically(out / again.file, content)
            files.append(again)

    profiles = customer_rows(shop, month, opening)
    snapshot = FileTruth(f"customers/{shop.month_start(month):%Y-%m}.csv", lines=len(profiles))
    size += write_atomically(out / snapshot.file, _content(profiles))
    files.append(snapshot)

    truths, truth_size = write_truth(shop, out, month, opening, closing, files)
    return Written(
        files=len(files) + truths,
        log_lines=sum(f.lines for f in files if f.file.startswith("access/")),
        orders=sum(f.lines for f in files if f.file.startswith("orders/") and f.resent_of is None),
        customers=len(opening),
        bytes=size + truth_size,
        dirt=dirt_counts(files),
    )


def _forget_resent(shop: Shop, out: Path, month: int) -> None:
    """Another shop written here before may have sent another day's file again."""
    for stale in (out / "orders").glob(f"{shop.month_start(month):%Y-%m}-*.resent.ndjson"):
        stale.unlink()


def _send(shop: Shop, month: int, orders: DayOrders, waiting: Mapping[int, list[_Lines]]) -> None:
    """Put one day's orders, and the copies of some, with the files of `waiting` they arrive in."""
    ids, text = order_lines(shop, month, orders)
    kind = np.select([orders.delay > 0, orders.repeat >= 0], [LATE, REPEATED], PLAIN)
    first = (kind, orders.delay, orders.handed_over)
    again = (np.full_like(kind, DUPLICATE), orders.repeat, orders.repeat_handed_over)
    for kinds, delays, arrived in (first, again):
        for delay in np.unique(delays[delays >= 0]):
            day = orders.day + int(delay)
            if day in waiting:
                chosen = np.flatnonzero(delays == delay)
                where = pa.array(chosen)
                lines = _Lines(text.take(where), ids.take(where), kinds[chosen], arrived[chosen])
                waiting[day].append(lines)


def _access_file(shop: Shop, day: int, lines: Any) -> tuple[pa.Buffer, FileTruth]:
    rng = shop.rng(Stream.BROKEN_LOG, day)
    chosen = np.flatnonzero(rng.random(len(lines)) < shop.malformed)
    lines, details = _broken(lines, chosen, LOG_BREAKERS, rng)
    truth = FileTruth(
        f"access/{shop.date_of(day).isoformat()}.log.gz",
        lines=len(lines),
        line=chosen + 1,
        kind=["malformed"] * len(chosen),
        detail=details,
        order_id=[None] * len(chosen),
    )
    return _content(lines), truth


def _orders_file(shop: Shop, day: int, sent: list[_Lines]) -> tuple[pa.Buffer, FileTruth]:
    # By time of arrival; on the same second the first delivery was queued before its copy.
    sent = [_NO_LINES, *sent]
    order = np.argsort(np.concatenate([part.arrived for part in sent]), kind="stable")
    kind = np.concatenate([part.kind for part in sent])[order]
    text = pa.concat_arrays([part.text for part in sent]).take(pa.array(order))
    ids = pa.concat_arrays([part.ids for part in sent]).take(pa.array(order))

    # Only lines that are otherwise clean break: every planted line is counted for one reason.
    rng = shop.rng(Stream.BROKEN_ORDERS, day)
    breaks = (rng.random(len(kind)) < shop.malformed) & (kind == PLAIN)
    text, details = _broken(text, np.flatnonzero(breaks), ORDER_BREAKERS, rng)

    planted = np.flatnonzero(breaks | (kind == LATE) | (kind == DUPLICATE))
    names = {PLAIN: "malformed", LATE: "late", DUPLICATE: "duplicate"}
    reasons = iter(details)
    truth = FileTruth(
        f"orders/{shop.date_of(day).isoformat()}.ndjson",
        lines=len(text),
        line=planted + 1,
        kind=[names[int(kind[at])] for at in planted],
        detail=[next(reasons) if breaks[at] else None for at in planted],
        order_id=ids.take(pa.array(planted)).to_pylist(),
    )
    return _content(text), truth


def _broken(
    lines: Any, chosen: Ints, breakers: Mapping[str, Breaker], rng: np.random.Generator
) -> tuple[Any, list[str | None]]:
    """`lines` as bytes with the chosen ones broken, and the kind of each break."""
    lines = lines.cast(pa.binary())
    if len(chosen) == 0:
        return lines, []
    kinds = [tuple(breakers)[pick] for pick in rng.integers(0, len(breakers), len(chosen))]
    whole = lines.take(pa.array(chosen)).to_pylist()
    broken = [breakers[kind](line, rng) for kind, line in zip(kinds, whole, strict=True)]
    mask = np.zeros(len(lines), bool)
    mask[chosen] = True
    return pc.replace_with_mask(lines, pa.array(mask), pa.array(broken, pa.binary())), [*kinds]


def _content(lines: Any) -> pa.Buffer:
    """The lines end to end. Arrow keeps an array's strings in one buffer, so nothing is copied."""
    offsets, data = lines.buffers()[1:]
    if len(lines) == 0 or data is None:
        return pa.py_buffer(b"")
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return data.slice(int(ends[0]), int(ends[-1] - ends[0]))
