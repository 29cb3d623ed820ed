"""Whatever a config.json says, the outcome is a model that answers or one line of facts."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.errors import BrokenModelError, QvqError
from qvq_mlx.families import ModelType
from tests.engine.families import SEEING, Checkpoint, last_logits, opened, started
from tests.support.spelling import hint_of

Checkpoints = Callable[[ModelType], Checkpoint]

WRONG: tuple[Any, ...] = ("x", -1, 0, 3, 10**12, 2.5, None, True, [], ["x"], {}, {"a": 1})


def places(config: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key, also within objects."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def changed(
    config: dict[str, Any], path: tuple[str, ...], change: Callable[[Any, str], Any]
) -> str:
    config = copy.deepcopy(config)
    within = config
    for key in path[:-1]:
        within = within[key]
    change(within, path[-1])
    return json.dumps(config)


def outcome(checkpoint: Checkpoint, folder: Path) -> str:
    """Load, and answer once; any error but a QvqError is a failure of the test."""
    try:
        session = opened(folder, checkpoint.family)
    except QvqError as error:
        clean = "\n" not in error.message and len(error.message) < 400 and hint_of(error)
        return error.code if clean else f"an unclear line: {error.message}"
    last_logits(started(session, checkpoint, "one" if checkpoint.family in SEEING else "text"))
    return "loads"


@pytest.mark.sampled(6)
@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_any_key_may_be_missing(
    checkpoint: Checkpoints, family: ModelType, name: str, tmp_path: Path
) -> None:
    made = checkpoint(family)
    folder = shutil.copytree(made.folder, tmp_path / "broken")
    if not (folder / name).exists():
        return
    config = json.loads((folder / name).read_text())
    outcomes = set()
    # every other key; the families share most of them
    for path in list(places(config))[list(ModelType).index(family) % 2 :: 2]:
        (folder / name).write_text(changed(config, path, lambda within, key: within.pop(key)))
        outcomes.add(outcome(made, folder))
    assert "loads" in outcomes
    assert outcomes <= {"loads", "model-broken", "model-unsupported"}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_any_value_may_be_of_a_wrong_type(
    checkpoint: Checkpoints, family: ModelType, name: str, tmp_path: Path
) -> None:
    made = checkpoint(family)
    folder = shutil.copytree(made.folder, tmp_path / "broken")
    if not (folder / name).exists():
        return
    config = json.loads((folder / name).read_text())
    outcomes = set()
    for number, path in enumerate(places(config)):
        shift = list(ModelType).index(family) * 3 + number
        for wrong in WRONG[shift % 12 :: 12]:  # every kind of value, over keys and families
            (folder / name).write_text(
                changed(config, path, lambda within, key, to=wrong: within.update({key: to}))
            )
            outcomes.add(outcome(made, folder))
    assert outcomes <= {"loads", "model-broken", "model-unsupported"}


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("hidden_size", "x", "text_config.hidden_size is 'x', not a whole number from 1"),
        ("num_key_value_heads", 3, "3 key-value heads, which do not divide 4 heads"),
        ("rms_norm_eps", None, "states no text_config.rms_norm_eps"),
    ],
)
def test_the_line_names_the_key(
    checkpoint: Checkpoints, tmp_path: Path, key: str, value: object, what: str
) -> None:
    made = checkpoint(ModelType.QWEN2_VL)
    folder = shutil.copytree(made.folder, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BrokenModelError, match=what) as caught:
        opened(folder, ModelType.QWEN2_VL)
    assert hint_of(caught.value) == f"python3 -m json.tool {folder / 'config.json'}"
