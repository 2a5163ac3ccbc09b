"""The train job: searches that stop and go on, what the gate asks, and the way back."""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from tests.spark.test_bad_input import FIRST, opened

from driftline import models, schemas, training
from driftline.budgets import OverBudget
from driftline.errors import Missing, Refused
from driftline.jobs import (
    cycle,
    features,
    monitor,
    proving,
    reproduce,
    rollback,
    searching,
    train,
    vacuum,
)
from driftline.registry import Registry
from driftline.sections import Gate
from driftline.split_section import GivenSplit
from driftline.trials import CUT

CANDIDATES = {
    "naive_bayes": {"modelType": ("multinomial",)},
    "logistic_regression": {"regParam": (0.01, 0.1)},
    "decision_tree": {"maxDepth": (2,)},
}


@pytest.fixture
def line(open_line, tmp_path, spark, monkeypatch):
    """People of two kinds: who comes often comes again."""
    monkeypatch.setattr(proving, "SIMULATED", 2000)
    draw = random.Random(4)
    rows = []
    for who in range(150):
        often = who % 3 == 0
        for _ in range(12 if often else 3):
            at = FIRST + timedelta(days=draw.uniform(0, 60))
            rows.append((f"w{who}", at, draw.gauss(5, 1), "a"))
    asked = {
        "train": {"metric": "roc_auc", "candidates": CANDIDATES, "gate": {"beat": ()}},
        "cutoffs": {"first": "2024-03-25", "every": "10d"},
    }
    line = opened(open_line, tmp_path, spark, rows, **asked)
    features.run(line)
    return line


def gated(line, **gate):
    """The same line with another gate."""
    changed = line.problem.train.model_copy(update={"gate": Gate(**gate)})
    object.__setattr__(line, "problem", line.problem.model_copy(update={"train": changed}))
    return line


def trials(line) -> list:
    return line.tables.read(schemas.TRIALS.full_name).collect()


