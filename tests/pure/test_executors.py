"""What Spark takes to its executors runs there with the libraries that are asked for.

Spark pickles a function by the name of its module: what that imports, an executor has to have.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle
from pyspark.sql.types import StringType, StructField, StructType
from tests.serving.conftest import FACTS, PREPARATION, STUMP, onnx

from driftline import (
    adapter,
    arrow_files,
    arrow_scan,
    arrow_split,
    features,
    ingest,
    operations,
    scoring,
)
from driftline.new_files import Target
from driftline.portable import reasons
from driftline.portable.numbers import Linear
from driftline.pulls import jdbc
from driftline.sources import REJECTS, Field, Layout, splits
from driftline.suite_files import Rule
from driftline.windows import compute
from driftline.windows.operations import Output
from executors import FOR_CLASSES, LIBRARIES, link

PROJECT = Path(__file__).parents[2]

SENT = {"ingest": 3, "features": 1, "scoring": 1, "adapter": 2, "pulls.jdbc": 2, "session": 1}
SENT |= {"arrow_files": 1}
"""How many functions a module sends; that of ``session`` warms up a Spark of one process."""

EXECUTOR = """
import pickle, sys, traceback
sys.path[:0] = sys.argv[1:3]
failed = {}
for name, pickled in pickle.load(sys.stdin.buffer).items():
    try:
        function, given = pickle.loads(pickled)
        found = list(function(iter(given)))
        assert sum(map(len, found)) > 0
        for batch in found if name.startswith("fit") else ():
            assert batch["failed"].to_pylist() == [None], batch["failed"]
    except Exception:
        failed[name] = traceback.format_exc()
