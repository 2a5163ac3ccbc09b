"""The line that somebody is woken by: what drifted, how much, from what to what."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pyspark.sql import Row

from driftline import alarm
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs import summary


def drifted(
    column: str,
    statistic: str = "ks",
    value: float = 0.5,
    detail: str = "mean 1 → 2",
    *,
    threshold: float = 0.1,
    segment: str = "",
) -> Statistic:
    return Statistic(column, statistic, value, threshold, detail, drifted=True, segment=segment)


CALM = Statistic("calm", "ks", 0.01, 0.1, "mean 1 → 1")


def test_nothing_is_calm() -> None:
    assert alarm.verdict([CALM]) == "calm"


def test_the_worst_three_in_words_and_the_others_by_name() -> None:
    found = [
        CALM,
        drifted("amount", value=0.3),
        drifted("channel", "new", 0.024, "new app", threshold=0.001),
        drifted("channel", "js", 0.2, "app: 0.0% → 2.4%"),
        drifted("agent", "psi", 1234.5, "x: 1% → 9%", threshold=0.2),
        drifted("country", value=0.11),
        drifted("age", value=0.12),
    ]
    assert alarm.verdict(found) == (
        "5 of 6 columns drifted: agent (psi 1,234.50: x: 1% → 9%), channel (new 0.024: new app), "
        "amount (ks 0.30: mean 1 → 2), age, country"
    )


def test_what_is_new_is_named_also_where_something_else_is_worse() -> None:
    found = [
        drifted("channel", "new", 0.2, "new app; lost fax", threshold=0.03),
        drifted("channel", "psi", 1.56, "web: 60.0% → 40.0%", threshold=0.1),
    ]
    assert alarm.verdict(found) == (
        "1 of 1 column drifted: channel (psi 1.56: web: 60.0% → 40.0%, new app; lost fax)"
    )
    assert alarm.verdict(found, values=False) == "1 of 1 column drifted: channel (psi 1.56)"


def test_a_part_of_a_column_is_no_column_more() -> None:
    found = [replace(CALM, column="agent"), drifted("agent:length"), drifted("agent")]
    assert alarm.verdict(found).startswith("1 of 1 column drifted: agent:length (")


def test_not_more_than_ten_are_named() -> None:
    found = [drifted(f"c{place:02}", value=1 - place / 100) for place in range(30)]
    said = alarm.verdict(found)
    assert said.startswith("30 of 30 columns drifted: c00 (") and said.endswith(", c09 and 20 more")


def test_what_is_worth_most_to_the_model_comes_first() -> None:
    """Also where a part of the column drifted; what the model never saw by how far it is beyond."""
    found = [drifted("new", value=0.9), drifted("a", value=0.8), drifted("b:length", value=0.2)]
    assert alarm.verdict(found, {"a": 0.02, "b": 0.31}) == (
        "3 of 3 columns drifted: b:length (ks 0.20: mean 1 → 2, 31% of importance), "
        "a (ks 0.80: mean 1 → 2, 2% of importance), new (ks 0.90: mean 1 → 2)"
    )


def test_the_table_is_called_so() -> None:
    rows = drifted("*", "volume", 0.9999, "1,000,000 → 100 rows")
    assert alarm.verdict([CALM, rows]) == "the table changed (volume 1.00: 1,000,000 → 100 rows)"
    columns = drifted("*", "schema", 1.0, "lost a", threshold=1.0)
    assert alarm.verdict([CALM, columns, drifted("x")]) == (
        "the table changed (schema: lost a), and 1 of 2 columns drifted: x (ks 0.50: mean 1 → 2)"
    )


def test_segments_are_no_further_columns() -> None:
    found = [
        drifted("x", value=0.2),
        drifted("x", value=0.9, segment="country=DE"),
        drifted("x", value=0.8, segment="country is null"),
        drifted("y", value=0.7, segment="country=AT"),
        drifted("*", "volume", 0.6, "9 → 4 rows", segment="country=AT"),
    ]
    assert alarm.verdict(found) == (
        "the table changed in country=AT (volume 0.60: 9 → 4 rows), and 2 of 2 columns drifted: "
        "x (ks 0.20: mean 1 → 2, also in country=DE, country is null), "
        "y in country=AT (ks 0.70: mean 1 → 2)"
    )


def test_what_is_kept_of_a_run_has_no_values() -> None:
    """A person's word may be among them, and their rows may have to go."""
    found = [
        drifted("mail", "new", 0.9, "new anna@example.org", segment="city=Annaberg"),
        drifted("mail", "js", 0.2, "anna@example.org: 0.0% → 2.4%", segment="city=Aue"),
        drifted("amount", "ks", 0.8, "mean 20 → 4711"),
        drifted("age", "null_rate", 0.7, "0.0% → 70.0% null"),
    ]
    assert alarm.verdict(found, values=False) == (
        "3 of 3 columns drifted: mail in a segment (new 0.90, also in 1 segment), "
        "amount (ks 0.80), age (null_rate 0.70: 0.0% → 70.0% null)"
    )
    told = alarm.verdict(found)
    assert "mail in city=Annaberg (new 0.90: new anna@example.org, also in city=Aue)" in told


