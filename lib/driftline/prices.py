"""Money by the price book of a problem: what cores, memory and storage cost."""

from __future__ import annotations

import math

from driftline.sections import Prices

GIB = 1024**3


def money(prices: Prices, *, core_hours: float, gib_hours: float, gib_months: float) -> float:
    """What the resources cost by the price book, in its currency."""
    return (
        core_hours * prices.core_hour + gib_hours * prices.gib_hour + gib_months * prices.gib_month
    )


def affordable(prices: Prices, amount: float, *, cores: float, memory_gib: float) -> float:
    """Seconds for which cores and memory can be held for an amount of money; without end where
    they cost nothing. What is written is not known before, and comes on top.
    """
    an_hour = money(prices, core_hours=cores, gib_hours=memory_gib, gib_months=0)
    return 3600 * amount / an_hour if an_hour else math.inf
