"""Delta: a write happens once, versions are exact, and two processes do not share a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from driftline import delta_log, pins
from driftline.errors import Missing, TryAgain
from driftline.jobs import vacuum
from driftline.problem import load_problem
from driftline.registry import Version
from driftline.schemas import Column, Table
from driftline.tables import Tables, Written

THINGS = Table(
    "silver",
    "things",
    "Things, for a test; it's a 'comment'",
    (
        Column("id", "bigint", "Which one"),
        Column("name", "string", "What it's called"),
        Column("tags", "array<struct<k:string,v:bigint>>", "What is tied to it"),
    ),
)
NAME = THINGS.full_name


def things(tables, *ids: int):
    return tables.spark.createDataFrame(
        [(id_, f"n{id_}", [("a", id_)], "not a column") for id_ in ids],
        f"{THINGS.ddl}, more string",
    )


def ids(rows) -> list[int]:
    return sorted(row.id for row in rows.collect())


@pytest.fixture(scope="module")
def grown(spark, tmp_path_factory):
    """A warehouse with one table: three appends, one overwrite, and keys that are used again."""
    tables = Tables(spark, str(tmp_path_factory.mktemp("grown")))
    source = {"bronze.x": 8}
    written = [
        tables.append(things(tables, 1, 2), THINGS, key="a"),
        # With other rows even: the key stands for its content.
        tables.append(things(tables, 99), THINGS, key="a"),
        tables.append(things(tables, 3), THINGS, key="b"),
        tables.append(things(tables, 4, 5), THINGS, key="c"),
        tables.overwrite(things(tables, 6), THINGS, key="d", made_from=source),
        tables.overwrite(things(tables, 99), THINGS, key="d", made_from=source),
    ]
    return tables, written


def test_a_key_is_written_once_and_the_second_time_says_so(grown) -> None:
    tables, written = grown
    assert written == [
        Written(NAME, 1, rows=2),
        Written(NAME, 1, skipped=True),
        Written(NAME, 2, rows=1),
        Written(NAME, 3, rows=2),
        Written(NAME, 4, rows=1),
        Written(NAME, 4, skipped=True),
    ]
    assert tables.committed(NAME) == {"a", "b", "c"}
    assert tables.content(NAME) == "d"
    assert tables.made_from(NAME, 4) == {"bronze.x": 8}
    with pytest.raises(Missing, match="does not say what it was made from"):
        tables.made_from(NAME, 3)


def test_a_table_is_told_from_another_of_its_name(grown, tables) -> None:
    """Overwritten it is the same one; made anew it is not, whatever its version."""
    tables.append(things(tables, 1, 2), THINGS, key="a")
    first = tables.identity(NAME)
    tables.overwrite(things(tables, 6), THINGS, key="d", made_from={})
    assert tables.identity(NAME) == first
    assert tables.identity(NAME) != grown[0].identity(NAME)


def test_content_that_was_replaced_since_is_written_again(tables) -> None:
    """Features of a past day, then of today, then of that day again."""
    versions = [
        tables.overwrite(things(tables, id_), THINGS, key=f"k{id_}", made_from={}).version
        for id_ in (1, 2, 1)
    ]
    assert versions == [1, 2, 3]
    assert ids(tables.read(NAME)) == [1]
    assert [each.metadata["comment"] for each in tables.read(NAME).schema.fields] == [
        column.comment for column in THINGS.columns
    ]


def test_a_replacement_touches_only_what_it_names(tables) -> None:
    tables.append(things(tables, 1, 2, 3), THINGS, key="a")
    assert tables.replace(things(tables, 2), THINGS, where="id = 2", key="b").version == 2
    assert tables.replace(things(tables, 2), THINGS, where="id = 2", key="b").skipped
    assert ids(tables.read(NAME)) == [1, 2, 3]


def test_every_version_is_readable(grown) -> None:
    tables, _ = grown
    versions = [ids(tables.read(NAME, version=version)) for version in range(5)]
    assert versions == [[], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5], [6]]
    assert ids(tables.read(NAME)) == [6]
    assert tables.version(NAME) == 4
    for version in (5, -1):
        with pytest.raises(Missing, match=f"no version {version}"):
            tables.read(NAME, version=version)


def test_versions_differ_by_the_rows_of_files_that_one_alone_has(grown) -> None:
    tables, _ = grown
    wanted = {(1, 3): ([], [3, 4, 5]), (2, 2): ([], []), (3, 4): ([1, 2, 3, 4, 5], [6])}
    for (one, other), (went, came) in wanted.items():
        assert [ids(each) for each in tables.differing(NAME, one, other)] == [went, came]
        assert [ids(each) for each in tables.differing(NAME, other, one)] == [came, went]


def test_types_comments_and_readers(grown) -> None:
    tables, _ = grown
    fields = tables.read(NAME).schema.fields
    assert [(each.name, each.dataType.simpleString()) for each in fields] == [
        (column.name, column.type) for column in THINGS.columns
    ]
    assert [each.metadata["comment"] for each in fields] == [
        column.comment for column in THINGS.columns
    ]
    detail = tables.spark.sql(f"DESCRIBE DETAIL delta.`{tables.path(NAME)}`").first()
    assert detail.description == THINGS.comment
    # Features that delta-rs, DuckDB and Polars read.
    assert (detail.minReaderVersion, detail.minWriterVersion) <= (1, 2)


def test_rows_without_a_key_are_written_every_time(tables) -> None:
    for version in (1, 2):
        written = tables.append_values([(1, "a", [("k", 1)])], THINGS, key=None)
        assert written == Written(NAME, version, rows=1, bytes=written.bytes)
        assert written.bytes > 500
    assert ids(tables.read(NAME)) == [1, 1]
    assert tables.committed(NAME) == frozenset()


def test_what_is_not_there_is_missing_not_empty(tables) -> None:
    for ask in (tables.version, tables.read):
        with pytest.raises(Missing, match=r"no table silver\.things"):
            ask(NAME)
    assert not tables.exists(NAME)
    assert tables.committed(NAME) == frozenset()


def test_a_folder_that_a_killed_run_left_becomes_the_table(tables) -> None:
    """Delta makes the folder of the log before the first commit; a kill may fall in between."""
    Path(tables.path(NAME), "_delta_log").mkdir(parents=True)
    tables.append(things(tables, 1), THINGS, key="a")
    assert ids(tables.read(NAME)) == [1]


def test_a_warehouse_with_spaces_and_other_signs_in_its_path(spark, tmp_path) -> None:
    odd = Tables(spark, str(tmp_path / "a b %20 #ü"))
    odd.append(things(odd, 1), THINGS, key="a")
    odd.append(things(odd, 2), THINGS, key="b")
    assert ids(odd.read(NAME)) == [1, 2]
    assert [ids(each) for each in odd.differing(NAME, 1, 2)] == [[], [2]]


# --- locks: between processes, not threads --------------------------------------------------------

_HOLD = """
import sys
from driftline.errors import DriftlineError
from driftline.tables import Tables

