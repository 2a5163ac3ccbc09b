"""What every way in shares: the loaded champion, predictions, and the change to a new champion."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.serving import champion
from driftline.serving.champion import Champion
from driftline.serving.facts import MISSING, Facts
from driftline.serving.metrics import Metrics
from driftline.serving.model import Floats, Portable
from driftline.serving.request_log import RequestLog
from driftline.serving.rows import Asked, Wrong, told

LOGGER = logging.getLogger("driftline.serving")

_VALUE = 64
"""Bytes for a value in JSON: more than twice what the longest number takes, or words."""

_AGAIN, _CHANGED, _LONGEST = 2.0, 60.0, 300.0
"""Seconds before a version that could not be loaded is fetched again, doubled each time up to the
last; the second where it is its file that is wrong, and has to be put right by somebody."""

INLINE = 50
"""So many rows are scored on the spot; more go to a thread, so that others need not wait."""


@dataclass(frozen=True)
class Loaded:
    """A champion in memory. A request uses one from beginning to end."""

    version: int
    model: Portable

    @property
    def facts(self) -> Facts:
        """What the model says of itself."""
        return self.model.facts

    @cached_property
    def row_bytes(self) -> int:
        """Bytes that a row may have in a body of many: every name, and so many for its value."""
        names = [self.facts.entity, *(column.name for column in self.facts.columns)]
        return sum(len(json.dumps(name)) + _VALUE for name in names)

    def check(self, name: str, version: str | None) -> None:
        """A model or version that is not served is not found: :class:`Wrong`, 404."""
        if name != self.facts.name:
            raise Wrong([("model", f"only {self.facts.name} is served")], status=404)
        if version not in (None, str(self.version)):
            raise Wrong([("version", f"only version {self.version} is served")], status=404)


@dataclass(frozen=True)
class _Failed:
    """A champion that could not be loaded, and until when (monotonic) it is not tried again."""

    champion: Champion
    wait: float
    until: float


@dataclass(frozen=True)
class Scores:
    """Scores and decisions of a request's rows."""

    asked: Asked
    score: Floats
    decision: Floats


class Service:
    """Predictions by the champion, whichever it is.

    ``find`` and ``fetch`` are the two questions to the registry, see :mod:`.champion`.
    """

    def __init__(
        self, find: Callable[[], Champion | None], fetch: Callable[[Champion], bytes]
    ) -> None:
        self._find, self._fetch = find, fetch
        self.metrics = Metrics()
        self.log: RequestLog | None = None
        """Where answered requests are written down, if anywhere."""
        self._stop = threading.Event()
        self._failed: _Failed | None = None
        self._champion = self._asked()
        self.loaded = self._load(self._champion)

    @classmethod
    def of(cls, store: str, name: str) -> Service:
        """The service of a model in an MLflow store."""
        return cls(lambda: champion.find(store, name), lambda found: champion.fetch(store, found))

    def predict(
        self, loaded: Loaded, asked: Asked, left: Callable[[], bool] = lambda: False
    ) -> Scores:
        """Score rows; :class:`Wrong` names rows for which the model has no finite score.

        ``left`` tells, between blocks of rows, whether nobody waits for them any more.
        """
        score = loaded.model.score(asked.numbers, asked.words, left)
        if not np.isfinite(score).all():
            where = np.flatnonzero(~np.isfinite(score))[:20]
            raise Wrong([(f"rows.{row}", "the model has no finite score for it") for row in where])
        self.metrics.rows.inc(len(score))
        if not asked.made_up:
            self.metrics.skew.observe(loaded.facts, asked.numbers, asked.words, score)
        return Scores(asked, score, loaded.model.decide(score))

    def answered(self, request_id: str, loaded: Loaded, scores: Scores) -> None:
        """Write an answered request down."""
        if self.log is None or scores.asked.made_up:
            return
        rows, decisions = told(loaded.facts, scores.asked), scores.decision.tolist()
        try:
            self.log.add(request_id, loaded.version, rows, scores.score.tolist(), decisions)
        except OSError as error:  # a full disk is no reason not to answer, but is said
            self.metrics.unlogged.inc()
            LOGGER.error("request %s was not written down: %s", request_id, error.strerror)

    def refresh(self) -> bool:
        """Load the champion if it is another one; the old one serves until then, and on if it
        cannot be loaded (said in the log and in the metrics). That one is tried again, but less
        and less often; another is loaded at once.
        """
        try:
            found = self._asked()
            failed = self._failed if self._failed and self._failed.champion == found else None
            # The whole of it: a registry that was begun anew has a version of the same number.
            if found == self._champion or (failed and time.monotonic() < failed.until):
                return False
            try:
                self.loaded, self._champion = self._load(found), found
            except Exception as error:
                self._failed = _again(found, error, failed)
                raise
        except Exception as error:  # whatever a registry answers: who looks must not stop looking
            self.metrics.reloads.labels("failed").inc()
            said = error if isinstance(error, DriftlineError) else repr(error)
            LOGGER.error("version %d serves on: %s", self.loaded.version, said)
            return False
        self.metrics.reloads.labels("done").inc()
        LOGGER.info("version %d serves now", self.loaded.version)
        return True

    def watch(self, seconds: float) -> None:
        """Look for a new champion every so many seconds, in a thread, until :meth:`close`."""

        def look() -> None:
            while not self._stop.wait(seconds):
                self.refresh()

        threading.Thread(target=look, name="champion", daemon=True).start()

    def close(self) -> None:
        """Stop looking for new champions."""
        self._stop.set()

    def _asked(self) -> Champion:
        found = self._find()
        if found is None:
            raise Missing(
                "there is no champion to serve",
                hint="run `driftline train`; if its gate refused, see ops.evaluations",
            )
        return found

    def _load(self, found: Champion) -> Loaded:
        started = time.monotonic()
        model = Portable(self._fetch(found))
        facts = model.facts
        nothing = np.full((1, len(facts.numbers)), np.nan)
        model.score(nothing, np.full((1, len(facts.words)), MISSING, object))  # warms up
        self.metrics.serves(found.number, facts)
        LOGGER.info(
            "loaded %s version %d in %.3f s", facts.name, found.number, time.monotonic() - started
        )
        return Loaded(found.number, model)


def _again(champion: Champion, error: Exception, before: _Failed | None) -> _Failed:
    """When to try it again."""
    terminal = isinstance(error, DriftlineError) and not isinstance(error, TryAgain)
    least = _CHANGED if terminal else _AGAIN
    wait = min(max(least, 2 * before.wait if before else 0.0), _LONGEST)
    return _Failed(champion, wait, time.monotonic() + wait)
