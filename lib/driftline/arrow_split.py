"""The rows of files that break no rule and repeat none, written by the workers that judge them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from driftline import arrow_files, arrow_rules
from driftline.arrow_files import Files, Part
from driftline.new_files import NewFile, Target, Writer
from driftline.suite_files import Rule


@dataclass(frozen=True)
class _Asked:
    files: Files
    rules: Sequence[Rule]
    offsets: pa.Array
    names: pa.Array
    target: Target


def write(
    spark: SparkSession,
    files: Files,
    rules: Sequence[Rule],
    repeats: Sequence[tuple[str, int]],
    target: Target,
) -> list[NewFile]:
    """Write the rows that break none of the rules, nor are among the ``repeats`` (delivery and
    place in it of each), as data files of a table, a file a task. Nothing of them is visible before
    they are committed.
    """
    offsets = pa.array([offset for _, offset in repeats], pa.int64())
    names = pa.array([f"{offset} {delivery}" for delivery, offset in repeats], pa.string())
    asked = _Asked(files, rules, offsets, names, target)
    return arrow_files.over(spark, files, partial(_written, asked))


def _written(asked: _Asked, parts: Iterable[Part]) -> Iterator[NewFile]:
    with Writer(asked.target) as writer:
        for part in parts:
            for rows in arrow_files.read(asked.files, part):
                out = [pc.fill_null(arrow_rules.breaks(rule, rows), False) for rule in asked.rules]
                if len(asked.offsets):
                    out.append(_is_among(rows, asked))
                writer.write(rows.filter(pc.invert(reduce(pc.or_, out))) if out else rows)
        file = writer.finish()
    if file is not None:
        yield file


def _is_among(rows: pa.RecordBatch, asked: _Asked) -> pa.Array:
    """Which rows are the repeats: by their place, and only if some has that by delivery, too."""
    place = rows.column("_offset")
    maybe = pc.is_in(place, asked.offsets)
    if not pc.any(maybe).as_py():
        return maybe
    name = pc.binary_join_element_wise(pc.cast(place, pa.string()), rows.column("_delivery"), " ")
    return pc.and_(maybe, pc.is_in(name, asked.names))