@pytest.mark.slow
def test_a_search_stops_goes_on_and_its_model_comes_and_goes(line, monkeypatch) -> None:
    registry = Registry(line.environment.mlflow, "bad")
    fitted = []
    build = models.estimator

    def building(candidate, **more):
        fitted.append(str(candidate))
        return build(candidate, **more)

    monkeypatch.setattr(training.models, "estimator", building)

    # A part without rows is refused before anything is fitted.
    nobody = GivenSplit(by="attribute", attribute="kind", test="nobody")
    with pytest.raises(Refused, match="no row with a label is in the part test"):
        train.run(replace(line, problem=line.problem.model_copy(update={"split": nobody})))
    # No time at all: nothing is registered, and a turn does not take it for a verdict.
    with pytest.raises(OverBudget, match="budget ended before one candidate"):
        train.run(line, budget=1e-9)
    with pytest.raises(OverBudget, match="budget ended before one candidate"):
        train.run(line, budget=60, budget_money=1e-12)
    assert fitted == []
    with pytest.raises(Missing):
        registry.version(1)

    # Killed after the search, before anything else: what is measured stays.
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "refit", killed)
    with pytest.raises(KeyboardInterrupt):
        train.run(line)
    monkeypatch.undo()
    monkeypatch.setattr(proving, "SIMULATED", 2000)
    monkeypatch.setattr(training.models, "estimator", building)
    assert len(fitted) == 4 * 3
    failed = [row for row in trials(line) if row.error]
    assert [(row.family, row.mean) for row in failed] == [("naive_bayes", None)]
    assert len(trials(line)) == 4

    # It goes on: only what failed is tried again, and the winner fitted. A dry run promotes none.
    fitted.clear()
    said = train.run(gated(line, mode="dry-run", beat=()))
    assert said.endswith("dry run: would pass")
    assert len(fitted) == 3 + 1
    assert fitted.count("naive_bayes(modelType=multinomial)") == 3
    assert registry.champion() is None
    assert [row.chosen for row in trials(line)].count(True) == 1
    assert [row.family for row in trials(line) if row.error] == ["naive_bayes"]  # the last time's

    # Another gate does not search again.
    fitted.clear()
    assert "now champion" in train.run(gated(line, beat=("champion",)))
    assert len(fitted) == 3 + 1
    assert registry.champion().number == 2
    with pytest.raises(Refused) as caught:  # the very same model is not better than itself
        train.run(gated(line, beat=("constant", "champion")))
    assert "does not beat champion: better by 0.0000 [0.0000, 0.0000]" in str(caught.value)
    assert registry.champion().number == 2
    with pytest.raises(Refused, match="did not pass the gate"):
        rollback.run(line, to=3)
    with pytest.raises(Missing, match="champion before 2 is left"):
        rollback.run(line)
    assert "now champion" in train.run(gated(line, floor=0.5))
    assert registry.champion().number == 4
    assert rollback.run(line) == "version 2 is champion again, instead of 4"
    assert "nothing new" in train.run(line)  # and does not bring version 4 back
    assert registry.champion().number == 2
    assert rollback.run(line, to=4) == "version 4 is champion again, instead of 2"
    assert rollback.run(line, to=4) == "version 4 is champion already"
    moved = line.tables.read("ops.runs").where("stage = 'rollback'").orderBy("started_at")
    told = [(row.status, row.model_version) for row in moved.collect()]
    assert told[-3:] == [("done", 2), ("done", 4), ("unchanged", 4)]
    assert {version for _, version in told[:-3]} == {None}  # those that were refused
    # The features are made again, twice; old files are vacuumed, but for those that the champion
    # came from: it can still be rebuilt.
    name = "gold.features"
    then = registry.champion().tables[name]
    for key in ("other", "another"):
        newest = line.tables.read(name).where("label IS NOT NULL").limit(3)
        line.tables.overwrite(newest, schemas.features(line.problem), key=key, made_from={})

    def there(version: int) -> set[bool]:
        files = line.tables.read(name, version=version).inputFiles()
        return {Path(urlsplit(file).path).exists() for file in files}

    between, now = then + 1, then + 2
    assert there(then) == there(between) == there(now) == {True}
    said = vacuum.run(line, hours=0)
    removed, kept = (int(each) for each in re.findall(r"(\d+) (?:files removed|kept)", said))
    assert kept > 0 and removed > 0
    assert there(then) == there(now) == {True} and there(between) == {False}
    assert line.tables.read(name, version=then).count() > 100
    # By the problem it was trained by: today's has another seed, candidates and horizon.
    today = line.problem.train.model_copy(update={"candidates": {"gbt": {}}, "seed": 99})
    label = line.problem.label.model_copy(update={"horizon": 9})
    changed = line.problem.model_copy(update={"train": today, "label": label})
    said = reproduce.run(replace(line, problem=changed))
    assert said.startswith(f"version 4: the same rows ({name} version {then}), and 13 test metrics")
    with pytest.raises(Missing) as caught:  # refused by the gate: vacuum did not keep its rows
        registry._client.set_model_version_tag("bad", "3", "tables", f'{{"{name}": {between}}}')
        reproduce.run(line, version=3)
    assert "vacuum keeps those of versions that passed the gate" in caught.value.hint
    with pytest.raises(Missing, match="of another table, or a class"):
        registry._client.set_model_version_tag("bad", "3", "tables", f'{{"{name}": {now}}}')
        reproduce.run(line, version=3)
    with pytest.raises(Refused, match="are not the ones it was trained on"):
        client, number = registry._client, str(registry.champion().number)
        client.set_model_version_tag("bad", number, "data", "1:2:3")
        reproduce.run(line)
    measured = line.tables.read(schemas.EVALUATIONS.full_name).where("model = 'champion'")
    assert {row.model_version for row in measured.collect()} == {3, 4}


