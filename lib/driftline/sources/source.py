"""What a kind of input has to be able to do, and what it hands over for casting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from driftline.sources.files import Split
from driftline.sources.layout import Layout, Parsed
from driftline.sources.records import Positions


@dataclass(frozen=True)
class Part:
    """Records whose fields have been told apart.

    ``rows`` (n,) are indices into the Records, ascending; ``columns`` has an array (n,) for each
    field of the layout, of strings or of numbers (see ``cast.cast``); ``rescued`` (n,) is JSON
    objects, or None if there are none.
    """

    rows: Positions
    columns: list[pa.Array]
    rescued: pa.Array | None = None


@dataclass(frozen=True)
class Read:
    """All records of a block: in the parts, or refused with a reason by index."""

    parts: list[Part] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


class Source(Protocol):
    """One kind of input."""

    def check(self, layout: Layout) -> None:
        """Raise ValueError for a layout that the kind cannot serve."""

    def splits(self, path: str, size: int, target: int) -> list[Split]:
        """Splits of a file of ``size`` bytes, each about ``target``; each record is in one."""

    def read(self, split: Split, layout: Layout, block_size: int) -> Iterator[Parsed]:
        """Rows and rejects of a split, in bounded memory: about ``block_size`` bytes at a time.

        Raises Fault where the file cannot be read as a whole, perhaps after some of it.
        """


def rows_of(rows: Sequence[Sequence[str | None]], width: int) -> list[pa.Array]:
    """Columns of strings from rows of ``width`` texts."""
    if not rows:
        return [pa.array([], pa.string()) for _ in range(width)]
    return [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]


_ESCAPED = r'["\\\x00-\x1f]'


def quote(text: str) -> str:
    """A JSON string."""
    return json.dumps(text, ensure_ascii=False)


def json_objects(
    names: Sequence[str], columns: Sequence[pa.Array], as_is: Sequence[bool] | None = None
) -> pa.Array:
    """A JSON object for each row of some columns, nulls left out; null for an empty one.

    The columns are of strings, or of int64 or booleans, which become JSON's own. The texts of a
    column that is to go in ``as_is`` are JSON already.
    """
    members = []
    for name, column, ready in zip(names, columns, as_is or [False] * len(names), strict=True):
        mark = ""
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        elif ready:
            pass
        elif not pc.any(pc.match_substring_regex(column, _ESCAPED)).as_py():
            mark = '"'
        else:
            kinds = column.dictionary_encode()
            quoted = [quote(text) for text in kinds.dictionary.to_pylist()]
            column = pa.array(quoted, pa.string()).take(kinds.indices)
        front = f",{quote(name)}:{mark}"
        members.append(pc.binary_join_element_wise(front, column, mark, ""))
    # Arrow leaves out the rows whose members are all null where it is asked to skip nulls.
    joined = pc.binary_join_element_wise(*members, "", null_handling="replace", null_replacement="")
    objects = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")
    return pc.if_else(pc.not_equal(joined, ""), objects, None)
