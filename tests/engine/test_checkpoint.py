"""Checkpoints as they are published: padded vocabulary, separate head, quantized vision tower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from qvq_mlx.core.errors import BrokenModelError, UnsupportedModelError
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Generation, Prompt, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.session import Session
from qvq_mlx.store import registry
from tests.engine.conftest import GOLDEN_PICTURE, returned
from tests.support.spelling import hint_of
from tools.make_checkpoint import Options, make_checkpoint


def session_of(folder: Path) -> Session:
    return cast("Session", loaded(registry.find(str(folder)), folder))


def ids(session: Session, prompt: Prompt, sampling: Sampling, tokens: int = 40) -> list[int]:
    steps = session.generate(prompt, Generation(sampling, tokens), Control())
    return [step.id for step in steps if isinstance(step, Token)]


@pytest.fixture
def read(picture: Callable[[Path], Picture]) -> Picture:
    return picture(GOLDEN_PICTURE)


def test_logits_equal_mlx_vlms_own_forward_pass(tmp_path: Path, read: Picture) -> None:
    import mlx.core as mx
    import numpy as np
    from mlx_vlm.utils import load_model

    from qvq_mlx.engine.patches import patches
    from qvq_mlx.engine.row import Start

    checkpoint = make_checkpoint("tiny", tmp_path / "float")
    session = session_of(checkpoint)
    prompt = session.prompt("How many?", [read, read], None)
    start = cast("Start", returned(session.in_chunks_of(16).reader.read(prompt, Control())))
    ours = np.array(start.sequence.forward(mx.array([start.ids[-1:]]), start.position)[0, -1])

    model = load_model(checkpoint)
    layout = session.parts.layout
    expected = model(
        mx.array([prompt.ids]),
        mx.array(np.concatenate([patches(read, layout)] * 2)),
        image_grid_thw=mx.array([[1, *layout.grid(read)]] * 2),
    ).logits
    expected = np.array(expected[0, -1])
    assert expected.std() > 0.1
    assert np.abs(ours - expected).max() < 1e-4 * expected.std()


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
def test_a_quantized_checkpoint_runs_and_draws_no_padding(
    tmp_path: Path, read: Picture, bits: int
) -> None:
    # as in December 2024: every linear layer, the vision tower's too
    options = Options(bits=bits, vision_bits=bits, dtype="bfloat16")
    checkpoint = make_checkpoint("tiny", tmp_path / "quantized", options)
    session = session_of(checkpoint)
    prompt = session.prompt("How many?", [read, read], "Be brief.")
    for sampling in (Sampling(), Sampling(2.0, seed=5)):
        drawn = ids(session, prompt, sampling)
        assert drawn
        assert max(drawn) < 1024


def test_another_architecture_is_one_clear_error(tmp_path: Path) -> None:
    checkpoint = make_checkpoint("tiny", tmp_path / "other")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UnsupportedModelError, match="'llama', which this version does not run"):
        session_of(checkpoint)


@pytest.mark.parametrize("damage", ["cut", "missing", "config"])
def test_damaged_weights_are_one_clear_error(tmp_path: Path, damage: str) -> None:
    import mlx.core as mx

    options = Options(bits=4, vision_bits=4, dtype="bfloat16")
    checkpoint = make_checkpoint("tiny", tmp_path / "damaged", options)
    weights = checkpoint / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "missing":
        kept = cast("dict[str, mx.array]", mx.load(str(weights)))
        kept.pop("language_model.model.norm.weight")
        mx.eval(kept)
        mx.save_safetensors(str(weights), kept)
    else:
        (checkpoint / "config.json").write_text("{")
    with pytest.raises(BrokenModelError) as caught:
        session_of(checkpoint)
    assert "\n" not in caught.value.message
    assert hint_of(caught.value)
