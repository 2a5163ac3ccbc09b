"""MLflow's client for :mod:`driftline.registry`, with what goes wrong there in our own words,
and the names it takes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from driftline import storage
from driftline.errors import DriftlineError, TryAgain


class Client:
    """MLflow's client, which says :class:`TryAgain` where its server cannot be reached."""

    def __init__(self, client: mlflow.MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        return reached(getattr(self._client, name), self._uri)


_AWAY = re.compile(r"failed with (?:timeout )?exception|failed with error code 5\d\d")


def reached(asked: Callable[..., Any], uri: str) -> Callable[..., Any]:
    """A function of MLflow's that says :class:`TryAgain` where the server cannot be reached."""

    def ask(*arguments: Any, **named: Any) -> Any:
        try:
            return asked(*arguments, **named)
        except MlflowException as error:
            full = storage.explained(str(error))
            if full is not None:
                raise full from error
            if error.error_code == "TEMPORARILY_UNAVAILABLE" or _AWAY.search(str(error)):
                raise TryAgain(
                    "the model registry cannot be reached",
                    where=re.sub(r"//[^/@]*@", "//", uri),
                    hint="the champion is the one it was; give the same command again",
                ) from error
            if "No such artifact" in str(error):
                raise DriftlineError(
                    "files of a model version are gone",
                    where=re.sub(r"//[^/@]*@", "//", uri),
                    hint="put them back from a copy, or train again",
                ) from error
            raise

    return ask


def metric_name(said: str) -> str:
    """One that MLflow takes: few characters, a path as it would write it itself, and short enough;
    a digest tells apart what is cut, or written otherwise.
    """
    parts = re.sub(r"[^\w\-. :/]", "_", said).split("/")
    name = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    if name == said and len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    end = "-" + hashlib.sha256(said.encode()).hexdigest()[:16]
    return name[: MAX_ENTITY_KEY_LENGTH - len(end)] + end
