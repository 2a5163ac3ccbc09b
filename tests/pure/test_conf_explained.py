"""The shipped conf files show and explain every key that there is, as the errors promise."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from driftline.environment import Environment
from driftline.problem import Problem

FILES = {Problem: ["churn.yaml"], Environment: ["env/local.yaml", "env/cluster.yaml"]}


def models(type_: object) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        yield type_
        for field in type_.model_fields.values():
            yield from models(field.annotation)
    for part in typing.get_args(type_):
        yield from models(part)


def keys(model: type[BaseModel]) -> set[str]:
    return {
        field.alias or name for each in models(model) for name, field in each.model_fields.items()
    }


@pytest.mark.parametrize("model", FILES)
def test_every_key_is_in_the_file_that_explains_them(repository, model) -> None:
    text = "".join((repository / "conf" / each).read_text("utf-8") for each in FILES[model])
    shown = set(re.findall(r"\b(\w+):(?=[ \n])", text))
    assert not keys(model) - shown


def test_the_keys_are_those_of_all_sections() -> None:
    assert {"separator", "validation", "p99", "payback", "per_page", "from"} - keys(Problem) == {
        "per_page"  # a parameter of somebody's API, and none of ours
    }
