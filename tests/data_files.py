"""The data files of a Delta table, for tests of what can be told without them."""

from __future__ import annotations

from pathlib import Path


def remove_data(folder: str | Path) -> None:
    """Delete them all, in partitions, too; the log with its checkpoints stays."""
    for file in Path(folder).rglob("*.parquet"):
        if "_delta_log" not in file.parts:
            file.unlink()
