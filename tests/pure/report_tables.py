"""Tables of a shop that has gone round three times: deliveries, runs, rules, models, promises."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from driftline.problem import Problem
from driftline.report import Facts
from driftline.report.facts import COLUMNS

START = datetime(2024, 11, 3, 4, 0)


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
        {
            **{**made[0], "family": "decision_stump", "run_id": "old", "search": "before"},
            "at": START - timedelta(days=9),
        }
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
