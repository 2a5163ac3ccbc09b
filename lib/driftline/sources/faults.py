"""What keeps a delivery out as a whole."""

from __future__ import annotations

FAULTS: dict[str, str] = {
    "corrupt": "The compressed content is damaged or cut off, or the file is no Parquet file.",
    "header": "The header cannot be read, or names none of the layout's fields.",
    "expansion": "The file decompresses to more than the layout's max_expansion allows.",
    "rejects": "More of the records cannot be read than the source allows.",
    "new_field": "The records have a field that the source does not know, and it allows none.",
}
"""Closed vocabulary of what is wrong with a delivery, a sentence each."""


class Fault(Exception):
    """A delivery that cannot be read as a whole: none of its records may be kept.

    ``path`` of the file, ``reason`` (a key of FAULTS), ``message`` in words, without values of
    records. It can be raised after some of the records have been had.
    """

    def __init__(self, path: str, reason: str, message: str) -> None:
        super().__init__(path, reason, message)
        self.path, self.reason, self.message = path, reason, message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"
