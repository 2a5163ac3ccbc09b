"""A conf that cannot be read: what kept it from that, and in which line."""

from __future__ import annotations

from pathlib import Path

import pytest
from conf_errors import said, written

from driftline.conf import read_yaml
from driftline.errors import ConfError
from driftline.problem import load_problem

YAML = "YAML 1.1, each key once, nothing but texts, numbers, lists and mappings"
LOOK = "look at the line above too; indent with spaces; quote a text that holds ': '"


@pytest.mark.parametrize(
    ("text", "place", "found", "hint"),
    [
        ("name: a\ntask: b\nname: c\n", ":3:1", "key 'name' is there twice", "remove or rename it"),
        ("a: {b: 1, b: 2}\n", ":1:11", "key 'b' is there twice", "remove or rename it"),
        ("a:\n\tb: 1\n", ":2:1", "found character '\\t' that cannot start any token", LOOK),
        ("a: [1, 2\nb: 3\n", ":2:2", "expected ',' or ']', but got ':'", LOOK),
        ("a: b: c\n", ":1:5", "mapping values are not allowed here", LOOK),
        ("[a]: b\n", ":1:1", "a list or a mapping used as a key", "remove or rename it"),
        (
            "a: !!python/name:os.system\n",
            ":1:4",
            "could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'",
            "remove or rename it",
        ),
        ("a: 0x_\n", "", "invalid literal for int() with base 16: ''", LOOK),
        (
            "a: 'b\0'\n",
            "",
            "unacceptable character #x0000: special characters are not allowed",
            LOOK,
        ),
    ],
)
def test_not_yaml(tmp_path: Path, text: str, place: str, found: str, hint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfError) as caught:
        read_yaml(path)
    assert said(caught.value) == ("not valid YAML", "", found, YAML, hint)
    assert caught.value.file == f"{path}{place}"


def test_a_list_that_holds_itself_is_not_valid_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match="not valid YAML"):
        read_yaml(written(tmp_path, "a: &a [*a]\n"))


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ('{"a": 1,\n "b" 2}', ":2:6", "Expecting ':' delimiter"),
        ("a: 1\n", ":1:1", "Expecting value"),
        ('{"a": 1, "a": 2}', "", "key 'a' is there 2 times"),
        ('{"a": [{"b": 1, "c": 2, "b": 1}]}', "", "key 'b' is there 2 times"),
        ('{"a": NaN}', "", "NaN is no number"),
        ('{"a": [-Infinity]}', "", "-Infinity is no number"),
    ],
)
def test_not_json(tmp_path: Path, text: str, place: str, found: str) -> None:
    """What is said of a file that pydantic wrote speaks of what is in it."""
    path = tmp_path / "problem.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfError) as caught:
        read_yaml(path)
    error = caught.value
    assert (error.what, error.found, error.file) == ("not valid JSON", found, f"{path}{place}")
    assert error.allowed == "JSON, each key once, no NaN, no Infinity"
    assert error.hint.startswith("look before that place" if place else "remove it")


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text('{"a": 1e-06, "b": {"a": [1, [true]]}}', "utf-8")
    assert read_yaml(path) == {"a": 1e-6, "b": {"a": (1, (True,))}}
    path.write_text("[" * 100_000, "utf-8")
    with pytest.raises(ConfError, match="not valid JSON"):
        read_yaml(path)
    path.write_bytes(b"\xe9")
    with pytest.raises(ConfError) as caught:
        read_yaml(path)
    assert caught.value.allowed == "a readable UTF-8 JSON file"


def test_merge_keys_are_yaml(tmp_path: Path) -> None:
    path = written(tmp_path, "a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  c: 3\n")
    assert read_yaml(path) == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


def test_dates_stay_text_and_lists_become_tuples(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 2024-02-30\nb: [1, [x]]\n")
    assert read_yaml(path) == {"a": "2024-02-30", "b": (1, ("x",))}


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "nothing"), ("# a comment\n", "nothing"), ("- a\n", "a list"), ("hello\n", "a text")],
)
def test_not_a_mapping(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfError) as caught:
        load_problem(written(tmp_path, text))
    assert said(caught.value) == (
        "not a mapping of keys to values",
        "",
        found,
        "key: value lines",
        "start from one of the files in conf/",
    )


UNREADABLE = ("cannot read the file", "", "a readable UTF-8 YAML file")


def unreadable(path: Path) -> tuple[str, str]:
    with pytest.raises(ConfError) as caught:
        load_problem(path)
    error = caught.value
    assert (error.what, error.key, error.allowed) == UNREADABLE
    assert error.file == str(path)
    return error.found, error.hint


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, "").with_name("churn.yaml")
    path.write_text("")
    assert unreadable(path.with_name("chrun.yaml")) == (
        "no such file",
        "did you mean 'churn.yaml'?",
    )
    assert unreadable(path.with_name("other.txt")) == (
        "no such file",
        f"YAML files in {path.parent}: churn.yaml, x.yaml",
    )


def test_missing_folder(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert unreadable(nowhere / "x.yaml") == (
        "no such file",
        f"there is no folder {nowhere} either",
    )


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    folder = written(tmp_path, "").parent
    assert unreadable(folder) == ("a folder", f"YAML files in {folder}: x.yaml")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = written(tmp_path, b"name: a\nquestion: caf\xe9\n")
    assert unreadable(path) == ("bytes that are not UTF-8, in line 2", "save the file as UTF-8")
