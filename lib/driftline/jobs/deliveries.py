"""The files that were delivered: which there are, what each is, whether it can be read."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from driftline import layouts, sources
from driftline.errors import Missing
from driftline.ingest import Delivery
from driftline.jobs.line import Line
from driftline.logs import LOGGER


def paths(line: Line, source: str) -> list[Path]:
    """The files that match the source's pattern, as a shell would match it."""
    pattern = os.path.join(line.environment.data, line.problem.sources[source].path)
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    if not paths:
        raise Missing(
            f"no deliveries of {source} found",
            where=pattern,
            hint="check sources.*.path and the data folder (--data), or fetch the data first",
        )
    files = []
    for path in paths:
        if not path.is_file():
            LOGGER.warning("%s: %s is not a file and was left alone", source, path.name)
        else:
            files.append(path)
    return files


def identified(line: Line, path: Path) -> Delivery:
    """A file as a delivery: known by its content."""
    size, sha256 = sources.digest(str(path))
    return Delivery(sha256, os.path.relpath(path, line.environment.data), size)


def is_unchanged(line: Line, delivery: Delivery) -> bool:
    """Whether a delivery is still where it was, with the bytes it had."""
    path = Path(line.environment.data, delivery.path)
    return path.is_file() and sources.digest(str(path)) == (delivery.bytes, delivery.id)


def is_corrupt(line: Line, source: str, delivery: Delivery) -> bool:
    """Whether a delivery cannot be read as a whole: a torn archive, or no header to go by."""
    path = os.path.join(line.environment.data, delivery.path)
    layout = layouts.layout(line.problem.sources[source])
    try:
        for split in sources.splits(path, delivery.bytes):
            if layout.header:
                sources.header(path, layout)
            for offset, block in sources.blocks(split, encoding=layout.encoding):
                if offset == 0:
                    sources.parse(block, layout, offset=0)
    except (sources.CorruptFile, sources.BadHeader):
        return True
    return False