try:
    with Tables(None, sys.argv[1]).lock("silver.other", "silver.things"):
        print("held", flush=True)
        sys.stdin.read()
except DriftlineError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


def holder(root: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLD), root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_another_process_is_told_to_try_again(tables) -> None:
    with tables.lock("gold.features", NAME):
        loser = holder(tables.root)
        said, _ = loser.communicate(timeout=60)
    assert loser.returncode == 75
    assert "silver.things is being written by another process (pid" in said
    # What the loser had got is free again.
    with tables.lock("silver.other"):
        pass


def test_a_lock_ends_with_its_process_even_a_killed_one(tables) -> None:
    other = holder(tables.root)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TryAgain) as caught, tables.lock(NAME):
            pass
        assert f"pid {other.pid}" in caught.value.what
        with tables.lock("silver.third"):
            pass
    finally:
        other.kill()
        other.communicate()
    with tables.lock(NAME, "silver.other"):
        pass


# --- what the books cost --------------------------------------------------------------------------


def test_a_row_of_the_books_starts_no_spark_job(spark, tables) -> None:
    from driftline.usage import jobs_so_far

    tables.append_values([(1, "a", [("k", 1)])], THINGS, key="first")
    before = jobs_so_far(spark)
    assert tables.append_values([(2, "b", [])], THINGS, key="second").rows == 1
    assert tables.append_values([(2, "b", [])], THINGS, key="second").skipped
    assert tables.append_values([(3, None, None)], THINGS, key=None).rows == 1
    assert jobs_so_far(spark) == before
    assert tables.committed(NAME) == {"first", "second"}
    assert ids(tables.read(NAME)) == [1, 2, 3]


