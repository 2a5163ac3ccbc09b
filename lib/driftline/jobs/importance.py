"""What each feature is worth to a model."""

from __future__ import annotations

from pyspark.sql import functions as F

from driftline import schemas
from driftline.jobs.line import Line
from driftline.registry import Version


def importance(line: Line, champion: Version) -> dict[str, float]:
    """What each feature is worth to the model on its test rows, as shares of all they are worth."""
    name = schemas.CURVES.full_name
    if not line.tables.exists(name):
        return {}
    rows = line.tables.read(name).where(
        (F.col("model_version") == champion.number) & (F.col("curve") == "permutation")
    )
    worth = {row.name: max(row.y, 0.0) for row in rows.collect()}
    total = sum(worth.values())
    return {name: each / total for name, each in worth.items()} if total else {}
