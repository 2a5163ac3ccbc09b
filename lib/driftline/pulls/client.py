"""One GET after another from a server that may misbehave: rate, retries, deadlines, no token leaks.

The retries of urllib3 end where the body begins, and wait where nobody can watch; here a body that
breaks off, drips or is no JSON is tried again like a 503, and the clock is an argument.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from driftline import __version__
from driftline.errors import DriftlineError, Missing, TryAgain

T = TypeVar("T")

_AGAIN = (408, 429, 500, 502, 503, 504)
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Service:
    """Where an API is, and what it lets us do."""

    name: str
    """Its name under ``connections``, for messages."""
    url: str
    token: str | None = field(default=None, repr=False)
    variable: str | None = None
    """The environment variable that holds the token, for messages."""
    requests_per_second: float = 5


@dataclass(frozen=True)
class Patience:
    """How long to wait for what; times in seconds, sizes in bytes."""

    tries: int = 6
    first_wait: float = 0.5
    """Before the second try; doubled for each further one."""
    longest_wait: float = 120
    """A server that asks for more is left for another run."""
    connect: float = 10
    silence: float = 60
    """Between two pieces of an answer."""
    answer: float = 300
    """For an answer as a whole, however it drips."""
    page: int = 64 * 1024 * 1024
    """An answer is held in memory, decompressed."""
    redirects: int = 5


@dataclass(frozen=True)
class Answer:
    """A body in UTF-8 (bytes that are none as lone surrogates), and where to find the next page."""

    text: str
    url: str
    next: str | None
    """The Link header's rel=next (RFC 8288), resolved."""


