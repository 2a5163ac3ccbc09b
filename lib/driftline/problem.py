"""What is asked, of which data, by which rules: one YAML file → one frozen :class:`Problem`.

A problem is checked as a whole before Java starts: every source, column, window and model it names
must exist. Where it runs is apart, see ``environment.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from driftline import rfm
from driftline.budgets import Budgets
from driftline.conf import Identifier, Strict, load, wrong
from driftline.digests import digest
from driftline.errors import did_you_mean
from driftline.events import Cutoffs, Events, Feature, Label, Population, Profile
from driftline.models import CLASS, families_for
from driftline.monitor_section import Monitor
from driftline.schedule_section import Schedule
from driftline.sections import Drift, Prepare, Prices, Train
from driftline.sla_section import Sla
from driftline.source_section import Source
from driftline.split_section import GivenSplit, Split, TimeSplit

_TAKEN = (
    *("as_of", "label", "part", "fold", "features", "score", "prediction", "probability"),
    *("entity", "model_version"),
)
"""Columns that stand beside the features on their way through training, scoring and monitoring."""

_OPERATED = {"sla", "budgets", "schedule"}
"""Sections about how a problem is operated, not about what is asked."""


class Problem(Strict):
    """The whole question. See ``conf/churn.yaml`` for each key with a comment."""

    name: Identifier
    question: str = Field(min_length=1)
    task: Literal["classification", "regression"]
    entity: Identifier
    sources: dict[Identifier, Source] = Field(min_length=1)
    label: Label
    population: Population
    features: tuple[Feature, ...] = ()
    profile: Profile | None = None
    cutoffs: Cutoffs
    split: Annotated[Split, Field(discriminator="by")]
    prepare: Prepare = Prepare()
    train: Train
    drift: Drift
    monitor: Monitor = Monitor()
    prices: Prices = Prices()
    sla: Sla = Sla()
    budgets: Budgets = Budgets()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _names_hang_together(self) -> Problem:
        for key, part in self._parts():
            self._check_source(key, part.source)
        attributes = self.profile.attributes if self.profile else ()
        for name in attributes:
            assert self.profile is not None
            self._check_column("profile.attributes", self.profile.source, name)
            kind = self.sources[self.profile.source].columns[name].type
            if kind in ("timestamp", "date"):
                raise wrong(
                    "a time cannot be an attribute",
                    key="profile.attributes",
                    found=f"{name}: {kind}",
                    allowed="string, long, double, boolean",
                    hint="a model needs how long ago, not when: use a feature with recency",
                )
        if isinstance(self.split, GivenSplit) and self.split.attribute not in attributes:
            raise wrong(
                "no such attribute to split by",
                key="split.attribute",
                found=self.split.attribute,
                allowed=", ".join(attributes) or "none: there is no profile",
                hint="name it under profile.attributes: the model does not see it",
            )
        columns = [*(name for each in self.features for name in each.columns), *attributes]
        apart = self.split.attribute if isinstance(self.split, GivenSplit) else None
        if not {*columns} - {apart}:
            raise wrong(
                "there is nothing to learn from",
                key="features",
                found=f"{apart} alone, which it is split by"
                if apart
                else "no features, no profile",
                allowed="one or more of features, or a profile with attributes",
                hint="the files in conf/ show both",
            )
        taken = {self.entity, *_TAKEN}
        for name in columns:
            if name in taken:
                raise wrong(
                    "two columns of gold.features would have the same name",
                    key="profile.attributes" if name in attributes else "features",
                    found=name,
                    allowed=f"each name once; taken are {self.entity}, {', '.join(_TAKEN)}",
                    hint="rename one of the features, or remove a repeated window or attribute",
                )
            taken.add(name)
        # Of every source that has it, also where no feature is made: a person is erased from all.
        having = {
            name: source.columns[self.entity]
            for name, source in self.sources.items()
            if self.entity in source.columns
        }
        if len({column.type for column in having.values()}) > 1:
            raise wrong(
                "the entity has different types in different sources",
                key="entity",
                found=", ".join(f"{source}: {column.type}" for source, column in having.items()),
                allowed="one type, or nothing joins, and nobody can be erased",
                hint=f"give {self.entity} the same type under each source's columns",
            )
        requests = self.monitor.requests
        if requests is not None and requests not in self.sources:
            raise wrong(
                "no such source of requests",
                key="monitor.requests",
                found=requests,
                allowed=", ".join(self.sources),
                hint=did_you_mean(requests, self.sources, otherwise="declare it under sources"),
            )
        if requests is not None:
            self._check_requests(requests, {self.entity, *attributes})
        # Requests are about whom gold.features has: where those are pseudonyms, so are they.
        plain = [
            name for name, column in having.items() if not column.pseudonym and name != requests
        ]
        if self.pseudonymous and plain:
            raise wrong(
                "the entity is a pseudonym in some sources and not in others",
                key="entity",
                found=f"plain in {', '.join(sorted(plain))}",
                allowed="pseudonym: true in every source that has it (but monitor.requests, "
                "whose are pseudonyms already), or in none",
                hint="rows of one person would no longer meet",
            )
        regression = self.label.outcome == "sum"
        if regression != (self.task == "regression"):
            raise wrong(
                "the label does not fit the task",
                key="task",
                found=f"{self.task} with label.outcome {self.label.outcome}",
                allowed="classification with none or any; regression with sum",
                hint="change task or label.outcome",
            )
        if (self.train.metric in ("rmse", "mae")) != (self.task == "regression"):
            raise wrong(
                "the metric does not fit the task",
                key="train.metric",
                found=f"{self.train.metric} for {self.task}",
                allowed="roc_auc, pr_auc for classification; rmse, mae for regression",
                hint="change train.metric",
            )
        if self.train.class_weights != "none" and self.task == "regression":
            raise wrong(
                "a regression has no classes to weigh",
                key="train.class_weights",
                found=self.train.class_weights,
                allowed="none for regression; none, balanced for classification",
                hint="remove it",
            )
        if self.monitor.value is not None and self.task == "regression":
            raise wrong(
                "a regression has no false alarms and misses to pay for",
                key="monitor.value",
                found=self.task,
                allowed="a value of errors for classification only",
                hint="remove it: what training again may gain is not weighed",
            )
        forward = isinstance(self.split, TimeSplit) and self.split.folds == "forward"
        if self.prepare.encode == "target" and self.train.folds < 3 and not forward:
            raise wrong(
                "a fold is encoded by the others that are fitted on, and of two there are none",
                key="train.folds",
                found=f"{self.train.folds} with prepare.encode target",
                allowed="3 or more; 2 with split.folds forward",
                hint="folds: 3, or encode: one_hot",
            )
        if "rfm" in self.train.gate.beat and not self.rfm:
            raise wrong(
                "the features do not tell recency, frequency and money of the same events",
                key="train.gate.beat",
                found="rfm",
                allowed="rfm with features of one source and where by the operations recency, "
                "frequency or count, and sum",
                hint="declare such features, or remove rfm",
            )
        by_validation = {
            "decide": ("choose a threshold on", self.train.decide is not None),
            "calibrate": ("calibrate on", self.train.calibrate != "none"),
        }
        for key, (what, asked) in by_validation.items():
            if asked and (regression or not self.split.validation):
                raise wrong(
                    f"there is nothing to {what}",
                    key=f"train.{key}",
                    found=self.task if regression else f"split.validation {self.split.validation}",
                    allowed="a classification with validation rows",
                    hint="remove it" if regression else "keep validation rows: split.validation",
                )
        known = families_for(self.task)
        for family, grid in self.train.candidates.items():
            if CLASS not in grid and family not in known:
                raise wrong(
                    f"the family does not do {self.task}",
                    key=f"train.candidates.{family}",
                    found=family,
                    allowed=", ".join(known),
                    hint="remove it from train.candidates",
                )
        named_columns = {"segments": self.drift.segments, "identifiers": self.drift.identifiers}
        named = {
            "drift.tables": self.drift.tables,
            **{
                f"drift.{key}": [each for each in columns if "/" not in each]
                for key, columns in named_columns.items()
            },
        }
        for key, table in ((key, table) for key, tables in named.items() for table in tables):
            layer, _, name = table.partition(".")
            names = ("features", "predictions") if layer == "gold" else tuple(self.sources)
            if name not in names:
                raise wrong(
                    "no such table to watch",
                    key=key,
                    found=table,
                    allowed=", ".join(f"{layer}.{each}" for each in names),
                    hint=did_you_mean(name, names, otherwise="choose one of these"),
                )
        for key, tables in named_columns.items():
            for table, names in tables.items():
                layer, _, name = table.partition(".")
                for column in names if layer in ("bronze", "silver") else ():
                    self._check_column(f"drift.{key}.{table}", name, column)
        promised = [*(f"silver.{source}" for source in self.sources), "gold.predictions"]
        for table in self.sla.freshness:
            if table not in promised:
                raise wrong(
                    "no such table to promise",
                    key=f"sla.freshness.{table}",
                    found=table,
                    allowed=", ".join(promised),
                    hint=did_you_mean(table, promised, otherwise="choose one of these"),
                )
        return self

    def _parts(self) -> Iterator[tuple[str, Events | Profile]]:
        yield "label", self.label
        yield "population", self.population
        yield from ((f"features.{place}", each) for place, each in enumerate(self.features))
        if self.profile:
            yield "profile", self.profile

    def _check_source(self, key: str, name: str) -> None:
        if name not in self.sources:
            raise wrong(
                "no such source",
                key=f"{key}.source",
                found=name,
                allowed=", ".join(self.sources),
                hint=did_you_mean(name, self.sources, otherwise="declare it under sources"),
            )
        self._check_column("entity", name, self.entity, because=f", which {key} needs")

    def _check_requests(self, name: str, made: set[str]) -> None:
        """``made`` are the columns that a server has from ``gold.features``, as they are there."""
        columns = self.sources[name].columns
        if self.entity not in columns:
            raise wrong(
                "requests that nobody could be erased from",
                key="monitor.requests",
                found=name,
                allowed=f"a source with a column {self.entity}",
                hint="the server's log has it where a request said it; null elsewhere",
            )
        for column in sorted(made & columns.keys()):
            if columns[column].pseudonym:
                raise wrong(
                    "what was asked would not be kept as gold.features has it",
                    key=f"sources.{name}.columns.{column}.pseudonym",
                    found="true",
                    allowed="none in a source of requests: its pseudonyms are made already",
                    hint="remove it, or nobody could be erased from what was asked",
                )

    def _check_column(self, key: str, source: str, column: str, because: str = "") -> None:
        columns = self.sources[source].columns
        if column not in columns:
            raise wrong(
                f"not a column of {source}{because}",
                key=key,
                found=column,
                allowed=", ".join(columns),
                hint=did_you_mean(column, columns, otherwise=f"declare it in sources.{source}"),
            )

    @property
    def pseudonymous(self) -> bool:
        """Whether the entity is known by pseudonyms alone."""
        known = (source.columns.get(self.entity) for source in self.sources.values())
        return any(column is not None and column.pseudonym for column in known)

    @property
    def rfm(self) -> tuple[str, ...]:
        """The columns of the baseline of recency, frequency and money; empty without such."""
        return rfm.columns(self.features, self.label.source)

    @property
    def digest(self) -> str:
        """SHA-256 over what the file says, independent of comments and the order of keys.

        What is promised, may be spent, and when, is not in it: that is no other question.
        """
        return digest(self.model_dump(mode="json", exclude=_OPERATED))


def load_problem(path: Path) -> Problem:
    """Read a problem file; whatever is wrong with it is a :class:`ConfError`."""
    return load(Problem, path)