def test_a_checksum_of_another_commit_is_not_believed(tables) -> None:
    """As when a commit was moved aside, its checksum stayed, and another took its number."""
    tables.append_values([(1, "a", None)], THINGS, key="first")
    tables.append_values([(2, "b", None)], THINGS, key="second")
    file = Path(tables.path(NAME), "_delta_log", f"{2:020d}.crc")
    told = json.loads(file.read_text())
    told["txnId"] = "another"
    told["setTransactions"][0]["appId"] = "driftline:lost"
    file.write_text(json.dumps(told))
    Path(file.parent, f".{file.name}.crc").unlink()
    assert tables.committed(NAME) == {"first", "second"}


def test_versions_that_models_come_from_are_told_for_years(spark, tmp_path) -> None:
    """Delta's own log forgets after 30 days, as soon as there is a checkpoint to begin with."""
    tables = Tables(spark, str(tmp_path))
    books = replace(THINGS, layer="ops")
    kept = {}
    for table in (THINGS, books):
        for key in ("a", "b", "c"):
            tables.append(things(tables, 1), table, key=key)
        log = Path(tables.path(table.full_name), "_delta_log")
        old = time.time() - 100 * 86400
        for path in log.iterdir():
            os.utime(path, (old, old))
        delta_log.log_of(spark, tables.path(table.full_name)).checkpoint()
        kept[table.layer] = tables.oldest(table.full_name)
    assert kept == {"silver": 0, "ops": 3}


def test_vacuum_makes_no_version(spark, tmp_path) -> None:
    """One of its own would not say what the table was made from."""
    tables = Tables(spark, str(tmp_path))
    for id_, key in ((1, "a"), (2, "b")):
        tables.overwrite(things(tables, id_), THINGS, key=key, made_from={"bronze.x": id_})
    taken = pins.vacuum(tables, NAME, hours=0, pinned=[])
    assert taken["removed"] > 0
    assert (tables.version(NAME), tables.content(NAME)) == (2, "b")


def test_a_vacuum_that_was_killed_is_given_again_and_loses_no_model_its_rows(
    open_line, repository, tmp_path, monkeypatch
) -> None:
    problem = load_problem(repository / "conf" / "churn.yaml")
    line = open_line(problem, data=tmp_path, warehouse=tmp_path, root=tmp_path)
    tables = line.tables
    for id_, key in ((1, "a"), (2, "b"), (3, "c")):
        tables.overwrite(things(tables, id_), THINGS, key=key, made_from={})
    then = tables.version(NAME) - 1
    model = Version(4, "", "", {"tables": json.dumps({NAME: then}), "gate": "passed"})
    models = SimpleNamespace(passed=lambda: [model])
    monkeypatch.setattr(vacuum, "Registry", lambda *_: models)
    restore = pins.restore

    def killed(tables, name) -> int:
        """As soon as something is to be put back."""
        if name == NAME and not pins.whole(tables, name, then):
            raise KeyboardInterrupt
        return restore(tables, name)

    with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
        once.setattr(pins, "restore", killed)
        vacuum.run(line, hours=0)
    assert not pins.whole(tables, NAME, then)
    assert "kept for 1 model versions alone" in vacuum.run(line, hours=0)
    assert pins.whole(tables, NAME, then)
    assert ids(tables.read(NAME, version=then)) == [2]
