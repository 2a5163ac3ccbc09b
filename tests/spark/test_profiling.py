"""ops.profiles: each data file is read once, and any version is the merge of its files.

Random histories of everything Delta does to files, of tables of every kind; each version's profile
must be that of its rows, also when all data files are gone.
"""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from tests.data_files import remove_data

from driftline import delta_files, delta_log, schemas, sketches
from driftline import profile as profiles
from driftline.errors import Missing
from driftline.jobs import profile, profile_store, profiling
from driftline.problem import load_problem
from driftline.profile import Profile

DDL = "id bigint, x double, w string, day date, at timestamp, ok boolean, tags array<int>"


class Table:
    """A table with a random history; every change is one of Delta's own commands."""

    def __init__(self, spark, folder: Path, seed: int) -> None:
        self.spark, self.random, self.next = spark, random.Random(seed), 0
        self.folder = str(folder / "first table+%41")
        self.clones = self.named = self.oldest = self.forgot = self.mapped_at = 0
        self.mapped = self.random.random() < 0.35  # another may be, later
        vectors = self.random.random() < 0.6
        parts = "PARTITIONED BY (w)" if self.random.random() < 0.5 else ""
        told = [f"'delta.enableDeletionVectors' = '{str(vectors).lower()}'"]
        told += ["'delta.columnMapping.mode' = 'name'"] if self.mapped else []
        told += ["'delta.checkpointInterval' = '4'"]
        self.sql(f"CREATE TABLE {{}} ({DDL}) USING delta {parts} TBLPROPERTIES ({', '.join(told)})")

    def sql(self, text: str) -> None:
        self.spark.sql(text.format(f"delta.`{self.folder}`"))

    @property
    def columns(self) -> list[str]:
        return self.spark.read.format("delta").load(self.folder).columns

    def rows(self, count: int) -> str:
        """A VALUES clause, by the columns that there are."""
        lines = []
        for _ in range(count):
            self.next += 1
            draw = self.random.random
            x = self.random.choice(["NULL", "double('NaN')", "-0.0D", f"{draw():.3f}D", "1e9D"])
            w = self.random.choice(["NULL", "''", "'a b'", "'%é+/'", "'c'"])
            day = self.random.choice(["NULL", "DATE'9999-12-31'", "DATE'2024-02-29'"])
            at = f"TIMESTAMP'2024-03-{self.random.randint(1, 28):02} 10:00:00.5'"
            known = {"id": self.next, "w": w, "day": day, "at": at, "ok": "draw() < 2"}
            known |= {"ok": self.random.choice(["true", "false", "NULL"]), "tags": "array(1, 2)"}
            lines.append([str(known.get(name, x)) for name in self.columns_cached])
        return ", ".join(f"({', '.join(line)})" for line in lines)

    def step(self) -> str:
        """Change something; says what."""
        self.columns_cached = self.columns
        steps = [self.append] * 3 + [self.delete, self.update, self.merge, self.optimize]
        steps += [self.restore, self.overwrite, self.clone, self.add_column, self.repartition]
        steps += [self.rename, self.drop_column] * (1 if self.mapped else 0)
        steps += [] if self.mapped else [self.map] * 3
        chosen = self.random.choice(steps)
        chosen()
        return chosen.__name__

    def append(self) -> None:
        self.sql(f"INSERT INTO {{}} VALUES {self.rows(self.random.randint(1, 30))}")

    def delete(self) -> None:
        self.sql(f"DELETE FROM {{}} WHERE id % 5 = {self.random.randint(0, 4)}")

    def update(self) -> None:
        self.sql(f"UPDATE {{}} SET w = 'new' WHERE id % 7 = {self.random.randint(0, 6)}")

    def merge(self) -> None:
        source = f"SELECT * FROM VALUES {self.rows(5)} AS t({', '.join(self.columns_cached)})"
        self.sql(
            f"MERGE INTO {{}} AS t USING ({source}) AS s ON t.id = s.id - 9 "
            "WHEN MATCHED THEN UPDATE SET ok = s.ok WHEN NOT MATCHED THEN INSERT *"
        )

    def optimize(self) -> None:
        self.sql("OPTIMIZE {}")

    def restore(self) -> None:
        oldest = max(self.oldest, self.mapped_at)  # Delta takes mapping back by no RESTORE
        number = self.random.randint(oldest, self.version)
        self.sql(f"RESTORE TABLE {{}} TO VERSION AS OF {number}")

    def overwrite(self) -> None:
        self.sql(f"INSERT OVERWRITE {{}} VALUES {self.rows(12)}")

    def repartition(self) -> None:
        """The same rows, apart by another column, or by none."""
        rows = self.spark.read.format("delta").load(self.folder)
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.partitionBy(*self.random.choice([["w"], ["day"], []])).save(self.folder)

    def clone(self) -> None:
        self.clones += 1
        target = f"{Path(self.folder).parent}/clone{self.clones}"
        self.spark.sql(f"CREATE TABLE delta.`{target}` SHALLOW CLONE delta.`{self.folder}`")
        self.folder, self.oldest, self.mapped_at = target, 0, 0

    def map(self) -> None:
        """As before a column of a table that was none of those can be dropped."""
        self.sql("ALTER TABLE {} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
        self.mapped, self.mapped_at = True, self.version

    def add_column(self) -> None:
        self.named += 1  # versions begin anew with a clone
        self.sql(f"ALTER TABLE {{}} ADD COLUMN (extra{self.named} double)")

    def rename(self) -> None:
        free = [name for name in self.columns_cached if name.startswith(("x", "extra"))]
        if free:
            old = self.random.choice(free)
            self.named += 1
            self.sql(f"ALTER TABLE {{}} RENAME COLUMN {old} TO x{self.named}r")

    def drop_column(self) -> None:
        free = [name for name in self.columns_cached if name.startswith(("x", "extra"))]
        if len(free) > 1:
            self.sql(f"ALTER TABLE {{}} DROP COLUMN {self.random.choice(free)}")

    def forget(self) -> None:
        """Drop what the log has of versions before its newest checkpoint, as Delta does in time."""
        log = Path(self.folder, "_delta_log")
        numbered = {
            each: int(number)
            for each in log.iterdir()
            if (number := each.name.lstrip(".").partition(".")[0]).isdigit()
        }
        points = [number for each, number in numbered.items() if "checkpoint" in each.name]
        self.oldest = max(points, default=0)
        for each, number in numbered.items():
            if number < self.oldest:
                each.unlink()
                self.forgot += each.suffix == ".json"

    @property
    def version(self) -> int:
        rows = self.spark.sql(f"DESCRIBE HISTORY delta.`{self.folder}` LIMIT 1").collect()
        return int(rows[0].version)


def truth(spark, folder: str, version: int) -> dict[str, tuple]:
    """Rows, nulls, values and how many of each, of every column, from the rows themselves."""
    frame = spark.read.format("delta").option("versionAsOf", version).load(folder)
    rows = [row.asDict() for row in frame.selectExpr("*").collect()]
    found = {}
    for name, type_ in frame.dtypes:
        values = [row[name] for row in rows if row[name] is not None]
        if type_ == "double":
            values = [value + 0.0 for value in values if not math.isnan(value)]
        counts: dict = {}
        for value in values:
            counts[_text(value, type_)] = counts.get(_text(value, type_), 0) + 1
        found[name] = (type_, len(rows), len(rows) - len(values), counts)
    return found


def _text(value, type_: str) -> str:
    if type_ == "boolean":
        return str(value).lower()
    if type_ == "date":
        return repr(float((value - type(value)(1970, 1, 1)).days * 86_400))
    if type_ == "timestamp":
        return repr(value.timestamp())
    return repr(float(value)) if type_ in ("double", "bigint") else str(value)


def assert_same(found: dict[str, Profile], expected: dict[str, tuple]) -> None:
    assert {each.column for each in found.values()} == set(expected)
    for name, (type_, rows, nulls, counts) in expected.items():
        column = found[name]
        assert (column.type, column.rows, column.nulls) == (type_, rows, nulls), name
        if type_.startswith("array"):
            assert column.kind == "skipped"
            continue
        assert column.counts.complete
        told = column.counts.values
        if column.kind == "numeric":
            told = {repr(float(value)): count for value, count in told.items()}
            values = [float(value) for value, count in counts.items() for _ in range(count)]
            assert (column.min, column.max) == (
                min(values, default=None),
                max(values, default=None),
            )
            if values:
                mean = math.fsum(values) / len(values)
                assert column.mean == pytest.approx(mean, rel=1e-12)
                spread = math.fsum((value - mean) ** 2 for value in values)
                assert column.spread == pytest.approx(spread, rel=1e-9, abs=1e-6)
                sketched = sketches.quantiles(column.sketch)
                assert sketched.points.tolist() == sorted(set(values))
                many = [values.count(point) for point in sketched.points]
                assert sketched.shares * len(values) == pytest.approx(many)
        assert told == counts, name
        if counts:
            assert column.distinct == len(counts)


@pytest.fixture(scope="module")
def line(open_line, tmp_path_factory, repository):
    warehouse = tmp_path_factory.mktemp("profiled")
    problem = load_problem(repository / "conf" / "churn.yaml")
    return open_line(problem, data=warehouse, warehouse=warehouse)


def profiled(line, folder: str, numbers: list[int], *, scans: bool = True) -> dict[int, dict]:
    """The profiles of versions of a table."""
    commits = line.tables.commits(folder, since=min(numbers), until=max(numbers))
    versions = [delta_files.version(commits, number) for number in numbers]
    wanted = [profiling.wanted(folder, each, each.files) for each in versions]
    with line.ledger.run("drift") as ledger:
        known = profiling.profiles(line, ledger, wanted)
        assert scans or ledger.status == "unchanged"
    return {
        each.number: profiling.of(each.files, profiling.profiled(each.schema), known, table=folder)
        for each in versions
    }


def history(spark, line, folder: Path, seed: int, steps: int, *, forgets: bool = False) -> Table:
    """Steps of a random table; with ``forgets`` its log is cleaned up at every fifth and the last.
    What can still be read must have the profile of its rows.
    """
    table = Table(spark, folder, seed)
    expected = {}
    for step in range(1, steps + 1):
        table.step()
        version = table.version
        expected[table.folder, version] = truth(spark, table.folder, version)
        if table.random.random() < 0.5:
            found = profiled(line, table.folder, [version])
            assert_same(found[version], expected[table.folder, version])
        if forgets and (step % 5 == 0 or step == steps):
            table.forget()
            assert line.tables.oldest(table.folder) == table.oldest
            for place in [place for place in expected if place[0] == table.folder]:
                if place[1] < table.oldest:
                    del expected[place]
    folders = list(dict.fromkeys(folder for folder, _ in expected))
    numbers = {each: [n for folder, n in expected if folder == each] for each in folders}
    for each in folders:
        profiled(line, each, numbers[each])
    for each in folders:  # all data are gone, the logs stay
        remove_data(each)
    for each in folders:
        found = profiled(line, each, numbers[each], scans=False)
        for number in numbers[each]:
            assert_same(found[number], expected[each, number])
    rows = line.tables.read(schemas.PROFILES.full_name).where(f"table LIKE '{folder}/%'")
    columns = F.array_sort(F.collect_set("column")).alias("columns")
    when = F.min("_metadata.file_modification_time").alias("when")
    scans = rows.groupBy("file", "bytes", "deleted", "run_id", "version").agg(columns, when)
    # A file is read again for a column that was dropped when it was read, and for nothing else.
    told: dict[tuple, list[set[str]]] = {}
    for row in scans.orderBy("when", F.desc(F.size("columns"))).collect():
        told.setdefault(row[:3], []).append(set(row.columns))
    for file, read in told.items():
        for place, more in enumerate(read):
            assert place == 0 or more - set().union(*read[:place]), f"{file} was profiled twice"
    shutil.rmtree(folder)
    return table


@pytest.mark.parametrize("few", [profile_store._FEW, -1])
def test_any_version_is_the_merge_of_its_files(spark, line, tmp_path, monkeypatch, few) -> None:
    """Also of so many that they are not brought at once."""
    monkeypatch.setattr(profile_store, "_FEW", few)
    history(spark, line, tmp_path, seed=3, steps=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 30))
