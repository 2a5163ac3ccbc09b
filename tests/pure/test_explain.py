"""A problem in plain words: every part of it is said, in an order a reader can follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.explain import explain, features
from driftline.problem import Problem, load_problem

CONF = Path(__file__).parents[2] / "conf"
CHURN = load_problem(CONF / "churn.yaml")


def words(problem: Problem) -> list[str]:
    return explain(problem).split("\n")


def changed(**parts: object) -> list[str]:
    """The words after some parts of churn.yaml were replaced."""
    content = CHURN.model_dump(by_alias=True, exclude_unset=True) | parts
    for key in ("label", "population"):
        content[key] = {
            name: f"{value}d" if name in ("horizon", "within") else value
            for name, value in content[key].items()
        }
    content["cutoffs"] = {"first": content["cutoffs"]["first"], "every": "30d"}
    content["features"] = tuple(
        {**each, "windows": tuple(f"{days}d" for days in each["windows"])}
        for each in content["features"]
    )
    return words(Problem.model_validate(content))


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_problem_is_explained(path: Path) -> None:
    problem = load_problem(path)
    said = words(problem)
    assert said[0] == problem.question
    assert not [line for line in said if line != line.rstrip()]
    text = "\n".join(said)
    for name in (*problem.sources, *(feature.name for feature in problem.features)):
        assert f"\n  {name}: " in text
    for never in ("None", "{", "}", "()", "True", "False"):
        assert never not in text


def test_churn() -> None:
    said = words(CHURN)
    assert said[:12] == [
        "Which customers of the shop will buy nothing in the next 30 days?",
        "",
        "Sources of churn, joined by customer_id:",
        "  visits: access_log files shop/access/*.log.gz, event time time",
        "  orders: ndjson files shop/orders/*.ndjson, event time time, a repeated (order_id) is "
        "kept once",
        "  customers: csv files shop/customers/*.csv, event time updated_at",
        "",
        "Asked about, at each as-of: every customer_id with an event in orders in the 90 days up "
        "to the as-of.",
        "Label: 1 when there is no event in orders, in the 30 days after the as-of; unknown until "
        "the data reaches that far.",
        "As-ofs: 2024-05-01, then every 30 days until the data ends.",
        "",
        "Features (21):",
    ]
    assert "  orders: number of events in orders; over 30, 90, 180 days" in said
    assert "  spend: sum of amount in orders; over 30, 90 days" in said
    assert "  carts: number of events in visits where path = '/cart'; over 30 days" in said
    assert "  age, gender, country: from the latest row of customers by the as-of" in said
    assert (
        "Preparation, learnt from training rows: missing numbers become the median, clipped to "
        "quantiles 0.01-0.99, scaled (standard); words one-hot."
    ) in said
    assert "  random_forest: numTrees 40; maxDepth 8; minInstancesPerNode 10" in said
    assert (
        "Champion only if, on the test rows: roc_auc reaches 0.65; it beats the constant beyond "
        "doubt; it beats the best feature beyond doubt; it is not, beyond doubt, worse than the "
        "champion; no column alone tells the label; its portable form gives the same scores."
    ) in said
    assert "The answer is 1 from a score of 0.5 on." in said
    assert said[-2] == (
        "Trained again when in 2 of 5 turns of the cycle, and the newest, roc_auc is worse by 0.03 "
        "than when the model was judged, or labels are not what scores promised (but for the "
        "better); or nothing else can tell, and 30% of what matters to it has drifted."
    )
    assert said[-1] == "Prices: 0.05 EUR a core-hour, 0.006 a GiB-hour, 0.02 a GiB-month."


def test_how_many_rows_and_how_fresh_is_said_where_it_is_watched() -> None:
    rule = {"tables": ("silver.orders",)}
    said = next(each for each in changed(drift=rule) if each.startswith("Watched"))
    assert said.endswith("silver.orders (PSI 0.2, KS 0.15, JS 0.1, null rate 0.03).")
    rule |= {"volume": 0.5, "freshness": 2}
    said = next(each for each in changed(drift=rule) if each.startswith("Watched"))
    assert said.endswith("null rate 0.03, volume 0.5, freshness 2 days).")


def test_whose_requests_were_logged_is_said() -> None:
    orders = CHURN.sources["orders"]
    asked = orders.model_dump(by_alias=True, exclude_unset=True)
    hidden = {
        name: each.model_dump(by_alias=True, exclude_unset=True)
        for name, each in CHURN.sources.items()
    }
    for each in hidden.values():
        each["columns"]["customer_id"] |= {"pseudonym": True}
    said = changed(sources={**hidden, "asked": asked}, monitor={"requests": "asked"})
    lines = {line.split(":")[0].strip(): line for line in said if line.startswith("  ")}
    assert lines["visits"].endswith("; kept as pseudonyms: customer_id")
    assert "pseudonyms" not in lines["asked"]
    assert lines["asked"].endswith("; what a server was asked, customer_id as gold.features has it")


def test_a_sum_is_not_a_yes_or_no() -> None:
    said = words(load_problem(CONF / "cdnow_spend.yaml"))
    assert (
        "Label: the sum of amount over purchases, in the 90 days after the as-of; unknown until "
        "the data reaches that far."
    ) in said
    assert (
        "Champion only if, on the test rows: it beats the constant beyond doubt; it is not, beyond "
        "doubt, worse than the champion; no column alone tells the label; its portable form gives "
        "the same scores."
    ) in said


def test_conditions_are_said_where_they_apply() -> None:
    said = words(load_problem(CONF / "online_retail.yaml"))
    assert (
        "Asked about, at each as-of: every customer_id with an event in lines where quantity > 0 "
        "ever, up to it."
    ) in said
    assert (
        "Label: 1 when there is no event in lines where quantity > 0, in the 30 days after the "
        "as-of; unknown until the data reaches that far."
    ) in said


def test_any_is_the_opposite_of_none() -> None:
    label = {"source": "orders", "horizon": 30, "outcome": "any"}
    assert (
        "Label: 1 when there is at least one event in orders, in the 30 days after the as-of; "
        "unknown until the data reaches that far."
    ) in changed(label=label)


def test_a_random_split_says_its_shares() -> None:
    shares = {"test": 0.125, "validation": 0.005}
    for by, how in (("random", "with equal shares of the labels"), ("entity", "one by one")):
        assert (
            f"Split at random by customer_id, {how}: 12.5 % test, 0.5 % validate, the others train."
        ) in changed(split={"by": by, **shares})


def test_folds_that_chain_forward_say_so() -> None:
    said = "\n".join(changed(split={"by": "time", "folds": "forward"}))
    assert "-fold cross-validation (each block of as-ofs by the blocks before it), best" in said


def test_what_is_left_out_is_not_said() -> None:
    said = changed(
        profile=None,
        prepare={"impute": "zero", "clip": None, "scale": "none"},
        train={"metric": "pr_auc", "candidates": {"random_forest": {}}, "gate": {"beat": ()}},
    )
    assert not [line for line in said if "from the latest row" in line]
    assert (
        "Preparation, learnt from training rows: missing numbers become 0, not scaled; words "
        "one-hot."
    ) in said
    assert "  random_forest: defaults" in said
    assert (
        "Champion only if, on the test rows: it is not, beyond doubt, worse than the champion; no "
        "column alone tells the label; its portable form gives the same scores."
    ) in said
    train = {"metric": "pr_auc", "candidates": {"random_forest": {}}}
    said = changed(train=train | {"gate": {"beat": ("champion",), "suspicions": "say"}})
    assert (
        "Champion only if, on the test rows: it beats the champion beyond doubt; its portable form "
        "gives the same scores."
    ) in said


def test_the_whole_gate_and_search_are_said() -> None:
    train = {"metric": "roc_auc", "candidates": {"random_forest": {}}, "search": "racing"}
    gate = {"mode": "dry-run", "beat": (), "slices": 0.05}
    said = changed(train=train | {"calibrate": "platt", "gate": gate, "decide": {"top": 0.1}})
    place = said.index("  random_forest: defaults")
    assert said[place + 1 : place + 5] == [
        "Those that are weak on a part of the customer_ids are not measured on all.",
        "Scores become probabilities by validation rows (platt).",
        "The answer is 1 for at most 10 %, by the score that so many validation rows reach.",
        "A dry run: nobody becomes champion, and it is said that one would only if, on the test "
        "rows: it is not, beyond doubt, worse than the champion; no slice is, beyond doubt, worse "
        "than all rows by 0.05; no column alone tells the label; its portable form gives the same "
        "scores.",
    ]
    cost = {"cost": {"false_alarm": 1, "miss": 5}}
    for rule, words in (
        (
            cost,
            "from the score on where, on validation rows, false alarms at 1 and misses at 5 cost",
        ),
        ({"best": "f1"}, "f1 is best"),
    ):
        assert any(words in line for line in changed(train=train | {"decide": rule}))


def test_every_feature_has_a_line_with_its_definition() -> None:
    problem = CHURN
    head, *lines = features(problem).splitlines()
    assert head == "24 features as of each cut-off T, from events with event time up to T:"
    columns = [name for each in problem.features for name in each.columns]
    assert [line.split()[0] for line in lines] == [*columns, *problem.profile.attributes]
    assert "  spend_30d             sum of amount in orders, 30 days up to the as-of" in lines
    assert (
        "  carts_30d             number of events in visits where path = '/cart', 30 days up to "
        "the as-of"
    ) in lines
