"""What a table's schema is made of; the schemas themselves are in :mod:`driftline.schemas`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: ``type`` in Spark SQL's words."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One Delta table: ``<layer>.<name>``."""

    layer: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    statistics: tuple[str, ...] = ()  # columns whose range is kept a file; none: all, at a price
    partition: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """``layer.name``, as it is written everywhere."""
        return f"{self.layer}.{self.name}"

    @property
    def suite_file(self) -> str:
        """The file of its expectation suite, in the problem's folder."""
        return f"{self.layer}_{self.name}.json"

    @property
    def column_names(self) -> list[str]:
        """Names in order."""
        return [column.name for column in self.columns]

    @property
    def ddl(self) -> str:
        """The columns as Spark SQL reads them, without comments."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)


def columns(*lines: str) -> tuple[Column, ...]:
    """Each line is ``name type — comment``."""
    found = []
    for line in lines:
        head, _, comment = line.partition(" — ")
        name, _, type_ = head.partition(" ")
        found.append(Column(name, type_, comment))
    return tuple(found)


WHICH_RUN = "run_id string — The run that wrote this row, see ops.runs"
AT = "at timestamp — When the row was written, UTC"
