"""Deliveries → bronze: each once, whatever its name, clock or state; what is wrong is said."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pyspark.sql import functions as F

from driftline import schemas
from driftline.errors import Missing, Refused
from driftline.jobs import ingest, landing, retry, validate
from driftline.ledger import Ledger
from driftline.problem import load_problem
from driftline.tables import Tables
from driftline.usage import jobs_so_far

HEADER = "id,at,amount\n"


def day(number: int, rows: int = 10, *, bad: int = 0, extra: str = "") -> str:
    """A day's file; ``bad`` of its rows have an amount that is no number."""
    lines = [
        f"{number * 100 + n},2024-01-{number:02d}T10:00:00,{'lots' if n < bad else n}{extra}\n"
        for n in range(rows)
    ]
    return HEADER + "".join(lines)


@pytest.fixture
def place(tmp_path, open_line, repository):
    """A folder for deliveries and a line over it; keys of the source may be given."""

    class Place:
        folder = tmp_path / "data" / "days"

        def write(self, name: str, content: str | bytes) -> Path:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            return path

        def line(self, other: dict | None = None, **source):
            told = yaml.safe_load((repository / "conf" / "cdnow.yaml").read_text("utf-8"))
            name = told["label"]["source"]
            told["sources"] = {
                name: {
                    "path": "days/*",
                    "format": "csv",
                    "time": "at",
                    "settle": 0,
                    "columns": {
                        told["entity"]: {"type": "long", "from": "id"},
                        "at": "timestamp",
                        "amount": "double",
                    },
                    **source,
                }
            }
            if other is not None:  # a second source over the same files
                told["sources"]["other"] = {**told["sources"][name], **other}
            told["features"] = [
                {"name": "n", "source": name, "operation": "count", "windows": ["30d"]}
            ]
            told["drift"]["tables"] = [f"silver.{name}"]
            path = tmp_path / "conf" / "days.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
            problem = load_problem(path)
            return open_line(problem, data=tmp_path / "data", warehouse=tmp_path / "warehouse")

    return Place()


def bronze(line):
    (source,) = line.problem.sources
    return bronze_of(line, source)


def bronze_of(line, source: str):
    return line.tables.read(f"bronze.{source}")


def books(line) -> dict[str, tuple[int, int, int]]:
    """What ops.deliveries adds up to: path → records, accepted, rejected."""
    rows = line.tables.read("ops.deliveries").where("status = 'landed'")
    sums = rows.groupBy("path").agg(*(F.sum(n) for n in ("records", "accepted", "rejected")))
    return {Path(row[0]).name: tuple(row[1:]) for row in sums.collect()}


def balanced(line) -> bool:
    """Bronze and the rejects hold what the books say, delivery by delivery."""
    sums = books(line).values()
    return (
        all(total == kept + refused for total, kept, refused in sums)
        and bronze(line).count() == sum(kept for _, kept, _ in sums)
        and line.tables.read("ops.rejects").count() == sum(refused for *_, refused in sums)
    )


def versions(line) -> dict[str, int]:
    names = ("ops.deliveries", "ops.rejects", *(f"bronze.{name}" for name in line.problem.sources))
    return {name: line.tables.version(name) for name in names}


def test_the_same_bytes_twice_renamed_and_reversed_in_time_land_once(place) -> None:
    first = place.write("b.csv", day(1, bad=1))
    place.write("a.csv", day(2))
    line = place.line()
    ingest.run(line)
    before = bronze(line).count()
    copy = place.write("copy of b.csv", day(1, bad=1))
    os.utime(copy, (0, 0))  # a clock tells nothing: 1970
    first.rename(first.with_name("renamed.csv"))
    assert "2 known duplicates" in ingest.run(line)
    assert bronze(line).count() == before == 19
    assert balanced(line)
    again = versions(line)
    assert ingest.run(line).endswith("nothing new")
    assert versions(line) == again


