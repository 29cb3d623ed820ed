"""A checkpoint's weights under the names of mlx-vlm's modules.

Law: every naming that has been published means the same weight: transformers' old names
(`model.layers`, `visual.blocks`), its names since 4.52 (`model.language_model.layers`,
`model.visual.blocks`) and MLX's own (`language_model.model.layers`, `vision_tower.blocks`). Data
are mapped, not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn

from qvq_mlx.core.errors import BrokenModelError

_INDEX = "model.safetensors.index.json"
_RENAMED = (  # the first that fits
    ("model.language_model.", "language_model.model."),
    ("model.visual.", "vision_tower."),
    ("visual.", "vision_tower."),
    ("model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)
_COMPUTED = ("rotary_emb.inv_freq", "position_ids")
"""Buffers that old checkpoints store and that follow from the config."""
_PATCHES = "vision_tower.patch_embed.proj.weight"
HEAD = "language_model.lm_head."


def read_weights(folder: Path) -> dict[str, mx.array]:
    """Every weight of the folder's safetensors files. Raises BrokenModelError, OSError, ..."""
    weights: dict[str, mx.array] = {}
    for path in _files(folder):
        for name, array in cast("dict[str, mx.array]", mx.load(str(path))).items():
            if not name.endswith(_COMPUTED):
                weights[mlx_name(name)] = array
    patches = weights.get(_PATCHES)
    if patches is not None and patches.ndim == 5 and patches.shape[-1] != 3:
        # torch has (out, rgb, frames, height, width), mlx the colours last
        weights[_PATCHES] = patches.transpose(0, 2, 3, 4, 1)
    return weights


def install(
    model: Any, weights: Mapping[str, mx.array], quantization: Mapping[str, object]
) -> None:
    """Set all weights of `model`, quantized where they are; nothing is read.

    What is quantized, in how many bits and in which groups follows from the shapes: old
    conversions do not say it of every module. `quantization` says in which mode. Raises
    ValueError where a weight is missing or too many.
    """

    def stored(path: str, module: Any) -> bool | dict[str, object]:
        scales = weights.get(f"{path}.scales")
        if scales is None or not hasattr(module, "to_quantized"):
            return False
        columns = module.weight.shape[-1]
        own = quantization.get(path)
        return {
            "group_size": columns // scales.shape[-1],
            "bits": 32 * weights[f"{path}.weight"].shape[-1] // columns,
            "mode": (own if isinstance(own, dict) else quantization).get("mode", "affine"),
        }

    nn.quantize(model, class_predicate=stored)  # type: ignore[attr-defined]
    model.load_weights(list(weights.items()))
    model.eval()


def mlx_name(name: str) -> str:
    """The name of a weight in mlx-vlm."""
    for theirs, ours in _RENAMED:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _files(folder: Path) -> list[Path]:
    """The files that the index names; without an index, all."""
    index = folder / _INDEX
    if not index.is_file():
        return sorted(
            path
            for path in folder.glob("*.safetensors")
            # a second copy of all weights, in another naming, in some repositories
            if not path.name.startswith("consolidated")
        )
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({folder / str(name) for name in named})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModelError(
            f"{index} is no list of weight files", f"python3 -m json.tool {index}"
        ) from error
