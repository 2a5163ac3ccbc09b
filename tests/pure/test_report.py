"""The page: what it says equals the facts, it loads nothing, and data cannot break out of it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from driftline.problem import Problem, load_problem
from driftline.report import Facts
from driftline.report.facts import COLUMNS

CONF = Path(__file__).parents[2] / "conf"
START = datetime(2024, 11, 3, 4, 0)
EVIL = "</script><script>window.hacked=1</script><img src=https://evil.example/x onerror=alert(1)>"


# --- facts of a shop that has gone round three times ------------------------------------------


def frame(name: str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """A frame with the table's columns; what a record does not say is missing."""
    return pd.DataFrame([{c: record.get(c) for c in COLUMNS[name]} for record in records])


def nothing(problem: Problem) -> Facts:
    frames = {each.name: pd.DataFrame() for each in fields(Facts) if each.name in COLUMNS}
    return Facts(problem=problem, generated_at=START, champion=None, **frames)


def deliveries() -> pd.DataFrame:
    made = []
    for source, files, records, rejected in (
        ("visits", 62, 41_870, 31),
        ("orders", 62, 2_204, 4),
        ("customers", 3, 5_400, 9),
    ):
        for day in range(files):
            spread = records + 37 * (day % 5)
            made.append(
                {
                    "source": source,
                    "bytes": spread * 61,
                    "status": "landed",
                    "records": spread,
                    "accepted": spread - rejected,
                    "rejected": rejected,
                    "at": START,
                }
            )
    made.append(
        {"source": "orders", "status": "duplicate", "bytes": 134_444, "records": 2_204, "at": START}
    )
    return frame("deliveries", made)


def runs(stages: dict[str, tuple[int, int, int, float]], rounds: int) -> pd.DataFrame:
    made = []
    for number in range(rounds):
        clock = START + timedelta(days=7 * number)
        for stage, (rows_in, rows_out, rejected, seconds) in stages.items():
            took = seconds * (1 + 0.13 * ((number * 3 + len(stage)) % 4))
            made.append(
                {
                    "run_id": f"{stage}-{number}-3f9c2ab7",
                    "stage": stage,
                    "status": "done",
                    "started_at": clock,
                    "wall_seconds": took,
                    "rows_in": rows_in,
                    "rows_out": rows_out,
                    "rows_rejected": rejected,
                    "rows_duplicate": 41 if stage == "validate" else 0,
                    "tables_read": [{"table": "silver.orders", "version": number}],
                    "tables_written": np.array([{"table": "gold.features", "version": number}]),
                    "cpu_seconds": took * 1.4,
                    "bytes_read": int(took * 2_400_000),
                    "bytes_written": int(took * 310_000),
                    "shuffle_bytes": int(took * 800_000),
                    "money": took / 3600 * 0.124,
                    "currency": "EUR",
                    "problem": "0b8e15",
                    "code": "0.1.0",
                    "message": f"{stage} wrote {rows_out} rows",
                }
            )
            clock += timedelta(seconds=took + 3)
    return frame("runs", made)


def quality() -> pd.DataFrame:
    made = []
    rules = (
        ("customer_known", "customer_id", "expect_column_values_to_not_be_null", "error", 5_114),
        ("status_is_http", "status", "expect_column_values_to_be_between", "error", 12),
        ("amount_positive", "amount", "expect_column_values_to_be_between", "error", 0),
        ("known_channel", "channel", "expect_column_values_to_be_in_set", "warn", 83),
        ("enough_rows", None, "expect_table_row_count_to_be_between", "error", None),
    )
    for table, rows in (("silver.visits", 863_400), ("silver.orders", 45_471)):
        for rule, column, kind, severity, broken in rules:
            for earlier in (1, 0):
                made.append(
                    {
                        "table": table,
                        "rule": rule,
                        "type": kind,
                        "column": column,
                        "severity": severity,
                        "why": f"A row without this cannot be somebody's history ({rule})",
                        # The older verdict fails everywhere: only the newest may count.
                        "success": not earlier and (rule != "known_channel" or "visits" in table),
                        "element_count": rows,
                        "unexpected_count": broken,
                        "observed": f"{rows} rows" if broken is None else None,
                        "at": START - timedelta(days=7 * earlier),
                    }
                )
    return frame("quality", made)


