"""The names that MLflow keeps metrics by."""

from __future__ import annotations

from datetime import timedelta

from mlflow.utils.validation import _validate_metric_name

from driftline.drift import Statistic
from driftline.jobs.sides import Asked
from driftline.registry_client import metric_name

LONG = "é" * 300


def test_names_that_mlflow_takes_are_kept() -> None:
    for name in ("drift/t/x/ks", "drift 24h/t/x:length/ks", "drift/t/größe in m./psi", "a/volume"):
        assert metric_name(name) == name


def test_other_names_are_made_so_and_stay_different() -> None:
    """Also from those that are what the others were made into."""
    columns = [
        "x_length",
        "x*length",
        "x\n",
        "",
        "/",
        "a//b",
        "a/_/b",
        ".",
        "..",
        "_",
        "b/../a",
        "a/",
    ]
    columns += ["a/_", LONG, f"{LONG}a", "`a:hour`"]
    names = [metric_name(f"drift/t/{column}/ks") for column in columns]
    for name in names:
        _validate_metric_name(name)
    assert len(set(names)) == len(columns)
    assert {len(name) for name in names[-3:-1]} == {250}


def test_statistics_of_different_questions_have_different_names() -> None:
    """A version is the step: at one, each metric has one value."""
    whole, length = (
        Statistic("*", "volume", 0.2, 0.1, ""),
        Statistic("w:length", "ks", 0.2, 0.1, ""),
    )
    week = timedelta(days=7)
    asked = [Asked(), Asked(learn=30), Asked(window=week), Asked(window=week / 7)]
    assert [each.called for each in asked] == ["drift", "drift learn 30", "drift 168h", "drift 24h"]
    assert [each.path for each in (whole, length)] == ["volume", "w:length/ks"]
