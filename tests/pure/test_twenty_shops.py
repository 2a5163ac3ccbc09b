"""What the decision does over eighteen months of twenty shops: other customers sign up from the
seventh month on, and from the twelfth on any order may be a customer's last.

The line itself is left out, which tests/jobs/test_cycle.py turns for real: here features are SQL by
DuckDB over the shop's orders and profiles, the model is scikit-learn's, and what is tried is
driftline's performance (real and expected) and decision, on data whose truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline import decision, distances, evaluation, metrics, performance
from driftline.decision import Economics, Turn
from driftline.jobs import deciding
from driftline.jobs.measuring import Measured
from driftline.monitor_section import Monitor
from driftline.simulate import Shop, simulate

BEFORE, COVARIATE, CONCEPT, TURNS = 9, 7, 12, 18
"""Months of history; the months of the change, counted from the first turn; turns."""
SEEDS = 20
CUSTOMERS = 4000
RULE = Monitor(drop=0.03, at_least=2, of=5, cooldown=1)
FEATURES = ("recency", "orders_30d", "orders_90d", "spend_30d", "spend_90d", "value", "age")
KS, PSI = 0.15, 0.2
"""From here on a feature has drifted, as in conf/churn.yaml."""

SQL = """
WITH o AS (SELECT customer_id, CAST(time AS TIMESTAMP) AS time, amount FROM orders),
c AS (SELECT customer_id, max_by(age, updated_at) AS age FROM customers
      WHERE updated_at <= $as_of GROUP BY customer_id),
f AS (
  SELECT customer_id,
    date_diff('second', max(time), $as_of) / 86400.0 AS recency,
    count(*) FILTER (time > $as_of - INTERVAL 30 DAY) AS orders_30d, count(*) AS orders_90d,
    coalesce(sum(amount) FILTER (time > $as_of - INTERVAL 30 DAY), 0) AS spend_30d,
    sum(amount) AS spend_90d, avg(amount) AS value
  FROM o WHERE time > $as_of - INTERVAL 90 DAY AND time <= $as_of GROUP BY customer_id
)
SELECT f.*, c.age, t.p_no_order AS truth, NOT EXISTS (
  SELECT 1 FROM o WHERE o.customer_id = f.customer_id
  AND o.time > $as_of AND o.time <= $as_of + INTERVAL 30 DAY) AS label
