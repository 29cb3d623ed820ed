"""A resized picture as the patches that the vision encoder reads.

Law: equal to Qwen2-VL's own image processor for the same resized pixels, within 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qvq_mlx.core.checkpoint import read_json
from qvq_mlx.core.picture import Picture

Patches = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """How pixels become patches. The defaults are the Qwen2-VL family's."""

    patch_px: int = 14
    merge: int = 2
    temporal: int = 2
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    def grid(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of patches."""
        return picture.height_px // self.patch_px, picture.width_px // self.patch_px

    def token_grid(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of image tokens, each of merge x merge patches."""
        rows, columns = self.grid(picture)
        return rows // self.merge, columns // self.merge


def read_layout(folder: Path) -> PatchLayout:
    """The layout that the checkpoint states, the family's where it states none."""
    default = PatchLayout()
    stated = read_json(folder / "preprocessor_config.json", missing_ok=True)
    return PatchLayout(
        patch_px=int(stated.get("patch_size", default.patch_px)),
        merge=int(stated.get("merge_size", default.merge)),
        temporal=int(stated.get("temporal_patch_size", default.temporal)),
        mean=tuple(stated.get("image_mean", default.mean)),
        std=tuple(stated.get("image_std", default.std)),
    )


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
