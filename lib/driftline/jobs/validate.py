"""``bronze.<source>`` → ``silver.<source>``: good rows once, bad ones to quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from driftline import quality, quarantine, schemas, watch
from driftline.errors import Missing, Refused, did_you_mean
from driftline.jobs import admission
from driftline.jobs.batches import is_landed
from driftline.jobs.dry_run import trial
from driftline.jobs.gate import as_declared, guard, suite_of, verdicts
from driftline.jobs.line import Line
from driftline.jobs.replay import replay as again
from driftline.ledger import Run
from driftline.logs import visible
from driftline.schemas import Table
from driftline.suite_files import Rule, Suite
from driftline.suites import allows_no_row


@dataclass(frozen=True)
class _Landed:
    """A batch that is in bronze."""

    id: str
    paths: tuple[str, ...]
    """Of its deliveries."""
    is_empty: bool
    """Whether its deliveries held no record, not even one that could not be read."""

    def __str__(self) -> str:
        more = f" and {len(self.paths) - _NAMED:,} more" if len(self.paths) > _NAMED else ""
        named = ", ".join(visible(each, kept="") for each in self.paths[:_NAMED])
        return f"batch {self.id} ({named}{more})"


_NAMED = 3
"""Deliveries of a refused batch that are named."""


def run(
    line: Line, *, replay: bool = False, dry_run: bool = False, give_up: str | None = None
) -> str:
    """Judge every batch that landed since the last time; returns what happened in words.

    ``replay``: instead judge rows of quarantine again that may be cured. ``dry_run``: instead tell
    what the suites as they are now would keep out of all that ever landed, and write nothing.
    ``give_up``: instead put all rows of this batch, which is refused, into quarantine.
    """
    suites = {  # a suite that is wrong is refused before any work
        source: suite_of(line, schemas.silver(line.problem, source))
        for source in line.problem.sources
    }
    if dry_run:
        with line.ledger.run("validate") as ledger:
            ledger.message = "dry run"
            told = [trial(line, ledger, source, suite) for source, suite in suites.items()]
        return "\n".join(["dry run, nothing is written", *(each for part in told for each in part)])
    names = [f"silver.{source}" for source in line.problem.sources]
    with (
        line.ledger.run("validate") as ledger,
        line.tables.lock(*names, schemas.QUARANTINE.full_name),
    ):
        refused: list[Refused] = []
        if replay:
            said = [again(line, ledger, source, suite) for source, suite in suites.items()]
        elif give_up is not None:
            source, batch = _waiting(line, give_up)
            said = [_give_up(line, ledger, source, batch, suites[source])]
        else:
            batches = _landed(line)
            said = [
                _source(line, ledger, source, batches[source], suite, refused)
                for source, suite in suites.items()
            ]
        ledger.message = "; ".join(said)
        if refused:
            count = f"{len(refused)} {'batch was' if len(refused) == 1 else 'batches were'}"
            raise Refused(
                f"{count} refused; what else was new went through",
                where="; ".join(each.where for each in refused),
                hint=_HINT,
            )
        return ledger.message


_HINT = (
    "all verdicts are in ops.quality. Mend the suite and run again; or, where the data are broken, "
    "deliver them anew and give all of these up: driftline validate --quarantine BATCH"
)


def _landed(line: Line) -> dict[str, list[_Landed]]:
    """The batches of each source that are in bronze, in the order in which they were planned."""
    rows = line.tables.read(schemas.DELIVERIES.full_name).where(F.col("status") == "landed")
    batches = rows.groupBy("source", "batch").agg(
        F.min("at").alias("at"),
        F.array_sort(F.collect_set("path")).alias("paths"),
        F.bool_and((F.col("accepted") == 0) & (F.col("rejected") == 0)).alias("is_empty"),
    )
    found: dict[str, list[_Landed]] = {source: [] for source in line.problem.sources}
    for row in batches.orderBy("at", "batch").collect():
        landed = _Landed(row.batch, tuple(row.paths), bool(row.is_empty))
        found.setdefault(row.source, []).append(landed)
    return found


def _source(
    line: Line,
    ledger: Run,
    source: str,
    landed: list[_Landed],
    suite: Suite,
    refused: list[Refused],
) -> str:
    """Judge the new batches of one source; one that is refused does not hold up the others."""
    bronze = f"bronze.{source}"
    version = line.tables.version(bronze)
    ledger.read(bronze, version)
    done = line.tables.committed(f"silver.{source}")
    totals, without = [], 0
    for batch in landed:
        if f"validate:{batch.id}" in done:
            continue
        if batch.is_empty and _pass_by(line, ledger, source, batch, suite):
            without += len(batch.paths)
            continue
        try:
            totals.append(_batch(line, ledger, source, version, batch.id, suite))
        except Refused as refusal:
            where = f"silver.{source}, {batch}, {suite.file}: {refusal.where}"
            refused.append(Refused(refusal.what, where=where))
    said = []
    if totals:
        good, bad, repeats = (sum(each[place] for each in totals) for place in range(3))
        by_hand = [rule.type for rule in suite.rules if not quality.compiled(rule)]
        aside = f" ({', '.join(by_hand)}: {_BY_HAND})" if by_hand else ""
        said += [f"{good:,} good, {bad:,} quarantined, {repeats:,} known duplicates{aside}"]
    if without:
        said += [f"{without:,} {'delivery' if without == 1 else 'deliveries'} without a record"]
    return f"{source}: {', '.join(said) or 'nothing new'}"


_BY_HAND = "run by Great Expectations, rows that break it are not kept out"


def _pass_by(line: Line, ledger: Run, source: str, batch: _Landed, suite: Suite) -> bool:
    """Mark a batch of no records as done, if silver has rows and the suite does not demand any of a
    batch: no other rule can be decided, and it would be refused for ever. While silver is empty it
    waits.
    """
    table = schemas.silver(line.problem, source)
    name = table.full_name
    if any(_demands_rows(rule, suite) for rule in suite.rules) or not _is_in_bronze(
        line, source, batch.id
    ):
        return False
    if not line.tables.exists(name) or line.tables.read(name).isEmpty():
        return False
    _measure(line, ledger, table, batch.id, [("rows", None, 0.0)])
    ledger.wrote(line.tables.append_files([], table, key=f"validate:{batch.id}"))
    ledger.count(in_=0, out=0)
    return True


def _demands_rows(rule: Rule, suite: Suite) -> bool:
    return rule.severity == "error" and not allows_no_row(rule, suite)


def _is_in_bronze(line: Line, source: str, batch: str) -> bool:
    """Whether bronze has the batch: it may have lost it, and gets it again."""
    return is_landed(line.tables.committed(f"bronze.{source}"), batch)


def _batch(
    line: Line, ledger: Run, source: str, version: int, batch: str, suite: Suite
) -> tuple[int, int, int]:
    """Judge one batch: returns how many rows were good, bad, and repeats.

    One pass finds the verdicts, and with them the rules that some row breaks. Those alone have to
    be looked at again while the rows are split. Quarantine first, silver last: silver's commit
    marks the batch as done.
    """
    table = schemas.silver(line.problem, source)
    declared = line.problem.sources[source]
    rows = _rows(line, table, version, batch)
    columns = list(declared.columns)
    vitals = watch.Vitals(tuple(columns), declared.time)
    files = admission.files_of(line, rows, table, batch)
    judged = guard(line, ledger, rows, table, suite=suite, batch=batch, vitals=vitals, files=files)
    assert judged.told is not None
    _measure(line, ledger, table, batch, vitals.measured(judged.told))
    ledger.progress(f"splitting {source}")
    hit = {each.rule.fingerprint for each in judged.verdicts if each.unexpected_count}
    rules = [rule for rule in quarantine.splitting(suite) if rule.fingerprint in hit]
    bad = _keep_out(line, ledger, rows, rules, table, batch, suite)
    written, repeats = admission.let_in(
        line, rows, files, rules, table, batch, count=judged.rows - bad
    )
    ledger.wrote(written)
    kept = written.rows or 0
    ledger.count(in_=judged.rows, out=kept, rejected=bad, duplicate=repeats)
    return kept, bad, repeats


def _rows(line: Line, table: Table, version: int, batch: str) -> DataFrame:
    """The rows of a batch, as silver will have them: fields that bronze has added for other
    deliveries are none of silver, nor of its suite.
    """
    landed = line.tables.read(f"bronze.{table.name}", version=version)
    return as_declared(landed.where(F.col("_batch") == batch), table)


def _waiting(line: Line, id_: str) -> tuple[str, str]:
    """The source of a batch that landed and is not in silver, and the batch."""
    waiting, landed = {}, _landed(line)
    for source in line.problem.sources:
        done = line.tables.committed(f"silver.{source}")
        for batch in landed[source]:
            if f"validate:{batch.id}" not in done:
                waiting[batch.id] = source
    if id_ not in waiting:
        names = f"waiting are {', '.join(waiting)}" if waiting else "none waits"
        raise Missing(  # what was typed may be a delivery's name: the books do not keep it
            "no batch of that name waits for the gate",
            where=f"{visible(id_, kept='')}, {schemas.DELIVERIES.full_name}",
            hint=did_you_mean(id_, waiting, otherwise=names),
        )
    return waiting[id_], id_


def _give_up(line: Line, ledger: Run, source: str, batch: str, suite: Suite) -> str:
    """Put all rows of a refused batch into quarantine; returns what happened in words."""
    if not _is_in_bronze(line, source, batch):
        raise Missing(
            f"bronze.{source} has lost batch {batch}",
            where=line.tables.path(f"bronze.{source}"),
            hint="`driftline ingest` lands it again: then it can be judged, or given up",
        )
    table = schemas.silver(line.problem, source)
    version = line.tables.version(f"bronze.{source}")
    ledger.read(f"bronze.{source}", version)
    rows = _rows(line, table, version, batch)
    judged = verdicts(line, ledger, rows, table, suite=suite, batch=batch)
    refused_by = [verdict.rule for verdict in judged.verdicts if verdict.refusal]
    if judged.rows and not refused_by:
        raise Missing(
            f"batch {batch} is not refused by its suite as it is now",
            where=suite.file,
            hint="`driftline validate` lets it through",
        )
    told = [verdict.rule for verdict in judged.verdicts if verdict.told]
    rules = [rule for rule in quarantine.splitting(suite) if rule in told]
    bad = _keep_out(line, ledger, rows, rules, table, batch, suite, refused_by) if refused_by else 0
    line.tables.ensure(table)
    ledger.wrote(line.tables.append_files([], table, key=f"validate:{batch}"))
    ledger.count(in_=judged.rows, out=0, rejected=bad)
    return f"{source}: batch {batch} is given up, all its {bad:,} rows are quarantined"


def _measure(
    line: Line,
    ledger: Run,
    table: Table,
    batch: str,
    measured: list[tuple[str, str | None, float]],
) -> None:
    """Keep what was measured of a batch; ``driftline watch`` compares it with those before."""
    now = datetime.now(timezone.utc)
    rows = [(table.full_name, batch, *each, ledger.run_id, now) for each in measured]
    with line.tables.lock(schemas.METRICS.full_name, wait=120.0):
        line.tables.append_values(rows, schemas.METRICS, key=f"validate:{table.name}:{batch}")


def _keep_out(
    line: Line,
    ledger: Run,
    rows: DataFrame,
    rules: Sequence[Rule],
    table: Table,
    batch: str,
    suite: Suite,
    refused_by: Sequence[Rule] = (),
) -> int:
    """Put the rows that break one of ``rules`` into quarantine, or all of a batch ``refused_by``
    some; returns how many they are.

    Runs that were killed after this and before silver's commit may have judged by other suites:
    what they put there of the batch is replaced, unless the last of them judged by this one. Keys
    are numbered, since a suite may be the last one again.
    """
    name = schemas.QUARANTINE.full_name
    begin = f"validate:{table.name}:{batch}:"
    before = [each for each in line.tables.committed(name) if each.startswith(begin)]
    if not (rules or refused_by or before):
        return 0
    judged = f"{begin}{'all ' if refused_by else ''}{suite.digest[:16]}:"
    if f"{judged}{len(before)}" in before:
        mine = (F.col("table") == table.full_name) & (F.col("batch") == batch)
        return line.tables.read(name).where(mine).count()
    key = f"{judged}{len(before) + 1}"
    columns = [each for each in table.column_names if each not in schemas.RECORD]
    kept = quarantine.quarantined(
        rows,
        rules,
        columns,
        table=table.full_name,
        run_id=ledger.run_id,
        refused_by=refused_by,
    )
    if before:
        where = f"`table` = '{table.full_name}' AND batch = '{batch}'"
        written = line.tables.replace(kept, schemas.QUARANTINE, where=where, key=key)
    else:
        written = line.tables.append(kept, schemas.QUARANTINE, key=key)
    ledger.wrote(written)
    return written.rows or 0
