"""What is wrong with a conf is said with file, key, what was found, what is allowed and a hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from conf_errors import CHURN, ORDERS, SPLIT, refusal, said, written

from driftline.errors import ConfError, did_you_mean
from driftline.problem import load_problem

TOP = (
    "name, question, task, entity, sources, label, population, features, profile, cutoffs, split, "
    "prepare, train, drift, monitor, prices, sla, budgets, schedule"
)
NAME = "lower-case letters, digits and _, a letter first"

# id: what is replaced, by what; then what the error says: what, key, found, allowed, hint
CHANGES = {
    "unknown key at the top": (
        ("question:", "questoin:"),
        ("unknown key", "questoin", "questoin", TOP, "did you mean 'question'?"),
    ),
    "unknown key that is like no other": (
        ("question:", "zzz: 1\nquestion:"),
        ("unknown key", "zzz", "zzz", TOP, "remove it; the files in conf/ show every key"),
    ),
    "key that is a number": (
        ("question:", "1: 2\nquestion:"),
        ("unknown key", "1", "1", TOP, "remove it; the files in conf/ show every key"),
    ),
    "unknown key one level down": (
        ("folds: 3", "fold: 3"),
        (
            "unknown key",
            "train.fold",
            "fold",
            "metric, folds, seed, class_weights, search, candidates, gate, decide, calibrate",
            "did you mean 'folds'?",
        ),
    ),
    "unknown key in a list": (
        (ORDERS, ORDERS.replace("operation", "op")),
        (
            "unknown key",
            "features.0.op",
            "op",
            "source, where, name, operation, value, windows, against",
            "did you mean 'operation'?",
        ),
    ),
    "unknown key in one of two forms": (
        (SPLIT, "{by: time, tests: 1}"),
        (
            "unknown key",
            "split.tests",
            "tests",
            "by, test, validation, folds, recent",
            "did you mean 'test'?",
        ),
    ),
    "unknown key five levels down": (
        ("{type: string, comment: Unique order number}", "{typ: string}"),
        (
            "unknown key",
            "sources.orders.columns.order_id.typ",
            "typ",
            "type, from, format, value, comment, pseudonym",
            "did you mean 'type'?",
        ),
    ),
    "missing key": (
        ("entity: customer_id", "#"),
        ("a required key is missing", "entity", "nothing", "entity: …", "add 'entity:'"),
    ),
    "missing key in a list": (
        (", windows: [30d, 90d, 180d]}", "}"),
        (
            "a required key is missing",
            "features.0.windows",
            "nothing",
            "windows: …",
            "add 'windows:'",
        ),
    ),
    "missing key that decides the form": (
        (SPLIT, "{test: 1}"),
        ("a required key is missing", "split.by", "nothing", "by: …", "add 'by:'"),
    ),
    "word instead of a whole number": (
        ("folds: 3", "folds: three"),
        (
            "not a whole number",
            "train.folds",
            "three",
            "a whole number",
            "write digits only, without quotes",
        ),
    ),
    "truth instead of a whole number": (
        ("folds: 3", "folds: yes"),
        (
            "not a whole number",
            "train.folds",
            "true",
            "a whole number",
            "write digits only, without quotes",
        ),
    ),
    "number in quotes": (
        ("core_hour: 0.05", "core_hour: '0.05'"),
        (
            "not a number",
            "prices.core_hour",
            "0.05",
            "a number",
            "write it like 0.05, without quotes",
        ),
    ),
    "number that is none": (
        ("psi: 0.2", "psi: .nan"),
        ("not a number", "drift.psi", "nan", "a finite number", "write it like 0.05"),
    ),
    "number without end": (
        ("core_hour: 0.05", "core_hour: .inf"),
        ("not a number", "prices.core_hour", "inf", "a finite number", "write it like 0.05"),
    ),
    "number instead of a text": (
        (
            "question: Which customers of the shop will buy nothing in the next 30 days?",
            "question: 5",
        ),
        ("not a text", "question", "5", "a text", "put it in quotes: '5'"),
    ),
    "text without a character": (
        ("value: amount", "value: ''"),
        (
            "the text is too short",
            "features.1.value",
            "an empty text",
            "at least 1 character",
            "write something there",
        ),
    ),
    "text that is too long": (
        ("separator: ','", "separator: ';;'"),
        (
            "the text is too long",
            "sources.customers.separator",
            ";;",
            "at most 1 character(s)",
            "it has 2",
        ),
    ),
    "key without its value": (
        ("task: classification", "task:"),
        (
            "not one of the allowed values",
            "task",
            "nothing",
            "classification, regression",
            "choose one of the allowed values",
        ),
    ),
    "column without its value": (
        ("category: {type: string, comment: Main category}", "category:"),
        (
            "a value is missing",
            "sources.orders.columns.category",
            "nothing",
            "key: value pairs",
            "write a value after the colon, or remove the key",
        ),
    ),
    "word instead of a truth": (
        ("header: true", "header: maybe"),
        (
            "neither true nor false",
            "sources.customers.header",
            "maybe",
            "true, false",
            "write true or false, without quotes",
        ),
    ),
    "word instead of a list": (
        ("key: [order_id]", "key: order_id"),
        (
            "not a list",
            "sources.orders.key",
            "order_id",
            "a list",
            "write it in brackets: [order_id]",
        ),
    ),
    "list instead of a mapping": (
        (SPLIT, "[time]"),
        (
            "not a mapping of keys to values",
            "split",
            "[time]",
            "key: value pairs",
            "write {key: value, …}",
        ),
    ),
    "name with a capital and a dash": (
        ("name: churn ", "name: Churn-Model "),
        ("not a name", "name", "Churn-Model", NAME, "write churn_model"),
    ),
    "column name with a space": (
        ("category: {type", "main category: {type"),
        (
            "not a name",
            "sources.orders.columns.main category",
            "main category",
            NAME,
            "write main_category",
        ),
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    assert said(refusal(tmp_path, change)) == expected


def test_what_the_message_looks_like(tmp_path: Path) -> None:
    path = written(tmp_path, CHURN.replace("folds: 3", "fold: 3"))
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert str(caught.value).split("\n") == [
        "unknown key",
        f"  file:    {path}",
        "  key:     train.fold",
        "  found:   fold",
        "  allowed: metric, folds, seed, class_weights, search, candidates, gate, decide, "
        "calibrate",
        "  hint:    did you mean 'folds'?",
    ]


@pytest.mark.parametrize(
    ("found", "allowed", "expected"),
    [
        ("silvr", ["silver", "gold"], "did you mean 'silver'?"),
        ("op", ["operation", "value"], "did you mean 'operation'?"),
        ("co", ["count", "cores"], "look"),
        ("", ["count"], "look"),
        ("xyz", [], "look"),
    ],
)
def test_did_you_mean(found: str, allowed: list[str], expected: str) -> None:
    assert did_you_mean(found, iter(allowed), otherwise="look") == expected
