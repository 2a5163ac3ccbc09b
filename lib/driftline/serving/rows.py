"""What a request may say: rows as JSON → the model's numbers and words, or which field is wrong.

Every feature must be there; null says that it is missing. A number is a JSON number, not text; NaN
and infinities are not JSON. Nothing is guessed, nothing ignored: an unknown field is an error, and
so is one that is there twice.
Reading ends with the first row that is wrong, and before one of very many fields: a request that is
made to be wrong everywhere must not cost more than a right one.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import NotRequired, TypedDict

from driftline.errors import did_you_mean
from driftline.serving.facts import MISSING, Column, Facts
from driftline.serving.model import Floats, Words


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 30.0 is 30, as JSON Schema has it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_TYPES: dict[str, Any] = {
    "double": Annotated[float, Field(strict=True, allow_inf_nan=False)],
    "bigint": Annotated[
        int, Field(strict=True, ge=-(2**63), le=2**63 - 1), BeforeValidator(_whole)
    ],
    "boolean": Annotated[bool, Field(strict=True)],
    "string": Annotated[str, Field(strict=True, max_length=10_000)],
}


_PSEUDONYM = r"^[0-9a-f]{64}$"
"""What driftline.pseudonyms makes, said without importing pyarrow: look-ups alone need that."""
NO_PSEUDONYM = "is no pseudonym (HMAC-SHA-256 as 64 hexadecimal digits)"


def is_pseudonym(value: str) -> bool:
    """Whether a text may be one."""
    return re.fullmatch(_PSEUDONYM, value) is not None


class Wrong(Exception):
    """A request that cannot be answered: what is wrong, field by field. HTTP 4xx."""

    def __init__(self, faults: Sequence[tuple[str, str]], *, status: int = 422) -> None:
        super().__init__("; ".join(f"{field}: {said}" for field, said in faults))
        self.faults = tuple(faults)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A request as read: the model's inputs, and whom each row is about (None: not said).

    Rows that are ``made_up`` are scored, but neither written down nor counted among what is asked.
    """

    numbers: Floats
    words: Words
    entities: list[Any]
    made_up: bool = False


class Reader:
    """Reads requests for one model; ``most`` rows at a time."""

    def __init__(self, facts: Facts, most: int, *, look_up: bool) -> None:
        self._facts = facts
        entity: Any = _TYPES.get(facts.entity_type, _TYPES["string"])
        if facts.pseudonymous:
            entity = Annotated[str, Field(strict=True, pattern=_PSEUDONYM)]
        fields = {facts.entity: NotRequired[entity]}
        fields |= {column.name: _type(column) for column in facts.columns}
        limits = Field(min_length=1, max_length=most)
        row: Any = _strict("Row", fields)
        body: dict[str, Any] = {"rows": NotRequired[Annotated[list[row], limits, FailFast()]]}
        if look_up:
            body["entities"] = NotRequired[Annotated[list[entity], limits, FailFast()]]
        self._adapter: TypeAdapter[Any] = TypeAdapter(_strict("Request", body))
        self._ways = list(body)
        self._fields = [*body, *fields]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of a request."""
        found = self._adapter.json_schema()
        return found | {"oneOf": [{"required": [way]} for way in self._ways]}

    def read(self, body: bytes) -> tuple[list[dict[str, Any]] | None, list[Any]]:
        """Rows, or None and the entities to look up; :class:`Wrong` names each bad field."""
        try:
            given = self._adapter.validate_json(body)
        except ValidationError as error:
            raise faults(error, self._fields) from None
        _once(body, len(given) + sum(map(len, given.get("rows", ()))))
        if len(given) != 1:
            raise Wrong([(" or ".join(self._ways), "exactly one of them is needed")])
        return given.get("rows"), given.get("entities", [])

    def asked(self, rows: Sequence[dict[str, Any]], *, made_up: bool) -> Asked:
        """The model's inputs of rows that were read."""
        facts = self._facts
        numbers = [[row[column.name] for column in facts.numbers] for row in rows]
        words = np.empty((len(rows), len(facts.words)), object)
        for place, column in enumerate(facts.words):
            for line, row in enumerate(rows):
                value = row[column.name]
                words[line, place] = MISSING if value is None else value
        # None becomes NaN
        values = np.asarray(numbers, np.float64).reshape(len(rows), len(facts.numbers))
        return Asked(values, words, [row.get(facts.entity) for row in rows], made_up)


def _once(body: bytes, read: int) -> None:
    """:class:`Wrong` where an object has a field twice, of which pydantic takes the last.

    Each field has a colon: as many as there are fields that were ``read``, and none is there twice.
    """

    def pairs(given: list[tuple[str, Any]]) -> None:
        names = Counter(name for name, _ in given)
        twice = [_printable(name) for name, times in names.items() if times > 1]
        if twice:
            raise Wrong([(name, "is there twice") for name in twice[:FAULTS]])

    if body.count(b":") > read:  # or in a text
        json.loads(body, object_pairs_hook=pairs, parse_int=str, parse_float=str, strict=False)


def told(facts: Facts, asked: Asked) -> list[dict[str, Any]]:
    """The rows as the model saw them, by name: None where a value is missing, or infinite, which
    JSON cannot say.
    """
    found = []
    for numbers, words, entity in zip(
        asked.numbers.tolist(), asked.words.tolist(), asked.entities, strict=True
    ):
        row = {} if entity is None else {facts.entity: entity}
        for column, number in zip(facts.numbers, numbers, strict=True):
            row[column.name] = _KINDS[column.type](number) if math.isfinite(number) else None
        for column, word in zip(facts.words, words, strict=True):
            row[column.name] = None if word == MISSING else word
        found.append(row)
    return found


def _long(number: float) -> int:
    """The largest ones are rounded up to what is no bigint any more."""
    return min(int(number), 2**63 - 1)


_KINDS: dict[str, Callable[[float], Any]] = {"double": float, "bigint": _long, "boolean": bool}


def faults(error: ValidationError, known: Sequence[str]) -> Wrong:
    """What pydantic found, without what was sent; 400 for what is no JSON, else 422."""
    found = []
    every = error.errors(include_url=False, include_input=False, include_context=False)
    for each in every[:FAULTS]:
        field = ".".join(_printable(part) for part in each["loc"]) or "body"
        said = each["msg"]
        if each["type"] == "extra_forbidden":
            hint = did_you_mean(_printable(each["loc"][-1]), known, otherwise="see /docs")
            said = f"there is no such field; {hint}"
        elif each["type"] == "missing":
            said = "is needed"
        elif each["type"] == "string_pattern_mismatch":
            said = NO_PSEUDONYM
        found.append((field, said))
    broken = any(each["type"] == "json_invalid" for each in every)
    return Wrong(found, status=400 if broken else 422)


FAULTS = 20
"""So many faults of a request are told."""


def _strict(name: str, fields: dict[str, Any]) -> Any:
    """A dictionary type with exactly these fields."""
    create: Any = TypedDict
    made = create(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid")

    def few(given: Any) -> Any:
        if isinstance(given, dict) and len(given) > len(fields) + FAULTS:
            said = "there are {count} fields, but only {known} are known"
            facts = {"count": len(given), "known": len(fields)}
            raise PydanticCustomError("too_many_fields", said, facts)
        return given

    return Annotated[made, BeforeValidator(few)]


def _type(column: Column) -> Any:
    return _TYPES[column.type] | None


def _printable(part: object) -> str:
    text = str(part)
    return (text if len(text) <= 80 else text[:80] + "…").encode("utf-8", "replace").decode()
