"""Label, profile, features and cutoffs in a conf: a name, window or day that is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from conf_errors import CUSTOMER_COLUMNS, ORDER_COLUMNS, ORDERS, PROJECT, refusal, said, written

from driftline.errors import ConfError
from driftline.problem import load_problem

LABEL = "horizon: 30d, outcome: none}"
DURATION = "a whole number of days above 0, written like 30d"
OPERATIONS = (
    "count, sum, mean, min, max, std, first, last, distinct, top_share, recency, frequency, "
    "gap, gap_std, trend, ratio, slope"
)
VALUE = (
    "value with sum, mean, min, max, std, first, last, distinct, top_share; with or without ratio, "
    "slope; none with the others"
)

# id: what is replaced, by what; then what the error says: what, key, found, allowed, hint
CHANGES = {
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
            "prediction, probability, entity, model_version",
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
            "prediction, probability, entity, model_version",
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
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_wrong_line(
    tmp_path: Path, change: tuple[str, str], expected: tuple[str, str, str, str, str]
) -> None:
    assert said(refusal(tmp_path, change)) == expected


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
    profile = text[start:end]
    source = next(line for line in profile.splitlines() if "source:" in line)
    by_side = f"{text[:start]}profile:\n{source}\n  attributes: [side]\n{text[end:]}"
    with pytest.raises(ConfError) as caught:  # the model does not see what it is split by
        load_problem(written(tmp_path, by_side))
    found = "side alone, which it is split by"
    assert said(caught.value)[:3] == ("there is nothing to learn from", "features", found)