@pytest.mark.slow
def test_a_worse_model_does_not_follow_the_champion(
    open_line, tmp_path, spark, monkeypatch
) -> None:
    """Under the gate as it is when nothing is said: one split of a tree passes every other part of
    it, and is worse than the regression that was there before.
    """
    monkeypatch.setattr(proving, "SIMULATED", 2000)
    draw = random.Random(2)
    rows = []
    for who in range(400):
        every = 10 ** draw.uniform(0.5, 2.2)  # days
        after = draw.expovariate(1 / every)
        while after < 60:
            rows.append((f"w{who}", FIRST + timedelta(days=after), draw.gauss(5, 1), "a"))
            after += draw.expovariate(1 / every)
    asked = {
        "train": {"metric": "roc_auc", "candidates": {"logistic_regression": {}}},
        "cutoffs": {"first": "2024-03-25", "every": "10d"},
        "split": {"by": "random", "test": 0.5},
    }
    line = opened(open_line, tmp_path, spark, rows, **asked)
    features.run(line)
    assert "now champion" in train.run(line)
    models = Registry(line.environment.mlflow, "bad")
    first = models.champion()

    def asking(**changes):
        changed = line.problem.train.model_copy(update=changes)
        object.__setattr__(line, "problem", line.problem.model_copy(update={"train": changed}))

    asking(candidates={"decision_tree": {"maxDepth": (1,)}})
    day = monitor.watermark(line, line.tables.version("gold.features"))
    made = {"decision": "d", "as_of": day, "at": day, "model_version": 1, "action": "retrain"}
    made |= {"why": "labels show it worse than when it was judged", "turn": "{}", "rule": "{}"}
    made |= {"causes": ["worse"], "problem": line.problem.digest}
    row = tuple(made.get(each.name) for each in schemas.DECISIONS.columns)
    line.tables.append_values([row], schemas.DECISIONS, key=None)
    line.tables.ensure(schemas.OUTCOMES)
    said = cycle.run(line, lambda _: train.run(line), only="train")
    assert "; the new model was refused (is worse than champion version 1 on the same" in said
    assert said.endswith("), the champion stays")
    (outcome,) = line.tables.read(schemas.OUTCOMES.full_name).collect()
    assert outcome.verdict == "refused"
    assert "is worse than champion version 1 on the same rows: better by -0." in outcome.detail
    assert models.champion() == first

    # Of a champion that cannot be scored nothing can be told: that is said, and refused if asked.
    shutil.rmtree(models.folder(first))
    lost = "with champion version 1: files of a model version are gone"
    asking(gate=Gate(beat=("champion",)))
    with pytest.raises(Refused, match="did not become champion") as caught:
        train.run(line)
    assert caught.value.where == f"cannot be compared {lost}"
    asking(gate=Gate(floor=0.5))
    assert train.run(line).endswith(f"; not compared {lost}, now champion")


def test_a_fingerprint_tells_where_a_value_is_among_nulls(spark) -> None:
    """And neither the order of the rows nor that of the columns."""

    def told(*made: tuple, names: str = "a int, b int, c string") -> str:
        return searching.fingerprint(spark.createDataFrame([*made], names))

    one, other = (None, 5, "x"), (7, None, None)
    assert told(one, other) == told(other, one)
    assert told(one) == told((5, None, "x"), names="b int, a int, c string")
    assert len({told(one), told((5, None, "x")), told((None, 5, None)), told(one, one)}) == 4


@pytest.fixture
def fitted(monkeypatch) -> list[str]:
    """The candidates that were fitted, one after the other."""
    found: list[str] = []
    build = models.estimator

    def building(candidate, **more):
        found.append(str(candidate))
        return build(candidate, **more)

    monkeypatch.setattr(training.models, "estimator", building)
    return found


def asked(line, **train):
    """The same line with another search, one candidate at a time, whose models all pass."""
    gate = Gate(mode="dry-run", beat=())
    changed = line.problem.train.model_copy(update={"gate": gate, **train})
    one = line.environment.model_copy(update={"cores": 1})
    problem = line.problem.model_copy(update={"train": changed})
    return replace(line, problem=problem, environment=one)


