"""The Open Inference Protocol's tensors ↔ the model's numbers and words.

One input tensor a feature column, of shape [n] or [n, 1]; the entity may come along and is an
output then. Outputs ``score`` and ``prediction`` of shape [n]. A missing number is NaN, for which a
whole number or truth value may come as FP64 or FP32, or (in JSON) null; a missing word is null or,
over gRPC, which has no null, an empty BYTES element in a column whose categories do not have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from driftline.errors import did_you_mean
from driftline.serving.facts import MISSING, Column, Facts
from driftline.serving.rows import FAULTS, NO_PSEUDONYM, Asked, Wrong, is_pseudonym
from driftline.serving.service import Scores

DATATYPES = {"double": "FP64", "bigint": "INT64", "boolean": "BOOL", "string": "BYTES"}
"""The protocol's word for each of our types."""

MOST = 2000
"""So many inputs, or outputs, a request may name."""

WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_REAL = ("FP64", "FP32")
_TAKEN = {
    "double": (*_REAL, *WHOLE),
    "bigint": (*WHOLE, *_REAL),
    "boolean": ("BOOL", *_REAL),
    "string": ("BYTES",),
}
"""What may be sent for each: everything that loses nothing, and what has a NaN."""


@dataclass(frozen=True)
class Tensor:
    """A named tensor, its data as a flat list."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any]


def inputs(facts: Facts) -> list[tuple[str, str]]:
    """(name, datatype) of the inputs a model needs."""
    return [(column.name, DATATYPES[column.type]) for column in facts.columns]


OUTPUTS = (("score", "FP64"), ("prediction", "FP64"))


def wanted(facts: Facts, names: Sequence[str]) -> list[str]:
    """The outputs to answer with: those asked for, or all."""
    check_count("outputs", len(names))
    known = [*(name for name, _ in OUTPUTS), facts.entity]
    unknown = [name[:80] for name in names if name not in known]
    if unknown:
        raise Wrong([(f"outputs.{name}", "there is no such output") for name in unknown[:FAULTS]])
    return list(names) or known


def check_count(name: str, count: int) -> None:
    """More than :data:`MOST` are not looked at one by one."""
    if count > MOST:
        raise Wrong([(name, f"there are {count:,}, more than {MOST:,}")])


def answer(entity: str, scores: Scores, outputs: Sequence[str]) -> list[Tensor]:
    """The outputs, and the entity where rows came with one."""
    found = [
        _column("score", "FP64", scores.score.tolist()),
        _column("prediction", "FP64", scores.decision.tolist()),
    ]
    entities = scores.asked.entities
    if any(each is not None for each in entities):
        whole = all(each is None or isinstance(each, int) for each in entities)
        found.append(_column(entity, "INT64" if whole else "BYTES", entities))
    return [each for each in found if each.name in outputs]


def _column(name: str, datatype: str, data: Sequence[Any]) -> Tensor:
    return Tensor(name, datatype, [len(data)], data)


def read(facts: Facts, tensors: Sequence[Tensor], most: int) -> Asked:
    """The model's inputs; :class:`Wrong` names each tensor that is not right."""
    given: dict[str, Tensor] = {}
    faults: list[tuple[str, str]] = []
    known = [column.name for column in facts.columns]
    for tensor in tensors:
        if len(faults) == FAULTS:
            break
        name = f"inputs.{tensor.name[:80]}"
        if tensor.name in given:
            faults.append((name, "is there twice"))
        elif tensor.name not in (*known, facts.entity):
            hint = did_you_mean(tensor.name[:80], known, otherwise="see the model's metadata")
            faults.append((name, f"there is no such input; {hint}"))
        given[tensor.name] = tensor
    faults += [(f"inputs.{name}", "is needed") for name in known if name not in given]
    if faults:
        raise Wrong(faults[:FAULTS])
    count = _rows(given, known, most)
    numbers = np.empty((count, len(facts.numbers)))
    words = np.empty((count, len(facts.words)), object)
    for place, column in enumerate(facts.numbers):
        _check_type(column.name, given[column.name], _TAKEN[column.type])
        numbers[:, place] = _numbers(column, given[column.name])
    for place, column in enumerate(facts.words):
        _check_type(column.name, given[column.name], _TAKEN[column.type])
        words[:, place] = _words(column, given[column.name])
    return Asked(numbers, words, _entities(facts, given, count))


