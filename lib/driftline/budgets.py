"""What a stage, and a turn of the cycle, may take: time and money beside their bounds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pydantic import Field, field_validator

from driftline.conf import Strict
from driftline.errors import Refused
from driftline.sla_section import check_stages


class OverBudget(Refused):
    """Stopped before a stage began, or before training knew one candidate: what is done stays, and
    the next turn goes on from there.
    """


class Budget(Strict):
    """Bounds; what is left out is unbounded."""

    minutes: float | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, gt=0)
    """In the price book's currency."""


class Budgets(Strict):
    """The section ``budgets`` of a problem file."""

    warn: float = Field(default=0.8, gt=0, le=1)
    """From this share of a budget on it is said."""
    cycle: Budget = Budget()
    stages: dict[str, Budget] = {}

    @field_validator("stages")
    @classmethod
    def _known(cls, given: dict[str, Budget]) -> dict[str, Budget]:
        check_stages(given)
        return given

    @property
    def none(self) -> bool:
        """Whether nothing is bounded."""
        return not self.stages and self.cycle == Budget()


@dataclass(frozen=True)
class Taken:
    """Time and money that were taken, or will be."""

    minutes: float = 0.0
    money: float = 0.0

    def plus(self, other: Taken) -> Taken:
        """Both together."""
        return Taken(self.minutes + other.minutes, self.money + other.money)


def beyond(budget: Budget, taken: Taken, *, share: float = 1.0) -> str | None:
    """Which bound is exceeded (or, below 1, which share of it reached), in words; None if none."""
    for each in fields(Taken):
        bound, found = getattr(budget, each.name), getattr(taken, each.name)
        if bound is not None and (found > bound if share == 1.0 else found >= share * bound):
            return f"{found:.4g} of {bound:g} {each.name}"
    return None


def left(budget: Budget, taken: Taken) -> Budget | None:
    """What is not taken yet of a budget; None where one of its bounds is reached."""
    rest = {
        each.name: bound - getattr(taken, each.name)
        for each in fields(Taken)
        if (bound := getattr(budget, each.name)) is not None
    }
    return None if any(value <= 0 for value in rest.values()) else Budget(**rest)


def tighter(one: Budget, other: Budget) -> Budget:
    """The smaller one of each bound."""
    found = {}
    for each in fields(Taken):
        bounds = [getattr(budget, each.name) for budget in (one, other)]
        found[each.name] = min((each for each in bounds if each is not None), default=None)
    return Budget(**found)
