"""YAML files → frozen, strict values; whatever is wrong becomes one :class:`ConfError`.

Nothing here knows what a problem or an environment is: ``problem.py`` says that, in models that
inherit :class:`Strict`. No Spark, no Java: a wrong conf is refused within a second.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from driftline.errors import ConfError, did_you_mean


class Strict(BaseModel):
    """A frozen value whose unknown keys are errors that name the known ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False
    )

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


def wrong(
    what: str, *, key: str = "", found: str = "", allowed: str, hint: str
) -> PydanticCustomError:
    """An error about ``key`` of the model that raises it; found is the key's value if not given."""
    context = {"what": what, "key": key, "found": found, "allowed": allowed, "hint": hint}
    return PydanticCustomError("rule", "{what}", context)


_DUMPED = ".json"
"""How the name of a file ends that pydantic wrote, such as the problem beside a trained model."""


def _days(value: Any, info: ValidationInfo) -> Any:
    # A person says what a number is of; what was dumped holds it in days.
    if info.context == _DUMPED and type(value) is int and value > 0:
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5})\s*d", value.strip())):
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


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    hint = "write year, month and day, without a time"
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            hint = "the calendar has no such day"
    raise PydanticCustomError(
        "day", "not a day", {"allowed": "a day, written like 2024-05-31", "hint": hint}
    )


Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar, written ``2024-05-31``."""

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
"""A name of the problem's own: of a source, a column, a feature."""

Share = Annotated[float, Field(ge=0, le=1)]

Model = TypeVar("Model", bound=Strict)


class _Loader(yaml.SafeLoader):
    """YAML whose dates stay text (the model judges them) and whose repeated keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or a mapping used as a key", key_node.start_mark
                )
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
    """Parse one YAML or JSON file, lists as tuples; a missing or unparsable one is a ConfError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found, hint = _unreadable(path, error)
        raise ConfError(
            "cannot read the file",
            file=str(path),
            found=found,
            allowed=f"a readable UTF-8 {'JSON' if path.suffix == _DUMPED else 'YAML'} file",
            hint=hint,
        ) from None
    if path.suffix == _DUMPED:  # to YAML 1.1 its 1e-06 is a text
        return _json(text, path)
    try:
        return _tuples(yaml.load(text, Loader=_Loader))  # _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a number like 0x_
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        readable = isinstance(error, yaml.constructor.ConstructorError)
        raise ConfError(
            "not valid YAML",
            file=place,
            found=str(getattr(error, "problem", None) or error).split("\n", 1)[0],
            allowed="YAML 1.1, each key once, nothing but texts, numbers, lists and mappings",
            hint="remove or rename it"
            if readable
            else "look at the line above too; indent with spaces; quote a text that holds ': '",
        ) from None


def _json(text: str, path: Path) -> Any:
    """Parse JSON as strictly as YAML: a repeated key, or a number that is none, is an error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                raise ValueError(f"key '{key}' is there {count} times")
        return dict(pairs)

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    allowed = "JSON, each key once, no NaN, no Infinity"
    try:
        return _tuples(json.loads(text, object_pairs_hook=once, parse_constant=refused))
    except json.JSONDecodeError as error:
        place, found = f"{path}:{error.lineno}:{error.colno}", error.msg
        hint = "look before that place too; keys and texts are in double quotes"
    except (ValueError, RecursionError) as error:
        place, found, hint = str(path), str(error), "remove it, or write what was meant"
    raise ConfError("not valid JSON", file=place, found=found, allowed=allowed, hint=hint)


def load(model: type[Model], path: Path) -> Model:
    """Read ``path`` into ``model``; the first thing wrong with it becomes a :class:`ConfError`.

    A ``.json`` file is a model as pydantic dumped it.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfError(
            "not a mapping of keys to values",
            file=str(path),
            found={"NoneType": "nothing", "tuple": "a list"}.get(type(content).__name__, "a text"),
            allowed="key: value lines",
            hint="start from one of the files in conf/",
        )
    try:
        return model.model_validate(content, context=path.suffix)
    except ValidationError as error:
        raise _conf_error(error.errors()[0], content, path) from None


