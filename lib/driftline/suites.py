"""The only module that runs Great Expectations: its verdicts on our numbers, or on the rows.

A compiled rule's numbers come from the one pass over the rows; what they mean (``mostly``, strict
bounds, dates as text) is decided by Great Expectations' own code, and the results are its own
objects. Rules that are not compiled it runs by itself. Of the values of rows only numbers and times
that are a column's aggregates are fetched and kept.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyspark.sql import DataFrame, Row
from pyspark.sql.types import StructType

from driftline import quality, storage, untold
from driftline.errors import ConfError, Refused
from driftline.expectation_results import Numbers, mask, verdict
from driftline.rule_arguments import is_as_written
from driftline.suite_files import Rule, Suite, Verdict

# Read at import: nothing is reported to anybody.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Judged:
    """The verdicts on one batch, and the same as Great Expectations' result, as JSON."""

    verdicts: list[Verdict]
    result: str
    rows: int
    told: Row | None = None
    """What the one pass told, with whatever else was asked of it."""


def check(suite: Suite) -> None:
    """Raise :class:`ConfError` unless every rule is an expectation with arguments that it has, and
    Great Expectations takes them for what they say.
    """
    for rule in suite.rules:
        expectation = _expectation(rule, suite)
        for argument, written in rule.arguments.items():
            taken = getattr(expectation, argument, written)
            if not is_as_written(written, taken):
                raise ConfError(
                    "Great Expectations takes an argument for another value",
                    file=suite.file or suite.name,
                    key=f"{rule.name} ({rule.type})",
                    found=f"{argument} {json.dumps(written)}, taken for {json.dumps(taken)}",
                    allowed="an argument of the type it wants",
                    hint=f"write {json.dumps(taken)}, or what was meant",
                )


def allows_no_row(rule: Rule, suite: Suite) -> bool:
    """Whether the rule holds for a table without a row, if it is about their number."""
    counts = quality.AGGREGATES.get(rule.type, ("",))[0] == quality.ROW_COUNT
    return not counts or bool(_decide(rule, suite, {quality.ROW_COUNT: 0}, StructType()).success)


def judge(
    rows: DataFrame,
    suite: Suite,
    numbers: Sequence[Numbers | str | None],
    *,
    count: int,
    meta: Mapping[str, Any],
) -> Judged:
    """The verdict of every rule; one whose numbers are None is run on ``rows`` as it is. Of one
    that fails on a value there is a text instead: Spark's condition.

    ``count`` is the number of rows. ``meta`` goes into the result: what was judged, when, by whom.
    """
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.util import convert_to_json_serializable

    by_hand = [place for place, each in enumerate(numbers) if each is None]
    ran = _run([suite.rules[place] for place in by_hand], suite, rows)
    results = []
    for place, rule in enumerate(suite.rules):
        found = numbers[place]
        if found is None:
            results.append(ran[by_hand.index(place)])
        elif isinstance(found, str):
            results.append(_untold(rule, suite, found))
        else:
            results.append(_decide(rule, suite, found, rows.schema))
    verdicts = []
    for rule, result, found in zip(suite.rules, results, numbers, strict=True):
        mask(rule, result)
        verdicts.append(verdict(rule, result, {} if isinstance(found, str) else found, count))
    held = sum(bool(each.success) for each in results)
    whole = ExpectationSuiteValidationResult(
        success=held == len(results),
        results=results,
        suite_name=suite.name,
        suite_parameters={},
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": held,
            "unsuccessful_expectations": len(results) - held,
            "success_percent": 100 * held / len(results),
        },
        meta={"great_expectations_version": gx.__version__, **meta},
    )
    # What it ran itself may hold NumPy's truth values, as that of quantiles does.
    kept = convert_to_json_serializable(whole.to_json_dict())
    return Judged(verdicts, json.dumps(kept), count)


def refuse(judged: Judged, table: str) -> None:
    """Raise :class:`Refused` when the batch must not pass, naming every reason."""
    reasons = [verdict.refusal for verdict in judged.verdicts if verdict.refusal]
    if not judged.rows and not reasons:
        reasons = ["there is no row to judge"]
    if reasons:
        raise Refused(
            f"{table} was not written: the batch breaks its suite",
            where="; ".join(reasons),
            hint="all verdicts are in ops.quality; mend the data or the suite, then run again",
        )


def data_docs(results: Sequence[str], folder: Path) -> Path:
    """Build Great Expectations' Data Docs of stored results (see :class:`Judged`) in a new folder;
    returns the page to open.
    """
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResultSchema, RunIdentifier
    from great_expectations.data_context.types import resource_identifiers as keys

    with tempfile.TemporaryDirectory() as scratch:
        context: Any = gx.get_context(mode="file", project_root_dir=scratch)
        named: dict[str, Any] = {}
        for text in results:
            result = ExpectationSuiteValidationResultSchema().load(json.loads(text))
            if result.suite_name not in named:
                asked = gx.ExpectationSuite(name=result.suite_name)
                for each in result.results:
                    asked.add_expectation_configuration(each.expectation_config)
                named[result.suite_name] = context.suites.add(asked)
            run = result.meta["run_id"]
            key = keys.ValidationResultIdentifier(
                keys.ExpectationSuiteIdentifier(result.suite_name),
                RunIdentifier(run["run_name"], datetime.fromisoformat(run["run_time"])),
                result.meta["batch"] or "all",
            )
            context.validation_results_store.set(key, result)
        built = Path(urlsplit(context.build_data_docs()["local_site"]).path)
        shutil.copytree(built.parent, folder)
    return folder / built.name


