"""Current features by entity, from ``gold.features`` by delta-rs: no Spark, no Java.

The rows of the newest as-of are held in memory, one Arrow table; another version of the table is
looked for every so many seconds, whether anybody asks or not: who was erased is forgotten. A
version without a column that the serving model needs waits for a model that does without it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.serving.facts import Facts
from driftline.serving.rows import Wrong
from driftline.serving.service import Service

LOGGER = logging.getLogger("driftline.serving")

_AGAIN = 1.0
"""Seconds after a look in which requests for a column that is not there do not look again."""


@dataclass(frozen=True)
class Found:
    """Rows in the order asked, the as-of they are of, the version of the table they are from."""

    rows: list[dict[str, Any]]
    as_of: str
    version: int


@dataclass(frozen=True)
class _Held:
    table: str
    """Delta's own id of the table: one that is made anew counts its versions anew."""
    version: int
    as_of: datetime
    rows: pa.Table
    places: dict[Any, int]


class Lookup:
    """The newest features of each entity of the table in ``folder``, for the model of a service."""

    def __init__(self, folder: str, entity: str, service: Service) -> None:
        self._folder, self._entity, self._service = folder, entity, service
        self._passed: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self._held = self._read(self._table())
        self._looked = -math.inf

    def rows(self, facts: Facts, entities: Sequence[Any]) -> Found:
        """The features of each entity; :class:`Wrong` names those that are not there (404)."""
        wanted = [column.name for column in facts.columns]
        held = self._held
        absent = _absent(held.rows.column_names, wanted)
        if absent and time.monotonic() - self._looked > _AGAIN:  # the champion may be newer
            self.look()
            held = self._held
            absent = _absent(held.rows.column_names, wanted)
        if absent:
            said = f"gold.features has no {', '.join(absent)}, which the model needs"
            raise Wrong([("entities", said)], status=409)
        places = [held.places.get(entity) for entity in entities]
        unknown = [place for place, found in enumerate(places) if found is None]
        if unknown:
            said = f"is not in gold.features as of {held.as_of:%Y-%m-%d}"
            raise Wrong([(f"entities.{place}", said) for place in unknown[:20]], status=404)
        found = held.rows.select([self._entity, *wanted]).take(places).to_pylist()
        for row in found:  # NaN is not known; what infinity is, the model says, as in a batch
            row |= {name: None for name, value in row.items() if value != value}
        return Found(found, held.as_of.isoformat(), held.version)

    def watch(self, seconds: float, stop: threading.Event) -> None:
        """Look for another version every so many seconds, in a thread, until told to stop."""

        def look() -> None:
            while not stop.wait(seconds):
                self.look()

        threading.Thread(target=look, name="features", daemon=True).start()

    def look(self) -> None:
        """Hold the newest version; where it cannot be read, or lacks a column of the serving model
        that is held, what is held serves on, without who is in the newest no more.
        """
        with self._lock:
            self._looked = time.monotonic()
            try:
                table = self._table()
                if _which(table) != (self._held.table, self._held.version):
                    self._take(table)
            except Exception as error:  # a file is gone, say: no reason to fail a request
                said = error if isinstance(error, DriftlineError) else repr(error)
                LOGGER.error("features of version %d serve on: %s", self._held.version, said)

    def _take(self, table: DeltaTable) -> None:
        held, which = self._held, _which(table)
        needed = [column.name for column in self._service.loaded.facts.columns]
        there = [field.name for field in table.schema().fields]
        lacks = [name for name in _absent(there, needed) if name in held.rows.column_names]
        if not lacks:
            self._held = self._read(table)
        elif which != self._passed:
            named = table.to_pyarrow_dataset().to_table(columns=[self._entity])[self._entity]
            rows = held.rows.filter(pc.is_in(held.rows[self._entity], value_set=named.unique()))
            self._held = replace(held, rows=rows, places=self._places(rows))
            self._passed = which
            LOGGER.error(
                "features of version %d serve on: version %d lacks %s, which the model needs",
                *(held.version, which[1], ", ".join(lacks)),
            )
        self._service.metrics.kept.set(bool(lacks))

    def _places(self, rows: pa.Table) -> dict[Any, int]:
        return {entity: place for place, entity in enumerate(rows[self._entity].to_pylist())}

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

    def _read(self, table: DeltaTable) -> _Held:
        data = table.to_pyarrow_dataset()
        newest = pc.max(data.to_table(columns=["as_of"]).column("as_of")).as_py()
        if newest is None:
            raise Missing("gold.features is empty", where=self._folder, hint="run `driftline run`")
        rows = data.to_table(
            filter=pc.field("as_of") == pa.scalar(newest, data.schema.field("as_of").type)
        )
        return _Held(*_which(table), newest, rows, self._places(rows))


def _which(table: DeltaTable) -> tuple[str, int]:
    return str(table.metadata().id), int(table.version())


def _absent(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if name not in there]
