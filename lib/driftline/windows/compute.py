"""Batches of tiles → rows of features, for the as-ofs and columns of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.operations import KINDS
from driftline.windows.operations import DAY, OPERATIONS, Output
from driftline.windows.rows import Rows, View

BATCH = 200_000
"""Rows computed at once, if no entity has more."""


@dataclass(frozen=True)
class Plan:
    """What to compute: as-ofs in days since 1970, columns, who is asked about.

    ``asked`` names the component whose events make an entity one that is asked about, ``within`` so
    many days (None: ever). Without it, everybody with an event in the longest window is.
    """

    entity: str
    as_ofs: tuple[int, ...]
    outputs: tuple[Output, ...]
    asked: str | None = None
    within: int | None = None

    @property
    def longest(self) -> int | None:
        """Days of the longest window; None when it has no end."""
        if self.asked is not None and self.within is None:
            return None
        return max([*(max(each.days, each.against) for each in self.outputs), self.within or 0])


def compute(batches: Iterator[pa.RecordBatch], plan: Plan) -> Iterator[pa.RecordBatch]:
    """Tiles, sorted by entity, part, category, day, date and known → a row an (entity, as-of).

    Columns: the entity, ``as_of``, the outputs (NaN as null), and the newest event and arrival
    that were seen, in microseconds since 1970.
    """
    for table in _whole(batches, plan.entity):
        yield from _computed(table, plan)


def _whole(batches: Iterator[pa.RecordBatch], entity: str) -> Iterator[pa.Table]:
    """Batches in larger pieces that split no entity."""
    held: list[pa.RecordBatch] = []
    rows, wanted = 0, BATCH
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows < wanted:
            continue
        table = pa.Table.from_batches(held).combine_chunks()
        cut = pc.index(table[entity], table[entity][-1]).as_py()
        if cut:
            yield table.slice(0, cut)
            table = table.slice(cut)
        held, rows = table.to_batches(), table.num_rows
        wanted = max(BATCH, 2 * rows)  # one entity alone: do not look again at every batch
    if rows:
        yield pa.Table.from_batches(held).combine_chunks()


def _computed(table: pa.Table, plan: Plan) -> Iterator[pa.RecordBatch]:
    entity = table[plan.entity].combine_chunks()
    changed = _changes(entity)
    code = np.cumsum(changed) - 1
    people = entity.take(pa.array(np.flatnonzero(changed)))
    columns = {"code": code}
    for name in ("day", "date", "known"):
        columns[name] = table[f"_{name}"].cast(pa.int32()).to_numpy().astype(np.int64)
    rows, categories = _split(table, plan.entity, columns, len(people))
    longest = plan.longest
    for as_of in plan.as_ofs:
        view = View(rows.known(as_of), categories, as_of, len(people))
        end = view.rows.until(as_of)
        start = view.rows.starts if longest is None else view.rows.until(as_of - longest)
        if plan.asked is None:
            asked = start < end
        else:
            within = (
                view.rows.starts if plan.within is None else view.rows.until(as_of - plan.within)
            )
            asked = view.rows.total(plan.asked, within, end) > 0
        if not asked.any():
            continue
        found = {
            each.name: OPERATIONS[each.operation](view, each).astype(np.float64)
            for each in plan.outputs
        }
        chosen = np.flatnonzero(asked)
        micros = np.full(len(chosen), as_of * DAY)
        arrays = [people.take(pa.array(chosen)), pa.array(micros, pa.timestamp("us", tz="UTC"))]
        arrays += [pa.array(each[asked], from_pandas=True) for each in found.values()]
        for name in ("newest", "arrived"):
            until = view.rows.reduced(np.fmax, name, start, end)[asked]
            arrays.append(pa.array(until, from_pandas=True).cast(pa.int64()))
        names = [plan.entity, "as_of", *found, "_newest", "_arrived"]
        yield pa.RecordBatch.from_arrays(arrays, names=names)


def _split(
    table: pa.Table, entity: str, columns: dict[str, npt.NDArray[Any]], entities: int
) -> tuple[Rows, dict[str, Rows]]:
    """The tiles themselves, and for each component that counts by category its rows."""
    part = table["_part"].combine_chunks()
    own = pc.equal(part, "").to_numpy(zero_copy_only=False)
    found = {name: each[own] for name, each in columns.items()}
    mine = table.filter(pa.array(own))
    found |= {"newest": mine["_newest"].to_numpy(), "arrived": mine["_arrived"].to_numpy()}
    for name in mine.column_names:
        if name.partition("_")[0] in KINDS and name not in (entity, *found):
            found[name] = mine[name].to_numpy()
    categories = {}
    for name in pc.unique(part.filter(pa.array(~own))).to_pylist():
        chosen = pc.equal(part, name).to_numpy(zero_copy_only=False)
        theirs = table.filter(pa.array(chosen))
        new = _changes(theirs["_category"].combine_chunks())
        code = columns["code"][chosen]
        counted = {key: each[chosen] for key, each in columns.items()}
        counted["events"] = theirs["_events"].to_numpy()
        counted["run"] = new | (np.diff(code, prepend=-1) != 0)
        categories[name] = Rows(counted, entities)
    return Rows(found, entities), categories


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)).days


def _changes(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it; the first does."""
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return changed