def _expectation(rule: Rule, suite: Suite, **more: Any) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations import registry

    meta = {"why": rule.why, "severity": rule.severity, "name": rule.name, **more}
    severity = "critical" if rule.severity == "error" else "warning"
    try:
        kind = registry.get_expectation_impl(rule.type)
        return kind(**rule.arguments, meta=meta, severity=severity)
    except (
        ArithmeticError,
        AttributeError,
        TypeError,
        ValueError,
        GreatExpectationsError,
    ) as error:
        raise ConfError(
            "not an expectation of Great Expectations",
            file=suite.file or suite.name,
            key=rule.type,
            found=" ".join(str(error).split())[:200],
            allowed="a type and the arguments its documentation gives",
            hint="check spelling and arguments",
        ) from None


def _decide(rule: Rule, suite: Suite, numbers: Numbers, schema: StructType) -> Any:
    """Great Expectations' verdict on numbers that it did not have to find itself."""
    from great_expectations.exceptions import GreatExpectationsError

    expectation = _expectation(rule, suite)
    runtime: dict[str, Any] = {"result_format": dict(_FORMAT)}
    engine = _engine()
    asked = expectation.get_validation_dependencies(
        execution_engine=engine, runtime_configuration=runtime
    )
    values = {
        each.id: _value(name, numbers, schema) for name, each in asked.metric_configurations.items()
    }
    try:
        result = expectation.metrics_validate(
            values, runtime_configuration=runtime, execution_engine=engine
        )
    except (TypeError, ValueError, GreatExpectationsError) as error:
        raise _cannot_run(rule, suite, type(error).__name__) from None
    result.exception_info = {
        "raised_exception": False,
        "exception_traceback": None,
        "exception_message": None,
    }
    return result


def _untold(rule: Rule, suite: Suite, condition: str) -> Any:
    """What Great Expectations says of a rule that fails, without the trace: it quotes the value."""
    from great_expectations.core import ExpectationValidationResult

    return ExpectationValidationResult(
        success=False,
        expectation_config=_expectation(rule, suite).configuration,
        result={},
        exception_info={
            "raised_exception": True,
            "exception_traceback": "",
            "exception_message": untold.said(condition),
        },
    )


def _engine() -> Any:
    """An engine that is asked what it is and nothing else."""
    from great_expectations.execution_engine import SparkDFExecutionEngine

    return object.__new__(SparkDFExecutionEngine)


def _value(name: str, numbers: Numbers, schema: StructType) -> Any:
    """One metric by Great Expectations' name, as its engine gives it; lists of values are left
    empty.
    """
    from great_expectations.util import convert_to_json_serializable

    own = [each for each in schema if not each.name.startswith("_")]
    if name == "table.columns":
        return [each.name for each in own]
    if name == "table.column_count":
        return len(own)
    if name == "table.column_types":
        return [{"name": each.name, "type": each.dataType} for each in schema]
    if name in numbers:
        # A time as text: what its comparisons are made for.
        return convert_to_json_serializable(numbers[name])
    last = "unexpected_count" if name == "unexpected_rows_query.row_count" else name.split(".")[-1]
    if last in (quality.UNEXPECTED, quality.FILTERED):
        return numbers[last]
    return []


def _run(rules: Sequence[Rule], suite: Suite, rows: DataFrame) -> list[Any]:
    """Results of the rules that Great Expectations runs by itself, in their order."""
    if not rules:
        return []
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    definition = (
        context.data_sources.add_spark("spark", persist=False)
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )
    batch = definition.get_batch(batch_parameters={"dataframe": rows})
    expectations = gx.ExpectationSuite(name=suite.name)
    for place, rule in enumerate(rules):
        # Not by its own method, which leaves out what is equal to another one with its defaults.
        expectations.expectations.append(_expectation(rule, suite, place=place))
    # Great Expectations returns results in an order of its own, with arguments converted.
    told = {
        each.expectation_config.meta.pop("place"): each
        for each in batch.validate(expectations, result_format=dict(_FORMAT)).results
    }
    found = [told[place] for place in range(len(rules))]
    for place, rule in enumerate(rules):
        trouble = found[place].exception_info
        if not trouble or not trouble.get("raised_exception", bool(trouble)):
            continue
        condition = untold.condition_in(str(trouble))
        if condition is None:
            # It makes a verdict even of a table that cannot be read; that is none on the data.
            raise storage.explained(str(trouble)) or _cannot_run(rule, suite, _kind(trouble))
        # What it asks together fails together.
        alone = len(rules) == 1
        found[place] = _untold(rule, suite, condition) if alone else _run([rule], suite, rows)[0]
    return found


def _cannot_run(rule: Rule, suite: Suite, found: str) -> ConfError:
    return ConfError(
        "Great Expectations could not run an expectation",
        file=suite.file or suite.name,
        key=f"{rule.name} ({rule.type})",
        found=found,
        allowed="an expectation that fits the column's type",
        hint="try the suite on a few rows; bounds of a time are written as 2024-12-31 00:00:00",
    )


def _kind(trouble: Any) -> str:
    """Of an exception the kind alone: its message may quote a row's value."""
    text = str(trouble.get("exception_traceback") or trouble)
    kinds = [line.split(":")[0] for line in text.splitlines() if line and not line[0].isspace()]
    return kinds[-1][:80] if kinds else "an exception"
