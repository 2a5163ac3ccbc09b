"""Drift, monitor and prices in a conf: tables, requests and limits that cannot be are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conf_errors import refusal, said

from driftline.errors import ConfError
from driftline.problem import Problem, load_problem

WATCHED = "silver.visits, silver.orders, silver.customers"

# id: what is replaced, by what; then what the error says: what, key, found, allowed, hint
CHANGES = {
    "requests that are no source": (
        ("monitor: {drop: 0.03,", "monitor: {requests: order, drop: 0.03,"),
        (
            "no such source of requests",
            "monitor.requests",
            "order",
            "visits, orders, customers",
            "did you mean 'orders'?",
        ),
    ),
    "more violations than turns": (
        ("at_least: 2, of: 5", "at_least: 3, of: 2"),
        (
            "more turns have to violate than are looked at",
            "monitor.at_least",
            "at_least 3 of 2",
            "at_least no more than of",
            "at_least: 2, of: 5",
        ),
    ),
    "watched table without a layer": (
        ("[silver.orders,", "[orders,"),
        (
            "not a table that can be watched",
            "drift.tables",
            "orders",
            "bronze.<source>, silver.<source>, gold.features, gold.predictions",
            "write layer.name",
        ),
    ),
    "watched table that is listed twice": (
        ("[silver.orders,", "[silver.orders, silver.orders,"),
        (
            "a table is there twice",
            "drift.tables",
            "silver.orders",
            "each table once",
            "remove one of them",
        ),
    ),
    "watched table that is none": (
        ("[silver.orders,", "[silver.order,"),
        (
            "no such table to watch",
            "drift.tables",
            "silver.order",
            WATCHED,
            "did you mean 'orders'?",
        ),
    ),
    "watched gold table that is none": (
        ("gold.predictions]", "gold.runs]"),
        (
            "no such table to watch",
            "drift.tables",
            "gold.runs",
            "gold.features, gold.predictions",
            "choose one of these",
        ),
    ),
    "segments of a table without a layer": (
        ("null_rate: 0.03", "null_rate: 0.03\n  segments: {orders: [channel]}"),
        (
            "not a table that can be watched",
            "drift.segments",
            "orders",
            "bronze.<source>, silver.<source>, gold.features, gold.predictions",
            "write layer.name",
        ),
    ),
    "segments of a table that is none": (
        ("null_rate: 0.03", "null_rate: 0.03\n  segments: {silver.order: [channel]}"),
        (
            "no such table to watch",
            "drift.segments",
            "silver.order",
            WATCHED,
            "did you mean 'orders'?",
        ),
    ),
    "segments of a column that is none": (
        ("null_rate: 0.03", "null_rate: 0.03\n  segments: {silver.orders: [chanel]}"),
        (
            "not a column of orders",
            "drift.segments.silver.orders",
            "chanel",
            "order_id, customer_id, time, amount, items, category, channel",
            "did you mean 'channel'?",
        ),
    ),
    "identifiers that are none": (
        ("null_rate: 0.03", "null_rate: 0.03\n  identifiers: {silver.visits: [agents]}"),
        (
            "not a column of visits",
            "drift.identifiers.silver.visits",
            "agents",
            "customer_id, time, path, status, bytes, agent",
            "did you mean 'agent'?",
        ),
    ),
    "segments of a table that is compared at one as-of": (
        ("null_rate: 0.03", "null_rate: 0.03\n  segments: {gold.features: [as_of, age]}"),
        (
            "a table that is compared at its newest as-of has no others to compare by",
            "drift.segments",
            "as_of of gold.features",
            "other columns",
            "leave as_of out",
        ),
    ),
    "threshold of 15": (
        ("ks: 0.15", "ks: 15"),
        ("out of range", "drift.ks", "15", "1 or less", "a share of 15 % is written 0.15"),
    ),
    **{
        f"threshold of no {name} at all": (
            (f"{name}: {usual}", f"{name}: 0"),
            ("out of range", f"drift.{name}", "0", "above 0", "write a number above 0"),
        )
        for name, usual in (("psi", 0.2), ("ks", 0.15), ("js", 0.1), ("categories", 0.03))
    },
    "threshold of no nulls at all": (
        ("null_rate: 0.03", "null_rate: 0.0"),
        ("out of range", "drift.null_rate", "0.0", "above 0", "write a number above 0"),
    ),
    "volume of nothing": (
        ("null_rate: 0.03", "null_rate: 0.03\n  volume: 0"),
        ("out of range", "drift.volume", "0", "above 0", "write a number above 0"),
    ),
    "freshness without days": (
        ("null_rate: 0.03", "null_rate: 0.03\n  freshness: soon"),
        (
            "not a number",
            "drift.freshness",
            "soon",
            "a number",
            "write it like 0.05, without quotes",
        ),
    ),
    "volumes": (
        ("null_rate: 0.03", "null_rate: 0.03\n  volumes: 0.5"),
        (
            "unknown key",
            "drift.volumes",
            "volumes",
            "tables, segments, identifiers, psi, ks, js, null_rate, categories, wasserstein, "
            "total_variation, cramers_v, volume, freshness",
            "did you mean 'volume'?",
        ),
    ),
    "negative price": (
        ("gib_hour: 0.006", "gib_hour: -0.006"),
        ("out of range", "prices.gib_hour", "-0.006", "0 or more", "write a number 0 or more"),
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    assert said(refusal(tmp_path, change)) == expected


def test_requests_have_to_say_whose_they_are(repository, tmp_path) -> None:
    told = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    columns = {
        name: {"type": type_, "comment": name}
        for name, type_ in (("time", "timestamp"), ("age", "long"))
    }
    asked = {"path": "asked/*", "format": "ndjson", "time": "time", "columns": columns}
    told["sources"]["asked"], told["monitor"] = asked, {"requests": "asked"}
    path = tmp_path / "churn.yaml"
    path.write_text(yaml.safe_dump(told), "utf-8")
    with pytest.raises(ConfError, match="requests that nobody could be erased from") as refused:
        load_problem(path)
    assert refused.value.allowed == "a source with a column customer_id"
    columns["customer_id"] = {"type": "string", "comment": "Who"}
    path.write_text(yaml.safe_dump(told), "utf-8")
    assert load_problem(path).monitor.requests == "asked"


def test_of_requests_no_pseudonym_is_made_again(repository, tmp_path) -> None:
    """What was asked about came from gold.features: a pseudonym of it is nobody's who is known."""
    told = yaml.safe_load((repository / "conf" / "churn.yaml").read_text("utf-8"))
    text = {"type": "string", "comment": "As the server wrote it"}
    time = {"type": "timestamp", "comment": "When"}
    columns = {"time": time, "customer_id": text, "country": text}
    asked = {"path": "asked/*", "format": "ndjson", "time": "time", "columns": columns}
    told["sources"]["asked"], told["monitor"] = asked, {"requests": "asked"}
    path = tmp_path / "churn.yaml"

    def load(*hidden: str) -> Problem:
        asked["columns"] = columns | {name: {**text, "pseudonym": True} for name in hidden}
        path.write_text(yaml.safe_dump(told), "utf-8")
        return load_problem(path)

    def hide(source: str) -> None:
        held = told["sources"][source]["columns"]
        given = held["customer_id"]
        named = given if isinstance(given, dict) else {"type": given}
        held["customer_id"] = named | {"pseudonym": True}

    assert not load().pseudonymous
    hide("visits")
    hide("orders")
    with pytest.raises(ConfError, match="in some sources and not in others") as refused:
        load()
    assert refused.value.found == "plain in customers"
    hide("customers")
    assert load().pseudonymous
    for column in ("customer_id", "country"):  # the entity, and an attribute
        with pytest.raises(ConfError, match="would not be kept as gold") as refused:
            load(column)
        assert f"sources.asked.columns.{column}.pseudonym" in str(refused.value)
        assert refused.value.hint.startswith("remove it")


def test_errors_of_a_regression_have_no_value(repository, tmp_path) -> None:
    told = yaml.safe_load((repository / "conf" / "cdnow_spend.yaml").read_text("utf-8"))
    told["monitor"] = {"value": {"false_alarm": 1, "miss": 5}}
    path = tmp_path / "cdnow_spend.yaml"
    path.write_text(yaml.safe_dump(told), "utf-8")
    with pytest.raises(ConfError, match="no false alarms and misses to pay for") as refused:
        load_problem(path)
    assert "monitor.value" in str(refused.value)


@pytest.mark.parametrize("name", ["entity", "model_version"])
def test_no_attribute_is_called_as_what_predictions_are_kept_by(
    repository, tmp_path, name: str
) -> None:
    """Monitoring joins the two: a problem that scores could not be monitored."""
    text = (repository / "conf" / "churn.yaml").read_text("utf-8")
    path = tmp_path / "churn.yaml"
    path.write_text(re.sub(r"\bcountry\b", name, text), "utf-8")
    with pytest.raises(ConfError, match="would have the same name") as refused:
        load_problem(path)
    assert refused.value.allowed.endswith("entity, model_version")
