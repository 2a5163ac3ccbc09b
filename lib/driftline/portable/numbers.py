"""What a fitted model is made of: plain numbers, whoever fitted it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linear:
    """x · coefficients + intercept; ``logistic``: the score is 1 / (1 + exp(−that)).

    ``exponential``: it is exp(that), the inverse of a log link.
    """

    coefficients: Floats
    intercept: float
    logistic: bool
    exponential: bool = False


@dataclass(frozen=True)
class Trees:
    """Sum over the trees of the leaf a row ends in; ``logistic`` as for :class:`Linear`.

    Node i goes to ``left[i]`` where x[feature[i]] ≤ threshold[i], else to ``right[i]``; a leaf has
    left −1. ``value[i]`` is what a tree would say that ended at node i, its weight included.
    ``roots`` are the trees.
    """

    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    value: Floats
    roots: Integers
    logistic: bool


@dataclass(frozen=True)
class Bayes:
    """Gaussian naive Bayes: of either label, 0 and 1, each place's ``mean`` and ``variance``
    (2 × places) and the logarithm of its ``prior`` (2).
    """

    mean: Floats
    variance: Floats
    prior: Floats


@dataclass(frozen=True)
class Perceptron:
    """Logistic units, ``inner`` is places × units, and the logistic of what they come to:
    logistic(logistic(x · inner + bias) · outer + intercept).

    MLlib's last layer is a softmax over two units: the logistic of their difference.
    """

    inner: Floats
    bias: Floats
    outer: Floats
    intercept: float


@dataclass(frozen=True)
class Onnx:
    """Whatever else: an ONNX file with input ``x`` (rows × places) and output ``score`` (rows × 1),
    both double, as :mod:`driftline.portable.converted` makes it; ``logistic`` as for
    :class:`Linear`. ``keeps_rows``: rows that it was fitted on stand in it, as they are.
    """

    content: bytes
    logistic: bool = False
    keeps_rows: bool = False


Model = Linear | Trees | Bayes | Perceptron | Onnx


def totals(model: Linear | Trees | Onnx) -> Callable[[Floats], Floats]:
    """The function from ``x`` (rows × places) to what each row's score is the logistic of, or the
    score itself.
    """
    if isinstance(model, Onnx):
        from driftline.serving.model import run, session  # a model of plain numbers needs none

        loaded = session(model.content)
        return lambda x: run(loaded, "score", {"x": x})[:, 0]
    if isinstance(model, Linear):
        line = model
        return lambda x: np.asarray(x @ line.coefficients + line.intercept)
    return partial(_leaves, model)


def _leaves(model: Trees, x: Floats) -> Floats:
    """The sum over the trees of the leaf that each row ends in."""
    found = np.zeros(len(x))
    row = np.arange(len(x))
    for root in model.roots:
        node = np.full(len(x), root)
        while (model.left[node] >= 0).any():
            inner = model.left[node] >= 0
            goes_left = x[row, np.where(inner, model.feature[node], 0)] <= model.threshold[node]
            child = np.where(goes_left, model.left[node], model.right[node])
            node = np.where(inner, child, node)
        found += model.value[node]
    return found


def to_json(model: Linear | Trees | Onnx) -> str:
    """As text that gives the very same numbers back."""
    return json.dumps(
        {"kind": type(model).__name__, **{n: _plain(v) for n, v in asdict(model).items()}}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if isinstance(value, np.ndarray) else value


def from_json(text: str) -> Linear | Trees | Onnx:
    """Back from the text."""
    given: dict[str, Any] = json.loads(text)
    whole = ("feature", "left", "right", "roots")
    kind = given.pop("kind")
    if kind == "Onnx":
        return Onnx(base64.b64decode(given["content"]), given["logistic"], given["keeps_rows"])
    read: dict[str, Any] = {
        name: np.asarray(value, np.int64 if name in whole else np.float64)
        if isinstance(value, list)
        else value
        for name, value in given.items()
    }
    return Linear(**read) if kind == "Linear" else Trees(**read)
