"""What erasing a person says of the models that were made of theirs."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

from driftline import erasure, pins
from driftline.jobs import remaining
from driftline.registry import Version


def test_a_model_that_keeps_rows_of_theirs_is_left(monkeypatch) -> None:
    monkeypatch.setattr(pins, "whole", lambda tables, name, version: version > 3)

    def model(number: int, keeps: bool, features: int) -> Version:
        made = json.dumps({"gold.features": features, "silver.other": 1})
        return Version(number, "", "", {"tables": made, "keeps_rows": str(keeps)})

    known = [model(1, True, 3), model(2, True, 4), model(3, False, 3), model(4, False, 4)]
    models = SimpleNamespace(versions=lambda: known)
    found = remaining.keeping(SimpleNamespace(tables=None), models, ["gold.features"])
    assert found == ["model version 1, which keeps rows that it was fitted on"]


def test_a_name_is_found_as_json_writes_it_and_alone_only() -> None:
    found = re.compile(erasure.pattern(["jörg", 'O"Brien', "c1"]))
    for text in ('{"a": "j\\u00f6rg"}', '{"a": "jörg"}', '{"a": "O\\"Brien"}', "x c1 y"):
        assert found.search(text), text
    for text in ("c12", "xc1", "jörgen", "brien"):
        assert not found.search(text), text
