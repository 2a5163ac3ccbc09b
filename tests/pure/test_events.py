"""Expressions that a problem file may not have: of other rows, of other times."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from driftline.events import Events


@pytest.mark.parametrize(
    "where",
    [
        "amount > (SELECT avg(amount) FROM orders)",
        "who in (select who from other)",
        "exists(\n  WITH x AS (SELECT 1) SELECT * FROM x)",
        "amount > (FROM orders SELECT max(amount))",
        "who in (VALUES 1, 2)",
        "time > now()",
        "time > current_timestamp",
        "date(time) = CURRENT_DATE()",
        "rand() < 0.5",
        "uuid () > 'a'",
        "amount > (/**/select avg(amount) from orders)",
        "amount > (--\n select 1)",
        "who in (table `other`)",
        "time < timestamp'now'",
        "time < to_timestamp( 'today')",
    ],
)
def test_refused(where) -> None:
    with pytest.raises(ValidationError, match=r"subquery|each time"):
        Events(source="orders", where=where)


@pytest.mark.parametrize(
    "where",
    [
        "kind = '(select 1)' OR kind = \"now()\"",
        "`current_date` > 3",
        "rand > 0.5 AND random_number = 1 AND now_or_never",
        "kind = uuid",
        "(values > 3) AND kind = 'now' AND kind != '-- x (select 1)'",
        "extract(year FROM time) = 2024 AND trim(BOTH ' ' FROM kind) IN ('a', 'it''s')",
        "size(map(1, 2)) = 1 AND selected AND unix_timestamp(time) > 0",
    ],
)
def test_allowed(where) -> None:
    assert Events(source="orders", where=where).where == where
