"""The section of a problem file that says where records come from and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from driftline.conf import Day, Identifier, Share, Strict, wrong
from driftline.errors import did_you_mean
from driftline.pulls.sections import Api, Database, check_watermark, with_format

ColumnType = Literal["string", "long", "double", "boolean", "timestamp", "date"]


class Column(Strict):
    """One column of a bronze table and where the source has it."""

    type: ColumnType
    source: str | None = Field(default=None, alias="from")
    format: str | None = None
    value: Day | None = None
    """The same time in every row: of a table that says none."""
    comment: str = ""
    pseudonym: bool = False
    """Only a keyed hash of each value is kept, see :mod:`driftline.pseudonyms`."""

    @model_validator(mode="after")
    def _value_of_a_time(self) -> Column:
        given = self.source or self.format
        if self.value is not None and (self.type not in ("timestamp", "date") or given):
            raise wrong(
                "not a column that can have the same value in every row",
                key="value",
                found=f"a {self.type}" + (f" from {given}" if given else ""),
                allowed="type timestamp or date, without from and format",
                hint="known: {type: timestamp, value: 2024-01-01}",
            )
        return self

    @model_validator(mode="after")
    def _only_texts(self) -> Column:
        if self.pseudonym and self.type != "string":
            raise wrong(
                "only texts can be pseudonyms",
                key="pseudonym",
                found=f"a {self.type}",
                allowed="type: string",
                hint="declare the column as string; numbers of people are names, too",
            )
        return self


class Limits(Strict):
    """What a delivery may be: a longer or deeper record is rejected, a worse delivery refused."""

    line: int = Field(default=1_000_000, ge=1)
    """Bytes a record may have."""
    depth: int = Field(default=200, ge=1, le=500)
    """Levels of objects and arrays in a JSON record."""
    expansion: float = Field(default=200, ge=1)
    """Bytes that one byte of a compressed or Parquet file may become."""
    rejects: Share = 0.5
    """Share of a delivery's records that may be unreadable."""


class Source(Strict):
    """One kind of delivery: files of one format that land in ``bronze.<name>``.

    They lie at ``path``, or are pulled from a ``database`` or an ``api``.
    """

    path: str = ""
    database: Database | None = None
    api: Api | None = None
    format: Literal["access_log", "csv", "ndjson", "parquet", "whitespace"]
    columns: dict[Identifier, Column] = Field(min_length=1)
    time: Identifier
    arrival: Identifier | None = None
    """The column that says when a row arrived; without it, it did when it was ingested."""
    key: tuple[Identifier, ...] = ()
    separator: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    encoding: str = "utf-8"
    unknown: Literal["rescue", "add", "fail"] = "rescue"
    """Fields the columns do not name: kept as JSON in ``_rescued``, added to bronze as columns of
    strings, or reason to refuse the delivery."""
    settle: float = Field(default=1, ge=0)
    """Seconds for which a file must not have changed before it is taken."""
    limits: Limits = Limits()

    @model_validator(mode="before")
    @classmethod
    def _one_origin(cls, value: Any) -> Any:
        return with_format(value)

    @field_validator("columns", mode="before")
    @classmethod
    def _short_form(cls, columns: Any) -> Any:
        """``amount: double`` is short for ``amount: {type: double}``."""
        if not isinstance(columns, Mapping):
            return columns
        return {
            name: {"type": column} if isinstance(column, str) else column
            for name, column in columns.items()
        }

    @model_validator(mode="after")
    def _columns_exist(self) -> Source:
        times = [("time", self.time)] + ([("arrival", self.arrival)] if self.arrival else [])
        for key, name in (*times, *(("key", name) for name in self.key)):
            if name not in self.columns:
                raise wrong(
                    "no such column",
                    key=key,
                    found=name,
                    allowed=", ".join(self.columns),
                    hint=did_you_mean(name, self.columns, otherwise="declare it under columns"),
                )
        for key, name in times:
            if self.columns[name].type not in ("timestamp", "date"):
                raise wrong(
                    f"the {'event time' if key == 'time' else key} is not a time",
                    key=key,
                    found=f"{name}, a {self.columns[name].type}",
                    allowed="a column of type timestamp or date",
                    hint="give it a type, and a format if it is not ISO 8601",
                )
        check_watermark(self.pull, self.columns, self.key)
        return self

    @property
    def pull(self) -> Database | Api | None:
        """What it is pulled from; None where files lie at ``path``."""
        return self.database or self.api
