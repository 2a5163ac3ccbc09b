"""What a problem file says of a source that is pulled; where it is, the environment says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from driftline.conf import Strict, wrong
from driftline.errors import did_you_mean

Text = Annotated[str, Field(min_length=1)]
KeyPath = Annotated[str, Field(min_length=1)]
"""Keys of nested JSON objects, joined by dots: ``data.items``."""


class Database(Strict):
    """Rows of one table or query, over JDBC: all of them, or those from a watermark on."""

    connection: Text
    table: Text | None = None
    query: Text | None = None
    watermark: Text | None = None

    @model_validator(mode="after")
    def _table_or_query(self) -> Database:
        if (self.table is None) == (self.query is None):
            raise wrong(
                "neither a table nor a query" if self.table is None else "a table and a query",
                key="table" if self.table is None else "query",
                found=self.query or "nothing",
                allowed="one of table, query",
                hint="table: public.orders, or query: SELECT … FROM … without a semicolon",
            )
        return self


class PageNumber(Strict):
    """Pages have numbers, sent as ``parameter``; the first page without records is the end."""

    by: Literal["page"]
    parameter: Text
    first: int = Field(default=1, ge=0)


class Cursor(Strict):
    """A page names the next at the key path ``next``; it is sent as ``parameter``."""

    by: Literal["cursor"]
    parameter: Text
    next: KeyPath


class Link(Strict):
    """A page has the address of the next: in its Link header (RFC 8288), or at a key path."""

    by: Literal["link"]
    next: KeyPath | None = None


class Api(Strict):
    """Records of one path of an API that answers in JSON, page by page."""

    connection: Text
    path: Text
    records: KeyPath | None = None
    """Where a page has its list of records; without it the page itself is the list."""
    parameters: dict[str, str] = {}
    pagination: Annotated[PageNumber | Cursor | Link, Field(discriminator="by")] | None = None
    max_pages: int = Field(default=10_000, ge=1)
    since: Text | None = None
    """The parameter that asks for records from a time on."""
    watermark: Text | None = None
    """The column whose newest landed value is sent as ``since``."""

    @field_validator("path")
    @classmethod
    def _plain_path(cls, path: str) -> str:
        if not path.startswith("/") or "?" in path or "#" in path:
            raise wrong(
                "not a path",
                found=path,
                allowed="a path that starts with /, without ? and #",
                hint="what follows ? goes into parameters: {name: value}",
            )
        return path

    @model_validator(mode="after")
    def _since_and_watermark(self) -> Api:
        if (self.since is None) != (self.watermark is None):
            raise wrong(
                "since and watermark go together",
                key="since" if self.since is None else "watermark",
                found="nothing",
                allowed="both, or neither to read everything each time",
                hint="since is the API's parameter, watermark the column it is about",
            )
        return self


_FORMATS = {"database": "parquet", "api": "ndjson"}
"""The format of the files a pull writes."""


def with_format(source: Any) -> Any:
    """A source as the file has it, plus the format of what is pulled; it has one origin, or fails.

    Raises the error of a rule, see :func:`driftline.conf.wrong`.
    """
    if not isinstance(source, Mapping):
        return source
    origins = [name for name in ("path", *_FORMATS) if source.get(name) not in (None, "")]
    if len(origins) != 1:
        raise wrong(
            "a source without an origin" if not origins else "a source with two origins",
            key="path" if not origins else origins[1],
            found=" and ".join(origins) or "nothing",
            allowed="one of path, database, api",
            hint="path: of files; database: or api: for what is pulled",
        )
    written = _FORMATS.get(origins[0])
    if written is None:
        return source
    if source.get("format", written) != written:
        raise wrong(
            f"what is pulled from {'an API' if origins[0] == 'api' else 'a database'} "
            f"is kept as {written}",
            key="format",
            found=str(source["format"]),
            allowed=f"no format, or {written}",
            hint="remove it",
        )
    return {**source, "format": written}


class _Column(Protocol):
    type: Any
    source: str | None
    format: str | None


def check_watermark(
    pull: Database | Api | None, columns: Mapping[str, _Column], key: Sequence[str]
) -> None:
    """Raise the error of a rule unless a pull's watermark is a column one can go on from."""
    if pull is None or pull.watermark is None:
        return
    origin = "database" if isinstance(pull, Database) else "api"
    place = f"{origin}.watermark"
    if pull.watermark not in columns:
        raise wrong(
            "no such column",
            key=place,
            found=pull.watermark,
            allowed=", ".join(columns),
            hint=did_you_mean(pull.watermark, columns, otherwise="declare it under columns"),
        )
    column = columns[pull.watermark]
    # A text's order depends on who compares: a database's and ours would differ in silence.
    if column.type not in ("timestamp", "date", "long"):
        raise wrong(
            "nothing one can go on from",
            key=place,
            found=f"{pull.watermark}, a {column.type}",
            allowed="a column of type timestamp, date or long",
            hint="take the time of the last change, or a number that only grows",
        )
    if origin == "database" and column.format is not None:
        raise wrong(
            "a watermark in a text",
            key=f"columns.{pull.watermark}.format",
            found=column.format,
            allowed="a column that is a time, a date or a whole number in the database",
            hint="cast it in database.query and remove the format",
        )
    if origin == "api" and not key:
        # What 'since' includes is the server's affair: the newest records may come again.
        raise wrong(
            "records may come twice and nothing tells them apart",
            key="key",
            found="nothing",
            allowed="a key, where an API is read from a watermark on",
            hint="key: [id, updated_at]",
        )
