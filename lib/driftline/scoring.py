"""Features + model → one prediction a row."""

from __future__ import annotations

from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


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
