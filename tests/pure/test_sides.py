"""Which rows and columns of a table are compared with which, from its log alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from profiles import compared, file_of, numeric, words
from pyspark.sql import Row

from driftline import schemas
from driftline.attribution import Cause
from driftline.budgets import OverBudget
from driftline.delta_files import Commit, DataFile, Schema
from driftline.drift import Statistic
from driftline.errors import Missing
from driftline.jobs import (
    causes,
    comparisons,
    drawing,
    drift,
    profiling,
    references,
    segments,
    sides,
)
from driftline.jobs.sides import Asked
from driftline.options import span
from driftline.problem import load_problem
from driftline.profile import Field
from driftline.registry import Version
from driftline.versions import Versions

CONF = Path(__file__).parents[2] / "conf"


def answers(monkeypatch: pytest.MonkeyPatch, champion: Version | None) -> None:
    """The model registry has this champion."""
    models = SimpleNamespace(champion=lambda: champion)
    monkeypatch.setattr(references, "Registry", lambda *_: models)


@pytest.fixture(autouse=True)
def nobody_is_champion(monkeypatch) -> None:
    answers(monkeypatch, None)


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
    return SimpleNamespace(
        problem=load_problem(CONF / f"{problem}.yaml"),
        tables=tables,
        environment=SimpleNamespace(mlflow="nowhere"),
    )


def fields(**types: str) -> tuple[Field, ...]:
    return tuple(Field(name, type_, name) for name, type_ in types.items())


def test_only_tables_that_have_as_ofs_are_compared_at_the_newest() -> None:
    """In a table that somebody else made, a column of that name may be anything."""
    told = line(columns=fields(as_of="bigint", x="double"))
    for table, slice_, cut in (
        ("gold.features", sides.NEWEST, (sides.NEWEST,)),
        ("gold.predictions", sides.NEWEST, (sides.NEWEST,)),
        ("gold.shadow", sides.NEWEST, (sides.NEWEST,)),
        ("silver.orders", "added since 0", ()),
        ("/lake/as_of", "added since 0", ()),
    ):
        pair = sides.pair(told, table, Asked("0", "1"))
        assert segments.names(told, pair, Asked()) == ()
        assert (pair.current.slice, pair.current.cut(())) == (slice_, cut)
        if slice_ == sides.NEWEST:
            with pytest.raises(Missing, match="compared at its newest as-of") as caught:
                segments.names(told, pair, Asked(by="as_of"))
            assert "--by" in str(caught.value.hint)
        else:
            assert segments.names(told, pair, Asked(by="as_of")) == ("as_of",)


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


def test_rows_without_a_value_are_a_segment_of_their_own() -> None:
    """Beside those of the word null."""
    files = [
        file_of(
            [
                ({"kind": kind}, [numeric([x] * 90), words({"a": 90}, name="kind")])
                for kind, x in (("null", 0.0), (None, last))
            ]
        )
        for last in (0.0, 7.0)
    ]
    rule = load_problem(CONF / "churn.yaml").drift
    found, _ = compared(files[:1], [files[1:]], rule, segments=["kind"])
    told = {each.segment: each.drifted for each in found if each.statistic == "ks"}
    assert told == {"": True, "kind=null": False, "kind is null": True}


def test_values_beyond_a_hundred_are_not_left_out_silently() -> None:
    """150 of a segment; the rarest fifty are told of, and were they all that moved."""
    files = [
        file_of(
            [
                (
                    {"shop": f"s{place:03}"},
                    [
                        numeric([off * (place > 99)] * (90 - (place > 99)), name="x"),
                        words({f"s{place:03}": 90 - (place > 99)}, name="shop"),
                    ],
                )
                for place in range(150)
            ]
        )
        for off in (0.0, 9.0)
    ]
    rule = load_problem(CONF / "churn.yaml").drift
    found, _ = compared(files[:1], [files[1:]], rule, segments=["shop"])
    assert {each.segment for each in found} == {"", *(f"shop=s{place:03}" for place in range(100))}
    (left,) = (each for each in found if each.statistic == "segments")
    assert (left.column, left.value, left.drifted, left.threshold) == ("shop", 50.0, False, None)
    # 89 of 13,450 rows each
    assert left.detail == (
        "50 of 150 values, each of 0.7% of the rows at most, are not compared by themselves"
    )
    few, _ = compared(files[:1], [files[1:]], rule)
    assert "segments" not in {each.statistic for each in few}


def test_values_that_only_older_as_ofs_have_take_no_place() -> None:
    """Of the newest as-of all are compared, though a hundred others had more rows before."""
    days = [
        *(({sides.NEWEST: None, "shop": f"old{place}"}, 900) for place in range(100)),
        *(({sides.NEWEST: "2026-01-31", "shop": shop}, 90) for shop in ("a", "b")),
        ({sides.NEWEST: "2026-01-31", "shop": "gone"}, 0),
    ]
    file = file_of([(cell, [numeric([1.0] * rows)]) for cell, rows in days])
    told = line(columns=fields(as_of="string", shop="string", x="double"))
    pair = sides.pair(told, "gold.features", Asked("0", "1"))
    known = {each.key: file for side in (pair.reference, pair.current) for each in side.files}
    files = len(pair.reference.files) + len(pair.current.files)
    assert segments.values(told, known, pair, "shop") == {"a": 90 * files, "b": 90 * files}


def test_predictions_are_compared_with_the_first_of_the_model_that_made_the_last() -> None:
    """What another one said of the same as-of, before it was promoted or since, is left out."""
    told = line(columns=fields(as_of="timestamp", model_version="int", x="double"), commits=6)
    log = told.tables.commits("gold.shadow", since=0, until=5)
    by = [None, 1, 1, 2, 2, 1]
    log = [
        replace(c, noted={"model_version": m} if m else {}) for c, m in zip(log, by, strict=True)
    ]
    # Of the first one that is read, which may be a checkpoint, it is not known.
    told.tables.commits = lambda table, *, since, until: [
        replace(log[since], noted={}),
        *log[since + 1 : until + 1],
    ]
    found = {}
    for table in ("gold.predictions", "gold.shadow"):
        for last in range(6):
            pair = sides.pair(told, table, Asked(last=str(last)))
            found[last] = (pair.reference.version, pair.reference.model, pair.current.model)
            assert drift._models(pair) == ""
        assert found == {
            0: (0, None, None),
            1: (1, 1, 1),
            2: (1, 1, 1),
            3: (3, 2, 2),
            4: (3, 2, 2),
            5: (1, 1, 1),
        }
        pair = sides.pair(told, table, Asked("2", "4"))
        assert drift._models(pair) == "; of model version 2 against those of 1"
        back = sides.pair(told, table, Asked("4", "5"))  # both have some of the first one's
        assert (back.reference.model, back.current.model) == (1, 1)
        assert set(pair.current.cut(["x"])) == {"x", sides.NEWEST, "model_version"}
    calm = sides.steps(told, "gold.predictions", 5, 5)  # but for the one in which 2 took over
    assert [each.current.version for each in calm] == [2, 4, 5]
    pair = sides.pair(told, "gold.features", Asked())
    assert (pair.reference.version, pair.current.model, pair.current.models) == (0, None, ())


@pytest.mark.parametrize(
    ("model", "newest"), [(1, ("2026-02", "1")), (2, ("2026-01", "2")), (None, ("2026-02", "3"))]
)
def test_the_newest_predictions_of_a_model(model: int | None, newest: tuple[str, str]) -> None:
    """Of files that have those of others, later and of the same as-of, too; without a note of who
    made the last ones, those of the newest model version.
    """
    cells = [("2026-02", "1"), (None, "1"), ("2026-01", "2"), (None, "2"), ("2026-02", "3")]
    file = file_of(
        [({sides.NEWEST: at, "model_version": by}, [numeric([1.0])]) for at, by in cells]
    )
    told = line(columns=fields(as_of="timestamp", model_version="int", x="double"))
    side = replace(sides.pair(told, "gold.predictions", Asked()).current, model=model)
    known = {each.key: file for each in side.files}
    found = segments.newest(told, side, known)
    assert found == dict(zip((sides.NEWEST, "model_version"), newest, strict=True))
    # Withdrawn since: what is left is compared.
    assert segments.newest(told, replace(side, model=9), known)["model_version"] == "3"
    with pytest.raises(Missing, match="has no rows"):
        segments.newest(told, side, {})


def test_declared_segments_of_too_many_values_are_left_out_and_said(monkeypatch) -> None:
    """Not one that was asked for by name, nor a budget that is used up."""
    told = line(columns=fields(shop="string", half="string", x="double"))
    side = sides.pair(told, "silver.orders", Asked()).current

    def cut(line: Any, ledger: Any, wanted: Any, *, segments: tuple[str, ...]) -> Any:
        if "shop" in segments:
            raise profiling.TooMany(wanted[0], "shop", 2345, where="")
        return {file.key: "a profile" for each in wanted for file in each.files}

    monkeypatch.setattr(profiling, "profiles", cut)
    known, left, said = segments.profiles(
        told, NOBODY, side, side.wanted, ("half", "shop", "x"), Asked(by="x")
    )
    assert (len(known), left) == (1, ("x",))
    assert [(each.column, each.statistic, each.value, each.detail) for each in said] == [
        (
            *(name, "segments", 2345.0),
            "a file has about 2,345 different values of shop: no value is compared by itself",
        )
        for name in ("half", "shop")
    ]
    with pytest.raises(profiling.TooMany):
        segments.profiles(told, NOBODY, side, side.wanted, ("shop",), Asked(by="shop"))
    monkeypatch.setattr(profiling, "profiles", spent)
    with pytest.raises(OverBudget):
        segments.profiles(told, NOBODY, side, side.wanted, ("shop",), Asked())


def spent(*_: Any, **__: Any) -> Any:
    raise OverBudget("the budget is used up")


@pytest.mark.parametrize(
    ("slice_", "said"),
    [
        ("added since 0", "5 rows added to 100,000"),
        ("written 2026-01-01 00:00 to …", "5 rows written against 100,000"),
        ("whole", "100,000 → 5 rows"),
    ],
)
def test_rows_that_were_added_are_no_collapse(slice_: str, said: str) -> None:
    pair = sides.pair(line(columns=fields(x="double")), "silver.orders", Asked("0", "1"))
    pair = replace(pair, current=replace(pair.current, slice=slice_))
    assert drift._volume(pair, 100_000, 5, None).detail == said


def test_which_columns_are_compared_by_their_nulls_alone() -> None:
    """Those the problem declares so, of its own tables; of any other table it knows nothing."""
    told = line(columns=fields(customer_id="bigint", time="timestamp", amount="double"))
    orders = told.problem.sources["orders"].model_copy(update={"arrival": "sent"})
    sources = {**told.problem.sources, "orders": orders}
    told.problem = told.problem.model_copy(update={"sources": sources})
    for table, keys in (
        ("silver.orders", {"customer_id", "time", "order_id", "sent"}),
        ("bronze.orders", {"customer_id", "time", "order_id", "sent"}),
        ("silver.visits", {"customer_id", "time"}),
        ("silver.orders_2", {"customer_id"}),
        ("/lake/silver.orders", set()),
        ("s3a://lake/silver/orders", set()),
    ):
        for side in (pair := sides.pair(told, table, Asked("0", "1"))).reference, pair.current:
            assert side.keys == keys
            assert [each.name for each in side.fields] == ["customer_id", "time", "amount"]
    told = line(columns=fields(customer_id="bigint", as_of="timestamp", label="int", x="double"))
    features = sides.pair(told, "gold.features", Asked("0", "1")).current
    assert [each.name for each in features.fields] == ["customer_id", "x"]
    assert features.keys == {"customer_id"}


def test_keys_and_times_move_on_and_only_their_nulls_are_drift() -> None:
    """A delivery a day of a key that grows; in the last one the customer is missing more often."""

    def day(number: int, nulls: int = 0, strays: int = 0) -> Any:
        first = 1000 * number
        ids = numeric(np.arange(first, first + 1000 - nulls), nulls=nulls, name="who")
        seconds = 86_400.0 * number + np.arange(1000)
        seconds[:strays] = -3e9  # another unit, or a default
        at = numeric(seconds, name="at", type="timestamp")
        weekday = replace(
            words({str(number % 7): 1000}, name="at", type="timestamp"), part="weekday"
        )
        half = words({"a": 1000}, name="half")
        cell = {"half": "a"}
        return file_of([(cell, [ids, at, weekday, half, numeric(np.arange(1000) % 50)])])

    rule = load_problem(CONF / "churn.yaml").drift.model_copy(update={"freshness": 0.5})
    asked: dict[str, Any] = {"keys": ("who", "at"), "segments": ["half"]}
    calm, moved = compared([day(0)], [[day(1)], [day(2)]], rule, **asked)
    assert not [each for each in calm if each.drifted] + moved
    told = {(each.column, each.statistic) for each in calm if each.column in ("who", "at")}
    assert told == {(name, what) for name in ("who", "at") for what in ("null_rate", "skipped")} | {
        ("at", "freshness"),
        ("at", "strays"),
    }
    assert not [each for each in calm if each.column == "at:weekday"]
    off, moved = compared([day(0)], [[day(1)], [day(2, nulls=100)]], rule, **asked)
    assert {(each.column, each.statistic) for each in off if each.drifted} == {("who", "null_rate")}
    assert [(each.column, each.name, each.share) for each in moved][:1] == [("who", "2", 1.0)]
    off, moved = compared([day(0)], [[day(1)], [day(2, strays=100)]], rule, **asked)
    assert {(each.column, each.statistic) for each in off if each.drifted} == {("at", "strays")}
    first = moved[0]
    assert (first.column, first.statistic, first.name, first.share) == ("at", "strays", "2", 1.0)
    assert first.without == 0.0
    off, moved = compared([day(0)], [[day(-3)], [day(-9)]], rule, **asked)
    assert {(each.column, each.statistic) for each in off if each.drifted} == {("at", "freshness")}
    assert not moved  # no part made the rows that did not come
    stale = Statistic("at", "freshness", 9.0, 0.5, "", drifted=True)
    nulls = Statistic("at", "null_rate", 0.1, 0.05, "", drifted=True)
    assert causes._worst([stale, nulls]) == causes._worst([nulls, stale]) == [nulls]


def test_values_of_keys_are_not_drawn() -> None:
    """The most frequent ones would be listed by name."""
    pair = sides.pair(
        line(columns=fields(customer_id="string", kind="string")), "silver.orders", Asked("0", "1")
    )
    found = {
        side: {name: words({f"{name} 7": 9}, name=name) for name in ("customer_id", "kind")}
        for side in (pair.reference, pair.current)
    }
    drawn: list[Any] = []
    told: Any = SimpleNamespace(
        tables=SimpleNamespace(append_values=lambda values, *_, **__: drawn.extend(values))
    )
    ledger: Any = SimpleNamespace(run_id="r", wrote=lambda _: None)
    drawing.draw(told, ledger, found)
    assert {row[schemas.HISTOGRAMS.column_names.index("category")] for row in drawn} == {"kind 7"}


class Recorded(list[str]):
    """Keys that were looked up; each is said to be there."""

    def __contains__(self, key: object) -> bool:
        self.append(str(key))
        return True


NOBODY: Any = SimpleNamespace(read=lambda table, version: None)
"""A ledger in which nothing is looked up."""


def asking(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Recorded]:
    """A line on which every comparison was made before, and the keys that are looked up."""
    told, asked = line(columns=fields(x="double")), Recorded()
    told.tables.identity = lambda table: "the same"
    told.tables.committed = lambda table: asked
    calm = Statistic("*", "schema", 0.0, 1.0, "same columns")
    monkeypatch.setattr(comparisons, "kept", lambda *_: ([calm], []))
    return told, asked


def test_a_copy_of_a_table_is_another_one(monkeypatch) -> None:
    """A folder that was copied has the identity and the versions of the first one."""
    told, asked = asking(monkeypatch)
    for table in ("/lake/a", "/lake/a", "/lake/b"):
        drift._table(told, NOBODY, table, Asked("0", "1"))
    first, again, copy = asked
    assert first == again != copy


def test_other_keys_are_another_question(monkeypatch) -> None:
    """Of a column that is one no more, or is one now, other statistics are asked for."""
    told, asked = asking(monkeypatch)
    orders = told.problem.sources["orders"]
    for key in (orders.key, orders.key, ["amount"]):
        source = orders.model_copy(update={"key": key})
        sources = {**told.problem.sources, "orders": source}
        told.problem = told.problem.model_copy(update={"sources": sources})
        drift._table(told, NOBODY, "silver.orders", Asked("0", "1"))
    first, again, other = asked
    assert first == again != other


def test_given_again_the_verdict_is_said_again(monkeypatch) -> None:
    told, _ = asking(monkeypatch)
    kept = [
        Statistic("amount", "ks", 0.314, 0.1, "mean 20 → 35", drifted=True),
        Statistic("items", "ks", 0.01, 0.1, "mean 2 → 2"),
    ]
    moved = [Cause("amount", "ks", "commit", "2", 1.0, None, 9)]
    monkeypatch.setattr(comparisons, "kept", lambda *_: (kept, moved))
    said = "/lake/a 0 → 1 (added since 0; compared before): 1 of 2 columns drifted: amount (ks 0.31"
    assert drift._table(told, NOBODY, "/lake/a", Asked("0", "1")) == (
        f"{said}: mean 20 → 35); 100% of amount from commit 2",
        f"{said}); 100% of amount from commit 2",  # of what is kept of a run, without values
    )
    monkeypatch.setattr(comparisons, "kept", lambda *_: ([], []))
    _, said = drift._table(told, NOBODY, "/lake/a", Asked("0", "1"))
    assert "calm" not in said and said.endswith("ops.drift has no rows of it any more")


def test_features_are_told_by_what_they_are_worth_to_the_champion(monkeypatch) -> None:
    """Whatever the reference is. A column of another table is no feature: no model is asked."""
    told, _ = asking(monkeypatch)
    kept = [
        Statistic(name, "ks", value, 0.1, "", drifted=True)
        for name, value in (("visits", 0.9), ("spend", 0.2))
    ]
    monkeypatch.setattr(comparisons, "kept", lambda *_: (kept, []))
    seen = Version(7, "run", "", {"tables": "{}"})
    models = SimpleNamespace(champion=lambda: seen)
    monkeypatch.setattr(drift, "Registry", lambda *_: models)
    monkeypatch.setattr(
        drift, "importance", lambda _, which: {"spend": 0.3} if which == seen else {}
    )
    said, _ = drift._table(told, NOBODY, "gold.features", Asked("0", "1"))
    assert said.endswith("drifted: spend (ks 0.20, 30% of importance), visits (ks 0.90)")
    said, _ = drift._table(told, NOBODY, "silver.orders", Asked("0", "1"))
    assert said.endswith("drifted: visits (ks 0.90), spend (ks 0.20)")


def test_what_the_champion_saw_is_the_same_question_named_or_not(monkeypatch) -> None:
    """So that MLflow has what was found; of any other version, or another table, it has nothing."""
    told = line(columns=fields(x="double"), commits=3)
    seen = Version(7, "run", "", {"tables": '{"silver.orders": 1}'})
    answers(monkeypatch, seen)
    assert sides.pair(told, "silver.orders", Asked("1")) == sides.pair(
        told, "silver.orders", Asked()
    )
    assert sides.pair(told, "silver.orders", Asked("1")).champion == seen
    for table, first in (("silver.orders", "0"), ("silver.visits", "1"), ("/lake/orders", "1")):
        assert sides.pair(told, table, Asked(first)).champion is None


@pytest.mark.parametrize("root", ["/lake/churn", "/lake/churn/", "file:///lake/churn", "s3a://l/c"])
def test_a_table_of_ours_is_the_same_by_its_folder(root: str) -> None:
    tables = Versions(Any, root)
    plain = tables.path("silver.orders")
    for name in ("silver.orders", plain, f"{plain}/", f"{root}/silver/orders"):
        assert tables.called(name) == "silver.orders"
    base = root.removeprefix("file://").rstrip("/")
    for name in (f"{base}/orders", f"{base}/a/b/c", f"{base}/silver/a.b", f"{base}2/silver/orders"):
        assert tables.called(name) == name
    assert tables.called("/lake/x/../orders/") == "/lake/orders"


def test_nothing_stands_in_for_a_training_that_was_asked_for(monkeypatch) -> None:
    """Without being asked for, the first version with rows does, which is said."""
    told = line(columns=fields(x="double"), commits=3)
    seen = Version(1, "run", "", {"tables": '{"silver.orders": 1}'})
    day = timedelta(days=1)
    for champion, table in ((None, "silver.orders"), (seen, "silver.visits")):
        answers(monkeypatch, champion)
        for asked in (Asked(against="training"), Asked(window=day, against="training")):
            with pytest.raises(Missing, match=f"no champion was trained on {table}") as caught:
                sides.pair(told, table, asked)
            assert (caught.value.exit_code, bool(caught.value.hint)) == (4, True)
        pair = sides.pair(told, table, Asked())
        assert (pair.reference.version, pair.champion) == (0, None)
        assert drift._stood_in(Asked(), pair) == "; no champion was trained on it"
        for asked in (Asked("0"), Asked(window=day)):
            assert drift._stood_in(asked, sides.pair(told, table, asked)) == ""
    for asked in (Asked(), Asked(against="training"), Asked(window=day, against="training")):
        pair = sides.pair(told, "silver.orders", asked)
        assert (pair.reference.version, pair.champion) == (1, seen)
        assert drift._stood_in(asked, pair) == ""

    said = "silver.visits: nothing to compare, no champion was trained on silver.visits"
    ledger = SimpleNamespace()
    asked = Asked(against="training")
    assert drift._watched(told, ledger, asked, "silver.visits") == (said, said)
    told.ledger = SimpleNamespace(run=lambda stage: nullcontext(ledger))
    told.tables.lock = lambda *names: nullcontext()
    told.tables.called = lambda name: name
    with pytest.raises(Missing):  # who names the table is told by the exit code, too
        drift.run(told, table="silver.visits", asked=Asked(against="training"))


@pytest.mark.parametrize("against", ["previous", "same-weekday"])
def test_the_longest_span_there_is(against: Any) -> None:
    """As far back as to before the table was made: an answer, and no error of the calendar."""
    longest = span(Any, Any, "36525d")
    with pytest.raises(Missing, match=r"nothing was written .* from 182\d-"):
        sides.pair(line(), "silver.orders", Asked(window=longest, against=against))


def judged(
    at: datetime, slice_: str = sides.NEWEST, *, asked: Asked | None = None, **columns: bool
) -> list[Row]:
    called = asked and comparisons.name(asked, "?")  # what older versions wrote has no name
    return [
        Row(slice=slice_, column=name, drifted=drifted, at=at, comparison=called)
        for name, drifted in columns.items()
    ]


def test_drift_is_that_of_the_newest_comparison() -> None:
    """The same versions again, with a threshold raised: what had drifted before does not count."""
    later = START + timedelta(hours=1)
    before = judged(START, spend=True, visits=True, age=False)
    after = judged(later, spend=False, visits=True, age=False)
    length, table = judged(later, **{"kind:length": True, "*": True})
    assert comparisons._newest_of(before) == ["spend", "visits"]
    assert comparisons._newest_of([*after, length, table, *before]) == ["kind", "visits"]
    assert comparisons._newest_of(judged(later, spend=False) + before) == []


def test_what_somebody_looked_into_decides_nothing() -> None:
    """By thresholds that were learnt, or by a column; what the conf asks is older, and stands."""
    later = START + timedelta(hours=1)
    turn = judged(START, asked=Asked(), spend=True)
    for asked in (Asked(learn=5), Asked(by="country")):
        hand = judged(later, asked=asked, spend=False, age=True)
        assert comparisons._newest_of([*hand, *turn]) == ["spend"]
        assert comparisons._newest_of(hand) is None
    named = judged(later, asked=Asked("3"), spend=False)  # by its version it is the same question
    assert comparisons._newest_of([*named, *turn]) == []


def test_segments_and_spans_are_other_questions() -> None:
    later = START + timedelta(hours=1)
    others = [
        *judged(START, f"{sides.NEWEST}, country=DE", spend=True),
        *judged(later, "written 2025-12-31 00:00 to 2026-01-01 00:00", spend=True),
    ]
    assert comparisons._newest_of([*judged(START, spend=False, age=True), *others]) == ["age"]
    assert comparisons._newest_of(others) is None
    assert comparisons._newest_of([]) is None
