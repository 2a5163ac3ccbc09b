"""A hostile delivery, and what has to become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftline.sources import Field, Layout

Content = bytes | Callable[[], bytes]
"""What is in a file; what is large or slow to make is made when it is needed."""


@dataclass(frozen=True)
class Case:
    """Files of one source: how many records of them all are accepted, and why others are not.

    ``values``: the accepted rows, where it matters what they say. ``fault``: why the delivery is
    refused as a whole, a word of ``sources.FAULTS``; then nothing else counts.
    """

    name: str
    files: Mapping[str, Content]
    format: str
    fields: tuple[Field, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    accepted: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    fault: str | None = None
    values: tuple[tuple[Any, ...], ...] | None = None

    @property
    def rejected(self) -> int:
        """Records that are rejected, whatever the reason."""
        return sum(self.reasons.values())

    @property
    def layout(self) -> Layout:
        """How the files are to be read."""
        return Layout(self.format, self.fields, **self.options)

    def write(self, folder: Path) -> list[Path]:
        """Put the files into a folder."""
        paths = []
        for name, content in self.files.items():
            path = folder / name
            path.write_bytes(content if isinstance(content, bytes) else content())
            paths.append(path)
        return paths


ID_AND_TEXT = (Field("id", "long"), Field("s", "string"))


def csv(name: str, content: Content, **rest: Any) -> Case:
    """A case of one CSV file with the columns ``id`` (long) and ``s`` (string)."""
    rest.setdefault("fields", ID_AND_TEXT)
    return Case(name, {"x.csv": content}, "csv", **rest)


def ndjson(name: str, content: Content, **rest: Any) -> Case:
    """A case of one file of JSON lines with the keys ``id`` (long) and ``s`` (string)."""
    rest.setdefault("fields", ID_AND_TEXT)
    return Case(name, {"x.json": content}, "ndjson", **rest)
