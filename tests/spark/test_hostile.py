"""The hostile corpus through the executors, in one Spark job."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

from driftline import sources
from driftline.ingest import Policy, Tally, _checked
from driftline.usage import jobs_so_far
from hostile.corpus import CASES


def test_every_case_ends_as_it_has_to_in_one_job(spark, tmp_path) -> None:
    work = []
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        work.append(
            (case.layout, [(str(path), path.stat().st_size) for path in case.write(folder)])
        )

    # Within the test: functions of a test module are not known where the workers run.
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                layout, files = work[number]
                tally, reasons, fault = Tally(), {}, None
                try:
                    for path, size in files:
                        for split in sources.splits(path, size, layout):
                            for parsed in _checked(split, layout, Policy(), tally):
                                for reason in parsed.rejects["reason"].to_pylist():
                                    reasons[reason] = reasons.get(reason, 0) + 1
                except sources.Fault as found:
                    fault = found.reason
                told = [tally.records, tally.accepted, reasons, fault]
                yield pa.RecordBatch.from_pydict({"case": [number], "told": [json.dumps(told)]})

    before = jobs_so_far(spark)
    numbers = spark.range(0, len(work), 1, 4)
    rows = numbers.mapInArrow(read, "case bigint, told string").collect()
    assert jobs_so_far(spark) == before + 1
    assert len(rows) == len(CASES) >= 80
    wrong = {}
    for row in rows:
        case = CASES[row.case]
        records, accepted, reasons, fault = json.loads(row.told)
        expected = (case.accepted, dict(case.reasons), None)
        if case.fault:
            expected, found = case.fault, fault
        else:
            found = (accepted, reasons, fault)
            assert records == accepted + sum(reasons.values()), case.name
        if found != expected:
            wrong[case.name] = (found, expected)
    assert not wrong
    print(f"{len(rows)}/{len(CASES)} cases as expected, in one Spark job")
