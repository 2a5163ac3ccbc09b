"""Conditions on rows as Great Expectations writes them in a suite's file, in Spark's SQL.

``Column("kind") == "sale"`` is written as ``{type: comparison, column: {name: kind}, operator:
"==", parameter: sale}``, several as ``{type: and, conditions: […]}``.
"""

from __future__ import annotations

from typing import Any


def in_sql(condition: Any) -> str | None:
    """The text that Great Expectations gives Spark for it; None for what is none of these, or has a
    column with backticks or empty parts in its name, which are its own to quote.
    """
    match condition:
        case {"column": {"name": str(name)}} if "`" in name or not all(name.split(".")):
            return None
        case {"type": "nullity", "column": {"name": str(name)}, "is_null": is_null}:
            return f"{_quoted(name)} IS {'NULL' if is_null else 'NOT NULL'}"
        case {
            "type": "comparison",
            "column": {"name": str(name)},
            "operator": "IN" | "NOT_IN" as operator,
            "parameter": list(values),
        }:
            return f"{_quoted(name)} {operator.replace('_', ' ')} ({', '.join(map(repr, values))})"
        case {
            "type": "comparison",
            "column": {"name": str(name)},
            "operator": "==" | "!=" | "<" | "<=" | ">" | ">=" as operator,
            "parameter": str() | int() | float() as value,
        }:
            return f"{_quoted(name)} {operator} {value!r}"
        case {"type": "and" | "or" as word, "conditions": list(conditions)}:
            parts = [each for each in map(in_sql, conditions) if each is not None]
            if len(parts) == len(conditions):
                return f"({f' {word.upper()} '.join(parts)})"
    return None


def _quoted(name: str) -> str:
    """A name, or a path of names with dots between them."""
    return "`" + name.replace("`", "``").replace(".", "`.`") + "`"