@pytest.mark.slow
def test_a_race_that_was_killed_or_cut_goes_on(line, fitted, monkeypatch) -> None:
    """Seven points, then three, then two; and one that fails wherever it is tried."""
    grid = {"logistic_regression": {"regParam": tuple(10.0**-n for n in range(7))}}
    grids = {"naive_bayes": {"modelType": ("multinomial",)}, **grid}
    line = asked(line, search="racing", candidates=grids)
    write, written = searching._write, []

    def writing(*told):
        if len(written) == 8 + 2:
            raise KeyboardInterrupt
        written.append(told)
        write(*told)

    with monkeypatch.context() as patched:
        patched.setattr(searching, "_write", writing)
        with pytest.raises(KeyboardInterrupt):
            train.run(line)
    by_round = Counter(row.search[-2:] for row in trials(line))
    assert by_round == {":9": 8, ":3": 2}
    assert {row.family for row in trials(line) if row.error} == {"naive_bayes"}
    # No time for more: the best of what is known of the race is the model.
    fitted.clear()
    assert "after 7 candidates on one in 9 entities when the budget ended" in train.run(
        line, budget=0
    )
    assert len(fitted) == 1
    [chosen] = [row for row in trials(line) if row.chosen]
    assert chosen.search.endswith(":9") and len(chosen.folds) == 1
    registry = Registry(line.environment.mlflow, "bad")

    def told(number: int) -> tuple[str, Counter]:
        """The card of a version, and how many of its trials MLflow has, by part of a race."""
        version = registry.version(number)
        children = f"tags.`mlflow.parentRunId` = '{version.run_id}'"
        found = registry._client.search_runs([registry._experiment()], children)
        card = (registry.folder(version) / "card.md").read_text("utf-8")
        return card, Counter(each.data.tags.get("part") for each in found)

    card, parts = told(1)
    assert "the budget ended after 7 candidates on one in 9 entities" in card
    assert parts == {None: 7}  # there was no time to try again what failed
    # With time only what failed is tried again, and two of three in the second round are left.
    fitted.clear()
    assert "when the budget ended" not in train.run(line)
    points = [each for each in fitted if each.startswith("logistic")]
    assert len(points) == 2 + 2 * 3 + 1
    assert len(fitted) - len(points) == 1 + 1 + 3
    card, parts = told(2)
    assert "2 of 8 candidates were measured, 1 failed" in card
    assert "a race on parts of the whos left out others" in card
    assert parts == {None: 3, "1/9": 8, "1/3": 4}


@pytest.mark.slow
def test_a_budget_given_again_registers_nothing_again_and_goes_on(
    line, fitted, monkeypatch
) -> None:
    """The clock is the number of fits, so that a budget is so many, in minutes."""
    grids = {"logistic_regression": {"regParam": (0.01, 0.1)}, "decision_tree": {"maxDepth": (2,)}}
    line = asked(line, candidates=grids)
    clock = SimpleNamespace(monotonic=lambda: float(len(fitted)))
    for each in (train, training):
        monkeypatch.setattr(each, "time", clock)

    def spent(fits: int) -> tuple[str, int]:
        before = len(fitted)
        said = train.run(line, budget=fits / 60)
        return said.partition(":")[0], len(fitted) - before

    with pytest.raises(Refused, match="before one candidate was measured on every fold"):
        train.run(line, budget=1 / 60)
    assert [(len(row.folds), row.error) for row in trials(line)] == [(1, CUT)]
    assert spent(3) == ("version 1", 3 + 1)  # two folds, one of the next; and the winner
    made = trials(line)
    assert spent(0) == ("nothing new", 0)
    assert trials(line) == made
    assert spent(1) == ("nothing new", 1)  # another fold, which is kept
    assert spent(1) == ("version 2", 1 + 1)
    assert spent(9) == ("version 3", 3 + 1)
    # Each candidate is one row, and the winner is one: what was cut before is no longer there.
    assert Counter((row.error, row.chosen) for row in trials(line)) == {
        (None, False): 2,
        (None, True): 1,
    }
