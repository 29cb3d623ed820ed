"""A resized picture as the patches that the vision encoder reads.

Law: equal to the family's own image processor for the same resized pixels, within 1e-6.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.checkpoint import Fields, read_json
from qvq_mlx.core.families import PatchLayout
from qvq_mlx.core.picture import Picture

Patches = npt.NDArray[np.float32]


def read_layout(folder: Path, model: PatchLayout | None = None) -> PatchLayout:
    """What the checkpoint's image processor states; where it is silent, what the model reads.

    `model` is Qwen2-VL's where it is not given. Raises BrokenModelError, also where
    the processor cuts other patches than the model reads.
    """
    model = model or PatchLayout()
    path = folder / "preprocessor_config.json"
    stated = Fields(path, read_json(path, missing_ok=True))
    layout = PatchLayout(
        patch_px=stated.whole("patch_size", model.patch_px),
        merge=stated.whole("merge_size", model.merge),
        temporal=stated.whole("temporal_patch_size", model.temporal),
        mean=stated.numbers("image_mean", model.mean),
        std=stated.numbers("image_std", model.std),
    )
    for ours, theirs, what in (
        (layout.patch_px, model.patch_px, "pixels to a patch"),
        (layout.merge, model.merge, "patches to a side of a token"),
        (layout.temporal, model.temporal, "frames to a patch"),
    ):
        if ours != theirs:
            raise stated.broken(f"says {ours} {what}, and the model reads {theirs}")
    if len(layout.mean) != 3 or len(layout.std) != 3 or not all(layout.std):
        raise stated.broken("states no mean and spread (above 0) for each of red, green and blue")
    return layout


def patches(picture: Picture, layout: PatchLayout) -> Patches:
    """(patches, 3 * temporal * patch * patch), float32, in the order of the merged tokens."""
    pixels = np.frombuffer(picture.rgb, dtype=np.uint8)
    pixels = pixels.reshape(picture.height_px, picture.width_px, 3)  # (height, width, rgb)
    scaled = pixels.astype(np.float32) * np.float32(1 / 255)
    mean, std = np.asarray(layout.mean, np.float32), np.asarray(layout.std, np.float32)
    planes = ((scaled - mean) / std).transpose(2, 0, 1)  # (rgb, height, width)
    rows, columns = layout.grid(picture)
    merge, px = layout.merge, layout.patch_px
    blocks = planes.reshape(3, rows // merge, merge, px, columns // merge, merge, px)
    # -> (token row, token column, row in token, column in token, rgb, y, x)
    blocks = blocks.transpose(1, 4, 2, 5, 0, 3, 6)
    blocks = blocks.reshape(rows * columns, 3, 1, px, px)
    # a still picture is shown to both frames of a temporal patch
    blocks = np.repeat(blocks, layout.temporal, axis=2)
    return np.ascontiguousarray(blocks.reshape(rows * columns, -1))
