"""The only module that runs Great Expectations: a suite and a DataFrame in, verdicts out."""

from __future__ import annotations

import logging
import os
from typing import Any

from pyspark.sql import DataFrame

from driftline import storage
from driftline.errors import ConfError, Refused
from driftline.quality import Rule, Suite, Verdict

# Read at import: nothing is reported to anybody.
os.environ["GX_ANALYTICS_ENABLED"] = "false"


def validate(rows: DataFrame, suite: Suite, *, file: str) -> list[Verdict]:
    """Run every expectation of ``suite`` on ``rows``; raw values are neither fetched nor kept."""
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
    for place, rule in enumerate(suite.rules):
        expectations.add_expectation(_expectation(gx, rule, place, file))
    results = batch.validate(
        expectations, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    # Great Expectations returns results in an order of its own, with arguments converted.
    by_place = {each.expectation_config.meta["place"]: each for each in results.results}
    verdicts = []
    for place, rule in enumerate(suite.rules):
        result = by_place[place]
        # It makes a verdict even of a table that cannot be read; that is no verdict on the data.
        broken = storage.explained(str(result.exception_info))
        if broken:
            raise broken
        if result.exception_info and result.exception_info.get("raised_exception"):
            raise ConfError(
                "Great Expectations could not run an expectation",
                file=file,
                key=rule.name,
                found=str(result.exception_info.get("exception_message"))[:200],
                allowed="an expectation that fits the column's type",
                hint="try the suite on a few rows first",
            )
        values = result.result
        observed = values.get("observed_value")
        verdicts.append(
            Verdict(
                rule,
                bool(result.success),
                values.get("element_count"),
                values.get("unexpected_count"),
                values.get("missing_count"),
                None if observed is None else str(observed),
            )
        )
    return verdicts


def refuse(verdicts: list[Verdict], table: str) -> None:
    """Raise :class:`Refused` when the batch must not pass, naming every reason."""
    reasons = [verdict.refusal for verdict in verdicts if verdict.refusal]
    if reasons:
        raise Refused(
            f"{table} was not written: the batch breaks its suite",
            where="; ".join(reasons),
            hint="all verdicts are in ops.quality; mend the data or the suite, then run again",
        )


def _expectation(gx: Any, rule: Rule, place: int, file: str) -> Any:
    name = "".join(part.capitalize() for part in rule.type.split("_"))
    try:
        return getattr(gx.expectations, name)(**rule.arguments, meta={"place": place})
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfError(
            "not an expectation of Great Expectations",
            file=file,
            key=rule.type,
            found=str(error).split("\n", 1)[0][:200],
            allowed="a type and the arguments its documentation gives",
            hint="check spelling and arguments",
        ) from None
