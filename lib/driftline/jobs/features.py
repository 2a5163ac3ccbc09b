"""``silver.*`` → ``gold.features``: what was known of each entity at each as-of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import AtomicType, BooleanType, DataType, NumericType

from driftline import features, labels, rule_checks, schemas, storage
from driftline.certificate import Evidence, Seen
from driftline.digests import digest
from driftline.errors import ConfError, Refused
from driftline.events import Events, Population
from driftline.jobs import tiling
from driftline.jobs.gate import guard
from driftline.jobs.line import Line
from driftline.ledger import Run
from driftline.operations import OPERATIONS
from driftline.session import utc
from driftline.tiles import arrival, believable, moment


def run(line: Line, *, as_of: datetime | None = None) -> str:
    """Build features at every cut-off up to the data's end, or to ``as_of``."""
    table = schemas.features(line.problem)
    problem = line.problem
    tiled = [tiling.table(line, source).full_name for source in problem.sources]
    with line.ledger.run("features") as ledger, line.tables.lock(table.full_name, *tiled):
        versions = {f"silver.{source}": 0 for source in problem.sources}
        for name in versions:
            versions[name] = line.tables.version(name)
            ledger.read(name, versions[name])
        silver = {
            name.removeprefix("silver."): line.tables.read(name, version=version)
            for name, version in versions.items()
        }
        _check_expressions(line, silver)
        ledger.progress("finding the newest event")
        first, newest, days = _extent(line, silver[problem.label.source], problem.label.source)
        watermark = min(newest, as_of or newest)
        times = features.as_ofs(problem.cutoffs, watermark)
        if not times:
            raise Refused(
                "no cut-off lies before the end of the data",
                where=f"cutoffs.first {problem.cutoffs.first}, data until {watermark:%Y-%m-%d}",
                hint="set cutoffs.first inside the data, with room for the windows before it",
            )
        silent = labels.silences(days)
        known = labels.mature(times, problem.label, watermark, silent)
        asked = features.asked(problem)
        key = "features:" + digest([asked, versions, times, known])[:16]
        if key == line.tables.content(table.full_name):
            ledger.message = f"{len(times)} as-ofs are up to date"
            return ledger.message
        ledger.progress(f"{len(times)} as-ofs from {len(silver)} sources")
        tiles = _tiles(line, ledger, versions)
        rows = _rows(line, silver, tiles, times, known).persist()
        try:
            guard(line, ledger, rows.select(*table.column_names), table)
            evidence = Evidence(
                watermark, problem.cutoffs.known, problem.label.horizon, _seen(rows), asked
            )
            ledger.progress("writing gold.features")
            ledger.wrote(
                line.tables.overwrite(
                    rows, table, key=key, made_from=versions, noted=evidence.to_json()
                )
            )
        finally:
            rows.unpersist()
        ledger.rows_out = sum(each.rows for each in evidence.seen)
        ledger.message = (
            f"{ledger.rows_out:,} rows at {len(times)} as-ofs up to {times[-1]:%Y-%m-%d}, "
            f"{sum(each.labelled for each in evidence.seen):,} with a known label"
        )
        remarks = [*_remarks(line, first, newest, times, evidence, as_of), *_left_out(line, silver)]
        remarks += _unheard(
            line, silent, set(labels.mature(times, problem.label, watermark)) - {*known}
        )
        for each in remarks:
            ledger.message += f"; {each}"
        return ledger.message


def _tiles(line: Line, ledger: Run, versions: Mapping[str, int]) -> dict[str, DataFrame]:
    problem = line.problem
    try:
        return {
            source: tiling.tiled(line, ledger, source, versions[f"silver.{source}"])
            for source in problem.sources
            if features.components(problem, source)
        }
    except PySparkException as error:
        if storage.explained(f"{type(error).__name__} {error}"):
            raise
        raise ConfError(
            "an expression of the problem cannot be computed on every row",
            file=f"problem {problem.name}",
            key="features",
            found=str(error.getCondition() or type(error).__name__),
            allowed="expressions that can be told of every value of their columns",
            hint="a cast or division may fail on a row: use try_cast, try_divide",
        ) from None


def _remarks(
    line: Line,
    first: datetime,
    newest: datetime,
    times: list[datetime],
    evidence: Evidence,
    as_of: datetime | None,
) -> Iterator[str]:
    """What is as it should be, but perhaps not as somebody thinks it is."""
    asked = {each.as_of for each in evidence.seen}
    empty = [each for each in times if each not in asked]
    if empty:
        yield f"nobody to ask about at {len(empty)} of the as-ofs, the first {empty[0]:%Y-%m-%d}"
    features_ = line.problem.features
    longest = max(
        (days for each in features_ for days in (*each.windows, each.against or 0)), default=0
    )
    if times[0] - timedelta(days=longest) < first:
        yield (
            f"windows of up to {longest} days look back further than the data, which begin "
            f"{first:%Y-%m-%d}"
        )
    if as_of and as_of > newest:
        yield f"the data end {newest:%Y-%m-%d}, before --as-of"


def _unheard(
    line: Line, silent: Sequence[labels.Silence], without: Collection[datetime]
) -> Iterator[str]:
    """The days that nothing was delivered of, and what is not known for it."""
    source = line.problem.label.source
    for begin, end in silent:
        last = end - timedelta(days=1)
        yield f"nothing of {source} from {begin:%Y-%m-%d} to {last:%Y-%m-%d}, as if not delivered"
    if without:
        yield f"no labels at {len(without)} of the as-ofs for it, the first {min(without):%Y-%m-%d}"


