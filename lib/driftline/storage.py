"""What went wrong below the tables, in words: a full disk, a lost file, a torn commit, no bucket.

Spark and Delta say it in traces of a hundred lines; the person who is called at night needs the
folder and what to do.
"""

from __future__ import annotations

import re

from driftline import jars
from driftline.errors import Missing

_COPY = "put it back from a copy; versions of the table without that file can still be read"
_UNCHANGED = "nothing half-written is visible; then give the same command again"

# What the engines' messages say, in the order in which it is looked for; a group is the place.
_SIGNS: tuple[tuple[str, str, str], ...] = (
    (
        r"Class org\.apache\.hadoop\.fs\.s3a\.S3AFileSystem not found",
        "Spark has nothing that reads s3a://",
        f"spark-submit --packages {jars.S3.coordinates} …",
    ),
    (
        r"NoAuthWithAWSException|No AWS Credentials provided",
        "there are no credentials for the object store",
        "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        r"UnknownStoreException: `?(s3a://[^/'\s]+)",
        "there is no such bucket",
        "make it, or correct `warehouse` in conf/env",
    ),
    (
        r"No space left on device|database or disk is full",
        "the disk is full",
        f"make room; {_UNCHANGED}",
    ),
    (r"Disk quota exceeded", "the disk quota is used up", f"make room; {_UNCHANGED}"),
    (
        r"(?:Read-only file system|Permission denied|AccessDeniedException|Mkdirs failed to create)"
        r"[:\s]*(?:file:)?(/[^\s,()]*)?",
        "a folder cannot be written",
        f"check who owns it and how it is mounted; {_UNCHANGED}",
    ),
    (
        r"FAILED_READ_FILE.*?(/[^/\s][^\s]*/_delta_log/\d+\.json)",
        "the last commit of a table is damaged",
        "put it back from a copy; without one move the file aside, which takes the table back by "
        "one version, and run the stages again: what the commit held is done again",
    ),
    (
        r"(?:FILE_NOT_EXIST|FileNotFoundException).*?(/[^/\s]\S*\.parquet)",
        "a data file of a table is gone",
        _COPY,
    ),
    (
        r"(?:FAILED_READ_FILE|is not a Parquet file).*?(/[^/\s]\S*\.parquet)",
        "a data file of a table is damaged",
        _COPY,
    ),
)


def explained(text: str) -> Missing | None:
    """The error that the trace of a failed job comes down to; None if it is none of these."""
    for pattern, what, hint in _SIGNS:
        found = re.search(pattern, text)
        if found:
            place = (found[1] or "") if found.re.groups else ""
            return Missing(what, where=place.rstrip(".]"), hint=hint)
    return None