def _rows(given: Mapping[str, Tensor], known: Sequence[str], most: int) -> int:
    """How many rows all tensors have."""
    odd = [name for name, tensor in given.items() if list(tensor.shape[1:]) not in ([], [1])]
    odd += [name for name, tensor in given.items() if not tensor.shape]
    if odd:
        said = "must be [n] or [n, 1]"
        raise Wrong([(f"inputs.{name}.shape", said) for name in odd[:FAULTS]])
    count = given[known[0]].shape[0]
    faults = []
    for name, tensor in given.items():
        if tensor.shape[0] != count:
            said = f"{tensor.shape[0]} rows, but {known[0]} has {count}"
            faults.append((f"inputs.{name}.shape", said))
        elif count != len(tensor.data):
            said = f"{len(tensor.data)} elements, but the shape says {count}"
            faults.append((f"inputs.{name}.data", said))
    if not faults and not 1 <= count <= most:
        faults.append((f"inputs.{known[0]}.shape", f"must be 1 to {most} rows"))
    if faults:
        raise Wrong(faults[:FAULTS])
    return count


def _numbers(column: Column, tensor: Tensor) -> Any:
    for row, value in enumerate(tensor.data):
        if value is not None and not _fits(column, tensor.datatype, value):
            said = f"is no {DATATYPES[column.type]} (null where it is not known)"
            raise Wrong([(f"inputs.{column.name}.data.{row}", said)])
    try:
        values = np.asarray(tensor.data, np.float64)
    except OverflowError:
        raise Wrong([(f"inputs.{column.name}.data", "a number is too large")]) from None
    if np.isinf(values).any():
        raise Wrong([(f"inputs.{column.name}.data", "must be finite; NaN means missing")])
    return values


def _fits(column: Column, datatype: str, value: Any) -> bool:
    if isinstance(value, float) and value != value:
        return datatype in _REAL
    if column.type == "boolean" and datatype in _REAL:
        return value in (0, 1)
    if column.type == "boolean" or isinstance(value, bool):
        return column.type == "boolean" and isinstance(value, bool)
    if column.type == "bigint":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and -(2**63) <= value < 2**63
    return isinstance(value, int | float)


def _words(column: Column, tensor: Tensor) -> Any:
    found = []
    for row, value in enumerate(tensor.data):
        text = _text(value, f"inputs.{column.name}.data.{row}")
        missing = text is None or (value == b"" and "" not in column.words)
        found.append(MISSING if missing else text)
    return found


def _text(value: Any, field: str) -> str | None:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong([(field, "is not UTF-8")]) from None
    if value is not None and not isinstance(value, str):
        raise Wrong([(field, "is no BYTES (a text, or null)")])
    if value is not None and len(value) > 10_000:
        raise Wrong([(field, "is longer than 10,000 characters")])
    return value


def _check_type(name: str, tensor: Tensor, taken: Sequence[str]) -> None:
    if tensor.datatype not in taken:
        raise Wrong([(f"inputs.{name}.datatype", f"must be {' or '.join(taken)}")])


def _entities(facts: Facts, given: Mapping[str, Tensor], count: int) -> list[Any]:
    tensor = given.get(facts.entity)
    if tensor is None:
        return [None] * count
    kind = "bigint" if facts.entity_type == "bigint" else "string"
    entity = Column(facts.entity, kind)
    _check_type(entity.name, tensor, ("BYTES",) if entity.is_word else WHOLE)
    if not entity.is_word:
        _numbers(entity, tensor)
        return [None if value is None else int(value) for value in tensor.data]
    names = [_text(v, f"inputs.{entity.name}.data.{n}") for n, v in enumerate(tensor.data)]
    for place, name in enumerate(names if facts.pseudonymous else ()):
        if name and not is_pseudonym(name):
            raise Wrong([(f"inputs.{entity.name}.data.{place}", NO_PSEUDONYM)])
    return names
