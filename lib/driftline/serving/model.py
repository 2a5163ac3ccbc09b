"""The portable model at work: numbers and words in, scores out. onnxruntime and numpy, no Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import DriftlineError, Missing
from driftline.serving.facts import MISSING, Facts

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.object_]


_ROUNDING = 1e-12
"""What a score may lack of the threshold, of that itself, and reach it: the rounding of two sums of
the same numbers. Ten of twenty trees are half for Spark; ten times 0.05 are a little less."""


class Left(Exception):
    """Nobody waits for the scores any more."""


class Portable:
    """A loaded portable model. ``score`` may be called by several threads at once."""

    def __init__(self, content: bytes) -> None:
        self._session, self.facts = _session(content)
        self._inputs = {each.name for each in self._session.get_inputs()}

    def score(
        self, numbers: Floats, words: Words, left: Callable[[], bool] = lambda: False
    ) -> Floats:
        """Scores of n rows from n × number columns (NaN = missing) and n × text columns (MISSING).

        The probability of label 1, or the predicted value. :class:`Left` once ``left`` says so.
        """
        given: dict[str, Any] = {"numbers": numbers, "words": words}
        return run(self._session, "score", {name: given[name] for name in self._inputs}, left)

    def decide(self, score: Floats) -> Floats:
        """1 where the score is at least the threshold, else 0; the score itself for regression."""
        if self.facts.task == "classification":
            least = self.facts.threshold
            return (score >= least - _ROUNDING * abs(least)).astype(np.float64)
        return score

    def inputs(self, rows: pa.Table | pa.RecordBatch) -> tuple[Floats, Words]:
        """The model's inputs from Arrow columns of the features' names, null = missing."""
        absent = [each.name for each in self.facts.columns if each.name not in rows.schema.names]
        if absent:
            raise Missing(
                f"the rows lack {', '.join(absent)}",
                where=f"model {self.facts.name}",
                hint="all columns the model was trained on must be there; a value may be null",
            )
        numbers = np.empty((rows.num_rows, len(self.facts.numbers)))
        for place, column in enumerate(self.facts.numbers):
            numbers[:, place] = _numbers(rows.column(column.name))
        words = np.empty((rows.num_rows, len(self.facts.words)), object)
        for place, column in enumerate(self.facts.words):
            words[:, place] = _words(rows.column(column.name))
        return numbers, words


class Reasons:
    """A loaded file of reasons, see :mod:`driftline.portable.reasons`."""

    def __init__(self, content: bytes) -> None:
        self._session, facts = _session(content)
        self._inputs = {each.name for each in self._session.get_inputs()}
        ordered = [*facts.numbers, *facts.words]
        self._names = pa.array([column.name for column in ordered], pa.string())
        self._decides = facts.task == "classification"

    def contributions(self, numbers: Floats, words: Words) -> npt.NDArray[np.float32]:
        """By how much each column moved each row's score: n × columns, numbers before words."""
        given: dict[str, Any] = {"numbers": numbers, "words": words}
        return run(self._session, "contributions", {name: given[name] for name in self._inputs})

    def top(self, numbers: Floats, words: Words, decision: Floats, most: int = 3) -> pa.Array:
        """Of each row the columns that spoke most for what was decided, the strongest first.

        For a predicted value: the columns that moved it most, up or down. Fewer than ``most`` where
        fewer columns did.
        """
        moved = self.contributions(numbers, words)
        strength = moved * np.where(decision > 0, 1, -1)[:, None] if self._decides else abs(moved)
        most = min(most, strength.shape[1])
        if most < strength.shape[1]:
            first = np.argpartition(-strength, most - 1, axis=1)[:, :most]
        else:
            first = np.tile(np.arange(most), (len(strength), 1))
        order = np.argsort(-np.take_along_axis(strength, first, axis=1), axis=1, kind="stable")
        first = np.take_along_axis(first, order, axis=1)
        said = np.take_along_axis(strength, first, axis=1) > 0
        offsets = np.concatenate([[0], np.cumsum(said.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), self._names.take(pa.array(first[said])))


def run(
    loaded: ort.InferenceSession,
    output: str,
    feed: Mapping[str, Any],
    left: Callable[[], bool] = lambda: False,
) -> npt.NDArray[Any]:
    """One output for rows as inputs, some rows at a time: what a graph holds in between, as the
    distances of a k-nearest-neighbours, then stays small however many there are.

    :class:`Left`, between two of them, once ``left`` says so.
    """
    rows = len(next(iter(feed.values())))
    found = []
    for start in range(0, max(rows, 1), _AT_ONCE):
        if left():
            raise Left
        part = {name: each[start : start + _AT_ONCE] for name, each in feed.items()}
        found.append(loaded.run([output], part)[0])
    return np.concatenate(found)


_AT_ONCE = 512


def session(content: bytes) -> ort.InferenceSession:
    """A loaded ONNX file."""
    options = ort.SessionOptions()
    # One thread a request: servers and executors bring their own parallelism.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no class in common
        raise DriftlineError(
            f"an ONNX file that onnxruntime cannot load ({type(error).__name__})",
            hint="is it whole, and onnxruntime 1.20 or newer?",
        ) from error


def _session(content: bytes) -> tuple[ort.InferenceSession, Facts]:
    loaded = session(content)
    metadata = loaded.get_modelmeta().custom_metadata_map
    if "driftline" not in metadata:
        raise DriftlineError(
            "an ONNX file that driftline did not write",
            hint="the portable model of a version is written by `driftline train`",
        )
    return loaded, Facts.from_json(metadata["driftline"])


def _numbers(column: Any) -> Floats:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    # Not safe: beyond 2**53 a whole number becomes the nearest double, as in Spark.
    doubles = column.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(doubles, float("nan")).to_numpy(zero_copy_only=False))


def _words(column: Any) -> Words:
    filled = pc.fill_null(column.cast(pa.string()), MISSING)
    return np.asarray(filled.to_numpy(zero_copy_only=False), object)