def test_random_histories(spark, line, tmp_path, seed: int) -> None:
    history(spark, line, tmp_path, seed=seed, steps=14)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [40, 41])
def test_random_histories_that_the_log_forgets(spark, line, tmp_path, seed: int) -> None:
    table = history(spark, line, tmp_path, seed=seed, steps=14, forgets=True)
    assert table.forgot >= 4


def test_what_was_vacuumed_before_it_was_profiled_is_said(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    spark.range(5).write.format("delta").save(folder)
    for file in Path(folder).glob("*.parquet"):
        file.unlink()
    with pytest.raises(Missing, match="files were removed before they were profiled"):
        profiled(line, folder, [0])


def test_rows_are_not_asked_where_they_lie(spark, line, tmp_path) -> None:
    """A path is spelt as the log does once a file: Spark would infer of the join that no row's path
    so spelt is null, and look at each of them.
    """
    folder = str(tmp_path / "t")
    spark.range(5).write.format("delta").save(folder)
    commits = line.tables.commits(folder, since=0, until=0)
    version = delta_files.version(commits, 0)
    made = profiling._scan(line, profiling.wanted(folder, version, version.files), {})
    plan = made._jdf.queryExecution().optimizedPlan().toString()
    above, aggregate, below = plan.partition("Aggregate")
    assert "UrlCodec" in above
    assert aggregate
    assert "UrlCodec" not in below


def test_a_file_that_nobody_asked_for_is_not_lost(spark, line, tmp_path, monkeypatch) -> None:
    """Were its path spelt in two ways, it would be kept as a file without rows, for ever."""
    folder = str(tmp_path / "t")
    spark.range(5).write.format("delta").save(folder)
    spell = delta_files.path_of
    monkeypatch.setattr(delta_files, "path_of", lambda spelt: F.concat(F.lit("/x"), spell(spelt)))
    with pytest.raises((PySparkException, Py4JJavaError), match="not a file that was to be pro"):
        profiled(line, folder, [0])


def test_no_sketch_is_read_to_know_which_files_have_a_profile(
    spark, line, tmp_path, monkeypatch
) -> None:
    folder = str(tmp_path / "t")
    spark.range(0, 5, 1, 1).write.format("delta").save(folder)

    def brought(row):
        raise AssertionError(row)

    monkeypatch.setattr(profiles, "from_row", brought)
    for _ in range(2):
        assert profile.run(line, table=folder).endswith("1 of 1 files have a profile")
    rows = line.tables.read(schemas.PROFILES.full_name)
    plan = profile_store._light(rows)._jdf.queryExecution().executedPlan().toString()
    assert "largest_id" in plan
    for heavy in ("sketch", "distinct", "values"):
        assert heavy not in plan


def test_a_column_that_was_dropped_after_mapping_was_switched_on(spark, line, tmp_path) -> None:
    """The version that still has it has no number of it: its file is read again, or not told."""
    for gone in (False, True):
        folder = str(tmp_path / f"t{gone}")
        spark.range(0, 10, 1, 1).selectExpr("id AS a", "id AS b").write.format("delta").save(folder)
        mapped = "SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
        for change in (mapped, "DROP COLUMN b"):
            spark.sql(f"ALTER TABLE delta.`{folder}` {change}")
        profile.run(line, table=folder)
        if gone:
            remove_data(folder)
            with pytest.raises(Missing, match="1 of 1 files were removed"):
                profiled(line, folder, [0, 2])
            continue
        found = profiled(line, folder, [0, 2])
        assert (found[0]["b"].nulls, found[0]["b"].max) == (0, 9.0)
        assert set(found[2]) == {"a"}


def test_a_deletion_vector_that_vacuum_took_takes_no_other_file_along(
    spark, line, tmp_path
) -> None:
    """The file is there; what it was like with the vector nobody can tell any more."""
    folder = str(tmp_path / "t")
    vectors = {"delta.enableDeletionVectors": "true"}
    spark.range(0, 100, 1, 1).write.format("delta").options(**vectors).save(folder)
    for number in (1, 2):
        spark.sql(f"DELETE FROM delta.`{folder}` WHERE id = {number}")
    [deleted] = line.tables.commits(folder, since=0, until=2)[1].added
    [vector] = deleted.paths - {deleted.path}
    Path(vector).unlink()
    said = profile.run(line, table=folder, history=True)
    assert said.endswith("2 of 3 files have a profile; 1 were removed before they were profiled")
    assert [profiled(line, folder, [n])[n]["id"].rows for n in (0, 2)] == [100, 98]
    with pytest.raises(Missing, match=r"1 data files of .* version 1 are gone"):
        line.tables.differing(folder, 1, 2)


def test_a_clone_has_the_profiles_of_its_source(spark, line, tmp_path) -> None:
    """Deletion vectors, too, which it names by another path to the same file."""
    folder, clone = str(tmp_path / "t"), str(tmp_path / "clone")
    vectors = {"delta.enableDeletionVectors": "true"}
    spark.range(0, 100, 1, 1).write.format("delta").options(**vectors).save(folder)
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE id = 7")
    profile.run(line, table=folder)
    spark.sql(f"CREATE TABLE delta.`{clone}` SHALLOW CLONE delta.`{folder}`")
    for file in Path(folder).iterdir():
        if file.is_file():
            file.unlink()
    assert profiled(line, clone, [0], scans=False)[0]["id"].rows == 99


def test_a_file_that_was_written_anew_in_its_place_is_another_one(spark, line, tmp_path) -> None:
    """A folder of Parquet files that one writer makes every day, of as many rows."""
    folder = tmp_path / "t"
    found = []
    for day in (1, 2):
        shutil.rmtree(folder, ignore_errors=True)
        rows = spark.range(0, 100, 1, 1).selectExpr(f"id + {day * 1000} AS x")
        rows.write.option("compression", "none").parquet(str(folder))
        [file] = folder.glob("*.parquet")
        file.rename(folder / "part-0.parquet")
        for each in folder.glob(".*"):
            each.unlink()
        spark.sql(f"CONVERT TO DELTA parquet.`{folder}`")
        version = delta_files.version(line.tables.commits(str(folder), since=0, until=0), 0)
        found.append((version.files[0], profiled(line, str(folder), [0])[0]["x"].max))
    assert (found[0][0].path, found[0][0].size) == (found[1][0].path, found[1][0].size)
    assert [most for _, most in found] == [1099.0, 2099.0]


def test_the_newest_version_is_told_from_the_newest_checkpoint(
    spark, line, tmp_path, monkeypatch
) -> None:
    folder = str(tmp_path / "t")
    for _ in range(6):
        rows = spark.range(0, 10, 1, 1).write.format("delta").mode("append")
        rows.option("delta.checkpointInterval", "4").save(folder)
    monkeypatch.setattr(delta_files, "_FAR", 4)
    text, read = delta_log.commit_text, []

    def spied(spark, folder, number):
        read.append(number)
        return text(spark, folder, number)

    monkeypatch.setattr(delta_log, "commit_text", spied)
    assert profile.run(line, table=folder) == f"{folder}: 6 of 6 files have a profile"
    assert read == [5]
    for number in range(4):
        Path(folder, "_delta_log", f"{number:020}.json").unlink()
    said = profile.run(line, table=folder, history=True)
    assert said.endswith("; of those before version 4 the log does not tell any more")


def test_what_is_no_text_is_kept_as_one(spark, line, tmp_path) -> None:
    folder = str(tmp_path / "t")
    rows = spark.range(0, 4, 1, 1).selectExpr("CAST(IF(id > 0, X'41FF', X'42') AS STRING) AS w")
    rows.write.format("delta").save(folder)
    for _ in range(2):
        assert profiled(line, folder, [0])[0]["w"].counts.values == {"A\ufffd": 3, "B": 1}
