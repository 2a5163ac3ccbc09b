"""How much of what can be known the champion knows: the simulator planted every probability."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pytest
from pyspark.sql import functions as F

from driftline import portable
from driftline.jobs import features, ingest, judging, searching, train, validate
from driftline.metrics import roc_auc
from driftline.problem import load_problem
from driftline.registry import Registry
from driftline.serving.model import Portable
from driftline.simulate import Shop, simulate


@pytest.mark.slow
def test_the_champion_knows_most_of_what_can_be_known(open_line, repository, tmp_path) -> None:
    """Bayes' AUC is that of the planted probabilities themselves, on the very test rows.

    These know each customer's hidden state, which no log tells: boosted trees and a forest of
    scikit-learn's, on 26 features of the same logs, come 77 % of the way from 0.5 to them.
    """
    simulate(Shop(customers=3000), tmp_path / "shop", months=12)
    plain = load_problem(repository / "conf" / "churn.yaml")
    cutoffs = plain.cutoffs.model_copy(update={"first": date(2024, 5, 5)})
    problem = plain.model_copy(update={"cutoffs": cutoffs})  # so that 1 December is one, and tests
    line = open_line(problem, data=tmp_path, warehouse=tmp_path / "warehouse")
    for stage in (ingest, validate, features):
        stage.run(line)
    assert "now champion" in train.run(line)
    rows = searching.labelled(line, line.tables.version("gold.features"))
    test = rows.where("part = 'test'")
    names = [name for name, _ in judging.feature_columns(line)]
    found = test.select("customer_id", F.date_format("as_of", "yyyy-MM-dd").alias("day"), "label")
    known = found.toArrow()
    assert set(known["day"].to_pylist()) == {"2024-12-01"}
    models = Registry(line.environment.mlflow, "churn")
    there = Portable((models.folder(models.champion()) / portable.FILE).read_bytes())
    asked = test.select("customer_id", *names).toArrow()
    ours = dict(
        zip(asked["customer_id"].to_pylist(), there.score(*there.inputs(asked)), strict=True)
    )
    truth = duckdb.sql(
        f"from '{tmp_path}/shop/truth/churn/2024-12.parquet' select customer_id, p_no_order"
    )
    planted = dict(truth.fetchall())
    people = known["customer_id"].to_pylist()
    label = known["label"].to_numpy()
    bayes = roc_auc(label, np.array([planted[each] for each in people]))
    reached = roc_auc(label, np.array([ours[each] for each in people]))
    share = (reached - 0.5) / (bayes - 0.5)
    print(
        f"\nBayes: champion {reached:.4f} of {bayes:.4f} on {len(people):,} rows: {share:.1%} of "
        "the way from 0.5"
    )
    assert len(people) > 1_500
    assert share >= 0.7
