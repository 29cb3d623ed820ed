"""Checkpoints as they are published: padded vocabulary, separate head, quantized vision tower."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from qvq_mlx.core.errors import BrokenModelError, UnsupportedModelError
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Generation, Prompt, Token
from qvq_mlx.engine import loaded
from qvq_mlx.engine.session import Session
from qvq_mlx.store import registry
from tests.engine.conftest import GOLDEN_PICTURE, returned

PADDED_ROWS = 1088  # 64 more than the tokenizer has ids

CONFIG: dict[str, Any] = {
    "model_type": "qwen2_vl",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": PADDED_ROWS,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
    "tie_word_embeddings": False,
    "image_token_id": 1022,
    "video_token_id": 1023,
    "vision_start_token_id": 1019,
    "vision_end_token_id": 1020,
    "vision_config": {
        "model_type": "qwen2_vl",
        "depth": 2,
        "embed_dim": 64,
        "hidden_size": 128,
        "num_heads": 2,
        "mlp_ratio": 4,
        "in_channels": 3,
        "patch_size": 14,
        "spatial_patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
}


def make_checkpoint(folder: Path, tokenizer: Path, *, bits: int | None, dtype: str) -> Path:
    """Random weights in the layout of a published MLX conversion."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten, tree_map
    from mlx_vlm.models import qwen2_vl

    mx.random.seed(7)
    config = json.loads(json.dumps(CONFIG))
    model_config = qwen2_vl.ModelConfig.from_dict(json.loads(json.dumps(config)))
    model_config.text_config = qwen2_vl.TextConfig.from_dict(config)
    model_config.vision_config = qwen2_vl.VisionConfig.from_dict(config["vision_config"])
    model = qwen2_vl.Model(model_config)
    kind = getattr(mx, dtype)
    model.update(tree_map(lambda array: (array * 3).astype(kind), model.parameters()))
    if bits is not None:
        # as in December 2024: every linear layer whose width allows it, the vision tower too
        nn.quantize(
            model,
            group_size=64,
            bits=bits,
            class_predicate=lambda _path, module: (
                hasattr(module, "to_quantized")
                and module.weight.shape[-1] % 64 == 0
                and module.weight.ndim == 2
            ),
        )
        config["quantization"] = {"group_size": 64, "bits": bits}
        config["vision_config"]["skip_vision"] = False
    folder.mkdir()
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1012, 1010]}))
    shutil.copy(tokenizer / "tokenizer.json", folder)
    return folder


def session_of(folder: Path) -> Session:
    return cast("Session", loaded(registry.find(str(folder)), folder))


def ids(session: Session, prompt: Prompt, sampling: Sampling, tokens: int = 40) -> list[int]:
    steps = session.generate(prompt, Generation(sampling, tokens), Control())
    return [step.id for step in steps if isinstance(step, Token)]


@pytest.fixture
def read(picture: Callable[[Path], Picture]) -> Picture:
    return picture(GOLDEN_PICTURE)


def test_logits_equal_mlx_vlms_own_forward_pass(
    tmp_path: Path, folder: Path, read: Picture
) -> None:
    import mlx.core as mx
    import numpy as np
    from mlx_vlm.utils import load_model

    from qvq_mlx.engine.decode import Start
    from qvq_mlx.engine.patches import patches

    checkpoint = make_checkpoint(tmp_path / "float", folder, bits=None, dtype="float32")
    session = session_of(checkpoint)
    prompt = session.prompt("How many?", [read, read], None)
    start = cast("Start", returned(session.in_chunks_of(16).reader.read(prompt, Control())))
    ours = np.array(start.lane.forward(mx.array([start.ids[-1:]]), start.position)[0, -1])

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


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_a_quantized_checkpoint_runs_and_draws_no_padding(
    tmp_path: Path, folder: Path, read: Picture, bits: int
) -> None:
    checkpoint = make_checkpoint(tmp_path / "quantized", folder, bits=bits, dtype="bfloat16")
    session = session_of(checkpoint)
    prompt = session.prompt("How many?", [read, read], "Be brief.")
    for sampling in (Sampling(), Sampling(2.0, seed=5)):
        drawn = ids(session, prompt, sampling)
        assert drawn
        assert max(drawn) < 1024


def test_another_architecture_is_one_clear_error(tmp_path: Path, folder: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "other", folder, bits=None, dtype="float32")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UnsupportedModelError, match="'llama'; this version runs qwen2_vl"):
        session_of(checkpoint)


@pytest.mark.parametrize("damage", ["cut", "missing", "config"])
def test_damaged_weights_are_one_clear_error(tmp_path: Path, folder: Path, damage: str) -> None:
    import mlx.core as mx

    checkpoint = make_checkpoint(tmp_path / "damaged", folder, bits=4, dtype="bfloat16")
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
    assert caught.value.hint
