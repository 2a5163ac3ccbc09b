"""Which version is the champion, and its portable file: asked of MLflow's store without MLflow.

Importing MLflow takes seconds and 200 MB; a server asks two small questions, again and again. A
SQLite store is asked by SQL (a test compares every answer with MLflow's own), a tracking server by
its REST API. The registry stays the only place that says who is champion, and what its files are:
a file whose SHA-256 is not the recorded one is not loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlparse

from driftline.errors import DriftlineError, Missing, TryAgain

ALIAS = "champion"
FILE = "portable.onnx"
_SECONDS = 10.0


@dataclass(frozen=True)
class Champion:
    """A registered version: where its files are, and the SHA-256 of the portable one."""

    name: str
    number: int
    source: str
    digest: str | None


def find(store: str, name: str) -> Champion | None:
    """The champion of model ``name`` in the MLflow store, if there is one."""
    if store.startswith("sqlite:///"):
        return _in_sqlite(Path(store.removeprefix("sqlite:///")), name)
    return _at_server(store.rstrip("/"), name)


def fetch(store: str, champion: Champion) -> bytes:
    """The champion's portable file, after checking that it is the one that was recorded."""
    if champion.digest is None:
        raise Missing(
            f"model {champion.name} version {champion.number} has no {FILE}",
            where=champion.source,
            hint="it was not trained by this driftline; train again",
        )
    content = _content(store, f"{champion.source.rstrip('/')}/{FILE}")
    if hashlib.sha256(content).hexdigest() != champion.digest:
        raise DriftlineError(
            f"model {champion.name} version {champion.number} is not what was recorded",
            where=champion.source,
            hint=f"{FILE} was changed; it was not loaded. Train again",
        )
    return content


def _champion(name: str, number: int, source: str, files: str | None) -> Champion:
    recorded = json.loads(files or "{}")
    return Champion(name, number, source, recorded.get(FILE))


_ASKED = """
    SELECT v.version, coalesce(v.storage_location, v.source), t.value
    FROM registered_model_aliases a
    JOIN model_versions v ON v.name = a.name AND v.version = a.version
    LEFT JOIN model_version_tags t
      ON t.name = v.name AND t.version = v.version AND t.key = 'files'
    WHERE a.name = ? AND a.alias = ?
"""


def _in_sqlite(file: Path, name: str) -> Champion | None:
    if not file.is_file():
        raise Missing(
            "there is no model registry",
            where=str(file),
            hint="run `driftline train` first; mlflow: in conf/env says where it is",
        )
    address = f"file:{quote(str(file))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_SECONDS)) as store:
            row = store.execute(_ASKED, (name, ALIAS)).fetchone()
    except sqlite3.Error as error:
        raise TryAgain(
            f"the model registry cannot be read: {error}",
            where=str(file),
            hint="it may be busy, or not MLflow's; driftline knows the layout of mlflow 3.17",
        ) from None
    return _champion(name, int(row[0]), row[1], row[2]) if row else None


def _at_server(store: str, name: str) -> Champion | None:
    answer = _get(f"{store}/api/2.0/mlflow/registered-models/alias", {"name": name, "alias": ALIAS})
    if answer is None:
        return None
    version = json.loads(answer)["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
    return _champion(name, int(version["version"]), version["source"], tags.get("files"))


def _content(store: str, uri: str) -> bytes:
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        path = Path(unquote(parsed.path))
        if not path.is_file():
            raise Missing(f"there is no {FILE}", where=str(path), hint="train again")
        return path.read_bytes()
    if parsed.scheme == "mlflow-artifacts":
        place = f"{store.rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/{parsed.path.lstrip('/')}"
        found = _get(place, {})
        if found is None:
            raise Missing(f"there is no {FILE}", where=uri, hint="train again")
        return found
    raise Missing(
        f"artifacts under {parsed.scheme}:// cannot be read without MLflow",
        where=uri,
        hint="let the tracking server hand out artifacts: mlflow server --serve-artifacts",
    )


def _get(url: str, parameters: dict[str, str]) -> bytes | None:
    """What a tracking server answers; None when it does not have it."""
    import requests

    user, secret = (os.environ.get(f"MLFLOW_TRACKING_{w}") for w in ("USERNAME", "PASSWORD"))
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    given: dict[str, Any] = {"auth": (user, secret or "")} if user else {}
    if token and not user:
        given["headers"] = {"Authorization": f"Bearer {token}"}
    try:
        answer = requests.get(url, params=parameters, timeout=_SECONDS, **given)
    except requests.RequestException as error:
        raise TryAgain(
            f"the MLflow server does not answer ({type(error).__name__})",
            where=url,
            hint="is it running, and is mlflow: in conf/env its address?",
        ) from None
    missing = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    if answer.status_code == 404 or (
        answer.status_code == 400 and any(word in answer.text for word in missing)
    ):
        return None
    if answer.status_code != 200:
        raise TryAgain(
            f"the MLflow server answers {answer.status_code}",
            where=url,
            hint="look into its log; user and password are MLFLOW_TRACKING_USERNAME, …_PASSWORD",
        )
    return answer.content
