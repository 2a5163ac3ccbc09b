"""What erasing a person says of the models that were made of theirs."""

from __future__ import annotations

import json
from types import SimpleNamespace

from driftline import pins
from driftline.jobs import erase
from driftline.registry import Version


def test_a_model_that_keeps_rows_of_theirs_is_left(monkeypatch) -> None:
    monkeypatch.setattr(pins, "whole", lambda tables, name, version: version > 3)

    def model(number: int, keeps: bool, features: int) -> Version:
        made = json.dumps({"gold.features": features, "silver.other": 1})
        return Version(number, "", "", {"tables": made, "keeps_rows": str(keeps)})

    known = [model(1, True, 3), model(2, True, 4), model(3, False, 3), model(4, False, 4)]
    models = SimpleNamespace(versions=lambda: known)
    found = erase._keeping(SimpleNamespace(tables=None), models, ["gold.features"])
    assert found == ["model version 1, which keeps rows that it was fitted on"]
