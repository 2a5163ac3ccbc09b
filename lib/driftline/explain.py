"""A problem in plain words, without Spark."""

from __future__ import annotations

from driftline.events import Events, Feature
from driftline.metrics import SMALLER_IS_BETTER
from driftline.operations import definition, words
from driftline.problem import Problem
from driftline.pulls.sections import Api
from driftline.sections import Decide, Drift, Prepare, Train
from driftline.source_section import Source
from driftline.split_section import GivenSplit, TimeSplit


def explain(problem: Problem) -> str:
    """The problem as paragraphs for a reader who has never seen the file."""
    entity = problem.entity
    lines = [problem.question, "", f"Sources of {problem.name}, joined by {entity}:"]
    for name, source in problem.sources.items():
        key = f", a repeated ({', '.join(source.key)}) is kept once" if source.key else ""
        time = f"event time {source.time}{key}"
        hidden = [column for column, each in source.columns.items() if each.pseudonym]
        said = f"; kept as pseudonyms: {', '.join(hidden)}" if hidden else ""
        if name == problem.monitor.requests:
            said += f"; what a server was asked, {entity} as gold.features has it"
        lines.append(f"  {name}: {_origin(source)}, {time}{said}")
    asked = problem.population
    when = f"in the {_days(asked.within)} up to the as-of" if asked.within else "ever, up to it"
    lines += ["", f"Asked about, at each as-of: every {entity} with {_events(asked)} {when}."]
    label = problem.label
    lines.append(
        f"Label: {_outcome(problem)}, in the {_days(label.horizon)} after the as-of; "
        "unknown until the data reaches that far."
    )
    cutoffs = problem.cutoffs
    lines.append(f"As-ofs: {cutoffs.first}, then every {_days(cutoffs.every)} until the data ends.")
    if cutoffs.known == "arrival":
        lines.append("An as-of sees only what had arrived by then: late data is not seen early.")
    lines += ["", f"Features ({sum(len(each.windows) for each in problem.features)}):"]
    lines += [f"  {_feature(each)}" for each in problem.features]
    if problem.profile:
        names = ", ".join(problem.profile.attributes)
        lines.append(f"  {names}: from the latest row of {problem.profile.source} by the as-of")
    prepare, train = problem.prepare, problem.train
    flags = " and are flagged" if prepare.missing_flags else ""
    fill = "0" if prepare.impute == "zero" else f"the {prepare.impute}"
    lines += [
        "",
        f"Preparation, learnt from training rows: missing numbers become {fill}{flags}, "
        f"{_numbers(prepare)}; {_words(prepare)}.",
        _split(problem),
        f"Search: {train.folds}-fold cross-validation ({_folds(problem)}), best "
        f"{train.metric} wins:",
    ]
    for family, grid in train.candidates.items():
        points = "; ".join(f"{name} {', '.join(map(str, each))}" for name, each in grid.items())
        lines.append(f"  {family}: {points or 'defaults'}")
    if train.class_weights == "balanced":
        lines.append("Each class weighs as much as the other while a model is fitted.")
    if train.search == "racing":
        lines.append(f"Those that are weak on a part of the {entity}s are not measured on all.")
    if train.calibrate != "none":
        lines.append(f"Scores become probabilities by validation rows ({train.calibrate}).")
    if problem.task == "classification":
        lines.append(f"The answer is 1 {_decided(train.decide)}.")
    lines.append(_gate(train))
    drift = problem.drift
    lines += [
        "",
        f"Watched for drift: {', '.join(drift.tables)} (PSI {drift.psi}, KS {drift.ks}, "
        f"JS {drift.js}, null rate {drift.null_rate}{_facts(drift)}).",
        f"Trained again when {_again(problem)}.",
        f"Prices: {problem.prices.core_hour} {problem.prices.currency} a core-hour, "
        f"{problem.prices.gib_hour} a GiB-hour, {problem.prices.gib_month} a GiB-month.",
    ]
    return "\n".join(lines)


def _facts(drift: Drift) -> str:
    volume = "" if drift.volume is None else f", volume {drift.volume:g}"
    return volume + ("" if drift.freshness is None else f", freshness {drift.freshness:g} days")


def _again(problem: Problem) -> str:
    rule, metric = problem.monitor, problem.train.metric
    part = f"{rule.drop:.0%}" if metric in SMALLER_IS_BETTER else f"{rule.drop:g}"
    bad = f"{metric} is worse by {part} than when the model was judged"
    if rule.floor is not None:
        bad += f", or than {rule.floor:g}"
    bad += ", or labels are not what scores promised (but for the better)"
    bad += f"; or nothing else can tell, and {rule.drift:.0%} of what matters to it has drifted"
    said = f"in {rule.at_least} of {rule.of} turns of the cycle, and the newest, {bad}"
    return said + ("; and it pays" if rule.value else "")


