"""From the start of a job to its first Delta commit, as whole processes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from measure import Row, in_turn

from driftline import jars

_ROWS = 1000

_OURS = """
import sys
from driftline.session import build
spark = build(cores=2, memory_gib=2)
spark.range({rows}).write.format("delta").save(sys.argv[1])
"""

_PEER = """
import sys
from pyspark.sql import SparkSession
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .getOrCreate()
)
spark.range({rows}).write.format("delta").save(sys.argv[1])
"""


def rows(quick: bool) -> list[Row]:
    """Ours against ``spark-submit --packages`` whose Ivy cache is filled."""
    with tempfile.TemporaryDirectory() as scratch:
        ours, peer = Path(scratch, "ours.py"), Path(scratch, "peer.py")
        ours.write_text(_OURS.format(rows=_ROWS))
        peer.write_text(_PEER.format(rows=_ROWS))
        submit = [str(Path(sys.executable).with_name("spark-submit"))]
        submit += ["--packages", jars.COORDINATES, "--driver-memory", "2g"]
        submit += ["--conf", f"spark.jars.ivy={scratch}/ivy", str(peer)]
        count = 0

        def timed(command: list[str]) -> float:
            nonlocal count
            count += 1
            table = f"{scratch}/table{count}"
            started = time.monotonic()
            done = subprocess.run(
                [*command, table],
                env={**os.environ, "PYSPARK_PYTHON": sys.executable},
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.monotonic() - started
            written = sum(pq.read_metadata(path).num_rows for path in Path(table).glob("*.parquet"))
            if done.returncode or written != _ROWS:
                raise RuntimeError(f"{command[0]} wrote {written} rows:\n{done.stderr[-2000:]}")
            return seconds

        timed(submit)  # fills Ivy's cache: fetching is not what is compared
        a, b = in_turn(
            lambda: timed([sys.executable, str(ours)]), lambda: timed(submit), 1 if quick else 5
        )
    peer_name = "spark-submit --packages, jars cached"
    return [Row("start to first commit", "s", a, b, peer_name, "<= 0.7", a / b <= 0.7)]