def _left_out(line: Line, silver: Mapping[str, DataFrame]) -> Iterator[str]:
    """The rows of silver that no feature is made of, counted."""
    entity, profile = line.problem.entity, line.problem.profile
    for source, rows in silver.items():
        of_profile = profile is not None and profile.source == source
        if not of_profile and not features.components(line.problem, source):
            continue
        time = _time(line, source)
        nobodys = F.col(entity).isNull() | F.col(time).isNull()
        dated = F.when(~nobodys, F.struct(entity, time))
        again = F.count(dated) - F.count_distinct(dated) if of_profile else F.lit(0)
        found = rows.agg(F.count_if(nobodys), again).first()
        assert found is not None
        if found[0]:
            yield f"{found[0]:,} rows of {source} without {entity} or {time} are nobody's"
        if found[1]:
            yield (
                f"{found[1]:,} rows of {source} have the {time} of another one of the same "
                f"{entity}: the last by delivery and place is the profile"
            )


def _seen(rows: DataFrame) -> tuple[Seen, ...]:
    """What the rows of each as-of saw at most, measured on the rows themselves."""
    ends = [F.max("_newest"), F.max("_arrived"), F.min("_first"), F.max("_last")]
    times = (F.timestamp_micros(each) for each in ends)
    found = rows.groupBy("as_of").agg(F.count("*"), F.count("label"), *times).orderBy("as_of")
    return tuple(
        Seen(utc(row[0]), row[1], row[2], *(each and utc(each) for each in row[3:]))
        for row in found.collect()
    )


def _check_expressions(line: Line, silver: Mapping[str, DataFrame]) -> None:
    """Let Spark analyse every SQL expression of the problem before any work is done."""
    problem = line.problem
    wanted: list[tuple[str, Events, bool]] = [
        ("label", problem.label, True),
        ("population", problem.population, True),
    ]
    for feature in problem.features:
        numbers = "categories" not in OPERATIONS[feature.operation].parts
        wanted.append((f"features.{feature.name}", feature, numbers))
    for key, events, numbers in wanted:
        rows = silver[events.source]
        for name in ("where", "value"):
            expression = getattr(events, name, None)
            if not expression:
                continue
            asked = F.expr(expression)
            # A condition is of one row: Spark refuses aggregates, windows and generators in it.
            condition = asked if name == "where" else asked.isNotNull()
            try:
                beyond = rule_checks.beyond_the_row(rows.where(condition))
                kind = rows.select(asked).schema[0].dataType
            except (AnalysisException, ParseException) as error:
                raise _wrong(line, f"{key}.{name}", events, _said(error)) from None
            if beyond:
                raise _wrong(line, f"{key}.{name}", events, f"there is {beyond} in it")
            fits = isinstance(kind, NumericType | BooleanType) if numbers else _is_word(kind)
            if name == "value" and not fits:
                hint = f"it is a {kind.simpleString()}, and a {'number' if numbers else 'word'}"
                raise _wrong(line, f"{key}.{name}", events, f"{hint} is needed")


def _is_word(kind: DataType) -> bool:
    return isinstance(kind, AtomicType)


def _said(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]


def _wrong(line: Line, key: str, events: Events, hint: str) -> ConfError:
    return ConfError(
        "not a SQL expression over the columns of one row",
        file=f"problem {line.problem.name}",
        key=key,
        found=str(getattr(events, key.rpartition(".")[2])),
        allowed=", ".join(line.problem.sources[events.source].columns),
        hint=hint,
    )


def _rows(
    line: Line,
    silver: Mapping[str, DataFrame],
    tiles: Mapping[str, DataFrame],
    times: list[datetime],
    known: list[datetime],
) -> DataFrame:
    problem, entity = line.problem, line.problem.entity
    population, label = problem.population, problem.label

    def part(source: str, asked: Population | None = None) -> DataFrame:
        wanted = [feature for feature in problem.features if feature.source == source]
        plan = features.plan(wanted, times, entity=entity, asked=asked)
        return features.windowed(tiles[source], plan)

    others = {each.source for each in problem.features} - {population.source}
    parts = [part(source) for source in sorted(others)]
    if problem.profile:
        source, names = problem.profile.source, problem.profile.attributes
        parts.append(
            features.attributes(
                silver[source],
                names,
                times,
                entity=entity,
                time=_time(line, source),
                known=_known(line, source),
                arrived=arrival(problem.sources[source].arrival),
            )
        )
    rows = features.join(part(population.source, population), parts, problem)
    happened = labels.outcomes(tiles[label.source], known or times[:1], label, entity=entity)
    return labels.attach(rows, happened, known, label, entity=entity)


def _known(line: Line, source: str) -> Column:
    """The moment from which a row of a source may be seen."""
    at = moment(_time(line, source))
    if line.problem.cutoffs.known == "event":
        return at
    return F.greatest(at, arrival(line.problem.sources[source].arrival))


def _time(line: Line, source: str) -> str:
    return line.problem.sources[source].time


def _extent(line: Line, rows: DataFrame, source: str) -> tuple[datetime, datetime, Sequence[date]]:
    """The oldest and the newest event of the label's source, and the days that have any."""
    when = moment(_time(line, source))
    # A wrong clock must not make labels mature.
    sane = rows.where(believable(_time(line, source), line.problem.sources[source].arrival))
    found = sane.agg(F.min(when), F.max(when), F.collect_set(F.to_date(when))).first()
    if found is None or found[1] is None:
        raise Refused(
            "the label's source has no event",
            where="silver",
            hint="see ops.quarantine: every row may have broken a rule",
        )
    return utc(found[0]), utc(found[1]), found[2]
