"""YAML files → frozen, strict values; whatever is wrong becomes one :class:`ConfError`.

Nothing here knows what a problem or an environment is: ``problem.py`` says that, in models that
inherit :class:`Strict`. No Spark, no Java: a wrong conf is refused within a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from driftline.errors import ConfError, did_you_mean


class Strict(BaseModel):
    """A frozen value whose unknown keys are errors that name the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value:
            if key not in known and key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key",
                    {"key": str(key), "allowed": ", ".join(known), "known": known},
                )
        return value


def _days(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,5})\s*d", value.strip())):
        value = int(match[1])
        if value > 0:
            return value
    raise PydanticCustomError(
        "duration",
        "not a duration",
        {
            "allowed": "a whole number of days above 0, written like 30d",
            "hint": "write 30d for 30 days",
        },
    )


Days = Annotated[int, BeforeValidator(_days)]
"""A length of time in whole days, written ``30d``."""

Model = TypeVar("Model", bound=Strict)


class _Loader(yaml.SafeLoader):
    """YAML whose dates stay text (the model judges them) and whose repeated keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> Any:
    """Parse one YAML file; a missing or unparsable one is a :class:`ConfError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(
            "cannot read the file",
            file=str(path),
            found=type(error).__name__,
            allowed="a readable UTF-8 YAML file",
            hint=_similar_files(path),
        ) from None
    try:
        return yaml.load(text, Loader=_Loader)  # _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfError(
            "not valid YAML",
            file=place,
            found=str(getattr(error, "problem", error)),
            allowed="YAML 1.1, each key once",
            hint="look at the line above too; indentation must be spaces",
        ) from None


def load(model: type[Model], path: Path) -> Model:
    """Read ``path`` into ``model``; the first thing wrong with it becomes a :class:`ConfError`."""
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfError(
            "not a mapping of keys to values",
            file=str(path),
            found=type(content).__name__,
            allowed="key: value lines",
            hint="start from one of the files in conf/",
        )
    try:
        return model.model_validate(_tuples(content))
    except ValidationError as error:
        raise _conf_error(error.errors()[0], path) from None


def _tuples(value: Any) -> Any:
    """YAML's lists as tuples: values are frozen, and strict pydantic converts nothing."""
    if isinstance(value, Mapping):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _conf_error(detail: ErrorDetails, path: Path) -> ConfError:
    """Turn pydantic's first complaint into file, key, found, allowed, hint."""
    context: dict[str, Any] = detail.get("ctx", {})
    where = [str(part) for part in detail["loc"] if not str(part).startswith("function-")]
    found = _shown(detail["input"])
    allowed, hint = str(context.get("allowed", "")), str(context.get("hint", ""))
    what = detail["msg"]
    if detail["type"] == "unknown_key":
        where.append(context["key"])
        found = context["key"]
        hint = did_you_mean(found, context["known"], otherwise="remove it, or see the README")
    elif detail["type"] == "missing":
        what, found = "a required key is missing", "nothing"
        allowed, hint = f"{where[-1]}: …", f"add '{where[-1]}:'"
    elif detail["type"] in ("literal_error", "enum", "union_tag_invalid"):
        allowed = str(context.get("expected", context.get("expected_tags", "")))
        hint = did_you_mean(
            found, re.findall(r"'([^']+)'", allowed), otherwise="choose one of the allowed values"
        )
        what = "not one of the allowed values"
    return ConfError(
        what[0].lower() + what[1:],
        file=str(path),
        key=".".join(where),
        found=found,
        allowed=allowed or _expected(detail),
        hint=hint or "see the comments in conf/churn.yaml for an example of each key",
    )


def _expected(detail: ErrorDetails) -> str:
    """Say in words what pydantic wanted: ``Input should be …`` without its first words."""
    return re.sub(r"^(Input should be|Value error,) ?", "", detail["msg"])


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _similar_files(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    names = [file.name for file in folder.glob("*.yaml")]
    there = ", ".join(sorted(names)) or "none"
    return did_you_mean(path.name, names, otherwise=f"YAML files in {folder}: {there}")