FROM f LEFT JOIN c USING (customer_id)
LEFT JOIN truth t ON t.customer_id = f.customer_id AND t.as_of = CAST($as_of AS DATE)
ORDER BY customer_id
"""


ORDERS = """
SELECT channel, amount FROM orders WHERE CAST(time AS TIMESTAMP) BETWEEN $low AND $high
"""


def first_of(month: int) -> datetime:
    return datetime(2024 + month // 12, month % 12 + 1, 1)


@dataclass
class Model:
    """A version: its scorer, and what its test rows said."""

    number: int
    score: object
    reference: evaluation.Interval
    calibrated: object
    rows: pd.DataFrame
    weight: np.ndarray


class Fitted:
    """A logistic regression on the features of some rows; scores of others."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.fill = rows[list(FEATURES)].median()
        self.model = make_pipeline(StandardScaler(), LogisticRegression())
        self.model.fit(rows[list(FEATURES)].fillna(self.fill), rows["label"])

    def __call__(self, rows: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(rows[list(FEATURES)].fillna(self.fill))[:, 1]


class History:
    """One shop's features at every first of a month, and the models that were trained of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        shop = Shop(
            seed=seed,
            customers=CUSTOMERS,
            covariate_drift_month=BEFORE + COVARIATE - 1,
            concept_drift_month=BEFORE + CONCEPT - 1,
        )
        simulate(shop, folder, months=BEFORE + TURNS + 1)
        base = duckdb.connect()
        base.sql("set timezone = 'UTC'")
        for name, source in (
            ("orders", f"read_json_auto('{folder}/orders/*.ndjson')"),
            ("customers", f"read_csv('{folder}/customers/*.csv')"),
            ("truth", f"read_parquet('{folder}/truth/churn/*.parquet')"),
        ):
            base.sql(f"CREATE TABLE {name} AS FROM {source}")
        self.orders = {
            month: base.execute(ORDERS, {"low": first_of(month), "high": first_of(month + 1)}).df()
            for month in range(3, BEFORE + TURNS)
        }
        self.frames = {
            month: base.execute(SQL, {"as_of": first_of(month)}).df()
            for month in range(3, BEFORE + TURNS + 1)
        }

    def train(self, newest: int, number: int) -> Model:
        """Of the three newest as-ofs whose labels are known; a quarter of the customers test it."""
        rows = pd.concat(self.frames[month] for month in range(newest - 2, newest + 1))
        part = pd.util.hash_array(rows["customer_id"].to_numpy()) % 4
        train, test = rows[part > 0], rows[part == 0]
        score = Fitted(train)
        label, its = test["label"].to_numpy(float), score(test)
        judged = evaluation.measure(
            label, its, entity=np.arange(len(label)), task="classification", seed=number
        )
        tenth = np.argsort(np.argsort(its, kind="stable")) * 10 // len(its)
        points = [
            (float(its[tenth == n].mean()), float(label[tenth == n].mean()), int(sum(tenth == n)))
            for n in range(10)
        ]
        weight = np.abs(score.model[-1].coef_[0])
        return Model(
            number,
            score,
            judged["roc_auc"],
            performance.calibration(points),
            train,
            weight / weight.sum(),
        )


def cells(model: Model, rows: pd.DataFrame, *, labelled: bool) -> performance.Cells:
    score = model.score(rows)
    inside = np.clip(score, performance.LEAST, 1 - performance.LEAST)
    bins = np.floor(np.log(inside / (1 - inside)) * performance.BINS)
    grouped = pd.DataFrame({"bin": bins, "score": score, "label": rows["label"].to_numpy(float)})
    found = []
    for _, each in grouped.groupby(["bin", grouped["score"] >= 0.5]):
        known = len(each) if labelled else 0
        ones = int(each["label"].sum()) if labelled else 0
        called = float(each["score"].iloc[0] >= 0.5)
        found.append((float(each["score"].sum()), called, len(each), known, ones))
    return performance.cells(found)


def moved(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """PSI of the orders' channel or amount between months, whichever is larger."""
    words = sorted({*before["channel"], *after["channel"]})
    edges = np.quantile(before["amount"], np.linspace(0, 1, 11))[1:-1]

    def shares(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        named = rows["channel"].value_counts(normalize=True).reindex(words, fill_value=0.0)
        tenths = np.bincount(np.searchsorted(edges, rows["amount"]), minlength=10) / len(rows)
        return named.to_numpy(), tenths

    return max(map(distances.psi, shares(before), shares(after)))


def drifted(model: Model, rows: pd.DataFrame) -> float:
    """Share of the importance in features that are other than in training."""
    apart = [
        ks_2samp(model.rows[name].dropna(), rows[name].dropna()).statistic for name in FEATURES
    ]
    return float(model.weight[np.array(apart) >= KS].sum())


def eighteen_months(history: History, seed: int) -> dict:
    """Turn the wheel; what was decided in which turn, and ROC AUC by as-of and version."""
    models = [history.train(BEFORE - 1, 1)]
    turns: list[Turn] = []
    decided = []
    for turn in range(1, TURNS + 1):
        month, champion = BEFORE + turn, models[-1]
        now, before = history.frames[month], history.frames[month - 1]
        promise = performance.expected(
            cells(champion, now, labelled=False), champion.calibrated, seed=seed
        )
        its = cells(champion, before, labelled=True)
        came = performance.real(its, seed=seed)
        held_to = performance.expected(its, champion.calibrated, seed=seed)
        held = performance.assumption(held_to, came, ["roc_auc", "share_of_1"], drop=RULE.drop)
        at = first_of(month).replace(tzinfo=timezone.utc)
        told = performance.weighty(came, len(before))
        seen = Measured(at, champion.number, len(before), len(before), told, held_to, held.holds)
        turns.append(
            Turn(
                as_of=at,
                cutoff=at,
                version=champion.number,
                reference=champion.reference,
                drift=drifted(champion, now),
                expected=promise["roc_auc"],
                trusted=held.holds,
                real=told["roc_auc"],
                concept=not held.holds,
                better=deciding.better(seen, "roc_auc", RULE.drop),
                real_cutoff=first_of(month - 1).replace(tzinfo=timezone.utc),
            )
        )
        made = decision.decide(turns, RULE, Economics(None, None), smaller=False)
        turns[-1] = replace(turns[-1], trained=made.action == "retrain")
        decided.append(made)
        if made.action == "retrain":
            models.append(history.train(month - 1, champion.number + 1))
    return {"decided": decided, "models": models, "turns": turns}


def regained(history: History, old: Model, new: Model, turn: int) -> tuple[float, ...]:
    """ROC AUC from a turn on, of the first model, of the new one, and with hindsight.

    Hindsight is the same kind of model, fitted on those very months of the other half of the
    customers: what could be had of these features.
    """
    months = range(BEFORE + turn, BEFORE + TURNS + 1)
    rows = pd.concat(history.frames[month] for month in months)
    half = pd.util.hash_array(rows["customer_id"].to_numpy()) % 2
    hindsight = np.empty(len(rows))
    for side in (0, 1):
        hindsight[half == side] = Fitted(rows[half != side])(rows[half == side])
    label = rows["label"].to_numpy(float)
    return tuple(
        metrics.roc_auc(label, score) for score in (old.score(rows), new.score(rows), hindsight)
    )


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_what_is_decided_over_eighteen_months_of_twenty_shops(tmp_path, capsys) -> None:
    calm = between = early = 0
    covariate, concept, again, areas = [], [], [], []
    for seed in range(1, SEEDS + 1):
        history = History(tmp_path / str(seed), seed)
        found = eighteen_months(history, seed)
        actions = [made.action for made in found["decided"]]
        trained = [turn for turn, action in enumerate(actions, 1) if action == "retrain"]
        calm += sum(turn < COVARIATE for turn in trained)
        between += sum(COVARIATE <= turn < CONCEPT for turn in trained)
        # Each month's orders against those before the first turn.
        before = pd.concat(history.orders[month] for month in range(3, BEFORE))
        apart = [moved(before, history.orders[BEFORE + turn - 1]) for turn in range(1, TURNS + 1)]
        early += sum(each >= PSI for each in apart[: COVARIATE - 1])
        covariate.append(first(apart, COVARIATE, lambda each: each >= PSI))
        causes = [set(made.causes) for made in found["decided"]]
        concept.append(first(causes, CONCEPT, lambda each: bool({"concept", "worse"} & each)))
        again.append(first(actions, CONCEPT, lambda each: each == "retrain"))
        areas.append(regained(history, found["models"][0], found["models"][-1], trained[-1]))
        with capsys.disabled():
            print(
                f"shop {seed}: {' '.join(each[0] for each in actions)}; trained {trained}; ROC AUC "
                "old {:.3f}, new {:.3f}, hindsight {:.3f}".format(*areas[-1]),
                flush=True,
            )
    old, new, hindsight = np.mean(areas, axis=0)
    share = (new - old) / (hindsight - old)
    with capsys.disabled():
        print(f"trained again in calm months: {calm}; drift of orders before there was: {early}")
        print(f"after customers changed, and before what they do did: {between}")
        print(f"turns until drift of orders was said: {covariate}; until labels told: {concept}")
        print(f"until it was trained again: {again}")
        print(f"of what hindsight has over the old model, the new one has {share:.0%}")
    assert calm == early == 0
    assert all(turns is not None and turns <= 1 for turns in covariate + concept)
    assert all(turns is not None and turns <= 2 for turns in again)
    assert share >= 0.9


def first(turns: list, since: int, holds) -> int | None:
    """How many turns after ``since`` something holds first."""
    found = [turn for turn, each in enumerate(turns, 1) if turn >= since and holds(each)]
    return found[0] - since if found else None
