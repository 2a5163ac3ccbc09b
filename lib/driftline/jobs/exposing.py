"""The newest decision, the champion and the newest run of each stage of a turn → ``metrics.prom``
beside the report, and a Pushgateway where the environment names one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http.client import HTTPException
from urllib.error import HTTPError

from prometheus_client import CollectorRegistry, push_to_gateway
from pyspark.sql import Row, Window
from pyspark.sql import functions as F

from driftline import beside, decision, openmetrics, schemas
from driftline.errors import Missing, TryAgain
from driftline.jobs.line import Line
from driftline.openmetrics import Stage, State
from driftline.registry import Registry
from driftline.session import utc
from driftline.sla_section import TIMED

_SECONDS = 10.0
"""How long a gateway may take to answer."""


def write(line: Line) -> str:
    """Write the file in one step: a collector reads the old one or the new one. Then push.

    Raises :class:`TryAgain` where the gateway cannot be reached, :class:`Missing` where it does not
    take them; the file is written then.
    """
    path = line.beside("metrics.prom")
    found = _gauges(line)
    beside.write(line.spark, path, openmetrics.text(found))
    if line.environment.pushgateway is not None:
        push(line.environment.pushgateway, line.problem.name, found)
    return path


def text(line: Line) -> str:
    """What ``ops.decisions``, the registry and ``ops.runs`` say last."""
    return openmetrics.text(_gauges(line))


def _gauges(line: Line) -> CollectorRegistry:
    champion = Registry(line.environment.mlflow, line.problem.name).champion()
    number = champion.number if champion else None
    state = _state(line, number)
    return openmetrics.registry(line.problem.name, state, _stages(line), champion=number)


def push(gateway: str, problem: str, found: CollectorRegistry) -> None:
    """Replace the problem's group of metrics: what is not known any more is gone there, too."""
    key = {"problem": problem}
    try:
        push_to_gateway(
            gateway, job="driftline", registry=found, grouping_key=key, timeout=_SECONDS
        )
    except HTTPError as error:
        if error.code >= 500:
            raise _away(gateway, str(error)) from error
        raise _none(gateway, str(error)) from error
    except HTTPException as error:  # what answers speaks something else
        raise _none(gateway, type(error).__name__) from error
    except OSError as error:
        raise _away(gateway, str(error)) from error


def _none(gateway: str, said: str) -> Missing:
    return Missing(
        f"the Pushgateway does not take the metrics: {said}",
        where=gateway,
        hint="all else is done, and metrics.prom is written; is it the URL of a Pushgateway?",
    )


def _away(gateway: str, said: str) -> TryAgain:
    return TryAgain(
        f"the metrics could not be pushed: {said}",
        where=gateway,
        hint="all else is done, and metrics.prom is written; given again, only they are pushed",
    )


def _state(line: Line, champion: int | None) -> State | None:
    name = schemas.DECISIONS.full_name
    if not line.tables.exists(name):
        return None
    made = line.tables.read(name).drop("turn", "rule").collect()
    return state(made, champion, line.problem.digest) if made else None


def state(made: Sequence[Row], champion: int | None, problem: str) -> State:
    """The newest decision by the problem file of this digest, if there is one; what it rests on
    only where it is about today's champion.
    """
    mine = [row for row in made if row.problem == problem] or made
    row = max(mine, key=lambda row: decision.order(row.as_of, row.at))
    found = State(
        utc(row.at),
        utc(row.as_of),
        row.action,
        tuple(row.causes),
        row.metric,
        {"real": row.real, "expected": row.expected, "reference": row.reference},
        row.drift,
        row.skew,
        tuple(row.skewed or ()),
        row.trusted,
        row.gain,
        row.cost,
    )
    if row.model_version == champion:
        return found
    known = replace(found, causes=(), values={}, skewed=())
    return replace(known, drift=None, skew=None, trusted=None, gain=None, cost=None)


def _stages(line: Line) -> list[Stage]:
    name = schemas.RUNS.full_name
    if not line.tables.exists(name):
        return []
    wanted = ("stage", "status", "started_at", "wall_seconds", "money")
    mine = line.tables.read(name).where(F.col("stage").isin("cycle", *TIMED)).select(*wanted)
    newest = Window.partitionBy("stage").orderBy(F.col("started_at").desc())
    told = "nth <= 2 OR status = 'killed'"
    return stages(mine.withColumn("nth", F.row_number().over(newest)).where(told).collect())


def stages(rows: Sequence[Row]) -> list[Stage]:
    """The stages of a turn by their newest runs, and those that were killed; a turn begins with
    its ingest.

    What went wrong before the newest turn does so no longer. But for a kill: whose process is gone
    tells nothing, so the turn that finds it does, the first after it.
    """
    begun = sorted(row.started_at for row in rows if row.stage == "ingest")[-2:] or [datetime.min]
    newest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.started_at):
        newest[row.stage] = row
    killed = [row for row in rows if row.status == "killed" and row is not newest[row.stage]]
    told = [row for row in killed if row.started_at >= begun[0]]
    return [
        Stage(
            row.stage,
            row.status,
            utc(row.started_at) + timedelta(seconds=row.wall_seconds),
            row.wall_seconds,
            row.money,
            past=row.started_at < begun[0 if row.status == "killed" else -1],
        )
        for row in (*told, *(newest[name] for name in sorted(newest)))
    ]
