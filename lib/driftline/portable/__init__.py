"""The model without Spark: what MLlib saved → ONNX files, and the proof that both score alike.

``estimators`` and ``converted`` make numbers, or a graph, of what Python fitted; ``saved`` reads
those of a saved pipeline, ``graph`` and ``reasons`` write them as ONNX, ``proof`` compares. What
runs the files is ``driftline.serving``. No pickle is written or read anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from driftline.calibration import Calibration
    from driftline.prepare import Preparation
    from driftline.serving.facts import Facts

FILE = "portable.onnx"
"""The score's file, beside the Spark model it was made from."""

REASONS = "reasons.onnx"
"""Beside it: how much each column moved a score, see :mod:`driftline.portable.reasons`."""


def files(
    preparation: Preparation, saved: Path, facts: Facts, calibration: Calibration | None = None
) -> dict[str, bytes]:
    """Both files of the pipeline that Spark saved in the folder ``saved``."""
    from driftline.portable import graph, reasons
    from driftline.portable.saved import read

    numbers = read(saved)
    return {
        FILE: graph.write(preparation, numbers, facts, calibration),
        REASONS: reasons.write(preparation, numbers, facts),
    }
