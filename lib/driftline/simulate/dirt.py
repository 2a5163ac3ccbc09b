"""How lines break on their way. Each kind has a name, under which the truth lists its lines.

A broken line takes the place of a good one: what it told is lost to whoever reads the file.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Breaker = Callable[[bytes, np.random.Generator], bytes]


def _cut(line: bytes, first: int, last: int, rng: np.random.Generator) -> bytes:
    return line[: int(rng.integers(first, last))] + b"\n"


def _log_truncated(line: bytes, rng: np.random.Generator) -> bytes:
    # Cut inside the request: a cut after the size would still be a valid line in Apache's common
    # format.
    return _cut(line, 8, line.index(b' HTTP/1.1"'), rng)


def _log_bad_quoting(line: bytes, rng: np.random.Generator) -> bytes:
    return line.replace(b' HTTP/1.1" ', b" HTTP/1.1 ", 1)


def _log_invalid_utf8(line: bytes, rng: np.random.Generator) -> bytes:
    return line.replace(b" HTTP/1.1", b"\xff\xfe HTTP/1.1", 1)


def _log_wrong_type(line: bytes, rng: np.random.Generator) -> bytes:
    head, tail = line.split(b' HTTP/1.1" ', 1)
    return head + b' HTTP/1.1" n/a' + tail[3:]


def _order_truncated(line: bytes, rng: np.random.Generator) -> bytes:
    return _cut(line, 2, len(line) - 2, rng)


def _order_bad_quoting(line: bytes, rng: np.random.Generator) -> bytes:
    return line.replace(b'"category":"', b'"category":', 1)


def _order_invalid_utf8(line: bytes, rng: np.random.Generator) -> bytes:
    return line.replace(b'","channel"', b'\xe9\xff","channel"', 1)


def _order_wrong_type(line: bytes, rng: np.random.Generator) -> bytes:
    head, tail = line.split(b'"amount":', 1)
    return head + b'"amount":"n/a"' + tail[tail.index(b",") :]


def _order_broken_json(line: bytes, rng: np.random.Generator) -> bytes:
    return line.replace(b'"items":', b'"items"', 1)


LOG_BREAKERS: dict[str, Breaker] = {
    "truncated": _log_truncated,
    "bad_quoting": _log_bad_quoting,
    "invalid_utf8": _log_invalid_utf8,
    "wrong_type": _log_wrong_type,
}
ORDER_BREAKERS: dict[str, Breaker] = {
    "truncated": _order_truncated,
    "bad_quoting": _order_bad_quoting,
    "invalid_utf8": _order_invalid_utf8,
    "wrong_type": _order_wrong_type,
    "broken_json": _order_broken_json,
}
