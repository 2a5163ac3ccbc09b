"""The sections of a problem file, each a frozen value that checks itself.

What can only be checked across sections is in ``problem.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from driftline.conf import Share, Strict, wrong
from driftline.errors import did_you_mean
from driftline.models import CLASS, FAMILIES


def _grid_value(value: Any) -> Any:
    if isinstance(value, float | int | str | bool):
        return value
    raise wrong(
        "not a value of a grid", allowed="numbers, texts, true, false", hint="write [1, 2, 3]"
    )


GridValue = Annotated[float | int | str | bool, BeforeValidator(_grid_value)]


class Prepare(Strict):
    """What happens to features before a model sees them; fitted on training rows only."""

    impute: Literal["median", "mean", "zero"] = "median"
    missing_flags: bool = False
    """A further 0/1 place for each number column that has missing values in training rows."""
    clip: tuple[Share, Share] | Literal["iqr"] | None = (0.01, 0.99)
    """Two quantiles; or 1.5 times the interquartile range below and above the quartiles."""
    scale: Literal["standard", "minmax", "robust", "none"] = "standard"
    encode: Literal["one_hot", "target"] = "one_hot"
    """Of words: a 0/1 place a category; or the mean label of its training rows, shrunk towards
    that of all and blind to a row's own fold while a model is fitted."""
    rare: Share | None = None
    """Categories with a smaller share of training rows, and unseen ones, are one: other."""

    @model_validator(mode="after")
    def _low_below_high(self) -> Prepare:
        if isinstance(self.clip, tuple) and self.clip[0] >= self.clip[1]:
            raise wrong(
                "clip leaves nothing",
                key="clip",
                found=str(list(self.clip)),
                allowed="[low, high] quantiles with low < high, or iqr",
                hint="clip: [0.01, 0.99]",
            )
        return self


class Gate(Strict):
    """What a model must reach on the test set to become champion."""

    mode: Literal["enforce", "dry-run"] = "enforce"
    """dry-run: the verdict is written down, nobody is promoted and nothing refused."""
    floor: float | None = None
    beat: tuple[Literal["constant", "best_feature", "rfm", "champion"], ...] = ("constant",)
    slices: float | None = Field(default=None, ge=0)
    """By how much the metric of a slice may be worse than that of all test rows: refused where a
    slice's whole interval is worse than that."""
    suspicions: Literal["refuse", "say"] = "refuse"
    """Of a column that alone tells the label all but surely, as one does that has seen it."""


class Costs(Strict):
    """What a wrong answer costs, in any unit."""

    false_alarm: float = Field(ge=0)
    """Saying 1 of a row that is 0."""
    miss: float = Field(ge=0)
    """Saying 0 of a row that is 1."""


class Decide(Strict):
    """From which score on the answer is 1, chosen on validation rows, by one of three rules."""

    best: Literal["f1", "accuracy"] | None = None
    top: float | None = Field(default=None, gt=0, lt=1)
    """At most this share of the rows, as many as there is capacity for."""
    cost: Costs | None = None
    """Where the costs of all wrong answers are least."""

    @model_validator(mode="after")
    def _one_rule(self) -> Decide:
        given = [name for name, rule in self if rule is not None]
        if len(given) != 1:
            raise wrong(
                "a threshold is chosen by one rule",
                found=", ".join(given) or "none",
                allowed="one of best, top, cost",
                hint="decide: {cost: {false_alarm: 1, miss: 5}}",
            )
        return self


def _check_class(family: str, given: tuple[Any, ...]) -> None:
    """What can be known without importing it; ``candidates.check`` does, before a search."""
    if family in FAMILIES or len(given) != 1 or not _PATH.fullmatch(str(given[0])):
        raise wrong(
            "not a class that can be a candidate",
            key=f"{family}.{CLASS}",
            found=", ".join(map(str, given)),
            allowed="one import path, package.module.Class, under a name that is no family's",
            hint="class: sklearn.ensemble.HistGradientBoostingClassifier",
        )


