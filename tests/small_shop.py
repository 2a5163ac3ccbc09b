"""The flagship's problem made small, for tests that run whole stages."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from driftline.simulate import Shop

SHOP = Shop(customers=400, malformed=0.01, duplicates=0.02)
COMPILED_ONCE = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
}
"""Many small queries, each once: HotSpot's second compiler costs more than its code gives. Without
it a JVM reserves 48 MB for code, which Spark fills within minutes; then it dies."""

INTERPRETED = COMPILED_ONCE | {"spark.sql.codegen.wholeStage": "false"}
"""Of some hundred customers a query is compiled longer than it runs, by Spark, too."""


LOCAL = {"local": {"warehouse": "warehouse", "mlflow": "warehouse/mlflow.db"}}


def write_project(
    root: Path, repository: Path, places: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """A project with a search of seconds and a low gate; return its problem file.

    ``places`` are its environments by name, each what it says beside the usual; without them there
    is one, ``local``.
    """
    problem = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    problem["train"] |= {
        "folds": 2,
        "candidates": {"logistic_regression": {"regParam": [0.01], "maxIter": [10]}},
        "gate": {"floor": 0.5, "beat": ["constant"]},
        "calibrate": "isotonic",
    }
    (root / "conf" / "env").mkdir(parents=True)
    (root / "conf" / "churn.yaml").write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    for name, said in (places or LOCAL).items():
        place = {"warehouse": name, "data": "data", "mlflow": f"{name}/mlflow.db"}
        place |= {"cores": 2, "memory_gib": 2, "spark": INTERPRETED, **said}
        (root / "conf" / "env" / f"{name}.yaml").write_text(yaml.safe_dump(place), "utf-8")
    shutil.copytree(repository / "expectations" / "churn", root / "expectations" / "churn")
    return root / "conf" / "churn.yaml"
