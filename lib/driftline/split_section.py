"""The section ``split`` of a problem file: which rows train, which choose, which judge."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from driftline.conf import Identifier, Strict, wrong


class TimeSplit(Strict):
    """The newest mature as-ofs are the test set, those before them validation, the rest train."""

    by: Literal["time"]
    test: int = Field(default=1, ge=1)
    validation: int = Field(default=1, ge=0)
    folds: Literal["entity", "forward"] = "entity"
    """Of the search: by entity, or each block of as-ofs measured by the blocks before it."""
    recent: int | None = Field(default=None, ge=1)
    """Of the mature as-ofs only so many, the newest, take part: what is older is forgotten."""


class _Shares(Strict):
    recent: int | None = Field(default=None, ge=1)
    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_train(self) -> _Shares:
        if self.test + self.validation >= 1:
            raise wrong(
                "nothing is left to train on",
                found=f"test {self.test} + validation {self.validation}",
                allowed="shares that add up to less than 1",
                hint="test: 0.2, validation: 0.1 leaves 0.7",
            )
        return self


class EntitySplit(_Shares):
    """Entities drawn one by one: each stays on its side whoever else comes."""

    by: Literal["entity"]


class RandomSplit(_Shares):
    """Entities at random, so that no entity is on two sides and each has its share of labels."""

    by: Literal["random"]


class GivenSplit(Strict):
    """Test rows are those that say so by an attribute; of the others a share validates."""

    by: Literal["attribute"]
    attribute: Identifier
    """Of the profile; no model sees it."""
    test: str = Field(default="test", min_length=1)
    """Its value on test rows."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    recent: int | None = Field(default=None, ge=1)


Split = TimeSplit | EntitySplit | RandomSplit | GivenSplit
