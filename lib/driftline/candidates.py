"""Candidates that a problem names by class: found, built, and refused where it is no candidate.

The class may be any with scikit-learn's interface, or a function that makes such an estimator: its
module is a package that is installed, or lies on the path (``PYTHONPATH``; on a cluster
``--py-files`` brings it to the executors). Importing it is running it: a problem file is trusted
like the code beside it.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline import models
from driftline.errors import ConfError
from driftline.models import CLASS, Candidate, Value
from driftline.portable.estimators import READERS

if TYPE_CHECKING:  # executors build candidates, and have no use for the conf
    from driftline.problem import Problem


def built(name: str, parameters: Mapping[str, Value], *, seed: int) -> Any:
    """The estimator of that class with these parameters, seeded where it takes ``random_state``."""
    module, _, kind = name.rpartition(".")
    build = getattr(importlib.import_module(module), kind)
    takes = inspect.signature(build).parameters
    # XGBoost's constructors hide theirs behind keywords.
    hidden = module.partition(".")[0] == "xgboost" and "kwargs" in takes
    seeded = {"random_state": seed} if "random_state" in takes or hidden else {}
    return build(**{**seeded, **parameters})


def sources(problem: Problem) -> list[str]:
    """SHA-256 of the file that defines each class: with other code it is another candidate."""
    named = [dict(each.parameters).get(CLASS) for each in _candidates(problem)]
    found = []
    for name in sorted({str(each) for each in named if each is not None}):
        module, _, kind = name.rpartition(".")
        code = _code(getattr(importlib.import_module(module), kind))
        found.append(name if code is None else hashlib.sha256(code).hexdigest())
    return found


def _code(kind: Any) -> bytes | None:
    """What is in the file that defines a class, which may be in a zip: so ``--py-files`` come."""
    file = inspect.getsourcefile(kind)
    if file is None:
        return None
    loader = getattr(inspect.getmodule(kind), "__loader__", None)
    read = getattr(loader, "get_data", lambda path: Path(path).read_bytes())
    return bytes(read(file))


def _candidates(problem: Problem) -> list[Candidate]:
    return models.candidates(problem.train.candidates)


def check(problem: Problem, wanted: Sequence[Candidate] | None = None) -> None:
    """:class:`ConfError` where a class is not there, takes no such parameter, does another task,
    cannot weigh rows, or has no form that is scored without it; nothing is fitted.

    ``wanted`` are the candidates to look at, if not all of the problem.
    """
    for candidate in _candidates(problem) if wanted is None else wanted:
        parameters = dict(candidate.parameters)
        if CLASS not in parameters:
            continue
        name = str(parameters.pop(CLASS))
        try:
            made = built(name, parameters, seed=problem.train.seed)
        except Exception as error:  # no row was seen yet: the text can be told
            raise _wrong(
                problem,
                candidate,
                "the class of a candidate cannot be made",
                found=f"{type(error).__name__}: {error}",
                allowed="a class that can be imported, and parameters that it takes",
                hint="install its package, or put its module on the path: PYTHONPATH, --py-files",
            ) from error
        for failed, what, allowed, hint in _demands(made, name, problem):
            if failed:
                raise _wrong(problem, candidate, what, found=name, allowed=allowed, hint=hint)


def _demands(made: Any, name: str, problem: Problem) -> list[tuple[bool, str, str, str]]:
    """Whether an estimator fails each demand; what is said then, what is allowed, a hint."""
    odds = any(hasattr(made, each) for each in ("predict_proba", "decision_function"))
    does = odds if problem.task == "classification" else hasattr(made, "predict") and not odds
    weighs = problem.train.class_weights == "none" or _takes(made, "sample_weight")
    return [
        (
            not hasattr(made, "fit") or not does,
            f"the class does not do {problem.task}",
            "fit(x, y), with predict_proba(x) or decision_function(x) for classification, "
            "predict(x) alone for regression",
            "these are the methods of scikit-learn's estimators",
        ),
        (
            not weighs,
            "the class cannot weigh rows",
            "a fit that takes sample_weight, where class_weights is balanced",
            "choose another class, or remove class_weights",
        ),
        (
            not (name in READERS or hasattr(made, "to_onnx") or _is_convertible(made)),
            "the class has no ONNX form, so that it could be neither scored nor served",
            "a class that skl2onnx converts, or one with a method to_onnx(x)",
            "to_onnx(x) returns the fitted model as an ONNX file: driftline/nets has two examples",
        ),
    ]


def _takes(made: Any, parameter: str) -> bool:
    return parameter in inspect.signature(made.fit).parameters


def _is_convertible(made: Any) -> bool:
    from skl2onnx import get_model_alias

    try:
        get_model_alias(type(made))
    except RuntimeError:  # what it raises for a class that it does not know
        return False
    return True


def _wrong(problem: Problem, candidate: Candidate, what: str, **more: str) -> ConfError:
    key = f"train.candidates.{candidate.family}"
    return ConfError(what, file=f"problem {problem.name}", key=key, **more)
