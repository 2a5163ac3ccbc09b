"""A network of PyTorch's as a candidate: ``class: driftline.nets.pytorch.Classifier``.

``pip install driftline[pytorch]`` where it is fitted; nothing of it is needed where it is scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn


class _Network:
    """One hidden layer of units, in double precision; fitted by Adam."""

    def __init__(
        self, hidden: int = 32, epochs: int = 30, rate: float = 0.01, random_state: int = 0
    ) -> None:
        self.hidden, self.epochs, self.rate = hidden, epochs, rate
        self.random_state = random_state

    def _train(self, x: Any, y: Any, weight: Any, loss: Any, *ends: Any) -> None:
        torch.manual_seed(self.random_state)
        layers = [nn.Linear(x.shape[1], self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1), *ends]
        self.net = nn.Sequential(*layers).double()
        weight = np.ones(len(x)) if weight is None else weight
        columns = (x, y.astype(np.float64), weight)
        rows = torch.utils.data.TensorDataset(*(torch.tensor(column) for column in columns))
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.rate)
        for _ in range(self.epochs):
            for some, wanted, heavy in torch.utils.data.DataLoader(rows, 256, shuffle=True):
                optimizer.zero_grad()
                (heavy * loss(self.net(some)[:, 0], wanted, reduction="none")).mean().backward()
                optimizer.step()
        self.net.eval()

    def _says(self, x: Any) -> Any:
        with torch.no_grad():
            return self.net(torch.tensor(x))[:, 0].numpy()

    def to_onnx(self, x: Any) -> bytes:
        """The network as ONNX, for any number of rows; ``x`` are some of them."""
        some = (torch.tensor(x),)
        made = torch.onnx.export(self.net, some, dynamic_shapes=({0: "rows"},), verbose=False)
        return bytes(made.model_proto.SerializeToString())


class Classifier(_Network):
    """Says the probability of label 1."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Classifier:
        """Fit on rows × places and their labels, 0 or 1."""
        self._train(x, y, sample_weight, nn.functional.binary_cross_entropy, nn.Sigmoid())
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
        self._train(x, (y - center) / scale, sample_weight, nn.functional.mse_loss)
        last = self.net[-1]
        with torch.no_grad():  # the unit is the last layer's affair
            last.weight.mul_(scale)
            last.bias.mul_(scale).add_(center)
        return self

    def predict(self, x: Any) -> Any:
        """The values of rows."""
        return self._says(x)