def trials(families: list[tuple[str, dict[str, Any], float]], metric: str) -> pd.DataFrame:
    made = []
    for place, (family, parameters, mean) in enumerate(families):
        folds = [mean - 0.0073 * abs(mean), mean + 0.0011 * abs(mean), mean + 0.0062 * abs(mean)]
        made.append(
            {
                "family": family,
                "parameters": json.dumps(parameters),
                "metric": metric,
                "mean": mean,
                "std": float(np.std(folds)),
                "folds": np.array(folds),
                "seconds": 6.5 + 9.3 * place,
                "chosen": place == 2,
                "run_id": "train-2",
                "at": START,
            }
        )
    made.append(
        {**made[0], "family": "decision_stump", "run_id": "old", "at": START - timedelta(days=9)}
    )
    return frame("trials", made)


def evaluations(
    metrics: dict[str, dict[str, tuple[float, float, float]]], *, version: int = 3
) -> pd.DataFrame:
    made = []
    for earlier in (0, 1):
        for metric, by_model in metrics.items():
            for model, (value, low, high) in by_model.items():
                made.append(
                    {
                        "model_version": version - earlier,
                        "part": "test",
                        "model": model,
                        "metric": metric,
                        "value": value - 0.004 * earlier,
                        "low": low,
                        "high": high,
                        "rows": 4_067,
                        "detail": "visit_days_90d, fewer is yes" if model == "best_feature" else "",
                        "run_id": f"train-{2 - earlier}",
                        "at": START - timedelta(days=7 * earlier),
                    }
                )
    return frame("evaluations", made)


IMPORTANCE = {
    "visit_days_30d": 0.262,
    "recency_90d": 0.194,
    "orders_90d": 0.131,
    "visit_recency_90d": 0.097,
    "spend_90d": 0.081,
    "visits_14d": 0.066,
    "gap_180d": 0.052,
    "carts_30d": 0.041,
    "trend_90d": 0.031,
    "age": 0.022,
    "visit_trend_60d": 0.014,
    "categories_90d": 0.009,
    "gender": 0.0,
}


def curves() -> pd.DataFrame:
    x = np.linspace(0, 1, 900)
    made = [{"curve": "roc", "x": a, "y": a**0.232} for a in x]
    made += [{"curve": "pr", "x": a, "y": 0.97 - 0.311 * a**2.2} for a in x]
    made += [
        {"curve": "confusion", "name": name, "y": rows}
        for name, rows in (("tp", 2_287), ("fp", 493), ("fn", 392), ("tn", 895))
    ]
    shares = [0.02, 0.04, 0.06, 0.08, 0.1, 0.11, 0.13, 0.16, 0.18, 0.12]
    for place, share in enumerate(shares):
        middle = place / 10 + 0.05
        observed = min(1.0, middle + 0.04 * np.sin(place))
        rows = int(4_067 * share)
        made.append({"curve": "calibration", "x": middle, "y": observed, "rows": rows})
        made.append({"curve": "score", "x": place / 10, "y": share, "rows": rows})
    made += [{"curve": "importance", "name": n, "y": y} for n, y in IMPORTANCE.items()]
    return frame("curves", [{"model_version": 3, "run_id": "train-2", **row} for row in made])


def histogram(
    table: str, column: str, version: int, values: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]
) -> list[dict[str, Any]]:
    counts, _ = np.histogram(values, edges)
    place = {"table": table, "version": version, "slice": "newest as-of", "column": column}
    return [
        {
            **place,
            "kind": "numeric",
            "low": low,
            "high": high,
            "share": n / len(values),
            "rows": int(n),
        }
        for low, high, n in zip(edges, edges[1:], counts, strict=False)
    ]


