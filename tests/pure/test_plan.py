"""What is to be done about deliveries: known by their bytes, whatever they are called."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import Row

from driftline.ingest import Delivery, Plan, batch_id, plan
from driftline.jobs import batches, deliveries

A = Delivery("aaa", "day1.csv", 10)
B = Delivery("bbb", "day2.csv", 20)


def test_nothing_found() -> None:
    assert plan([], []) == Plan((), (), 0, ())
    assert plan([], [("aaa", "day1.csv")]) == Plan((), (), 0, ())


def test_new_deliveries_come_in_the_order_of_their_paths() -> None:
    assert plan([B, A], []) == Plan((A, B), (), 0, ())


def test_a_known_delivery_is_left_alone() -> None:
    assert plan([A, B], [("aaa", "day1.csv")]) == Plan((B,), (), 1, ())


def test_landed_bytes_under_another_name_are_a_duplicate() -> None:
    copy = Delivery("aaa", "copy.csv", 10)
    assert plan([A, copy], [("aaa", "day1.csv")]) == Plan((), (copy,), 1, ())


def test_the_same_bytes_twice_in_one_batch_land_once_under_the_first_path() -> None:
    copy = Delivery("aaa", "copy.csv", 10)
    assert plan([A, copy], []) == Plan((copy,), (A,), 0, ())


def test_a_duplicate_is_reported_once() -> None:
    copy = Delivery("aaa", "copy.csv", 10)
    seen = [("aaa", "day1.csv"), ("aaa", "copy.csv")]
    assert plan([A, copy], seen) == Plan((), (), 2, ())


def test_other_bytes_under_a_known_name_are_new_and_said_to_have_changed() -> None:
    again = Delivery("ccc", "day1.csv", 11)
    assert plan([again], [("aaa", "day1.csv")]) == Plan((again,), (), 0, ("day1.csv",))


def test_a_name_that_goes_back_to_its_first_bytes_is_known() -> None:
    seen = [("aaa", "day1.csv"), ("ccc", "day1.csv")]
    assert plan([A], seen) == Plan((), (), 1, ())


def test_names_that_swap_their_bytes_bring_nothing_new() -> None:
    swapped = [Delivery("bbb", "day1.csv", 20), Delivery("aaa", "day2.csv", 10)]
    seen = [("aaa", "day1.csv"), ("bbb", "day2.csv")]
    assert plan(swapped, seen) == Plan((), tuple(swapped), 0, ())


IDS = st.sampled_from(["a", "b", "c", "d"])
PATHS = st.sampled_from(["1", "2", "3", "4", "5"])
FOUND = st.dictionaries(PATHS, IDS, max_size=5).map(
    lambda paths: [Delivery(id_, path, len(path)) for path, id_ in paths.items()]
)
SEEN = st.lists(st.tuples(IDS, PATHS), max_size=6)


@given(FOUND, SEEN, st.randoms())
def test_order_does_not_matter(
    found: list[Delivery], seen: list[tuple[str, str]], random: st.random.Random
) -> None:
    expected = plan(found, seen)
    random.shuffle(found)
    random.shuffle(seen)
    assert plan(iter(found), iter(seen)) == expected


@given(FOUND, SEEN)
def test_every_delivery_is_new_duplicate_or_known(
    found: list[Delivery], seen: list[tuple[str, str]]
) -> None:
    planned = plan(found, seen)
    assert len(planned.new) + len(planned.duplicates) + planned.known == len(found)
    landed = {delivery for delivery, _ in seen}
    new = [delivery.id for delivery in planned.new]
    assert len(new) == len(set(new))
    assert not landed & set(new)
    assert {each.id for each in planned.duplicates} <= landed | set(new)
    assert set(planned.changed) <= {each.path for each in planned.new}


@given(FOUND, SEEN)
def test_once_done_there_is_nothing_left_to_do(
    found: list[Delivery], seen: list[tuple[str, str]]
) -> None:
    planned = plan(found, seen)
    done = [*seen, *((each.id, each.path) for each in (*planned.new, *planned.duplicates))]
    assert plan(found, done) == Plan((), (), len(found), ())


def test_a_batch_is_known_by_what_is_in_it() -> None:
    # printf '["aaa","bbb"]' | sha256sum | cut -c 1-16
    assert batch_id(["bbb", "aaa"]) == batch_id(iter(["aaa", "bbb"])) == "994e5068cfbef602"
    assert batch_id(["aaa", "bbb", "ccc"]) != batch_id(["aaa", "bbb"])
    assert batch_id(["aaabbb"]) != batch_id(["aaa", "bbb"])


def test_what_was_planned_for_a_source_that_is_gone_waits_for_it() -> None:
    at = datetime(2024, 1, 1)
    planned = [
        Row(source=source, delivery="aaa", path="a", bytes=1, status="planned", batch=source, at=at)
        for source in ("days", "nights")
    ]
    line: Any = SimpleNamespace(problem=SimpleNamespace(sources={"days": None}))
    assert [each.source for each in batches.unfinished(line, planned)] == ["days"]


def test_hidden_files_are_told_at_any_depth_wherever_the_data_lie(
    tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("driftline.logs.LOGGER.propagate", True)
    data = tmp_path / "data[1]*"
    names = ("a.csv", ".one.csv", "deep/er/b.csv", "deep/er/.two.csv")
    for path in (data / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sources = {"days": SimpleNamespace(path="**/*.csv")}
    line: Any = SimpleNamespace(
        problem=SimpleNamespace(sources=sources), environment=SimpleNamespace(data=str(data))
    )
    assert deliveries._paths(line, "days") == [data / "a.csv", data / "deep/er/b.csv"]
    assert (
        "2 hidden files were left alone, as a shell leaves them: .one.csv, .two.csv" in caplog.text
    )
