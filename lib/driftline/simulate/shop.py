"""What shapes the shop, and what every module here asks it for: dates and random streams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum

import numpy as np

# The shop lives this long before its first delivery, so that month 0 opens on a settled mix of
# keen, cooling and lapsed customers instead of on a crowd that all signed up yesterday.
BURN_IN_MONTHS = 6

# Nothing arrives later than this many days after it happened.
MAX_DELAY_DAYS = 10


class Stream(IntEnum):
    """Independent sources of randomness; each is further split by month or by day."""

    PEOPLE = 0
    LIFE = 1
    VISITS = 2
    LINES = 3
    ORDERS = 4
    ARRIVAL = 5
    BROKEN_LOG = 6
    BROKEN_ORDERS = 7
    RESENT = 8


@dataclass(frozen=True)
class Shop:
    """Everything that shapes the shop. Two equal shops write equal bytes.

    seed                   int >= 0
    customers              size of the active base, kept about constant by new sign-ups
    start                  first day of month 0; the first of a calendar month
    visits_per_month       mean visits of an engaged customer in 30 days (>= 3). It scales the log
                           only: conversion falls as visits rise, so that orders and lapsing stay
    malformed              share (0 to 0.5) of log lines and of order lines that are broken
    duplicates             share (0 to 0.5) of orders delivered twice, under the same order id;
                           above 0, one orders file a month is also sent again under another name
    late                   share (0 to 0.5) of orders that arrive in a file 1 to 10 days later
    schema_change_month    from this month on orders carry `payment`, customers carry `loyalty`
    covariate_drift_month  from this month on younger people sign up, more of all come by mobile and
                           app, and orders cost more; lapsing given a customer's traits stays
    concept_drift_month    from this month on a competitor courts buyers: any order may be a
                           customer's last; who comes and how they shop stays

    A change planned for a month alters no byte of the months before it.
    """

    seed: int = 7
    customers: int = 3000
    start: date = date(2024, 1, 1)
    visits_per_month: float = 3.0
    malformed: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    schema_change_month: int | None = None
    covariate_drift_month: int | None = None
    concept_drift_month: int | None = None

    def __post_init__(self) -> None:
        require_whole("seed", self.seed, least=0)
        require_whole("customers", self.customers, least=1, most=10_000_000)
        # A datetime is a date too, but one with a time of day, which would go unheeded.
        day_only = type(self.start) is date
        if not day_only or self.start.day != 1 or not 1970 <= self.start.year <= 2200:
            allowed = "a date on the first of a month, 1970 to 2200"
            raise ValueError(f"start: found {self.start!r}; allowed: {allowed}")
        _require_between("visits_per_month", self.visits_per_month, least=3.0, most=10_000.0)
        for name in ("malformed", "duplicates", "late"):
            _require_between(name, getattr(self, name), least=0.0, most=0.5)
        for name in ("schema_change_month", "covariate_drift_month", "concept_drift_month"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), least=0)

    def month_start(self, month: int) -> date:
        """First day of the month `month` calendar months after `start` (negative: before)."""
        years, index = divmod(self.start.year * 12 + self.start.month - 1 + month, 12)
        return date(years, index + 1, 1)

    def first_day(self, month: int) -> int:
        """Day number of the month's first day; day 0 is `start`."""
        return (self.month_start(month) - self.start).days

    def days(self, month: int) -> range:
        """Day numbers of the month."""
        return range(self.first_day(month), self.first_day(month + 1))

    def date_of(self, day: int) -> date:
        """The calendar date of a day counted from the start."""
        return self.start + timedelta(days=day)

    def rng(self, stream: Stream, index: int) -> np.random.Generator:
        """The generator of one stream in one month or on one day; burn-in indexes are negative."""
        offset = index + 31 * BURN_IN_MONTHS
        return np.random.default_rng([self.seed, int(stream), offset])


def begun(month: int, change: int | None) -> bool:
    """Has a change planned for month `change` begun by `month`?"""
    return change is not None and month >= change


def require_whole(name: str, found: object, *, least: int, most: int | None = None) -> None:
    """Raise ValueError unless `found` is an int (no bool) in [least, most]."""
    ceiling = float("inf") if most is None else most
    if isinstance(found, int) and not isinstance(found, bool) and least <= found <= ceiling:
        return
    upper = "or more" if most is None else f"to {most}"
    raise ValueError(f"{name}: found {found!r}; allowed: a whole number, {least} {upper}")


def _require_between(name: str, found: object, *, least: float, most: float) -> None:
    # Written so that NaN, which compares false with everything, is refused too.
    if isinstance(found, (int, float)) and not isinstance(found, bool) and least <= found <= most:
        return
    raise ValueError(f"{name}: found {found!r}; allowed: a number, {least:g} to {most:g}")
