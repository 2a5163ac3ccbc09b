"""Where databases and APIs are, and the names of the variables that hold their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from driftline.conf import Strict, wrong
from driftline.errors import ConfError, Missing, did_you_mean
from driftline.pulls.sections import Api, Database

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _variable(value: Any) -> Any:
    # Whatever else stands there may be the secret itself: it is not shown.
    if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
        return value
    raise wrong(
        "not the name of an environment variable",
        found="something else, not shown because it may be a secret",
        allowed="capitals, digits and _, a capital first",
        hint="write the variable's name, SHOP_PASSWORD, and put the secret into the variable",
    )


Variable = Annotated[str, BeforeValidator(_variable)]
"""The name of an environment variable that holds a secret."""


_NO_USER = re.compile(r"\b(abfss?|wasbs?|(local)?(jce|bcf)ks|kms)://([^:/@\s]+@)+")
"""Where what stands before the @ is a container or another scheme: ``jceks://hdfs@host/file``."""


def has_secret(address: str) -> bool:
    """Whether a user, a token or a user and password are in front of an address's host.

    A password may have a / in it (half of Amazon's do), a user not. So behind a port, an @ that
    belongs to the path is taken for one's end, too; it can be written %40.
    """
    return re.search(r"://[^/@]*(:[^@]*)?@", _NO_USER.sub("://", address)) is not None


class Connection(Strict):
    """A database (``jdbc:postgresql://…``) or an API (``https://…``)."""

    url: str
    user: Variable | None = None
    password: Variable | None = None
    token: Variable | None = None
    requests_per_second: float = Field(default=5, gt=0)

    @property
    def kind(self) -> Literal["database", "api"]:
        """Which kind of source can be read from it."""
        return "database" if self.url.startswith("jdbc:") else "api"

    @field_validator("url", mode="before")
    @classmethod
    def _place_without_secret(cls, url: Any) -> Any:
        if not isinstance(url, str):
            raise wrong(
                "not an address",
                found="no text",
                allowed="jdbc:postgresql://…, https://…, http://…",
                hint="url: jdbc:postgresql://127.0.0.1:5432/shop",
            )
        scheme = re.match(r"jdbc:postgresql:(?=//)|https?:(?=//)", url)
        rest = "//" + url.split("//", 1)[-1]
        user = has_secret(f":{rest}")
        place = urlsplit("" if user else rest)  # which cannot read a [ in a password
        names = "&".join(name for name, _ in parse_qsl(place.query, keep_blank_values=True))
        # Of the key of a certificate there is a password as well, of a proxy another.
        secrets = re.search(r"(^|&)user(&|$)|passw|secret|token", names, re.IGNORECASE)
        if user or secrets:
            raise wrong(
                "a secret in a conf file",
                found=f"{scheme[0] if scheme else ''}//…",
                allowed="an address without user and password",
                hint="user: and password: (or token:) name the variables that hold them",
            )
        if not scheme or not place.netloc or not _port_is_one(place):
            raise wrong(
                "not the address of a database or an API",
                found=re.split(r"[?;#]", url)[0],  # the rest may hold a secret
                allowed="jdbc:postgresql://host:port/database, https://host/…, http://host/…",
                hint="url: jdbc:postgresql://127.0.0.1:5432/shop",
            )
        if scheme[0].startswith("http") and (place.query or place.fragment):
            raise wrong(
                "an address with parameters",
                found=f"{scheme[0]}//{place.netloc}{place.path}?…",
                allowed="scheme, host, port and a path",
                hint="parameters go into the source's api section, a token into a variable",
            )
        return url

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Connection:
        for name in _FOREIGN[self.kind]:
            if name in self.model_fields_set:
                raise wrong(
                    "not a key of such a connection",
                    key=name,
                    found=name,
                    allowed="for a database: url, user, password; "
                    "for an API: url, token, requests_per_second",
                    hint="remove it",
                )
        host = urlsplit(self.url).hostname
        if self.token and self.url.startswith("http:") and host not in _LOOPBACK:
            raise wrong(
                "a token would be sent where everybody can read it",
                key="url",
                found=self.url,
                allowed="https, or http on this machine",
                hint="write https://",
            )
        return self


_FOREIGN = {"database": ("token", "requests_per_second"), "api": ("user", "password")}


def _port_is_one(place: Any) -> bool:
    try:
        return place.port is None or place.port > 0
    except ValueError:
        return False


def _section(value: Any) -> Any:
    if isinstance(value, Mapping | Connection):
        return value
    raise wrong(  # an address with a password in it is easily written here
        "not a mapping of keys to values",
        found="something else, not shown because it may hold a secret",
        allowed="key: value pairs",
        hint="write {url: https://host}",
    )


Connections = dict[str, Annotated[Connection, BeforeValidator(_section)]]
"""Name in the problem file → where it is."""


def check(pulls: Mapping[str, Database | Api], known: Mapping[str, Connection], file: str) -> None:
    """Raise :class:`ConfError` unless the connection of each source is known and of its kind.

    ``pulls`` are sections of sources by the sources' names, ``file`` is the environment's.
    """
    for source, section in pulls.items():
        kind = "database" if isinstance(section, Database) else "api"
        names = [name for name, connection in known.items() if connection.kind == kind]
        if section.connection not in names:
            other = known.get(section.connection)
            raise ConfError(
                f"sources.{source} is to be pulled from nowhere",
                file=file,
                key=f"connections.{section.connection}",
                found=f"one of kind {other.kind}" if other else "nothing",
                allowed=", ".join(names) or f"{section.connection}: {{url: …}}",
                hint=did_you_mean(section.connection, names, otherwise="add it here"),
            )


def secret(variable: str, *, connection: str) -> str:
    """What an environment variable holds, without a line end; :class:`Missing` if nothing."""
    value = os.environ.get(variable, "").strip("\r\n")
    if not value:
        raise Missing(
            f"the environment variable {variable} is not set",
            where=f"connections.{connection}",
            hint=f"put the secret into {variable} before the command; it is read nowhere else",
        )
    if not value.isprintable():
        raise Missing(
            f"the environment variable {variable} holds more than a line of text",
            where=f"connections.{connection}",
            hint="is it the right file, in the right encoding?",
        )
    return value
