"""What the ledger costs: the same ingest with its row written and without."""

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Row, in_turn

from driftline.environment import Environment
from driftline.jobs import ingest
from driftline.jobs.line import Line, open_line
from driftline.ledger import Ledger, Run
from driftline.logs import Progress
from driftline.problem import load_problem

_CONF = Path(__file__).parents[2] / "conf" / "churn.yaml"


class _Silent(Ledger):
    """Measures nothing, writes nothing."""

    @contextlib.contextmanager
    def run(self, stage: str) -> Iterator[Run]:
        yield Run(stage, Progress(stage))


def _line(random_: random.Random) -> str:
    return (
        f"10.0.0.{random_.randrange(256)} - c{random_.randrange(10**6):06} "
        f"[{random_.randrange(1, 29):02}/Feb/2024:10:05:{random_.randrange(60):02} +0000] "
        f'"GET /product/{random_.randrange(1000)} HTTP/1.1" 200 {random_.randrange(10**5)} '
        '"https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/125.0"\n'
    )


def rows(quick: bool) -> list[Row]:
    """Ingest of access-log lines, with and without the ledger, in one session."""
    random_ = random.Random(7)
    sample = "".join(_line(random_) for _ in range(100_000))
    repeats = 20 if quick else 100
    problem = load_problem(_CONF)
    problem = problem.model_copy(
        update={
            "sources": {"visits": problem.sources["visits"].model_copy(update={"path": "*.log"})}
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        with Path(scratch, "a.log").open("w") as file:
            for _ in range(repeats):
                file.write(sample)
        environment = Environment(
            warehouse=f"{scratch}/warehouse", data=scratch, mlflow="none", master="local[2]"
        )
        line = open_line(problem, environment, _CONF.parents[1])
        count = 0

        def timed(silent: bool) -> float:
            nonlocal count
            count += 1
            tables = type(line.tables)(line.spark, f"{scratch}/tables{count}")
            ledger = (_Silent if silent else Ledger)(tables, problem, environment)
            with Ledger(tables, problem, environment).run("first"):
                pass  # the table of the ledger is made once a warehouse, not once a stage
            fresh = Line(problem, environment, line.root, line.spark, tables, ledger)
            started = time.monotonic()
            ingest.run(fresh)
            seconds = time.monotonic() - started
            landed = tables.read("bronze.visits").count()
            if landed != repeats * 100_000:
                raise RuntimeError(f"{landed:,} of {repeats * 100_000:,} lines landed")
            return seconds

        timed(False)  # warms up both
        a, b = in_turn(lambda: timed(False), lambda: timed(True), 2 if quick else 3)
    name = f"ingest of {repeats / 10:g} M lines with the ledger"
    return [Row(name, "s", a, b, "the same without", "<= 1.02", a / b <= 1.02)]
