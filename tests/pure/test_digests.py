"""What tells files from others: their content, and that they are files at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

from driftline import digests


def test_a_link_is_no_file_that_was_recorded(tmp_path: Path) -> None:
    """Neither one to a folder, below which Spark would read on, nor one to an equal file."""
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "model"
    for each in (elsewhere, folder / "part"):
        each.mkdir(parents=True)
        (each / "data").write_bytes(b"weights")
    recorded = digests.of_files(folder)
    assert list(recorded) == ["part/data"]
    for name, target in (("x=1", elsewhere), ("data", elsewhere / "data"), ("gone", Path("no"))):
        link = folder / "part" / name
        before = link.read_bytes() if link.exists() else None
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert digests.of_files(folder) != recorded
        link.unlink()
        if before is not None:
            link.write_bytes(before)
        assert digests.of_files(folder) == recorded


def test_the_digest_of_the_code_is_that_of_its_modules(repository: Path, tmp_path: Path) -> None:
    """In the zip that a cluster is given as in a folder."""
    package = repository / "lib" / "driftline"
    found = dict(digests._modules(package))
    assert digests.of_code() == digests.digest(found)[:16]
    assert found.keys() >= {"digests.py", "jobs/train.py"}
    packed = tmp_path / "driftline.zip"
    with zipfile.ZipFile(packed, "w") as target:
        for each in package.rglob("*"):
            if each.is_file():
                target.write(each, each.relative_to(package.parent).as_posix())
    assert dict(digests._modules(zipfile.Path(packed) / "driftline")) == found
    changed = tmp_path / "jobs"
    changed.mkdir()
    (changed / "train.py").write_text("# mended")
    assert dict(digests._modules(tmp_path))["jobs/train.py"] != found["jobs/train.py"]
