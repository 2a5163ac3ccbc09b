"""A profile that is killed, and two at once: each data file is profiled, and once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from driftline import delta_files, schemas
from driftline.jobs import ingest, profile, validate
from faults.test_kill import commit, folder_of, kill_at

pytestmark = pytest.mark.slow
TABLE = "silver.lines"


@pytest.fixture(scope="module")
def project(six_days) -> Path:
    return six_days(300)


@pytest.fixture
def line(lined, tmp_path):
    found = lined(tmp_path)
    ingest.run(found)
    validate.run(found)
    return found


def whole(line) -> None:
    """Every file has one profile, in parts of one delivery each, which is that of its rows."""
    profiles = line.tables.read(schemas.PROFILES.full_name)
    units = profiles.groupBy("file", "bytes", "deleted", "cell", "column", "part").count()
    assert units.where("count > 1").count() == 0
    rows = line.tables.read(TABLE)
    path = delta_files.path_of(delta_files.file_of(rows)).alias("file")
    number = F.col("unit_price").cast("double")
    of_rows = [F.count("*"), F.count_if(number.isNull()), F.min(number), F.max(number)]
    expected = set(rows.select("*", path).groupBy("file").agg(*of_rows).collect())
    kept = profiles.where("column = 'unit_price' AND part = ''").groupBy("file")
    merged = kept.agg(F.sum("rows"), F.sum("nulls"), F.min("min"), F.max("max"))
    assert set(merged.collect()) == expected
    assert expected


@pytest.mark.parametrize(
    "file",
    [commit(0), "*.parquet", commit(1)],
    ids=["table made, empty", "first file", "committed"],
)
def test_a_killed_profile_goes_on_where_it_was(started, line, tmp_path, file) -> None:
    process = started("profile", tmp_path, "--table", TABLE)
    kill_at(process, folder_of(tmp_path, schemas.PROFILES.full_name), file)
    assert "files have a profile" in profile.run(line, table=TABLE)
    whole(line)


def test_of_two_at_once_each_file_has_one_profile(started, line, tmp_path) -> None:
    both = [started("profile", tmp_path, "--table", TABLE) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 75], [0, 0]), said
    profile.run(line, table=TABLE)
    whole(line)