class _Unsteady(Exception):
    """What may be over soon; ``wait`` is how long the server asks for."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class _Bearer(AuthBase):
    """The token, and nothing that a .netrc may hold instead."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}".encode()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class Client:
    """GETs from one service; counts its requests and how many of them were repeats."""

    def __init__(
        self,
        service: Service,
        patience: Patience | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.service = service
        self.requests = 0
        self.retries = 0
        self._patience = patience or Patience()
        self._clock = clock
        self._sleep = sleep
        self._earliest = clock()
        self._session = requests.Session()
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": f"driftline/{__version__}",
            }
        )
        self._session.auth = _Bearer(service.token) if service.token else None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(
        self, url: str, parameters: Mapping[str, str], read: Callable[[Answer], T]
    ) -> tuple[Answer, T]:
        """An answer and what ``read`` makes of it; ValueError from ``read`` means: try again.

        Raises :class:`TryAgain` for what may be over later, :class:`Missing` for what will not.
        """
        patience = self._patience
        for attempt in range(1, patience.tries + 1):
            try:
                answer = self._once(url, parameters)
                try:
                    return answer, read(answer)
                except ValueError:
                    # A body without a length may have been cut off: only a repeat can tell.
                    if attempt == patience.tries:
                        raise self._error(
                            Missing,
                            "the API does not answer in JSON",
                            url,
                            "is it the right path? a page for people, a login perhaps, was sent",
                        ) from None
                    raise _Unsteady("no JSON") from None
            except _Unsteady as error:
                wait = (
                    patience.first_wait * 2 ** (attempt - 1) if error.wait is None else error.wait
                )
                if attempt == patience.tries or wait > patience.longest_wait:
                    what = f"the API is not well: {error} ({attempt} tries"
                    what += f"; it asks to wait {wait:.0f} s)" if error.wait else ")"
                    hint = "nothing was written; give the same command again later"
                    raise self._error(TryAgain, what, url, hint) from None
                self.retries += 1
                self._sleep(wait)
        raise AssertionError("the last try returns or raises")

    def belongs(self, url: str) -> bool:
        """Whether a URL is of the service's own scheme, host and port."""
        return _origin(url) == _origin(self.service.url)

    def _once(self, url: str, parameters: Mapping[str, str]) -> Answer:
        """Ask once, going where the server says as long as that is the same server."""
        for _ in range(self._patience.redirects + 1):
            response = self._request(url, parameters)
            with response:
                if response.status_code not in _MOVED:
                    return self._answer(response)
                target = resolved(response.url, response.headers.get("Location", ""))
            if not self.belongs(target):
                scheme, host, port = _origin(target)
                hint = (
                    f"nothing was sent to {scheme}://{host}:{port}; if it is right, say it in url"
                )
                raise self._error(Missing, "the API sends us to another server", url, hint)
            url, parameters = target, {}
        raise self._error(Missing, "the API sends us in circles", url, "check the source's path")

    def _request(self, url: str, parameters: Mapping[str, str]) -> requests.Response:
        now = self._clock()
        if now < self._earliest:
            self._sleep(self._earliest - now)
        self._earliest = max(now, self._earliest) + 1 / self.service.requests_per_second
        self.requests += 1
        session = self._session
        prepared = session.prepare_request(requests.Request("GET", url, params=dict(parameters)))
        settings = session.merge_environment_settings(url, {}, True, None, None)
        timeout = (self._patience.connect, self._patience.silence)
        try:
            # Not by the session: it would read the whole body of a redirect, however long.
            return session.get_adapter(url).send(prepared, timeout=timeout, **settings)
        except requests.Timeout:
            raise _Unsteady("no answer in time") from None
        except requests.ConnectionError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                hint = "check the host name; a private authority goes into REQUESTS_CA_BUNDLE"
                what = "the API's certificate is not valid"
                raise self._error(Missing, what, url, hint) from None
            raise _Unsteady("no connection") from None

    def _answer(self, response: requests.Response) -> Answer:
        status = response.status_code
        if status in _AGAIN:
            raise _Unsteady(f"status {status}", _retry_after(response.headers))
        if status in (401, 403):
            variable = self.service.variable
            hint = (
                f"is the token in {variable} still valid, and may it read this?"
                if variable
                else f"name the variable that holds it: connections.{self.service.name}.token"
            )
            what = f"the API refuses {'the token' if variable else 'us without a token'} ({status})"
            raise self._error(Missing, what, response.url, hint)
        if status != 200:
            hint = "check the source's path and parameters, and the connection's url"
            raise self._error(Missing, f"the API answers with status {status}", response.url, hint)
        body = self._body(response)
        found = response.links.get("next", {}).get("url")
        return Answer(
            body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"),
            response.url,
            resolved(response.url, found) if found else None,
        )

    def _body(self, response: requests.Response) -> bytes:
        """The whole body, decompressed; within the time and size that an answer may take."""
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            hint = "it was asked for gzip or nothing; is there a proxy in between?"
            raise self._error(Missing, "the API compresses in another way", response.url, hint)
        unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
        until = self._clock() + self._patience.answer
        body = bytearray()
        try:
            # read1 returns what has arrived: a server that drips cannot hold us in one call.
            while piece := response.raw.read1(65536, decode_content=False):
                room = self._patience.page + 1 - len(body)
                body += unpack.decompress(piece, room) if unpack else piece
                if len(body) > self._patience.page:
                    size = f"{self._patience.page / 2**20:g} MiB"
                    hint = "ask for smaller pages: parameters: {per_page: '1000'}"
                    raise self._error(Missing, f"a page exceeds {size}", response.url, hint)
                if self._clock() > until:
                    raise _Unsteady("an answer that does not end")
        except (urllib3.exceptions.HTTPError, zlib.error, OSError):
            raise _Unsteady("an answer that breaks off") from None
        if unpack and not unpack.eof:
            raise _Unsteady("an answer that breaks off")
        return bytes(body)

    def _error(self, kind: type[DriftlineError], what: str, url: str, hint: str) -> DriftlineError:
        # Without what follows '?': a cursor or a key may be in it.
        return kind(f"{self.service.name}: {what}", where=url.partition("?")[0], hint=hint)


def resolved(base: str, target: str) -> str:
    """Where a link on a page leads; nothing if it is no address at all."""
    try:
        return urljoin(base, target)
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After asks for (RFC 9110: a number, or a date), None without one."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
        # By the server's own clock where it shows one: ours may differ.
        own = headers.get("Date")
        now = parsedate_to_datetime(own) if own else datetime.now(timezone.utc)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date; or one with, the other without a zone
        return None
