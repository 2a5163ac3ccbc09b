"""One day in the shop, in numbers: each visit's clock, device and cart, and the orders among them.

Text is made elsewhere; everything here is arrays with one entry per visit or per order. A day
depends on the shop, the day and its customers' visits alone, so any process may work it out, in any
order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.simulate.process import (
    BROWSED,
    ORDERED,
    Codes,
    Crowd,
    Floats,
    Ints,
    Visits,
    season,
)
from driftline.simulate.shop import MAX_DELAY_DAYS, Shop, Stream, begun

ANONYMOUS = -1
DESKTOP, MOBILE, APP, ROBOT = 0, 1, 2, 3

CATEGORIES = ("garden", "kitchen", "toys", "books", "lighting", "textiles", "stationery", "sport")
CHANNELS = ("web", "mobile", "app")
PAYMENTS = ("card", "paypal", "invoice")

_DAY_SECONDS = 86_400
_ANONYMOUS_SHARE = 0.22  # visits of strangers, as a share of the visits the active base would make
_ROBOT_SHARE = 0.15  # of the strangers
_CART_SHARE = 0.2  # of the visits without order: carts left behind
_CATEGORY_MIX = np.array([0.2, 0.18, 0.14, 0.12, 0.12, 0.1, 0.08, 0.06])
_CATEGORY_PRICE = np.log([1.2, 1.1, 0.9, 0.6, 1.5, 1.0, 0.5, 1.6])


@dataclass(frozen=True)
class MonthVisits:
    """Visits of known customers, with the traits needed to write them down.

    One entry per visit, in order of day. log_spend is the mean of log(euro) per order.
    """

    customer: Ints
    day: Ints
    outcome: Codes
    age: Ints
    log_spend: Floats

    @classmethod
    def of(cls, visits: Visits, crowd: Crowd) -> MonthVisits:
        """The visits of a month with what their lines need of the visitors."""
        who = visits.customer
        return cls(who, visits.day, visits.outcome, crowd.age[who], crowd.log_spend[who])

    @classmethod
    def none(cls) -> MonthVisits:
        """No visits."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0, np.int8), nothing, np.empty(0))

    def on(self, day: int) -> MonthVisits:
        """Those of one day."""
        return self._between(day, day + 1)

    def since(self, day: int) -> MonthVisits:
        """Those of a day and later."""
        return self._between(day, np.iinfo(np.int64).max)

    def _between(self, first: int, beyond: int) -> MonthVisits:
        found = slice(*np.searchsorted(self.day, [first, beyond]))
        return MonthVisits(*(getattr(self, name)[found] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class DayVisits:
    """All visits of one day, anonymous ones last; `started` < `ended` are seconds of the day."""

    day: int
    customer: Ints
    outcome: Codes
    device: Codes
    carted: NDArray[np.bool_]
    pages: Ints
    started: Ints
    ended: Ints


@dataclass(frozen=True)
class DayOrders:
    """The orders of one day in order of time, and how they arrive.

    second: of the day, in UTC. cents: amount in euro cents. delay, repeat: days from the order to
    the file that brings it, or brings it again (-1: no second delivery). handed_over,
    repeat_handed_over: second of that file's day at which the line was written; it orders the lines
    of a file.
    """

    day: int
    customer: Ints
    second: Ints
    cents: Ints
    items: Ints
    category: Ints
    channel: Ints
    payment: Ints
    delay: Ints
    handed_over: Ints
    repeat: Ints
    repeat_handed_over: Ints


def visits_of(shop: Shop, month: int, day: int, known: MonthVisits) -> DayVisits:
    """The visits of `day`, which lies in `month`; `known` are those of customers on that day."""
    rng = shop.rng(Stream.VISITS, day)
    usual = shop.customers * shop.visits_per_month / 30 * season(shop, day)
    strangers = int(rng.poisson(_ANONYMOUS_SHARE * usual))
    total = len(known.customer) + strangers
    customer = np.concatenate([known.customer, np.full(strangers, ANONYMOUS)])
    outcome = np.concatenate([known.outcome, np.full(strangers, BROWSED, np.int8)])
    age = np.concatenate([known.age, rng.integers(18, 70, strangers)])

    drifted = begun(month, shop.covariate_drift_month)
    mobile = 1 / (1 + np.exp((age - (52 if drifted else 38)) / 9))
    in_app = 0.45 if drifted else 0.0
    luck, app_luck = rng.random(total), rng.random(total)
    handheld = np.where(app_luck < in_app, APP, MOBILE)
    device = np.where(luck < mobile, handheld, DESKTOP).astype(np.int8)
    device[(customer == ANONYMOUS) & (rng.random(total) < _ROBOT_SHARE)] = ROBOT

    carted = (outcome != BROWSED) | ((device != ROBOT) & (rng.random(total) < _CART_SHARE))
    pages = 1 + rng.poisson(0.75, total)
    lasts = np.clip(rng.gamma(1.5, 120, total), 20, 3600).astype(np.int64)
    # Evenings are busier, and no visit runs past midnight: a log file holds its own day only.
    clock = np.clip(rng.normal(15.5, 4.5, total) * 3600, 0, None) % _DAY_SECONDS
    started = np.minimum(clock.astype(np.int64), _DAY_SECONDS - 1 - lasts)
    return DayVisits(day, customer, outcome, device, carted, pages, started, started + lasts)


def orders_of(shop: Shop, month: int, known: MonthVisits, visits: DayVisits) -> DayOrders:
    """The orders of one day, worked out from its visits: an order is placed when its visit ends."""
    found = np.flatnonzero(visits.outcome == ORDERED)
    found = found[np.argsort(visits.ended[found], kind="stable")]
    count = len(found)
    rng = shop.rng(Stream.ORDERS, visits.day)
    items = 1 + rng.poisson(1.3, count)
    category = rng.choice(len(CATEGORIES), count, p=_CATEGORY_MIX)
    level = known.log_spend[found] + _CATEGORY_PRICE[category] + 0.25 * np.log(items)
    if begun(month, shop.covariate_drift_month):
        level = level + 0.5
    euros = np.maximum(np.exp(level + rng.normal(0, 0.3, count)), 0.99)
    payment = rng.choice(len(PAYMENTS), count, p=[0.55, 0.3, 0.15])
    second = visits.ended[found]

    arrival = shop.rng(Stream.ARRIVAL, visits.day)
    fate, days = arrival.random(count), arrival.integers(1, MAX_DELAY_DAYS + 1, count)
    any_time = arrival.integers(0, _DAY_SECONDS, count)
    same_day = arrival.random(count) < 0.5
    late = fate < shop.late
    repeated = (fate >= 1 - shop.duplicates) & ~late
    repeat = np.where(repeated, np.where(same_day, 0, days), -1)
    return DayOrders(
        day=visits.day,
        customer=visits.customer[found],
        second=second,
        cents=np.rint(100 * euros).astype(np.int64),
        items=items,
        category=category,
        channel=np.minimum(visits.device[found], APP).astype(np.int64),
        payment=payment,
        delay=np.where(late, days, 0),
        handed_over=np.where(late, any_time, second),
        repeat=repeat,
        repeat_handed_over=np.where(repeat == 0, np.maximum(any_time, second), any_time),
    )
