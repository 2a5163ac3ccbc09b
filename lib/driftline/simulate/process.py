"""How customers live: visits, carts, orders, cooling off, lapsing.

A buy-till-you-die model in discrete days, after Pareto/NBD (Schmittlein, Morrison & Colombo 1987,
"Counting Your Customers") and BG/NBD (Fader, Hardie & Lee 2005, "Counting Your Customers the Easy
Way"):

* Visits of a customer are Poisson with a rate drawn from a gamma distribution; each visit becomes
  an order with a probability drawn from a beta distribution. Rates move with the week and the year.
* A customer is engaged, cooling or lapsed. Cooling customers visit and convert less; some recover,
  the rest lapse, which is for good (Pareto/NBD's unobserved death, with a warning phase before it).
* Engaged customers start to cool with a daily hazard that falls with age and with their purchase
  rate, and at once, with some probability, when a checkout fails them.
* Under concept drift every order may be the last one: dropout after a transaction, as in BG/NBD.
  Whom the competitor took keeps visiting for a while, to compare prices, and never orders again. So
  visits, until then a good sign, mislead. An order must come first: labels show the drift from the
  next month's start on.

All of it is Markov in (customer, state), so the probability of no order in the coming days has an
exact backward recursion: see `no_order_probability`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.simulate.shop import BURN_IN_MONTHS, Shop, Stream, begun

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int8]
_Number = TypeVar("_Number", bound=np.generic)

ENGAGED, COOLING, COMPARING, LAPSED = 0, 1, 2, 3
NOT_LAPSED = np.iinfo(np.int64).max

STATES = ("engaged", "cooling", "comparing", "lapsed")
REASONS = ("faded", "bad_experience", "competitor")
FADED, BAD_EXPERIENCE, COMPETITOR = 0, 1, 2

BROWSED, ORDERED, FAILED = 0, 1, 2

GENDERS = ("F", "M", "X")
COUNTRIES = ("DE", "FR", "GB", "NL", "PL", "ES")
_COUNTRY_MIX = (0.42, 0.16, 0.14, 0.11, 0.1, 0.07)

HORIZON_DAYS = 30
MEAN_AGE = 43.0

_WEEK = np.array([0.98, 0.94, 0.93, 0.97, 1.02, 1.12, 1.04])  # Monday first
_YEAR_SWING = 0.15
_YEAR_PEAK_DAY = 340  # early December

SHAPE = 0.9  # of the gamma distribution of visit rates: below 1, many visit rarely
CONVERSION = (1.2, 2.2)  # of the beta distribution of orders per visit
# Conversion and failures per visit hold at this many visits in 30 days; at more they are divided.
_VISITS_PER_MONTH_UNSCALED = 2.6
_FAILURES_PER_VISIT_UNSCALED = 0.03
FAILURE_COOLS = 0.5

# Per day. Chosen so that about 58 % of those who ordered in the last 90 days order nothing in the
# next 30, and visits, recency and frequency together tell clearly more than any of them alone.
_COOLING_HAZARD = 0.0045
RECOVERY_HAZARD = 0.010
LAPSE_HAZARD = 0.035
_LEAVES_HAZARD = 0.008

# Factors by state: engaged, cooling, comparing, lapsed.
VISITS_BY_STATE = np.array([1.0, 0.25, 1.0, 0.0])
CONVERSION_BY_STATE = np.array([1.0, 0.35, 0.0, 0.0])

_COMPETITOR_TAKES = 0.16  # of those who order on a day


@dataclass(frozen=True)
class Crowd:
    """All customers who ever signed up, one entry per customer in order of sign-up month.

    signed_up, lapsed_on: day numbers (day 0 is the shop's start). lapsed_on: the last day on which
    an order was possible, NOT_LAPSED for those who may still order. visit_rate: per day, engaged.
    conversion: orders per visit, engaged. cooling_hazard: per day. log_spend: mean of log(euro) per
    order. reason: why the customer began to cool or was lost; it counts once they have lapsed.
    """

    signed_up: Ints
    age: Ints
    age_known: NDArray[np.bool_]
    gender: Codes
    country: Codes
    visit_rate: Floats
    conversion: Floats
    cooling_hazard: Floats
    log_spend: Floats
    state: Codes
    reason: Codes
    lapsed_on: Ints

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True)
class Visits:
    """One month's visits of customers in order of day: who (index), day number, how it ended."""

    customer: Ints
    day: Ints
    outcome: Codes


@dataclass(frozen=True)
class Month:
    """`opening`: everyone known when the month begins; `closing`: everyone at its end."""

    month: int
    opening: Crowd
    closing: Crowd
    visits: Visits


def season(shop: Shop, day: int) -> float:
    """Factor on all visits on one day; about 1 on average over a year."""
    on = shop.date_of(day)
    angle = 2 * np.pi * (on.timetuple().tm_yday - _YEAR_PEAK_DAY) / 365.25
    return float(_WEEK[on.weekday()] * (1 + _YEAR_SWING * np.cos(angle)))


def months_of(shop: Shop, last: int) -> Iterator[Month]:
    """The shop's life in months 0 to `last`, the burn-in lived through but not yielded."""
    first = -BURN_IN_MONTHS
    crowd = sign_up(shop, shop.rng(Stream.PEOPLE, first - 1), shop.customers, month=first)
    # The founders came over the three years before.
    early = shop.rng(Stream.PEOPLE, first - 2).integers(1, 1000, len(crowd))
    crowd = replace(crowd, signed_up=shop.first_day(first) - early)
    for month in range(first, last + 1):
        opening = crowd
        crowd, visits = live_month(shop, crowd, month)
        if month >= 0:
            yield Month(month, opening, crowd, visits)


def live_month(shop: Shop, crowd: Crowd, month: int) -> tuple[Crowd, Visits]:
    """Sign up the month's newcomers, then let all live its days: the crowd after it, its visits."""
    people = shop.rng(Stream.PEOPLE, month)
    missing = max(shop.customers - int((crowd.state <= COOLING).sum()), 0)
    if begun(month, shop.covariate_drift_month):
        missing = int(missing * 1.5) + shop.customers // 25  # the campaign that brings the new mix
    crowd = _append(crowd, sign_up(shop, people, int(people.poisson(missing)), month=month))

    rng = shop.rng(Stream.LIFE, month)
    live = np.flatnonzero(crowd.state != LAPSED)
    state, reason = crowd.state[live], crowd.reason[live]
    lapsed_on = crowd.lapsed_on[live]
    signed_up, hazard = crowd.signed_up[live], crowd.cooling_hazard[live]
    rate, conversion = crowd.visit_rate[live], crowd.conversion[live]
    fails = _failure_probability(shop)
    competitor = _COMPETITOR_TAKES if begun(month, shop.concept_drift_month) else 0.0
    customers, days, outcomes = [], [], []

    for day in shop.days(month):
        present = signed_up <= day
        count = rng.poisson(rate * season(shop, day) * VISITS_BY_STATE[state] * present)
        count[signed_up == day] += first_visits(shop)
        who = np.flatnonzero(count)
        failed = rng.binomial(count[who], fails)
        ordered = rng.binomial(
            count[who] - failed, conversion[who] * CONVERSION_BY_STATE[state[who]]
        )

        repeated = np.repeat(np.arange(len(who)), count[who])
        place = np.arange(len(repeated)) - np.repeat(np.cumsum(count[who]) - count[who], count[who])
        outcome = np.where(place < (ordered + failed)[repeated], FAILED, BROWSED)
        outcome[place < ordered[repeated]] = ORDERED
        customers.append(live[who[repeated]])
        days.append(np.full(len(repeated), day))
        outcomes.append(outcome.astype(np.int8))

        # What the day does to them. Every draw is made for everyone, whatever the options, so that
        # an option leaves the days before it untouched.
        luck, fate = rng.random(len(live)), rng.random(len(who))
        was = state.copy()
        cools = (was == ENGAGED) & present & (luck < hazard)
        state[cools], reason[cools] = COOLING, FADED
        annoyed = who[(was[who] == ENGAGED) & (failed > 0) & (fate < FAILURE_COOLS)]
        state[annoyed], reason[annoyed] = COOLING, BAD_EXPERIENCE
        state[(was == COOLING) & (luck < RECOVERY_HAZARD)] = ENGAGED
        lapses = (was == COOLING) & (luck > 1 - LAPSE_HAZARD)
        courted = who[(ordered > 0) & (fate > 1 - competitor)]
        state[lapses], lapsed_on[lapses] = LAPSED, day
        state[(was == COMPARING) & (luck < _LEAVES_HAZARD)] = LAPSED
        # Last, so that losing a buyer to the competitor overrides whatever else the day brought.
        state[courted], reason[courted], lapsed_on[courted] = COMPARING, COMPETITOR, day

    crowd = replace(
        crowd,
        state=_put(crowd.state, live, state),
        reason=_put(crowd.reason, live, reason),
        lapsed_on=_put(crowd.lapsed_on, live, lapsed_on),
    )
    return crowd, Visits(np.concatenate(customers), np.concatenate(days), np.concatenate(outcomes))


def no_order_probability(shop: Shop, crowd: Crowd, day: int, horizon: int = HORIZON_DAYS) -> Floats:
    """P(no order on days day .. day+horizon-1) for each customer, given all that is true on `day`.

    It knows each customer's rates and state, which no log shows: no classifier on the deliveries
    can be better, and a good one will stay somewhat below. With V_t(s) the probability of no order
    from day t on in state s,

        V_t(s) = exp(-orders expected on t in s) * sum over s' of P(s -> s') V_{t+1}(s')

    and V = 1 at the horizon. A failed checkout never becomes an order, so by Poisson thinning the
    number of failures is independent of the number of orders, and on a day without orders the
    transitions are as on any day. What drift does to buyers after an order cannot matter here.
    """
    keen, cooling = no_order(
        shop, crowd.visit_rate, crowd.conversion, crowd.cooling_hazard, day, horizon
    )
    return np.select([crowd.state == ENGAGED, crowd.state == COOLING], [keen, cooling], 1.0)


def no_order(
    shop: Shop,
    visit_rate: Floats,
    conversion: Floats,
    hazard: Floats,
    day: int,
    horizon: int = HORIZON_DAYS,
) -> tuple[Floats, Floats]:
    """`no_order_probability` of (engaged, cooling) customers, by their rates and hazards."""
    fails = _failure_probability(shop)
    keen, cooling = np.ones_like(hazard), np.ones_like(hazard)
    for on in range(day + horizon - 1, day - 1, -1):
        visits = visit_rate * season(shop, on)
        orders = visits * (1 - fails) * conversion
        stays = (1 - hazard) * (1 - annoyed(shop, visits))
        keen_next = stays * keen + (1 - stays) * cooling
        kept = 1 - RECOVERY_HAZARD - LAPSE_HAZARD
        cooling_next = RECOVERY_HAZARD * keen + kept * cooling + LAPSE_HAZARD
        keen = np.exp(-orders) * keen_next
        dulled = VISITS_BY_STATE[COOLING] * CONVERSION_BY_STATE[COOLING]
        cooling = np.exp(-orders * dulled) * cooling_next
    return keen, cooling


def annoyed(shop: Shop, visits: Floats) -> Floats:
    """P(a day with `visits` expected makes an engaged customer cool by a failed checkout)."""
    chance: Floats = FAILURE_COOLS * -np.expm1(-visits * _failure_probability(shop))
    return chance


def first_visits(shop: Shop) -> int:
    """On the day of the sign-up: nobody signs up without a visit.

    More where there are more visits, for the less that each of them converts.
    """
    return round(shop.visits_per_month / 3)


def visit_rate(shop: Shop, appetite: Floats) -> Floats:
    """Visits a day of an engaged customer; `appetite` has a mean of 1."""
    return appetite * shop.visits_per_month / 30


def orders_per_visit(shop: Shop, conversion: Floats) -> Floats:
    """Of an engaged customer; `conversion` holds at the unscaled visit rate."""
    return conversion * _VISITS_PER_MONTH_UNSCALED / shop.visits_per_month


def cooling_hazard(age: Floats | Ints, appetite: Floats, conversion: Floats) -> Floats:
    """Per day, of an engaged customer: falls with age and with the purchase rate."""
    purchases = appetite * conversion / (CONVERSION[0] / sum(CONVERSION))
    hazard = _COOLING_HAZARD * np.exp(-0.03 * (age - MEAN_AGE))
    hazard = hazard * np.clip(purchases, 0.1, 10.0) ** -0.2
    return np.minimum(hazard, 0.2)


def sign_up(shop: Shop, rng: np.random.Generator, count: int, *, month: int) -> Crowd:
    """`count` new customers, signing up on the month's days."""
    days = shop.days(month)
    young = begun(month, shop.covariate_drift_month)
    mean, spread = (27.0, 6.0) if young else (MEAN_AGE, 13.0)
    age = np.clip(np.rint(rng.normal(mean, spread, count)), 18, 85).astype(np.int64)
    appetite = rng.gamma(SHAPE, 1 / SHAPE, count)
    # Per visit at the unscaled visit rate; see Shop.visits_per_month.
    conversion = rng.beta(*CONVERSION, count)
    return Crowd(
        signed_up=np.sort(rng.integers(days.start, days.stop, count)),
        age=age,
        age_known=rng.random(count) >= 0.06,
        gender=rng.choice(len(GENDERS), count, p=[0.53, 0.44, 0.03]).astype(np.int8),
        country=rng.choice(len(COUNTRIES), count, p=_COUNTRY_MIX).astype(np.int8),
        visit_rate=visit_rate(shop, appetite),
        conversion=orders_per_visit(shop, conversion),
        cooling_hazard=cooling_hazard(age, appetite, conversion),
        log_spend=rng.normal(3.5, 0.45, count),
        state=np.full(count, ENGAGED, np.int8),
        reason=np.full(count, FADED, np.int8),
        lapsed_on=np.full(count, NOT_LAPSED, np.int64),
    )


def _failure_probability(shop: Shop) -> float:
    return _FAILURES_PER_VISIT_UNSCALED * _VISITS_PER_MONTH_UNSCALED / shop.visits_per_month


def _append(crowd: Crowd, more: Crowd) -> Crowd:
    return Crowd(
        *(np.concatenate([a, b]) for a, b in zip(_columns(crowd), _columns(more), strict=True))
    )


def _columns(crowd: Crowd) -> list[Any]:
    return [getattr(crowd, name) for name in Crowd.__dataclass_fields__]


def _put(column: NDArray[_Number], where: Ints, values: NDArray[_Number]) -> NDArray[_Number]:
    changed: NDArray[_Number] = column.copy()
    changed[where] = values
    return changed
