"""The page: what it says equals the facts, it loads nothing, and data cannot break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.jobs.report import newest as newest_pictures
from driftline.problem import Problem, load_problem
from driftline.report import Facts, render, words
from driftline.report.charts import curve, plain
from driftline.report.facts import COLUMNS
from driftline.report.histograms import overlay
from driftline.report.page import _NAMES

CONF = Path(__file__).parents[2] / "conf"
START = datetime(2024, 11, 3, 4, 0)
EVIL = "</script><script>window.hacked=1</script><img src=https://evil.example/x onerror=alert(1)>"


# --- facts of a shop that has gone round three times ------------------------------------------


def frame(name: str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """A frame with the table's columns; what a record does not say is missing."""
    return pd.DataFrame([{c: record.get(c) for c in COLUMNS[name]} for record in records])


WEAK = {"model_version": 3, "metric": "roc_auc", "score": 0.701, "low": 0.65, "high": 0.75}


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
                "search": "s",
                "error": None,
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


# --- the whole page ----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ALL)
def test_every_section_is_there_once_and_in_the_navigation(which: str) -> None:
    ids = [attrs["id"] for tag, attrs in page(which).tags if tag == "section"]
    links = [str(attrs["href"]) for tag, attrs in page(which).tags if tag == "a"]
    assert ids == list(_NAMES)
    assert {f"#{name}" for name in ids} <= set(links)


@pytest.mark.parametrize("which", ALL)
def test_nothing_is_loaded_from_anywhere(which: str) -> None:
    for tag, attrs in page(which).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "video", "audio")
        assert not {"src", "srcset", "data", "action", "poster", "background"} & set(attrs), tag
        assert str(attrs.get("href", "#")).startswith("#")
        assert not any(name.startswith("on") for name in attrs), tag
        assert "url(" not in str(attrs.get("style", ""))
    assert "@import" not in page(which).style
    assert "url(" not in page(which).style


@pytest.mark.parametrize("which", ALL)
def test_only_the_two_scripts_that_the_policy_names_can_run(which: str) -> None:
    policy = next(
        str(attrs["content"])
        for tag, attrs in page(which).tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    digests = re.findall(r"'sha256-([^']+)'", policy)
    made = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in page(which).scripts
    ]
    assert digests == made and len(made) == 2
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy and "http" not in policy


@pytest.mark.parametrize("which", ALL)
def test_every_chart_is_told_in_words_and_has_room_kept(which: str) -> None:
    plots = [attrs for tag, attrs in page(which).tags if attrs.get("class") == "plot"]
    assert len(plots) == len(page(which).figures)
    for attrs in plots:
        assert attrs["role"] == "img" and len(str(attrs["aria-label"])) > 10
        assert re.fullmatch(r"height:\d+px", str(attrs["style"]))


def test_verdicts_have_a_mark_with_words_and_a_colour() -> None:
    marks = {attrs.get("class") for _, attrs in page("full").tags if attrs.get("aria-label")}
    assert {"mark good", "mark watch"} <= marks
    for tone in ("good", "watch", "bad"):
        assert f".mark.{tone}" in page("full").style


def test_wide_tables_scroll_inside_their_own_box() -> None:
    order = [(tag, attrs.get("class")) for tag, attrs in page("full").tags]
    tables = [place for place, (tag, _) in enumerate(order) if tag == "table"]
    assert len(tables) > 10
    assert all(order[place - 1] == ("div", "scroll") for place in tables)


def test_an_empty_frame_may_have_no_columns_but_a_full_one_needs_them() -> None:
    with pytest.raises(ValueError, match="deliveries lacks the columns delivery, path"):
        replace(full(), deliveries=deliveries().drop(columns=["delivery", "path"]))


# --- what it says ------------------------------------------------------------------------------


def test_hero_answers_in_plain_words() -> None:
    said = plainly(page("full").says(""))
    assert full().problem.question in said
    assert "Champion: random forest, version 3." in said
    assert "tells them apart 81 times in 100; the best single feature 73 times." in said
    assert "0.812 [0.790, 0.834]" in said
    others = (
        "Recency, frequency, money 0.741, best single feature 0.730, same answer for all 0.500."
    )
    assert others in said
    assert "9 of 10 rules hold" in said


