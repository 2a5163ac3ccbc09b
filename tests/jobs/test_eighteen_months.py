"""Eighteen months of the whole line: other customers sign up from the seventh on, and from the
twelfth on any order may be a customer's last. tests/pure/test_twenty_shops.py has more shops, and
the decision alone.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline import metrics, portable
from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.report import words
from driftline.serving.model import Portable
from driftline.session import utc
from driftline.simulate import Shop, simulate
from small_shop import write_project
from wheel import Wheel

BEFORE, COVARIATE, CONCEPT, TURNS = 9, 7, 12, 18
"""Months of history; the months of the change, counted from the first turn; turns."""
SHOP = Shop(
    customers=3000,
    covariate_drift_month=BEFORE + COVARIATE - 1,
    concept_drift_month=BEFORE + CONCEPT - 1,
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repository, open_line) -> Wheel:
    root = tmp_path_factory.mktemp("wheel")
    conf = write_project(root, repository)
    problem = yaml.safe_load(conf.read_text("utf-8"))
    problem["drift"]["tables"] = ["silver.orders", "gold.features"]
    # What was before a change is forgotten.
    problem["split"] = {"by": "entity", "test": 0.2, "validation": 0.15, "recent": 3}
    conf.write_text(yaml.safe_dump(problem, sort_keys=False), "utf-8")
    simulate(SHOP, root / "data" / "shop", months=BEFORE)
    line = open_line(
        load_problem(conf), data=root / "data", warehouse=root / "warehouse", root=root
    )
    return Wheel(line)


@pytest.mark.slow
@pytest.mark.timeout(2 * 3600)
def test_eighteen_months_of_the_line(wheel) -> None:
    shop = Path(wheel.line.environment.data) / "shop"
    assert "version 1 is champion" in wheel.turn()
    actions: list[str] = []
    causes: list[set[str]] = []
    drifted: list[set[str]] = []
    for turn in range(1, TURNS + 1):
        simulate(SHOP, shop, first_month=BEFORE + turn - 1, months=1)
        began = datetime.now(timezone.utc)
        print(f"turn {turn}: {wheel.turn()}", flush=True)
        made = max(wheel.rows("ops.decisions"), key=lambda row: row.as_of)
        rows = [row for row in wheel.rows("ops.drift") if utc(row.at) >= began]
        actions.append(made.action)
        causes.append(set(made.causes))
        drifted.append({r.column for r in rows if r.drifted and r.table == "silver.orders"})
    for turn, (action, why, what) in enumerate(zip(actions, causes, drifted, strict=True), 1):
        print(f"{turn:2} {action:8} {', '.join(sorted(why))}; orders: {', '.join(sorted(what))}")
    trained = [turn for turn, action in enumerate(actions, 1) if action == "retrain"]
    assert [turn for turn in trained if turn < COVARIATE] == []
    seen = [turn for turn, columns in enumerate(drifted, 1) if columns]
    assert seen[:1] in ([COVARIATE], [COVARIATE + 1])
    told = [
        turn for turn, why in enumerate(causes, 1) if turn >= CONCEPT and {"concept", "worse"} & why
    ]
    assert told[:1] in ([CONCEPT], [CONCEPT + 1])
    assert [turn for turn in trained if turn >= CONCEPT]

    old, new, hindsight = regained(wheel)
    share = (new - old) / (hindsight - old)
    print(f"ROC AUC old {old:.3f}, new {new:.3f}, hindsight {hindsight:.3f}: {share:.0%}")
    assert share >= 0.9
    page = Path(wheel.line.beside("report.html"))
    print(page)
    told_of = page.read_text("utf-8")
    # The first turn found no champion.
    assert f"{TURNS + 1} decisions, {len(trained) + 1} of them to train again" in told_of
    for each in wheel.rows("ops.decisions"):
        assert words.day(each.as_of) in told_of


def regained(wheel: Wheel) -> tuple[float, float, float]:
    """ROC AUC at the as-ofs that the newest champion scored first and whose labels came: of the
    first model, of the newest, and of one fitted on these very as-ofs, of other customers.
    """
    models = Registry(wheel.line.environment.mlflow, "churn")
    newest = models.champion()
    assert newest is not None
    seen = wheel.line.tables.read("gold.predictions").where(f"model_version = {newest.number}")
    (first,) = seen.agg({"as_of": "min"}).first()
    rows = wheel.line.tables.read("gold.features").where("label IS NOT NULL")
    given = rows.where(rows["as_of"] >= first).toArrow()
    frame = given.to_pandas()
    label = frame["label"].to_numpy(float)

    def scored(number: int) -> np.ndarray:
        model = Portable((models.folder(models.version(number)) / portable.FILE).read_bytes())
        return model.score(*model.inputs(given))

    numbers = frame.select_dtypes("number").drop(columns="label")
    half = pd.util.hash_array(frame["customer_id"].to_numpy()) % 2
    hindsight = np.empty(len(frame))
    for side in (0, 1):
        kinds = SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()
        model = make_pipeline(*kinds).fit(numbers[half != side], label[half != side])
        hindsight[half == side] = model.predict_proba(numbers[half == side])[:, 1]
    found = scored(1), scored(newest.number), hindsight
    old, new, best = (metrics.roc_auc(label, each) for each in found)
    return old, new, best