@pytest.mark.slow
def test_late_re_cut_longer_and_shorter_deliveries_are_new_deliveries(place) -> None:
    path = place.write("a.csv", day(1))
    line = place.line()
    ingest.run(line)
    place.write("a.csv", day(1, 12))  # longer
    assert "1 new deliveries with 12 records" in ingest.run(line)
    place.write("a.csv", day(1, 3))  # shorter
    assert "1 new deliveries with 3 records" in ingest.run(line)
    late = place.write("late.csv", day(9))
    os.utime(late, (time.time() - 30 * 86400,) * 2)
    assert "1 new deliveries with 10 records" in ingest.run(line)
    assert bronze(line).count() == 10 + 12 + 3 + 10
    place.write("a.csv", day(1))  # as it was first
    assert ingest.run(line).endswith("nothing new")
    assert (
        path.exists() and line.tables.read("ops.deliveries").where("status='landed'").count() == 4
    )


def test_names_that_spark_or_a_shell_might_trip_over(place) -> None:
    names = [
        "with space.csv",
        "100%25.csv",
        "a:b.csv",
        "[x].csv",
        "k=v.csv",
        "_under.csv",
        "ü#?.csv",
    ]
    names.append("new\nline.csv")
    for number, name in enumerate(names, 1):
        place.write(name, day(number))
    line = place.line()
    assert f"{len(names)} new deliveries with {10 * len(names)} records" in ingest.run(line)
    assert set(books(line)) == set(names)


def test_what_is_left_alone_is_said(place, caplog, monkeypatch) -> None:
    monkeypatch.setattr("driftline.logs.LOGGER.propagate", True)
    place.write("a.csv", day(1))
    place.write(".hidden.csv", day(2))
    place.write("folder.csv/inner.csv", day(3))
    (place.folder / "dangling.csv").symlink_to("nowhere")
    (place.folder / "link.csv").symlink_to("a.csv")
    Path(os.fsdecode(os.fsencode(place.folder) + b"/\xd0\xc2.csv")).write_text(day(4))
    gone = place.write("moved.csv", day(5))
    clock = SimpleNamespace(time=time.time, sleep=lambda _: gone.unlink())
    monkeypatch.setattr("driftline.jobs.deliveries.time", clock)
    line = place.line(settle=0.1)
    said = ingest.run(line)
    assert "1 new deliveries with 10 records, 1 known duplicates" in said
    assert "1 hidden files were left alone, as a shell leaves them: .hidden.csv" in caplog.text
    assert "2 are folders, dangling links or the like" in caplog.text
    assert "1 files have a name that is no UTF-8" in caplog.text
    assert "moved.csv was there and is gone" in caplog.text


def test_a_file_that_is_still_being_written_waits(place, monkeypatch) -> None:
    path = place.write("growing.csv", day(1))
    place.write("whole.csv", day(2))
    line = place.line(settle=0.4)
    stop = threading.Event()

    def grow() -> None:
        with path.open("a") as file:
            while not stop.is_set():
                file.write("7,2024-01-01T10:00:00,1\n")
                file.flush()
                time.sleep(0.02)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert "1 new deliveries with 10 records" in ingest.run(line)
    finally:
        stop.set()
        writer.join()
    assert set(books(line)) == {"whole.csv"}
    ingest.run(line)
    assert books(line)["growing.csv"][0] == path.read_text().count("\n") - 1


@pytest.mark.parametrize("cut", [pytest.param(0.2, marks=pytest.mark.slow), 0.9])
def test_a_torn_archive_is_refused_whole_and_the_others_land(place, cut) -> None:
    whole = gzip.compress(day(1, 5000).encode())
    place.write("torn.csv", whole[: int(len(whole) * cut)])
    place.write("good.csv", day(2))
    line = place.line()
    with pytest.raises(Refused, match="1 deliveries were refused; what else was new has landed"):
        ingest.run(line)
    assert set(books(line)) == {"good.csv"}
    refused = line.tables.read("ops.deliveries").where("status = 'refused'").collect()
    assert [(Path(row.path).name, row.reason) for row in refused] == [("torn.csv", "corrupt")]
    assert "nothing new, 1 refused deliveries kept out" in ingest.run(line)
    place.write("torn.csv", whole)
    assert "1 new deliveries with 5,000 records" in ingest.run(line)


