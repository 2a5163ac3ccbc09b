"""What Delta's log says, however it is spelt; no Spark, the log is a dictionary here."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JJavaError

from driftline import delta_files, delta_log, delta_paths
from driftline.errors import TryAgain
from driftline.versions import Versions, _plain


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("a%20b", "/lake/t x/a b"),
        ("/a%20b", "/a b"),
        ("file:///c/d", "/c/d"),
        ("file:/c/d", "/c/d"),
        ("dbfs:/lake/t/e", "dbfs:/lake/t/e"),
        ("hdfs:/lake/t/e", "hdfs:/lake/t/e"),
        ("s3a://b/e", "s3a://b/e"),
        ("at%3A/12:30", "/lake/t x/at:/12:30"),  # a folder, whatever it is called
    ],
)
def test_a_path_is_in_the_folder_of_the_table_or_says_where_it_is(said: str, path: str) -> None:
    assert delta_paths.absolute("file:/lake/t x", said) == path


def test_a_deletion_vector_has_one_name_in_a_table_and_in_its_clones() -> None:
    """The digits are an example of Delta's protocol; a clone spells the path in full."""
    own = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4}
    path = "/lake/t x/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
    full = "file:" + path.replace(" ", "%20")
    cloned = {"storageType": "p", "pathOrInlineDv": full, "offset": 4}
    names = {
        delta_paths.vector(base, {"deletionVector": each})
        for base, each in (("file:/lake/t x", own), ("file:/lake/clone", cloned))
    }
    assert names == {f"{path}@4"}
    file = delta_files.DataFile("/lake/t x/f", 1, names.pop(), {}, {})
    assert file.paths == {"/lake/t x/f", path}


def test_a_deletion_vector_in_the_log_is_no_file() -> None:
    inside = {"storageType": "i", "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg@12"}
    name = delta_paths.vector("file:/t", {"deletionVector": inside})
    assert delta_files.DataFile("/t/f", 1, name, {}, {}).paths == {"/t/f"}
    assert delta_paths.vector("file:/t", {}) == ""


def test_a_file_of_the_same_name_and_size_is_another_one_if_it_was_written_later() -> None:
    state = delta_files._State("file:/t")
    action = {"path": "f", "size": 9, "partitionValues": {}}
    made = [
        state.after(number, json.dumps({"add": action | {"modificationTime": at}}), 0).added[0]
        for number, at in enumerate((1000, 2000, 2000))
    ]
    assert made[0].key != made[1].key == made[2].key


@pytest.mark.parametrize(
    ("said", "folder"),
    [
        ("/lake/t/", "/lake/t"),
        ("file:/lake/t", "/lake/t"),
        ("file:///lake/t", "/lake/t"),
        ("dbfs:/lake/t/", "dbfs:/lake/t"),
        ("s3a://b/t", "s3a://b/t"),
        ("lake/t", str(Path("lake/t").absolute())),
    ],
)
def test_a_folder_is_spelt_in_one_way(said: str, folder: str) -> None:
    assert _plain(said) == folder


def test_a_table_in_a_store_named_with_one_slash_is_not_looked_for_on_the_disk(monkeypatch) -> None:
    asked = []
    known = SimpleNamespace(isDeltaTable=lambda spark, path: asked.append(path) or True)
    monkeypatch.setattr("driftline.versions.DeltaTable", known)
    assert Versions(None, "/lake").exists("dbfs:/lake/t")
    assert asked == ["dbfs:/lake/t"]


# ---- when commits were made ------------------------------------------------------------------


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


@pytest.fixture
def log(monkeypatch):
    """A log of commits by number: when the file was written (s), and what it says of itself."""
    read: list[int] = []

    def made(commits: dict[int, tuple[float, dict]], gone: frozenset[int] = frozenset()):
        times = {number: int(1000 * when) for number, (when, _) in commits.items()}
        listed = delta_log.Listed(times, frozenset())
        told = {number: info for number, (_, info) in commits.items()}

        def info(_spark, _folder, number):
            read.append(number)
            return told[number]

        def text(_spark, _folder, number):
            said = json.dumps({"commitInfo": told[number]})
            return None if number in gone else said

        path = SimpleNamespace(toString=lambda: "file:/t")
        known = SimpleNamespace(dataPath=lambda: path)
        monkeypatch.setattr(delta_log, "log_of", lambda *_: known)
        monkeypatch.setattr(delta_log, "listed", lambda *_: listed)
        monkeypatch.setattr(delta_log, "commit_info", info)
        monkeypatch.setattr(delta_log, "commit_text", text)
        return read

    return made


