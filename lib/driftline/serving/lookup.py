"""Current features by entity, from ``gold.features`` by delta-rs: no Spark, no Java.

The rows of the newest as-of are held in memory, one Arrow table; another version of the table is
looked for at most every so many seconds, by the request that finds it due.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.serving.facts import Facts
from driftline.serving.rows import Wrong

LOGGER = logging.getLogger("driftline.serving")


@dataclass(frozen=True)
class Found:
    """Rows in the order asked, the as-of they are of, the version of the table they are from."""

    rows: list[dict[str, Any]]
    as_of: str
    version: int


@dataclass(frozen=True)
class _Held:
    version: int
    as_of: datetime
    rows: pa.Table
    places: dict[Any, int]


class Lookup:
    """The newest features of each entity of the table in ``folder``."""

    def __init__(self, folder: str, entity: str, *, seconds: float = 30.0) -> None:
        self._folder, self._entity, self._seconds = folder, entity, seconds
        self._lock = threading.Lock()
        self._held = self._read()
        self._due = time.monotonic() + seconds

    def rows(self, facts: Facts, entities: Sequence[Any]) -> Found:
        """The features of each entity; :class:`Wrong` names those that are not there (404)."""
        held = self._current()
        wanted = [column.name for column in facts.columns]
        absent = [name for name in wanted if name not in held.rows.column_names]
        if absent:
            said = f"gold.features has no {', '.join(absent)}, which the model needs"
            raise Wrong([("entities", said)], status=409)
        places = [held.places.get(entity) for entity in entities]
        unknown = [place for place, found in enumerate(places) if found is None]
        if unknown:
            said = f"is not in gold.features as of {held.as_of:%Y-%m-%d}"
            raise Wrong([(f"entities.{place}", said) for place in unknown[:20]], status=404)
        found = held.rows.select([self._entity, *wanted]).take(places).to_pylist()
        for row in found:  # a NaN is a number that is not known, as everywhere
            row |= {name: None for name, value in row.items() if value != value}
        return Found(found, held.as_of.isoformat(), held.version)

    def _current(self) -> _Held:
        if time.monotonic() >= self._due and self._lock.acquire(blocking=False):
            try:
                self._due = time.monotonic() + self._seconds
                if self._version() != self._held.version:
                    self._held = self._read()
            except Exception as error:  # a file is gone, say: no reason to fail this request
                said = error if isinstance(error, DriftlineError) else repr(error)
                LOGGER.error("features of version %d serve on: %s", self._held.version, said)
            finally:
                self._lock.release()
        return self._held

    def _table(self) -> DeltaTable:
        try:
            return DeltaTable(self._folder)
        except TableNotFoundError:
            raise Missing(
                "there is no table gold.features",
                where=self._folder,
                hint="run `driftline features`, or serve without --features",
            ) from None
        except (DeltaError, OSError) as error:
            raise TryAgain(
                f"gold.features cannot be read ({type(error).__name__})",
                where=self._folder,
                hint="is the storage reachable?",
            ) from None

    def _version(self) -> int:
        return int(self._table().version())

    def _read(self) -> _Held:
        table = self._table()
        data = table.to_pyarrow_dataset()
        newest = pc.max(data.to_table(columns=["as_of"]).column("as_of")).as_py()
        if newest is None:
            raise Missing("gold.features is empty", where=self._folder, hint="run `driftline run`")
        rows = data.to_table(
            filter=pc.field("as_of") == pa.scalar(newest, data.schema.field("as_of").type)
        )
        places = {entity: place for place, entity in enumerate(rows[self._entity].to_pylist())}
        return _Held(int(table.version()), newest, rows, places)
