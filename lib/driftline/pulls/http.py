"""An API's pages → one NDJSON file in the spool: a line a record, as the server wrote it but for
values that nobody may read.

What ``since`` includes is the server's affair. Records that come again are told apart by the
source's key in silver, and a file that says nothing new by its content. Records that move from one
page to another while they are read may come twice or not at all: cursors and links are made
against that, page numbers are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from driftline import pseudonyms
from driftline.errors import DriftlineError, Missing
from driftline.logs import LOGGER
from driftline.pulls import json_text, spool
from driftline.pulls.client import Answer, Client, resolved
from driftline.pulls.sections import Api, Cursor, Link, PageNumber
from driftline.pulls.spool import Pulled
from driftline.sources import ndjson
from driftline.sources.layout import DEEPEST, EPOCHS

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def pull(
    api: Api,
    client: Client,
    *,
    folder: Path,
    at: datetime,
    since: datetime | date | int | None = None,
    format: str | None = None,
    hidden: Sequence[str] = (),
    key: bytes = b"",
) -> Pulled:
    """Fetch all pages into one file of ``folder``, or none if they are empty or known.

    Of the members ``hidden`` only pseudonyms under ``key`` are kept.
    ``since`` is sent as the API's parameter of that name, in the ``format`` of the watermark's
    column (ISO-8601 without one). Raises :class:`TryAgain` if the server does not recover in time,
    :class:`Missing` if it refuses or says something else than the problem file expects.
    """
    asked = {api.since: written(since, format)} if api.since and since is not None else {}
    records = 0
    with spool.writing(folder) as part:
        with part.open("wb") as file:
            for page in _pages(api, client, asked):
                for record in json_text.items(page, api.records):
                    kept = _without(record, hidden, key) if hidden else record
                    file.write(kept.encode("utf-8", "surrogateescape") + b"\n")
                    records += 1
        path = spool.keep(part, folder, at=at, suffix=".ndjson") if records else None
    return Pulled(path, records, client.requests, client.retries)


def _without(record: str, hidden: Sequence[str], key: bytes) -> str:
    """A record with the pseudonyms that its parser would make; one it rejects stays as it is."""
    try:
        record.encode()
    except UnicodeEncodeError:  # bytes that are no text
        return record
    found = ndjson.line(record, hidden, DEEPEST)
    if found is None:
        return record
    made = (value and pseudonyms.pseudonym(value, key) for value in found[0])
    return json_text.replaced(record, dict(zip(hidden, made, strict=True)))


def written(since: datetime | date | int, format: str | None) -> str:
    """A watermark as an API wants it: ISO-8601 in UTC, or the format of a time column.

    What the format has no room for is cut off: the moment sent is never later than the watermark.
    """
    if not isinstance(since, date):
        return str(since)
    if not isinstance(since, datetime):
        if format is None:
            return since.isoformat()
        since = datetime(since.year, since.month, since.day, tzinfo=timezone.utc)
    moment = since.astimezone(timezone.utc)
    if format in EPOCHS:
        micros = (moment - _EPOCH) // timedelta(microseconds=1)
        return str(micros // EPOCHS[format])
    return moment.strftime(format) if format else moment.isoformat().replace("+00:00", "Z")


def _pages(api: Api, client: Client, asked: dict[str, str]) -> Iterator[str]:
    """The texts of the pages in order; each has a list at ``api.records``."""
    by = api.pagination
    url, sent = client.service.url.rstrip("/") + api.path, {**api.parameters, **asked}
    number = by.first if isinstance(by, PageNumber) else 0
    before: list[Any] = []
    seen = {url}
    for page in range(1, api.max_pages + 1):
        if isinstance(by, PageNumber):
            sent[by.parameter] = str(number)
        answer, value = client.get(url, sent, lambda answer: json_text.parse(answer.text))
        found = _records(api, client, answer, value)
        if isinstance(by, PageNumber):
            if not found:
                return
            if found == before:
                hint = "is pagination.parameter what the API calls its page number?"
                raise _unlike(client, answer, "a page is the same as the one before", hint)
            number, before = number + 1, found
        yield answer.text
        if by is None:
            return
        if not isinstance(by, PageNumber):
            mark = _next(by, client, answer, value, first=page == 1)
            if mark is None:
                return
            if mark in seen:
                hint = "check pagination: does the API take the cursor under that name?"
                raise _unlike(client, answer, f"a {by.by} comes twice", hint)
            seen.add(mark)
            if isinstance(by, Cursor):
                sent[by.parameter] = mark
            else:
                url, sent = mark, {}
    raise _unlike(
        client,
        Answer("", url, None),
        f"there are more than {api.max_pages:,} pages",
        "raise the source's api.max_pages if that can be",
    )


def _records(api: Api, client: Client, answer: Answer, value: Any) -> list[Any]:
    place = f"at {api.records}" if api.records else "in the page itself"
    try:
        found = json_text.at(value, api.records)
    except json_text.Absent as error:
        keys = f"there are: {', '.join(error.keys[:10])}" if error.keys else "there is no object"
        what = f"no records {place}"
        raise _unlike(client, answer, what, f"check the source's api.records; {keys}") from None
    if not isinstance(found, list):
        hint = "check the source's api.records: it leads to a list, one entry a record"
        raise _unlike(client, answer, f"no list of records {place}", hint)
    return found


def _next(
    by: Cursor | Link, client: Client, answer: Answer, value: Any, *, first: bool
) -> str | None:
    """The cursor or address of the next page, None at the end."""
    found: Any = answer.next
    if by.next is not None:
        try:
            found = json_text.at(value, by.next)
        except json_text.Absent:
            if first:
                LOGGER.warning(
                    "%s: the first page has no %s and is taken for the only one",
                    client.service.name,
                    by.next,
                )
            found = None
    if found is None or found is False or found == "":
        return None
    if not isinstance(found, str):
        hint = "pagination.next leads to a text or a number, or to null at the end"
        raise _unlike(client, answer, f"no {by.by} at {by.next}", hint)
    if isinstance(by, Cursor):
        return found
    address = resolved(answer.url, found)
    if not client.belongs(address):
        hint = "nothing was sent there; is the connection's url what the API calls itself?"
        raise _unlike(client, answer, "the next page is on another server", hint)
    return address


def _unlike(client: Client, answer: Answer, what: str, hint: str) -> DriftlineError:
    """What the server says is not what the problem file expects."""
    where = answer.url.partition("?")[0]
    return Missing(f"{client.service.name}: {what}", where=where, hint=hint)