def test_rows_are_those_of_the_deliveries() -> None:
    frame = deliveries()
    landed = frame[frame["status"] == "landed"]
    said = page("full").says("flow")
    assert (
        f"{int(frame['records'].sum()):,} records in {len(frame)} deliveries: "
        f"{int(landed['accepted'].sum()):,} accepted, {int(landed['rejected'].sum()):,} rejected, "
        "2,204 already known."
    ) in said
    assert "Of 2,755,656 rows judged, 2,740,233 passed into silver" in said
    assert "Every one accounted for" in page("full").says("")


def test_records_that_do_not_balance_are_called_out() -> None:
    broken = deliveries()
    broken.loc[0, "accepted"] -= 17
    read = Page(render(replace(full(), deliveries=broken)))
    assert "17 of them do not balance." in read.says("")
    assert "17 do not balance." in read.says("flow")


def test_a_delivery_that_was_planned_and_landed_is_not_waiting() -> None:
    lines = [
        {"source": "orders", "delivery": "a", "status": "planned"},
        {"source": "orders", "delivery": "b", "status": "planned"},
        {"source": "orders", "delivery": "a", "status": "landed", "records": 5, "accepted": 5},
    ]
    read = Page(render(replace(ingest_only(), deliveries=frame("deliveries", lines))))
    assert "1 delivery planned but not landed" in read.says("flow")
    assert "5 records in 1 delivery: 5 accepted, 0 rejected, 0 already known." in read.says("flow")


def test_a_table_judged_again_after_a_rebuild_is_not_counted_twice() -> None:
    again = runs({"validate": (2_755_656, 2_750_000, 5_656, 9.0)}, rounds=2)
    said = Page(render(replace(full(), runs=again))).says("flow")
    assert "Of 2,755,656 rows judged, 2,750,000 passed into silver and 5,656" in said


def test_only_the_newest_verdict_of_a_rule_counts() -> None:
    said = page("full").says("quality")
    assert "1 of 10 rules warned: known_channel on silver.orders." in said
    assert "customer_known on silver.visits (15,205 rows)" in said


def test_a_refusing_rule_is_bad_and_a_warning_is_not() -> None:
    broken = quality()
    broken["severity"] = "error"
    read = Page(render(replace(full(), quality=broken)))
    assert "1 rule refused the data." in read.says("")
    assert "1 of 10 rules refused: known_channel on silver.orders." in read.says("quality")
    assert "1 rule gave a warning; none refused." in page("full").says("")


def test_candidates_are_ranked_by_the_metric() -> None:
    said = page("full").says("candidates")
    spread = f"{trials([('x', {}, 0.8012)], 'roc_auc')['std'][0]:.3f}"
    assert f"Random forest won with ROC AUC 0.801 ± {spread} over 3 folds" in said
    assert "gradient boosted trees 0.797 and logistic regression 0.783." in said
    assert "decision stump" not in said  # of an older search
    assert "Gradient boosted trees won with RMSE 71.90" in page("regression").says("candidates")


def test_origin_says_what_the_champion_was_fitted_with() -> None:
    said = page("full").says("origin")
    assert "fitted with no native BLAS, Java's own (VectorBLAS)" in said
    assert "numTrees=40" in said or "numTrees 40" in said


def test_model_beats_its_baselines_only_beyond_its_interval() -> None:
    def chip(low: float, value: float) -> str:
        changed = evaluations(
            {
                "roc_auc": {
                    "model": (value, low, 0.9),
                    "best_feature": (0.73,) * 3,
                    "rfm": (0.71,) * 3,
                }
            }
        )
        return Page(render(replace(full(), evaluations=changed))).says("")

    assert "Recency, frequency, money 0.710, best single feature 0.730." in chip(0.74, 0.8)
    assert "lead is within" not in chip(0.74, 0.8) and "gate" not in chip(0.74, 0.8)
    assert "The lead is within the interval." in chip(0.72, 0.8)
    assert "The gate is not passed." in chip(0.7, 0.729)


def test_only_slices_that_are_worse_beyond_doubt_are_named() -> None:
    said = plainly(page("full").says("model"))
    assert "Where it is weakest" in said
    assert "country CH 0.701 [0.650, 0.750] 212" in said
    assert "[18, 27]" not in said