def test_a_column_whose_name_has_a_colon_is_a_column() -> None:
    found = [drifted(name, "psi", 0.5, "") for name in ("utm:source", "utm:medium", "`utm:hour`")]
    said = alarm.verdict([*found, drifted("`utm:hour`:length", "js", 0.2, "")])
    assert said.startswith("3 of 3 columns drifted: ")


def test_long_words_are_cut() -> None:
    """And keep the shares at their end."""
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Safari/537.36"
    said = alarm.verdict([drifted("x", "psi", 0.5, f"{agent}: 62.1% → 28.4%")])
    cut = "Mozilla/5.0 (Windows NT 10.0; Win64; x6…ri/537.36: 62.1% → 28.4%"
    assert said == f"1 of 1 column drifted: x (psi 0.50: {cut})"


def test_values_that_were_left_out_are_said_also_where_all_is_calm() -> None:
    left = Statistic("shop", "segments", 50.0, None, "50 of 150 values are not compared")
    assert alarm.verdict([CALM, left]) == "calm; of shop 50 of 150 values are not compared"


def test_a_run_ends_with_columns_and_tables_told_apart(monkeypatch) -> None:
    """Three drifted of two columns, where one is the table; and the worst by its threshold."""
    row = {"table": "silver.o", "from_version": 1, "to_version": 2, "bound": 0.0, "p": 0.0}
    row |= {"slice": "whole", "drifted": True}
    judged = [
        ("a", "null_rate", 0.99, 0.05, "0.0% → 99.0% null", "whole"),
        ("b", "wasserstein", 9.0, 8.0, "mean 1 → 9", "whole"),
        ("b", "wasserstein", 9.5, 8.0, "mean 1 → 9", "whole, shop=1, North"),
        ("*", "schema", 1.0, 1.0, "new c", "whole"),
    ]
    names = ("column", "statistic", "value", "threshold", "detail", "slice")
    rows: list[Any] = [Row(**row | dict(zip(names, each, strict=True))) for each in judged]
    found = SimpleNamespace(where=lambda _: SimpleNamespace(collect=lambda: rows))
    tables = SimpleNamespace(exists=lambda name: True, read=lambda name: found)
    column = SimpleNamespace(isin=lambda ids: None)
    monkeypatch.setattr(summary, "F", SimpleNamespace(col=lambda name: column))
    line: Any = SimpleNamespace(tables=tables)
    assert summary._drift(line, ["r"]) == [
        "drift:    silver.o 1 → 2: the table changed (schema: new c), and 2 of 2 columns drifted: "
        "a (null_rate 0.99: 0.0% → 99.0% null), "
        "b (wasserstein 9.00: mean 1 → 9, also in shop=1, North)"
    ]


def test_a_run_ends_with_the_family_of_the_newest_model(monkeypatch) -> None:
    """Whichever run measured it; one that was deleted is called so."""
    names = ("constant", "best_feature", "model")
    row = {"part": "test", "value": 0.5, "low": 0.4, "high": 0.6, "rows": 9, "detail": "x"}
    row |= {"run_id": "r2", "metric": "roc_auc"}
    more = {"model": "model", "metric": "roc_auc_above_best_feature"}
    rows: list[Any] = [
        Row(**row | each | {"model_version": version})
        for version in (1, 2)
        for each in (*({"model": name} for name in names), more)
    ]
    told = {2: SimpleNamespace(tags={"family": "random_forest"})}

    def version(number: int) -> SimpleNamespace:
        if number not in told:
            raise Missing("no such version", where="", hint="")
        return told[number]

    monkeypatch.setattr(summary, "Registry", lambda *_: SimpleNamespace(version=version))
    monkeypatch.setattr(summary, "_rows", lambda line, table: rows)
    line: Any = SimpleNamespace(
        problem=SimpleNamespace(name="p", train=SimpleNamespace(metric="roc_auc")),
        environment=SimpleNamespace(mlflow="m"),
    )
    assert summary._model(line)[0].startswith("model:    version 2, random_forest: test roc_auc")
    told.clear()
    assert summary._model(line)[0].startswith("model:    version 2, deleted: test roc_auc")
