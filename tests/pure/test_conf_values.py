"""A right conf: what is read from it, and a digest of what it says, not of how it is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from conf_errors import CHURN, PROJECT, written

from driftline.digests import digest
from driftline.problem import load_problem

PROBLEMS = sorted(path.name for path in (PROJECT / "conf").glob("*.yaml"))


@pytest.mark.parametrize("name", PROBLEMS)
def test_shipped_problems_load(name: str) -> None:
    problem = load_problem(PROJECT / "conf" / name)
    assert f"{problem.name}.yaml" == name


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_as_it_is_kept_beside_a_model_is_that_problem(name: str, tmp_path: Path) -> None:
    problem = load_problem(PROJECT / "conf" / name)
    grid = {"class": ("sklearn.svm.SVC",), "C": (1e-6, 0, 1.0, 2), "shrinking": (True,)}
    train = problem.train.model_copy(update={"candidates": {"mine": grid}})
    for kept in (problem, problem.model_copy(update={"train": train})):
        beside = tmp_path / "problem.json"
        beside.write_text(kept.model_dump_json(indent=2, by_alias=True), "utf-8")
        again = load_problem(beside)
        assert (again, again.digest) == (kept, kept.digest)
    assert [type(each) for each in again.train.candidates["mine"]["C"]] == [float, int, float, int]


def test_values_of_a_problem(tmp_path: Path) -> None:
    problem = load_problem(
        written(tmp_path, CHURN.replace("age: {type: long", "age: {type: double"))
    )
    assert problem.cutoffs.first == date(2024, 5, 1)
    assert problem.label.horizon == 30
    assert problem.features[0].columns == ("orders_30d", "orders_90d", "orders_180d")
    assert problem.sources["visits"].columns["customer_id"].source == "user"
    assert problem.sources["customers"].columns["age"].type == "double"
    assert problem.train.candidates["random_forest"] == {
        "numTrees": (40,),
        "maxDepth": (8,),
        "minInstancesPerNode": (10,),
    }


def digest_of(tmp_path: Path, text: str) -> str:
    return load_problem(written(tmp_path, text)).digest


def test_digest_ignores_comments_and_the_order_of_keys(tmp_path: Path) -> None:
    head, rest = CHURN.split("task: ", 1)
    task, rest = rest.split("\n", 1)
    moved = f"{head}{rest}\ntask: {task}\n"
    assert moved != CHURN
    plain = digest_of(tmp_path, CHURN)
    assert len(plain) == 64
    assert digest_of(tmp_path, "# a comment\n" + CHURN) == plain
    assert digest_of(tmp_path, moved) == plain
    swapped = CHURN.replace(
        "{impute: median, clip: [0.01, 0.99]", "{clip: [0.01, 0.99], impute: median"
    )
    assert swapped != CHURN
    assert digest_of(tmp_path, swapped) == plain


def test_digest_does_not_tell_a_default_from_the_same_value(tmp_path: Path) -> None:
    assert "  folds: 3\n" in CHURN
    assert digest_of(tmp_path, CHURN.replace("  folds: 3\n", "")) == digest_of(tmp_path, CHURN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("horizon: 30d", "horizon: 31d"),
        ("first: 2024-05-01", "first: 2024-05-02"),
        ("where: path = '/cart'", "where: path = '/buy'"),
        ("seed: 7", "seed: 8"),
        ("windows: [30d, 90d]", "windows: [90d, 30d]"),
    ],
)
def test_digest_changes_with_what_is_said(tmp_path: Path, old: str, new: str) -> None:
    assert old in CHURN
    assert digest_of(tmp_path, CHURN.replace(old, new, 1)) != digest_of(tmp_path, CHURN)


def test_digest_of_a_known_value() -> None:
    # printf '{"a":[1,2],"b":"x"}' | sha256sum
    expected = "d0f56dda38d34376527524ddd98f7ec117d5cbfb240f86e11bfb9d2d01a717d9"
    assert digest({"b": "x", "a": (1, 2)}) == expected
