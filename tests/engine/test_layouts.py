"""One checkpoint, however it was written: flat or nested, under any names, packed or plain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.families import ModelType, family_named
from tests.engine.families import BOUND, SEEING, Checkpoint, last_logits, opened, started

Checkpoints = Callable[[ModelType], Checkpoint]


def copied(checkpoint: Checkpoint, folder: Path) -> Path:
    shutil.copytree(checkpoint.folder, folder)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((folder / "config.json").read_text()))


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """The published layout: text at the top, `rope_theta` and `rope_scaling` apart."""
    text = config.pop("text_config", {})
    text.pop("model_type", None)
    config = {**text, **config}
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if "mrope_section" in rope:
        config["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope["partial_rotary_factor"]
    if "vision_config" in config:
        config["vision_config"].pop("rope_parameters")
        config["vision_config"] |= {
            "model_type": config["model_type"],
            "in_chans": 3,
            "skip_vision": True,
        }
    return config


def assert_unchanged(checkpoint: Checkpoint, folder: Path) -> None:
    case = "one" if checkpoint.family in SEEING else "text"
    logits = last_logits(started(opened(folder, checkpoint.family), checkpoint, case))
    assert np.abs(logits - checkpoint.golden[f"{case}.logits"][-1]).max() <= BOUND


@pytest.mark.parametrize("family", list(ModelType))
def test_the_flat_layout(checkpoint: Checkpoints, family: ModelType, tmp_path: Path) -> None:
    folder = copied(checkpoint(family), tmp_path / "flat")
    (folder / "config.json").write_text(json.dumps(flat(config_of(folder))))
    for name in ("generation_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert_unchanged(checkpoint(family), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_empty_text_config_counts_as_none(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = copied(checkpoint(ModelType.QWEN2_VL), tmp_path / "half")
    config = flat(config_of(folder)) | {"text_config": {}, "audio_config": {}}
    (folder / "config.json").write_text(json.dumps(config))
    assert_unchanged(checkpoint(ModelType.QWEN2_VL), folder)


@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("naming", ["hub", "nested", "mlx"])
def test_the_names_of_the_weights(
    checkpoint: Checkpoints, family: ModelType, naming: str, tmp_path: Path
) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    made = checkpoint(family)
    folder = copied(made, tmp_path / "named")
    mlx = dict(tree_flatten(made.session.parts.model._model.parameters()))
    weights = mlx if naming == "mlx" else renamed(mlx, nested=naming == "nested")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in shards.items():
        mx.save_safetensors(str(folder / shard), {name: weights[name] for name in held})
    index = {name: shard for shard, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert_unchanged(made, folder)


def renamed(weights: dict[str, Any], *, nested: bool) -> dict[str, Any]:
    """As transformers names them: before 4.52, or (nested) since."""
    named = {}
    for name, array in weights.items():
        if name.endswith("patch_embed.proj.weight"):
            array = array.transpose(0, 4, 1, 2, 3)
        name = name.replace("language_model.lm_head.", "lm_head.")
        name = name.replace(
            "language_model.model.", "model.language_model." if nested else "model."
        )
        name = name.replace("vision_tower.", "model.visual." if nested else "visual.")
        named[name] = array
    return named


@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("vision_too", [True, False])
def test_a_quantized_checkpoint_is_what_was_quantized(
    checkpoint: Checkpoints, family: ModelType, vision_too: bool, tmp_path: Path
) -> None:
    """With a 4-bit vision encoder, as conversions of December 2024 have it, and without."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    made = checkpoint(family)
    folder = copied(made, tmp_path / "packed")
    session = opened(folder, family)
    nn.quantize(
        session.parts.model._model,
        group_size=32,
        bits=4,
        class_predicate=lambda path, module: (
            hasattr(module, "to_quantized")
            and module.weight.shape[-1] % 32 == 0
            and (vision_too or "vision_tower" not in path)
        ),
    )
    weights = dict(tree_flatten(session.parts.model._model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    config = config_of(folder) if family_named(family).nested_config else flat(config_of(folder))
    config["quantization"] = {"group_size": 32, "bits": 4}
    if family in SEEING:
        config["vision_config"]["skip_vision"] = not vision_too
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    case = "two" if family in SEEING else "text"
    expected = last_logits(started(session, made, case))
    assert np.array_equal(last_logits(started(opened(folder, family), made, case)), expected)
    assert np.abs(expected - made.golden[f"{case}.logits"][-1]).max() > 0.01


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8"])
def test_foreign_quantization_is_refused(
    checkpoint: Checkpoints, tmp_path: Path, method: str
) -> None:
    folder = copied(checkpoint(ModelType.QWEN2_VL), tmp_path / "foreign")
    config = config_of(folder) | {"quantization_config": {"quant_method": method, "bits": 4}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=f"quantized by '{method}'"):
        opened(folder, ModelType.QWEN2_VL)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1}, "sliding"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}}, "'yarn'"),
    ],
)
def test_what_only_transformers_runs_is_refused(
    checkpoint: Checkpoints, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    folder = copied(checkpoint(ModelType.QWEN2_VL), tmp_path / "other")
    config = config_of(folder)
    config["text_config"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=what):
        opened(folder, ModelType.QWEN2_VL)


@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("naming", ["model.language_model.", "language_model.model.", "model."])
def test_settings_of_one_module_are_found_under_any_naming(
    checkpoint: Checkpoints, family: ModelType, naming: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    own = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
    module = f"{naming}layers.0.mlp.down_proj"
    config = config_of(checkpoint(family).folder)
    config["quantization"] = {"group_size": 64, "bits": 8, module: own, f"{naming}norm": False}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')
    read = read_architecture(folder).quantization
    assert read["language_model.model.layers.0.mlp.down_proj"] == own
    assert (read["group_size"], read["bits"], read["mode"]) == (64, 8, "affine")
