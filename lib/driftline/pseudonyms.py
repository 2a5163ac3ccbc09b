"""Values of columns that nobody may read, as pseudonyms: the same for the same value and key.

HMAC-SHA-256 (RFC 2104, FIPS 198-1) of the value's UTF-8, as 64 hexadecimal digits. Who has the key
can tell a pseudonym from a guessed value; who has not, cannot.
"""

from __future__ import annotations

import hmac
import os

import pyarrow as pa

from driftline.errors import Missing

VARIABLE = "DRIFTLINE_PSEUDONYM_KEY"
"""The environment variable that holds the key; it is kept nowhere."""

_LEAST = 32
"""Bytes a key must have: as many as the hash (NIST SP 800-107, 5.3.4)."""


def key() -> bytes:
    """The key; :class:`Missing` where there is none, or too short a one."""
    # As it stands in the environment: random bytes are no text, and no locale is to change them.
    found = os.fsencode(os.environ.get(VARIABLE, "").strip("\r\n"))
    if len(found) < _LEAST:
        raise Missing(
            f"the key for pseudonyms has {len(found)} bytes, and at least {_LEAST} are needed"
            if found
            else f"the environment variable {VARIABLE} is not set",
            where="a column with pseudonym: true",
            hint=f"put a secret of {_LEAST} random bytes or more there, the same one for ever: "
            "openssl rand -hex 32",
        )
    return found


def pseudonym(value: str, key: bytes) -> str:
    """One value's pseudonym."""
    return hmac.digest(key, value.encode(), "sha256").hex()


def replaced(rows: pa.RecordBatch, columns: tuple[str, ...], key: bytes) -> pa.RecordBatch:
    """Rows with pseudonyms in the place of the values of text ``columns``; nulls stay."""
    for name in columns:
        place = rows.schema.get_field_index(name)
        words = rows.column(place).dictionary_encode()
        said = [each and pseudonym(each, key) for each in words.dictionary.to_pylist()]
        made = pa.DictionaryArray.from_arrays(words.indices, pa.array(said, pa.string()))
        rows = rows.set_column(
            place, rows.schema.field(place), made.cast(rows.schema.field(place).type)
        )
    return rows
