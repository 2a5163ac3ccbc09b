"""What certificates tell of a request to erase: its tries, and that all are of the same persons.

A certificate adds up what the tries of its request found, so a request must be of one set of
persons. Which one is kept nowhere in words: as long as a request is not complete, a file has the
set's HMAC-SHA-256 under a random key of that request, and all of it is removed when it is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import Row

from driftline import schemas
from driftline.errors import ConfError
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.pulls import spool

Tries = Mapping[str, Sequence[Row]]
"""Request → its certificates since it was complete last, the oldest first."""


class Held(NamedTuple):
    """A table in a certificate: a version; how many rows and old files go from it, or went."""

    table: str
    version: int
    rows: int
    files: int


def unfinished(line: Line) -> Tries:
    """The requests that are begun, or have left something."""
    if not line.tables.exists(schemas.ERASURES.full_name):
        return {}
    found: dict[str, list[Row]] = {}
    rows = line.tables.read(schemas.ERASURES.full_name).collect()
    for row in sorted(rows, key=lambda row: row.at):
        found[row.request] = [] if row.status == "complete" else [*found.get(row.request, []), row]
    return {request: tries for request, tries in found.items() if tries}


def claim(
    line: Line, request: str, persons: Iterable[str], columns: Iterable[str], known: Tries
) -> list[str]:
    """Keep of whom a request is; raise :class:`ConfError` if it was begun for others.

    ``persons`` as the tables have them, so that one who is spelled in two ways is one. ``columns``
    are those in which they have numbers of their own: what is returned has those of earlier tries,
    too, since rows that are gone tell them no more.
    """
    folder, path = _folder(line), _path(line, request)
    for each in set(folder.glob("*")) - {_path(line, name) for name in known}:
        each.unlink()  # complete, or killed before anything was done
    said = json.dumps(sorted(set(persons))).encode()
    if request not in known:
        key, earlier = secrets.token_bytes(32), []
    else:
        if not path.exists():
            raise _taken(request, "nobody knows any more for whom")
        words = path.read_text("utf-8").split()
        key, earlier = bytes.fromhex(words[0]), words[2:]
        if not hmac.compare_digest(_digest(key, said), words[1]):
            raise _taken(request, "for others")
    told = sorted({*earlier, *columns})
    spool.write(path, "\n".join([key.hex(), _digest(key, said), *told]) + "\n")
    return told


def _digest(key: bytes, said: bytes) -> str:
    return hmac.digest(key, said, "sha256").hex()


def release(line: Line, request: str) -> None:
    """Forget of whom a request is, which is complete."""
    _path(line, request).unlink(missing_ok=True)


def found_by_all(tries: Sequence[Row]) -> dict[str, Any]:
    """What the tries of a request found and took away together: the last may find nothing more."""
    first: dict[str, int] = {}
    for each in (table for row in tries if row.status == "begun" for table in row.tables):
        first.setdefault(each.table, each.version)
    rows, files = (_taken_by_all(tries, what) for what in ("rows", "files"))
    return {
        "absent": min(row.absent for row in tries),
        "deliveries": sorted({path for row in tries for path in row.deliveries}),
        "pulled": sorted({place for row in tries for place in row.pulled or ()}),
        "models": sorted({number for row in tries for number in row.models}),
        "tables": [Held(name, version, rows[name], files[name]) for name, version in first.items()],
    }


def _taken_by_all(tries: Sequence[Row], what: str) -> Counter[str]:
    """How many ``rows`` or ``files`` went, by table.

    A try says what it is about to take. If it was killed, the next one says how much of that is
    there still, and of what came anew as much is not told apart; if it ended, all of it went, and
    what the next one says is more.
    """
    ended, begun = Counter[str](), Counter[str]()
    for row in tries:
        if row.status == "begun":
            begun |= Counter({each.table: getattr(each, what) for each in row.tables})
        else:
            ended, begun = ended + begun, Counter()
    return ended + begun


def certify(line: Line, ledger: Run, said: Mapping[str, Any]) -> Row:
    """Write what a request came to, or is about to do, into ``ops.erasures``; returns the row."""
    known = {**said, "run_id": ledger.run_id, "at": datetime.now(timezone.utc)}
    row = Row(**{name: known[name] for name in schemas.ERASURES.column_names})
    ledger.wrote(line.tables.append_values([row], schemas.ERASURES, key=None))
    return row


def _taken(request: str, whom: str) -> ConfError:
    return ConfError(
        f"request {request} was begun, and is not complete, {whom}",
        file="--request",
        allowed="the persons it was begun for, or a request that is new",
        hint="a certificate is of one set of persons: call this request otherwise",
    )


def _folder(line: Line) -> Path:
    return Path(line.tables.root, "_erasing")


def _path(line: Line, request: str) -> Path:
    return _folder(line) / hashlib.sha256(request.encode()).hexdigest()[:16]