sys.stdout.buffer.write(pickle.dumps(failed))
"""

Sent = tuple[Callable[..., Any], list[Any]]


def frame(columns: StructType | None = None) -> MagicMock:
    """What a DataFrame is to those who only pass it on: it keeps what it is to map."""
    made = MagicMock(columns=columns.names if columns else [], schema=columns or MagicMock())
    for name in ("where", "select", "repartition", "sortWithinPartitions", "coalesce"):
        getattr(made, name).return_value = made
    return made


def mapped(rows: MagicMock) -> Callable[..., Any]:
    function: Callable[..., Any] = rows.mapInArrow.call_args.args[0]
    return function


@pytest.fixture
def spark_functions(monkeypatch) -> None:
    """Columns without a JVM, which can be compared with whatever there is."""
    column = MagicMock()
    for name in ("__le__", "__gt__"):
        getattr(column, name).return_value = column
    functions = MagicMock(col=lambda name: column, unix_date=lambda name: column)
    for module in (features, jdbc):
        monkeypatch.setattr(module, "F", functions)
    monkeypatch.setattr(jdbc, "Window", MagicMock())
    monkeypatch.setattr(adapter, "arrow_udf", lambda function, kind: function)


def delivery(folder: Path) -> tuple[list[tuple[str, Any]], Layout]:
    """Two records, the second of which cannot be read."""
    path = folder / "visits.ndjson"
    path.write_text('{"n": 1}\n{"n": \n')
    layout = Layout("ndjson", (Field("n", "long"),))
    return [("d1", split) for split in splits(str(path), 1 << 20, layout)], layout


def records(folder: Path) -> Sent:
    rows = frame()
    ingest.records(rows, *delivery(folder), ingest.Policy(), "n bigint")
    return mapped(rows), numbers()


def land(folder: Path) -> Sent:
    rows, (cut, layout) = frame(), delivery(folder)
    schema = pa.schema([*layout.schema, ("_delivery", pa.string())])
    reject = pa.schema([*REJECTS, ("delivery", pa.string())])
    ingest.land(
        rows,
        cut,
        layout,
        ingest.Policy(),
        rows=Target(str(folder), schema, ("_delivery",), {}),
        rejects=Target(str(folder), reject, (), {}),
    )
    return mapped(rows), numbers()


def examine(folder: Path) -> Sent:
    rows = frame()
    ingest.examine(rows, *delivery(folder), ingest.Policy())
    return mapped(rows), numbers()


def numbers() -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"id": [0]})]


def windowed(folder: Path) -> Sent:
    tiles = frame()
    part = operations.component("events", None).name
    visits = Output("visits_7d", "count", (part,), 7)
    features.windowed(tiles, compute.Plan("who", (19_000,), (visits,)))
    day = pa.array([date.fromordinal(date(1970, 1, 1).toordinal() + 18_999)])
    columns = {"who": pa.array(["a"]), "_part": pa.array([""])}
    columns |= {"_category": pa.array([None], pa.string()), part: pa.array([3])}
    columns |= dict.fromkeys(("_day", "_date", "_known"), day)
    columns |= dict.fromkeys(("_newest", "_arrived"), pa.array([18_999 * 86_400_000_000]))
    return mapped(tiles), [pa.RecordBatch.from_pydict(columns)]


def predicted(folder: Path) -> Sent:
    asked = pa.RecordBatch.from_pylist([{"who": "a"} | {each.name: None for each in FACTS.columns}])
    rows = frame(StructType([StructField(name, StringType()) for name in asked.schema.names]))
    why = reasons.write(PREPARATION, STUMP, FACTS)
    scoring.predicted(rows, onnx(), why, FACTS, keep=["who"])
    return mapped(rows), [asked]


def not_landed(folder: Path) -> Sent:
    rows = frame()
    rows.columns = ["n"]
    jdbc._not_landed(rows, [Field("n", "long")], ["n"], frame())
    return mapped(rows), [pa.RecordBatch.from_pydict({"n": ["1", "x"]})]


def without(folder: Path) -> Sent:
    rows = frame()
    jdbc._without(rows, ("n",), b"k" * 32)
    return mapped(rows), [pa.RecordBatch.from_pydict({"n": ["1", None]})]


def files(folder: Path) -> arrow_files.Files:
    path = folder / "rows.parquet"
    pq.write_table(pa.table({"n": [1, 2], "_batch": ["b", "b"]}), path)
    return arrow_files.found([str(path)], pa.schema([("n", pa.int64())]), ("_batch", "b"))


RULE = Rule("r", "expect_column_values_to_be_between", {"column": "n", "min_value": 2}, "why")


def counted(folder: Path) -> Sent:
    asked = arrow_scan._Asked(files(folder), (RULE,), ())
    return lambda parts: [[each] for each in arrow_scan._told_of(asked, parts)], asked.files.parts


def split(folder: Path) -> Sent:
    rows, none = files(folder), pa.array([], pa.int64())
    target = Target(str(folder), rows.schema, (), {})
    asked = arrow_split._Asked(rows, (RULE,), none, none.cast(pa.string()), target)
    return lambda parts: [[each] for each in arrow_split._written(asked, parts)], rows.parts


def fit(name: str) -> Callable[[Path], Sent]:
    def sent(folder: Path) -> Sent:
        made = adapter.Adapted(name, {}, task="classification", seed=1, weighted=False)
        x = pa.array([[0.0, 1.0], [1.0, 0.0]] * 20)
        rows = pa.RecordBatch.from_arrays([x, pa.array([0.0, 1.0] * 20)], ["x", "label"])
        return made._fitted, [rows]

    return sent


def transform(folder: Path) -> Sent:
    fitted = Linear(np.array([1.0, 2.0]), 0.5, True)
    return adapter._totals(fitted), [pa.array([[0.0, 1.0]])]


ALWAYS = {
    "ingest.records": records,
    "ingest.land": land,
    "ingest.examine": examine,
    "features.windowed": windowed,
    "scoring.predicted": predicted,
    "pulls.jdbc": not_landed,
    "pulls.jdbc, pseudonyms": without,
    "arrow_scan": counted,
    "arrow_split": split,
}
OF_CLASSES = {
    "fit of numbers": fit("sklearn.linear_model.LogisticRegression"),
    "fit of a graph": fit("sklearn.naive_bayes.GaussianNB"),
    "transform": transform,
}


@pytest.mark.parametrize(
    ("sent", "libraries"),
    [(ALWAYS, LIBRARIES), (OF_CLASSES, LIBRARIES + FOR_CLASSES)],
    ids=["always", "classes"],
)
@pytest.mark.usefixtures("spark_functions")
def test_functions_run_with_the_libraries_of_an_executor(sent, libraries, tmp_path) -> None:
    link([*libraries, "pyspark"], tmp_path)
    (tmp_path / "data").mkdir()
    pickled = {name: cloudpickle.dumps(make(tmp_path / "data")) for name, make in sent.items()}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", EXECUTOR, tmp_path, PROJECT / "lib"],
        input=pickle.dumps(pickled),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    failed = pickle.loads(done.stdout)
    assert failed == {}, "\n".join(failed.values())


def test_no_function_is_sent_that_was_not_looked_at() -> None:
    library = PROJECT / "lib" / "driftline"
    sends = re.compile(
        r"(?<!def )\b((?:mapIn|applyIn|mapPartitions|foreach)\w*\(|\w*udf\w*$|\w*udf\w*\()"
    )
    found: Counter[str] = Counter()
    for path in library.rglob("*.py"):
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        for line in path.read_text("utf-8").splitlines():
            if not line.lstrip().startswith(("from ", "import ")):
                found[module] += len(sends.findall(line))
    assert +found == SENT


def test_the_docs_name_these_libraries() -> None:
    said = " ".join((PROJECT / "docs" / "cluster.md").read_text("utf-8").split())
    always, also = ("`, `".join(names) for names in (LIBRARIES[:2], FOR_CLASSES))
    assert (
        f"needs `{always}` and `{LIBRARIES[2]}`, for candidates with a `class` also `{also}` and "
    ) in said
