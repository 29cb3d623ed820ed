"""Record what transformers' image processor makes of small pictures (needs transformers).

Law: the pictures come from arithmetic alone, so that a test can make them again. Every family has
the processor of its published checkpoints: patches of 14 px and CLIP's mean and spread for Qwen2-VL
and Qwen2.5-VL, 16 px and 0.5 for Qwen3-VL. Per case are stored, under FAMILY/CASE:

    grid (2,)   rows and columns of patches          picks (SAMPLES,)   values of the flat pixels

evenly spread, first and last included; all of them would be a megabyte for each case.

    python -m tools.pictures.goldens
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "pictures.npz"
SAMPLES = 600

LAYOUTS: dict[str, dict[str, Any]] = {
    "qwen2_vl": {"patch_size": 14, "min_pixels": 3136, "max_pixels": 1003520},
    "qwen2_5_vl": {"patch_size": 14, "min_pixels": 3136, "max_pixels": 1003520},
    "qwen3_vl": {
        "patch_size": 16,
        "min_pixels": 65536,
        "max_pixels": 1310720,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
}
"""Keyword arguments of the processor; the card's limits, as `--detail auto` has them."""

CASES: dict[str, tuple[int, int, str]] = {
    "tiny": (9, 4, "RGB"),
    "exact": (224, 448, "RGB"),
    "odd": (333, 97, "RGB"),
    "photo": (640, 480, "RGB"),
    "large": (1900, 1301, "RGB"),
    "narrow": (30, 1500, "RGB"),
    "wide": (2000, 10, "RGB"),
    "gray": (301, 203, "L"),
    "palette": (211, 150, "P"),
    "one bit": (190, 190, "1"),
    "inks": (161, 240, "CMYK"),
}


def picture(width: int, height: int, mode: str) -> Image.Image:
    """Waves, from whole numbers only: the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    bands = {"RGB": 3, "CMYK": 4}.get(mode, 1)
    planes = [(x * x // 7 + y * (3 + band) + (x * y) // (11 + band)) for band in range(bands)]
    values = np.abs(np.stack(planes, axis=-1) % 510 - 255).astype(np.uint8)
    if mode in ("RGB", "CMYK"):
        return Image.frombytes(mode, (width, height), values.tobytes())
    image = Image.frombytes("L", (width, height), values.tobytes())
    if mode == "1":
        return image.point(lambda value: 255 * (value > 127)).convert("1")
    if mode == "P":
        image = Image.frombytes("P", (width, height), values.tobytes())
        image.putpalette(bytes((index * step) % 256 for index in range(256) for step in (1, 5, 9)))
    return image


def picks(flat: np.ndarray) -> np.ndarray:
    """SAMPLES values of a flat array, evenly spread."""
    return flat[np.linspace(0, flat.size - 1, SAMPLES).astype(np.int64)]


def main() -> None:
    """Write the goldens."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    found: dict[str, np.ndarray] = {}
    for family, layout in LAYOUTS.items():
        processor = Qwen2VLImageProcessorPil(merge_size=2, temporal_patch_size=2, **layout)
        for name, shape in CASES.items():
            result = processor(picture(*shape), return_tensors="np")
            found[f"{family}/{name}/grid"] = result["image_grid_thw"][0, 1:].astype(np.int64)
            values = result["pixel_values"].astype(np.float32).ravel()
            found[f"{family}/{name}/picks"] = picks(values)
    np.savez_compressed(DATA, allow_pickle=False, **found)


if __name__ == "__main__":
    main()
