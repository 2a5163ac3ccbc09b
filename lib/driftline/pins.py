"""VACUUM that keeps the versions somebody needs; touches Delta for :mod:`driftline.tables`.

Delta's VACUUM keeps no single version. So the data files of the pinned versions get a second name
(a hard link, no bytes) outside of the table, Delta removes what it removes, and what it should not
have gets its first name back. Killed in between, the second names are still there, and the next
:func:`restore` puts the files back: call it before :func:`whole` is asked what may be pinned.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from delta.tables import DeltaTable

from driftline import delta_files
from driftline.errors import Missing
from driftline.tables import Tables

_SETTINGS = {
    # Who asks for fewer hours than a week has been told what that means.
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    # VACUUM changes no row, and a version of its own would not say what it was made from.
    "spark.databricks.delta.vacuum.logging.enabled": "false",
    # Delta lists folders with so many tasks, each of them empty but a few: the default is 10,000.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
}


def vacuum(tables: Tables, name: str, *, hours: float, pinned: Sequence[int]) -> Mapping[str, int]:
    """Remove the files that no version of the last ``hours`` and no pinned one needs.

    Returns how many were ``removed`` and how many ``kept`` for the pins alone.
    """
    folder = _folder(tables, name)
    names = _pins(tables, name)
    restore(tables, name)
    for path in sorted(_files(tables, name, pinned)):
        second = names / path.relative_to(folder)
        second.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, second)
    before = _data(folder)
    conf = tables.spark.conf
    # Before Delta's first look at its own settings it has none of them, not even a default.
    usual = {setting: conf.get(setting, None) for setting in _SETTINGS}
    try:
        for setting, value in _SETTINGS.items():
            conf.set(setting, value)
        DeltaTable.forPath(tables.spark, tables.path(name)).vacuum(hours)
    finally:
        for setting, old in usual.items():
            if old is None:
                conf.unset(setting)
            else:
                conf.set(setting, old)
        kept = restore(tables, name)
    return {"removed": len(before - _data(folder)), "kept": kept}


def restore(tables: Tables, name: str) -> int:
    """Give pinned files that are gone their place back; how many those were."""
    folder, names = _folder(tables, name), _pins(tables, name)
    kept = 0
    for second in sorted(names.rglob("*")) if names.is_dir() else ():
        if second.is_file():
            first = folder / second.relative_to(names)
            if not first.exists():
                first.parent.mkdir(parents=True, exist_ok=True)
                os.link(second, first)
                kept += 1
            second.unlink()
    return kept


def whole(tables: Tables, name: str, version: int) -> bool:
    """Whether every data file of a version is still there, and the log tells which they are."""
    try:
        commits = tables.commits(name, since=version, until=version)
    except Missing:
        return False
    files = delta_files.version(commits, version).files
    present = tables.present(files)
    return all(each.paths <= present for each in files)


def past(tables: Tables, name: str) -> set[Path]:
    """The data files in a table's folder that its newest version does not have."""
    return _data(_folder(tables, name)) - {Path(file.path) for file in _active(tables, name)}


def hiding(tables: Tables, name: str) -> set[Path]:
    """The data files of a table's newest version that have rows which a deletion vector hides: no
    read finds them, and VACUUM keeps them.
    """
    return {Path(file.path) for file in _active(tables, name) if file.deleted}


def _active(tables: Tables, name: str) -> tuple[delta_files.DataFile, ...]:
    newest = tables.version(name)
    commits = tables.commits(name, since=newest, until=newest)
    return delta_files.version(commits, newest).files


def _files(tables: Tables, name: str, pinned: Sequence[int]) -> set[Path]:
    """The data files, and files of deletion vectors, of the pinned versions."""
    if not pinned:
        return set()
    commits = tables.commits(name, since=min(pinned), until=max(pinned))
    files = [file for each in pinned for file in delta_files.version(commits, each).files]
    if any(file.deleted for file in files):
        raise Missing(
            f"{name} has deletion vectors, which are not pinned",
            where=tables.path(name),
            hint="driftline writes none: was delta.enableDeletionVectors set by hand?",
        )
    paths = {Path(file.path) for file in files}
    gone = sum(not path.exists() for path in paths)
    if gone:
        raise Missing(
            f"{gone} data files of {name} that a model needs are gone already",
            where=tables.path(name),
            hint="another VACUUM took them: that model cannot be reproduced",
        )
    return paths


_BY_HAND = (
    "on an object store give each table a delta.deletedFileRetentionDuration that suits you, and "
    "run Delta's own VACUUM"
)


def require_disk(tables: Tables, *, instead: str = _BY_HAND) -> None:
    """Raise :class:`Missing`, which says what to do ``instead``, unless files of the past can get
    second names, and be looked into.
    """
    if "://" in tables.root:
        raise Missing(
            "files of old versions are kept, and taken away, in a local warehouse only",
            where=tables.root,
            hint=instead,
        )


def _folder(tables: Tables, name: str) -> Path:
    require_disk(tables)
    return Path(tables.path(name)).absolute()


def _pins(tables: Tables, name: str) -> Path:
    return Path(tables.root, "_pins", name).absolute()


def _data(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}
