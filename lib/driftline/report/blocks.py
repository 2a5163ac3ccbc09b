"""What a section is built from; ``templates/blocks.html`` knows how each kind looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Tone = Literal["", "good", "watch", "bad", "calm"]
"""Colour and mark of something: fine, worth a look, wrong, no verdict."""


@dataclass(frozen=True)
class Chip:
    """One verdict at the top of the page, which leads to its section; ``unit`` is set smaller."""

    section: str
    title: str
    value: str
    unit: str
    words: str
    tone: Tone


@dataclass(frozen=True)
class Chart:
    """A plotly figure; ``label`` says in words what it shows, for those who cannot see it."""

    figure: dict[str, Any]
    title: str
    label: str
    note: str = ""
    height: int = 320
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Grid:
    """Charts beside each other where there is room."""

    charts: Sequence[Chart]
    small: bool = False
    wide_only: bool = False
    key: Sequence[tuple[str, str]] = ()
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Cell:
    """One cell of a table; ``bar`` (0 to 1) is drawn behind the text, ``heat`` (0 to 4) tints.

    ``marks`` are small verdicts beside each other, each a tone and what it says.
    """

    text: str
    tone: Tone = ""
    bar: float | None = None
    heat: int | None = None
    title: str = ""
    code: bool = False
    link: str = ""
    """Id of an anchor on the page that the text leads to."""
    anchor: str = ""
    marks: Sequence[tuple[Tone, str]] = ()


@dataclass(frozen=True)
class Table:
    """``columns`` that start with ``#`` hold numbers and are set to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    fold: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Part:
    """A piece of a stack."""

    name: str
    rows: int
    percent: float
    words: str
    tone: Tone


@dataclass(frozen=True)
class Stack:
    """One bar: all that reached a stage, by what became of it."""

    name: str
    words: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Stacks:
    """Bars below each other, in the order of the flow."""

    stacks: Sequence[Stack]
    kind: ClassVar[str] = "stacks"


@dataclass(frozen=True)
class Strip:
    """One small tinted tile for each column of a table version."""

    name: str
    words: str
    tiles: Sequence[Cell]


@dataclass(frozen=True)
class Strips:
    """Strips below each other."""

    strips: Sequence[Strip]
    kind: ClassVar[str] = "strips"


@dataclass(frozen=True)
class Confusion:
    """Counts of right and wrong answers, and each as a share of all (0 to 1)."""

    counts: dict[str, str]
    shares: dict[str, str]
    weights: dict[str, float]
    words: str
    kind: ClassVar[str] = "confusion"


@dataclass(frozen=True)
class Side:
    """Blocks beside each other where there is room."""

    blocks: Sequence[Block]
    kind: ClassVar[str] = "side"


@dataclass(frozen=True)
class Fold:
    """Blocks that open on request."""

    summary: str
    blocks: Sequence[Block]
    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Note:
    """A sentence that needs to be seen."""

    text: str
    tone: Tone = "watch"
    kind: ClassVar[str] = "note"


Block = Chart | Grid | Table | Stacks | Strips | Confusion | Side | Fold | Note


@dataclass(frozen=True)
class Section:
    """A heading, how to read it, what it says, and the blocks that show it."""

    id: str
    title: str
    how: str
    finding: str = ""
    blocks: Sequence[Block] = field(default_factory=list)
    missing: str = ""
