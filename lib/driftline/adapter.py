"""Any estimator with scikit-learn's interface as a candidate: fitted on an executor, never pickled.

A fit is one task: the rows come as Arrow, and what comes back are the numbers that a fitted model
is made of (:mod:`driftline.portable.estimators`), or its ONNX graph
(:mod:`driftline.portable.converted`). What has neither could not be served without Python, either.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from driftline.candidates import built
from driftline.errors import DriftlineError, Refused
from driftline.models import WEIGHT, Value
from driftline.portable import numbers
from driftline.portable.converted import convert, held
from driftline.portable.estimators import READERS
from driftline.portable.numbers import Floats, Linear, Onnx, Trees


class Numbers(Model, DefaultParamsReadable[Any], DefaultParamsWritable):
    """A fitted model as numbers, saved as they are: ``features`` → ``rawPrediction``.

    That is what a classifier's score is the logistic of, or the score itself, and the
    ``prediction`` of a regression.
    """

    numbers: Param[str] = Param(
        Params._dummy(), "numbers", "the model as JSON", TypeConverters.toString
    )

    def __init__(self, numbers: str = "") -> None:
        super().__init__()
        self._set(numbers=numbers)

    @property
    def keeps_rows(self) -> bool:
        """Whether rows that it was fitted on stand in it."""
        found = numbers.from_json(self.getOrDefault(self.numbers))
        return isinstance(found, Onnx) and found.keeps_rows

    @property
    def of_margin(self) -> bool:
        """Whether a class without probabilities was fitted: its ``decision_function`` is here."""
        found = numbers.from_json(self.getOrDefault(self.numbers))
        return isinstance(found, Onnx) and found.logistic

    @property
    def logistic(self) -> bool:
        """Whether a score is the logistic of ``rawPrediction``; else it is that itself."""
        return numbers.from_json(self.getOrDefault(self.numbers)).logistic

    def _transform(self, dataset: DataFrame) -> DataFrame:
        fitted = numbers.from_json(self.getOrDefault(self.numbers))
        total = _totals(fitted)(vector_to_array(F.col("features")))
        decided = (total >= 0).cast("double") if fitted.logistic else total
        return dataset.withColumn("rawPrediction", total).withColumn("prediction", decided)


def _totals(fitted: Linear | Trees | Onnx) -> Any:
    """The vectorised function of an array column."""

    def totals(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        said = numbers.totals(fitted)  # a graph is loaded once a task
        for vectors in batches:
            yield pa.array(said(_matrix(vectors)))

    # The types themselves: by name, Spark would look for them where they are not.
    totals.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    made: Any = arrow_udf
    return made(totals, "double")


def _matrix(vectors: pa.Array) -> Floats:
    """Lists of one length as rows."""
    found: Floats = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    return found


class Adapted(Estimator):  # type: ignore[type-arg]
    """An estimator of that class with these parameters; reads ``features``, ``label``, weights."""

    def __init__(
        self, name: str, parameters: Mapping[str, Value], *, task: str, seed: int, weighted: bool
    ) -> None:
        super().__init__()
        build = partial(built, name, dict(parameters), seed=seed)
        build()  # a class that is not there, or takes no such parameter, is known here
        classifies = task == "classification"
        self._fitted = partial(_fitted, name=name, build=build, classifies=classifies)
        self._weighted = weighted

    def _fit(self, dataset: DataFrame) -> Numbers:
        also = [WEIGHT] if self._weighted else []
        asked = dataset.select(vector_to_array(F.col("features")).alias("x"), "label", *also)
        said = "numbers string, failed string"
        (row,) = alone(asked).mapInArrow(self._fitted, said).collect()
        if row.failed:
            raise Refused(row.failed)
        return Numbers(numbers=row.numbers)


def alone(rows: DataFrame) -> DataFrame:
    """In one partition, ordered by partition and place: coalesce alone starts with what is near,
    and an estimator that draws rows would draw others.
    """
    placed = rows.withColumn("_place", F.monotonically_increasing_id())
    return placed.coalesce(1).sortWithinPartitions("_place").drop("_place")


def _fitted(
    batches: Iterable[pa.RecordBatch],
    name: str,
    build: Callable[[], Any],
    classifies: bool,
) -> Iterator[pa.RecordBatch]:
    """The one row of a fit: the model as JSON, or why there is none."""
    table = pa.Table.from_batches(batches).combine_chunks()
    x, label = _matrix(table["x"].combine_chunks()), table["label"].to_numpy()
    label = label.astype(np.int64) if classifies else label
    weight = {"sample_weight": table[WEIGHT].to_numpy()} if WEIGHT in table.column_names else {}
    found, failed = None, None
    try:
        if classifies and len(set(label.tolist())) < 2:
            raise Refused("the rows to fit on are of one class")
        model = build().fit(x, label, **weight)
        if name in READERS:
            read: Linear | Trees | Onnx = held(READERS[name](model), model, x, classifies)
        else:
            read = convert(model, x, classifies)
        found = numbers.to_json(read)
    except Exception as error:  # of whatever kind: the driver tells it, and tries no second time
        failed = _told(error, name)
    schema = pa.schema([("numbers", pa.string()), ("failed", pa.string())])
    yield pa.RecordBatch.from_pydict({"numbers": [found], "failed": [failed]}, schema)


def _told(error: Exception, name: str) -> str:
    """An error's kind and where the class's own module, or else whoever, raised it; not its text,
    which may quote a row. Ours never does.
    """
    if isinstance(error, DriftlineError):
        return error.what
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(sys.modules.get(name.rpartition(".")[0]), "__file__", None)
    last = ([each for each in frames if each.filename == file] or frames)[-1]
    return f"{type(error).__name__} ({Path(last.filename).name}, line {last.lineno})"
