"""Leases in a store: who may take one, and whose it is when it is given back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from driftline import delta_log, locks
from driftline.errors import TryAgain

LEASE = "s3a://bucket/shop/_locks/silver.orders"


@dataclass
class Store:
    """Objects in memory, with a clock of its own."""

    clock: float = 1_000_000.0
    objects: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    writes: int = 0

    def write(self, content: str, path: str = LEASE) -> None:
        self.writes += 1
        self.objects[path] = (f"etag {self.writes}", int(self.clock * 1000), content)

    def said(self) -> str | None:
        return self.content(None, LEASE)

    def gone(self) -> None:
        self.objects.pop(LEASE)

    def mark(self, _: None, path: str) -> tuple[str, int] | None:
        return self.objects[path][:2] if path in self.objects else None

    def content(self, _: None, path: str) -> str | None:
        return self.objects[path][2] if path in self.objects else None

    def now(self, _: None, path: str) -> int:
        self.write("", path)
        return self.objects[path][1]

    def put_if(self, _: None, path: str, content: bytes, *, mark: str | None) -> str | None:
        if self.objects.get(path, (None,))[0] != mark:
            return None
        self.write(content.decode(), path)
        return self.objects[path][0]

    def remove(self, _: None, path: str) -> None:
        del self.objects[path]


@pytest.fixture
def store(monkeypatch) -> Store:
    made = Store()
    for name in ("mark", "content", "now", "put_if", "remove"):
        monkeypatch.setattr(delta_log, name, getattr(made, name))
    return made


def taken() -> bool:
    try:
        with locks.in_store(None, LEASE, "silver.orders", 0.0):
            return True
    except TryAgain:
        return False


@pytest.mark.parametrize("ahead", [-86_400.0, -61.0, 0.0, 61.0, 86_400.0])
def test_the_clock_of_the_store_decides_who_is_dead(store: Store, monkeypatch, ahead) -> None:
    monkeypatch.setattr(time, "time", lambda: store.clock + ahead)
    store.write("another's")
    for seconds, dead in ((0.0, False), (59.0, False), (1.0, True)):
        store.clock += seconds
        assert taken() is dead
    assert store.said() is None


def test_a_lease_that_is_anothers_by_now_is_left_to_it(store: Store) -> None:
    with locks.in_store(None, LEASE, "silver.orders", 0.0):
        store.write("another's")
    assert store.said() == "another's"


def test_a_lease_that_is_gone_by_now_is_not_removed(store: Store) -> None:
    with locks.in_store(None, LEASE, "silver.orders", 0.0):
        store.gone()
    assert store.said() is None
