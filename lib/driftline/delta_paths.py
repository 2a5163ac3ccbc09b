"""How Delta's log spells the paths of data files and of deletion vectors, and what they are called
here: in one way, whoever wrote them.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_Z85, _B85 = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
)
"""The digits to the base of 85: those Delta writes (ZeroMQ's), and those Python reads."""


def canonical(path: str) -> str:
    """An absolute path, without a scheme if it is local."""
    return "/" + path[len("file:") :].lstrip("/") if path.startswith("file:/") else path


def has_scheme(path: str) -> bool:
    """Whether a path says of which file system it is: ``hdfs:/a`` does as ``hdfs://host/a``."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", path) is not None


def absolute(base: str, path: str) -> str:
    """The path of a file as an action of the log of the table in ``base`` has it, in full."""
    full = path.startswith("/") or has_scheme(path)  # not what, unquoted, only looks like it
    path = unquote(path)
    return canonical(path if full else f"{base}/{path}")


def vector(base: str, action: Mapping[str, Any]) -> str:
    """The deletion vector of an action: the path of its file in full, as a clone of the table
    spells it, too, ``@``, and where in there it begins. Of one that the log itself has, ``@`` and
    it; empty if there is none.
    """
    told = action.get("deletionVector")
    if not told:
        return ""
    said = told["pathOrInlineDv"]
    if told["storageType"] == "i":
        return f"@{said}"
    path = unquote(said)
    if told["storageType"] == "u":
        prefix, written = said[:-20], said[-20:].translate(str.maketrans(_Z85, _B85))
        name = uuid.UUID(bytes=base64.b85decode(written))
        path = "/".join(filter(None, (base, prefix, f"deletion_vector_{name}.bin")))
    return f"{canonical(path)}@{told.get('offset') or 0}"
