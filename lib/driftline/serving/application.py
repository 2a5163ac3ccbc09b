"""The ASGI application of a problem, for whoever brings a server of their own."""

from __future__ import annotations

from pathlib import Path

from driftline.environment import load_environment
from driftline.problem import load_problem
from driftline.serving.limits import App, Limits
from driftline.serving.rest import Rest
from driftline.serving.service import Service


def service(problem: str | Path, env: str | Path) -> Service:
    """The champion of a problem file's model, in the registry of an environment file."""
    return Service.of(load_environment(Path(env)).mlflow, load_problem(Path(problem)).name)


def application(problem: str | Path, env: str | Path, *, limits: Limits | None = None) -> App:
    """REST for a problem file in an environment file; a new champion is taken over by itself."""
    found = service(problem, env)
    found.watch(seconds=2.0)
    return Rest(found, limits or Limits()).app()
