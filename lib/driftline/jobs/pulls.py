"""Before deliveries are looked for: what databases and APIs have that is new comes into the spool.

What was pulled lands before anything more is pulled: where to go on from is read in bronze, so a
run that was killed in between must not ask for the same again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from driftline import connections, layouts, pseudonyms
from driftline.connections import Connection, secret
from driftline.errors import Missing
from driftline.jobs.line import Line
from driftline.logs import LOGGER
from driftline.pulls import http, jdbc, spool
from driftline.pulls.client import Client, Service
from driftline.pulls.jdbc import Server
from driftline.pulls.sections import Api, Database
from driftline.pulls.spool import Pulled

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_AHEAD = timedelta(days=1)
"""So far may the clock of where rows come from be ahead."""


def folder(line: Line, source: str) -> Path | None:
    """Where pulled files of a source are kept; None for a source whose files others deliver.

    Its deliveries are ``spool.files`` of it.
    """
    if line.problem.sources[source].pull is None:
        return None
    if "://" in line.environment.warehouse:
        raise Missing(
            f"there is no folder to keep what is pulled for {source}",
            where=line.environment.warehouse,
            hint="a warehouse on a file system that driver and executors see has room for it",
        )
    return Path(line.environment.warehouse, line.problem.name, "_spool", source)


def pull(line: Line, source: str, *, known: Collection[str]) -> Path | None:
    """Pull what is new for a source into its spool folder; None if nothing is, or if it has files.

    ``known`` holds the ids of the source's deliveries that have been dealt with. A connection or a
    secret that is not there is an error before anything is asked.
    """
    target = folder(line, source)
    section = line.problem.sources[source].pull
    if target is None or section is None:
        return None
    places = line.environment.connections
    connections.check({source: section}, places, "the environment's file")
    waiting = [each for each in spool.files(target) if not spool.is_known(each, known)]
    if waiting:
        LOGGER.info("%s: %d pulled files land before more is pulled", source, len(waiting))
        return None
    now = datetime.now(timezone.utc)
    place = places[section.connection]
    if isinstance(section, Database):
        pulled = _from_database(line, source, section, place, target, now)
    else:
        pulled = _from_api(line, source, section, place, target, now)
    what = f"{pulled.records:,} records" if pulled.records else "nothing new"
    again = " that were pulled before" if pulled.records and not pulled.path else ""
    repeats = f", {pulled.retries} of {pulled.requests} requests were repeats"
    LOGGER.info("%s: pulled %s%s%s", source, what, again, repeats if pulled.retries else "")
    return pulled.path


def _from_database(
    line: Line, source: str, section: Database, place: Connection, target: Path, now: datetime
) -> Pulled:
    variables = [name for name in (place.user, place.password) if name]
    server = Server(
        section.connection,
        place.url,
        secret(place.user, connection=section.connection) if place.user else None,
        secret(place.password, connection=section.connection) if place.password else None,
        " and ".join(variables),
    )
    since = _since(line, source, section.watermark, now)
    fields = layouts.layout(line.problem.sources[source]).fields
    return jdbc.pull(
        line.spark,
        section,
        fields,
        server,
        folder=target,
        at=now,
        since=since,
        landed=None if since is None else line.tables.read(f"bronze.{source}"),
        **_hidden(line, source),
    )


def _from_api(
    line: Line, source: str, section: Api, place: Connection, target: Path, now: datetime
) -> Pulled:
    service = Service(
        section.connection,
        place.url,
        secret(place.token, connection=section.connection) if place.token else None,
        place.token,
        place.requests_per_second,
    )
    since = _since(line, source, section.watermark, now)
    columns = line.problem.sources[source].columns
    format = columns[section.watermark].format if section.watermark else None
    with Client(service) as client:
        return http.pull(
            section,
            client,
            folder=target,
            at=now,
            since=since,
            format=format,
            **_hidden(line, source),
        )


def _hidden(line: Line, source: str) -> dict[str, Any]:
    """What nobody may read, and the key of its pseudonyms; :class:`Missing` where there is none."""
    hidden = layouts.hidden(line.problem.sources[source])
    return {"hidden": hidden, "key": pseudonyms.key()} if hidden else {}


def _since(
    line: Line, source: str, watermark: str | None, now: datetime
) -> datetime | date | int | None:
    """The highest watermark that has landed; None before the first, or without a watermark."""
    if watermark is None or not line.tables.exists(f"bronze.{source}"):
        return None
    kept, landed = _kept(line, source, watermark), _landed(line, source, watermark)
    if kept is None and landed is None:
        return None
    highest = max(each for each in (kept, landed) if each is not None)
    type_ = line.problem.sources[source].columns[watermark].type
    if type_ != "timestamp":
        return highest if type_ == "long" else date.fromordinal(highest)
    since = _EPOCH + timedelta(microseconds=highest)
    if since > now + _AHEAD:
        LOGGER.warning(
            "%s: the newest %s, %s, is in the future; what is older is not pulled until then: "
            "correct it where it comes from",
            source,
            watermark,
            since.date(),
        )
    return since


def _landed(line: Line, source: str, watermark: str) -> int | None:
    """The highest watermark in bronze, as a number: times in microseconds, dates as ordinals."""
    type_ = line.problem.sources[source].columns[watermark].type
    highest = F.max(watermark)
    # As a number: a datetime would come in the zone of this process.
    highest = F.unix_micros(highest) if type_ == "timestamp" else highest
    found = line.tables.read(f"bronze.{source}").agg(highest).collect()[0][0]
    return found.toordinal() if isinstance(found, date) else found


def _kept(line: Line, source: str, watermark: str) -> int | None:
    """The watermark that was kept when rows were erased, if it was one of this column."""
    path = _mark(line, source)
    if path is None or not path.exists():
        return None
    column, type_, highest = path.read_text("utf-8").split()
    same = (column, type_) == (watermark, line.problem.sources[source].columns[watermark].type)
    return int(highest) if same else None


def keep_watermark(line: Line, source: str) -> None:
    """Before rows are erased: keep up to where a source was pulled, or the next pull would ask for
    all that came after the newest row that is left.

    Not where that is a person's name, nor a time of the future, which keeps newer rows away.
    """
    section, path = line.problem.sources[source].pull, _mark(line, source)
    watermark = section.watermark if section else None
    if path is None or watermark is None or watermark == line.problem.entity:
        return
    if not line.tables.exists(f"bronze.{source}"):
        return
    type_ = line.problem.sources[source].columns[watermark].type
    kept, landed = _kept(line, source, watermark), _landed(line, source, watermark)
    latest = datetime.now(timezone.utc) + _AHEAD
    bounds = {
        "timestamp": (latest - _EPOCH) // timedelta(microseconds=1),
        "date": latest.toordinal(),
    }
    known = [each for each in (kept, landed) if each is not None]
    known = [each for each in known if each <= bounds.get(type_, each)]
    if known and max(known) != kept:
        spool.write(path, f"{watermark} {type_} {max(known)}\n")


def _mark(line: Line, source: str) -> Path | None:
    place = folder(line, source)
    return place and place / "watermark"


def origin(line: Line, source: str) -> str:
    """Where the records of a source are pulled from, in words."""
    section = line.problem.sources[source].pull
    assert section is not None
    if isinstance(section, Api):
        return f"{section.connection}: {section.path}"
    return f"{section.connection}: {section.table or f'the query of {source}'}"
