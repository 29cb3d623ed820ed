"""Undo the quantization of a shipped folder: float32 weights by their hub names (numpy only).

Law: the values are exactly those that MLX multiplies with, so a model that starts from them says
what the shipped one says. The tokenizer's files are copied beside them.

    python -m tools.tiny.dequantized MODEL OUT
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tools.tiny import hub

LEGACY_NAMES = (
    ("vision_tower.", "visual."),
    ("language_model.model.", "model."),
    (".mlp.layers.", ".mlp."),
)


def dequantized(
    packed: np.ndarray, scales: np.ndarray, biases: np.ndarray, bits: int
) -> np.ndarray:
    """MLX's affine quantization undone: (rows, columns * bits / 32) uint32 to float32."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    levels = (packed[..., None] >> shifts) & np.uint32(2**bits - 1)
    levels = levels.reshape(packed.shape[0], scales.shape[1], -1).astype(np.float32)
    values = levels * scales[..., None] + biases[..., None]  # (rows, groups, group size)
    flat: np.ndarray = values.reshape(packed.shape[0], -1)
    return flat


def hub_name(name: str) -> str:
    """The transformers name of a weight of the MLX folder."""
    for ours, theirs in LEGACY_NAMES:
        name = name.replace(ours, theirs)
    return name


def transformers_weights(folder: Path) -> dict[str, np.ndarray]:
    """The folder's weights by their hub names, in float32."""
    stored = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    bits = config.get("quantization", {}).get("bits", 0)
    weights = {}
    for name in stored:
        if name.endswith((".scales", ".biases")):
            continue
        stem, value = name.removesuffix(".weight"), stored[name]
        if f"{stem}.scales" in stored:
            value = dequantized(value, stored[f"{stem}.scales"], stored[f"{stem}.biases"], bits)
        if name.endswith("patch_embed.proj.weight"):
            value = value.transpose(0, 4, 1, 2, 3)  # MLX keeps channels last
        weights[hub_name(name)] = np.ascontiguousarray(value, np.float32)
    return weights


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="write a shipped folder's weights in float32")
    parser.add_argument("model", type=Path, help="shipped MLX folder")
    parser.add_argument("out", type=Path, help="folder to start training from")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    weights = transformers_weights(options.model)
    save_file(weights, options.out / "model.safetensors", {"format": "pt"})
    for name in hub.TOKENIZER_FILES:
        shutil.copyfile(options.model / name, options.out / name)


if __name__ == "__main__":
    main()
