"""What a portable model says of itself: the question, the columns it needs and their training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from driftline.errors import Missing

MISSING = "\ue000missing"
"""Stands for a missing word in the model's ``words``; ONNX has no null. U+E000 means nothing."""


@dataclass(frozen=True)
class Column:
    """A feature column: ``type`` in Spark SQL's words, and where training rows lay.

    ``edges`` are the deciles of a number column on training rows, distinct and rising; ``words``
    the categories that have a place in the model.
    """

    name: str
    type: str
    edges: tuple[float, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_word(self) -> bool:
        """Whether it is one of the model's ``words`` rather than its ``numbers``."""
        return self.type == "string"


@dataclass(frozen=True)
class Facts:
    """What the portable file's metadata hold."""

    name: str
    question: str
    task: str
    problem: str
    entity: str
    entity_type: str
    columns: tuple[Column, ...]
    threshold: float = 0.5
    """From this score on a classification says 1."""
    pseudonymous: bool = False
    """Whether the entity is known by pseudonyms alone: no request may name anybody otherwise."""

    @property
    def numbers(self) -> Sequence[Column]:
        """The columns of the model's ``numbers``, in order."""
        return [column for column in self.columns if not column.is_word]

    @property
    def words(self) -> Sequence[Column]:
        """The columns of the model's ``words``, in order."""
        return [column for column in self.columns if column.is_word]

    def to_json(self) -> str:
        """As text, for the file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """Back from the text; :class:`Missing` where another driftline wrote it, which may not say
        what requests have to be.
        """
        given = json.loads(text)
        if given.keys() != {each.name for each in fields(cls)}:
            raise Missing(
                "the model's file is of another driftline",
                where=f"model {given.get('name')}",
                hint="train again by this one, or serve it by the one that trained it",
            )
        columns = tuple(
            Column(each["name"], each["type"], tuple(each["edges"]), tuple(each["words"]))
            for each in given.pop("columns")
        )
        return cls(**given, columns=columns)