def test_commits_of_a_table_that_was_copied_follow_each_other(log) -> None:
    """Their files were written in any order; Delta's own time travel has them a millisecond apart,
    too.
    """
    log({0: (10, {}), 1: (30, {}), 2: (29, {}), 3: (20, {}), 4: (40, {})})
    made = delta_files.commits(None, "t", since=0, until=4)
    assert [each.at for each in made] == [at(10), at(30), at(30.001), at(30.002), at(40)]
    for moment, number in ((9, None), (10, 0), (29.5, 0), (30, 1), (31, 3), (99, 4)):
        found = delta_files.version_at(None, "t", at(moment), newest=4)
        assert found == (number, at(10)), moment
    assert delta_files.version_at(None, "t", at(99), newest=3)[0] == 3


def test_what_a_commit_says_itself_is_when_it_was_made(log) -> None:
    log({0: (50, {}), 1: (50, {"inCommitTimestamp": 60_000}), 2: (50, {"inCommitTimestamp": 9e4})})
    made = delta_files.commits(None, "t", since=0, until=2)
    assert [each.at for each in made] == [at(50), at(60), at(90)]
    assert delta_files.version_at(None, "t", at(70), newest=2)[0] == 1


def test_a_version_is_found_by_few_commits(log) -> None:
    read = log({number: (number, {}) for number in range(5000)})
    assert delta_files.version_at(None, "t", at(1234.5), newest=4999)[0] == 1234
    assert len(read) < 20


def test_a_commit_that_is_gone_when_it_is_read_is_no_empty_one(log) -> None:
    log({number: (number, {}) for number in range(4)}, gone=frozenset({2}))
    with pytest.raises(TryAgain, match="version 2 is not there any more"):
        delta_files.commits(None, "t", since=0, until=3)


class _Objects:
    """A file system in a store of objects, as py4j shows it, that refuses what it is told to."""

    def __init__(self, *refusal: object) -> None:
        self._refusal, self.asked = refusal, []

    def createFile(self, _: object) -> _Objects:
        return self

    def overwrite(self, whether: bool) -> _Objects:
        self.asked.append(whether)
        return self

    def must(self, key: str, value: str) -> _Objects:
        self.asked += [key.rpartition(".")[2], value]
        return self

    def build(self) -> _Objects:
        return self

    def write(self, content: bytearray) -> None:
        self.asked.append(bytes(content))

    def close(self) -> None:
        self._fail()

    def open(self, _: object) -> _Objects:
        self._fail()
        return self

    def getFileStatus(self, _: object) -> None:
        self._fail()

    def _fail(self) -> None:
        if self._refusal:
            name, status = self._refusal
            kind = SimpleNamespace(getSimpleName=lambda: name)
            java = SimpleNamespace(
                _target_id="o1", getClass=lambda: kind, statusCode=lambda: status
            )
            raise Py4JJavaError("", java)


def _store(monkeypatch, *refusal: object) -> _Objects:
    made = _Objects(*refusal)
    monkeypatch.setattr(delta_log, "_system", lambda _, file: (file, made))
    return made


@pytest.mark.parametrize(
    ("mark", "asked"),
    [
        (None, [False, "overwrite", "true", b"said"]),
        ("etag", [True, "etag", "etag", b"said"]),
    ],
)
def test_an_object_is_written_on_a_condition(monkeypatch, mark, asked) -> None:
    store = _store(monkeypatch)
    assert delta_log.put_if(None, "s3a://b/file", b"said", mark=mark) is True
    assert store.asked == asked


@pytest.mark.parametrize(
    ("name", "status", "refused"),
    [
        ("RemoteFileChangedException", 412, True),
        ("FileAlreadyExistsException", 412, True),
        ("FileNotFoundException", 404, True),
        ("AWSBadRequestException", 409, True),
        ("AWSBadRequestException", 400, False),
        ("UnknownStoreException", 404, False),  # there is no such bucket
        ("AccessDeniedException", 403, False),
    ],
)
def test_what_a_store_refuses_is_told_from_what_fails(monkeypatch, name, status, refused) -> None:
    _store(monkeypatch, name, status)
    if refused:
        assert delta_log.put_if(None, "s3a://b/file", b"said", mark="etag") is False
    else:
        with pytest.raises(Py4JJavaError):
            delta_log.put_if(None, "s3a://b/file", b"said", mark="etag")


@pytest.mark.parametrize("read", [delta_log.mark, delta_log.content])
def test_what_was_removed_meanwhile_is_not_there(monkeypatch, read) -> None:
    spark = SimpleNamespace(_jvm=None)
    _store(monkeypatch, "FileNotFoundException", 404)
    assert read(spark, "s3a://b/file") is None
    _store(monkeypatch, "AccessDeniedException", 403)
    with pytest.raises(Py4JJavaError):
        read(spark, "s3a://b/file")
