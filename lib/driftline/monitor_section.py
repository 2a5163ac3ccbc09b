"""The section ``monitor`` of a problem file: when a champion is kept, watched, or trained again."""

from __future__ import annotations

from pydantic import Field, model_validator

from driftline.conf import Strict, wrong
from driftline.sections import Costs


class Monitor(Strict):
    """When a champion is kept, watched, or trained again."""

    drop: float = Field(default=0.03, gt=0)
    """By how much the metric may be worse than when the champion was judged; of rmse and mae: by
    which part of it."""
    floor: float | None = None
    """The service level: a metric on the wrong side of it, by labels or by what trusted scores let
    expect, is a violation however it was before."""
    drift: float = Field(default=0.3, gt=0, le=1)
    """Share of the model's importance in features that drifted, or are skewed, from which on it is
    said."""
    requests: str | None = None
    """The source that has what `serve --log-requests` wrote: compared with training rows, too. Its
    entity is what ``gold.features`` has: where that is a pseudonym, no other is made of it."""
    at_least: int = Field(default=2, ge=1)
    of: int = Field(default=5, ge=1)
    """Trained again when ``at_least`` of the last ``of`` turns violate, and the newest does."""
    cooldown: int = Field(default=1, ge=0)
    """So many turns after a training nothing is trained again."""
    value: Costs | None = None
    """What a wrong answer costs in the price book's currency; without it gain is not weighed."""
    payback: int = Field(default=3, ge=1)
    """Periods within which a training has to pay."""

    @model_validator(mode="after")
    def _some_of_them(self) -> Monitor:
        if self.at_least > self.of:
            raise wrong(
                "more turns have to violate than are looked at",
                key="at_least",
                found=f"at_least {self.at_least} of {self.of}",
                allowed="at_least no more than of",
                hint="at_least: 2, of: 5",
            )
        return self
