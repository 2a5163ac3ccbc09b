"""Features + model → one prediction a row: by Spark's own model, or by the portable one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType

from driftline.errors import Missing
from driftline.serving.facts import Facts


def scored(rows: DataFrame, model: PipelineModel, *, task: str) -> DataFrame:
    """Add ``score`` (probability of label 1, or predicted value) and ``prediction``."""
    if task == "classification":
        score: Column = vector_to_array(F.col("probability")).getItem(1)
        decision = (score >= 0.5).cast("double")
    else:
        score = F.col("prediction")
        decision = score
    found = model.transform(rows)
    return found.select(*rows.columns, score.alias("score"), decision.alias("prediction"))


def predicted(rows: DataFrame, content: bytes, facts: Facts, *, keep: Sequence[str]) -> DataFrame:
    """``keep`` of ``rows``, ``score`` and ``prediction``, by a portable model's file.

    Many times as fast as Spark's own: a batch of rows is one call. A missing column is refused by
    name; columns the model does not know are left alone.
    """
    absent = [column.name for column in facts.columns if column.name not in rows.columns]
    if absent:
        raise Missing(
            f"the rows to score lack {', '.join(absent)}",
            where=f"model {facts.name}",
            hint="the champion was trained on other features: train again, or bring them back",
        )
    wanted = [column.name for column in facts.columns]
    kept = [rows.schema[name] for name in keep]
    number = [StructField(name, DoubleType()) for name in ("score", "prediction")]
    asked = rows.select(*dict.fromkeys([*keep, *wanted]))
    return asked.mapInArrow(_scorer(content, list(keep)), StructType([*kept, *number]))


def _scorer(
    content: bytes, keep: list[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # On the executor: the driver's copy of the model does not travel, its file does.
        from driftline.serving.model import Portable

        model = Portable(content)
        for batch in batches:
            found = model.score(*model.inputs(batch))
            columns = [batch.column(name) for name in keep]
            columns += [pa.array(found), pa.array(model.decide(found))]
            yield pa.RecordBatch.from_arrays(columns, [*keep, "score", "prediction"])

    return score