def test_confusion_and_curves_are_those_of_the_facts() -> None:
    said = plainly(page("full").says("model"))
    right = 100 * (2_287 + 895) / 4_067
    assert f"{right:.1f} % of all answers are right" in said
    assert f"of those flagged {100 * 2_287 / 2_780:.1f} % are right (precision)" in said
    assert f"of all yes {100 * 2_287 / 2_679:.1f} % are found (recall)" in said
    assert f"At 20 % false alarms, {100 * 0.2**0.232:.1f} % found." in said
    assert "2,287" in said and "493" in said


def test_importance_is_a_share_of_all() -> None:
    said = plainly(page("full").says("importance"))
    assert "visit_days_30d weighs most: 26.2 % of the importance" in said
    assert "first three together 58.7 %; 1 feature unused." in said


def test_drift_is_that_of_the_newest_comparison_most_severe_first() -> None:
    read = page("full")
    said = read.says("drift")
    assert "4 of 20 columns drifted: spend_90d in gold.features (PSI 0.463, threshold 0.2)" in said
    assert "spend_90d (no. 5) and visits_14d (no. 6) are among the model's ten top" in said
    assert "9.0" not in said  # the older comparison, which said that everything drifted
    tiles = [str(a["title"]) for tag, a in read.tags if tag == "li" and "title" in a]
    assert [tile.split(":")[0] for tile in tiles][:3] == ["spend_90d", "visits_14d", "country"]


def test_what_moved_a_column_is_one_click_away() -> None:
    page = render(full())
    [(link, anchor)] = re.findall(
        r'<a href="#(moved-[^"]*)"><code>spend_90d</code>.*?id="(moved-[^"]*)"', page, re.S
    )
    assert link == anchor
    said = plainly(Page(page).says("drift"))
    assert "spend_90d commit 4 83 % PSI 0.120 2,100" in said
    assert "country DE 17 % PSI 0.410 700" in said
    assert "columns by version" in said


def test_no_drift_is_said_with_the_nearest_column() -> None:
    calm = drift()
    calm = calm[(calm["to_version"] == 4) & ~calm["column"].isin(["spend_90d", "visits_14d"])]
    calm = calm[~calm["column"].isin(["country", "category"])]
    read = Page(render(replace(full(), drift=calm)))
    said = plainly(read.says("drift"))
    assert "None of the 16 columns compared drifted; nearest is score at 81.5 %" in said
    assert "No column of 3 tables is beyond its threshold." in read.says("")


def test_a_table_that_changed_as_a_whole_is_not_a_column() -> None:
    rows = frame(
        "drift",
        [
            {
                "table": "silver.orders",
                "from_version": 1,
                "to_version": 2,
                "slice": "whole",
                "column": column,
                "statistic": statistic,
                "value": value,
                "threshold": limit,
                "drifted": drifted,
                "detail": "",
                "at": START,
            }
            for column, statistic, value, limit, drifted in (
                ("*", "schema", 1.0, None, True),
                ("amount", "psi", 0.01, 0.2, False),
            )
        ],
    )
    read = Page(render(replace(full(), drift=rows)))
    assert "0 of 1 column" in read.says("")
    assert "silver.orders changed as a whole (schema 1.000)." in read.says("drift")


def test_money_and_time_are_those_of_the_newest_round() -> None:
    history = runs(STAGES, rounds=3)
    newest = history[history["run_id"].str.contains("-2-")]
    said = page("full").says("cost")
    time, money = newest["wall_seconds"].sum(), newest["money"].sum()
    pass_ = f"One pass takes {words.duration(time)} and costs {words.money(money, 'EUR')}"
    assert plainly(pass_) in said
    everything = words.money(history["money"].sum(), "EUR")
    assert plainly(f"All 18 runs so far: {everything}.") in said


def test_a_stage_that_stopped_is_named_with_its_message() -> None:
    stopped = frame(
        "runs",
        [
            *runs({"ingest": STAGES["ingest"]}, rounds=1).to_dict("records"),
            {
                "run_id": "x",
                "stage": "validate",
                "status": "refused",
                "started_at": START + timedelta(hours=1),
                "message": "too few rows",
            },
        ],
    )
    said = Page(render(replace(ingest_only(), runs=stopped))).says("cost")
    assert "The last validate run was refused: too few rows" in said


def test_regression_has_no_curves_of_a_classifier() -> None:
    read = page("regression")
    said = read.says("model")
    assert "RMSE 71.40 [63.20, 80.10] on 4,067 test rows." in said
    assert "ROC" not in said and "recall" not in said and "Right and wrong" not in said
    assert "Calibration" in said and "What is left over" in said
    part = 100 * (1 - 71.4 / 88.2)
    assert f"{part:.0f} % less than that of always giving the same answer" in plainly(said)
    assert "Half of the predictions are below" in read.says("scores")


