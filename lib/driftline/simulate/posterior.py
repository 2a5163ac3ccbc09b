"""What the logs can tell at most: the chance of no order, by all that a customer was seen to do.

`no_order_probability` knows each customer's rates and state, which no log shows. Here they are
unknown: a customer is a point of a grid of visit rates and conversions, equally likely before
anything was seen, and a hidden state. The forward algorithm (Rabiner 1989, "A tutorial on hidden
Markov models", III.A) goes through the days, from the sign-up on; each day's visits, orders and
failed checkouts weigh the points and states. All parameters of the shop are known to it, and it
counts visits, of which a log shows requests only. So no model of the deliveries ranks customers
better, but for the grid's coarseness. Who did not tell an age is taken to be of the mean one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from driftline.simulate import process
from driftline.simulate.process import COOLING, ENGAGED, FAILED, ORDERED, Floats, Ints, Month
from driftline.simulate.shop import BURN_IN_MONTHS, Shop

_RATES, _CONVERSIONS = 28, 24
"""Points of the grid; half or twice as many of each move the ROC AUC by less than 0.001."""

_AT_ONCE = 500
"""Customers: a grid and three states of each fit into a processor's cache."""


def no_order_given_logs(shop: Shop, months: Sequence[Month], day: int) -> tuple[Ints, Floats]:
    """(customers who ordered in the 90 days before `day`, P(no order in the 30 days from it)).

    `months` are those of :func:`process.months_of` from 0 on, `day` is in the last or before it.
    The shop must not drift by then.
    """
    visits = [np.concatenate([getattr(each.visits, name) for each in months]) for name in _VISIT]
    seen = visits[1] < day
    customer, on, outcome = (each[seen] for each in visits)
    who = np.unique(customer[(outcome == ORDERED) & (on >= day - 90)])
    kept = np.isin(customer, who)
    place = np.searchsorted(who, customer[kept])
    counts = np.zeros((3, len(who), day), np.int64)  # visits, orders, failures
    for row, which in enumerate((outcome >= 0, outcome == ORDERED, outcome == FAILED)):
        some = which[kept]
        np.add.at(counts[row], (place[some], on[kept][some]), 1)
    crowd = months[-1].closing
    age = np.where(crowd.age_known, crowd.age, process.MEAN_AGE)[who]
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(who), _AT_ONCE)]
    signed_up = crowd.signed_up[who]
    found = [_chances(shop, counts[:, each], signed_up[each], age[each], day) for each in parts]
    return who, np.concatenate(found)


_VISIT = ("customer", "day", "outcome")


def _chances(shop: Shop, counts: Ints, signed_up: Ints, age: Floats, day: int) -> Floats:
    """P(no order) of customers: ``counts`` (3, customers, days from 0), the rest (customers,)."""
    appetite, conversion = (
        each.ravel()
        for each in np.meshgrid(
            stats.gamma.ppf(_middles(_RATES), process.SHAPE, scale=1 / process.SHAPE),
            stats.beta.ppf(_middles(_CONVERSIONS), *process.CONVERSION),
        )
    )
    hazard = process.cooling_hazard(age[:, None], appetite, conversion)
    rate, buys = process.visit_rate(shop, appetite), process.orders_per_visit(shop, conversion)
    keen, cooling, lapsed = np.ones_like(hazard), np.zeros_like(hazard), np.zeros_like(hazard)
    begins = np.maximum(signed_up, shop.first_day(-BURN_IN_MONTHS))
    for on in range(int(begins.min()), day):
        there = (begins <= on)[:, None]
        visits = rate * process.season(shop, on) * there
        if on >= 0:
            seen, orders, failures = counts[:, :, on]
            unasked = np.where(signed_up == on, process.first_visits(shop), 0)
            for state, weight in ((ENGAGED, keen), (COOLING, cooling)):
                weight *= _likelihood(state, visits, buys, seen, unasked, orders, failures)
            lapsed *= (seen == 0)[:, None]
            annoyed = np.where(failures > 0, process.FAILURE_COOLS, 0.0)[:, None]
        else:
            annoyed = process.annoyed(shop, visits)
        stays = (1 - hazard) * (1 - annoyed)
        kept = 1 - process.RECOVERY_HAZARD - process.LAPSE_HAZARD
        after = (
            stays * keen + process.RECOVERY_HAZARD * cooling,
            (1 - stays) * keen + kept * cooling,
            process.LAPSE_HAZARD * cooling + lapsed,
        )
        keen, cooling, lapsed = (
            np.where(there, new, old)
            for new, old in zip(after, (keen, cooling, lapsed), strict=True)
        )
        whole = (keen + cooling + lapsed).sum(axis=1, keepdims=True)
        keen, cooling, lapsed = keen / whole, cooling / whole, lapsed / whole
    for_keen, for_cooling = process.no_order(shop, rate, buys, hazard, day)
    chances: Floats = (keen * for_keen + cooling * for_cooling + lapsed).sum(axis=1)
    return chances


def _middles(count: int) -> Floats:
    return (np.arange(count) + 0.5) / count


def _likelihood(
    state: int, visits: Floats, buys: Floats, seen: Ints, unasked: Ints, orders: Ints, fails: Ints
) -> Floats:
    """Of a day's counts (customers,) in a state; what is the same for every point is left out."""
    mean = visits * process.VISITS_BY_STATE[state]
    found: Floats = np.exp(-mean)
    came = np.flatnonzero(seen)
    by_themselves, bought, browsed = (
        each[came, None] for each in (seen - unasked, orders, seen - orders - fails)
    )
    converts = buys * process.CONVERSION_BY_STATE[state]
    found[came] *= mean[came] ** by_themselves * converts**bought * (1 - converts) ** browsed
    return found