def _tuples(value: Any) -> Any:
    """YAML's lists as tuples: values are frozen, and strict pydantic converts nothing."""
    if isinstance(value, Mapping):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _conf_error(detail: ErrorDetails, content: Any, path: Path) -> ConfError:
    """Turn pydantic's first complaint into file, key, found, allowed, hint."""
    kind, context = detail["type"], detail.get("ctx", {})
    where, last = _reached(detail["loc"], content), detail["loc"][-1] if detail["loc"] else ""
    what, found = detail["msg"], _shown(detail["input"])
    allowed, hint = str(context.get("allowed", "")), str(context.get("hint", ""))
    if kind == "unknown_key":
        found = context["key"]
        where.append(found)
        hint = did_you_mean(
            found, context["known"], otherwise="remove it; the files in conf/ show every key"
        )
    elif kind == "missing" and isinstance(last, int):
        what, allowed, hint = "too few entries", f"at least {last + 1}", "add what is missing"
    elif kind in ("missing", "union_tag_not_found"):
        name = str(last) if kind == "missing" else context["discriminator"].strip("'")
        where.append(name)
        what, found = "a required key is missing", "nothing"
        allowed, hint = f"{name}: …", f"add '{name}:'"
    elif kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected") or context["expected_tags"]
        words = re.findall(r"'([^']+)'", expected)
        if kind == "union_tag_invalid":
            where.append(context["discriminator"].strip("'"))
            found = _shown(detail["input"][where[-1]])
        what, allowed = "not one of the allowed values", ", ".join(words)
        hint = did_you_mean(found, words, otherwise="choose one of the allowed values")
    elif allowed:  # a rule of problem.py, which says everything itself
        where += [context["key"]] if context.get("key") else []
        found = context.get("found") or found
    else:
        what, allowed, hint = _in_words(kind, context, detail["input"])
    return ConfError(
        what, file=str(path), key=".".join(where), found=found, allowed=allowed, hint=hint
    )


def _reached(location: tuple[int | str, ...], content: Any) -> list[str]:
    """The parts of pydantic's location that are in the file; it has names of its own as well."""
    found = []
    for part in location:
        known = content if isinstance(content, Mapping) else {}
        if isinstance(content, tuple):
            known = dict(enumerate(content))
        if part in known:
            content = known[part]
            found.append(str(part))
    return found


_TYPES = {
    "int": ("not a whole number", "a whole number", "write digits only, without quotes"),
    "float": ("not a number", "a number", "write it like 0.05, without quotes"),
    "finite": ("not a number", "a finite number", "write it like 0.05"),
    "string": ("not a text", "a text", "put it in quotes: '{found}'"),
    "bool": ("neither true nor false", "true, false", "write true or false, without quotes"),
    "tuple": ("not a list", "a list", "write it in brackets: [{found}]"),
    "dict": ("not a mapping of keys to values", "key: value pairs", "write {{key: value, …}}"),
    "model": ("not a mapping of keys to values", "key: value pairs", "write {{key: value, …}}"),
}
"""First word of pydantic's name of a type error → what, allowed, hint."""

_BOUNDS = {"gt": "above {:g}", "ge": "{:g} or more", "lt": "below {:g}", "le": "{:g} or less"}


def _in_words(kind: str, context: Mapping[str, Any], value: Any) -> tuple[str, str, str]:
    """What is wrong, what is allowed and a hint, for the errors that are pydantic's own."""
    if kind == "string_pattern_mismatch":
        name = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_0123456789") or "a_name"
        return "not a name", "lower-case letters, digits and _, a letter first", f"write {name}"
    if kind in ("string_too_short", "string_too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        if least:
            return "the text is too short", f"at least {least} character", "write something there"
        return "the text is too long", f"at most {most} character(s)", f"it has {len(value)}"
    if kind in ("too_short", "too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        if least:
            return "too few entries", f"at least {least}", "add what is missing"
        return "too many entries", f"at most {most}", f"there are {len(value)}"
    for bound, words in _BOUNDS.items():
        if bound in context:
            allowed = words.format(context[bound])
            share = bound in ("lt", "le") and context[bound] == 1
            hint = "a share of 15 % is written 0.15" if share else f"write a number {allowed}"
            return "out of range", allowed, hint
    what, allowed, hint = _TYPES.get(
        kind.split("_")[0], (f"not allowed here ({kind})", "see conf/churn.yaml", "compare the two")
    )
    if value is None:
        return "a value is missing", allowed, "write a value after the colon, or remove the key"
    if kind == "tuple_type" and value == "none":
        return what, allowed, "no value is written null"
    return what, allowed, hint.format(found=_shown(value))


def _shown(value: Any) -> str:
    """A value the way YAML would have it, on one line."""
    text = _flow(value) if value != "" else "an empty text"
    return text if len(text) <= 80 else text[:79] + "…"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else str(value)


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> tuple[str, str]:
    """What is there instead of a readable file, and a hint."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"bytes that are not UTF-8, in line {line}", "save the file as UTF-8"
    if isinstance(error, PermissionError):
        return "a file this user may not read", "change its permissions"
    found = "a folder" if path.is_dir() else "no such file"
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return found, f"there is no folder {folder} either"
    names = sorted(file.name for file in folder.glob("*.yaml") if file.is_file())
    there = f"YAML files in {folder}: {', '.join(names) or 'none'}"
    return found, there if path.is_dir() else did_you_mean(path.name, names, otherwise=there)
