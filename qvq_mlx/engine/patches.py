"""A resized picture, or the frames of a clip, as the patches that the vision encoder reads.

Law: equal to the family's own image processor for the same resized pixels, within 1e-6.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.clip import Clip, Visual
from qvq_mlx.core.picture import Picture
from qvq_mlx.families.family import PatchLayout
from qvq_mlx.families.fields import Fields
from qvq_mlx.store.checkpoint import read_json

Patches = npt.NDArray[np.float32]


def read_layout(folder: Path, model: PatchLayout | None = None) -> PatchLayout:
    """Read the image processor's layout; where it is silent, the model's own counts.

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
    frame = _normalized(picture.rgb, picture, layout)
    # a still picture is shown to both frames of a temporal patch
    return _cut(np.broadcast_to(frame, (layout.temporal, *frame.shape)), layout)


def step_patches(clip: Clip, layout: PatchLayout, step: int) -> Patches:
    """The same for one step of a clip. A last frame without a partner is shown twice."""
    begin = step * layout.temporal
    taken = clip.frames[begin : begin + layout.temporal]
    frames = [_normalized(frame, clip, layout) for frame in taken]
    return _cut(np.stack(frames + frames[-1:] * (layout.temporal - len(frames))), layout)


def _normalized(rgb: bytes, visual: Visual, layout: PatchLayout) -> Patches:
    """(height, width, rgb), each channel as the model was trained on it."""
    pixels = np.frombuffer(rgb, dtype=np.uint8).reshape(visual.height_px, visual.width_px, 3)
    scaled = pixels.astype(np.float32) * np.float32(1 / 255)
    mean, std = np.asarray(layout.mean, np.float32), np.asarray(layout.std, np.float32)
    normalized: Patches = (scaled - mean) / std
    return normalized


def _cut(frames: Patches, layout: PatchLayout) -> Patches:
    """(temporal, height, width, rgb) -> (patches, 3 * temporal * patch * patch)."""
    merge, px = layout.merge, layout.patch_px
    rows, columns = frames.shape[1] // px, frames.shape[2] // px
    blocks = frames.reshape(
        layout.temporal, rows // merge, merge, px, columns // merge, merge, px, 3
    )
    # -> (token row, token column, row in token, column in token, rgb, frame, y, x)
    blocks = blocks.transpose(1, 4, 2, 5, 7, 0, 3, 6)
    return np.ascontiguousarray(blocks.reshape(rows * columns, -1))
