"""Facts of a whole shop, of a regression and of what got less far; their pages, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from report_pictures import causes, curves, drift, histograms
from report_tables import (
    WEAK,
    deliveries,
    evaluations,
    frame,
    nothing,
    promised,
    quality,
    runs,
    trials,
)

from driftline.problem import load_problem
from driftline.report import Facts, render

CONF = Path(__file__).parents[2] / "conf"
EVIL = "</script><script>window.hacked=1</script><img src=https://evil.example/x onerror=alert(1)>"


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
                    "rfm": (0.7411, 0.72, 0.76),
                },
                "pr_auc": {
                    "model": (0.871, 0.853, 0.886),
                    "constant": (0.659, 0.644, 0.673),
                    "best_feature": (0.801, 0.78, 0.82),
                },
                "log_loss": {"model": (0.4981, 0.4802, 0.5166), "constant": (0.642, 0.63, 0.65)},
            }
        ),
        slices=frame(
            "slices",
            [
                {"column": "country", "value": "CH", "rows": 212, "worse": True, **WEAK},
                {"column": "age", "value": "[18, 27]", "rows": 540, "worse": False, **WEAK},
            ],
        ),
        curves=curves(),
        drift=drift(),
        causes=causes(),
        histograms=histograms(),
        sla=promised(),
        champion={
            "version": 3,
            "family": "random_forest",
            "parameters": {"numTrees": 40, "maxDepth": 6, "minInstancesPerNode": 10},
            "as_of": [datetime(2024, 9, 28)],
            "tables": [{"table": "gold.features", "version": 4}],
            "linear_algebra": "no native BLAS, Java's own (VectorBLAS)",
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
        slices=frame("slices", []),
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


ALL: dict[str, Callable[[], Facts]] = {
    "full": full,
    "regression": regression,
    "ingest only": ingest_only,
    "nothing": lambda: nothing(load_problem(CONF / "churn.yaml")),
}


# --- reading the page back ---------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of it: tags, the text of every section, scripts, figures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {"": ""}
        self.scripts: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.style = ""
        self._section, self._open = "", ("", "")
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._open = (tag, found.get("type") or "")
        if tag == "section":
            self._section = found["id"] or ""
            self.sections[self._section] = ""
        if tag == "script" and not self._open[1]:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ("", "")
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._open == ("script", "application/json"):
            self.figures.append(json.loads(data))
        elif self._open[0] == "script":
            self.scripts[-1] += data
        elif self._open[0] == "style":
            self.style += data
        else:
            self.sections[self._section] += data

    def says(self, section: str) -> str:
        return " ".join(self.sections[section].split())


@cache
def page(which: str) -> Page:
    return Page(render(ALL[which]()))


def plainly(text: str) -> str:
    """Without the spaces that do not break."""
    return text.replace("\u00a0", " ")
