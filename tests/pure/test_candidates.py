"""Classes that a problem names: refused before a search where that can be known."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from types import ModuleType

import pytest
import yaml
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from driftline import candidates
from driftline.errors import ConfError
from driftline.problem import load_problem
from driftline.sections import Train


@pytest.fixture
def problem(repository):
    flagship = load_problem(repository / "conf" / "churn.yaml")

    def changed(grid: dict, task: str = "classification", **more):
        metric = "roc_auc" if task == "classification" else "rmse"
        train = Train(metric=metric, candidates={"mine": grid}, **more)
        return flagship.model_copy(update={"train": train, "task": task})

    return changed


class Own:
    """What a class of one's own has to have."""

    def __init__(self, depth: int = 1) -> None:
        if depth < 0:
            raise ValueError(f"depth {depth} is below 0")

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def to_onnx(self, x):
        return b""


class Silent(Own):
    """It has no form."""

    to_onnx = property()


def scaled(penalty: float = 1.0):
    """A function that makes an estimator of several."""
    return make_pipeline(StandardScaler(), SVC(C=penalty))


def nobody():
    """It makes something else."""
    return object()


@pytest.fixture(autouse=True)
def module(monkeypatch):
    """A module on the path."""
    made = ModuleType("theirs")
    made.Own, made.Silent, made.scaled, made.nobody = Own, Silent, scaled, nobody
    monkeypatch.setitem(sys.modules, "theirs", made)


@pytest.mark.parametrize(
    ("grid", "task"),
    [
        ({"class": "theirs.Own", "depth": (1, 2)}, "classification"),
        ({"class": "theirs.scaled", "penalty": (0.1,)}, "classification"),
        ({"class": "sklearn.svm.LinearSVC"}, "classification"),
        ({"class": "sklearn.neighbors.KNeighborsClassifier"}, "classification"),
        ({"class": "sklearn.ensemble.HistGradientBoostingRegressor"}, "regression"),
        ({"class": "sklearn.svm.SVR", "C": (0.1, 1.0)}, "regression"),
    ],
)
def test_what_can_be_a_candidate(problem, grid, task) -> None:
    candidates.check(problem(grid, task))


@pytest.mark.parametrize(
    ("grid", "task", "weights", "what", "found"),
    [
        ({"class": "no.such.Model"}, "classification", "none", "cannot be made", "named 'no'"),
        ({"class": "theirs.Other"}, "classification", "none", "cannot be made", "Other"),
        (
            {"class": "sklearn.svm.SVC", "trees": (3,)},
            *("classification", "none"),
            "be made",
            "trees",
        ),
        ({"class": "theirs.Own", "depth": (1, -1)}, *("classification", "none"), "made", "below 0"),
        ({"class": "sklearn.svm.SVR"}, *("classification", "none"), "does not do classif", "SVR"),
        ({"class": "sklearn.svm.SVC"}, *("regression", "none"), "does not do regression", "SVC"),
        ({"class": "theirs.nobody"}, *("regression", "none"), "does not do regression", "nobody"),
        ({"class": "theirs.Own"}, *("classification", "balanced"), "cannot weigh rows", "Own"),
        (
            {"class": "sklearn.neighbors.KNeighborsClassifier"},
            *("classification", "balanced", "cannot weigh rows", "KNeighborsClassifier"),
        ),
        ({"class": "theirs.Silent"}, *("classification", "none"), "no ONNX form", "Silent"),
        (
            {"class": "sklearn.semi_supervised.LabelSpreading"},
            *("classification", "none", "no ONNX form", "LabelSpreading"),
        ),
    ],
)
def test_what_can_be_none_is_refused_by_name(problem, grid, task, weights, what, found) -> None:
    with pytest.raises(ConfError) as refused:
        candidates.check(problem(grid, task, class_weights=weights))
    assert what in refused.value.what
    assert found in refused.value.found
    assert refused.value.key == "train.candidates.mine"
    assert refused.value.hint


def test_the_examples_of_the_docs_are_candidates(problem, repository) -> None:
    text = (repository / "docs/training.md").read_text("utf-8").partition("## Any estimator")[2]
    grids = yaml.safe_load(text.split("```")[1].removeprefix("yaml"))["candidates"]
    extras = {"boosted": "xgboost", "torch": "torch", "keras": "tensorflow"}
    assert {*extras, "neighbours", "mine"} == set(grids)
    for name, grid in grids.items():
        grid |= {key: tuple(each) for key, each in grid.items() if isinstance(each, list)}
        asked = problem(grid)
        if importlib.util.find_spec(extras.get(name, "sklearn")) and name != "mine":
            candidates.check(asked)
    with pytest.raises(ConfError, match="cannot be made"):
        candidates.check(problem(grids["mine"]))


def test_a_seed_is_given_where_it_is_taken() -> None:
    assert candidates.built("sklearn.linear_model.Ridge", {"alpha": 2.0}, seed=5).random_state == 5
    assert isinstance(candidates.built("theirs.Own", {}, seed=5), Own)
    own = candidates.built("sklearn.linear_model.Ridge", {"random_state": 8}, seed=5)
    assert own.random_state == 8


class Unseeded(Own):
    def __init__(self, depth: int = 1) -> None:
        super().__init__(depth)


def unseeded(**kwargs):
    return Unseeded(**kwargs)


def test_a_seed_is_given_only_where_it_is_taken(problem) -> None:
    candidates.check(problem({"class": f"{__name__}.unseeded", "depth": (1,)}))
    assert candidates.built("sklearn.svm.SVC", {}, seed=5).random_state == 5


def test_other_code_is_another_candidate(problem, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "somebodys_classes.py"
    module.write_text("class A:\n    pass\n")
    asked = problem({"class": "somebodys_classes.A", "depth": (1,)})
    (before,) = candidates.sources(asked)
    assert candidates.sources(asked) == [before]
    module.write_text("class A:\n    depth = 2\n")
    (after,) = candidates.sources(asked)
    assert after != before


def test_code_in_a_zip_is_read_from_it(problem, tmp_path, monkeypatch) -> None:
    """As ``--py-files`` bring it, before what is installed, on the driver's path, too."""
    code = "class A:\n    pass\n\ndef made(depth=1):\n    return A()\n"
    with zipfile.ZipFile(tmp_path / "deps.zip", "w") as packed:
        packed.writestr("zipped_classes/__init__.py", "")
        packed.writestr("zipped_classes/inner.py", code)
    monkeypatch.syspath_prepend(tmp_path / "deps.zip")
    for kind in ("A", "made"):
        asked = problem({"class": f"zipped_classes.inner.{kind}", "depth": (1,)})
        assert candidates.sources(asked) == [hashlib.sha256(code.encode()).hexdigest()]


def test_families_of_ones_own_have_no_code_but_ours(repository) -> None:
    assert candidates.sources(load_problem(repository / "conf" / "churn.yaml")) == []
