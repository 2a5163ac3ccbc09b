"""An API's pages become one file, whatever the server does; or nothing and a clear error."""

from __future__ import annotations

import gzip
import logging
import time
import tracemalloc
from datetime import date, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from driftline import pseudonyms
from driftline.errors import DriftlineError, Missing, TryAgain
from driftline.pulls import http
from driftline.pulls.client import Client, Patience, Service
from driftline.pulls.sections import Api
from driftline.sources import Field, Layout, parse

from .server import Answer, Handler, Server, says, serving

AT = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
TOKEN = "s3cr3t-t0k3n"
KEY = b"k" * 32
PAGES = {"by": "page", "parameter": "page"}
CURSOR = {"by": "cursor", "parameter": "after", "next": "next"}
QUICK = Patience(tries=4, connect=2, silence=2, answer=2, page=100_000)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Waits(list[float]):
    """Stands for time.sleep and time.monotonic: time passes only by waiting."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return sum(self)


def ask(
    server: Server,
    folder: Path,
    *,
    patience: Patience = QUICK,
    waits: Waits | None = None,
    token: str | None = TOKEN,
    rate: float = 1e9,
    watermark: Any = None,
    section: Any = None,
    hidden: tuple[str, ...] = (),
    **keys: Any,
) -> http.Pulled:
    keys |= section or {}
    api = Api.model_validate({"connection": "desk", "path": "/v1/tickets", **keys})
    service = Service("desk", server.url, token, "DESK_TOKEN" if token else None, rate)
    waits = Waits() if waits is None else waits
    with Client(service, patience, clock=waits.clock, sleep=waits) as client:
        return http.pull(api, client, folder=folder, at=AT, since=watermark, hidden=hidden, key=KEY)


def refused(server: Server, folder: Path, kind: type[DriftlineError], **options: Any) -> str:
    """The words of the error; nothing was written, and no secret is in them."""
    with pytest.raises(kind) as caught:
        ask(server, folder, **options)
    assert list(folder.iterdir()) == []
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def lines(pulled: http.Pulled) -> list[str]:
    assert pulled.path is not None
    return pulled.path.read_text("utf-8").splitlines()


def test_one_page_is_one_file_and_again_none(tmp_path: Path) -> None:
    with serving(says([{"id": 1}, {"id": 2}])) as server:
        first, again = ask(server, tmp_path), ask(server, tmp_path)
    assert first.path is not None
    assert first.path.name == "20250131T120000000000Z-781ff5f85c89.ndjson"
    assert lines(first) == ['{"id": 1}', '{"id": 2}']
    assert (first.records, first.requests, first.retries) == (2, 1, 0)
    assert (again.path, again.records) == (None, 2)
    assert list(tmp_path.iterdir()) == [first.path]
    assert server.tokens == [f"Bearer {TOKEN}"] * 2


def test_of_what_nobody_may_read_the_pseudonym_is_kept_that_its_parser_would_make(
    tmp_path: Path,
) -> None:
    body = rb"""[{"a": 1.10, "id": "anna", "b": "anna"}, {"id" : 41.0}, {"id": true}, {"id": ""},
      {"id": null}, {"id": {"x": [1, "anna"]}}, {"b": 1}, {"id": "x", "id": "anna"},
      {"id": "anna", "id": null}, {"i\u0064": "\u0061nna"}, {"id": 12345678901234567890123}]"""
    layout = Layout("ndjson", (Field("id", "string"), Field("b", "string")))
    with serving(says(body), says(body)) as server:
        plain = ask(server, tmp_path / "plain")
        kept = ask(server, tmp_path / "kept", hidden=("id", "none"))
    assert plain.path is not None and kept.path is not None
    found = [parse(each.path.read_bytes(), layout, offset=0) for each in (plain, kept)]
    assert [each.rejects.num_rows for each in found] == [0, 0]
    as_if_read = pseudonyms.replaced(found[0].rows, ("id",), KEY)
    assert as_if_read["id"].to_pylist() == found[1].rows["id"].to_pylist()
    assert found[1].rows["id"][0].as_py() == pseudonyms.pseudonym("anna", KEY)
    assert lines(kept)[0] == f'{{"a": 1.10, "id": "{found[1].rows["id"][0]}", "b": "anna"}}'
    assert all("anna" not in each for each in lines(kept)[1:])


def test_what_no_parser_takes_is_kept_as_it_came(tmp_path: Path) -> None:
    body = b"""[["anna"], {"id": NaN}, {"id": "\\ud800"}, {"id": "\xff"}]"""
    with serving(says(body)) as server:
        kept = ask(server, tmp_path, hidden=("id",))
    assert kept.path is not None
    assert (
        kept.path.read_bytes().splitlines()
        == body[1:-1].replace(b"}, ", b"}\n").replace(b"], ", b"]\n").splitlines()
    )


def test_no_records_are_no_file(tmp_path: Path) -> None:
    with serving(says({"data": {"items": []}})) as server:
        assert ask(server, tmp_path, records="data.items").path is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_pull_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "pull.part").write_text('{"id": 0}\n')
    with serving(says([{"id": 1}])) as server:
        assert lines(ask(server, tmp_path)) == ['{"id": 1}']
    assert len(list(tmp_path.iterdir())) == 1


def test_records_are_kept_as_they_were_written(tmp_path: Path) -> None:
    body = b"""{"meta": {"data": [0]}, "data": {"x": "]}", "items": [
      {"b": 1.10, "a": 1e400,
       "text": "a\\n  b \\"  ,]\xc3\xa9 \\ud800"},
      12345678901234567890123, "just text", null, [1, {"c":  2}], {"a": 1, "a": 2}, {"n": NaN}
    ], "more": {}}}"""
    with serving(says(body)) as server:
        pulled = ask(server, tmp_path, records="data.items")
    assert lines(pulled) == [
        '{"b":1.10,"a":1e400,"text":"a\\n  b \\"  ,]é \\ud800"}',
        "12345678901234567890123",
        '"just text"',
        "null",
        '[1, {"c":  2}]',
        '{"a": 1, "a": 2}',
        '{"n": NaN}',
    ]


def test_bytes_that_are_no_utf_8_reach_the_file_unchanged(tmp_path: Path) -> None:
    with serving(says(b'\xef\xbb\xbf[{"name": "caf\xe9"}, {"name": "\xed\xa0\x80"}]')) as server:
        pulled = ask(server, tmp_path)
    assert pulled.path is not None
    assert pulled.path.read_bytes() == b'{"name": "caf\xe9"}\n{"name": "\xed\xa0\x80"}\n'


def test_pages_by_number_end_with_an_empty_one(tmp_path: Path) -> None:
    with serving(says([{"id": 1}]), says([{"id": 2}]), says([])) as server:
        pulled = ask(server, tmp_path, pagination=PAGES, parameters={"size": "1"})
    assert lines(pulled) == ['{"id": 1}', '{"id": 2}']
    assert server.asked == [f"/v1/tickets?size=1&page={page}" for page in (1, 2, 3)]


def test_pages_by_cursor(tmp_path: Path) -> None:
    pages = [{"items": [page], "next": cursor} for page, cursor in enumerate(["a b", 7, None])]
    with serving(*map(says, pages)) as server:
        pulled = ask(server, tmp_path, records="items", pagination=CURSOR)
    assert lines(pulled) == ["0", "1", "2"]
    assert server.asked[1:] == ["/v1/tickets?after=a+b", "/v1/tickets?after=7"]


@pytest.mark.parametrize("end", [{"next": None}, {"next": ""}, {"next": False}, {}])
def test_a_cursor_ends_in_many_ways(tmp_path: Path, end: dict[str, Any]) -> None:
    with serving(says({"items": [1], "next": "x"}), says({"items": [2], **end})) as server:
        assert ask(server, tmp_path, records="items", pagination=CURSOR).records == 2


def test_a_cursor_that_is_nowhere_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("driftline"), "propagate", True)
    with serving(says({"items": [1], "Next": "x"})) as server:
        ask(server, tmp_path, records="items", pagination=CURSOR)
    assert [each.getMessage() for each in caplog.records] == [
        "desk: the first page has no next and is taken for the only one"
    ]


def test_pages_by_link_header(tmp_path: Path) -> None:
    link = '<?page=0>; rel="prev", </v1/tickets?page=2&n=1>; rel="next"'
    with serving(says([1], Link=link), says([2])) as server:
        pulled = ask(server, tmp_path, pagination={"by": "link"}, parameters={"n": "1"})
    assert lines(pulled) == ["1", "2"]
    assert server.asked == ["/v1/tickets?n=1", "/v1/tickets?page=2&n=1"]


def test_pages_by_link_in_the_body(tmp_path: Path) -> None:
    by = {"by": "link", "next": "links.next"}
    first = {"items": [1], "links": {"next": "?page=2"}}
    with serving(says(first), says({"items": [2], "links": {"next": None}})) as server:
        assert lines(ask(server, tmp_path, records="items", pagination=by)) == ["1", "2"]
    assert server.asked[1] == "/v1/tickets?page=2"


@pytest.mark.parametrize(
    ("answer", "options", "what"),
    [
        (says([1]), {"pagination": PAGES}, "a page is the same as the one before"),
        (
            says({"items": [1], "next": "x"}),
            {"records": "items", "pagination": CURSOR},
            "a cursor comes twice",
        ),
        (
            says([1], Link="<?page=2>; rel=next"),
            {"pagination": {"by": "link"}},
            "a link comes twice",
        ),
        (
            lambda handler: handler.send(200, f"[{len(handler.server.asked)}]".encode()),
            {"pagination": PAGES, "max_pages": 20},
            "there are more than 20 pages",
        ),
        (
            says({"items": [1], "next": {"page": 2}}),
            {"records": "items", "pagination": CURSOR},
            "no cursor at next",
        ),
    ],
)
def test_pages_without_end(
    tmp_path: Path, answer: Answer, options: dict[str, Any], what: str
) -> None:
    with serving(answer) as server:
        assert f"desk: {what}\n" in refused(server, tmp_path, Missing, **options)
    assert len(server.asked) <= 20


def cut_off(handler: Handler) -> None:
    handler.send(200, b'[{"id": 1},', Content_Length="100")
    handler.hang_up()


def cut_off_without_length(handler: Handler) -> None:
    handler.send(200, b'[{"id": 1},', Connection="close", Transfer_Encoding="identity")
    handler.hang_up()


def cut_off_in_chunks(handler: Handler) -> None:
    handler.send(200, b"3\r\n[1,\r\n", Transfer_Encoding="chunked")
    handler.hang_up()


def no_answer(handler: Handler) -> None:
    handler.hang_up()


GOOD = says([{"id": 1}])
GZIPPED = gzip.compress(b'[{"id": 1}]')
BAD = {
    "500": says(b"", 500),
    "503 with a page for people": says(b"<html>", 503, Content_Type="text/html"),
    "429 without a time": says([], 429),
    "no answer": no_answer,
    "cut off": cut_off,
    "cut off, and no length": cut_off_without_length,
    "cut off between chunks": cut_off_in_chunks,
    "cut off, compressed": says(GZIPPED[:-4], Content_Encoding="gzip"),
    "not compressed though it says so": says(b"[1]", Content_Encoding="gzip"),
    "html": says(b"<html><body>Please log in", Content_Type="text/html"),
    "half of a JSON": says(b'[{"id": 1}'),
    "more than a JSON": says(b"[1] [2]"),
    "nothing": says(b""),
    "too deep": says(b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_may_be_over_soon_is_tried_again(tmp_path: Path, bad: Answer) -> None:
    waits = Waits()
    patience = Patience(tries=4, connect=2, silence=2, page=300_000)
    with serving(bad, bad, bad, GOOD) as server:
        pulled = ask(server, tmp_path, patience=patience, waits=waits)
    assert lines(pulled) == ['{"id": 1}']
    assert (pulled.requests, pulled.retries) == (4, 3)
    assert [wait for wait in waits if wait > 0.01] == [0.5, 1, 2]


JSON = "desk: the API does not answer in JSON\n"


@pytest.mark.parametrize("name", ["500", "429 without a time", "cut off", "no answer"])
def test_what_is_not_over_soon_is_for_another_run(tmp_path: Path, name: str) -> None:
    with serving(GOOD, BAD[name]) as server:
        words = refused(server, tmp_path, TryAgain, pagination=PAGES)
        assert len(server.asked) == 5
    assert "desk: the API is not well: " in words
    assert "(4 tries)" in words


@pytest.mark.parametrize("name", ["html", "half of a JSON", "nothing"])
def test_what_never_is_json_is_for_a_person(tmp_path: Path, name: str) -> None:
    with serving(BAD[name]) as server:
        assert JSON in refused(server, tmp_path, Missing)
        assert len(server.asked) == 4


def test_nobody_there_is_for_another_run(tmp_path: Path) -> None:
    with serving(GOOD) as server:
        pass
    assert "desk: the API is not well: no connection (4 tries)" in refused(
        server, tmp_path, TryAgain
    )


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    waits = Waits()
    now = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)

    def by_date(handler: Handler) -> None:
        handler.date_time_string = lambda timestamp=None: format_datetime(now, usegmt=True)  # type: ignore[method-assign]
        handler.send(503, b"", Retry_After=later)

    with serving(
        says([], 429, Retry_After="7"), by_date, says([], 503, Retry_After="x"), GOOD
    ) as s:
        ask(s, tmp_path, waits=waits)
    assert [wait for wait in waits if wait > 0.01] == [7, 90, 2]


def test_a_server_that_asks_for_an_hour_is_for_another_run(tmp_path: Path) -> None:
    with serving(says([], 429, Retry_After="3600")) as server:
        words = refused(server, tmp_path, TryAgain)
        assert len(server.asked) == 1
    assert "status 429 (1 tries; it asks to wait 3600 s)" in words


def test_no_more_requests_a_second_than_allowed(tmp_path: Path) -> None:
    waits = Waits()
    starts: list[float] = []

    def page(handler: Handler) -> None:
        starts.append(waits.clock())
        number = len(starts)
        handler.send(200 if number != 3 else 500, f"[{number}]".encode() if number < 9 else b"[]")

    with serving(page) as server:
        pulled = ask(server, tmp_path, waits=waits, rate=4, pagination=PAGES)
    assert (pulled.requests, pulled.retries) == (9, 1)
    for first in starts:
        assert len([each for each in starts if first <= each < first + 1]) <= 4
    assert starts[-1] == pytest.approx(8 / 4 + 1.25, abs=1.26)


def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    def drip(handler: Handler) -> None:
        handler.send(200, b"", Content_Length="1000")
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.01)

    patience = Patience(tries=2, first_wait=0, connect=2, silence=2, answer=0.2)
    service = Service("desk", "", TOKEN, "DESK_TOKEN", 1e9)
    with serving(drip) as server, Client(Service("desk", server.url), patience) as client:
        began = time.monotonic()
        with pytest.raises(TryAgain, match="an answer that does not end"):
            http.pull(Api(connection="desk", path="/"), client, folder=tmp_path, at=AT)
        assert time.monotonic() - began < 3
    assert TOKEN not in repr(service)


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    done: list[int] = []

    def silent(handler: Handler) -> None:
        while not done:
            time.sleep(0.01)

    patience = Patience(tries=2, connect=1, silence=0.05)
    with serving(silent) as server:
        words = refused(server, tmp_path, TryAgain, patience=patience)
        done.append(1)
    assert "no answer in time (2 tries)" in words


def test_compressed_pages(tmp_path: Path) -> None:
    with serving(says(GZIPPED, Content_Encoding="gzip")) as server:
        assert lines(ask(server, tmp_path)) == ['{"id": 1}']


def test_pages_in_chunks(tmp_path: Path) -> None:
    body = b"4\r\n[1,\n\r\n2\r\n2]\r\n0\r\n\r\n"
    with serving(says(body, Transfer_Encoding="chunked")) as server:
        assert lines(ask(server, tmp_path)) == ["1", "2"]


@pytest.mark.parametrize(
    "answer",
    [
        says(b"[" + b" " * 200_000 + b"1]"),
        says(gzip.compress(b"[" + b" " * 200_000_000 + b"1]"), Content_Encoding="gzip"),
    ],
    ids=["huge", "huge only once unpacked"],
)
def test_a_page_that_is_too_big(tmp_path: Path, answer: Answer) -> None:
    with serving(answer) as server:
        assert "desk: a page exceeds " in refused(server, tmp_path, Missing)
        assert len(server.asked) == 1


def test_a_page_that_is_too_big_is_not_unpacked_first(tmp_path: Path) -> None:
    bomb = gzip.compress(b"[" + b" " * 100_000_000 + b"1]")
    with serving(says(bomb, Content_Encoding="gzip")) as server:
        tracemalloc.start()
        try:
            refused(server, tmp_path, Missing)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


def test_of_a_key_that_stands_twice_the_last_counts(tmp_path: Path) -> None:
    body = b'{"items": [1, 2], "n": {"items": [0]}, "items": [3], "other": "items"}'
    with serving(says(body)) as server:
        assert lines(ask(server, tmp_path, records="items")) == ["3"]


@pytest.mark.parametrize(
    ("answer", "records", "what", "hint"),
    [
        (says({"data": {"rows": []}}), "data.items", "no records at data.items", "are: rows"),
        (says([]), "items", "no records at items", "there is no object"),
        (says({"items": {"1": 2}}), "items", "no list of records at items", "one entry a record"),
        (says({"items": []}), None, "no list of records in the page itself", "api.records"),
    ],
)
def test_records_that_are_not_where_they_should_be(
    tmp_path: Path, answer: Answer, records: str | None, what: str, hint: str
) -> None:
    with serving(answer) as server:
        words = refused(server, tmp_path, Missing, records=records)
        assert len(server.asked) == 1
    assert words.startswith(f"desk: {what}\n")
    assert hint in words


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_named_not_shown(tmp_path: Path, status: int) -> None:
    with serving(says({"token": TOKEN}, status)) as server:
        words = refused(server, tmp_path, Missing, parameters={"q": "x"})
        without = refused(server, tmp_path, Missing, token=None)
    assert words == (
        f"desk: the API refuses the token ({status})\n"
        f"  where:   {server.url}/v1/tickets\n"
        "  hint:    is the token in DESK_TOKEN still valid, and may it read this?"
    )
    assert "connections.desk.token" in without


@pytest.mark.parametrize("status", [204, 304, 400, 404, 422, 501])
def test_other_answers_are_for_a_person(tmp_path: Path, status: int) -> None:
    with serving(says(b"", status)) as server:
        assert f"answers with status {status}" in refused(server, tmp_path, Missing)


def test_moved_on_the_same_server(tmp_path: Path) -> None:
    with serving(says(b"", 308, Location="/v2/tickets?x=1"), GOOD) as server:
        assert ask(server, tmp_path, parameters={"q": "1"}).records == 1
    assert server.asked == ["/v1/tickets?q=1", "/v2/tickets?x=1"]
    assert server.tokens == [f"Bearer {TOKEN}"] * 2


def test_moved_in_circles(tmp_path: Path) -> None:
    with serving(says(b"", 302, Location="/v1/tickets")) as server:
        assert "in circles" in refused(server, tmp_path, Missing)


@pytest.mark.parametrize("way", ["redirect", "link header", "link in the body"])
def test_no_token_goes_to_another_server(tmp_path: Path, way: str) -> None:
    with serving(GOOD) as other:
        target = f"{other.url}/v1/tickets"
        answers = {
            "redirect": says(b"", 307, Location=target),
            "link header": says({"items": [1]}, Link=f'<{target}>; rel="next"'),
            "link in the body": says({"items": [1], "next": target}),
        }
        by = {"by": "link"} | ({"next": "next"} if "body" in way else {})
        with serving(answers[way]) as server:
            words = refused(server, tmp_path, Missing, records="items", pagination=by)
    assert other.asked == []
    assert "another server" in words


def test_a_redirect_that_drips_is_not_read(tmp_path: Path) -> None:
    def drip(handler: Handler) -> None:
        handler.send(302, b"", Content_Length="100000", Location="/v2/tickets")
        time.sleep(5)

    began = time.monotonic()
    with serving(drip, GOOD) as server:
        assert ask(server, tmp_path).records == 1
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("target", ["", "http://[", "//x:y/", "file:///etc/passwd", "http:///"])
def test_moved_nowhere(tmp_path: Path, target: str) -> None:
    with serving(says(b"", 301, Location=target)) as server:
        refused(server, tmp_path, Missing)


def test_netrc_is_not_asked_for_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(GOOD) as server:
        ask(server, tmp_path / "spool")
    assert server.tokens == [f"Bearer {TOKEN}"]


def test_since_is_sent_as_the_api_calls_it(tmp_path: Path) -> None:
    since = datetime(2025, 1, 31, 13, 0, 0, 250, timezone(timedelta(hours=1)))
    section = {"since": "updated_after", "watermark": "updated_at"}
    with serving(GOOD) as server:
        ask(server, tmp_path, watermark=since, section=section)
        ask(server, tmp_path, section=section)
    assert server.asked == [
        "/v1/tickets?updated_after=2025-01-31T12%3A00%3A00.000250Z",
        "/v1/tickets",
    ]


@pytest.mark.parametrize(
    ("since", "format", "expected"),
    [
        (datetime(2025, 1, 31, 12, tzinfo=timezone.utc), None, "2025-01-31T12:00:00Z"),
        (datetime(1969, 12, 31, 23, 59, 59, 1, timezone.utc), "epoch_s", "-1"),
        (datetime(2025, 1, 31, 12, 0, 0, 1999, timezone.utc), "epoch_ms", "1738324800001"),
        (datetime(2025, 1, 31, 12, 0, 0, 7, timezone.utc), "epoch_us", "1738324800000007"),
        (datetime(2025, 1, 31, 12, tzinfo=timezone.utc), "%d.%m.%Y", "31.01.2025"),
        (date(2025, 1, 31), None, "2025-01-31"),
        (date(2025, 1, 31), "%d.%m.%Y", "31.01.2025"),
        (date(2025, 1, 31), "epoch_s", "1738281600"),
        (2**63 - 1, None, "9223372036854775807"),
    ],
)
def test_a_watermark_as_an_api_wants_it(since: Any, format: str | None, expected: str) -> None:
    assert http.written(since, format) == expected