def features(problem: Problem) -> str:
    """Every column of ``gold.features`` that a model sees, each with its definition."""
    known = "event time" if problem.cutoffs.known == "event" else "event and arrival time"
    lines = [
        (name, definition(feature.operation, feature, days))
        for feature in problem.features
        for name, days in zip(feature.columns, feature.windows, strict=True)
    ]
    if problem.profile:
        latest = f"of the latest row in {problem.profile.source} up to the as-of"
        lines += [(name, latest) for name in problem.profile.attributes]
    width = max(len(name) for name, _ in lines)
    head = f"{len(lines)} features as of each cut-off T, from events with {known} up to T:"
    return "\n".join([head, *(f"  {name:<{width}}  {said}" for name, said in lines)])


def _origin(source: Source) -> str:
    pull = source.pull
    if pull is None:
        return f"{source.format} files {source.path}"
    if isinstance(pull, Api):
        place = f"path {pull.path} of the API {pull.connection}"
    else:
        what = f"table {pull.table}" if pull.table else f"query {pull.query}"
        place = f"{' '.join(what.split())} of the database {pull.connection}"
    extent = f"from the newest {pull.watermark} on" if pull.watermark else "all of it each time"
    return f"{place}, {extent}"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _events(events: Events) -> str:
    where = f" where {events.where}" if events.where else ""
    return f"an event in {events.source}{where}"


def _outcome(problem: Problem) -> str:
    label = problem.label
    if label.outcome == "sum":
        where = f" where {label.where}" if label.where else ""
        return f"the sum of {label.value} over {label.source}{where}"
    return f"1 when there is {'no' if label.outcome == 'none' else 'at least one'} " + _events(
        label
    ).removeprefix("an ")


def _feature(feature: Feature) -> str:
    what = words(feature.operation, feature.value, feature.against)
    where = f" where {feature.where}" if feature.where else ""
    *shorter, longest = feature.windows
    windows = "".join(f"{each}, " for each in shorter) + _days(longest)
    return f"{feature.name}: {what} in {feature.source}{where}; over {windows}"


def _numbers(prepare: Prepare) -> str:
    clip = ""
    if prepare.clip == "iqr":
        clip = "clipped 1.5 interquartile ranges beyond the quartiles, "
    elif prepare.clip:
        clip = f"clipped to quantiles {prepare.clip[0]}-{prepare.clip[1]}, "
    return clip + ("not scaled" if prepare.scale == "none" else f"scaled ({prepare.scale})")


def _words(prepare: Prepare) -> str:
    rare = f", those of less than {prepare.rare * 100:g} % are one" if prepare.rare else ""
    how = "one-hot" if prepare.encode == "one_hot" else "as the mean label of their training rows"
    return f"words {how}{rare}"


def _decided(rule: Decide | None) -> str:
    if rule is None:
        return "from a score of 0.5 on"
    if rule.top is not None:
        return f"for at most {rule.top * 100:g} %, by the score that so many validation rows reach"
    if rule.cost is not None:
        costs = rule.cost
        what = f"false alarms at {costs.false_alarm:g} and misses at {costs.miss:g} cost least"
    else:
        what = f"{rule.best} is best"
    return f"from the score on where, on validation rows, {what}"


def _gate(train: Train) -> str:
    gate = train.gate
    conditions = [f"{train.metric} reaches {gate.floor}"] if gate.floor is not None else []
    conditions += [f"it beats the {name.replace('_', ' ')} beyond doubt" for name in gate.beat]
    if "champion" not in gate.beat:
        conditions.append("it is not, beyond doubt, worse than the champion")
    if gate.slices is not None:
        conditions.append(f"no slice is, beyond doubt, worse than all rows by {gate.slices:g}")
    if gate.suspicions == "refuse":
        conditions.append("no column alone tells the label")
    conditions.append("its portable form gives the same scores")
    asked = f"only if, on the test rows: {'; '.join(conditions)}."
    if gate.mode == "dry-run":
        return f"A dry run: nobody becomes champion, and it is said that one would {asked}"
    return f"Champion {asked}"


def _folds(problem: Problem) -> str:
    split = problem.split
    if isinstance(split, TimeSplit) and split.folds == "forward":
        return "each block of as-ofs by the blocks before it"
    return f"each {problem.entity} is in one fold"


def _split(problem: Problem) -> str:
    split = problem.split
    recent = f" Only the newest {split.recent} as-ofs take part." if split.recent else ""
    if isinstance(split, TimeSplit):
        return (
            f"Split by time: the newest {split.test} as-of(s) with a known label test, the "
            f"{split.validation} before validate, the others train if their horizon had ended."
            f"{recent}"
        )
    if isinstance(split, GivenSplit):
        return (
            f"Split as {split.attribute} says: {split.test} tests; of the others "
            f"{split.validation * 100:g} % validate, by {problem.entity}, the rest trains.{recent}"
        )
    how = "one by one" if split.by == "entity" else "with equal shares of the labels"
    return (
        f"Split at random by {problem.entity}, {how}: {split.test * 100:g} % test, "
        f"{split.validation * 100:g} % validate, the others train.{recent}"
    )