_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class Train(Strict):
    """The search: candidates with grids, folds, the metric that chooses, the gate."""

    metric: Literal["roc_auc", "pr_auc", "rmse", "mae"]
    folds: int = Field(default=3, ge=2, le=20)
    seed: int = 7
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: each class weighs as much as the other, however rare it is."""
    search: Literal["grid", "racing"] = "grid"
    """racing: candidates that are weak on a part of the entities are not measured on all."""
    candidates: dict[str, dict[str, tuple[GridValue, ...]]] = Field(min_length=1)
    gate: Gate = Gate()
    decide: Decide | None = None
    """Without it the answer is 1 from a score of 0.5 on."""
    calibrate: Literal["none", "platt", "isotonic"] = "none"
    """How scores become probabilities, by what became of validation rows."""

    @field_validator("candidates", mode="before")
    @classmethod
    def _one_class(cls, candidates: Any) -> Any:
        """``class: a.b.C`` is a grid of one value."""
        if not isinstance(candidates, Mapping):
            return candidates
        return {
            family: {**grid, CLASS: (grid[CLASS],)}
            if isinstance(grid, Mapping) and isinstance(grid.get(CLASS), str)
            else grid
            for family, grid in candidates.items()
        }

    @field_validator("candidates")
    @classmethod
    def _known_parameters(cls, candidates: Any) -> Any:
        for family, grid in candidates.items():
            for name, values in grid.items():
                if len({*values}) < len(values):
                    raise wrong(
                        "a grid with a value twice",
                        key=f"{family}.{name}",
                        found=str(list(values)),
                        allowed="each value once (1 and 1.0 are one)",
                        hint="remove one of them",
                    )
                if not values:
                    raise wrong(
                        "a grid without values",
                        key=f"{family}.{name}",
                        found="[]",
                        allowed="one value or more",
                        hint=f"{name}: [value, …]",
                    )
            if CLASS in grid:
                _check_class(family, grid[CLASS])
                continue
            if family not in FAMILIES:
                raise wrong(
                    "no such model family",
                    key=family,
                    found=family,
                    allowed=", ".join(FAMILIES),
                    hint=did_you_mean(family, FAMILIES, otherwise="choose one of the families"),
                )
            for name, values in grid.items():
                if name not in FAMILIES[family].parameters:
                    raise wrong(
                        f"{family} has no such parameter",
                        key=f"{family}.{name}",
                        found=name,
                        allowed=", ".join(FAMILIES[family].parameters),
                        hint=did_you_mean(
                            name, FAMILIES[family].parameters, otherwise="names are Spark MLlib's"
                        ),
                    )
                wanted = FAMILIES[family].parameters[name]
                for value in values:
                    if not wanted.allows(value):
                        raise wrong(
                            f"not a value of {name}",
                            key=f"{family}.{name}",
                            found=str(value),
                            allowed=wanted.allowed,
                            hint="types and ranges are Spark MLlib's",
                        )
        return candidates

    @model_validator(mode="after")
    def _weighable(self) -> Train:
        for family, grid in self.candidates.items() if self.class_weights != "none" else ():
            if CLASS not in grid and not FAMILIES[family].weighable:
                raise wrong(
                    f"{family} cannot weigh rows",
                    key="class_weights",
                    found=self.class_weights,
                    allowed="none",
                    hint=f"remove {family} from candidates, or class_weights",
                )
        return self


class Drift(Strict):
    """Which tables are watched, and from which value on a statistic counts as drift."""

    tables: tuple[str, ...]
    segments: dict[str, tuple[str, ...]] = {}
    """Columns whose values cut a table into parts that are compared each for itself, a table."""
    identifiers: dict[str, tuple[str, ...]] = {}
    """Columns whose values are others in any rows, a table: only their nulls are compared."""
    psi: float = Field(default=0.2, gt=0)
    ks: float = Field(default=0.15, gt=0, le=1)
    js: float = Field(default=0.1, gt=0, le=1)
    null_rate: float = Field(default=0.03, gt=0, le=1)
    categories: float = Field(default=0.03, gt=0, le=1)
    """Share of rows whose value is new, or lost."""
    wasserstein: float | None = Field(default=None, gt=0)
    total_variation: float | None = Field(default=None, gt=0, le=1)
    cramers_v: float | None = Field(default=None, gt=0, le=1)
    """Of both sides weighted alike, however many rows they have."""
    volume: float | None = Field(default=None, gt=0)
    """Share of rows more or less, where whole versions, newest as-ofs or spans are compared."""
    freshness: float | None = Field(default=None, gt=0)
    """Days by which the newest time of a column falls further behind: of a source's ``time`` and
    ``arrival``, or of any where the problem says nothing of the table."""

    @field_validator("tables", "segments", "identifiers")
    @classmethod
    def _layer_and_name(cls, tables: Any) -> Any:
        """Columns may be of a table by its folder, too, for `driftline drift --table`."""
        for table in tables:
            if isinstance(tables, dict) and "/" in table:
                continue
            if table.partition(".")[0] not in ("bronze", "silver", "gold") or "." not in table:
                raise wrong(
                    "not a table that can be watched",
                    found=table,
                    allowed="bronze.<source>, silver.<source>, gold.features, gold.predictions",
                    hint="write layer.name",
                )
        twice = sorted({each for each in tables if list(tables).count(each) > 1})
        if twice:
            raise wrong(
                "a table is there twice",
                found=twice[0],
                allowed="each table once",
                hint="remove one of them",
            )
        return tables

    @field_validator("segments")
    @classmethod
    def _no_as_of(cls, segments: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Of tables with as-ofs the newest is compared, of predictions those of one model."""
        for table, columns in segments.items():
            one = sorted({"as_of", "model_version"} & {*columns})
            if one and table.startswith("gold."):
                raise wrong(
                    "a table that is compared at its newest as-of has no others to compare by",
                    found=f"{one[0]} of {table}",
                    allowed="other columns",
                    hint=f"leave {one[0]} out",
                )
        return segments


class Prices(Strict):
    """The price book: what one unit of a resource costs."""

    currency: str = "EUR"
    core_hour: float = Field(default=0.05, ge=0)
    gib_hour: float = Field(default=0.006, ge=0)
    gib_month: float = Field(default=0.02, ge=0)
