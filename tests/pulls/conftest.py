"""The database server of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import postgres as server


@pytest.fixture(scope="session")
def postgres() -> Iterator[server.Postgres]:
    """A PostgreSQL server; without Debian's package the test skips."""
    if server.programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with server.serving() as started:
        yield started
