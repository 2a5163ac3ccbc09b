"""What the Python of an executor has: the libraries that are asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

LIBRARIES = ("pyarrow", "numpy", "onnxruntime")
FOR_CLASSES = ("onnx", "scikit-learn", "skl2onnx")
"""Beside them, where a candidate has a ``class``."""


def link(names: Iterable[str], folder: Path) -> None:
    """Put into ``folder`` what pip would install for these distributions, as links."""
    for each in _needed(names):
        assert each.files
        for name in {file.parts[0] for file in each.files} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(each.locate_file(name))


def _needed(names: Iterable[str]) -> list[Distribution]:
    """The distributions of these names, and what they require in turn, without extras."""
    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        each = distribution(left.pop())
        if each.name in found:
            continue
        found[each.name] = each
        for said in map(Requirement, each.requires or ()):
            if said.marker is None or said.marker.evaluate({"extra": ""}):
                left.append(said.name)
    return list(found.values())
