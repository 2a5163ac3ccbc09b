"""What the pictures of the same shop are drawn from: curves, histograms, drift and its causes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from report_tables import START, frame

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


PERMUTATION = {
    "country": 0.061,
    **{name: y / 9 for name, y in IMPORTANCE.items()},
    "gender": -0.002,
}
"""What the model loses by each column; a category has places of its own in its vector only."""


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
    made += [{"curve": "permutation", "name": n, "y": y} for n, y in PERMUTATION.items()]
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
                            "from_slice": "newest as-of",
                            "slice": "newest as-of",
                            "column": column,
                            "statistic": statistic,
                            "value": value if to == 4 else 9.0,
                            "bound": 0.0,
                            "threshold": limit,
                            "p": 1e-9,
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
                "from_slice": "newest as-of",
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


def causes() -> pd.DataFrame:
    common = {"table": "gold.features", "from_version": 3, "to_version": 4, "at": START}
    common |= {"slice": "newest as-of", "column": "spend_90d", "statistic": "psi"}
    parts = [("commit", "4", 0.83, 0.12, 2_100), ("country", "DE", 0.17, 0.41, 700)]
    return frame(
        "causes",
        [
            common | {"kind": kind, "name": name, "share": share, "without": left, "rows": rows}
            for kind, name, share, left, rows in parts
        ],
    )
