"""A source of a problem file, as its parser wants it."""

from __future__ import annotations

from driftline.sections import Source
from driftline.sources import Field, Layout


def layout(source: Source) -> Layout:
    """How the bytes of a source are laid out, for the parsers."""
    fields = tuple(
        Field(name, column.type, column.source or name, column.format)
        for name, column in source.columns.items()
    )
    return Layout(
        source.format,
        fields,
        separator=source.separator,
        header=source.header,
        encoding=source.encoding,
    )
