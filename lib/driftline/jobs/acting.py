"""Which model version was champion as of a day: no version that learnt from anything later."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import functions as F

from driftline import schemas
from driftline.jobs.line import Line
from driftline.registry import Registry, Version


def learnt_until(version: Version) -> datetime | None:
    """The newest event that a version's training rows may have seen, or their labels."""
    text = version.tags.get("watermark")
    return datetime.fromisoformat(text) if text else None


def known(version: Version, as_of: datetime) -> bool:
    """Whether a version could have been there as of a day."""
    until = learnt_until(version)
    return until is None or until <= as_of


def acting(models: Registry, as_of: datetime) -> Version | None:
    """The champion; where it learnt from what came after ``as_of``, the newest one before it, but
    for those that were rolled back from.
    """
    champion = models.champion()
    if champion is None or known(champion, as_of):
        return champion
    there = {each.number: each for each in models.passed()}
    past = [there[number] for number in champion.line if number in there]
    return next((each for each in reversed(past) if known(each, as_of)), None)


def backfill(line: Line, as_of: datetime | None) -> bool:
    """Whether a turn is asked for as of a day before one that was decided on already.

    A day that was not over when it was decided on, as one mistyped, makes no other a past one.
    """
    name = schemas.DECISIONS.full_name
    if as_of is None or not line.tables.exists(name):
        return False
    later = (F.col("as_of") > F.lit(as_of)) & (F.col("as_of") <= F.col("at"))
    return not line.tables.read(name).where(later).isEmpty()


def promoted_since(models: Registry, made: datetime) -> Version | None:
    """The champion, if it became so after a time, or nobody was left to write down when."""
    champion = models.champion()
    if champion is None:
        return None
    text = champion.tags.get("promoted")  # to the second
    then = made.replace(microsecond=0)
    return champion if text is None or datetime.fromisoformat(text) >= then else None


def versions(models: Registry, as_of: datetime) -> list[Version]:
    """Every version that could have been there as of a day."""
    return [each for each in models.passed() if known(each, as_of)]


def judged_by(version: Version, cutoff: datetime, *, horizon: int) -> bool:
    """Whether the labels of a cut-off can judge a version: it was trained before they were known.

    It may be asked about others (`score --full`), and knows the answers.
    """
    until = learnt_until(version)
    return until is None or cutoff + timedelta(days=horizon) > until
