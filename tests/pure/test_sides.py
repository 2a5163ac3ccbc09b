"""Which rows and columns of a table are compared with which, from its log alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from profiles import compared, file_of, numeric, words

from driftline.delta_files import Commit, DataFile, Schema
from driftline.errors import Missing
from driftline.jobs import drift, sides
from driftline.jobs.sides import Asked
from driftline.problem import load_problem
from driftline.profile import Field

CONF = Path(__file__).parents[2] / "conf"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def line(problem: str = "churn", *, columns: Sequence[Field] = (), commits: int = 2) -> Any:
    """A problem, every table of which has these columns and got one file a day."""
    schema = Schema(tuple(columns), None)
    log = [
        Commit(
            number,
            START + timedelta(days=number),
            "WRITE",
            (DataFile(f"/t/{number}", 1, "", {}, {}),),
            (),
            schema,
            changes=True,
        )
        for number in range(commits)
    ]
    tables = SimpleNamespace(
        version=lambda table: commits - 1,
        oldest=lambda table: 0,
        commits=lambda table, *, since, until: log[since : until + 1],
        path=lambda table: f"/warehouse/{table}",
    )
    return SimpleNamespace(problem=load_problem(CONF / f"{problem}.yaml"), tables=tables)


def fields(**types: str) -> tuple[Field, ...]:
    return tuple(Field(name, type_, name) for name, type_ in types.items())


def test_only_tables_that_have_as_ofs_are_compared_at_the_newest() -> None:
    """In a table that somebody else made, a column of that name may be anything."""
    told = line(columns=fields(as_of="bigint", x="double"))
    for table, slice_, segments in (
        ("gold.features", sides.NEWEST, ("as_of",)),
        ("gold.predictions", sides.NEWEST, ("as_of",)),
        ("gold.shadow", sides.NEWEST, ("as_of",)),
        ("silver.orders", "added since 0", ()),
        ("/lake/as_of", "added since 0", ()),
    ):
        pair = sides.pair(told, table, Asked("0", "1"))
        assert (pair.current.slice, drift._segments(told, pair, Asked())) == (slice_, segments)
        if slice_ == sides.NEWEST:
            with pytest.raises(Missing, match="compared at its newest as-of") as caught:
                drift._segments(told, pair, Asked(by="as_of"))
            assert "--by" in str(caught.value.hint)
        else:
            assert drift._segments(told, pair, Asked(by="as_of")) == ("as_of",)


def test_segments_of_a_column_that_is_called_as_our_as_ofs() -> None:
    """Asked for by name, they are compared, where the newest one is not what is compared."""
    files = [
        file_of(
            [
                ({"as_of": day}, [numeric([x] * 90), words({day: 90}, name="as_of")])
                for day, x in (("9", 0.0), ("10", last))
            ]
        )
        for last in (0.0, 7.0)
    ]
    rule = load_problem(CONF / "churn.yaml").drift
    found, _ = compared(files[:1], [files[1:]], rule, segments=["as_of"])
    drifted = {each.segment for each in found if each.column == "x" and each.drifted}
    assert drifted == {"", "as_of=10"}
