"""What a server tells Prometheus: requests, latency, the model, and what it is asked about.

Distributions of features and scores are counts a bucket. The buckets of a number are the deciles of
its training rows, so each should hold a tenth: what does not is skew between training and serving.
Counters start at 0 with each model version, which Prometheus' ``rate`` takes as a restart.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as Counting
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from driftline.serving.facts import MISSING, Facts
from driftline.serving.model import Floats, Words

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_PENDING = 256
"""So many rows are kept before they are counted together: one at a time costs more."""


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counting(
            "driftline_requests", "Requests answered", ["way", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "driftline_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["way"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = Counting("driftline_rows", "Rows scored", registry=self.registry)
        self.reloads = Counting(
            "driftline_reloads", "Changes to a new champion", ["outcome"], registry=self.registry
        )
        self.unlogged = Counting(
            "driftline_requests_unlogged",
            "Requests that could not be written to the request log",
            registry=self.registry,
        )
        self.kept = Gauge(
            "driftline_features_kept",
            "1 while newer features lack a column of the model, and those held before answer",
            registry=self.registry,
        )
        self._version = Gauge(
            "driftline_model_version",
            "Version that serves",
            ["model", "problem"],
            registry=self.registry,
        )
        self.skew = Skew()
        self.registry.register(self.skew)

    def serves(self, version: int, facts: Facts) -> None:
        """A version serves from now on."""
        self._version.clear()
        self._version.labels(facts.name, facts.problem[:12]).set(version)
        self.skew.start(facts)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class Skew(Collector):
    """How often each bucket of each feature, and each tenth of the score, was asked about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[Facts, Floats, Words, Floats]] = []
        self._rows = 0
        self._facts: Facts | None = None
        self._counts: dict[tuple[str, str], int] = {}

    def start(self, facts: Facts) -> None:
        """Begin anew: another model has other buckets."""
        with self._lock:
            self._count()
            self._facts, self._counts = facts, {}

    def observe(self, facts: Facts, numbers: Floats, words: Words, score: Floats) -> None:
        """Take note of a request."""
        with self._lock:
            self._pending.append((facts, numbers, words, score))
            self._rows += len(score)
            if self._rows >= _PENDING:
                self._count()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus reads."""
        features = CounterMetricFamily(
            "driftline_feature_values",
            "Values a bucket: decile of training rows, word, other, or missing",
            labels=["feature", "bucket"],
        )
        scores = CounterMetricFamily(
            "driftline_scores", "Predictions a bucket of the score", labels=["bucket"]
        )
        with self._lock:
            self._count()
            for (feature, bucket), count in sorted(self._counts.items()):
                if feature:
                    features.add_metric([feature, bucket], count)
                else:
                    scores.add_metric([bucket], count)
        yield features
        yield scores

    def _count(self) -> None:
        """Count what is pending; held under the lock."""
        waiting = [each for each in self._pending if each[0] is self._facts]
        self._pending.clear()
        self._rows = 0
        if not waiting or self._facts is None:
            return
        numbers = np.concatenate([each[1] for each in waiting])
        words = np.concatenate([each[2] for each in waiting])
        score = np.concatenate([each[3] for each in waiting])
        for place, column in enumerate(self._facts.numbers):
            self._add(column.name, _buckets(numbers[:, place], column.edges))
        for place, column in enumerate(self._facts.words):
            known = {word: f"word:{word}" for word in column.words} | {MISSING: "missing"}
            self._add(column.name, Counter(known.get(word, "other") for word in words[:, place]))
        if self._facts.task == "classification":
            tenths = np.clip(np.floor(score * 10), 0, 9).astype(int)
            self._add("", Counter(f"{tenth / 10:.1f}" for tenth in tenths.tolist()))
        else:
            magnitude = np.floor(np.log10(np.maximum(np.abs(score), 1e-9))).astype(int)
            signs = np.where(score < 0, "-", "")
            self._add("", Counter(f"{s}1e{m}" for s, m in zip(signs, magnitude, strict=True)))

    def _add(self, feature: str, buckets: Mapping[str, int]) -> None:
        for bucket, count in buckets.items():
            key = (feature, bucket)
            self._counts[key] = self._counts.get(key, 0) + count


def _buckets(values: Floats, edges: Sequence[float]) -> dict[str, int]:
    """How many are ``below``, in ``decile:0`` … ``decile:9``, ``above`` the training range, or
    ``missing``. With fewer than eleven distinct edges (many equal values) there are fewer buckets.
    """
    known = values[~np.isnan(values)]
    found = {"missing": len(values) - len(known)}
    low, high = (edges[0], edges[-1]) if edges else (np.inf, -np.inf)
    found["below"] = int(np.count_nonzero(known < low)) if edges else 0
    found["above"] = int(np.count_nonzero(known > high))
    inside = known[(known >= low) & (known <= high)]
    deciles = np.maximum(np.searchsorted(edges, inside, side="left") - 1, 0)
    found |= {f"decile:{n}": count for n, count in enumerate(np.bincount(deciles).tolist())}
    return {name: count for name, count in found.items() if count}
