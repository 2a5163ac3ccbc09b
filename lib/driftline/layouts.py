"""A source of a problem file, as its parser and its reader want it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time, timezone

from driftline import pseudonyms
from driftline.ingest import Policy
from driftline.source_section import Source
from driftline.sources import Field, Layout


def layout(source: Source, added: Iterable[str] = ()) -> Layout:
    """How the bytes of a source are laid out, for the parsers; ``added`` fields are strings."""
    fields = tuple(
        Field(name, column.type, column.source or name, column.format)
        for name, column in source.columns.items()
        if column.value is None
    )
    constants = tuple(
        (Field(name, column.type), datetime.combine(column.value, time(), timezone.utc))
        for name, column in source.columns.items()
        if column.value is not None
    )
    fields += tuple(Field(name, "string") for name in added)
    return Layout(
        source.format,
        fields,
        constants,
        separator=source.separator,
        header=source.header,
        encoding=source.encoding,
        max_line=source.limits.line,
        max_depth=source.limits.depth,
        max_expansion=source.limits.expansion,
        # What is pulled is kept in the spool: it has its pseudonyms from there on.
        pseudonyms=() if source.pull else _hidden(source),
    )


def _hidden(source: Source) -> tuple[str, ...]:
    return tuple(name for name, column in source.columns.items() if column.pseudonym)


def hidden(source: Source) -> tuple[str, ...]:
    """What nobody may read of a source that is pulled, by the names it has there, each once."""
    return tuple({source.columns[name].source or name: None for name in _hidden(source)})


def keyed(source: Source, added: Iterable[str] = ()) -> Layout:
    """The same, to read records by: with the key of its pseudonyms.

    Raises :class:`Missing` where there are to be pseudonyms, and no key.
    """
    found = layout(source, added)
    return replace(found, key=pseudonyms.key()) if found.pseudonyms else found


def policy(source: Source) -> Policy:
    """When a delivery of a source is refused as a whole."""
    return Policy(rejects=source.limits.rejects, unknown=source.unknown != "fail")
