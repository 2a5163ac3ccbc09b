"""Run the shop month by month: live it in this process, write it in one or several."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

from driftline.simulate.day import MonthVisits
from driftline.simulate.deliveries import write_month
from driftline.simulate.files import Written
from driftline.simulate.process import months_of
from driftline.simulate.shop import MAX_DELAY_DAYS, Shop, require_whole
from driftline.simulate.truth import write_shop

# Below about this many visits a second process costs more to start than it saves.
_WORTH_A_PROCESS = 500_000


def simulate(
    shop: Shop,
    out: Path,
    *,
    first_month: int = 0,
    months: int = 12,
    processes: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Written:
    """Write deliveries and truth of months first_month .. first_month+months-1 under `out`.

    A month's files depend on `shop` and the month alone: however the months are split over calls
    and processes, the
    bytes are the same. Existing files of these months are replaced, others are left. `processes`
    None means one per
    core for a large shop, else this process alone; workers are spawned, so a script that asks for
    more than one needs
    the usual `if __name__ == "__main__"`. `on_progress` gets one sentence per month.

    Raises ValueError for an option out of range.
    """
    require_whole("first_month", first_month, least=0)
    require_whole("months", months, least=1)
    if processes is not None:
        require_whole("processes", processes, least=1)
    last = first_month + months - 1
    if processes is None:
        visits = shop.customers * shop.visits_per_month * months
        processes = (os.cpu_count() or 1) if visits > _WORTH_A_PROCESS else 1

    total = Written(files=1, bytes=write_shop(shop, out))
    for month, written in _written(shop, out, first_month, last, min(processes, months)):
        total = total.and_then(written)
        if on_progress is not None:
            on_progress(
                f"{shop.month_start(month):%Y-%m}: {written.log_lines:,} log lines, "
                f"{written.orders:,} orders, {written.customers:,} customers"
            )
    return total


def _written(
    shop: Shop, out: Path, first: int, last: int, processes: int
) -> Iterator[tuple[int, Written]]:
    """Each month's result in order of month."""
    tasks = _tasks(shop, out, first, last)
    if processes == 1:
        for month, task in tasks:
            yield month, task()
        return
    running: deque[tuple[int, Future[Written]]] = deque()
    # Forking a process that has started threads, as Arrow does, may deadlock the child.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        try:
            for month, task in tasks:
                running.append((month, pool.submit(task)))
                # One month waits ready for each worker; more would only fill memory.
                while len(running) > 2 * processes:
                    ready, future = running.popleft()
                    yield ready, future.result()
            for ready, future in running:
                yield ready, future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _tasks(
    shop: Shop, out: Path, first: int, last: int
) -> Iterator[tuple[int, Callable[[], Written]]]:
    before = MonthVisits.none()
    for life in months_of(shop, last):
        visits = MonthVisits.of(life.visits, life.closing)
        if life.month >= first:
            yield (
                life.month,
                partial(
                    write_month, shop, out, life.month, life.opening, life.closing, visits, before
                ),
            )
        before = visits.since(shop.first_day(life.month + 1) - MAX_DELAY_DAYS)
