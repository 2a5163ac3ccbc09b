"""Pseudonyms against Python's own HMAC in another spelling, and the key that must be there."""

from __future__ import annotations

import hashlib
import hmac
import os

import pyarrow as pa
import pytest

from driftline import layouts, pseudonyms
from driftline.errors import ConfError, Missing
from driftline.problem import load_problem
from driftline.serving.rows import is_pseudonym
from driftline.sources import read, splits

KEY = b"k" * 32


def test_a_pseudonym_is_the_hmac_of_the_value() -> None:
    # RFC 4231, test case 2, has a shorter key than we take; the function is the same.
    assert pseudonyms.pseudonym("what do ya want for nothing?", b"Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert is_pseudonym(pseudonyms.pseudonym("ann", KEY)) and not is_pseudonym("ann")
    values = ["ann", None, "ann", "", "zoë", "x" * 5000]
    rows = pa.RecordBatch.from_pydict({"n": [1, 2, 3, 4, 5, 6], "who": values})
    made = pseudonyms.replaced(rows, ("who",), KEY)
    assert made.schema == rows.schema and made["n"].to_pylist() == rows["n"].to_pylist()
    assert made["who"].to_pylist() == [
        value and hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest() for value in values
    ]


@pytest.mark.parametrize(("held", "said"), [(None, "is not set"), ("short", "has 5 bytes")])
def test_a_missing_or_short_key_is_refused(monkeypatch, held, said) -> None:
    monkeypatch.delenv(pseudonyms.VARIABLE, raising=False)
    if held is not None:
        monkeypatch.setenv(pseudonyms.VARIABLE, held)
    with pytest.raises(Missing, match=said):
        pseudonyms.key()


def test_a_key_may_be_bytes_that_are_no_text(monkeypatch) -> None:
    raw = bytes(range(200, 240))
    monkeypatch.setenv(pseudonyms.VARIABLE, os.fsdecode(raw))
    assert pseudonyms.key() == raw


@pytest.fixture
def hidden(repository):
    """The visits of the shop, with pseudonyms in the place of customers."""
    source = load_problem(repository / "conf" / "churn.yaml").sources["visits"]
    column = source.columns["customer_id"].model_copy(update={"pseudonym": True})
    return source.model_copy(update={"columns": {**source.columns, "customer_id": column}})


def test_what_is_read_has_pseudonyms_in_rows_and_bytes_in_rejects(hidden, tmp_path, monkeypatch):
    monkeypatch.setenv(pseudonyms.VARIABLE, KEY.decode())
    line = '1.1.1.1 - canary [11/Mar/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "M"\n'
    path = tmp_path / "a.log"
    path.write_text(line + line.replace("200", "two hundred"))
    layout = layouts.keyed(hidden)
    assert KEY.decode() not in repr(layout)
    (split,) = splits(str(path), path.stat().st_size, layout)
    (parsed,) = read(split, layout)
    assert parsed.rows["customer_id"].to_pylist() == [pseudonyms.pseudonym("canary", KEY)]
    assert b"canary" in parsed.rejects["raw"][0].as_py()
    assert "canary" not in str(parsed.rows.to_pylist())


def test_the_conf_is_read_without_the_key_but_records_are_not(hidden, monkeypatch) -> None:
    monkeypatch.delenv(pseudonyms.VARIABLE, raising=False)
    assert layouts.layout(hidden).pseudonyms == ("customer_id",)
    with pytest.raises(Missing):
        layouts.keyed(hidden)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{type: string, from: user,", "{type: string, pseudonym: true, from: user,", "in others"),
        ("items: {type: long,", "items: {type: long, pseudonym: true,", "only texts"),
    ],
)
def test_pseudonyms_that_cannot_be_are_refused(repository, tmp_path, old, new, said) -> None:
    text = (repository / "conf" / "churn.yaml").read_text("utf-8")
    assert old in text
    (tmp_path / "churn.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfError, match=said):
        load_problem(tmp_path / "churn.yaml")
