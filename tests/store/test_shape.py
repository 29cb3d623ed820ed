"""A shape is read from any config.json, or there is none: no value of it is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.card import Shape
from qvq_mlx.families import ModelType
from qvq_mlx.store.shape import stated_shape
from tests.conftest import ROOT

FAMILIES = ROOT / "tests" / "data" / "families"
WRONG: tuple[Any, ...] = (None, True, -1, 0, 2.5, "\x1b[2J", [], ["a"], [[]], {}, {"a": 1}, 10**30)


@pytest.mark.parametrize("family", list(ModelType))
def test_a_value_of_any_type_is_a_shape_or_none(tmp_path: Path, family: ModelType) -> None:
    whole = json.loads((FAMILIES / family / "config.json").read_text(encoding="utf-8"))
    file = tmp_path / "config.json"
    file.write_text(json.dumps(whole), encoding="utf-8")
    assert isinstance(stated_shape(tmp_path), Shape)
    for part in (whole, whole.get("text_config", {}), whole.get("vision_config", {})):
        for key, value in list(part.items()):
            for wrong in WRONG:
                part[key] = wrong
                file.write_text(json.dumps(whole), encoding="utf-8")
                assert isinstance(stated_shape(tmp_path), Shape | None), (key, wrong)
            part[key] = value