def test_what_has_not_run_is_said() -> None:
    read = page("ingest only")
    assert "There is no model yet; ingest is the last stage that ran." in read.says("")
    assert "No model has been evaluated yet." in read.says("model")
    assert "128 deliveries" in read.says("flow")
    assert "Nothing has run yet." in page("nothing").says("")
    assert page("nothing").figures == []


# --- data cannot break out ---------------------------------------------------------------------


def test_data_stay_text() -> None:
    """Every word of every table, as somebody hostile would write it."""
    changed: dict[str, Any] = {}
    keep = {"status", "stage", "kind", "slice", "curve", "statistic", "part", "model", "metric"}
    keep |= {"parameters", "currency", "severity", "run_id"}
    for name in COLUMNS:
        hostile = getattr(full(), name).copy()
        for column in hostile.columns:
            texts = hostile[column].map(lambda value: isinstance(value, str))
            if column not in keep and texts.any():
                hostile[column] = hostile[column].where(~texts, EVIL + hostile[column].astype(str))
        changed[name] = hostile
    confusion = full().curves["curve"] == "confusion"
    changed["curves"].loc[confusion, "name"] = full().curves.loc[confusion, "name"]
    champion = {**(full().champion or {}), "family": EVIL, "parameters": {EVIL: EVIL}}
    read = Page(render(replace(full(), champion=champion, **changed)))
    assert len(read.scripts) == 2
    assert not any("hacked" in script for script in read.scripts)
    assert "img" not in {tag for tag, _ in read.tags}
    assert all(EVIL in read.sections[name] for name in ("flow", "quality", "drift", "origin"))
    # In a chart, plotly would read tags: there they are spelt out.
    drawn = json.dumps(read.figures)
    assert "&lt;/script&gt;" in drawn
    assert "<script" not in drawn and "<img" not in drawn


def test_a_chart_shows_words_as_they_are_and_cuts_long_ones() -> None:
    assert plain("a<b> & c") == "a&lt;b&gt; &amp; c"
    assert plain("x" * 40, 10) == "x" * 9 + "…"


# --- figures -----------------------------------------------------------------------------------


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    points = [(place / 9_999, place / 9_999) for place in range(10_000)]
    made = curve(
        points, x="", y="", reference=[(0, 0), (1, 1)], reference_name="guessing", hover=""
    )
    drawn = made["data"][1]["x"]
    assert len(drawn) == 400
    assert (drawn[0], drawn[-1]) == (0, 1)


def bins(*edges: float, share: float = 0.25) -> list[dict[str, Any]]:
    return [
        {"kind": "numeric", "low": low, "high": high, "share": share, "category": None}
        for low, high in pairwise(edges)
    ]


def test_even_bins_are_shares_and_uneven_ones_are_densities() -> None:
    even = overlay([], bins(0, 1, 2, 3, 4), names=("a", "b"))["data"][0]
    assert list(even["y"]) == [0.25] * 4
    uneven = overlay([], bins(0, 1, 2, 4), names=("a", "b"))["data"][0]
    assert list(uneven["y"]) == [0.25, 0.25, 0.125]


def test_a_constant_column_and_open_ends_can_be_drawn() -> None:
    constant = overlay([], bins(7, 7, share=1.0), names=("a", "b"))["data"][0]
    assert list(constant["y"]) == [1.0] and list(constant["width"]) == [1.0]
    opened = overlay([], bins(float("-inf"), 0, 1, float("inf")), names=("a", "b"))["data"][0]
    assert np.isfinite(opened["x"]).all()


def test_categories_beyond_the_most_frequent_are_added_up() -> None:
    made = [
        {"kind": "categorical", "category": f"c{n:02}", "share": 0.05, "low": None, "high": None}
        for n in range(20)
    ]
    figure = overlay(made, made, names=("a", "b"))
    assert figure["layout"]["yaxis"]["ticktext"][-1].strip() == "12 others"
    assert sum(figure["data"][0]["x"]) == pytest.approx(1)


