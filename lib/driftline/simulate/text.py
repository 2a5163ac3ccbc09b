"""Numbers to lines: access log, orders and customer rows, built column-wise in Arrow.

Every function returns one Arrow string per line, each ending in a newline, so that the array's data
buffer is the file's content.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.simulate.day import (
    ANONYMOUS,
    APP,
    CATEGORIES,
    CHANNELS,
    DESKTOP,
    MOBILE,
    PAYMENTS,
    ROBOT,
    DayOrders,
    DayVisits,
)
from driftline.simulate.process import COUNTRIES, FAILED, GENDERS, ORDERED, Crowd, Ints
from driftline.simulate.shop import Shop, Stream, begun

_SITE = "https://shop.example"
_PRODUCTS = 400
_SEARCHES = (
    *("lamp", "tea+pot", "garden+chair", "blue+rug", "board+game", "notebook", "candle"),
    *("yoga+mat", "cookbook", "fairy+lights", "watering+can", "puzzle", "pillow", "gift"),
    *("fountain+pen", "skipping+rope", "caf%C3%A9+mug", "sale", "bread+tin", "throw"),
)
_PATHS = [
    "/",
    *(f"/product/{number:03d}" for number in range(_PRODUCTS)),
    *(f"/category/{name}" for name in CATEGORIES),
    *(f"/search?q={words}" for words in _SEARCHES),
    "/cart",
    "/checkout",
]
_CATEGORY_PAGE = 1 + _PRODUCTS
_SEARCH_PAGE = _CATEGORY_PAGE + len(CATEGORIES)
_CART, _CHECKOUT = len(_PATHS) - 2, len(_PATHS) - 1
_PLACE_ORDER = len(_PATHS)
_SEARCH_ENGINES = ("https://www.google.com/", "https://www.bing.com/")
_ELSEWHERE = ("-", *_SEARCH_ENGINES, "https://news.example/letter")

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_AGENTS: dict[int, tuple[str, ...]] = {
    DESKTOP: (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0",
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_APPLE} Version/17.2 Safari/605.1.15",
    ),
    MOBILE: (
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) {_APPLE} Mobile/15E148",
        f"Mozilla/5.0 (Linux; Android 13; K) {_WEBKIT} Chrome/120.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Android 14; Mobile; rv:121.0) Gecko/121.0 Firefox/121.0",
    ),
    APP: (
        "ShopApp/1.0 (Android 14; Mobile)",
        "ShopApp/1.0 (iOS 17.2; Mobile)",
        "ShopApp/1.1 (Android 14; Mobile)",
    ),
    ROBOT: (
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    ),
}
_AGENTS_EACH = 3

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Arrow compute is generated at run time and carries no types.
Strings = Any


def _dictionary(values: Sequence[str]) -> Strings:
    return pa.array(values, pa.string())


_REQUESTS = _dictionary([f"GET {path}" for path in _PATHS] + ["POST /checkout"])
_REFERRERS = _dictionary([_SITE + path for path in _PATHS] + list(_ELSEWHERE))
_STATUSES = _dictionary(["200", "301", "302", "304", "404", "500", "503"])
_OK, _MOVED, _FOUND, _NOT_MODIFIED, _MISSING, _ERROR, _UNAVAILABLE = range(7)
_AGENT_TAILS = _dictionary(
    [f'" "{agent}"\n' for device in sorted(_AGENTS) for agent in _AGENTS[device]]
)
_OCTETS = _dictionary([str(number) for number in range(256)])
_CENTS = _dictionary([f"{number:02d}" for number in range(100)])


@cache
def _clock() -> Strings:
    """hh:mm:ss of every second of a day."""
    return _dictionary([f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400)])


def access_lines(shop: Shop, visits: DayVisits) -> Strings:
    """The day's log in Apache's combined format, in order of time."""
    rng = shop.rng(Stream.LINES, visits.day)
    on = shop.date_of(visits.day)
    bought, failed = visits.outcome == ORDERED, visits.outcome == FAILED
    length = visits.pages + visits.carted + 2 * (bought | failed)
    visit = np.repeat(np.arange(len(length)), length)
    count = len(visit)
    first = np.cumsum(length) - length
    place = np.arange(count) - first[visit]

    page = _browsed_pages(rng, count)
    beyond = place - visits.pages[visit]
    page[beyond == 0] = _CART
    page[beyond == 1] = _CHECKOUT
    page[beyond == 2] = _PLACE_ORDER

    luck = rng.random(count)
    usual = [luck < 0.95, luck < 0.98, luck < 0.99]
    status = np.select(usual, [_OK, _NOT_MODIFIED, _MISSING], _MOVED)
    status[beyond >= 0] = _OK
    placing = page == _PLACE_ORDER
    trouble = np.where(luck[placing] < 0.7, _ERROR, _UNAVAILABLE)
    status[placing] = np.where(bought[visit[placing]], _FOUND, trouble)

    size = np.exp(rng.normal(9.3, 0.5, count)).astype(np.int64)
    size[(status >= _MISSING) | (status == _FOUND) | (status == _MOVED)] //= 30

    came_from = np.empty(count, np.int64)
    came_from[1:] = np.minimum(page[:-1], _CHECKOUT)
    outside = rng.choice(len(_ELSEWHERE), len(length), p=[0.45, 0.35, 0.08, 0.12])
    came_from[first] = len(_PATHS) + outside

    # The last line of a visit falls on the moment it ends, which is the time on its order.
    lasts = (visits.ended - visits.started)[visit]
    share = (place + rng.uniform(-0.4, 0.4, count)) / np.maximum(length - 1, 1)[visit]
    share[place == length[visit] - 1] = 1.0
    share[place == 0] = 0.0
    second = visits.started[visit] + (lasts * share).astype(np.int64)

    opening = _join(
        _addresses(rng, visits.customer),
        " - ",
        _users(visits.customer),
        f" [{on:%d}/{_MONTHS[on.month - 1]}/{on.year}:",
    )
    agent = visits.device.astype(np.int64) * _AGENTS_EACH + _own_agent(rng, visits.customer)
    closing = _take(_AGENT_TAILS, agent)
    order = np.argsort(second, kind="stable")
    visit, size, status = visit[order], size[order], status[order]
    return _join(
        _take(opening, visit),
        _take(_clock(), second[order]),
        ' +0000] "',
        _take(_REQUESTS, page[order]),
        ' HTTP/1.1" ',
        _take(_STATUSES, status),
        " ",
        # Apache writes "-" for an answer without a body.
        pc.if_else(pa.array(status == _NOT_MODIFIED), "-", _digits(size)),
        ' "',
        _take(_REFERRERS, came_from[order]),
        _take(closing, visit),
    )


def order_lines(shop: Shop, month: int, orders: DayOrders) -> tuple[Strings, Strings]:
    """Order ids, and one JSON object per order; with `payment` from the schema change on."""
    on = shop.date_of(orders.day)
    number = np.arange(1, len(orders.customer) + 1)
    ids = _join(f"{on:%Y%m%d}-", pc.utf8_lpad(_digits(number), 6, "0"))
    ending: list[Any] = ['"}\n']
    if begun(month, shop.schema_change_month):
        ending = ['","payment":"', _take(_dictionary(PAYMENTS), orders.payment), '"}\n']
    lines = _join(
        '{"order_id":"',
        ids,
        '","customer_id":"',
        _users(orders.customer),
        f'","time":"{on.isoformat()}T',
        _take(_clock(), orders.second),
        'Z","amount":',
        _digits(orders.cents // 100),
        ".",
        _take(_CENTS, orders.cents % 100),
        ',"items":',
        _digits(orders.items),
        ',"category":"',
        _take(_dictionary(CATEGORIES), orders.category),
        '","channel":"',
        _take(_dictionary(CHANNELS), orders.channel),
        *ending,
    )
    return ids, lines


def customer_rows(shop: Shop, month: int, crowd: Crowd) -> Strings:
    """The header and one CSV row per customer: profiles as they stand when the month begins."""
    taken = shop.month_start(month)
    loyal = begun(month, shop.schema_change_month)
    columns = ["customer_id", "signup_date", "age", "gender", "country", "updated_at"]
    header = ",".join(columns + ["loyalty"] * loyal) + "\n"
    signed_up = pa.array(np.datetime64(shop.start) + crowd.signed_up.astype("timedelta64[D]"))
    ending: list[Any] = [f",{taken.isoformat()}T00:00:00Z\n"]
    if loyal:
        years = np.clip((shop.first_day(month) - crowd.signed_up) // 365, 0, 2)
        ending = [
            f",{taken.isoformat()}T00:00:00Z,",
            _take(_dictionary(["basic", "silver", "gold"]), years),
            "\n",
        ]
    rows = _join(
        customer_ids(len(crowd)),
        ",",
        pc.cast(signed_up, pa.string()),
        ",",
        pc.if_else(pa.array(crowd.age_known), _digits(crowd.age), ""),
        ",",
        _take(_dictionary(GENDERS), crowd.gender),
        ",",
        _take(_dictionary(COUNTRIES), crowd.country),
        *ending,
    )
    return pa.concat_arrays([pa.array([header]), rows])


def customer_ids(count: int) -> Strings:
    """The ids of customers 0 to count-1: `c` and at least six digits."""
    return _users(np.arange(count))


def _browsed_pages(rng: np.random.Generator, count: int) -> Ints:
    kind, luck = rng.random(count), rng.random(count)
    # The power makes a few products popular and most of them rare.
    product = 1 + (_PRODUCTS * luck**2.2).astype(np.int64)
    category = _CATEGORY_PAGE + (len(CATEGORIES) * luck).astype(np.int64)
    search = _SEARCH_PAGE + (len(_SEARCHES) * luck).astype(np.int64)
    return np.select([kind < 0.55, kind < 0.7, kind < 0.86], [product, category, search], 0)


def _users(customer: Ints) -> Strings:
    ids = pc.binary_join_element_wise("c", pc.utf8_lpad(_digits(customer), 6, "0"), "")
    return pc.if_else(pa.array(customer == ANONYMOUS), "-", ids)


def _addresses(rng: np.random.Generator, customer: Ints) -> Strings:
    """Private addresses (RFC 1918): no line points at a real machine. A customer keeps theirs."""
    own = customer.astype(np.uint64) * np.uint64(2_654_435_761) % np.uint64(1 << 24)
    any_number = rng.integers(0, 1 << 24, len(customer))
    number = np.where(customer == ANONYMOUS, any_number, own.astype(np.int64))
    octets = [_take(_OCTETS, (number >> shift) & 255) for shift in (16, 8, 0)]
    return _join("10.", octets[0], ".", octets[1], ".", octets[2])


def _own_agent(rng: np.random.Generator, customer: Ints) -> Ints:
    any_agent = rng.integers(0, _AGENTS_EACH, len(customer))
    return np.where(customer == ANONYMOUS, any_agent, customer % _AGENTS_EACH)


def _digits(numbers: Ints) -> Strings:
    return pc.cast(pa.array(numbers), pa.string())


def _take(values: Strings, where: NDArray[np.integer[Any]]) -> Strings:
    return values.take(pa.array(where))


def _join(*parts: Any) -> Strings:
    return pc.binary_join_element_wise(*parts, "")
