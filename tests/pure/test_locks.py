"""Leases in a store: who may take one, whatever the clocks say, and what a holder outlives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from driftline import delta_log, locks
from driftline.errors import TryAgain

LEASE = "s3a://bucket/shop/_locks/silver.orders"


class Away(Exception):
    """The store did not answer."""


class Refused(Exception):
    """The store refused a write."""


def away() -> None:
    raise Away


def refused() -> None:
    raise Refused


@dataclass
class Store:
    """Objects in memory, with a clock of its own. What is to happen before or after a request
    happens once.
    """

    clock: float = 1_000_000.0
    objects: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    happens: dict[str, Callable[[], None]] = field(default_factory=dict)
    writes: int = 0

    def write(self, content: str, path: str = LEASE) -> None:
        self.writes += 1
        self.objects[path] = (f"etag {self.writes}", int(self.clock * 1000), content)

    def said(self) -> str | None:
        return self.content(None, LEASE)

    def gone(self) -> None:
        self.objects.pop(LEASE)

    def mark(self, _: None, path: str) -> tuple[str, int] | None:
        self.happens.pop("before a mark", lambda: None)()
        return self.objects[path][:2] if path in self.objects else None

    def content(self, _: None, path: str) -> str | None:
        return self.objects[path][2] if path in self.objects else None

    def now(self, _: None, path: str) -> int:
        self.write("", path)
        return self.objects[path][1]

    def put_if(self, _: None, path: str, content: bytes, *, mark: str | None = None) -> bool:
        self.happens.pop("before a write", lambda: None)()
        if self.objects.get(path, (None,))[0] != mark:
            return False
        self.write(content.decode(), path)
        try:
            self.happens.pop("after a write", lambda: None)()
        except Refused:
            return False
        return True

    def remove(self, _: None, path: str) -> None:
        del self.objects[path]


@pytest.fixture
def store(monkeypatch) -> Store:
    made = Store()
    for name in ("mark", "content", "now", "put_if", "remove"):
        monkeypatch.setattr(delta_log, name, getattr(made, name))
    return made


@pytest.fixture
def ended(monkeypatch) -> list[int]:
    """With which codes this process would have ended by now, and again had it gone on."""
    codes: list[int] = []
    monkeypatch.setattr(locks.os, "_exit", codes.append)
    monkeypatch.setattr(locks, "RENEWED", 0.01)
    return codes


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


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


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("lost", [away, refused])
def test_a_lease_is_taken_though_the_answer_was_lost(store: Store, lost, there: bool) -> None:
    """Or came to a second request, which the store refused after the first."""
    if there:
        store.write("by one that was killed")
        store.clock += 60
    store.happens["after a write"] = lost
    assert taken()
    assert store.said() is None


def test_a_lease_that_others_took_and_left_meanwhile_is_looked_at_again(store: Store) -> None:
    store.write("by one that was killed")
    store.clock += 60
    store.happens["before a write"] = store.gone
    assert not taken()
    assert taken()


def test_a_store_that_does_not_answer_is_an_error(store: Store) -> None:
    store.happens["before a write"] = away
    with pytest.raises(Away):
        taken()
    assert store.said() is None


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("before a mark", away),
        ("before a write", away),
        ("after a write", away),
        ("after a write", refused),
    ],
)
def test_a_holder_outlives_a_request_that_failed(store: Store, ended, when: str, what) -> None:
    """Its lease is its own by what the store has, not by which answers came."""
    with locks.in_store(None, LEASE, "silver.orders", 0.0):
        until(lambda: store.writes > 3)
        store.happens[when] = what
        until(lambda: not store.happens)
        seen = store.writes
        until(lambda: store.writes > seen + 3)
        assert not taken()
    assert (ended, store.said()) == ([], None)


@pytest.mark.parametrize("when", ["before a mark", "before a write"])
@pytest.mark.parametrize("whose", ["another's", None])
def test_a_holder_whose_lease_is_lost_ends_at_once(
    store: Store, ended, capsys, when: str, whose: str | None
) -> None:
    with locks.in_store(None, LEASE, "silver.orders", 0.0):
        store.happens[when] = (lambda: store.write(whose)) if whose else store.gone
        until(lambda: bool(ended))
    assert (ended[0], store.said()) == (75, whose)
    assert "another process has it" in capsys.readouterr().err


def test_a_holder_ends_before_others_may_take_its_lease(
    store: Store, ended, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(locks, "LEASE", 0.2)
    with locks.in_store(None, LEASE, "silver.orders", 0.0):

        def stay_away() -> None:
            if not ended:
                store.happens["before a mark"] = stay_away
                raise Away

        store.happens["before a mark"] = stay_away
        until(lambda: bool(ended))
    assert ended[0] == 75
    assert "was lost (Away)" in capsys.readouterr().err