# --- numbers for people ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (words.count(12_345), "12,345"),
        (words.plural(1, "delivery", "deliveries"), "1 delivery"),
        (words.decimal(0.8117), "0.812"),
        (words.decimal(45.234), "45.23"),
        (words.decimal(1_234.5), "1,234"),
        (words.decimal(0.00004), "4e-05"),
        (words.decimal(0.0), "0"),
        (words.decimal(None), "—"),
        (words.interval(0.812, 0.79, 0.834), "0.812 [0.790, 0.834]"),
        (words.interval(0.812, None, None), "0.812"),
        (words.spread(71.9, 0.4), "71.90 ± 0.40"),
        (words.share(0.123), "12.3 %"),
        (words.share(0.0002), "under 0.1 %"),
        (words.share(0.99996), "over 99.9 %"),
        (words.share(1), "100 %"),
        (words.share(0), "0 %"),
        (words.duration(0.42), "0.4 s"),
        (words.duration(72), "1 min 12 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(7_500), "2 h 5 min"),
        (words.money(0.00312, "EUR"), "€ 0.0031"),
        (words.money(0.3, "GBP"), "£ 0.30"),
        (words.money(12.3, "USD"), "$ 12.30"),
        (words.money(0, "EUR"), "€ 0.00"),
        (words.money(4_321, "CHF"), "CHF 4,321.00"),
        (words.size(999), "999 B"),
        (words.size(12_340_000), "12.3 MB"),
        (words.size(4.2e15), "4200 TB"),
        (words.when(datetime(2025, 5, 14, 9, 12)), "14 May 2025, 09:12 UTC"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_written_as_people_write_them(made: str, wanted: str) -> None:
    assert plainly(made) == wanted


# --- tables that were explored ------------------------------------------------------------------


def explored(table: str = "silver.orders", run: str = "r2", missing: float = 25.0) -> list[dict]:
    of = {"table": table, "version": 4, "run_id": run, "at": START}
    histogram = json.dumps({"edges": [0.0, 1.0, 5.0], "shares": [0.25, 0.75]})
    return [
        {**of, "column": "amount", "statistic": "rows", "value": 100.0, "detail": "double"},
        {**of, "column": "amount", "statistic": "nulls", "value": missing},
        {**of, "column": "amount", "statistic": "q50", "value": 3.5},
        {**of, "column": "amount", "statistic": "histogram", "detail": histogram},
        {**of, "column": "amount", "other": "kind", "statistic": "pearson", "value": 0.99},
        {**of, "column": "amount", "other": "kind", "statistic": "correlation_ratio", "value": 0.4},
        {**of, "column": EVIL, "statistic": "rows", "value": 100.0, "detail": "string"},
        {**of, "column": EVIL, "statistic": "suspicious", "value": 1.0, "detail": "an id"},
    ]


def test_what_was_explored_last_is_shown_and_what_is_suspicious_said() -> None:
    problem = load_problem(CONF / "churn.yaml")
    old = [{**each, "at": START - timedelta(days=1)} for each in explored(run="r1", missing=50.0)]
    records = [*old, *explored()]
    page = render(replace(nothing(problem), explored=frame("explored", records)))
    text = page[page.index('id="explored"') :]
    text = text[: text.index("</section>")]
    assert "1 table explored; 1 column suspicious." in text
    assert "25" in text and "50\N{NO-BREAK SPACE}%" not in text
    assert "correlation ratio" in text
    assert "pearson" not in text  # of numbers, the ranks say more
    assert "<script>window.hacked" not in page
    assert "explored" in _NAMES
    assert "No table has been explored" in render(nothing(problem))


def test_of_pictures_drawn_twice_the_last_run_counts() -> None:
    drawn = frame(
        "histograms",
        [
            {"table": "t", "version": version, "column": column, "slice": "whole", "run_id": run}
            for version, column, run in ((1, "a", "old"), (1, "a", "new"), (1, "b", "old"))
        ],
    )
    ran = frame(
        "runs",
        [
            {"run_id": "new", "started_at": datetime(2024, 2, 2)},
            {"run_id": "old", "started_at": datetime(2024, 2, 1)},
        ],
    )
    kept = newest_pictures(drawn, ran)
    assert list(zip(kept["column"], kept["run_id"], strict=True)) == [("a", "new"), ("b", "old")]
    assert not len(newest_pictures(drawn.iloc[:0], ran.iloc[:0]))


# --- promises -------------------------------------------------------------------------------------


def promised() -> pd.DataFrame:
    """Three nights; a probe in the second, told again in the third; a limit that has changed."""
    made = []
    for night in range(3):
        at = START + timedelta(days=night)
        for kind, subject, value, limit, at_most, unit in (
            ("freshness", "silver.orders", (3.25, 40.5, 12.0)[night], 36.0, True, "h"),
            ("freshness", "gold.predictions", None, 744.0, True, "h"),
            ("duration", "features", (120.0, 901.0, 960.5)[night], 900.0, True, "s"),
            ("deadline", "cycle", (5.5, -1.25, 5.75)[night], 6.0, True, "h"),
            ("quality", "validate", 0.991, (0.999, 0.98, 0.98)[night], False, ""),
            ("throughput", "", (None, 240.0, 240.0)[night], 100.0, False, "/s"),
            ("gone", "", 9.0, 1.0, True, "s"),  # no longer in the problem file
        ):
            kept = None if value is None else value <= limit if at_most else value >= limit
            row = {"kind": kind, "subject": subject, "value": value, "limit": limit}
            row |= {"at_most": at_most, "unit": unit, "at": at, "run_id": f"n{night}"}
            row["verdict"] = {None: "unknown", True: "kept", False: "broken"}[kept]
            row["said"] = "" if value is None else f"the evidence, as of night {night}"
            if kind == "duration":
                row["evidence_run"] = f"features-{night}"
            if kind == "freshness" and value is not None:
                row |= {"evidence_table": subject, "evidence_version": 40 + night}
            if (kind, night) == ("throughput", 2):
                row |= {"evidence_table": "ops.sla", "evidence_version": 1, "evidence_run": "n1"}
            made.append(row)
    at = START + timedelta(days=2)  # asked, and no answer came
    made.append(
        {
            **{"kind": "response", "subject": "p99", "verdict": "broken", "value": None},
            **{"limit": 50.0, "at_most": True, "unit": "ms", "said": "gave no answer", "at": at},
        }
    )
    return frame("sla", made)


def promises_page(sla: pd.DataFrame, name: str = "churn") -> Page:
    return Page(render(replace(nothing(load_problem(CONF / f"{name}.yaml")), sla=sla)))


def test_promises_are_judged_by_the_newest_and_the_others_are_marks() -> None:
    made = promises_page(promised())
    said = f"{plainly(made.says('sla'))} "
    assert (
        "4 of 10 promises kept, 4 without evidence. Broken: time that features takes, 960.5 s, "
        "promised at most 900.0 s (broken in 2 of 3 judgements). Broken: time within which 99 of "
        "100 requests are answered, no answer, promised at most 50.0 ms."
    ) in said
    assert "gone" not in said
    assert "05:45 ≤ 06:00" in said
    assert "the evidence, as of night 2, run features-2" in said
    assert "0.9910 ≥ 0.9800" in said
    assert "the evidence, as of night 2, silver.orders version 42 " in said
    marks = [attrs for tag, attrs in made.tags if str(attrs.get("class")).startswith("was")]
    by_tone = Counter(str(attrs["class"]).split()[1] for attrs in marks)
    # orders 3, predictions 3, features 3, deadline 3, quality 3, throughput 2, response 1
    assert by_tone == {"good": 9, "bad": 5, "calm": 4}
    assert [attrs["aria-label"] for attrs in marks[:2]] == [
        "3 Nov 2024, 04:00 UTC: kept, 3.2 h",
        "4 Nov 2024, 04:00 UTC: broken, 40.5 h",
    ]
    hero = plainly(made.says(""))
    assert "4 of 6 kept" in hero
    assert "Broken: duration features and response p99." in hero


def test_how_much_of_a_limit_is_used_up_is_a_bar() -> None:
    made = promises_page(promised())
    bars = [str(attrs["style"]) for tag, attrs in made.tags if "--bar" in str(attrs.get("style"))]
    # 12 of 36 h, 960.5 of 900 s, 5.75 of 6 h, 0.98 of 0.991, 100 of 240 a second
    used = [33.3, 100.0, 95.8, 98.9, 41.7]
    assert bars == [f"--bar:{each:.1f}%" for each in used]


def test_without_promises_or_judgements_that_is_said() -> None:
    assert "`driftline sla` does it" in promises_page(pd.DataFrame()).says("sla")
    assert "not judged" in promises_page(pd.DataFrame()).says("")
    assert "the problem file has no sla" in promises_page(promised(), "cdnow").says("sla")


# --- how it did since then ------------------------------------------------------------------------


def since() -> dict[str, pd.DataFrame]:
    """Eleven months: version 1 is good, promises too much from month 8, version 2 takes over."""
    performance, decisions, outcomes = [], [], []
    for month in range(1, 12):
        cutoff = datetime(2024, month, 1)
        version = 1 if month < 10 else 2
        fell = 0.12 if 7 < month < 10 else 0.0
        for kind, value in (("expected", 0.77), ("real", 0.77 - fell)):
            if kind == "real" and month == 11:
                continue
            row = {"cutoff": cutoff, "model_version": version, "slice": "", "kind": kind}
            row |= {"metric": "roc_auc", "value": value + 0.002 * (month % 3)}
            row |= {"low": value - 0.02, "high": value + 0.02, "rows": 2000, "labelled": 2000}
            performance.append({**row, "as_of": cutoff, "run_id": "m", "at": cutoff})
        # Measured before, with fewer labels: the newer one counts.
        performance.append({**performance[-1], "value": 0.5, "at": cutoff - timedelta(days=3)})
        action = {8: "watch", 9: "retrain"}.get(month, "keep")
        why = {"keep": "nothing speaks against it", "watch": "labels show it worse"}
        decisions.append(
            {
                "decision": f"d{month}",
                "as_of": cutoff + timedelta(days=45),
                "cutoff": cutoff,
                "model_version": version,
                "action": action,
                "why": why.get(action, "labels show it worse, 2 of the last 3 turns"),
                "metric": "roc_auc",
                "reference": 0.775,
                "expected": 0.77,
                "real": None if month == 1 else 0.77 - fell,
                "drift": 0.1 if month > 7 else None,
                "at": cutoff + timedelta(days=45),
            }
        )
    outcomes.append({"decision": "d9", "kind": "training", "verdict": "promoted"})
    skew = []
    for table, at, value in (
        ("gold.features", 2, 0.9),  # the newest one counts
        ("gold.features", 4, 0.02),
        ("silver.requests", 4, 0.4),
    ):
        row = {"cutoff": datetime(2024, 11, at), "model_version": 2, "table": table}
        row |= {"at": datetime(2024, 11, at), "trained": 9000, "rows": 1234, "bound": 0.0}
        for column, each in (("age", value), ("gender", 0.01)):
            verdict = {"value": each, "threshold": 0.2, "skewed": each > 0.2}
            skew.append({**row, "column": column, "statistic": "psi", **verdict})
            skew.append({**row, "column": column, "statistic": "range", "value": each})
    return {
        "skew": frame("skew", skew),
        "performance": frame("performance", performance),
        "decisions": frame("decisions", decisions),
        "outcomes": frame("outcomes", outcomes),
    }


def test_what_became_of_predictions_and_of_decisions_is_shown() -> None:
    problem = load_problem(CONF / "churn.yaml")
    judged = [
        {"model_version": 1, "part": "test", "model": "model", "metric": "roc_auc", "value": 0.775}
    ]
    facts = replace(nothing(problem), evaluations=frame("evaluations", judged), **since())
    page = render(facts)
    text = page[page.index('id="since"') :]
    text = text[: text.index("</section>")]
    assert "version 2 has ROC AUC 0.772 [0.750, 0.790]" in text
    assert "11 decisions, 1 of them to train again" in text
    assert "training: promoted" in text
    where = "1,234 scored rows up to 4 Nov 2024 than in training"
    assert f"Of 2 features, none is other in {where}" in text
    where = "1,234 rows of silver.requests up to 4 Nov 2024 than in training"
    assert f"Of 2 features, 1 is other in {where}" in text
    assert "Train-serve skew: 1,234 scored rows" not in text
    head = (
        "Train-serve skew: 1,234 rows of silver.requests up to 4 Nov 2024 against the 9,000 rows "
    )
    assert f"{head}that version 2 learnt from" in text
    assert "1 Aug 2024 version 1 came true 0.654 [0.630, 0.670]" in text
    figures = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text)[1])
    assert figures["layout"]["shapes"][0]["x0"] == "2024-10-16"  # trained again
    assert figures["data"][0]["x"][:2] == ["2024-01-01", "2024-02-01"]
    chip = page[page.index("chip-title") : page.index("</header>")]
    assert "Decision" in chip and "keep" in chip
    assert "have not been held against labels" in render(nothing(problem))
