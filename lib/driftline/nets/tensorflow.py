"""A network of Keras', on TensorFlow: ``class: driftline.nets.tensorflow.Classifier``.

``pip install driftline[tensorflow]`` where it is fitted; nothing of it where it is scored.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers


class _Network:
    """One hidden layer of units, in single precision; fitted by Adam."""

    def __init__(
        self, hidden: int = 32, epochs: int = 30, rate: float = 0.01, random_state: int = 0
    ) -> None:
        self.hidden, self.epochs, self.rate = hidden, epochs, rate
        self.random_state = random_state

    def _train(self, x: Any, y: Any, weight: Any, loss: str, end: str) -> None:
        keras.utils.set_random_seed(self.random_state)
        inner, last = layers.Dense(self.hidden, "relu"), layers.Dense(1, end)
        self.net = keras.Sequential([keras.Input((x.shape[1],)), inner, last])
        self.net.compile(keras.optimizers.Adam(self.rate), loss)
        self.net.fit(x, y, 256, self.epochs, sample_weight=weight, verbose=0)

    def _says(self, x: Any) -> Any:
        return self.net.predict(x, verbose=0)[:, 0]

    def to_onnx(self, x: Any) -> bytes:
        """The network as ONNX, for any number of rows; ``x`` are some of them."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "net.onnx")
            self.net.export(str(file), format="onnx", verbose=False)
            return file.read_bytes()


class Classifier(_Network):
    """Says the probability of label 1."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Classifier:
        """Fit on rows × places and their labels, 0 or 1."""
        self._train(x, y, sample_weight, "binary_crossentropy", "sigmoid")
        return self

    def predict_proba(self, x: Any) -> Any:
        """The probabilities of labels 0 and 1, rows × 2."""
        one = self._says(x)
        return np.column_stack([1 - one, one])


class Regressor(_Network):
    """Says the value itself."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Regressor:
        """Fit on rows × places and their values, in whatever unit."""
        center, scale = float(y.mean()), float(y.std()) or 1.0
        self._train(x, (y - center) / scale, sample_weight, "mse", "linear")
        last = self.net.layers[-1]  # the unit is its affair
        weight, bias = last.get_weights()
        last.set_weights([weight * scale, bias * scale + center])
        return self

    def predict(self, x: Any) -> Any:
        """The values of rows."""
        return self._says(x)
