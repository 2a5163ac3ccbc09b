"""What is wrong with a conf is said with file, key, what was found, what is allowed and a hint."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from driftline.conf import read_yaml
from driftline.environment import Environment, load_environment
from driftline.errors import ConfError, did_you_mean
from driftline.problem import digest, load_problem

PROJECT = Path(__file__).parents[2]
CHURN = (PROJECT / "conf" / "churn.yaml").read_text(encoding="utf-8")
PROBLEMS = sorted(path.name for path in (PROJECT / "conf").glob("*.yaml"))

ORDERS = "{name: orders, source: orders, operation: count, windows: [30d, 90d, 180d]}"
SPLIT = "{by: time, test: 1, validation: 1}"
FOREST = "random_forest: {numTrees: [40], maxDepth: [8], minInstancesPerNode: [10]}"
LABEL = "horizon: 30d, outcome: none}"

TOP = (
    "name, question, task, entity, sources, label, population, features, profile, cutoffs, split, "
    "prepare, train, drift, monitor, prices, sla, budgets, schedule"
)
DURATION = "a whole number of days above 0, written like 30d"
OPERATIONS = (
    "count, sum, mean, min, max, std, first, last, distinct, top_share, recency, frequency, "
    "gap, gap_std, trend, ratio, slope"
)
FAMILIES = (
    "logistic_regression, linear_svc, linear_regression, generalized_linear, decision_tree, "
    "random_forest, gradient_boosted_trees, naive_bayes, multilayer_perceptron"
)
ORDER_COLUMNS = "order_id, customer_id, time, amount, items, category, channel"
CUSTOMER_COLUMNS = "customer_id, signup_date, age, gender, country, updated_at"
NAME = "lower-case letters, digits and _, a letter first"
VALUE = (
    "value with sum, mean, min, max, std, first, last, distinct, top_share; with or without ratio, "
    "slope; none with the others"
)
TYPES = "string, long, double, boolean, timestamp, date"
WATCHED = "silver.visits, silver.orders, silver.customers"

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
        ("format: csv", "format: csv\n    separator: ';;'"),
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
        ("format: csv", "format: csv\n    header: maybe"),
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
    "type that is none": (
        ("category: {type: string", "category: {type: str"),
        (
            "not one of the allowed values",
            "sources.orders.columns.category.type",
            "str",
            TYPES,
            "did you mean 'string'?",
        ),
    ),
    "type that is none, short form": (
        ("category: {type: string, comment: Main category}", "category: text"),
        (
            "not one of the allowed values",
            "sources.orders.columns.category",
            "text",
            TYPES,
            "choose one of the allowed values",
        ),
    ),
    "format that is none": (
        ("format: ndjson", "format: json"),
        (
            "not one of the allowed values",
            "sources.orders.format",
            "json",
            "access_log, csv, ndjson, parquet, whitespace",
            "did you mean 'ndjson'?",
        ),
    ),
    "event time that is not a time": (
        ("time: {type: timestamp, comment: When}", "time: {type: string}"),
        (
            "the event time is not a time",
            "sources.orders.time",
            "time, a string",
            "a column of type timestamp or date",
            "give it a type, and a format if it is not ISO 8601",
        ),
    ),
    "event time that is no column": (
        ("time: updated_at", "time: updated"),
        (
            "no such column",
            "sources.customers.time",
            "updated",
            CUSTOMER_COLUMNS,
            "did you mean 'updated_at'?",
        ),
    ),
    "key that is no column": (
        ("key: [order_id]", "key: [number]"),
        (
            "no such column",
            "sources.orders.key",
            "number",
            ORDER_COLUMNS,
            "declare it under columns",
        ),
    ),
    "source of the label": (
        ("{source: orders, horizon", "{source: order, horizon"),
        (
            "no such source",
            "label.source",
            "order",
            "visits, orders, customers",
            "did you mean 'orders'?",
        ),
    ),
    "source of a feature": (
        (ORDERS, ORDERS.replace("source: orders", "source: shop")),
        (
            "no such source",
            "features.0.source",
            "shop",
            "visits, orders, customers",
            "declare it under sources",
        ),
    ),
    "entity that is no column": (
        ("entity: customer_id", "entity: client"),
        (
            "not a column of orders, which label needs",
            "entity",
            "client",
            ORDER_COLUMNS,
            "declare it in sources.orders",
        ),
    ),
    "attribute that is no column": (
        ("attributes: [age,", "attributes: [ages,"),
        (
            "not a column of customers",
            "profile.attributes",
            "ages",
            CUSTOMER_COLUMNS,
            "did you mean 'age'?",
        ),
    ),
    "attribute that is the entity": (
        ("attributes: [age,", "attributes: [customer_id,"),
        (
            "two columns of gold.features would have the same name",
            "profile.attributes",
            "customer_id",
            "each name once; taken are customer_id, as_of, label, part, fold, features, score, "
            "prediction, probability",
            "rename one of the features, or remove a repeated window or attribute",
        ),
    ),
    "feature twice": (
        ("name: order_value, source", "name: spend, source"),
        (
            "two columns of gold.features would have the same name",
            "features",
            "spend_90d",
            "each name once; taken are customer_id, as_of, label, part, fold, features, score, "
            "prediction, probability",
            "rename one of the features, or remove a repeated window or attribute",
        ),
    ),
    "window without a unit": (
        ("windows: [30d, 90d, 180d]", "windows: [30d, 90]"),
        ("not a duration", "features.0.windows.1", "90", DURATION, "write 30d for 30 days"),
    ),
    "window in quotes without a unit": (
        ("horizon: 30d", "horizon: '30'"),
        ("not a duration", "label.horizon", "30", DURATION, "write 30d for 30 days"),
    ),
    "window of no days": (
        ("horizon: 30d", "horizon: 0d"),
        ("not a duration", "label.horizon", "0d", DURATION, "write 30d for 30 days"),
    ),
    "window below nothing": (
        ("within: 90d", "within: -90d"),
        ("not a duration", "population.within", "-90d", DURATION, "write 30d for 30 days"),
    ),
    "window that is a word": (
        ("every: 30d", "every: abc"),
        ("not a duration", "cutoffs.every", "abc", DURATION, "write 30d for 30 days"),
    ),
    "no window": (
        ("windows: [30d, 90d, 180d]", "windows: []"),
        ("too few entries", "features.0.windows", "[]", "at least 1", "add what is missing"),
    ),
    "day that never was": (
        ("first: 2024-05-01", "first: 2024-02-30"),
        (
            "not a day",
            "cutoffs.first",
            "2024-02-30",
            "a day, written like 2024-05-31",
            "the calendar has no such day",
        ),
    ),
    "seconds since 1970 instead of a day": (
        ("first: 2024-05-01", "first: 86400"),
        (
            "not a day",
            "cutoffs.first",
            "86400",
            "a day, written like 2024-05-31",
            "write year, month and day, without a time",
        ),
    ),
    "day with a time": (
        ("first: 2024-05-01", "first: 2024-05-01T00:00:00"),
        (
            "not a day",
            "cutoffs.first",
            "2024-05-01T00:00:00",
            "a day, written like 2024-05-31",
            "write year, month and day, without a time",
        ),
    ),
    "operation that is none": (
        (ORDERS, ORDERS.replace("count", "counts")),
        (
            "not one of the allowed values",
            "features.0.operation",
            "counts",
            OPERATIONS,
            "did you mean 'count'?",
        ),
    ),
    "sum of nothing": (
        ("operation: sum, value: amount", "operation: sum"),
        (
            "sum needs a value",
            "features.1.value",
            "nothing",
            VALUE,
            "value is a column or a SQL expression over the columns",
        ),
    ),
    "count of something": (
        ("operation: count,", "operation: count, value: amount,"),
        (
            "count takes no value",
            "features.0.value",
            "amount",
            VALUE,
            "value is a column or a SQL expression over the columns",
        ),
    ),
    "label that adds up nothing": (
        (LABEL, "horizon: 30d, outcome: sum}"),
        (
            "outcome sum needs a value",
            "label.value",
            "nothing",
            "outcome: sum with a value; outcome: none or any without",
            "value is what is added up, e.g. amount",
        ),
    ),
    "task that is none": (
        ("task: classification", "task: classificaton"),
        (
            "not one of the allowed values",
            "task",
            "classificaton",
            "classification, regression",
            "did you mean 'classification'?",
        ),
    ),
    "label of the other task": (
        (LABEL, "horizon: 30d, outcome: sum, value: amount}"),
        (
            "the label does not fit the task",
            "task",
            "classification with label.outcome sum",
            "classification with none or any; regression with sum",
            "change task or label.outcome",
        ),
    ),
    "metric of the other task": (
        ("metric: roc_auc", "metric: mae"),
        (
            "the metric does not fit the task",
            "train.metric",
            "mae for classification",
            "roc_auc, pr_auc for classification; rmse, mae for regression",
            "change train.metric",
        ),
    ),
    "family of the other task": (
        (FOREST, "linear_regression: {}"),
        (
            "the family does not do classification",
            "train.candidates.linear_regression",
            "linear_regression",
            "logistic_regression, linear_svc, decision_tree, random_forest, "
            "gradient_boosted_trees, naive_bayes, multilayer_perceptron",
            "remove it from train.candidates",
        ),
    ),
    "family that is none": (
        ("random_forest:", "random_florest:"),
        (
            "no such model family",
            "train.candidates.random_florest",
            "random_florest",
            FAMILIES,
            "did you mean 'random_forest'?",
        ),
    ),
    "parameter that is none": (
        ("numTrees:", "n_estimators:"),
        (
            "random_forest has no such parameter",
            "train.candidates.random_forest.n_estimators",
            "n_estimators",
            "numTrees, featureSubsetStrategy, maxDepth, minInstancesPerNode, maxBins, "
            "minInfoGain, subsamplingRate",
            "names are Spark MLlib's",
        ),
    ),
    "grid without values": (
        ("numTrees: [40]", "numTrees: []"),
        (
            "a grid without values",
            "train.candidates.random_forest.numTrees",
            "[]",
            "one value or more",
            "numTrees: [value, …]",
        ),
    ),
    "two ways to decide": (
        ("class_weights: none", "decide: {top: 0.1, best: f1}"),
        (
            "a threshold is chosen by one rule",
            "train.decide",
            "best, top",
            "one of best, top, cost",
            "decide: {cost: {false_alarm: 1, miss: 5}}",
        ),
    ),
    "class with a grid without values": (
        (
            "logistic_regression: {regParam: [0.001, 0.03]}",
            "mine: {class: sklearn.svm.SVC, C: []}",
        ),
        (
            "a grid without values",
            "train.candidates.mine.C",
            "[]",
            "one value or more",
            "C: [value, …]",
        ),
    ),
    "class without a module": (
        ("logistic_regression: {regParam: [0.001, 0.03]}", "mine: {class: Model, depth: [3]}"),
        (
            "not a class that can be a candidate",
            "train.candidates.mine.class",
            "Model",
            "one import path, package.module.Class, under a name that is no family's",
            "class: sklearn.ensemble.HistGradientBoostingClassifier",
        ),
    ),
    "class under the name of a family": (
        (
            "logistic_regression: {regParam: [0.001, 0.03]}",
            "logistic_regression: {class: sklearn.linear_model.LogisticRegression}",
        ),
        (
            "not a class that can be a candidate",
            "train.candidates.logistic_regression.class",
            "sklearn.linear_model.LogisticRegression",
            "one import path, package.module.Class, under a name that is no family's",
            "class: sklearn.ensemble.HistGradientBoostingClassifier",
        ),
    ),
    "grid out of range": (
        ("numTrees: [40]", "numTrees: [40, 0]"),
        (
            "not a value of numTrees",
            "train.candidates.random_forest.numTrees",
            "0",
            "whole numbers from 1",
            "types and ranges are Spark MLlib's",
        ),
    ),
    "word of a grid that is none": (
        ("numTrees: [40]", "featureSubsetStrategy: [most]"),
        (
            "not a value of featureSubsetStrategy",
            "train.candidates.random_forest.featureSubsetStrategy",
            "most",
            "auto, all, sqrt, log2, onethird",
            "types and ranges are Spark MLlib's",
        ),
    ),
    "grid with a hole": (
        ("numTrees: [40]", "numTrees: [40, null]"),
        (
            "not a value of a grid",
            "train.candidates.random_forest.numTrees.1",
            "nothing",
            "numbers, texts, true, false",
            "write [1, 2, 3]",
        ),
    ),
    "value instead of a grid": (
        ("numTrees: [40]", "numTrees: 40"),
        (
            "not a list",
            "train.candidates.random_forest.numTrees",
            "40",
            "a list",
            "write it in brackets: [40]",
        ),
    ),
    "baseline that is none": (
        ("beat: [constant, best_feature]", "beat: [constant, best]"),
        (
            "not one of the allowed values",
            "train.gate.beat.1",
            "best",
            "constant, best_feature, rfm, champion",
            "did you mean 'best_feature'?",
        ),
    ),
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
    "too few folds": (
        ("folds: 3", "folds: 1"),
        ("out of range", "train.folds", "1", "2 or more", "write a number 2 or more"),
    ),
    "clip the wrong way round": (
        ("clip: [0.01, 0.99]", "clip: [0.99, 0.01]"),
        (
            "clip leaves nothing",
            "prepare.clip",
            "[0.99, 0.01]",
            "[low, high] quantiles with low < high, or iqr",
            "clip: [0.01, 0.99]",
        ),
    ),
    "clip with one end": (
        ("clip: [0.01, 0.99]", "clip: [0.01]"),
        ("too few entries", "prepare.clip", "[0.01]", "at least 2", "add what is missing"),
    ),
    "clip with three": (
        ("clip: [0.01, 0.99]", "clip: [0.01, 0.5, 0.99]"),
        ("too many entries", "prepare.clip", "[0.01, 0.5, 0.99]", "at most 2", "there are 3"),
    ),
    "clip that should not be": (
        ("clip: [0.01, 0.99]", "clip: none"),
        ("not a list", "prepare.clip", "none", "a list", "no value is written null"),
    ),
    "split by something else": (
        (SPLIT, "{by: tine}"),
        (
            "not one of the allowed values",
            "split.by",
            "tine",
            "time, entity, random, attribute",
            "did you mean 'time'?",
        ),
    ),
    "split by a list": (
        (SPLIT, "{by: [time]}"),
        (
            "not one of the allowed values",
            "split.by",
            "[time]",
            "time, entity, random, attribute",
            "did you mean 'time'?",
        ),
    ),
    "more than all for the test": (
        (SPLIT, "{by: random, test: 1.5}"),
        ("out of range", "split.test", "1.5", "below 1", "a share of 15 % is written 0.15"),
    ),
    "nothing left to train on": (
        (SPLIT, "{by: random, test: 0.5, validation: 0.5}"),
        (
            "nothing is left to train on",
            "split",
            "test 0.5 + validation 0.5",
            "shares that add up to less than 1",
            "test: 0.2, validation: 0.1 leaves 0.7",
        ),
    ),
    "no as-of for the test": (
        (SPLIT, "{by: time, test: 0}"),
        ("out of range", "split.test", "0", "1 or more", "write a number 1 or more"),
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
    "threshold of 15": (
        ("ks: 0.15", "ks: 15"),
        ("out of range", "drift.ks", "15", "1 or less", "a share of 15 % is written 0.15"),
    ),
    "negative price": (
        ("gib_hour: 0.006", "gib_hour: -0.006"),
        ("out of range", "prices.gib_hour", "-0.006", "0 or more", "write a number 0 or more"),
    ),
}


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "conf" / "x.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def said(error: ConfError) -> tuple[str, str, str, str, str]:
    return error.what, error.key, error.found, error.allowed, error.hint


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    old, new = change
    assert old in CHURN
    path = written(tmp_path, CHURN.replace(old, new, 1))
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert said(caught.value) == expected
    assert caught.value.file == str(path)
    assert caught.value.exit_code == 2


YAML = "YAML 1.1, each key once, nothing but texts, numbers, lists and mappings"
LOOK = "look at the line above too; indent with spaces; quote a text that holds ': '"


@pytest.mark.parametrize(
    ("text", "place", "found", "hint"),
    [
        ("name: a\ntask: b\nname: c\n", ":3:1", "key 'name' is there twice", "remove or rename it"),
        ("a: {b: 1, b: 2}\n", ":1:11", "key 'b' is there twice", "remove or rename it"),
        ("a:\n\tb: 1\n", ":2:1", "found character '\\t' that cannot start any token", LOOK),
        ("a: [1, 2\nb: 3\n", ":2:2", "expected ',' or ']', but got ':'", LOOK),
        ("a: b: c\n", ":1:5", "mapping values are not allowed here", LOOK),
        ("[a]: b\n", ":1:1", "a list or a mapping used as a key", "remove or rename it"),
        (
            "a: !!python/name:os.system\n",
            ":1:4",
            "could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'",
            "remove or rename it",
        ),
        ("a: 0x_\n", "", "invalid literal for int() with base 16: ''", LOOK),
        (
            "a: 'b\0'\n",
            "",
            "unacceptable character #x0000: special characters are not allowed",
            LOOK,
        ),
    ],
)
def test_not_yaml(tmp_path: Path, text: str, place: str, found: str, hint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfError) as caught:
        read_yaml(path)
    assert said(caught.value) == ("not valid YAML", "", found, YAML, hint)
    assert caught.value.file == f"{path}{place}"


def test_a_list_that_holds_itself_is_not_valid_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match="not valid YAML"):
        read_yaml(written(tmp_path, "a: &a [*a]\n"))


def test_merge_keys_are_yaml(tmp_path: Path) -> None:
    path = written(tmp_path, "a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  c: 3\n")
    assert read_yaml(path) == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


def test_dates_stay_text_and_lists_become_tuples(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 2024-02-30\nb: [1, [x]]\n")
    assert read_yaml(path) == {"a": "2024-02-30", "b": (1, ("x",))}


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "nothing"), ("# a comment\n", "nothing"), ("- a\n", "a list"), ("hello\n", "a text")],
)
def test_not_a_mapping(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, text))
    assert said(caught.value) == (
        "not a mapping of keys to values",
        "",
        found,
        "key: value lines",
        "start from one of the files in conf/",
    )


UNREADABLE = ("cannot read the file", "", "a readable UTF-8 YAML file")


def unreadable(path: Path) -> tuple[str, str]:
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    error = caught.value
    assert (error.what, error.key, error.allowed) == UNREADABLE
    assert error.file == str(path)
    return error.found, error.hint


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, "").with_name("churn.yaml")
    path.write_text("")
    assert unreadable(path.with_name("chrun.yaml")) == (
        "no such file",
        "did you mean 'churn.yaml'?",
    )
    assert unreadable(path.with_name("other.txt")) == (
        "no such file",
        f"YAML files in {path.parent}: churn.yaml, x.yaml",
    )


def test_missing_folder(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert unreadable(nowhere / "x.yaml") == (
        "no such file",
        f"there is no folder {nowhere} either",
    )


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    folder = written(tmp_path, "").parent
    assert unreadable(folder) == ("a folder", f"YAML files in {folder}: x.yaml")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = written(tmp_path, b"name: a\nquestion: caf\xe9\n")
    assert unreadable(path) == ("bytes that are not UTF-8, in line 2", "save the file as UTF-8")


HERE = "warehouse: tables\ndata: ../data\nmlflow: tables/mlflow.db\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HERE + "mastr: local\n",
            (
                "unknown key",
                "mastr",
                "mastr",
                "warehouse, data, mlflow, master, catalog, cores, memory_gib, spark, connections, "
                "pushgateway",
                "did you mean 'master'?",
            ),
        ),
        (
            "data: data\nmlflow: m.db\n",
            (
                "a required key is missing",
                "warehouse",
                "nothing",
                "warehouse: …",
                "add 'warehouse:'",
            ),
        ),
        (
            HERE + "cores: 0\n",
            ("out of range", "cores", "0", "1 or more", "write a number 1 or more"),
        ),
        (
            HERE + "memory_gib: 0\n",
            ("out of range", "memory_gib", "0", "above 0", "write a number above 0"),
        ),
        (
            HERE + "spark: {spark.sql.shuffle.partitions: 16}\n",
            (
                "not a text",
                "spark.spark.sql.shuffle.partitions",
                "16",
                "a text",
                "put it in quotes: '16'",
            ),
        ),
        (
            HERE.replace("tables/mlflow.db", "postgresql://me:secret@host/db"),
            (
                "not an MLflow tracking store",
                "mlflow",
                "postgresql://…",
                "a path to a SQLite file, or a URI that starts with sqlite, http or https",
                "mlflow: warehouse/mlflow.db",
            ),
        ),
        (
            HERE.replace("tables/mlflow.db", "httpx://host"),
            (
                "not an MLflow tracking store",
                "mlflow",
                "httpx://…",
                "a path to a SQLite file, or a URI that starts with sqlite, http or https",
                "mlflow: warehouse/mlflow.db",
            ),
        ),
        (
            HERE + "pushgateway: http://me:secret@gateway:9091\n",
            (
                "not the URL of a Pushgateway",
                "pushgateway",
                "http://…",
                "a URI that starts with http or https, without user and password",
                "pushgateway: http://127.0.0.1:9091",
            ),
        ),
        (
            HERE.replace("warehouse: tables", "warehouse: ''"),
            (
                "the text is too short",
                "warehouse",
                "an empty text",
                "at least 1 character",
                "write something there",
            ),
        ),
        (
            HERE.replace("warehouse: tables", "warehouse: s3://lake/warehouse"),
            (
                "not how Spark calls an object store",
                "warehouse",
                "s3://lake/warehouse",
                "a folder, or a URI: s3a://bucket/folder",
                "s3a:// it is",
            ),
        ),
    ],
)
def test_wrong_environment(
    tmp_path: Path, text: str, expected: tuple[str, str, str, str, str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfError) as caught:
        load_environment(path)
    assert said(caught.value) == expected
    assert caught.value.file == str(path)
    assert caught.value.exit_code == 2


def test_recency_frequency_and_money_are_to_beat_where_the_features_tell_them(tmp_path) -> None:
    text = CHURN.replace("beat: [constant, best_feature]", "beat: [rfm]")
    assert load_problem(written(tmp_path, text)).train.gate.beat == ("rfm",)
    without = text.replace(
        "name: spend, source: orders, operation: sum", "name: spend, source: orders, operation: max"
    )
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, without))
    assert said(caught.value)[:3] == (
        "the features do not tell recency, frequency and money of the same events",
        "train.gate.beat",
        "rfm",
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("attributes: [side, age", "attributes: [age"),
            ("no such attribute to split by", "split.attribute", "side"),
        ),
        (
            ("{type: timestamp, value: 1994-01-01", "{type: string, value: 1994-01-01"),
            (
                "not a column that can have the same value in every row",
                "sources.people.columns.known.value",
                "a string",
            ),
        ),
        (
            ("{type: timestamp, value: 1994-01-01", "{type: date, from: x, value: 1994-01-01"),
            (
                "not a column that can have the same value in every row",
                "sources.people.columns.known.value",
                "a date from x",
            ),
        ),
    ],
)
def test_wrong_in_a_table_without_time(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str]
) -> None:
    text = (PROJECT / "conf" / "adult.yaml").read_text("utf-8")
    assert change[0] in text
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, text.replace(*change)))
    assert said(caught.value)[:3] == expected


def test_a_problem_without_features_and_profile_has_nothing_to_learn_from(tmp_path: Path) -> None:
    text = (PROJECT / "conf" / "adult.yaml").read_text("utf-8")
    start, end = text.index("profile:"), text.index("cutoffs:")
    bare = (text[:start] + text[end:]).replace(
        "split: {by: attribute, attribute: side, test: test, validation: 0.1}",
        "split: {by: random}",
    )
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, bare))
    assert said(caught.value)[:2] == ("there is nothing to learn from", "features")


def test_nothing_is_calibrated_without_validation_rows(tmp_path: Path) -> None:
    text = CHURN.replace(SPLIT, "{by: time, test: 1, validation: 0}")
    path = written(tmp_path, text.replace("calibrate: none", "calibrate: platt"))
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    assert said(caught.value) == (
        "there is nothing to calibrate on",
        "train.calibrate",
        "split.validation 0",
        "a classification with validation rows",
        "keep validation rows: split.validation",
    )


@pytest.mark.parametrize("folder", ["conf", "conf/env", "elsewhere"])
def test_relative_folders_start_at_what_holds_conf(tmp_path: Path, folder: str) -> None:
    path = tmp_path / "project" / folder / "here.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HERE)
    start = tmp_path / "project" / ("elsewhere" if folder == "elsewhere" else "")
    found = load_environment(path)
    assert found.warehouse == f"{start}/tables"
    assert found.data == str(start.parent / "data")
    assert found.mlflow == f"sqlite:///{start}/tables/mlflow.db"


def test_absolute_folders_and_addresses_stay(tmp_path: Path) -> None:
    path = written(tmp_path, "warehouse: s3a://bucket/a\ndata: /srv/b\nmlflow: http://host:5000\n")
    assert load_environment(path) == Environment(
        warehouse="s3a://bucket/a", data="/srv/b", mlflow="http://host:5000"
    )


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


@pytest.mark.parametrize("name", PROBLEMS)
def test_shipped_problems_load(name: str) -> None:
    problem = load_problem(PROJECT / "conf" / name)
    assert f"{problem.name}.yaml" == name


@pytest.mark.parametrize("path", sorted((PROJECT / "conf" / "env").glob("*.yaml")), ids=str)
def test_shipped_environments_load(path: Path) -> None:
    assert load_environment(path).cores >= 1


def test_values_of_a_problem(tmp_path: Path) -> None:
    problem = load_problem(
        written(tmp_path, CHURN.replace("age: {type: long", "age: {type: double"))
    )
    assert problem.cutoffs.first == date(2024, 5, 1)
    assert problem.label.horizon == 30
    assert problem.features[0].columns == ("orders_30d", "orders_90d", "orders_180d")
    assert problem.sources["visits"].columns["customer_id"].source == "user"
    assert problem.sources["customers"].columns["age"].type == "double"
    assert problem.train.candidates["random_forest"] == {
        "numTrees": (40,),
        "maxDepth": (8,),
        "minInstancesPerNode": (10,),
    }


def test_short_form_of_a_column(tmp_path: Path) -> None:
    long = "items: {type: long, comment: Pieces}"
    assert long in CHURN
    problem = load_problem(written(tmp_path, CHURN.replace(long, "items: long")))
    assert problem.sources["orders"].columns["items"].type == "long"
    assert problem.sources["orders"].columns["items"].comment == ""


def digest_of(tmp_path: Path, text: str) -> str:
    return load_problem(written(tmp_path, text)).digest


def test_digest_ignores_comments_and_the_order_of_keys(tmp_path: Path) -> None:
    head, rest = CHURN.split("task: ", 1)
    task, rest = rest.split("\n", 1)
    moved = f"{head}{rest}\ntask: {task}\n"
    assert moved != CHURN
    plain = digest_of(tmp_path, CHURN)
    assert len(plain) == 64
    assert digest_of(tmp_path, "# a comment\n" + CHURN) == plain
    assert digest_of(tmp_path, moved) == plain
    swapped = CHURN.replace(
        "{impute: median, clip: [0.01, 0.99]", "{clip: [0.01, 0.99], impute: median"
    )
    assert swapped != CHURN
    assert digest_of(tmp_path, swapped) == plain


def test_digest_does_not_tell_a_default_from_the_same_value(tmp_path: Path) -> None:
    assert "  folds: 3\n" in CHURN
    assert digest_of(tmp_path, CHURN.replace("  folds: 3\n", "")) == digest_of(tmp_path, CHURN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("horizon: 30d", "horizon: 31d"),
        ("first: 2024-05-01", "first: 2024-05-02"),
        ("where: path = '/cart'", "where: path = '/buy'"),
        ("seed: 7", "seed: 8"),
        ("windows: [30d, 90d]", "windows: [90d, 30d]"),
    ],
)
def test_digest_changes_with_what_is_said(tmp_path: Path, old: str, new: str) -> None:
    assert old in CHURN
    assert digest_of(tmp_path, CHURN.replace(old, new, 1)) != digest_of(tmp_path, CHURN)


def test_digest_of_a_known_value() -> None:
    # printf '{"a":[1,2],"b":"x"}' | sha256sum
    expected = "d0f56dda38d34376527524ddd98f7ec117d5cbfb240f86e11bfb9d2d01a717d9"
    assert digest({"b": "x", "a": (1, 2)}) == expected


@pytest.fixture
def fake_java(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment whose only Java writes a file when it is called."""
    called = tmp_path / "called"
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho called >> '{called}'\nexit 1\n")
    java.chmod(0o755)
    path = f"{java.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "JAVA_HOME": str(java.parents[1]), "PATH": path}, called


