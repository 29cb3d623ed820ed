"""One matrix or two for input and output: as transformers 5 decides, or one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.families import ModelType
from tests.engine.families import SEEING, Checkpoint, last_logits, opened, started

Checkpoints = Callable[[ModelType], Checkpoint]
EMBEDDING, HEAD = "embed_tokens.weight", "lm_head.weight"


def written(
    checkpoint: Checkpoint, folder: Path, top: bool | None, nested: bool | None, head: str
) -> Path:
    """The checkpoint with these two flags, and a head that is absent, equal, different or alone."""
    import mlx.core as mx

    shutil.copytree(checkpoint.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    for fields, flag in ((config, top), (config.get("text_config", {}), nested)):
        fields.pop("tie_word_embeddings", None)
        if flag is not None:
            fields["tie_word_embeddings"] = flag
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "model.safetensors"
    weights: Any = mx.load(str(path))
    weights = {name: array for name, array in weights.items() if not name.endswith(HEAD)}
    [embedding] = [name for name in weights if name.endswith(EMBEDDING)]
    if head == "equal":
        weights[HEAD] = mx.array(weights[embedding])
    elif head == "different":
        weights[HEAD] = weights[embedding][::-1]
    elif head == "alone":
        weights[HEAD] = weights.pop(embedding)
    mx.eval(weights)
    mx.save_safetensors(str(path), weights)
    return folder


def logits(checkpoint: Checkpoint, folder: Path) -> np.ndarray:
    case = "one" if checkpoint.family in SEEING else "text"
    return last_logits(started(opened(folder, checkpoint.family), checkpoint, case))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize(
    ("top", "nested", "head"),
    [
        (True, None, "absent"),
        (True, None, "equal"),
        (None, None, "absent"),
        (True, None, "alone"),
        (False, None, "equal"),
        (None, None, "equal"),
    ],
)
def test_one_matrix(
    checkpoint: Checkpoints, family: ModelType, tmp_path: Path, top: bool, nested: bool, head: str
) -> None:
    made = checkpoint(family)
    reference = logits(made, written(made, tmp_path / "reference", True, None, "absent"))
    assert np.array_equal(logits(made, written(made, tmp_path / "f", top, nested, head)), reference)


@pytest.mark.parametrize("family", SEEING)
@pytest.mark.parametrize("top", [None, False])
def test_the_flag_within_text_config_counts(
    checkpoint: Checkpoints, family: ModelType, tmp_path: Path, top: bool | None
) -> None:
    """Source: transformers 5, Qwen2VLConfig: "pre-v5 saves placed it inside text_config"."""
    made = checkpoint(family)
    reference = logits(made, written(made, tmp_path / "reference", True, None, "absent"))
    folder = written(made, tmp_path / "nested", top, True, "absent")
    assert np.array_equal(logits(made, folder), reference)


@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("top", [True, False, None])
def test_a_head_that_differs_is_used_whatever_the_config_says(
    checkpoint: Checkpoints, family: ModelType, tmp_path: Path, top: bool | None
) -> None:
    """Source: transformers 5, tie_weights: "with different values, so we will NOT tie them"."""
    made = checkpoint(family)
    tied = logits(made, written(made, tmp_path / "tied", True, None, "absent"))
    untied = logits(made, written(made, tmp_path / "untied", top, None, "different"))
    assert np.allclose(untied, tied[::-1], atol=1e-5)


@pytest.mark.parametrize("family", list(ModelType))
def test_a_head_that_is_stated_and_absent_is_one_line(
    checkpoint: Checkpoints, family: ModelType, tmp_path: Path
) -> None:
    made = checkpoint(family)
    with pytest.raises(
        BrokenModelError, match="tie_word_embeddings is false, and there is no lm_head"
    ):
        opened(written(made, tmp_path / "headless", False, None, "absent"), family)


@pytest.mark.parametrize("family", list(ModelType))
@pytest.mark.parametrize("naming", ["model.", "language_model.model."])
def test_mixed_quantization_in_the_naming_of_mlx_lm(
    checkpoint: Checkpoints, family: ModelType, naming: str, tmp_path: Path
) -> None:
    """Some layers in more bits, the head in its own, one module left plain."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    made = checkpoint(family)
    folder = written(made, tmp_path / "mixed", False, None, "different")
    session = opened(folder, family)
    settings: dict[str, Any] = {"group_size": 64, "bits": 4, "mode": "affine"}

    def chosen(path: str, module: Any) -> bool | dict[str, Any]:
        if not hasattr(module, "to_quantized") or not path.startswith("language_model."):
            return False
        if module.weight.shape[-1] % 32:
            return False
        name = path.replace("language_model.model.", naming)
        name = name.replace("language_model.lm_head", "lm_head") if naming == "model." else name
        if "layers.0.mlp.down_proj" in path:
            settings[name] = False
            return False
        bits = 8 if path.endswith(("lm_head", "v_proj", "embed_tokens")) else 6
        settings[name] = {"group_size": 32, "bits": bits}
        return {"group_size": 32, "bits": bits}

    nn.quantize(session.parts.model._model, class_predicate=chosen)
    case = "one" if family in SEEING else "text"
    expected = last_logits(started(session, made, case))
    parameters = dict(tree_flatten(session.parts.model._model.parameters()))
    weights = {}
    for path, array in parameters.items():
        name = path.replace("language_model.model.", naming)
        weights[
            name.replace("language_model.lm_head", "lm_head") if naming == "model." else name
        ] = array
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    config = json.loads((folder / "config.json").read_text())
    config |= {"quantization": settings, "quantization_config": settings}
    (folder / "config.json").write_text(json.dumps(config))
    assert np.array_equal(logits(made, folder), expected)
