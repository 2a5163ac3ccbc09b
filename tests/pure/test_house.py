"""Facts about the house that no single module can see."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from driftline import errors, operations, schemas
from driftline.events import Feature
from driftline.metrics import METRICS, SMALLER_IS_BETTER
from driftline.models import FAMILIES, families_for
from driftline.problem import Problem, load_problem
from driftline.quality import AGGREGATES, GROUPS, ROWS, SCHEMA
from driftline.schemas import Table
from driftline.sections import Train
from driftline.source_section import ColumnType, Source
from driftline.sources import FORMATS
from driftline.sources.layout import FieldType
from driftline.windows.operations import OPERATIONS as COMPUTED

PROJECT = Path(__file__).parents[2]
LIBRARY = PROJECT / "lib" / "driftline"
MODULES = sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py"))


def words(model: Any, field: str) -> set[str]:
    """What a Literal field of a model allows."""
    return set(get_args(model.model_fields[field].annotation))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_fits_into_a_head(name: str) -> None:
    lines = (LIBRARY / name).read_text(encoding="utf-8").count("\n")
    assert lines <= 350


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is(name: str) -> None:
    first = (LIBRARY / name).read_text(encoding="utf-8").split("\n", 1)[0]
    assert re.match(r'r?"""\S', first)


def test_no_tracked_file_names_a_package_index() -> None:
    """Where packages come from is the machine's affair: pip, Ivy and Maven are configured there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if (PROJECT / name).is_file()]
    assert "pyproject.toml" in names
    index = re.compile(
        rb"--(extra-)?index[-_]url|--find[-]links|^-i https?:|(PIP|UV)_[A-Z_]*INDEX"
        rb"|https?://[^\s\"']*/(simple|maven2)\b|[-]-repositories\b",
        re.MULTILINE,
    )
    own = Path(__file__).relative_to(PROJECT).as_posix()
    naming = [name for name in names if name != own and index.search((PROJECT / name).read_bytes())]
    assert naming == []


def test_containers_publish_on_loopback_only() -> None:
    composed = yaml.safe_load((PROJECT / "docker" / "compose.yaml").read_text("utf-8"))
    services = composed["services"].values()
    ports = [port for each in services for port in each.get("ports", ())]
    assert len(ports) >= 6
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []
    assert [each for each in services if each.get("network_mode") == "host"] == []


def test_formats_of_a_conf_are_the_formats_of_the_sources() -> None:
    assert words(Source, "format") == set(FORMATS)


def test_types_of_a_conf_are_the_types_of_the_sources() -> None:
    assert set(get_args(ColumnType)) == set(get_args(FieldType))


def test_every_operation_is_said_and_computed() -> None:
    assert words(Feature, "operation") == set(operations.OPERATIONS) == set(COMPUTED)
    kinds = {kind for each in operations.OPERATIONS.values() for kind in each.parts}
    assert kinds - {"total"} == set(operations.KINDS)


def test_metrics_of_a_conf_are_measured_for_one_task_each() -> None:
    measured = [name for names in METRICS.values() for name in names]
    assert len(measured) == len(set(measured))
    assert words(Train, "metric") <= set(measured)
    assert set(SMALLER_IS_BETTER) <= set(measured)
    assert words(Problem, "task") == set(METRICS)


@pytest.mark.parametrize("task", sorted(METRICS))
def test_families_build_what_mllib_has(task: str) -> None:
    module = importlib.import_module(f"pyspark.ml.{task}")
    assert len(families_for(task)) >= 3
    for name in families_for(task):
        family = FAMILIES[name]
        known = inspect.signature(getattr(module, family.estimators[task]).__init__).parameters
        ours = {"hidden": "layers"}  # a whole number instead of a list of them
        assert {ours.get(each, each) for each in family.parameters} <= set(known)
        assert family.seeded == ("seed" in known)


def test_an_expectation_is_compiled_in_one_place() -> None:
    compiled = [*ROWS, *AGGREGATES, *GROUPS, *SCHEMA]
    assert len(set(compiled)) == len(compiled)
    for name in compiled:
        assert re.fullmatch(r"expect_[a-z_]+|unexpected_rows_expectation", name)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"(\w+) {2,}(\d+) ", errors.__doc__ or "")
    tree = {
        each.__name__: str(each.exit_code)
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, errors.DriftlineError)
    }
    assert dict(drawn) == tree
    assert len(set(tree.values())) == len(tree) == 5


def tables() -> list[Table]:
    found = [each for each in vars(schemas).values() if isinstance(each, schemas.Table)]
    for path in sorted((PROJECT / "conf").glob("*.yaml")):
        problem = load_problem(path)
        found += [schemas.features(problem)]
        for source in problem.sources:
            found += [schemas.bronze(problem, source), schemas.silver(problem, source)]
    return [*found, schemas.PREDICTIONS]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.full_name)
def test_every_table_and_column_carries_a_comment(table: Table) -> None:
    assert table.comment
    assert [column.name for column in table.columns if not column.comment] == []
    assert len(set(table.column_names)) == len(table.columns)
    kind = r"string|bigint|int|double|boolean|timestamp|date|binary|(array|map|struct)<[\w<>:, ]+>"
    assert [column for column in table.columns if not re.fullmatch(kind, column.type)] == []


def test_the_image_has_what_the_package_asks_for_in_the_versions_that_were_tested() -> None:
    def pins(name: str) -> set[tuple[str, ...]]:
        text = (PROJECT / name).read_text("utf-8")
        return set(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.M))

    toml = pytest.importorskip("tomllib", reason="needs Python 3.11")
    tested, image = pins("requirements.lock"), pins("docker/requirements.lock")
    known = {name for name, _ in tested}
    assert {(name, version) for name, version in image if name in known} <= tested
    project = toml.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    names = {re.split(r"[<>=;\[]", each)[0].strip().lower() for each in wanted}
    assert names <= {name.lower() for name, _ in image}