@pytest.mark.parametrize("command", ["explain", "ingest", "train", "run"])
def test_a_wrong_conf_ends_before_java(
    tmp_path: Path, fake_java: tuple[dict[str, str], Path], command: str
) -> None:
    environment, called = fake_java
    path = written(tmp_path, CHURN.replace("folds: 3", "fold: 3"))
    done = subprocess.run(
        [Path(sys.prefix, "bin", "driftline"), command, "--problem", path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("driftline: unknown key\n")
    assert "did you mean 'folds'?" in done.stderr
    assert not called.exists()


def test_a_right_conf_reaches_java(fake_java: tuple[dict[str, str], Path], tmp_path: Path) -> None:
    """The test above could not fail if the fake Java were never found."""
    environment, called = fake_java
    done = subprocess.run(
        [
            *(Path(sys.prefix, "bin", "driftline"), "ingest"),
            *("--problem", PROJECT / "conf" / "churn.yaml"),
            *("--warehouse", tmp_path / "warehouse"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert called.exists()
    assert done.returncode == 4, done.stderr


def test_explain_needs_neither_spark_nor_mlflow() -> None:
    script = """
import sys
from driftline.cli import main
main(["explain", "--problem", sys.argv[1]])
heavy = {"pyspark", "mlflow", "py4j", "sklearn", "pandas", "pyarrow", "great_expectations"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, PROJECT / "conf" / "churn.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Which customers of the shop")
    assert done.stdout.endswith("[]\n")


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