def test_too_many_rejects_refuse_a_delivery_until_the_limit_says_otherwise(place) -> None:
    place.write("bad.csv", day(1, bad=3))
    place.write("good.csv", day(2, bad=2))
    line = place.line(limits={"rejects": 0.2})
    with pytest.raises(Refused) as refusal:
        ingest.run(line)
    assert refusal.value.exit_code == 3
    assert set(books(line)) == {"good.csv"}
    lenient = place.line(limits={"rejects": 0.5})
    assert "1 refused deliveries kept out" in ingest.run(lenient)
    said = ingest.run(lenient, retry_rejects=True)
    assert "1 new deliveries with 10 records" in said
    assert books(lenient) == {"good.csv": (10, 8, 2), "bad.csv": (10, 7, 3)}
    assert balanced(lenient)


def test_a_refused_delivery_lands_later_though_a_copy_of_it_lies_there(place) -> None:
    place.write("bad.csv", day(1, bad=3))
    place.write("copy.csv", day(1, bad=3))
    with pytest.raises(Refused):
        ingest.run(place.line(limits={"rejects": 0.2}))
    line = place.line()
    assert "1 refused deliveries kept out" in ingest.run(line)
    said = ingest.run(line, retry_rejects=True)
    assert "1 new deliveries with 10 records, 1 known duplicates" in said
    assert books(line) == {"bad.csv": (10, 7, 3)}
    assert balanced(line)
    assert "nothing new" in ingest.run(line)


def test_what_has_landed_stays_landed_whatever_the_limits_say_later(place, monkeypatch) -> None:
    """Killed between bronze's commit and the books; then the limit is lowered."""
    place.write("a.csv", day(1, bad=3))
    unbooked(monkeypatch, lambda: ingest.run(place.line()))
    line = place.line(limits={"rejects": 0.2})
    assert bronze(line).count() == 7
    assert "nothing new" in ingest.run(line)
    assert books(line) == {"a.csv": (10, 7, 3)}
    assert balanced(line)


def test_a_batch_that_was_refused_before_is_another_the_next_time(place, monkeypatch) -> None:
    """Two refused; a retry takes one of them, and is killed before the books have it."""
    place.write("a.csv", day(1, bad=3))
    torn = place.write("b.csv", day(2, bad=9))
    with pytest.raises(Refused):
        ingest.run(place.line(limits={"rejects": 0.2}))
    line = place.line(limits={"rejects": 0.5})
    unbooked(monkeypatch, lambda: ingest.run(line, retry_rejects=True))
    torn.unlink()
    ingest.run(line)
    ingest.run(line, retry_rejects=True)
    assert bronze(line).count() == 7
    assert books(line) == {"a.csv": (10, 7, 3)}
    assert balanced(line)


def unbooked(monkeypatch, work) -> None:
    """Do the work, and die where the books should say that a batch has landed."""

    def killed(line, ledger, batches, status, **more):
        if status == "landed":
            raise KeyboardInterrupt
        return record(line, ledger, batches, status, **more)

    record = landing.record
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(landing, "record", killed)
        work()


def test_two_sources_read_the_same_file_each_for_itself(place) -> None:
    place.write("a.csv", day(1, bad=3))

    def found(line) -> dict[str, tuple[int, int, int]]:
        """Of each source: rows, and rejects by the table and by the books."""
        landed = line.tables.read("ops.deliveries").where("status = 'landed'")
        rejects = line.tables.read("ops.rejects")
        return {
            name: (
                line.tables.read(f"bronze.{name}").count(),
                rejects.where(F.col("source") == name).count(),
                landed.where(F.col("source") == name).agg(F.sum("rejected")).first()[0],
            )
            for name in line.problem.sources
        }

    strict = place.line({"limits": {"rejects": 0.2}})
    one, other = strict.problem.sources
    with pytest.raises(Refused, match="1 deliveries were refused"):
        ingest.run(strict)
    assert bronze_of(strict, one).count() == 7
    both = place.line({})
    ingest.run(both, retry_rejects=True)
    assert found(both) == {one: (7, 3, 3), other: (7, 3, 3)}
    texts = {"id": "long", "at": "timestamp", "told": {"type": "string", "from": "amount"}}
    texts = {both.problem.entity: {"type": "long", "from": "id"}, **texts}
    del texts["id"]
    fixed = place.line({"columns": texts})
    ingest.run(fixed, retry_rejects=True)
    assert found(fixed) == {one: (7, 3, 3), other: (10, 0, 0)}


