"""What a command is told → the problem and where it runs, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driftline import connections
from driftline.environment import Environment, load_environment, project_folder
from driftline.errors import ConfError
from driftline.problem import Problem, load_problem


def read_conf(options: dict[str, Any], suites: bool = True) -> tuple[Problem, Environment, Path]:
    """The problem and where it runs, checked as a whole, and the project's folder."""
    path = Path(options["problem"])
    problem = load_problem(path)
    name = options["env"]
    root = project_folder(path)
    beside = path.resolve().parent / "env" / f"{name}.yaml"
    place = Path(name) if name.endswith(".yaml") else beside
    environment = load_environment(place)
    pulls = {name: source.pull for name, source in problem.sources.items() if source.pull}
    connections.check(pulls, environment.connections, str(place))
    given = {key: options[key] for key in ("data", "warehouse") if options[key]}
    changed = {
        key: value if "://" in value else str(Path(value).resolve()) for key, value in given.items()
    }
    if "://" not in changed.get("warehouse", "://") and environment.mlflow.startswith("sqlite:///"):
        changed["mlflow"] = f"sqlite:///{changed['warehouse']}/mlflow.db"
    _check_sources(problem, path)
    if suites:  # what is ingested can be looked at before there are any
        _check_suites(problem, root)
    return problem, environment.model_copy(update=changed), root


def _check_sources(problem: Problem, path: Path) -> None:
    """Let the parsers judge each layout: encoding, separator, time formats, names of fields."""
    from driftline import layouts, sources

    for name, source in problem.sources.items():
        try:
            sources.check(layouts.layout(source))
        except (ValueError, LookupError) as error:
            raise ConfError(
                "the source's files cannot be read like this",
                file=str(path),
                key=f"sources.{name}",
                found=str(error),
                allowed="a layout of its format",
                hint="see encoding, separator, and each column's from and format",
            ) from None


def _check_suites(problem: Problem, root: Path) -> None:
    """Read every suite the problem needs: a wrong one is refused before any work."""
    from driftline import schemas
    from driftline.suite_files import read_suite

    tables = [schemas.silver(problem, source) for source in problem.sources]
    for table in (*tables, schemas.features(problem), schemas.PREDICTIONS):
        read_suite(root / "expectations" / problem.name / table.suite_file, table.column_names)