def histograms() -> pd.DataFrame:
    random = np.random.default_rng(7)
    made = []
    for version, shift in ((3, 1.0), (4, 1.45)):
        for column in IMPORTANCE:
            if column == "gender":
                continue
            moved = shift if column in ("spend_90d", "visits_14d") else 1.0
            values = random.gamma(2.2, 9 * moved, 5_000)
            edges = np.linspace(0, 90, 31)
            made += histogram("gold.features", column, version, values, edges)
        for column in ("visits_60d", "order_value_90d"):
            edges = np.concatenate([[0], np.geomspace(1, 400, 16)])
            values = random.gamma(1.3, 40, 5_000)
            made += histogram("gold.features", column, version, values, edges)
        edges = np.linspace(0, 1, 21)
        made += histogram("gold.predictions", "score", version, random.beta(3, 2, 4_000), edges)
        for category, share in (("f", 0.51), ("m", 0.44), (None, 0.05)):
            made.append(
                {
                    "table": "gold.features",
                    "version": version,
                    "slice": "newest as-of",
                    "column": "gender",
                    "kind": "categorical",
                    "category": category,
                    "share": share,
                    "rows": int(share * 4_000),
                }
            )
        countries = ["DE", "FR", "NL", "AT", "BE", "PL", "CZ", "IT", "ES", "PT", "DK"]
        weights = random.dirichlet(np.linspace(9, 1, len(countries)) * (3 if version == 3 else 1))
        for country, share in zip(countries, weights, strict=True):
            made.append(
                {
                    "table": "gold.features",
                    "version": version,
                    "slice": "newest as-of",
                    "column": "country",
                    "kind": "categorical",
                    "category": country,
                    "share": share,
                    "rows": int(share * 4_000),
                }
            )
    return frame("histograms", made)


def drift() -> pd.DataFrame:
    limits = {"psi": 0.2, "ks": 0.15, "js": 0.1, "null_rate": 0.05}
    found: dict[str, dict[str, dict[str, float]]] = {
        "gold.features": {
            column: {"psi": 0.011 + 0.009 * place, "ks": 0.02 + 0.007 * place, "null_rate": 0.001}
            for place, column in enumerate([*IMPORTANCE, "visits_60d", "order_value_90d"])
        },
        "silver.orders": {
            name: {"psi": 0.02, "ks": 0.01, "null_rate": 0.0} for name in ("amount", "items")
        },
        "gold.predictions": {"score": {"psi": 0.163, "ks": 0.081, "null_rate": 0.0}},
    }
    found["gold.features"]["spend_90d"] = {"psi": 0.463, "ks": 0.214, "null_rate": 0.002}
    found["gold.features"]["visits_14d"] = {"psi": 0.31, "ks": 0.16, "null_rate": 0.002}
    found["gold.features"]["gender"] = {"js": 0.013, "null_rate": 0.01}
    found["gold.features"]["country"] = {"js": 0.124, "null_rate": 0.0}
    found["silver.orders"]["category"] = {"js": 0.02, "null_rate": 0.061}
    made = []
    for table, columns in found.items():
        for column, statistics in columns.items():
            for statistic, value in statistics.items():
                limit = limits[statistic]
                for at, to in ((START - timedelta(days=7), 3), (START, 4)):
                    made.append(
                        {
                            "table": table,
                            "from_version": to - 1,
                            "to_version": to,
                            "slice": "newest as-of",
                            "column": column,
                            "statistic": statistic,
                            "value": value if to == 4 else 9.0,
                            "threshold": limit,
                            "drifted": to == 3 or value >= limit,
                            "detail": f"{statistic} of {column} is {value:.3f}",
                            "at": at,
                        }
                    )
        made.append(
            {
                "table": table,
                "from_version": 3,
                "to_version": 4,
                "slice": "newest as-of",
                "column": "*",
                "statistic": "rows",
                "value": 0.04,
                "drifted": False,
                "detail": "4 % more rows",
                "at": START,
            }
        )
    return frame("drift", made)


STAGES = {
    "ingest": (920_019, 918_552, 733, 31.0),
    "validate": (918_552, 913_411, 5_100, 42.5),
    "features": (909_000, 21_340, 0, 58.2),
    "train": (17_100, 17_100, 0, 236.4),
    "score": (4_211, 4_208, 3, 12.9),
    "drift": (30_000, 120, 0, 9.4),
}