def test_a_source_without_files_does_not_hold_up_another(place) -> None:
    place.write("a.csv", day(1))
    line = place.line({"path": "later/*"})
    with pytest.raises(Missing, match="no deliveries of other"):
        ingest.run(line)
    assert bronze_of(line, next(iter(line.problem.sources))).count() == 10


def test_rejects_land_after_a_fix_once_and_go_on_to_silver(place) -> None:
    place.write("a.csv", day(1, bad=3))
    place.write("b.csv.gz", gzip.compress(day(2, bad=1).encode()))
    line = place.line()
    ingest.run(line)
    assert books(line) == {"a.csv": (10, 7, 3), "b.csv.gz": (10, 9, 1)}
    (source,) = line.problem.sources
    fixed = place.line()
    columns = dict(fixed.problem.sources[source].columns)
    # A column of another name: the type of one that is there cannot change.
    columns["told"] = columns.pop("amount").model_copy(
        update={"source": "amount", "type": "string"}
    )
    spec = fixed.problem.sources[source].model_copy(update={"columns": columns})
    problem = fixed.problem.model_copy(update={"sources": {source: spec}})
    fixed = type(fixed)(
        problem, fixed.environment, fixed.root, fixed.spark, fixed.tables, fixed.ledger
    )
    said = ingest.run(fixed, retry_rejects=True)
    assert "4 rejects have landed after all, 0 are left" in said
    assert books(fixed) == {"a.csv": (10, 10, 0), "b.csv.gz": (10, 10, 0)}
    assert balanced(fixed)
    assert bronze(fixed).where("told = 'lots'").count() == 4
    before = versions(fixed)
    assert "no rejects" in ingest.run(fixed, retry_rejects=True)
    assert versions(fixed) == before


