"""Files beside the tables (the report, metrics.prom): on a disk, or in the tables' object store."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from pyspark.sql import SparkSession

from driftline import delta_log


def write(spark: SparkSession, path: str, text: str) -> None:
    """Write a file in one step: who reads it meanwhile finds the old one or the new one."""
    if "://" in path:
        delta_log.put(spark, path, text.encode(), replace=True)
        return
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    # By a name of its own: of two that write at once, neither takes the other's half for a whole.
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def exists(spark: SparkSession, path: str) -> bool:
    """Whether there is such a file."""
    return delta_log.is_file(spark, path)