@cache
def full() -> Facts:
    problem = load_problem(CONF / "churn.yaml")
    return Facts(
        problem=problem,
        generated_at=datetime(2024, 11, 17, 5, 12),
        runs=runs(STAGES, rounds=3),
        deliveries=deliveries(),
        rejects=frame(
            "rejects",
            [
                {"source": "visits", "reason": "not_a_log_line", "column": None, "rows": 1_400},
                {"source": "visits", "reason": "bad_value", "column": "time", "rows": 522},
                {"source": "orders", "reason": "bad_value", "column": "amount", "rows": 248},
                {"source": "customers", "reason": "too_few_fields", "column": None, "rows": 27},
            ],
        ),
        quality=quality(),
        quarantine=frame(
            "quarantine",
            [
                {"table": "silver.visits", "rule": "customer_known", "rows": 15_205},
                {"table": "silver.orders", "rule": "customer_known", "rows": 84},
                {"table": "silver.visits", "rule": "status_is_http", "rows": 36},
            ],
        ),
        trials=trials(
            [
                ("logistic_regression", {"regParam": 0.001}, 0.7831),
                ("logistic_regression", {"regParam": 0.03}, 0.7794),
                ("random_forest", {"numTrees": 40, "maxDepth": 6}, 0.8012),
                ("gradient_boosted_trees", {"maxIter": 15, "maxDepth": 3}, 0.7969),
            ],
            "roc_auc",
        ),
        evaluations=evaluations(
            {
                "roc_auc": {
                    "model": (0.8117, 0.7903, 0.8342),
                    "constant": (0.5, 0.5, 0.5),
                    "best_feature": (0.7304, 0.7121, 0.7490),
                },
                "pr_auc": {
                    "model": (0.871, 0.853, 0.886),
                    "constant": (0.659, 0.644, 0.673),
                    "best_feature": (0.801, 0.78, 0.82),
                },
                "log_loss": {"model": (0.4981, 0.4802, 0.5166), "constant": (0.642, 0.63, 0.65)},
            }
        ),
        curves=curves(),
        drift=drift(),
        histograms=histograms(),
        champion={
            "version": 3,
            "family": "random_forest",
            "parameters": {"numTrees": 40, "maxDepth": 6, "minInstancesPerNode": 10},
            "as_of": [datetime(2024, 9, 28)],
            "tables": [{"table": "gold.features", "version": 4}],
        },
    )


@cache
def regression() -> Facts:
    problem = load_problem(CONF / "cdnow_spend.yaml")
    middles = [4.1, 9.0, 13.2, 18.4, 25.0, 33.1, 44.8, 61.0, 92.3, 214.6]
    made: list[dict[str, Any]] = []
    for place, middle in enumerate(middles):
        made.append({"curve": "calibration", "x": middle, "y": middle * 1.08 - 3, "rows": 411})
        made.append({"curve": "score", "x": place * 25.0, "y": 0.31 * 0.72**place, "rows": 100})
        height = float(np.exp(-((place - 5) ** 2) / 3))
        made.append({"curve": "residual", "x": -150 + 30.0 * place, "y": height / 3.07})
    made += [
        {"curve": "importance", "name": n, "y": y}
        for n, y in (("spend_365d", 0.52), ("recency_365d", 0.3), ("discs_90d", 0.18))
    ]
    shown = [{"model_version": 3, "run_id": "train-2", **row} for row in made]
    return replace(
        nothing(problem),
        deliveries=frame(
            "deliveries",
            [
                {
                    "source": "purchases",
                    "bytes": 2_204_000,
                    "status": "landed",
                    "records": 69_659,
                    "accepted": 69_659,
                    "rejected": 0,
                }
            ],
        ),
        runs=runs({"ingest": (69_659, 69_659, 0, 8.1), "train": (9_000, 9_000, 0, 71.0)}, rounds=1),
        trials=trials(
            [
                ("linear_regression", {"regParam": 0.1}, 74.1),
                ("random_forest", {"numTrees": 60}, 73.4),
                ("gradient_boosted_trees", {"maxIter": 20}, 71.9),
            ],
            "rmse",
        ),
        evaluations=evaluations(
            {
                "rmse": {"model": (71.4, 63.2, 80.1), "constant": (88.2, 79.0, 97.7)},
                "mae": {"model": (31.2, 29.5, 33.0), "constant": (43.8, 41.6, 46.1)},
                "r2": {"model": (0.341, 0.29, 0.39)},
            }
        ),
        curves=frame("curves", shown),
        champion={
            "version": 3,
            "family": "gradient_boosted_trees",
            "parameters": {"maxIter": 20},
            "as_of": [],
            "tables": [],
        },
    )


@cache
def ingest_only() -> Facts:
    return replace(
        nothing(load_problem(CONF / "churn.yaml")),
        deliveries=deliveries(),
        runs=runs({"ingest": STAGES["ingest"]}, rounds=1),
    )


ALL = {
    "full": full,
    "regression": regression,
    "ingest only": ingest_only,
    "nothing": lambda: nothing(load_problem(CONF / "churn.yaml")),
}
