"""The digest of a value: what tells whether two questions, states or sets are the same."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """Return the SHA-256 hex digest of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def of_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``, by relative path.

    A symbolic link is told as one, whatever it leads to: that lies elsewhere, and may be another
    file when it is read.
    """
    return {
        str(path.relative_to(folder)): "a symbolic link"
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@functools.cache
def of_code() -> str:
    """16 hex digits over this package's modules: between two releases its version is the same."""
    return digest(dict(_modules(resources.files("driftline"))))[:16]


def _modules(folder: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each module, in a folder or in the zip that a cluster was given."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _modules(each, f"{above}{each.name}/")
        elif each.name.endswith(".py"):
            yield f"{above}{each.name}", hashlib.sha256(each.read_bytes()).hexdigest()