@pytest.mark.slow
def test_a_retry_killed_at_any_step_goes_on(place, monkeypatch) -> None:
    place.write("a.csv", day(1, bad=3))
    strict = place.line(limits={"line": 24, "rejects": 1})
    (source,) = strict.problem.sources
    place.write("b.csv", day(2))
    ingest.run(strict)
    lost = strict.tables.read("ops.rejects").count()
    line = place.line()
    for broken in ("append_values", "delete"):
        with monkeypatch.context() as patch:
            patch.setattr(type(line.tables), broken, lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                retry.rejects(line, FakeRun(), source)
    retry.rejects(line, FakeRun(), source)
    assert balanced(line)
    assert line.tables.read("ops.rejects").count() < lost
    assert bronze(line).select("_delivery", "_offset").distinct().count() == bronze(line).count()


class FakeRun:
    """The part of a run that a retry talks to."""

    run_id = "fake"

    def progress(self, _) -> None: ...
    def wrote(self, _) -> None: ...
    def count(self, **_) -> None: ...


def with_extra(number: int, names: str, values: str) -> str:
    lines = day(number).splitlines()
    return "\n".join([lines[0] + names, *(line + values for line in lines[1:])]) + "\n"


def test_unknown_fields_are_rescued_by_default(place) -> None:
    place.write("a.csv", with_extra(1, ",channel", ",web"))
    line = place.line()
    ingest.run(line)
    assert {json.loads(row[0])["channel"] for row in bronze(line).select("_rescued").collect()} == {
        "web"
    }
    assert "channel" not in bronze(line).columns


@pytest.mark.slow
def test_unknown_fields_become_columns_where_asked(place) -> None:
    place.write("a.csv", day(1))
    line = place.line(unknown="add")
    ingest.run(line)
    place.write("b.csv", with_extra(2, ",channel,Amount,weird name", ",web,9,x"))
    ingest.run(line)
    place.write("c.csv", with_extra(3, ",region", ",north"))
    ingest.run(line)
    rows = bronze(line)
    assert {"channel", "region"} <= set(rows.columns)
    found = rows.groupBy("channel", "region").count().collect()
    assert {tuple(row) for row in found} == {
        (None, None, 10),
        ("web", None, 10),
        (None, "north", 10),
    }
    rescued = {
        json.dumps(json.loads(row[0]))
        for row in rows.where("channel='web'").select("_rescued").collect()
    }
    assert rescued == {'{"Amount": "9", "weird name": "x"}'}


@pytest.mark.slow
def test_a_million_names_do_not_become_a_million_columns(place) -> None:
    objects = [
        json.dumps({"id": n, "at": "2024-01-01T00:00:00Z", f"k{n}": n, "amount": 1}) + "\n"
        for n in range(3000)
    ]
    place.write("a.json", "".join(objects))
    line = place.line(format="ndjson", unknown="add")
    ingest.run(line)
    rows = bronze(line)
    assert len(rows.columns) < 120
    assert rows.where("_rescued is not null").count() == 3000 - 100


def test_unknown_fields_refuse_the_delivery_where_asked(place) -> None:
    place.write("a.csv", day(1))
    place.write("b.csv", with_extra(2, ",channel", ",web"))
    line = place.line(unknown="fail")
    with pytest.raises(Refused, match="1 deliveries were refused"):
        ingest.run(line)
    assert set(books(line)) == {"a.csv"}
    (row,) = line.tables.read("ops.deliveries").where("status = 'refused'").collect()
    assert row.reason == "new_field"


def test_a_file_of_no_bytes_is_a_delivery_of_no_records(place) -> None:
    place.write("empty.csv", b"")
    line = place.line()
    assert "1 new deliveries with 0 records" in ingest.run(line)
    assert books(line) == {"empty.csv": (0, 0, 0)}
    assert ingest.run(line).endswith("nothing new")


def test_no_deliveries_is_an_error_that_names_the_pattern(place) -> None:
    with pytest.raises(Missing, match="no deliveries of") as error:
        ingest.run(place.line())
    assert error.value.where.endswith("days/*")


def test_a_folder_that_was_cleared_after_it_landed_has_nothing_new(place) -> None:
    """Files that are archived are no fault; a source of which nothing ever came is."""
    written = place.write("a.csv", day(1))
    line = place.line()
    ingest.run(line)
    written.unlink()
    assert ingest.waiting(line) == (None, 0)
    assert ingest.run(line).endswith("nothing new")
    with pytest.raises(Missing, match="no deliveries of other"):
        ingest.run(place.line({"path": "later/*"}))


@pytest.mark.slow
def test_what_was_retried_reaches_silver(place) -> None:
    place.write("a.csv", day(1, bad=2))
    line = place.line(limits={"line": 40})
    long = day(1).replace("105,2024", "105," + " " * 60 + "2024")
    place.write("b.csv", long)
    ingest.run(line)
    rejected = line.tables.read("ops.rejects").where("reason = 'too_long'").collect()
    assert [row.length > 40 for row in rejected] == [True]
    ingest.run(place.line(), retry_rejects=True)
    assert line.tables.read("ops.rejects").where("reason = 'too_long'").count() == 0
    batches = {row._batch for row in bronze(line).select("_batch").distinct().collect()}
    landed = validate._landed(line)
    assert {batch for each in landed.values() for batch in each} == batches


@pytest.mark.slow
def test_what_bronze_lost_lands_again_and_only_once(place) -> None:
    """As after a commit that was torn and moved aside: the books say landed, bronze has nothing."""
    place.write("a.csv", day(1))
    line = place.line()
    ingest.run(line)
    place.write("b.csv", day(2, bad=1))
    ingest.run(line)
    before = books(line)
    lose(line)
    assert bronze(line).count() == 10
    ingest.run(line)
    assert bronze(line).count() == 19
    assert books(line) == before
    assert balanced(line)


def test_where_only_spark_can_write_the_same_lands(place, multiset) -> None:
    """A constraint that somebody put on bronze is Spark's to check: workers do not write there."""
    place.write("a.csv", day(1, bad=2))
    line = place.line()
    ingest.run(line)
    (source,) = line.problem.sources
    table, path = schemas.bronze(line.problem, source), line.tables.path(f"bronze.{source}")
    assert line.tables.takes_files(table)
    line.spark.sql(f"ALTER TABLE delta.`{path}` ADD CONSTRAINT small CHECK (amount < 1000)")
    assert not line.tables.takes_files(table)
    place.write("b.csv", day(2, bad=3))
    ingest.run(line)
    assert balanced(line)
    by_spark = multiset(bronze(line), without=("_batch", "_arrived_at"))
    rejects = multiset(line.tables.read("ops.rejects"), without=("batch", "run_id"))

    again = place.line(path="days/?.csv")
    again = replace(again, tables=Tables(line.spark, f"{line.tables.root}-again"))
    again = replace(again, ledger=Ledger(again.tables, again.problem, again.environment))
    ingest.run(again)
    assert multiset(bronze(again), without=("_batch", "_arrived_at")) == by_spark
    assert multiset(again.tables.read("ops.rejects"), without=("batch", "run_id")) == rejects


def test_landing_is_one_job_and_files_say_what_they_hold(place) -> None:
    place.write("a.csv", day(1, bad=2))
    place.write("b.csv", day(2))
    line = place.line()

    def jobs() -> int:
        before = jobs_so_far(line.spark)
        ingest.run(line)
        return jobs_so_far(line.spark) - before

    jobs()
    jobs()
    looking = jobs()  # at the books, whose log Delta has replayed before
    place.write("c.csv", day(3, bad=1))
    place.write("d.csv", day(4, bad=1))
    assert jobs() == looking + 1
    (source,) = line.problem.sources
    files = Path(line.tables.path(f"bronze.{source}")).glob("*.parquet")
    min(files, key=lambda file: file.stat().st_mtime_ns).unlink()
    # What statistics rule out is not opened.
    assert bronze(line).where("at > '2024-01-02T10:00:00.001'").count() == 18


def test_a_column_of_another_type_is_said_before_anything_is_written(place) -> None:
    place.write("a.csv", day(1))
    ingest.run(place.line())
    place.write("b.csv", day(2))
    line = place.line(columns={"customer_id": {"type": "long", "from": "id"}, "at": "timestamp"})
    ingest.run(line)  # a column less is no matter
    place.write("c.csv", day(3))
    with pytest.raises(Missing, match=r"amount of bronze.\w+ is to be string now, .* have double"):
        ingest.run(
            place.line(
                columns={
                    "customer_id": {"type": "long", "from": "id"},
                    "at": "timestamp",
                    "amount": "string",
                }
            )
        )
    assert bronze(line).groupBy().count().collect()[0][0] == 20
    assert [row[0] for row in bronze(line).where("amount IS NULL").select("_offset").collect()]


def lose(line) -> None:
    """The newest commit of bronze."""
    (source,) = line.problem.sources
    log = Path(line.tables.path(f"bronze.{source}"), "_delta_log")
    last = max(log.glob("*.json"))
    last.unlink()
    (log / f".{last.name}.crc").unlink(missing_ok=True)
    last.with_suffix(".crc").unlink(missing_ok=True)


def test_of_a_lost_retry_what_it_had_added_lands_again(place) -> None:
    place.write("a.csv", day(1, bad=1).replace("105,2024", "105," + " " * 60 + "2024"))
    ingest.run(place.line(limits={"line": 40}))
    line = place.line()
    ingest.run(line, retry_rejects=True)
    before = books(line)
    assert before == {"a.csv": (10, 9, 1)}
    lose(line)
    assert bronze(line).count() == 8
    fresh = place.line()
    ingest.run(fresh)
    assert books(fresh) == before
    assert balanced(fresh)
    assert bronze(fresh).select("_delivery", "_offset").distinct().count() == 9
