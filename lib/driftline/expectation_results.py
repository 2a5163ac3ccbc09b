"""What a result of Great Expectations says of a rule, and what it must not keep of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from driftline import quality
from driftline.suite_files import Rule, Verdict

Numbers = Mapping[str, Any]
"""What one rule asked for, by Great Expectations' names (see ``measures.numbers_asked``)."""

_MASKED = "masked"


def mask(rule: Rule, result: Any) -> None:
    """Take values of rows out of a result: text that an aggregate observed, lists of values.

    A number or a time that is a column's least, greatest or quantile is what was asked for.
    """
    values = result.result
    if rule.type in quality.SCHEMA or not values:
        return
    observed = values.get("observed_value")
    if observed and isinstance(observed, str | list | set | tuple):
        values["observed_value"] = _MASKED
    for name in [each for each in values if "_list" in each or each == "details"]:
        del values[name]


def verdict(rule: Rule, result: Any, numbers: Numbers | None, count: int) -> Verdict:
    """What a result says of a rule; ``numbers`` are those it was decided by, if it was not run."""
    engine = "great_expectations" if numbers is None else "plan"
    if result.exception_info.get("raised_exception"):
        seen = result.exception_info["exception_message"]
        return Verdict(rule, False, None, None, None, seen, engine, told=False)
    values, found = result.result or {}, numbers or {}
    observed = values.get("observed_value")
    if isinstance(observed, datetime):
        observed = observed.isoformat(sep=" ")
    elif isinstance(observed, date):
        observed = observed.isoformat()
    unexpected = values.get("unexpected_count", found.get(quality.UNEXPECTED))
    missing = values.get("missing_count", found.get(quality.NULL_COUNT))
    if rule.type in _ABOUT_SETS:
        # Great Expectations gives these names to numbers of values; here they are of rows.
        observed = "; ".join(
            f"{values[name]:,} {what}"
            for name, what in _ABOUT_SETS[rule.type].items()
            if values.get(name) is not None
        )
        unexpected, missing = None, found.get(quality.NULL_COUNT)
    return Verdict(
        rule,
        bool(result.success),
        values.get("element_count", found.get(quality.ROW_COUNT, count)),
        unexpected,
        missing,
        None if observed is None else str(observed),
        engine,
    )


_STRANGE = {"unexpected_count": "different values are not in the set"}
_ABSENT = {"missing_count": "values of the set are absent"}
_ABOUT_SETS: Mapping[str, Mapping[str, str]] = {
    "expect_column_distinct_values_to_be_in_set": _STRANGE,
    "expect_column_distinct_values_to_contain_set": _ABSENT,
    "expect_column_distinct_values_to_equal_set": {**_STRANGE, **_ABSENT},
}
"""What the counts in results of rules about sets of values are counts of."""
